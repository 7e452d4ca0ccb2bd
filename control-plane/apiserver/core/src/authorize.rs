//! Who may do what. Today: members of `system:masters` everything, everybody else nothing.

use crate::resource::Verb;
use crate::status::Status;
use crate::user::{User, is_master};

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attributes<'a> {
    /// A request on a resource.
    Resource {
        /// What is done.
        verb: Verb,
        /// API group.
        group: &'a str,
        /// Plural name.
        plural: &'a str,
        /// Subresource.
        subresource: Option<&'a str>,
        /// Namespace of the path.
        namespace: Option<&'a str>,
        /// Name of the path.
        name: Option<&'a str>,
    },
    /// A request on another path.
    Path {
        /// HTTP method in lower case.
        verb: &'a str,
        /// The path.
        path: &'a str,
    },
}

/// Lets a request through or says why not.
pub fn authorize(user: &User, attributes: &Attributes<'_>) -> Result<(), Status> {
    if is_master(user) {
        return Ok(());
    }
    let who = &user.name;
    Err(match attributes {
        Attributes::Resource { verb, group, plural, subresource, namespace, name } => {
            let full = subresource.map_or_else(|| (*plural).to_owned(), |sub| format!("{plural}/{sub}"));
            let scope = match namespace {
                Some(namespace) => format!("in the namespace {namespace:?}"),
                None => "at the cluster scope".to_owned(),
            };
            let why = format!("User {who:?} cannot {} resource {full:?} in API group {group:?} {scope}", verb.as_str());
            Status::forbidden_named(group, plural, name.unwrap_or_default(), &why)
        }
        Attributes::Path { verb, path } => {
            Status::forbidden_named("", "", "", &format!("User {who:?} cannot {verb} path {path:?}"))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::user::{AUTHENTICATED, MASTERS};

    fn user(groups: &[&str]) -> User {
        User { name: "ann".into(), groups: groups.iter().map(|&group| group.to_owned()).collect(), ..User::default() }
    }

    #[test]
    fn masters_may_and_others_are_told_in_upstreams_words() {
        let attributes = Attributes::Resource {
            verb: Verb::List,
            group: "",
            plural: "pods",
            subresource: None,
            namespace: Some("default"),
            name: None,
        };
        assert_eq!(authorize(&user(&[MASTERS]), &attributes), Ok(()));
        let refused = authorize(&user(&[AUTHENTICATED]), &attributes).map_err(|status| (status.code, status.message));
        assert_eq!(
            refused,
            Err((
                403,
                "pods is forbidden: User \"ann\" cannot list resource \"pods\" in API group \"\" in the namespace \"default\"".into()
            ))
        );
        let path =
            authorize(&user(&[]), &Attributes::Path { verb: "get", path: "/metrics" }).map_err(|status| status.message);
        assert_eq!(path, Err("forbidden: User \"ann\" cannot get path \"/metrics\"".into()));
    }
}
