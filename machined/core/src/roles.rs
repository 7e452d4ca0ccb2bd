//! Who may call which method of the machine API. What is not in [`TABLE`] is refused.

/// What a caller may do. A certificate names it in its organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// May look.
    Reader,
    /// May look, and stop and start.
    Operator,
    /// May do everything, and make administrators of the cluster.
    Admin,
}

impl Role {
    /// The organization that stands for the role.
    pub const fn organization(self) -> &'static str {
        match self {
            Self::Reader => "orlop:reader",
            Self::Operator => "orlop:operator",
            Self::Admin => "orlop:admin",
        }
    }

    /// Reads an organization; `None` if it stands for no role.
    #[must_use]
    pub fn from_organization(organization: &str) -> Option<Self> {
        [Self::Reader, Self::Operator, Self::Admin].into_iter().find(|role| role.organization() == organization)
    }
}

const ANYONE: &[Role] = &[Role::Reader, Role::Operator, Role::Admin];
const OPERATORS: &[Role] = &[Role::Operator, Role::Admin];
const ADMINS: &[Role] = &[Role::Admin];

/// The service that all methods belong to.
const SERVICE: &str = "/orlop.machine.v1alpha1.Machine/";

/// Each method with the roles that may call it.
pub const TABLE: [(&str, &[Role]); 11] = [
    ("Version", ANYONE),
    ("Status", ANYONE),
    ("Services", ANYONE),
    ("Logs", ANYONE),
    ("Dmesg", ANYONE),
    ("BootTimeline", ANYONE),
    ("ServiceRestart", OPERATORS),
    ("ServiceSignal", OPERATORS),
    ("Reboot", OPERATORS),
    ("Shutdown", OPERATORS),
    ("Kubeconfig", ADMINS),
];

/// Whether a caller whose certificate names `organizations` may call the method at `path`.
pub fn allowed(path: &str, organizations: &[String]) -> bool {
    let Some(method) = path.strip_prefix(SERVICE) else { return false };
    let Some((_, roles)) = TABLE.iter().find(|(name, _)| *name == method) else { return false };
    organizations
        .iter()
        .filter_map(|organization| Role::from_organization(organization))
        .any(|role| roles.contains(&role))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn may(role: &str, method: &str) -> bool {
        allowed(&format!("{SERVICE}{method}"), &[role.to_owned()])
    }

    #[test]
    fn readers_look_operators_act_admins_make_admins() {
        assert!(may("orlop:reader", "Logs"));
        assert!(!may("orlop:reader", "Reboot"));
        assert!(may("orlop:operator", "Reboot"));
        assert!(!may("orlop:operator", "Kubeconfig"));
        assert!(may("orlop:admin", "Kubeconfig"));
    }

    #[test]
    fn what_is_unknown_is_refused() {
        for role in ["", "orlop", "orlop:root", "system:masters", "ORLOP:ADMIN", "orlop:admin "] {
            assert!(!may(role, "Version"), "{role}");
        }
        assert!(!may("orlop:admin", "Wipe"));
        assert!(!allowed("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", &["orlop:admin".into()]));
        assert!(!allowed(&format!("{SERVICE}Version"), &[]));
    }

    #[test]
    fn the_table_and_the_protocol_name_the_same_methods() {
        let protocol = include_str!("../../../api/proto/proto/machine.proto");
        let mut of_protocol: Vec<_> =
            protocol.lines().filter_map(|line| line.trim().strip_prefix("rpc ")?.split('(').next()).collect();
        let mut of_table: Vec<_> = TABLE.iter().map(|(name, _)| *name).collect();
        of_protocol.sort_unstable();
        of_table.sort_unstable();
        assert_eq!(of_protocol, of_table);
    }
}
