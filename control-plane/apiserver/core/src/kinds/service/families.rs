//! Which address families a Service has: what the client asked for, what its addresses are, what the cluster has.

use serde_json::Value;

use super::pool::ClusterIps;
use super::{HEADLESS, Kind, cidr, is_headless, validation};
use crate::field::{Errors, Path};
use crate::object::Object;
use crate::status::Status;

const POLICY: [&str; 2] = ["spec", "ipFamilyPolicy"];
const FAMILIES: [&str; 2] = ["spec", "ipFamilies"];
const CLUSTER_IPS: [&str; 2] = ["spec", "clusterIPs"];
const SINGLE: &str = "SingleStack";
const PREFER: &str = "PreferDualStack";
const REQUIRE: &str = "RequireDualStack";

/// Fills in the policy and the families.
///
/// # Errors
///
/// 422 for wishes that contradict each other, or that this cluster cannot fulfil.
pub(super) fn settle(service: &mut Object, old: Option<&Object>, pool: &ClusterIps) -> Result<(), Status> {
    // Nobody gains or loses an address only because the cluster has.
    if !Kind::of(service).has_cluster_ip() || old.is_some_and(|old| prefers_what_it_has(service, old)) {
        return Ok(());
    }
    let without_selector = is_headless(service)
        && service.at(&["spec", "selector"]).and_then(Value::as_object).is_none_or(serde_json::Map::is_empty);
    if service.text(&POLICY).is_none() {
        let policy = match old.and_then(|old| old.text(&POLICY)) {
            Some(policy) => policy,
            None if without_selector => REQUIRE,
            None => SINGLE,
        };
        service.set(&POLICY, policy);
    }
    let mut errors = Errors::new();
    validation::validate_cluster_ips(service, &mut errors);
    refuse(service, &errors)?;
    if let Some(old) = old {
        settle_change(service, old, &mut errors);
    }
    settle_from_addresses(service, pool, &mut errors);
    refuse(service, &errors)?;
    if without_selector {
        // Nothing of the cluster's stands behind it: it may have what it wants.
        let mut families = texts(service, &FAMILIES);
        if families.is_empty() {
            families.extend(pool.families().first().map(|family| (*family).to_owned()));
        }
        if families.len() == 1 && policy(service) != SINGLE {
            families.push(other(&families[0]).to_owned());
        }
        service.set(&FAMILIES, families);
        return Ok(());
    }
    if policy(service) == REQUIRE && pool.families().len() < 2 {
        let why = "this cluster is not configured for dual-stack services";
        errors.invalid(&Path::new("spec.ipFamilyPolicy"), REQUIRE, why);
    }
    for (index, family) in texts(service, &FAMILIES).iter().enumerate() {
        if !pool.families().contains(&family.as_str()) {
            let path = Path::new("spec.ipFamilies").index(index);
            errors.invalid(&path, family.as_str(), "not configured on this cluster");
        }
    }
    refuse(service, &errors)?;
    let mut families = texts(service, &FAMILIES);
    if families.is_empty() {
        families.extend(pool.families().first().map(|family| (*family).to_owned()));
    }
    if families.len() == 1 && policy(service) != SINGLE && pool.families().len() == 2 {
        families.push(other(&families[0]).to_owned());
    }
    service.set(&FAMILIES, families);
    Ok(())
}

fn policy(service: &Object) -> &str {
    service.text(&POLICY).unwrap_or_default()
}

fn texts(service: &Object, path: &[&str]) -> Vec<String> {
    service.list(path).iter().filter_map(|one| one.as_str().map(str::to_owned)).collect()
}

fn other(family: &str) -> &'static str {
    if family == "IPv4" { "IPv6" } else { "IPv4" }
}

fn prefers_what_it_has(new: &Object, old: &Object) -> bool {
    policy(new) == PREFER
        && policy(old) == PREFER
        && Kind::of(old).has_cluster_ip()
        && texts(new, &CLUSTER_IPS) == texts(old, &CLUSTER_IPS)
        && texts(new, &FAMILIES) == texts(old, &FAMILIES)
}

/// What a change of the policy, or of the lists, means for the other.
fn settle_change(service: &mut Object, old: &Object, errors: &mut Errors) {
    for (path, what) in [(CLUSTER_IPS, "cluster IP"), (FAMILIES, "IP family")] {
        let (before, mut after) = (texts(old, &path), texts(service, &path));
        if policy(service) == SINGLE {
            // Who wants one family and leaves the lists alone wants the first.
            if before == after && after.len() > 1 {
                after.truncate(1);
                service.set(&path, after);
            }
        } else if !after.is_empty() && after.len() < before.len() && before.starts_with(&after) {
            let why = format!("must be 'SingleStack' to release the secondary {what}");
            errors.invalid(&Path::new("spec.ipFamilyPolicy"), policy(service), &why);
        }
    }
}

fn settle_from_addresses(service: &mut Object, pool: &ClusterIps, errors: &mut Errors) {
    let path = Path::new("spec.ipFamilyPolicy");
    let addresses = texts(service, &CLUSTER_IPS);
    let mut families = texts(service, &FAMILIES);
    if policy(service) == SINGLE {
        for (count, what) in [(addresses.len(), "cluster IPs"), (families.len(), "IP families")] {
            if count == 2 {
                let why = format!("must be 'RequireDualStack' or 'PreferDualStack' when multiple {what} are specified");
                errors.invalid(&path, SINGLE, &why);
            }
        }
    }
    for (index, text) in addresses.iter().enumerate().take_while(|(_, text)| *text != HEADLESS) {
        let Ok(address) = text.parse() else { continue };
        let family = cidr::family(address);
        if index < families.len() {
            continue;
        }
        if pool.families().contains(&family) {
            families.push(family.to_owned());
        } else {
            let why = format!("{family} is not configured on this cluster");
            errors.invalid(&Path::new("spec.clusterIPs").index(index), addresses.clone(), &why);
        }
    }
    if !families.is_empty() {
        service.set(&FAMILIES, families);
    }
}

fn refuse(service: &Object, errors: &Errors) -> Result<(), Status> {
    if errors.is_empty() {
        return Ok(());
    }
    Err(Status::invalid("", "Service", service.name().unwrap_or_default(), errors))
}
