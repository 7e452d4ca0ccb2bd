//! Gives a Service the addresses and node ports it needs and does not have.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde_json::Value;

use super::pool::{ClusterIps, held_ports};
use super::{
    HEADLESS, Kind, families, is_headless, port_number, port_text, ports, ports_mut, wants_health_check_port,
    wants_node_ports,
};
use crate::engine::Context;
use crate::field::{Errors, Path};
use crate::object::Object;
use crate::status::Status;

/// Gives a Service what it needs and does not have, or refuses what it asks for and cannot have.
///
/// What a client asks for by number is not checked against what this server thinks is taken: only the store knows. What the store
/// has refused in this request is in [`Context::refused`].
///
/// # Errors
///
/// 422 for an address or port that is out of range or taken; 500 when nothing is left, or when the context has no pool.
pub(super) fn allocate(service: &mut Object, old: Option<&Object>, context: &Context<'_>) -> Result<(), Status> {
    let Some(pool) = context.addresses else { return Err(Status::internal("no service addresses are configured")) };
    families::settle(service, old, pool)?;
    allocate_addresses(service, old, pool, context)?;
    allocate_ports(service, old, pool, context)
}

fn invalid(service: &Object, path: &Path, value: impl Into<Value>, why: &str) -> Status {
    let mut errors = Errors::new();
    errors.invalid(path, value, why);
    Status::invalid("", "Service", service.name().unwrap_or_default(), &errors)
}

fn is_refused(context: &Context<'_>, name: &str) -> bool {
    context.refused.iter().any(|one| one == name)
}

fn texts(service: &Object, path: &[&str]) -> Vec<String> {
    service.list(path).iter().filter_map(|one| one.as_str().map(str::to_owned)).collect()
}

fn allocate_addresses(
    service: &mut Object,
    old: Option<&Object>,
    pool: &ClusterIps,
    context: &Context<'_>,
) -> Result<(), Status> {
    if !Kind::of(service).has_cluster_ip() {
        return Ok(());
    }
    if is_headless(service) {
        service.set(&["spec", "clusterIPs"], vec![HEADLESS]);
        return Ok(());
    }
    // What a Service has stays what it is; validation refuses changes.
    let kept =
        old.filter(|old| Kind::of(old).has_cluster_ip()).map_or(0, |old| texts(old, &["spec", "clusterIPs"]).len());
    let families = texts(service, &["spec", "ipFamilies"]);
    let mut given = texts(service, &["spec", "clusterIPs"]);
    for text in given.iter().skip(kept) {
        // A malformed one is validation's to refuse.
        let Ok(address) = text.parse::<IpAddr>() else { continue };
        let why = if !pool.gives(address) {
            "the provided network does not match the current range"
        } else if is_refused(context, text) {
            "provided IP is already allocated"
        } else {
            continue;
        };
        let why = format!("failed to allocate IP {address}: {why}");
        return Err(invalid(service, &Path::new("spec.clusterIPs"), given, &why));
    }
    for family in families.iter().skip(given.len()) {
        let Some(address) = pool.free_address(family, context.seed) else {
            return Err(Status::internal("failed to allocate a serviceIP: range is full"));
        };
        given.push(address.to_string());
    }
    if let Some(first) = given.first() {
        service.set(&["spec", "clusterIP"], first.as_str());
        service.set(&["spec", "clusterIPs"], given);
    }
    Ok(())
}

fn allocate_ports(
    service: &mut Object,
    old: Option<&Object>,
    pool: &ClusterIps,
    context: &Context<'_>,
) -> Result<(), Status> {
    let held = old.map(held_ports).unwrap_or_default();
    if Kind::of(service).may_have_node_ports() {
        for (index, port) in ports(service).iter().enumerate() {
            let number = port_number(port, "nodePort");
            if number != 0 && !u16::try_from(number).is_ok_and(|port| held.contains(&port)) {
                let path = Path::new("spec.ports").index(index).child("nodePort");
                check_port(number, pool, context).map_err(|why| invalid(service, &path, number, &why))?;
            }
        }
    }
    let mut taken: BTreeSet<u16> = held_ports(service);
    if wants_node_ports(service) {
        give_ports(service, &mut taken, pool, context.seed)?;
    }
    if !wants_health_check_port(service) {
        return Ok(());
    }
    let wanted = service.integer(&["spec", "healthCheckNodePort"]).unwrap_or(0);
    if wanted == 0 {
        let Some(port) = pool.free_port(&taken, context.seed.rotate_left(17)) else {
            return Err(Status::internal("failed to allocate a HealthCheck NodePort: range is full"));
        };
        service.set(&["spec", "healthCheckNodePort"], port);
    } else if !u16::try_from(wanted).is_ok_and(|port| held.contains(&port)) {
        check_port(wanted, pool, context).map_err(|why| {
            Status::internal(format!("failed to allocate requested HealthCheck NodePort {wanted}: {why}"))
        })?;
    }
    Ok(())
}

/// Says why a port that was asked for cannot be had.
fn check_port(port: i64, pool: &ClusterIps, context: &Context<'_>) -> Result<(), String> {
    let (first, last) = pool.node_ports();
    if !(i64::from(first)..=i64::from(last)).contains(&port) {
        return Err(format!("provided port is not in the valid range. The range of valid ports is {first}-{last}"));
    }
    if is_refused(context, &port.to_string()) {
        return Err("provided port is already allocated".to_owned());
    }
    Ok(())
}

/// Gives a node port to each port that has none. A port number with two protocols shares one.
fn give_ports(service: &mut Object, taken: &mut BTreeSet<u16>, pool: &ClusterIps, seed: u64) -> Result<(), Status> {
    let mut shared: BTreeMap<i64, (u16, BTreeSet<String>)> = BTreeMap::new();
    let mut step = 0_u64;
    for port in ports_mut(service) {
        let (number, protocol) = (port_number(port, "port"), port_text(port, "protocol").to_owned());
        let own = u16::try_from(port_number(port, "nodePort")).unwrap_or(0);
        if own > 0 {
            shared.entry(number).or_insert_with(|| (own, BTreeSet::new())).1.insert(protocol);
            continue;
        }
        let usable = shared.get(&number).filter(|(_, protocols)| !protocols.contains(&protocol)).map(|(port, _)| *port);
        let chosen = usable.or_else(|| pool.free_port(taken, seed.wrapping_add(step)));
        let Some(chosen) = chosen else {
            return Err(Status::internal("failed to allocate a nodePort: range is full"));
        };
        step += 7;
        taken.insert(chosen);
        shared.entry(number).or_insert_with(|| (chosen, BTreeSet::new())).1.insert(protocol);
        port["nodePort"] = chosen.into();
    }
    Ok(())
}
