//! The kinds of `networking.k8s.io`: ways into the cluster, and walls inside it.

mod ingress;
mod ingress_class;
mod ip_address;
mod network_policy;
mod service_cidr;

pub(super) use ingress::Ingress;
pub(super) use ingress_class::IngressClass;
pub(super) use ip_address::IpAddress;
pub(super) use network_policy::NetworkPolicy;
pub(super) use service_cidr::ServiceCidr;

#[cfg(test)]
mod tests;
