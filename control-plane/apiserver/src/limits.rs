//! How many requests are served at once: by priority and fairness, or by the plain limit.

use std::time::Duration;

use http::StatusCode;
use http::header::RETRY_AFTER;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::Instant;

use crate::app::App;
use crate::flow::{Asking, Classified, Place, Turn};
use crate::http::respond::{self, Answer};
use crate::inflight::Full;
use crate::request_info::Verb;

/// What lets a request be served. Dropping it lets another one be.
#[expect(dead_code, reason = "their end is what counts")]
pub(crate) enum Held {
    /// A place in a priority level.
    Place(Place),
    /// One of the plain limit.
    Permit(OwnedSemaphorePermit),
}

/// Holds it for what goes on after the handler, but not for ever: whoever does not read must not keep others out.
pub(crate) struct Holding(#[expect(dead_code, reason = "its end is what counts")] oneshot::Sender<()>);

impl Held {
    /// Holds it until the guard is dropped, or `until`.
    pub(crate) fn until(self, until: Instant) -> Holding {
        let (end, ended) = oneshot::channel();
        tokio::spawn(async move {
            let _ = tokio::time::timeout_at(until, ended).await;
            drop(self);
        });
        Holding(end)
    }
}

/// Lets a request in, waits for its turn, or answers that there are too many. What is long running and no watch needs nothing.
pub(crate) async fn enter(
    app: &App,
    asking: &Asking<'_>,
    classified: &mut Option<Classified>,
) -> Result<Option<Held>, Answer> {
    let long = asking.info.is_long_running();
    let watch = asking.info.verb == Verb::Watch;
    let again = match &app.flow {
        Some(_) if long && !watch => return Ok(None),
        Some(flow) => match flow.enter(app, asking, classified).await {
            Turn::Served(place) => return Ok(Some(Held::Place(place))),
            Turn::Refused(again) => Duration::from_secs(again),
        },
        None if long => return Ok(None),
        None => match app.inflight.enter(asking.info.verb, asking.user) {
            Ok(permit) => return Ok(permit.map(Held::Permit)),
            Err(Full) => Duration::from_secs(1),
        },
    };
    app.metrics.rejected.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    Err(too_many(again, "Too many requests, please try again later.\n"))
}

/// 429 in plain text.
pub(crate) fn too_many(again: Duration, text: &'static str) -> Answer {
    let mut answer = respond::text(StatusCode::TOO_MANY_REQUESTS, text);
    answer.headers_mut().insert(RETRY_AFTER, again.as_secs().into());
    answer
}
