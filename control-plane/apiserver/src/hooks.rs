//! What a server does once after its start, under the names of upstream's hooks: health tells which of it is done.

use std::sync::atomic::{AtomicU32, Ordering};

/// One of these things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hook {
    /// The namespaces of the system are there.
    Namespaces,
    /// What others need to authenticate as this server does is published.
    ClusterAuthentication,
    /// This server has its lease.
    Identity,
    /// Leases of servers that are gone were looked for.
    IdentityCollector,
    /// It is known since when tokens without an end are tracked.
    TokenTracking,
    /// Addresses and ports of Services were compared with their records.
    ServiceRepair,
    /// The roles of the system are there.
    Roles,
    /// The priority classes of the system are there.
    PriorityClasses,
    /// The levels and flows of requests are there.
    FlowControl,
    /// The `kubernetes` Service leads here.
    KubernetesService,
    /// The default range of addresses is there.
    ServiceRange,
    /// The rows of what is served are there.
    Registration,
}

impl Hook {
    /// All, in upstream's order.
    pub(crate) const ALL: [Self; 12] = [
        Self::Namespaces,
        Self::ClusterAuthentication,
        Self::Identity,
        Self::IdentityCollector,
        Self::TokenTracking,
        Self::ServiceRepair,
        Self::Roles,
        Self::PriorityClasses,
        Self::FlowControl,
        Self::KubernetesService,
        Self::ServiceRange,
        Self::Registration,
    ];

    /// The name of its check.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Namespaces => "poststarthook/start-system-namespaces-controller",
            Self::ClusterAuthentication => "poststarthook/start-cluster-authentication-info-controller",
            Self::Identity => "poststarthook/start-kube-apiserver-identity-lease-controller",
            Self::IdentityCollector => "poststarthook/start-kube-apiserver-identity-lease-garbage-collector",
            Self::TokenTracking => "poststarthook/start-legacy-token-tracking-controller",
            Self::ServiceRepair => "poststarthook/start-service-ip-repair-controllers",
            Self::Roles => "poststarthook/rbac/bootstrap-roles",
            Self::PriorityClasses => "poststarthook/scheduling/bootstrap-system-priority-classes",
            Self::FlowControl => "poststarthook/priority-and-fairness-config-producer",
            Self::KubernetesService => "poststarthook/bootstrap-controller",
            Self::ServiceRange => "poststarthook/start-kubernetes-service-cidr-controller",
            Self::Registration => "poststarthook/kube-apiserver-autoregistration",
        }
    }

    fn bit(self) -> u32 {
        1 << self as u32
    }
}

/// Which are done. Nothing that was done once is ever undone.
#[derive(Debug, Default)]
pub(crate) struct Hooks(AtomicU32);

impl Hooks {
    /// It is done.
    pub(crate) fn done(&self, hook: Hook) {
        self.0.fetch_or(hook.bit(), Ordering::Relaxed);
    }

    /// Whether it is done.
    pub(crate) fn is_done(&self, hook: Hook) -> bool {
        self.0.load(Ordering::Relaxed) & hook.bit() != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_done_for_itself() {
        let hooks = Hooks::default();
        for (number, hook) in Hook::ALL.into_iter().enumerate() {
            assert!(!hooks.is_done(hook), "{hook:?}");
            hooks.done(hook);
            let done = Hook::ALL.into_iter().filter(|one| hooks.is_done(*one)).count();
            assert_eq!(done, number + 1, "{hook:?}");
        }
    }
}
