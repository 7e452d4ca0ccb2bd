//! Under which names and addresses the servers of a machine are reached: what their certificates carry.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use machine::{Cluster, is_host_name};
use pki::San;

/// The machine's name: the operator's word, else that of DHCP if it is a name at all, else one from the machine id.
#[must_use]
pub fn hostname(configured: Option<&str>, from_dhcp: Option<&str>, machine_id: &str) -> String {
    let from_dhcp = from_dhcp.map(str::to_ascii_lowercase).filter(|name| is_host_name(name) && name != "localhost");
    configured.map(str::to_owned).or(from_dhcp).unwrap_or_else(|| member(None, machine_id))
}

/// The name of the store's member: the operator's word, else one from the machine id.
#[must_use]
pub fn member(configured: Option<&str>, machine_id: &str) -> String {
    configured.map_or_else(|| format!("orlop-{}", machine_id.get(..8).unwrap_or(machine_id)), str::to_owned)
}

/// Loopback in all its spellings: every server of a machine is also reached from the machine itself.
fn loopback() -> [San; 3] {
    [San::Dns("localhost".into()), San::Ip(Ipv4Addr::LOCALHOST.into()), San::Ip(Ipv6Addr::LOCALHOST.into())]
}

/// The names of a server of the machine itself: the machine API, the store.
#[must_use]
pub fn of_machine(hostname: &str, addresses: &[IpAddr]) -> Vec<San> {
    let mut names = Vec::from(loopback());
    names.push(San::Dns(hostname.to_owned()));
    names.extend(addresses.iter().copied().map(San::Ip));
    unique(names)
}

/// The names of the Kubernetes API.
#[must_use]
pub fn of_kubernetes_api(hostname: &str, addresses: &[IpAddr], cluster: &Cluster) -> Vec<San> {
    let mut names = of_machine(hostname, addresses);
    for name in ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"] {
        names.push(San::Dns(name.to_owned()));
    }
    names.extend(cluster.service_subnet.nth(1).map(San::Ip));
    names.extend(cluster.endpoint.iter().map(|endpoint| name_or_address(&endpoint.host)));
    names.extend(cluster.extra_sans.iter().map(|name| name_or_address(name)));
    unique(names)
}

fn name_or_address(text: &str) -> San {
    text.parse().map_or_else(|_| San::Dns(text.to_owned()), San::Ip)
}

/// Keeps the first of equals.
fn unique(names: Vec<San>) -> Vec<San> {
    let mut kept: Vec<San> = Vec::with_capacity(names.len());
    for name in names {
        if !kept.contains(&name) {
            kept.push(name);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use machine::MachineConfig;

    #[test]
    fn a_name_from_dhcp_counts_only_if_it_is_one() {
        let id = "0123456789abcdef";
        assert_eq!(hostname(Some("cp-1"), Some("other"), id), "cp-1");
        assert_eq!(hostname(None, Some("Cp-2"), id), "cp-2");
        assert_eq!(hostname(None, Some("a b\n"), id), "orlop-01234567");
        assert_eq!(hostname(None, Some("localhost"), id), "orlop-01234567");
        assert_eq!(member(None, id), "orlop-01234567");
    }

    #[test]
    fn the_kubernetes_api_carries_every_name_it_is_called_by() {
        let config = MachineConfig::parse(
            "apiVersion: orlop.dev/v1alpha1\nkind: MachineConfig\ncluster: {endpoint: 'https://api.example.net', extraSANs: [192.0.2.9, localhost]}\n",
        )
        .unwrap();
        let names = of_kubernetes_api("cp-1", &["10.0.2.15".parse().unwrap()], &config.cluster);
        let text: Vec<_> = names
            .iter()
            .map(|name| match name {
                San::Dns(name) => name.clone(),
                San::Ip(address) => address.to_string(),
            })
            .collect();
        assert_eq!(
            text,
            [
                "localhost",
                "127.0.0.1",
                "::1",
                "cp-1",
                "10.0.2.15",
                "kubernetes",
                "kubernetes.default",
                "kubernetes.default.svc",
                "kubernetes.default.svc.cluster.local",
                "10.96.0.1",
                "api.example.net",
                "192.0.2.9"
            ]
        );
    }
}
