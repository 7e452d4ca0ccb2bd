//! The seats a request takes, from what the cache and the watchers are like now.

use apiserver_core::flow::{Listing, list, mutation};
use fair::Width;

use super::force::Route;
use super::watchers::name_selected;
use super::{Asking, Flow};
use crate::app::App;
use crate::http::query;
use crate::request_info::{ResourceRequest, Verb};

/// What a request costs.
pub(super) fn width(app: &App, flow: &Flow, asking: &Asking<'_>, route: &Route) -> Width {
    let Some(target) = &asking.info.resource else { return Width::ONE };
    match asking.info.verb {
        Verb::List => listing(app, asking, target, route),
        Verb::Watch => {
            let initial = query::first(asking.query, "sendInitialEvents");
            let streams = initial.is_some_and(|value| matches!(value, "true" | "1" | "t" | "T" | "TRUE" | "True"));
            if streams { listing(app, asking, target, route) } else { Width::ONE }
        }
        // No event comes of a token.
        Verb::Create if target.resource == "serviceaccounts" && target.subresource == "token" => Width::ONE,
        Verb::Create | Verb::Update | Verb::Patch | Verb::Delete => {
            mutation(flow.watchers.of(target), route.most_seats)
        }
        Verb::Get | Verb::DeleteCollection | Verb::Proxy | Verb::Other(_) => Width::ONE,
    }
}

fn listing(app: &App, asking: &Asking<'_>, target: &ResourceRequest, route: &Route) -> Width {
    let row = app.registry.lookup(&target.group, &target.version, &target.resource);
    let Some(cache) = row.and_then(|row| app.cache(row)) else { return Width::ONE };
    let parameter = |name: &str| query::first(asking.query, name).filter(|value| !value.is_empty());
    let (objects, bytes) = cache.size();
    let exact = parameter("resourceVersionMatch") == Some("Exact");
    let listing = Listing {
        objects,
        bytes,
        limit: parameter("limit").and_then(|value| value.parse().ok()).filter(|limit| *limit > 0),
        single: !target.name.is_empty() || !name_selected(asking.query).is_empty(),
        // Only what the history does not reach is read from the store: the rest of a long list, or a state asked for by version.
        cached: asking.info.verb == Verb::Watch || !(exact || parameter("continue").is_some()),
        selective: parameter("labelSelector").is_some() || parameter("fieldSelector").is_some(),
    };
    list(listing, route.most_seats)
}
