//! What a request asks for, read from its method, path and query alone.

/// The verb of a request as authorization and metrics see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Verb {
    /// Read one object.
    Get,
    /// Read a collection.
    List,
    /// Follow a collection or one object.
    Watch,
    /// Make an object.
    Create,
    /// Replace an object.
    Update,
    /// Change a part of an object.
    Patch,
    /// Remove an object.
    Delete,
    /// Remove the objects of a collection.
    DeleteCollection,
    /// Pass on to a backend.
    Proxy,
    /// Anything else: the method in lower case, on a path that names no resource.
    Other(&'static str),
}

impl Verb {
    /// The verb as RBAC spells it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
            Self::Proxy => "proxy",
            Self::Other(verb) => verb,
        }
    }

    /// Whether the request changes state: it counts against the smaller of the two in-flight limits.
    pub(crate) fn is_mutating(self) -> bool {
        match self {
            Self::Create | Self::Update | Self::Patch | Self::Delete | Self::DeleteCollection => true,
            Self::Get | Self::List | Self::Watch | Self::Proxy => false,
            Self::Other(verb) => !matches!(verb, "get" | "head" | "options"),
        }
    }
}

/// A request, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RequestInfo {
    /// The verb.
    pub(crate) verb: Verb,
    /// The path as it came.
    pub(crate) path: String,
    /// What the path names, if it is below a group version.
    pub(crate) resource: Option<ResourceRequest>,
}

/// The part of a path below `/api/<version>` or `/apis/<group>/<version>`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ResourceRequest {
    /// Empty for the core group.
    pub(crate) group: String,
    /// The version.
    pub(crate) version: String,
    /// Empty for cluster scope or all namespaces.
    pub(crate) namespace: String,
    /// The plural.
    pub(crate) resource: String,
    /// Empty for the object itself.
    pub(crate) subresource: String,
    /// Empty for a collection.
    pub(crate) name: String,
    /// Segments behind the subresource, for proxies.
    pub(crate) rest: Vec<String>,
}

impl RequestInfo {
    /// Parses `method`, a percent-decoded `path` and the raw `query`.
    pub(crate) fn parse(method: &http::Method, path: &str, query: &str) -> Self {
        let verb = Verb::Other(other_verb(method));
        let none = Self { verb, path: path.to_owned(), resource: None };
        let mut parts = path.split('/').filter(|part| !part.is_empty());
        let group = match parts.next() {
            Some("api") => String::new(),
            Some("apis") => match parts.next() {
                Some(group) => group.to_owned(),
                None => return none,
            },
            _ => return none,
        };
        let Some(version) = parts.next() else { return none };
        let mut rest: Vec<&str> = parts.collect();
        if rest.is_empty() {
            return none;
        }
        let mut verb = match *method {
            http::Method::POST => Verb::Create,
            http::Method::GET | http::Method::HEAD => Verb::Get,
            http::Method::PUT => Verb::Update,
            http::Method::PATCH => Verb::Patch,
            http::Method::DELETE => Verb::Delete,
            _ => Verb::Other(other_verb(method)),
        };
        // The old forms /watch/... and /proxy/... put the verb in the path.
        if rest[0] == "watch" || rest[0] == "proxy" {
            if rest.len() < 2 {
                return none;
            }
            verb = if rest[0] == "watch" { Verb::Watch } else { Verb::Proxy };
            rest.remove(0);
        }
        let mut request = ResourceRequest { group, version: version.to_owned(), ..ResourceRequest::default() };
        if rest[0] == "namespaces"
            && let Some(namespace) = rest.get(1)
        {
            (*namespace).clone_into(&mut request.namespace);
            // `namespaces/x/status` and `/finalize` are about the namespace itself, anything else is inside it.
            if rest.len() > 2 && !matches!(rest[2], "status" | "finalize") {
                rest.drain(..2);
            }
        }
        rest[0].clone_into(&mut request.resource);
        if let Some(name) = rest.get(1) {
            (*name).clone_into(&mut request.name);
        }
        if let Some(subresource) = rest.get(2) {
            (*subresource).clone_into(&mut request.subresource);
        }
        request.rest = rest.iter().skip(3).map(|part| (*part).to_owned()).collect();
        if request.name.is_empty() {
            verb = match verb {
                Verb::Get => Verb::List,
                Verb::Delete => Verb::DeleteCollection,
                other => other,
            };
        }
        if matches!(verb, Verb::Get | Verb::List) && query_is_true(query, "watch") {
            // A single object is watched only through a collection with a field selector on the name.
            if verb == Verb::List {
                verb = Verb::Watch;
            }
        }
        Self { verb, path: path.to_owned(), resource: Some(request) }
    }

    /// Whether the request may stay open for long: no timeout and no in-flight limit applies.
    pub(crate) fn is_long_running(&self) -> bool {
        let subresource = self.resource.as_ref().map_or("", |resource| resource.subresource.as_str());
        matches!(self.verb, Verb::Watch | Verb::Proxy)
            || matches!(subresource, "attach" | "exec" | "log" | "portforward" | "proxy")
    }
}

fn other_verb(method: &http::Method) -> &'static str {
    match *method {
        http::Method::GET => "get",
        http::Method::HEAD => "head",
        http::Method::POST => "post",
        http::Method::PUT => "put",
        http::Method::PATCH => "patch",
        http::Method::DELETE => "delete",
        http::Method::OPTIONS => "options",
        _ => "unknown",
    }
}

/// Whether `key` is there and neither `false` nor `0`, as upstream reads booleans in queries.
pub(crate) fn query_is_true(query: &str, key: &str) -> bool {
    query
        .split('&')
        .filter_map(|pair| pair.split_once('=').or(Some((pair, ""))))
        .any(|(name, value)| name == key && !matches!(value, "false" | "0" | "False" | "FALSE" | "f" | "F"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Method;

    /// Verb, group, version, namespace, resource, subresource, name.
    fn read(method: &Method, path: &str, query: &str) -> [String; 7] {
        let info = RequestInfo::parse(method, path, query);
        let resource = info.resource.unwrap_or_default();
        [
            info.verb.as_str().to_owned(),
            resource.group,
            resource.version,
            resource.namespace,
            resource.resource,
            resource.subresource,
            resource.name,
        ]
    }

    #[test]
    fn paths_are_taken_apart_as_upstream_does() {
        let cases: [(&Method, &str, &str, [&str; 7]); 14] = [
            (&Method::GET, "/api/v1/namespaces", "", ["list", "", "v1", "", "namespaces", "", ""]),
            (&Method::GET, "/api/v1/namespaces/x", "", ["get", "", "v1", "x", "namespaces", "", "x"]),
            (
                &Method::PUT,
                "/api/v1/namespaces/x/finalize",
                "",
                ["update", "", "v1", "x", "namespaces", "finalize", "x"],
            ),
            (&Method::GET, "/api/v1/namespaces/x/pods", "watch=true", ["watch", "", "v1", "x", "pods", "", ""]),
            (&Method::GET, "/api/v1/pods", "watch=0", ["list", "", "v1", "", "pods", "", ""]),
            (&Method::GET, "/api/v1/namespaces/x/pods/p", "watch=1", ["get", "", "v1", "x", "pods", "", "p"]),
            (
                &Method::POST,
                "/api/v1/namespaces/x/pods/p/binding",
                "",
                ["create", "", "v1", "x", "pods", "binding", "p"],
            ),
            (&Method::DELETE, "/api/v1/namespaces/x/pods", "", ["deletecollection", "", "v1", "x", "pods", "", ""]),
            (
                &Method::PATCH,
                "/apis/coordination.k8s.io/v1/namespaces/x/leases/l",
                "",
                ["patch", "coordination.k8s.io", "v1", "x", "leases", "", "l"],
            ),
            (&Method::GET, "/api/v1/watch/namespaces/x/pods", "", ["watch", "", "v1", "x", "pods", "", ""]),
            (&Method::GET, "/api/v1/nodes/n/proxy/metrics", "", ["get", "", "v1", "", "nodes", "proxy", "n"]),
            (&Method::GET, "/version", "", ["get", "", "", "", "", "", ""]),
            (&Method::POST, "/apis", "", ["post", "", "", "", "", "", ""]),
            (&Method::GET, "/apis/apps/v1", "", ["get", "", "", "", "", "", ""]),
        ];
        for (method, path, query, expected) in cases {
            assert_eq!(read(method, path, query), expected.map(str::to_owned), "{method} {path}?{query}");
        }
    }

    #[test]
    fn watches_and_streams_are_long_running() {
        assert!(RequestInfo::parse(&Method::GET, "/api/v1/pods", "watch=true").is_long_running());
        assert!(RequestInfo::parse(&Method::GET, "/api/v1/namespaces/x/pods/p/log", "").is_long_running());
        assert!(!RequestInfo::parse(&Method::GET, "/api/v1/pods", "").is_long_running());
    }
}
