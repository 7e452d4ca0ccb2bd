//! What a request is to the authorizers.

use apiserver_core::names;
use apiserver_core::user::User;
use authorization::Attributes;
use authorization::attributes::{Objects, Target};
use authorization::selectors::Selectors;
use std::sync::Arc;

use crate::http::query;
use crate::request_info::{RequestInfo, Verb};

/// A request, with what its query says of the objects it is about.
pub(crate) struct Asked {
    info: Arc<RequestInfo>,
    verb: &'static str,
    name: String,
    selectors: Option<Selectors>,
}

impl Asked {
    /// Reads a request.
    pub(crate) fn new(info: &Arc<RequestInfo>, parameters: &[(String, String)]) -> Self {
        let Some(target) = &info.resource else {
            return Self { verb: info.verb.as_str(), info: Arc::clone(info), name: String::new(), selectors: None };
        };
        let many = matches!(info.verb, Verb::List | Verb::Watch | Verb::DeleteCollection);
        let text = |name| query::first(parameters, name).unwrap_or_default();
        let selectors = many.then(|| Selectors::parse(text("fieldSelector"), text("labelSelector")));
        let selectors = selectors.filter(|selectors| !selectors.is_empty());
        let mut name = target.name.clone();
        // Whoever lists or watches the one object of a name may be allowed just that.
        if name.is_empty() && matches!(info.verb, Verb::List | Verb::Watch) {
            let wanted = selectors.as_ref().and_then(|selectors| selectors.field("metadata.name"));
            if let Some(wanted) = wanted.filter(|wanted| names::path_segment(wanted, false).is_empty()) {
                wanted.clone_into(&mut name);
            }
        }
        // A method that means nothing for objects is none of the verbs.
        let verb = if matches!(info.verb, Verb::Other(_)) { "" } else { info.verb.as_str() };
        Self { info: Arc::clone(info), verb, name, selectors }
    }

    /// What is asked, by a user.
    pub(crate) fn attributes<'a>(&'a self, user: &'a User) -> Attributes<'a> {
        self.under(self.verb, user)
    }

    /// The same under another verb.
    pub(super) fn under<'a>(&'a self, verb: &'a str, user: &'a User) -> Attributes<'a> {
        let target = match &self.info.resource {
            None => Target::Path(&self.info.path),
            Some(target) => Target::Resource(Objects {
                group: &target.group,
                version: &target.version,
                resource: &target.resource,
                subresource: &target.subresource,
                namespace: &target.namespace,
                name: &self.name,
                selectors: self.selectors.as_ref(),
            }),
        };
        Attributes { user, verb, target }
    }

    /// The verb.
    pub(super) fn verb(&self) -> &str {
        self.verb
    }

    /// What else it takes: whoever goes into a container by a GET, as a websocket begins, changes something all the same.
    pub(crate) fn also(&self) -> Option<Self> {
        let target = self.info.resource.as_ref()?;
        let enters = target.group.is_empty()
            && target.resource == "pods"
            && matches!(target.subresource.as_str(), "exec" | "attach" | "portforward");
        (enters && self.verb == "get").then(|| Self {
            info: Arc::clone(&self.info),
            verb: "create",
            name: self.name.clone(),
            selectors: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;

    /// Verb, resource, name and whether there are selectors.
    fn asked(method: &Method, path: &str, query_text: &str) -> (String, String, String, bool) {
        let info = Arc::new(RequestInfo::parse(method, &query::path(path), query_text));
        let asked = Asked::new(&info, &query::parameters(query_text));
        let user = User::default();
        let attributes = asked.attributes(&user);
        match attributes.target {
            Target::Path(path) => (attributes.verb.to_owned(), path.to_owned(), String::new(), false),
            Target::Resource(objects) => (
                attributes.verb.to_owned(),
                objects.resource.to_owned(),
                objects.name.to_owned(),
                objects.selectors.is_some(),
            ),
        }
    }

    #[test]
    fn a_selector_on_the_name_is_a_name() {
        let of = |method: &Method, query: &str| {
            let (verb, _, name, selectors) = asked(method, "/api/v1/secrets", query);
            (verb, name, selectors)
        };
        let list = |name: &str, selectors| ("list".to_owned(), name.to_owned(), selectors);
        assert_eq!(of(&Method::GET, "fieldSelector=metadata.name%3Da"), list("a", true));
        assert_eq!(of(&Method::GET, "fieldSelector=metadata.name!%3Da"), list("", true));
        assert_eq!(of(&Method::GET, "fieldSelector=metadata.name%3Da%2Fb"), list("", true));
        assert_eq!(of(&Method::GET, ""), list("", false));
        let removal = ("deletecollection".to_owned(), String::new(), true);
        assert_eq!(of(&Method::DELETE, "fieldSelector=metadata.name%3Da"), removal);
    }

    #[test]
    fn tricks_with_paths_change_nothing_but_the_path() {
        for (path, resource) in [
            ("/api/v1//secrets", "secrets"),
            ("/api/v1/%73ecrets", "secrets"),
            ("/api/v1/Secrets", "Secrets"),
            ("/api/v1/./secrets", "."),
            ("/API/v1/secrets", "/API/v1/secrets"),
            ("//api/v1/secrets", "secrets"),
            ("/healthz/../api/v1/secrets", "/healthz/../api/v1/secrets"),
            ("/api/v1/proxy/secrets", "secrets"),
        ] {
            assert_eq!(asked(&Method::GET, path, "").1, resource, "{path}");
        }
        assert_eq!(asked(&Method::OPTIONS, "/api/v1/secrets", "").0, "");
        assert_eq!(asked(&Method::OPTIONS, "/version", "").0, "options");
    }

    #[test]
    fn whoever_enters_a_container_needs_to_create() {
        let also = |method: &Method, path: &str| {
            let info = Arc::new(RequestInfo::parse(method, path, ""));
            Asked::new(&info, &[]).also().map(|also| also.verb)
        };
        assert_eq!(also(&Method::GET, "/api/v1/namespaces/n/pods/p/exec"), Some("create"));
        assert_eq!(also(&Method::POST, "/api/v1/namespaces/n/pods/p/exec"), None);
        assert_eq!(also(&Method::GET, "/api/v1/namespaces/n/pods/p/log"), None);
    }
}
