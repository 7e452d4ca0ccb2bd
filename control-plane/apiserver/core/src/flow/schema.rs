//! Flow schemas, ready to be matched.

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::kinds::tree::{at, flag, list, member, number, text, texts};
use crate::object::Object;
use crate::user::User;

const EVERY: &str = "*";

/// What a request is, as far as schemas look at it.
#[derive(Debug, Clone, Copy)]
pub struct Digest<'a> {
    /// Who asks.
    pub user: &'a User,
    /// The verb, as RBAC spells it.
    pub verb: &'a str,
    /// What it is about.
    pub target: Target<'a>,
}

/// What a request is about.
#[derive(Debug, Clone, Copy)]
pub enum Target<'a> {
    /// Objects.
    Resource {
        /// API group.
        group: &'a str,
        /// Plural.
        plural: &'a str,
        /// Subresource; may be empty.
        subresource: &'a str,
        /// Namespace; empty for those of the cluster, and for all namespaces.
        namespace: &'a str,
    },
    /// Another path.
    Path(&'a str),
}

/// A `FlowSchema`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema {
    /// Its name.
    pub name: String,
    /// Its uid; empty while the object is missing.
    pub uid: String,
    /// The name of its level.
    pub level: String,
    /// The schema with the lowest takes a request.
    pub precedence: i64,
    method: Method,
    rules: Vec<Rule>,
}

/// What parts the flows of a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    /// Nothing: they are one.
    None,
    ByUser,
    ByNamespace,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    subjects: Vec<Subject>,
    resources: Vec<ResourceRule>,
    paths: Vec<PathRule>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Subject {
    User(String),
    Group(String),
    ServiceAccount { namespace: String, name: String },
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct ResourceRule {
    verbs: Names,
    groups: Names,
    resources: Names,
    namespaces: Names,
    cluster: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct PathRule {
    verbs: Names,
    paths: Vec<String>,
}

/// A list of names, or all names.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Names {
    Every,
    These(Vec<String>),
}

impl Schema {
    /// Reads an object.
    pub fn read(object: &Object) -> Self {
        let spec = at(object, &["spec"]);
        Self {
            name: object.name().unwrap_or_default().to_owned(),
            uid: object.uid().unwrap_or_default().to_owned(),
            level: text(member(spec, "priorityLevelConfiguration"), "name").to_owned(),
            precedence: number(spec, "matchingPrecedence"),
            method: match text(member(spec, "distinguisherMethod"), "type") {
                "ByUser" => Method::ByUser,
                "ByNamespace" => Method::ByNamespace,
                _ => Method::None,
            },
            rules: list(spec, "rules").iter().map(Rule::read).collect(),
        }
    }

    /// Whether a request is of this schema.
    pub fn matches(&self, digest: &Digest<'_>) -> bool {
        self.rules.iter().any(|rule| rule.matches(digest))
    }

    /// What tells the flow of a request from the others of this schema.
    pub fn distinguisher<'a>(&self, digest: &Digest<'a>) -> &'a str {
        match (self.method, digest.target) {
            (Method::None, _) | (Method::ByNamespace, Target::Path(_)) => "",
            (Method::ByUser, _) => &digest.user.name,
            (Method::ByNamespace, Target::Resource { namespace, .. }) => namespace,
        }
    }

    /// The hash its queues are dealt by.
    pub fn hash(&self, distinguisher: &str) -> u64 {
        let hash = Sha256::new().chain_update(&self.name).chain_update([0]).chain_update(distinguisher).finalize();
        hash.iter().take(8).rev().fold(0, |bits, byte| bits << 8 | u64::from(*byte))
    }
}

impl Rule {
    fn read(rule: &Value) -> Self {
        Self {
            subjects: list(rule, "subjects").iter().filter_map(Subject::read).collect(),
            resources: list(rule, "resourceRules").iter().map(ResourceRule::read).collect(),
            paths: list(rule, "nonResourceRules").iter().map(PathRule::read).collect(),
        }
    }

    fn matches(&self, digest: &Digest<'_>) -> bool {
        let wanted = match digest.target {
            Target::Resource { group, plural, subresource, namespace } => self.resources.iter().any(|rule| {
                rule.verbs.contain(digest.verb)
                    && rule.resources.contain_resource(plural, subresource)
                    && rule.groups.contain(group)
                    && if namespace.is_empty() { rule.cluster } else { rule.namespaces.contain(namespace) }
            }),
            Target::Path(path) => self.paths.iter().any(|rule| rule.verbs.contain(digest.verb) && rule.covers(path)),
        };
        wanted && self.subjects.iter().any(|subject| subject.is(digest.user))
    }
}

impl Subject {
    fn read(subject: &Value) -> Option<Self> {
        let name = |own: &str| text(member(subject, own), "name").to_owned();
        match text(subject, "kind") {
            "User" => Some(Self::User(name("user"))),
            "Group" => Some(Self::Group(name("group"))),
            "ServiceAccount" => {
                let namespace = text(member(subject, "serviceAccount"), "namespace").to_owned();
                Some(Self::ServiceAccount { namespace, name: name("serviceAccount") })
            }
            _ => None,
        }
    }

    fn is(&self, user: &User) -> bool {
        match self {
            Self::User(name) => name == EVERY || *name == user.name,
            Self::Group(name) => name == EVERY || user.groups.contains(name),
            Self::ServiceAccount { namespace, name } => user
                .name
                .strip_prefix("system:serviceaccount:")
                .and_then(|account| account.split_once(':'))
                .is_some_and(|(of, account)| of == namespace && (name == EVERY || name == account)),
        }
    }
}

impl ResourceRule {
    fn read(rule: &Value) -> Self {
        Self {
            verbs: Names::read(rule, "verbs"),
            groups: Names::read(rule, "apiGroups"),
            resources: Names::read(rule, "resources"),
            namespaces: Names::read(rule, "namespaces"),
            cluster: flag(rule, "clusterScope"),
        }
    }
}

impl PathRule {
    fn read(rule: &Value) -> Self {
        let paths = texts(rule, "nonResourceURLs").map(str::to_owned).collect();
        Self { verbs: Names::read(rule, "verbs"), paths }
    }

    /// A path covers itself and, with or without a star at its end, what is below it.
    fn covers(&self, path: &str) -> bool {
        self.paths.iter().any(|own| {
            let stem = own.strip_suffix('*').unwrap_or(own);
            let stem = stem.strip_suffix('/').unwrap_or(stem);
            own == EVERY || own == path || path.strip_prefix(stem).is_some_and(|rest| rest.starts_with('/'))
        })
    }
}

impl Names {
    fn read(rule: &Value, name: &str) -> Self {
        let names: Vec<String> = texts(rule, name).map(str::to_owned).collect();
        if names == [EVERY] { Self::Every } else { Self::These(names) }
    }

    fn contain(&self, name: &str) -> bool {
        match self {
            Self::Every => true,
            Self::These(names) => names.iter().any(|own| own == name),
        }
    }

    fn contain_resource(&self, plural: &str, subresource: &str) -> bool {
        match self {
            Self::Every => true,
            Self::These(names) => names.iter().any(|own| match own.split_once('/') {
                Some((resource, sub)) => resource == plural && sub == subresource && !sub.is_empty(),
                None => own == plural && subresource.is_empty(),
            }),
        }
    }
}
