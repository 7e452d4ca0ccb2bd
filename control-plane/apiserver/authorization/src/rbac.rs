//! Roles and who has them, indexed by who: a decision looks at the bindings of one user and of the user's groups, however many
//! others there are.
//!
//! An [`Index`] is cheap to clone, because what does not change is shared. Whoever keeps it up changes a clone and puts that in
//! its place, so that nobody who asks ever waits.

mod binding;

use std::collections::BTreeMap;
use std::sync::Arc;

use apiserver_core::Object;
use apiserver_core::user::User;
use imbl::{HashMap, OrdMap};

use binding::Subject;
pub use binding::{Binding, Bound, RoleRef};

use crate::attributes::Attributes;
use crate::rule::Rule;
use crate::verdict::{Verdict, joined};

/// All roles and bindings.
#[derive(Debug, Clone, Default)]
pub struct Index {
    cluster: Scope,
    namespaces: HashMap<Arc<str>, Scope>,
}

/// The bindings of each user or group, by name.
type Holders = HashMap<Arc<str>, OrdMap<Arc<str>, Arc<Binding>>>;

/// Those of one namespace, or of the cluster.
#[derive(Debug, Clone, Default)]
struct Scope {
    roles: HashMap<Arc<str>, Arc<[Rule]>>,
    bindings: HashMap<Arc<str>, Arc<Binding>>,
    users: Holders,
    groups: Holders,
}

impl Scope {
    fn is_empty(&self) -> bool {
        self.roles.is_empty() && self.bindings.is_empty()
    }

    fn of_user<'a>(&'a self, user: &'a User) -> impl Iterator<Item = &'a Arc<Binding>> + 'a {
        let own = self.users.get(user.name.as_str()).into_iter();
        let shared = user.groups.iter().filter_map(|group| self.groups.get(group.as_str()));
        own.chain(shared).flat_map(OrdMap::values)
    }

    fn set_binding(&mut self, name: &str, binding: Option<Arc<Binding>>) {
        let name: Arc<str> = name.into();
        if let Some(old) = self.bindings.remove(&name) {
            for subject in &old.subjects {
                let (map, key) = self.place(subject);
                if let Some(bound) = map.get_mut(&key) {
                    bound.remove(&name);
                    if bound.is_empty() {
                        map.remove(&key);
                    }
                }
            }
        }
        let Some(binding) = binding else { return };
        for subject in &binding.subjects {
            let (map, key) = self.place(subject);
            map.entry(key).or_default().insert(Arc::clone(&name), Arc::clone(&binding));
        }
        self.bindings.insert(name, binding);
    }

    fn place(&mut self, subject: &Subject) -> (&mut Holders, Arc<str>) {
        let map = if subject.is_group { &mut self.groups } else { &mut self.users };
        (map, Arc::clone(&subject.who))
    }
}

impl Index {
    /// A role is now as in `role`, or gone. `namespace` is empty for roles of the cluster.
    pub fn set_role(&mut self, namespace: &str, name: &str, role: Option<&Object>) {
        let rules = role.map(|role| Rule::read_all(role.list(&["rules"])));
        self.scope(namespace, |scope| match rules {
            Some(rules) => drop(scope.roles.insert(name.into(), rules.into())),
            None => drop(scope.roles.remove(name)),
        });
    }

    /// A binding is now as in `binding`, or gone. `namespace` is empty for bindings of the cluster.
    pub fn set_binding(&mut self, namespace: &str, name: &str, binding: Option<&Object>) {
        let binding = binding.map(|object| Arc::new(Binding::read(namespace, name, object)));
        self.scope(namespace, |scope| scope.set_binding(name, binding));
    }

    fn scope(&mut self, namespace: &str, change: impl FnOnce(&mut Scope)) {
        if namespace.is_empty() {
            return change(&mut self.cluster);
        }
        let mut scope = self.namespaces.remove(namespace).unwrap_or_default();
        change(&mut scope);
        if !scope.is_empty() {
            self.namespaces.insert(namespace.into(), scope);
        }
    }

    /// The rules of the role a binding in `namespace` names.
    ///
    /// # Errors
    ///
    /// When it is not there.
    pub fn rules(&self, role: &RoleRef, namespace: &str) -> Result<&[Rule], String> {
        let (roles, kind) = match role.kind.as_str() {
            "ClusterRole" => (Some(&self.cluster.roles), "clusterrole"),
            "Role" => (self.namespaces.get(namespace).map(|scope| &scope.roles), "role"),
            other => return Err(format!("unsupported role reference kind: {other:?}")),
        };
        let rules = roles.and_then(|roles| roles.get(role.name.as_str()));
        rules.map(AsRef::as_ref).ok_or_else(|| format!("{kind}.{} {:?} not found", crate::GROUP, role.name))
    }

    fn bindings<'a>(&'a self, user: &'a User, namespace: &str) -> impl Iterator<Item = &'a Arc<Binding>> + 'a {
        let local = self.namespaces.get(namespace).into_iter();
        self.cluster.of_user(user).chain(local.flat_map(move |scope| scope.of_user(user)))
    }

    /// Whether some rule of the user allows a request.
    pub fn decide(&self, attributes: &Attributes<'_>) -> Verdict {
        let mut errors = Vec::new();
        for binding in self.bindings(attributes.user, attributes.namespace()) {
            match self.rules(&binding.role, &binding.namespace) {
                Ok(rules) if rules.iter().any(|rule| rule.allows(attributes)) => {
                    return Verdict::allow(format!("RBAC: allowed by {}", Bound { binding, user: attributes.user }));
                }
                Ok(_) => {}
                Err(error) => errors.push(error),
            }
        }
        Verdict::no_opinion(if errors.is_empty() { String::new() } else { format!("RBAC: {}", joined(&errors)) })
    }

    /// Every rule of a user in a namespace, in the order of the bindings' names, those of the cluster first; and what of it could
    /// not be found.
    pub fn rules_of(&self, user: &User, namespace: &str) -> (Vec<Rule>, Vec<String>) {
        let bindings = self.bindings(user, namespace);
        let ordered: BTreeMap<_, _> = bindings.map(|one| ((&one.namespace, &one.name), one)).collect();
        let (mut rules, mut errors) = (Vec::new(), Vec::new());
        for binding in ordered.values() {
            match self.rules(&binding.role, &binding.namespace) {
                Ok(found) => rules.extend_from_slice(found),
                Err(error) => errors.push(error),
            }
        }
        (rules, errors)
    }
}

#[cfg(test)]
mod tests;
