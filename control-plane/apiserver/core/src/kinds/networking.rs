//! The kinds of `networking.k8s.io`: ways into the cluster, and walls inside it.

mod ingress;
mod ingress_class;
mod network_policy;

pub(super) use ingress::Ingress;
pub(super) use ingress_class::IngressClass;
pub(super) use network_policy::NetworkPolicy;

#[cfg(test)]
mod tests;
