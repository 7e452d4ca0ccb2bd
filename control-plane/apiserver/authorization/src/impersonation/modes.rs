//! The ways to act as somebody, and what each takes.

use apiserver_core::names;
use apiserver_core::user::{AUTHENTICATED, MASTERS, User};

use super::headers::Wanted;
use crate::attributes::{Attributes, Objects, Target};
use crate::node::{NODES, PREFIX};

const ANONYMOUS: &str = "system:anonymous";
const UNAUTHENTICATED: &str = "system:unauthenticated";
const ACCOUNT: &str = "system:serviceaccount:";
const ACCOUNTS: &str = "system:serviceaccounts";
const AUTHENTICATION: &str = "authentication.k8s.io";
/// In the extra of an account's token: the node of the pod it is for.
const NODE_NAME: &str = "authentication.kubernetes.io/node-name";
/// In the extra of who is asked about instead: which keys there were.
const NODE_KEYS: &str = "authentication.kubernetes.io/associated-node-keys";
/// From so many groups or extras on, it is asked first whether all are allowed.
const MANY: usize = 4;

/// A way to act as somebody. It may be gone when each of its steps is passed.
#[derive(Debug, Clone)]
pub struct Mode {
    /// What it takes.
    pub steps: Vec<Step>,
    /// Who one is then.
    pub user: User,
    /// Whom the checks are about, if not who asks.
    pub requester: Option<User>,
}

/// A step of a way.
#[derive(Debug, Clone)]
pub struct Step {
    /// Passes all of `each` at once, if it passes.
    pub all: Option<Check>,
    /// What must pass.
    pub each: Vec<Check>,
}

/// One check.
#[derive(Debug, Clone)]
pub enum Check {
    /// Whether the request itself may be made in this way: it is asked about under this verb.
    Request(String),
    /// Whether somebody may be impersonated.
    Subject(Subject),
    /// It fails, for this reason.
    Never(Subject, String),
}

/// Somebody, or something of somebody.
#[derive(Debug, Clone, Default)]
pub struct Subject {
    verb: String,
    group: &'static str,
    resource: &'static str,
    subresource: String,
    namespace: String,
    name: String,
}

impl Subject {
    /// What is asked about it.
    pub fn attributes<'a>(&'a self, user: &'a User) -> Attributes<'a> {
        let target = Target::Resource(Objects {
            group: self.group,
            version: "v1",
            resource: self.resource,
            subresource: &self.subresource,
            namespace: &self.namespace,
            name: &self.name,
            selectors: None,
        });
        Attributes { user, verb: &self.verb, target }
    }
}

/// The name of a node in the name of its user.
fn node(user: &str) -> Option<&str> {
    user.strip_prefix(PREFIX).filter(|name| names::dns_subdomain(name).is_empty())
}

/// Namespace and name of an account in the name of its user.
fn account(user: &str) -> Option<(&str, &str)> {
    let (namespace, name) = user.strip_prefix(ACCOUNT)?.split_once(':')?;
    (names::dns_label(namespace).is_empty() && names::dns_subdomain(name).is_empty()).then_some((namespace, name))
}

impl Mode {
    /// The ways there are from one user to another, in the order they are to be tried; the verb of the request decides with.
    pub fn all(requester: &User, wanted: &Wanted, verb: &str) -> Vec<Self> {
        let plain = wanted.uid.is_empty() && wanted.groups.is_empty() && wanted.extra.is_empty();
        let (node, account) = (node(&wanted.name), account(&wanted.name));
        let constrained = |name: &str| Self::new(wanted, verb, Some(name));
        let mut modes = Vec::new();
        if let (true, Some(node)) = (plain, node) {
            if self::account(&requester.name).is_some()
                && requester.extra.get(NODE_NAME).is_some_and(|values| values.as_slice() == [node])
            {
                modes.push(Self::associated(requester, constrained("associated-node")));
            }
            modes.push(constrained("arbitrary-node"));
        }
        if plain && account.is_some() {
            modes.push(constrained("serviceaccount"));
        }
        if node.is_none() && account.is_none() {
            modes.push(constrained("user-info"));
        }
        modes.push(Self::new(wanted, verb, None));
        modes
    }

    /// The checks about one's own node are the same for every node, and for every pod of an account.
    fn associated(requester: &User, mut mode: Self) -> Self {
        for check in mode.steps.iter_mut().flat_map(|step| &mut step.each) {
            if let Check::Subject(subject) = check {
                "*".clone_into(&mut subject.name);
            }
        }
        let keys = requester.extra.keys().cloned().collect();
        mode.requester = Some(User { extra: [(NODE_KEYS.to_owned(), keys)].into(), ..requester.clone() });
        mode
    }

    fn new(wanted: &Wanted, request_verb: &str, constraint: Option<&str>) -> Self {
        let verb = constraint.map_or_else(|| "impersonate".to_owned(), |name| format!("impersonate:{name}"));
        let group = if constraint.is_some() { AUTHENTICATION } else { "" };
        let of = |group, resource, name: &str| Subject {
            verb: verb.clone(),
            group,
            resource,
            name: name.to_owned(),
            ..Subject::default()
        };
        let mut user = wanted.clone();
        let mut steps = Vec::new();
        let mut one = |check| steps.push(Step { all: None, each: vec![check] });
        if let Some(name) = constraint {
            one(Check::Request(format!("impersonate-on:{name}:{request_verb}")));
        }
        let mut who = of(group, "users", &wanted.name);
        if let (Some(node), true) = (node(&wanted.name), constraint.is_some()) {
            who = of(group, "nodes", node);
            user.groups = vec![NODES.to_owned()];
        }
        if let Some((namespace, name)) = account(&wanted.name) {
            who = Subject { namespace: namespace.to_owned(), ..of(group, "serviceaccounts", name) };
            if wanted.groups.is_empty() {
                user.groups = vec![ACCOUNTS.to_owned(), format!("{ACCOUNTS}:{namespace}")];
            }
        }
        one(Check::Subject(who));
        if !wanted.uid.is_empty() {
            one(Check::Subject(of(AUTHENTICATION, "uids", &wanted.uid)));
        }
        if constraint.is_some() {
            for (wrong, shown) in [("", "empty string"), (MASTERS, MASTERS)] {
                if wanted.groups.iter().any(|group| group == wrong) {
                    let why = format!("impersonating the {shown} group is not allowed");
                    one(Check::Never(of(group, "groups", wrong), why));
                }
            }
            if let Some(why) = wrong_extra(wanted) {
                one(Check::Never(of(AUTHENTICATION, "userextras", ""), why));
            }
        }
        let many = |count: usize, check| (constraint.is_some() && count >= MANY).then_some(check);
        steps.push(Step {
            all: many(wanted.groups.len(), Check::Subject(of(group, "groups", "*"))),
            each: wanted.groups.iter().map(|name| Check::Subject(of(group, "groups", name))).collect(),
        });
        let extra = |key: &str, value: &str| {
            Check::Subject(Subject { subresource: key.to_owned(), ..of(AUTHENTICATION, "userextras", value) })
        };
        let values = wanted.extra.values().map(Vec::len).sum::<usize>().max(wanted.extra.len());
        steps.push(Step {
            all: many(values, extra("*", "*")),
            each: wanted.extra.iter().flat_map(|(key, values)| values.iter().map(|value| extra(key, value))).collect(),
        });
        ensure(&mut user);
        Self { steps, user, requester: None }
    }
}

/// Puts a user among those who are known, or among those who are not.
fn ensure(user: &mut User) {
    let has = |group: &str| user.groups.iter().any(|one| one == group);
    let group = if user.name == ANONYMOUS { UNAUTHENTICATED } else { AUTHENTICATED };
    if !has(group) && (user.name == ANONYMOUS || !has(UNAUTHENTICATED)) {
        user.groups.push(group.to_owned());
    }
}

/// What is wrong with the extras for the narrower ways.
fn wrong_extra(wanted: &Wanted) -> Option<String> {
    wanted.extra.iter().find_map(|(key, values)| {
        if key.is_empty() {
            return Some("impersonating the empty string key in extra is not allowed".to_owned());
        }
        let prefixed = key.split_once('/').is_some_and(|(domain, path)| {
            names::dns_subdomain(domain).is_empty() && !path.is_empty() && !path.contains(['%', '?', '#', ' '])
        });
        if !prefixed {
            let why = "must be a domain-prefixed path (such as \"acme.io/foo\")";
            return Some(format!(
                "impersonating an invalid key in extra is not allowed: extra.key: Invalid value: {key:?}: {why}"
            ));
        }
        if key.chars().any(char::is_uppercase) {
            return Some(format!("impersonating a non-lowercase key in extra is not allowed: {key:?}"));
        }
        let empty = values.iter().any(String::is_empty);
        empty.then(|| "impersonating the empty string value in extra is not allowed".to_owned())
    })
}
