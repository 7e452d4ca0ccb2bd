//! As whom each service runs: PID 1 gives these ids to processes, machined to the files they may read, the image to their
//! names.

/// A user with a group of the same name and number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    /// Name of the user and of its group: the service's.
    pub name: &'static str,
    /// Number of both.
    pub id: u32,
}

/// Whoever sets up the machine.
pub const ROOT: Account = Account { name: "root", id: 0 };

/// Of the services. Files on the `DATA` partition belong to these numbers, so a number is neither changed nor used again.
///
/// No distribution gives numbers of this range to anyone, so no user inside of a container's image is one of them.
pub const STORE: Account = Account { name: "store", id: 61_001 };
/// See [`STORE`].
pub const KUBE_APISERVER: Account = Account { name: "kube-apiserver", id: 61_002 };
/// See [`STORE`].
pub const KUBE_CONTROLLER_MANAGER: Account = Account { name: "kube-controller-manager", id: 61_003 };

/// Every account but root's.
pub const ACCOUNTS: [Account; 3] = [STORE, KUBE_APISERVER, KUBE_CONTROLLER_MANAGER];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_shares_a_number() {
        let mut ids: Vec<u32> = ACCOUNTS.iter().chain([&ROOT]).map(|account| account.id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), ACCOUNTS.len() + 1);
    }

    #[test]
    fn numbers_on_disks_of_earlier_versions_stay() {
        assert_eq!(ACCOUNTS.map(|account| account.id), [61_001, 61_002, 61_003]);
    }
}
