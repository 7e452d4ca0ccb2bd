//! Writes that take more than their verb: of roles and bindings, because nobody hands on what they do not have, and changes that
//! make what they change.

use apiserver_core::user::{User, is_master};
use apiserver_core::{Object, Resource, Status};
use authorization::Attributes;
use authorization::Rule;
use authorization::attributes::{Objects, Target};
use authorization::escalation::{self, Kind};
use authorization::rbac::RoleRef;

use crate::app::App;

/// Checks what a user is about to store. Anything but roles and bindings passes.
pub(crate) async fn check(
    app: &App,
    row: &Resource,
    user: &User,
    old: Option<&Object>,
    new: &Object,
) -> Result<(), Status> {
    let Some(kind) = escalation::kind(&row.group, &row.plural) else { return Ok(()) };
    if is_master(user) || old.is_some_and(|old| escalation::is_upkeep(old, new)) {
        return Ok(());
    }
    app.authorization.reach_own_writes().await?;
    let write = Write { app, row, user, namespace: new.namespace().unwrap_or_default(), new };
    match kind {
        Kind::Role => write.role(old),
        Kind::Binding => write.binding(),
    }
}

/// Whoever makes an object by changing one that is not there needs the right to make it, too.
pub(crate) fn may_create(
    app: &App,
    row: &Resource,
    user: &User,
    namespace: Option<&str>,
    name: &str,
) -> Result<(), Status> {
    let target = Target::Resource(Objects {
        group: &row.group,
        version: &row.version,
        resource: &row.plural,
        namespace: namespace.unwrap_or_default(),
        name,
        ..Objects::default()
    });
    let attributes = Attributes { user, verb: "create", target };
    let verdict = app.authorization.decide(&attributes);
    if verdict.is_allowed() { Ok(()) } else { Err(attributes.refusal(&verdict.reason)) }
}

struct Write<'a> {
    app: &'a App,
    row: &'a Resource,
    user: &'a User,
    namespace: &'a str,
    new: &'a Object,
}

impl Write<'_> {
    fn name(&self) -> &str {
        self.new.name().unwrap_or_default()
    }

    fn may(&self, verb: &str, resource: &str, name: &str) -> bool {
        let target = Target::Resource(Objects {
            group: authorization::GROUP,
            version: "v1",
            resource,
            namespace: self.namespace,
            name,
            ..Objects::default()
        });
        self.app.authorization.decide(&Attributes { user: self.user, verb, target }).is_allowed()
    }

    /// Why the user may not hand on some rules.
    fn refusal(&self, wanted: &[Rule]) -> Option<String> {
        let (own, errors) = self.app.authorization.rbac.index().rules_of(self.user, self.namespace);
        escalation::refusal(self.user, &own, &errors, wanted)
    }

    fn role(&self, old: Option<&Object>) -> Result<(), Status> {
        if self.may("escalate", &self.row.plural, self.name()) {
            return Ok(());
        }
        let gathers = |role: &Object| role.at(&["aggregationRule"]).is_some_and(|rule| !rule.is_null());
        let why = self.refusal(&Rule::read_all(self.new.list(&["rules"]))).or_else(|| {
            let gathers = gathers(self.new) || old.is_some_and(gathers);
            (gathers && self.refusal(&escalation::everything()).is_some()).then(|| escalation::AGGREGATION.to_owned())
        });
        why.map_or(Ok(()), |why| Err(Status::forbidden(self.row, self.name(), &why)))
    }

    fn binding(&self) -> Result<(), Status> {
        let role = RoleRef::of(self.new);
        let plural = if role.kind == "Role" { "roles" } else { "clusterroles" };
        if self.may("bind", plural, &role.name) {
            return Ok(());
        }
        let index = self.app.authorization.rbac.index();
        let Ok(rules) = index.rules(&role, self.namespace) else {
            return Err(Status::not_found_named(authorization::GROUP, plural, &role.name));
        };
        let why = self.refusal(rules);
        why.map_or(Ok(()), |why| Err(Status::forbidden(self.row, self.name(), &why)))
    }
}
