//! Who may call which method of the machine API. What is not in [`TABLE`] is refused.

/// What a caller may do. A certificate names it in its organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// May look.
    Reader,
    /// May look, and stop and start.
    Operator,
    /// May do everything, and make operators and administrators of the cluster.
    Admin,
    /// Came in through the console of a machine that is claimed already. May do what an administrator may, even while
    /// the audit log cannot be written; for an hour, and not again without the console.
    BreakGlass,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Reader, Self::Operator, Self::Admin, Self::BreakGlass];

    /// The organization that stands for the role.
    pub const fn organization(self) -> &'static str {
        match self {
            Self::Reader => "orlop:reader",
            Self::Operator => "orlop:operator",
            Self::Admin => "orlop:admin",
            Self::BreakGlass => "orlop:break-glass",
        }
    }

    /// Reads an organization; `None` if it stands for no role.
    #[must_use]
    pub fn from_organization(organization: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.organization() == organization)
    }
}

/// Who may call a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Callers {
    /// Callers whose certificate names one of these roles.
    Of(&'static [Role]),
    /// Someone without a certificate, while the machine waits to be claimed.
    Claimant,
}

/// What a method does to the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Nothing: it is served even while the audit log cannot be written, so that the reason can be found.
    Looks,
    /// It changes the machine or hands out a credential: no record, no deed.
    Acts,
}

/// One method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Its name in the protocol.
    pub method: &'static str,
    /// Who may call it.
    pub callers: Callers,
    /// What it does.
    pub effect: Effect,
}

const fn rule(method: &'static str, callers: Callers, effect: Effect) -> Rule {
    Rule { method, callers, effect }
}

const ANYONE: Callers = Callers::Of(&[Role::Reader, Role::Operator, Role::Admin, Role::BreakGlass]);
const OPERATORS: Callers = Callers::Of(&[Role::Operator, Role::Admin, Role::BreakGlass]);
const ADMINS: Callers = Callers::Of(&[Role::Admin, Role::BreakGlass]);
/// Not who broke the glass: whoever came in through the console comes in through the console again.
const RENEWERS: Callers = Callers::Of(&[Role::Reader, Role::Operator, Role::Admin]);

/// The service that all methods belong to.
pub const SERVICE: &str = "orlop.machine.v1alpha1.Machine";

/// Each method with the roles that may call it.
pub const TABLE: [Rule; 17] = [
    rule("Version", ANYONE, Effect::Looks),
    rule("Status", ANYONE, Effect::Looks),
    rule("Services", ANYONE, Effect::Looks),
    rule("Logs", ANYONE, Effect::Looks),
    rule("Dmesg", ANYONE, Effect::Looks),
    rule("BootTimeline", ANYONE, Effect::Looks),
    rule("Audit", ANYONE, Effect::Looks),
    rule("Certificates", ANYONE, Effect::Looks),
    rule("ClaimExchange", Callers::Claimant, Effect::Acts),
    rule("ClaimFinish", Callers::Claimant, Effect::Acts),
    rule("RenewOperator", RENEWERS, Effect::Acts),
    rule("IssueOperator", ADMINS, Effect::Acts),
    rule("ServiceRestart", OPERATORS, Effect::Acts),
    rule("ServiceSignal", OPERATORS, Effect::Acts),
    rule("Reboot", OPERATORS, Effect::Acts),
    rule("Shutdown", OPERATORS, Effect::Acts),
    rule("Kubeconfig", ADMINS, Effect::Acts),
];

/// The rule for the method at `path`, as HTTP/2 names it; `None` for anything that is not a method of the machine API.
#[must_use]
pub fn rule_for(path: &str) -> Option<&'static Rule> {
    let method = path.strip_prefix('/')?.strip_prefix(SERVICE)?.strip_prefix('/')?;
    TABLE.iter().find(|rule| rule.method == method)
}

/// Whether someone may call the method of `rule`: `organizations` are those of a verified certificate, `None` if the
/// caller has shown none. Whether a claimant is let in is decided again by the claim itself.
#[must_use]
pub fn allowed(rule: &Rule, organizations: Option<&[String]>) -> bool {
    match (rule.callers, organizations) {
        (Callers::Claimant, None) => true,
        // Nobody who is known needs to claim; and nobody who is not known may do anything else.
        (Callers::Claimant, Some(_)) | (Callers::Of(_), None) => false,
        (Callers::Of(roles), Some(organizations)) => of(organizations).any(|role| roles.contains(&role)),
    }
}

/// The roles that organizations stand for.
pub fn of(organizations: &[String]) -> impl Iterator<Item = Role> + '_ {
    organizations.iter().filter_map(|organization| Role::from_organization(organization))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn may(role: &str, method: &str) -> bool {
        rule_for(&format!("/{SERVICE}/{method}")).is_some_and(|rule| allowed(rule, Some(&[role.to_owned()])))
    }

    #[test]
    fn readers_look_operators_act_admins_make_admins() {
        assert!(may("orlop:reader", "Logs"));
        assert!(!may("orlop:reader", "Reboot"));
        assert!(may("orlop:operator", "Reboot"));
        assert!(!may("orlop:operator", "Kubeconfig") && !may("orlop:operator", "IssueOperator"));
        assert!(may("orlop:reader", "RenewOperator") && !may("orlop:break-glass", "RenewOperator"));
        assert!(!may("orlop:admin", "ClaimExchange"), "who is known does not claim");
        for all in ["orlop:admin", "orlop:break-glass"] {
            assert!(may(all, "Logs") && may(all, "Reboot") && may(all, "Kubeconfig"), "{all}");
        }
    }

    #[test]
    fn what_is_unknown_is_refused() {
        for role in ["", "orlop", "orlop:root", "system:masters", "ORLOP:ADMIN", "orlop:admin ", "orlop:breakglass"] {
            assert!(!may(role, "Version"), "{role}");
        }
        assert!(!may("orlop:admin", "Wipe"));
        for path in [
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
            "/orlop.machine.v1alpha1.Machine/version",
            "/orlop.machine.v1alpha1.Machine//Version",
            "/orlop.machine.v1alpha1.Machine/Version/",
            "//orlop.machine.v1alpha1.Machine/Version",
            "/orlop.machine.v1alpha1.Machine/%56ersion",
            "/orlop.machine.v1alpha1.MachineVersion",
            "",
        ] {
            assert_eq!(rule_for(path), None, "{path}");
        }
    }

    #[test]
    fn no_method_is_open_to_someone_without_a_role() {
        for rule in &TABLE {
            assert!(!allowed(rule, Some(&[])), "{}", rule.method);
            assert!(rule.callers == Callers::Claimant || !allowed(rule, None), "{}", rule.method);
        }
        let open = TABLE.iter().filter(|rule| rule.callers == Callers::Claimant).map(|rule| rule.method);
        assert_eq!(open.collect::<Vec<_>>(), ["ClaimExchange", "ClaimFinish"]);
    }
}
