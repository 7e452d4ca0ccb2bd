//! Cluster addresses and node ports: which are held, and how new ones are chosen.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde_json::{Value, json};

use super::held::Held;
use super::{
    HEADLESS, Kind, is_headless, port_number, port_text, ports, ports_mut, wants_health_check_port, wants_node_ports,
};
use crate::engine::Context;
use crate::field::{Errors, Path};
use crate::object::Object;
use crate::status::Status;

/// The part of a range that is only used when all else is taken is bounded by this, so that few static choices collide.
const STATIC_LIMIT: u128 = 256;

/// An address range in CIDR form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cidr {
    network: IpAddr,
    bits: u8,
}

impl Cidr {
    /// Parses `10.96.0.0/12`; `None` for anything else. Host bits are allowed and ignored.
    pub fn parse(text: &str) -> Option<Self> {
        let (network, bits) = text.split_once('/')?;
        let (network, bits): (IpAddr, u8) = (network.parse().ok()?, bits.parse().ok()?);
        let cidr = Self { network, bits };
        (bits <= cidr.width()).then_some(cidr)
    }

    /// Whether an address is inside.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.network.is_ipv4() == address.is_ipv4() && (number(address) ^ number(self.network)) & self.mask() == 0
    }

    /// The address at an offset from the network's own: 1 is what the `kubernetes` Service gets. `None` beyond the range.
    pub fn nth(&self, offset: u128) -> Option<IpAddr> {
        if offset >= self.size() {
            return None;
        }
        let address = (number(self.network) & self.mask()).checked_add(offset)?;
        Some(if self.network.is_ipv4() {
            IpAddr::V4(Ipv4Addr::from_bits(u32::try_from(address).ok()?))
        } else {
            IpAddr::V6(Ipv6Addr::from_bits(address))
        })
    }

    /// `IPv4` or `IPv6`, as a Service's `ipFamilies` has it.
    pub fn family(&self) -> &'static str {
        family(self.network)
    }

    fn width(&self) -> u8 {
        if self.network.is_ipv4() { 32 } else { 128 }
    }

    /// How many addresses there are, at most `u128::MAX`.
    fn size(&self) -> u128 {
        1_u128.checked_shl(u32::from(self.width() - self.bits)).unwrap_or(u128::MAX)
    }

    fn mask(&self) -> u128 {
        !(self.size() - 1)
    }

    /// Offsets that may be given: not the network's own address, and in IPv4 not the broadcast address.
    fn usable(&self) -> u128 {
        let less = if self.network.is_ipv4() { 2 } else { 1 };
        // Nobody has more Services than this, and the arithmetic below stays far from its limits.
        self.size().saturating_sub(less).min(1 << 64)
    }
}

impl std::fmt::Display for Cidr {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.nth(0) {
            Some(network) => write!(out, "{network}/{}", self.bits),
            None => write!(out, "{}/{}", self.network, self.bits),
        }
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

fn family(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "IPv4" } else { "IPv6" }
}

/// The addresses and node ports that Services hold: fed with every Service there is, read when one is written.
///
/// News may come twice (from the write and from the watch), and late: see [`ClusterIps::observe`] and [`ClusterIps::forget`]. Whether
/// two servers chose the same is for the store to say; this makes it rare.
#[derive(Debug, Clone)]
pub struct ClusterIps {
    ranges: Vec<Cidr>,
    node_ports: (u16, u16),
    addresses: Held<IpAddr>,
    ports: Held<(String, u16)>,
}

impl ClusterIps {
    /// Nothing held yet. `ranges`: one, or two of different families, the first is the default family. `node_ports`: first and last.
    pub fn new(ranges: Vec<Cidr>, node_ports: (u16, u16)) -> Self {
        Self { ranges, node_ports, addresses: Held::new(), ports: Held::new() }
    }

    /// Marks what a stored Service holds. With a resource version, news that a later [`ClusterIps::forget`] has overtaken are ignored.
    pub fn observe(&mut self, service: &Object) {
        for address in held_addresses(service) {
            self.addresses.take(address, service);
        }
        for port in held_ports(service) {
            self.ports.take(port, service);
        }
    }

    /// Frees what a Service held that is deleted, or that is about to be observed anew: given as it was last, with its resource
    /// version. What another Service holds by now stays held.
    pub fn forget(&mut self, service: &Object) {
        for address in held_addresses(service) {
            self.addresses.release(&address, service);
        }
        for port in held_ports(service) {
            self.ports.release(&port, service);
        }
    }

    fn range_of(&self, family: &str) -> Option<&Cidr> {
        self.ranges.iter().find(|range| range.family() == family)
    }

    /// A free address of a range, starting the search where the seed says; the lower part, where people choose by hand, comes last.
    fn free_address(&self, range: &Cidr, seed: u64) -> Option<IpAddr> {
        let usable = range.usable();
        let low = (usable / 16).clamp(16, STATIC_LIMIT).min(usable);
        let search = |from: u128, count: u128| {
            // Each step either finds a free address or meets a held one, so the search is as long as the held ones are many.
            (0..count)
                .filter_map(|step| range.nth(1 + from + (u128::from(seed) % count + step) % count))
                .find(|address| !self.addresses.contains(address))
        };
        search(low, usable - low).or_else(|| search(0, low))
    }

    fn free_port(&self, protocols: &BTreeSet<String>, taken: &BTreeSet<u16>, seed: u64) -> Option<u16> {
        let (first, last) = self.node_ports;
        let count = u64::from(last - first) + 1;
        // The first 86 are left to people, as upstream does, until nothing else is free.
        let low = (count / 32).clamp(16, 128).min(count);
        let free = |port: &u16| {
            !taken.contains(port) && protocols.iter().all(|protocol| !self.ports.contains(&(protocol.clone(), *port)))
        };
        let search = |from: u64, count: u64| {
            (0..count).map(|step| first + (from + (seed % count + step) % count) as u16).find(&free)
        };
        search(low, count - low).or_else(|| search(0, low))
    }
}

fn held_addresses(service: &Object) -> BTreeSet<IpAddr> {
    if Kind::of(service) == Kind::ExternalName {
        return BTreeSet::new();
    }
    let single = service.text(&["spec", "clusterIP"]).into_iter();
    single
        .chain(service.list(&["spec", "clusterIPs"]).iter().filter_map(Value::as_str))
        .filter_map(|text| text.parse().ok())
        .collect()
}

fn held_ports(service: &Object) -> BTreeSet<(String, u16)> {
    let health = service.integer(&["spec", "healthCheckNodePort"]).map(|port| ("TCP".to_owned(), port));
    ports(service)
        .iter()
        .map(|port| (port_text(port, "protocol").to_owned(), port_number(port, "nodePort")))
        .chain(health)
        .filter_map(|(protocol, port)| Some((protocol, u16::try_from(port).ok().filter(|port| *port > 0)?)))
        .collect()
}

/// Gives a Service what it needs and does not have, or refuses what it asks for and cannot have.
///
/// # Errors
///
/// 422 for an address or port that is out of range or taken; 500 when nothing is left, or when the context has no pool.
pub(super) fn allocate(service: &mut Object, old: Option<&Object>, context: &Context<'_>) -> Result<(), Status> {
    let Some(pool) = context.addresses else { return Err(Status::internal("no service addresses are configured")) };
    let mut errors = Errors::new();
    allocate_addresses(service, old, pool, context.seed, &mut errors)?;
    allocate_ports(service, old, pool, context.seed, &mut errors)?;
    if errors.is_empty() {
        return Ok(());
    }
    Err(Status::invalid("", "Service", service.name().unwrap_or_default(), &errors))
}

fn allocate_addresses(
    service: &mut Object,
    old: Option<&Object>,
    pool: &ClusterIps,
    seed: u64,
    errors: &mut Errors,
) -> Result<(), Status> {
    if !Kind::of(service).has_cluster_ip() {
        return Ok(());
    }
    settle_families(service, pool);
    if is_headless(service) {
        service.set(&["spec", "clusterIPs"], vec![HEADLESS]);
        return Ok(());
    }
    let held = old.map(held_addresses).unwrap_or_default();
    let families: Vec<String> =
        service.list(&["spec", "ipFamilies"]).iter().filter_map(|family| family.as_str().map(str::to_owned)).collect();
    let mut given: Vec<String> =
        service.list(&["spec", "clusterIPs"]).iter().filter_map(|ip| ip.as_str().map(str::to_owned)).collect();
    for text in &given {
        // A malformed one is validation's to refuse.
        let Ok(address) = text.parse::<IpAddr>() else { continue };
        if held.contains(&address) {
            continue;
        }
        let path = Path::new("spec.clusterIPs");
        let refuse = |errors: &mut Errors, why: &str| errors.invalid(&path, json!([text]), why);
        match pool.range_of(family(address)) {
            None => refuse(
                errors,
                &format!("failed to allocate IP {address}: {} is not configured on this cluster", family(address)),
            ),
            Some(range) if !range.contains(address) || range.nth(0) == Some(address) => refuse(
                errors,
                &format!(
                    "failed to allocate IP {address}: the provided IP ({address}) is not in the valid range. The range of valid IPs is {range}"
                ),
            ),
            Some(_) if pool.addresses.contains(&address) => {
                refuse(errors, &format!("failed to allocate IP {address}: provided IP is already allocated"));
            }
            Some(_) => {}
        }
    }
    for family in families.iter().skip(given.len()) {
        let Some(range) = pool.range_of(family) else { continue };
        let Some(address) = pool.free_address(range, seed) else {
            return Err(Status::internal(format!("failed to allocate a serviceIP: range is full: {range}")));
        };
        given.push(address.to_string());
    }
    if let Some(first) = given.first() {
        service.set(&["spec", "clusterIP"], first.as_str());
        service.set(&["spec", "clusterIPs"], given);
    }
    Ok(())
}

/// Decides the address families: what the client asked for, what the given addresses are, what the cluster has.
fn settle_families(service: &mut Object, pool: &ClusterIps) {
    let headless_without_selector = is_headless(service) && service.at(&["spec", "selector"]).is_none();
    if service.text(&["spec", "ipFamilyPolicy"]).is_none() {
        let many = service.list(&["spec", "ipFamilies"]).len() > 1 || service.list(&["spec", "clusterIPs"]).len() > 1;
        let policy = if many || headless_without_selector { "RequireDualStack" } else { "SingleStack" };
        // A headless Service without selector is taken as the user's own affair: all families.
        service.set(&["spec", "ipFamilyPolicy"], policy);
    }
    let mut families: Vec<String> =
        service.list(&["spec", "ipFamilies"]).iter().filter_map(|family| family.as_str().map(str::to_owned)).collect();
    for text in service.list(&["spec", "clusterIPs"]).iter().filter_map(Value::as_str) {
        if let Ok(address) = text.parse::<IpAddr>()
            && !families.iter().any(|one| one == family(address))
        {
            families.push(family(address).to_owned());
        }
    }
    if families.is_empty()
        && let Some(first) = pool.ranges.first()
    {
        families.push(first.family().to_owned());
    }
    let single = service.text(&["spec", "ipFamilyPolicy"]) == Some("SingleStack");
    if !single {
        for range in pool.ranges.iter().skip(1).chain(pool.ranges.first()) {
            if !families.iter().any(|one| one == range.family()) {
                families.push(range.family().to_owned());
            }
        }
        if headless_without_selector && families.len() == 1 {
            families.push(if families[0] == "IPv4" { "IPv6" } else { "IPv4" }.to_owned());
        }
    }
    service.set(&["spec", "ipFamilies"], families);
}

fn allocate_ports(
    service: &mut Object,
    old: Option<&Object>,
    pool: &ClusterIps,
    seed: u64,
    errors: &mut Errors,
) -> Result<(), Status> {
    let held = old.map(held_ports).unwrap_or_default();
    let (first, last) = pool.node_ports;
    let mut taken: BTreeSet<u16> = ports(service)
        .iter()
        .filter_map(|port| u16::try_from(port_number(port, "nodePort")).ok())
        .filter(|port| *port > 0)
        .collect();
    if Kind::of(service).may_have_node_ports() {
        for (index, port) in ports(service).iter().enumerate() {
            let number = port_number(port, "nodePort");
            let protocol = port_text(port, "protocol").to_owned();
            let path = Path::new("spec.ports").index(index).child("nodePort");
            let Ok(wanted) = u16::try_from(number) else {
                errors.invalid(&path, number, &out_of_range(first, last));
                continue;
            };
            if wanted == 0 || held.contains(&(protocol.clone(), wanted)) {
                continue;
            }
            if !(first..=last).contains(&wanted) {
                errors.invalid(&path, number, &out_of_range(first, last));
            } else if pool.ports.contains(&(protocol, wanted)) {
                errors.invalid(&path, number, "provided port is already allocated");
            }
        }
    }
    if wants_node_ports(service) {
        // A port number with two protocols shares one node port.
        let mut shared: BTreeMap<i64, (u16, BTreeSet<String>)> = BTreeMap::new();
        let mut step = 0_u64;
        for port in ports_mut(service) {
            let (number, protocol) = (port_number(port, "port"), port_text(port, "protocol").to_owned());
            let own = u16::try_from(port_number(port, "nodePort")).unwrap_or(0);
            if own > 0 {
                shared.entry(number).or_insert_with(|| (own, BTreeSet::new())).1.insert(protocol);
                continue;
            }
            let usable = shared
                .get(&number)
                .filter(|(port, protocols)| {
                    !protocols.contains(&protocol) && !pool.ports.contains(&(protocol.clone(), *port))
                })
                .map(|(port, _)| *port);
            let chosen = if let Some(port) = usable {
                port
            } else {
                let protocols = BTreeSet::from([protocol.clone()]);
                let Some(port) = pool.free_port(&protocols, &taken, seed.wrapping_add(step)) else {
                    return Err(Status::internal("failed to allocate a nodePort: range is full"));
                };
                step += 7;
                port
            };
            taken.insert(chosen);
            shared.entry(number).or_insert_with(|| (chosen, BTreeSet::new())).1.insert(protocol);
            port["nodePort"] = chosen.into();
        }
    }
    if wants_health_check_port(service) && service.integer(&["spec", "healthCheckNodePort"]).unwrap_or(0) == 0 {
        let protocols = BTreeSet::from(["TCP".to_owned()]);
        let Some(port) = pool.free_port(&protocols, &taken, seed.rotate_left(17)) else {
            return Err(Status::internal("failed to allocate requested HealthCheck NodePort: range is full"));
        };
        service.set(&["spec", "healthCheckNodePort"], port);
    }
    Ok(())
}

fn out_of_range(first: u16, last: u16) -> String {
    format!("provided port is not in the valid range. The range of valid ports is {first}-{last}")
}
