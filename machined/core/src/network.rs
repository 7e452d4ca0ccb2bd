//! Which interface is set up how, and which addresses are the machine's own.

use std::net::IpAddr;

use machine::{LinkName, Mac, Network, Prefix, Route};

/// A network interface as the kernel shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The kernel's number.
    pub index: u32,
    /// The kernel's name.
    pub name: String,
    /// Hardware address.
    pub mac: Option<Mac>,
    /// Whether it is an Ethernet interface with a device behind it: no loopback, tunnel or bridge.
    pub is_ethernet: bool,
    /// Whether a cable is plugged in (or the host says so).
    pub carrier: bool,
}

/// What is done with an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setup {
    /// Ask DHCP for an address.
    pub dhcp: bool,
    /// Addresses to be there.
    pub addresses: Vec<Prefix>,
    /// Routes to be there.
    pub routes: Vec<Route>,
    /// Largest packet.
    pub mtu: Option<u32>,
}

/// Decides what is done with an interface: what the configuration says; else DHCP if it is an Ethernet interface and
/// the configuration names no interface at all; else nothing.
#[must_use]
pub fn setup(link: &Link, config: &Network) -> Option<Setup> {
    let named = config.interfaces.iter().find(|interface| match &interface.link {
        LinkName::Name(name) => *name == link.name,
        LinkName::Mac(mac) => Some(*mac) == link.mac,
    });
    if let Some(interface) = named {
        return Some(Setup {
            dhcp: interface.dhcp,
            addresses: interface.addresses.clone(),
            routes: interface.routes.clone(),
            mtu: interface.mtu,
        });
    }
    (link.is_ethernet && config.interfaces.is_empty()).then_some(Setup {
        dhcp: true,
        addresses: Vec::new(),
        routes: Vec::new(),
        mtu: None,
    })
}

/// The interfaces of the configuration that no link matches, by the name the operator gave them.
#[must_use]
pub fn missing(links: &[Link], config: &Network) -> Vec<String> {
    let matches = |name: &LinkName, link: &Link| match name {
        LinkName::Name(name) => *name == link.name,
        LinkName::Mac(mac) => Some(*mac) == link.mac,
    };
    config
        .interfaces
        .iter()
        .filter(|interface| !links.iter().any(|link| matches(&interface.link, link)))
        .map(|interface| interface.link.to_string())
        .collect()
}

/// The addresses by which others reach this machine: no loopback, no link-local ones; IPv4 first, then in order.
#[must_use]
pub fn node_addresses(all: impl IntoIterator<Item = IpAddr>) -> Vec<IpAddr> {
    let mut addresses: Vec<_> = all.into_iter().filter(|address| is_reachable(*address)).collect();
    addresses.sort_by_key(|address| (address.is_ipv6(), *address));
    addresses.dedup();
    addresses
}

fn is_reachable(address: IpAddr) -> bool {
    let link_local = match address {
        IpAddr::V4(address) => address.is_link_local() || address.is_broadcast(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    !address.is_loopback() && !address.is_unspecified() && !address.is_multicast() && !link_local
}

/// The text of `resolv.conf`. The resolver reads no more than three servers.
#[must_use]
pub fn resolv_conf(nameservers: &[IpAddr]) -> String {
    nameservers.iter().take(3).map(|server| format!("nameserver {server}\n")).collect::<Vec<_>>().concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use machine::MachineConfig;

    fn link(name: &str, is_ethernet: bool) -> Link {
        Link { index: 2, name: name.into(), mac: "52:54:00:12:34:56".parse().ok(), is_ethernet, carrier: true }
    }

    fn config(interfaces: &str) -> Network {
        let text = format!(
            "apiVersion: orlop.dev/v1alpha1\nkind: MachineConfig\nmachine: {{network: {{interfaces: [{interfaces}]}}}}\n"
        );
        MachineConfig::parse(&text).unwrap().machine.network
    }

    #[test]
    fn without_a_word_every_ethernet_interface_asks_dhcp() {
        assert!(setup(&link("eth0", true), &config("")).unwrap().dhcp);
        assert_eq!(setup(&link("lo", false), &config("")), None);
    }

    #[test]
    fn once_an_interface_is_named_the_others_are_left_alone() {
        let config = config("{name: eth1, addresses: [192.0.2.1/24]}");
        assert_eq!(setup(&link("eth0", true), &config), None);
        let own = setup(&link("eth1", true), &config).unwrap();
        assert!(!own.dhcp);
        assert_eq!(missing(&[link("eth0", true)], &config), ["eth1"]);
        assert_eq!(missing(&[link("eth1", true)], &config), Vec::<String>::new());
    }

    #[test]
    fn an_interface_is_found_by_its_hardware_address() {
        assert!(setup(&link("eth7", true), &config("{mac: '52:54:00:12:34:56'}")).is_some());
        assert!(setup(&link("eth7", true), &config("{mac: '52:54:00:12:34:57'}")).is_none());
    }

    #[test]
    fn only_addresses_that_others_reach_are_the_machines() {
        let all = ["::1", "fe80::1", "2001:db8::1", "127.0.0.1", "169.254.1.1", "10.0.2.15", "10.0.2.15", "0.0.0.0"];
        let own = node_addresses(all.iter().map(|text| text.parse().unwrap()));
        assert_eq!(own, ["10.0.2.15".parse::<IpAddr>().unwrap(), "2001:db8::1".parse().unwrap()]);
    }

    #[test]
    fn the_resolver_gets_three_servers() {
        let servers: Vec<IpAddr> = (1..=4).map(|last| IpAddr::from([192, 0, 2, last])).collect();
        assert_eq!(resolv_conf(&servers), "nameserver 192.0.2.1\nnameserver 192.0.2.2\nnameserver 192.0.2.3\n");
    }
}
