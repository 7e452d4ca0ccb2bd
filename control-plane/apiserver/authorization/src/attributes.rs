//! What a request is to the authorizers.

use apiserver_core::Status;
use apiserver_core::user::User;

use crate::selectors::Selectors;

/// Who wants to do what to what.
#[derive(Debug, Clone, Copy)]
pub struct Attributes<'a> {
    /// Who.
    pub user: &'a User,
    /// `get`, `deletecollection`, `escalate`; empty for methods that mean nothing.
    pub verb: &'a str,
    /// To what.
    pub target: Target<'a>,
}

/// What a request is about.
#[derive(Debug, Clone, Copy)]
pub enum Target<'a> {
    /// Objects.
    Resource(Objects<'a>),
    /// Another path.
    Path(&'a str),
}

/// Which objects. Empty text says nothing: no subresource, the whole cluster, any name.
#[derive(Debug, Clone, Copy, Default)]
pub struct Objects<'a> {
    /// API group.
    pub group: &'a str,
    /// API version.
    pub version: &'a str,
    /// Plural name.
    pub resource: &'a str,
    /// Subresource.
    pub subresource: &'a str,
    /// Namespace.
    pub namespace: &'a str,
    /// Name.
    pub name: &'a str,
    /// Selectors, for requests on many objects.
    pub selectors: Option<&'a Selectors>,
}

impl Attributes<'_> {
    /// The namespace whose bindings count; empty for none.
    pub fn namespace(&self) -> &str {
        match self.target {
            Target::Resource(objects) => objects.namespace,
            Target::Path(_) => "",
        }
    }

    /// The answer to whoever may not. What came with the request is made harmless for pages that show the text.
    pub fn refusal(&self, reason: &str) -> Status {
        let who = format!("User {:?} cannot {}", self.user.name, self.verb);
        let colon = if reason.is_empty() { "" } else { ": " };
        match self.target {
            Target::Resource(objects) => {
                let Objects { group, resource, subresource, namespace, name, .. } = objects;
                let slash = if subresource.is_empty() { "" } else { "/" };
                let full = format!("{resource}{slash}{subresource}");
                let scope = if namespace.is_empty() {
                    "at the cluster scope".to_owned()
                } else {
                    format!("in the namespace {namespace:?}")
                };
                let why = harmless(&format!("{who} resource {full:?} in API group {group:?} {scope}"));
                Status::forbidden_named(group, resource, name, &format!("{why}{colon}{reason}"))
            }
            Target::Path(path) => {
                let why = harmless(&format!("{who} path {path:?}"));
                Status::forbidden_named("", "", "", &format!("{why}{colon}{reason}"))
            }
        }
    }
}

fn harmless(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(verb: &str, target: Target<'_>, reason: &str) -> (u16, String) {
        let user = User { name: "ann".into(), ..User::default() };
        let status = Attributes { user: &user, verb, target }.refusal(reason);
        (status.code, status.message)
    }

    #[test]
    fn refusals_are_in_upstreams_words() {
        let pods = Objects { resource: "pods", namespace: "default", ..Objects::default() };
        assert_eq!(
            message("list", Target::Resource(pods), ""),
            (
                403,
                "pods is forbidden: User \"ann\" cannot list resource \"pods\" in API group \"\" in the namespace \"default\""
                    .into()
            )
        );
        let scale =
            Objects { group: "apps", resource: "deployments", subresource: "scale", name: "web", ..Objects::default() };
        assert_eq!(
            message("update", Target::Resource(scale), "RBAC: why").1,
            "deployments.apps \"web\" is forbidden: User \"ann\" cannot update resource \"deployments/scale\" in API group \"apps\" at the cluster scope: RBAC: why"
        );
        assert_eq!(
            message("get", Target::Path("/<b>&"), "").1,
            "forbidden: User \"ann\" cannot get path \"/&lt;b&gt;&amp;\""
        );
    }
}
