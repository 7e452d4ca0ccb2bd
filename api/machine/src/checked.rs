//! The document as it is meant: texts have become addresses, defaults are filled in, contradictions are refused.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::address::{is_dns_label, is_dns_name, is_host_name};
use crate::tree::Node;
use crate::{API_VERSION, Endpoint, KIND, Prefix, Problem, Problems, decode, raw};

/// Where clients reach the Kubernetes API if the endpoint names no port.
const API_PORT: u16 = 6443;

/// A configuration that can be acted upon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineConfig {
    /// What concerns this machine.
    pub machine: Machine,
    /// What concerns the cluster.
    pub cluster: Cluster,
}

/// What concerns this machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Machine {
    /// Name of the machine, if the operator gave it one.
    pub hostname: Option<String>,
    /// Interfaces, addresses, name servers.
    pub network: Network,
    /// NTP servers, by address or name; empty if DHCP shall name them.
    pub time_servers: Vec<String>,
    /// Which disk may be formatted for state and data.
    pub disk: DiskSelector,
}

/// Interfaces, addresses, name servers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Network {
    /// The interfaces that are not left to their default.
    pub interfaces: Vec<Interface>,
    /// Name servers; empty if DHCP shall name them.
    pub nameservers: Vec<IpAddr>,
}

/// One interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Which one.
    pub link: LinkName,
    /// Ask DHCP for an IPv4 address.
    pub dhcp: bool,
    /// Addresses, each with its network.
    pub addresses: Vec<Prefix>,
    /// Routes through it.
    pub routes: Vec<Route>,
    /// Largest packet.
    pub mtu: Option<u32>,
}

/// How an interface is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkName {
    /// By the kernel's name.
    Name(String),
    /// By its hardware address.
    Mac(Mac),
}

impl fmt::Display for LinkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Mac(mac) => mac.fmt(f),
        }
    }
}

/// A hardware address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mac(pub [u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            let colon = if index == 0 { "" } else { ":" };
            write!(f, "{colon}{byte:02x}")?;
        }
        Ok(())
    }
}

impl FromStr for Mac {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts.next().filter(|part| part.len() == 2 && part.bytes().all(|c| c.is_ascii_hexdigit()));
            *byte = u8::from_str_radix(part.ok_or(())?, 16).map_err(|_| ())?;
        }
        if parts.next().is_some() { Err(()) } else { Ok(Self(bytes)) }
    }
}

/// One route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// The network it leads to.
    pub to: Prefix,
    /// The router; without one the network is on the link.
    pub via: Option<IpAddr>,
    /// Of two routes to one network the lower metric wins.
    pub metric: Option<u32>,
}

/// Which disk is meant: all given fields must match.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DiskSelector {
    /// Name of the device without `/dev/`.
    pub device: Option<String>,
    /// Serial number.
    pub serial: Option<String>,
    /// A part of the model's text.
    pub model: Option<String>,
}

impl DiskSelector {
    /// Whether no disk is named.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What concerns the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// Its name.
    pub name: String,
    /// Where clients reach the Kubernetes API, if the operator said so.
    pub endpoint: Option<Endpoint>,
    /// Addresses of services.
    pub service_subnet: Prefix,
    /// Addresses of pods.
    pub pod_subnet: Prefix,
    /// Further names and addresses of the Kubernetes API.
    pub extra_sans: Vec<String>,
}

impl Default for MachineConfig {
    /// What an empty document means.
    fn default() -> Self {
        Checker { tree: None, problems: Vec::new() }.document(raw::Document::default())
    }
}

impl MachineConfig {
    /// Reads a document.
    ///
    /// # Errors
    ///
    /// Everything that is wrong, in the order of the lines.
    pub fn parse(text: &str) -> Result<Self, Problems> {
        let tree = Node::parse(text).map_err(|problem| Problems(vec![problem]))?;
        let (document, problems) = decode::decode::<raw::Document>(&tree);
        let mut checker = Checker { tree: Some(&tree), problems };
        checker.header(&document);
        let config = checker.document(document);
        let mut problems = checker.problems;
        if problems.is_empty() {
            return Ok(config);
        }
        problems.sort();
        problems.dedup();
        Err(Problems(problems))
    }
}

/// Walks through the raw document and collects what is wrong.
struct Checker<'a> {
    tree: Option<&'a Node>,
    problems: Vec<Problem>,
}

impl Checker<'_> {
    fn wrong(&mut self, path: &str, message: impl Into<String>) {
        let line = self.tree.map_or(0, |tree| tree.line_of(path));
        self.problems.push(Problem { line, path: path.to_owned(), message: message.into() });
    }

    /// Whether the field was already reported as ill-typed; then "missing" would be wrong to say.
    fn known_wrong(&self, path: &str) -> bool {
        self.problems.iter().any(|problem| problem.path == path || problem.path.is_empty())
    }

    fn header(&mut self, document: &raw::Document) {
        for (path, value, wanted) in
            [("apiVersion", &document.api_version, API_VERSION), ("kind", &document.kind, KIND)]
        {
            match value {
                Some(value) if value == wanted => {}
                Some(value) => self.wrong(path, format!("must be {wanted:?}, is {value:?}")),
                None if self.known_wrong(path) => {}
                None => self.wrong(path, format!("is missing; must be {wanted:?}")),
            }
        }
    }

    fn document(&mut self, document: raw::Document) -> MachineConfig {
        MachineConfig {
            machine: self.machine(document.machine.unwrap_or_default()),
            cluster: self.cluster(document.cluster.unwrap_or_default()),
        }
    }

    fn machine(&mut self, machine: raw::Machine) -> Machine {
        if let Some(name) = &machine.hostname
            && !is_host_name(name)
        {
            self.wrong(
                "machine.hostname",
                format!("{name:?} is not a host name: lower-case letters, digits, hyphens and dots, at most 64"),
            );
        }
        let time_servers = machine.time.and_then(|time| time.servers).unwrap_or_default();
        for (index, server) in time_servers.iter().enumerate() {
            if server.parse::<IpAddr>().is_err() && !is_dns_name(server) {
                self.wrong(
                    &format!("machine.time.servers[{index}]"),
                    format!("{server:?} is neither an address nor a DNS name"),
                );
            }
        }
        Machine {
            hostname: machine.hostname,
            network: self.network(machine.network.unwrap_or_default()),
            time_servers,
            disk: self.disk(machine.disk.unwrap_or_default()),
        }
    }

    fn network(&mut self, network: raw::Network) -> Network {
        let mut interfaces: Vec<Interface> = Vec::new();
        for (index, interface) in network.interfaces.unwrap_or_default().into_iter().enumerate() {
            let path = format!("machine.network.interfaces[{index}]");
            if let Some(interface) = self.interface(&path, interface) {
                if interfaces.iter().any(|other| other.link == interface.link) {
                    self.wrong(&path, format!("{} is configured twice", interface.link));
                }
                interfaces.push(interface);
            }
        }
        let nameservers =
            self.list("machine.network.nameservers", network.nameservers, "an address like 192.0.2.1", |text| {
                text.parse().ok()
            });
        Network { interfaces, nameservers }
    }

    fn interface(&mut self, path: &str, interface: raw::Interface) -> Option<Interface> {
        let addresses = self.list(
            &format!("{path}.addresses"),
            interface.addresses,
            "an address with the length of its network, like 192.0.2.10/24",
            |text| text.parse::<Prefix>().ok(),
        );
        let mut routes = Vec::new();
        for (index, route) in interface.routes.unwrap_or_default().into_iter().enumerate() {
            routes.extend(self.route(&format!("{path}.routes[{index}]"), &route));
        }
        if let Some(mtu) = interface.mtu
            && !(576..=65_535).contains(&mtu)
        {
            self.wrong(&format!("{path}.mtu"), format!("must be from 576 to 65535, is {mtu}"));
        }
        let link = match (interface.name, interface.mac) {
            (Some(_), Some(_)) => {
                self.wrong(path, "has both name and mac; one of them names the interface");
                return None;
            }
            (None, None) => {
                if !self.known_wrong(&format!("{path}.name")) && !self.known_wrong(&format!("{path}.mac")) {
                    self.wrong(path, "needs name or mac");
                }
                return None;
            }
            // The kernel's own rule: at most 15 bytes, no slash, no space.
            (Some(name), None) if name.is_empty() || name.len() > 15 || name.contains(['/', ' ', ':']) => {
                self.wrong(&format!("{path}.name"), format!("{name:?} is not the name of an interface"));
                return None;
            }
            (Some(name), None) => LinkName::Name(name),
            (None, Some(mac)) => {
                let Ok(parsed) = mac.parse() else {
                    let message = format!("{mac:?} is not a hardware address like 52:54:00:12:34:56");
                    self.wrong(&format!("{path}.mac"), message);
                    return None;
                };
                LinkName::Mac(parsed)
            }
        };
        let dhcp = interface.dhcp.unwrap_or_else(|| !addresses.iter().any(|prefix| prefix.address().is_ipv4()));
        Some(Interface { link, dhcp, addresses, routes, mtu: interface.mtu })
    }

    fn route(&mut self, path: &str, route: &raw::Route) -> Option<Route> {
        let via = route.via.as_deref().map(|text| {
            text.parse::<IpAddr>().map_err(|_| {
                self.wrong(&format!("{path}.via"), format!("{text:?} is not an address like 192.0.2.1"));
            })
        });
        let via = via.transpose().ok()?;
        let to_path = format!("{path}.to");
        let to = match route.to.as_deref() {
            None => {
                if !self.known_wrong(&to_path) {
                    self.wrong(path, "needs a field `to`");
                }
                return None;
            }
            Some("default") => match via {
                Some(IpAddr::V6(_)) => Prefix::ALL_V6,
                Some(IpAddr::V4(_)) | None => Prefix::ALL_V4,
            },
            Some(text) => match text.parse::<Prefix>() {
                Ok(prefix) if prefix.is_network() => prefix,
                Ok(prefix) => {
                    let network = prefix.network();
                    let message = format!("has a host part; the network is {network}/{}", prefix.length());
                    self.wrong(&to_path, message);
                    return None;
                }
                Err(()) => {
                    self.wrong(&to_path, format!("{text:?} is neither `default` nor a network like 198.51.100.0/24"));
                    return None;
                }
            },
        };
        if let Some(via) = via
            && via.is_ipv4() != to.address().is_ipv4()
        {
            self.wrong(path, "mixes IPv4 and IPv6");
            return None;
        }
        if via.is_none() && to.length() == 0 {
            self.wrong(path, "a default route needs a router in `via`");
            return None;
        }
        Some(Route { to, via, metric: route.metric })
    }

    fn disk(&mut self, disk: raw::Disk) -> DiskSelector {
        let device = disk.device.and_then(|device| {
            let name = device.strip_prefix("/dev/").unwrap_or(&device);
            if name.is_empty() || name.contains(['/', '.', ' ']) {
                let message = format!("{device:?} is not the device of a disk, like /dev/sda");
                self.wrong("machine.disk.device", message);
                return None;
            }
            Some(name.to_owned())
        });
        for (path, text) in [("machine.disk.serial", &disk.serial), ("machine.disk.model", &disk.model)] {
            if text.as_deref().is_some_and(|text| text.trim().is_empty()) {
                self.wrong(path, "is empty and would match every disk");
            }
        }
        DiskSelector { device, serial: disk.serial, model: disk.model }
    }

    fn cluster(&mut self, cluster: raw::Cluster) -> Cluster {
        let name = cluster.name.unwrap_or_else(|| "orlop".to_owned());
        if !is_dns_label(&name) {
            let message = format!("{name:?} is not a name: lower-case letters, digits and hyphens, at most 63");
            self.wrong("cluster.name", message);
        }
        let endpoint = cluster.endpoint.and_then(|text| {
            let endpoint = Endpoint::parse(&text, API_PORT);
            if endpoint.is_none() {
                let message = format!("{text:?} is not an address like https://api.example.net:6443");
                self.wrong("cluster.endpoint", message);
            }
            endpoint
        });
        let service_subnet = self.subnet("cluster.serviceSubnet", cluster.service_subnet, "10.96.0.0/12");
        let pod_subnet = self.subnet("cluster.podSubnet", cluster.pod_subnet, "10.244.0.0/16");
        if let (Some(services), Some(pods)) = (service_subnet, pod_subnet)
            && services.overlaps(pods)
        {
            self.wrong("cluster.podSubnet", format!("{pods} overlaps cluster.serviceSubnet {services}"));
        }
        if let Some(services) = service_subnet
            && services.nth(10).is_none()
        {
            self.wrong("cluster.serviceSubnet", format!("{services} is too small: at least 16 addresses are needed"));
        }
        let extra_sans = self.list("cluster.extraSANs", cluster.extra_sans, "an address or a DNS name", |text| {
            let name = text.strip_prefix("*.").unwrap_or(text);
            (text.parse::<IpAddr>().is_ok() || is_dns_name(name)).then(|| text.to_owned())
        });
        Cluster {
            name,
            endpoint,
            service_subnet: service_subnet.unwrap_or(Prefix::ALL_V4),
            pod_subnet: pod_subnet.unwrap_or(Prefix::ALL_V4),
            extra_sans,
        }
    }

    fn subnet(&mut self, path: &str, text: Option<String>, default: &str) -> Option<Prefix> {
        let text = text.unwrap_or_else(|| default.to_owned());
        match text.parse::<Prefix>() {
            Ok(prefix) if prefix.is_network() => Some(prefix),
            Ok(prefix) => {
                let network = prefix.network();
                self.wrong(path, format!("has a host part; the network is {network}/{}", prefix.length()));
                None
            }
            Err(()) => {
                self.wrong(path, format!("{text:?} is not a network like {default}"));
                None
            }
        }
    }

    fn list<T>(
        &mut self,
        path: &str,
        texts: Option<Vec<String>>,
        wanted: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Vec<T> {
        let mut values = Vec::new();
        for (index, text) in texts.unwrap_or_default().into_iter().enumerate() {
            match read(&text) {
                Some(value) => values.push(value),
                None => self.wrong(&format!("{path}[{index}]"), format!("{text:?} is not {wanted}")),
            }
        }
        values
    }
}
