//! Whether a request fits the quotas of its namespace.

use std::collections::BTreeSet;

use apiserver_core::{Object, Status};
use serde_json::Value;

use super::evaluator::{Evaluator, usage};
use super::scope;
use crate::attributes::{Attributes, Operation};
use crate::pods::{Amounts, add, amounts, items, text};

/// A quota as a round of requests finds and leaves it.
#[derive(Debug, Clone, PartialEq)]
pub struct Quota {
    name: String,
    hard: Amounts,
    used: Amounts,
    /// Its scopes as selectors.
    selectors: Vec<Value>,
}

impl Quota {
    /// A quota as it is in the store.
    pub fn of(quota: &Object) -> Self {
        Self {
            name: quota.name().unwrap_or_default().to_owned(),
            hard: amounts(quota.at(&["status", "hard"])),
            used: amounts(quota.at(&["status", "used"])),
            selectors: scope::selectors(quota),
        }
    }

    /// What is used, as `status.used` has it.
    pub fn used(&self) -> Value {
        crate::pods::written(&self.used)
    }
}

/// A resource that may only be used where a quota says how much.
#[derive(Debug, Clone, PartialEq)]
pub struct Limited {
    group: String,
    plural: String,
    contains: Vec<String>,
    scopes: Vec<Value>,
}

/// The limited resources of the plugin's configuration.
///
/// # Errors
///
/// When it is no configuration of the plugin.
pub fn limited(configuration: &Value) -> Result<Vec<Limited>, String> {
    if configuration.is_null() {
        return Ok(Vec::new());
    }
    let version = text(configuration, "apiVersion");
    let versions = [
        "apiserver.config.k8s.io/v1",
        "resourcequota.admission.k8s.io/v1beta1",
        "resourcequota.admission.k8s.io/v1alpha1",
    ];
    let kind = text(configuration, "kind");
    if !versions.contains(&version) || !["ResourceQuotaConfiguration", "Configuration"].contains(&kind) {
        return Err(format!("{kind} of {version} is no configuration of this plugin"));
    }
    items(configuration, "limitedResources")
        .iter()
        .map(|one| {
            if text(one, "resource").is_empty() {
                return Err("limitedResources: resource is required".to_owned());
            }
            Ok(Limited {
                group: text(one, "apiGroup").to_owned(),
                plural: text(one, "resource").to_owned(),
                contains: items(one, "matchContains").iter().filter_map(Value::as_str).map(str::to_owned).collect(),
                scopes: items(one, "matchScopes").to_vec(),
            })
        })
        .collect()
}

/// One request that uses something.
#[derive(Debug)]
pub struct Charge<'a> {
    /// The request.
    pub attributes: &'a Attributes<'a>,
    /// How its objects are measured.
    pub evaluator: Evaluator,
    /// The object.
    pub object: &'a Object,
    /// Wall-clock time.
    pub now: jiff::Timestamp,
}

/// Charges a request to every quota that holds for it. Says whether anything is used that was not before.
///
/// # Guarantees
///
/// After a refusal the quotas are as before.
///
/// # Errors
///
/// 403 when it does not fit.
pub fn charge(quotas: &mut [Quota], charge: &Charge<'_>, limited: &[Limited]) -> Result<bool, Status> {
    let Charge { attributes, evaluator, object, now } = *charge;
    let resource = attributes.resource;
    let refuse = |why: &str| attributes.forbidden(Some(object), why);
    let mut matching = Vec::new();
    let mut covered_scopes: Vec<&Value> = Vec::new();
    for (index, quota) in quotas.iter().enumerate() {
        let in_scope: Vec<&Value> =
            quota.selectors.iter().filter(|selector| evaluator.is_in_scope(object, selector)).collect();
        let in_all = in_scope.len() == quota.selectors.len();
        covered_scopes.extend(in_scope);
        let names: Vec<&str> =
            quota.hard.keys().map(String::as_str).filter(|name| evaluator.matches(resource, name)).collect();
        if !in_all || names.is_empty() {
            continue;
        }
        if let Some(missing) = evaluator.missing(object, &names) {
            return Err(refuse(&format!("failed quota: {}: {missing}", quota.name)));
        }
        if names.iter().any(|name| !quota.used.contains_key(*name)) {
            let why = format!("status unknown for quota: {}, resources: {}", quota.name, names.join(","));
            return Err(refuse(&why));
        }
        matching.push((index, names));
    }

    let used = usage(resource, evaluator, object, now);
    let negative: Vec<&str> =
        used.iter().filter(|(_, amount)| amount.is_negative()).map(|(name, _)| name.as_str()).collect();
    if !negative.is_empty() {
        return Err(refuse(&format!("quota usage is negative for resource(s): {}", negative.join(","))));
    }
    let before = attributes.old.filter(|_| attributes.operation == Operation::Update);
    let grown = before.map_or_else(|| used.clone(), |old| growth(&used, &usage(resource, evaluator, old, now)));
    // A quota that did not hold for the object before is charged with all of it.
    let delta = |quota: &Quota| {
        let held = before.is_none_or(|old| quota.selectors.iter().all(|one| evaluator.is_in_scope(old, one)));
        nonzero(if held { &grown } else { &used })
    };
    let charges: Vec<(usize, Amounts)> = matching
        .iter()
        .map(|(index, names)| {
            let mut delta = delta(&quotas[*index]);
            delta.retain(|name, _| names.contains(&name.as_str()));
            (*index, delta)
        })
        .collect();
    let nothing = if matching.is_empty() {
        nonzero(&grown).is_empty()
    } else {
        matching.iter().all(|(index, _)| delta(&quotas[*index]).is_empty())
    };
    if nothing {
        return Ok(false);
    }
    check_covered(charge, limited, &used, &matching, &covered_scopes)?;
    for (index, delta) in &charges {
        check_room(&quotas[*index], delta).map_err(|why| refuse(&why))?;
    }
    let mut changed = false;
    for (index, delta) in charges {
        changed |= !delta.is_empty();
        add(&mut quotas[index].used, &delta);
    }
    Ok(changed)
}

/// What is used more than before; less is given back by the controller.
fn growth(now: &Amounts, before: &Amounts) -> Amounts {
    let more =
        now.iter().map(|(name, amount)| (name.clone(), before.get(name).map_or(*amount, |had| amount.minus(*had))));
    more.filter(|(_, amount)| !amount.is_negative()).collect()
}

fn nonzero(amounts: &Amounts) -> Amounts {
    amounts.iter().filter(|(_, amount)| !amount.is_zero()).map(|(name, amount)| (name.clone(), *amount)).collect()
}

/// What may only be used where a quota says how much must be in one.
fn check_covered(
    charge: &Charge<'_>,
    limited: &[Limited],
    used: &Amounts,
    matching: &[(usize, Vec<&str>)],
    covered_scopes: &[&Value],
) -> Result<(), Status> {
    let Charge { attributes, evaluator, object, .. } = *charge;
    let resource = attributes.resource;
    let own = limited.iter().filter(|one| one.group == resource.group && one.plural == resource.plural);
    let restricted: BTreeSet<&str> = matching.iter().flat_map(|(_, names)| names.iter().copied()).collect();
    let mut uncovered = BTreeSet::new();
    for one in own {
        let wanted = used.iter().filter(|(_, amount)| !amount.is_zero() && !amount.is_negative());
        let wanted = wanted.filter(|(name, _)| one.contains.iter().any(|part| name.contains(part.as_str())));
        uncovered.extend(wanted.map(|(name, _)| name.as_str()).filter(|name| !restricted.contains(name)));
    }
    if !uncovered.is_empty() {
        let names: Vec<&str> = uncovered.into_iter().collect();
        return Err(attributes.forbidden(Some(object), &format!("insufficient quota to consume: {}", names.join(","))));
    }
    let scopes = limited.iter().flat_map(|one| &one.scopes).filter(|scope| evaluator.is_in_scope(object, scope));
    let open: Vec<String> = scopes.filter(|scope| !covered_scopes.contains(scope)).map(shown_scope).collect();
    if open.is_empty() {
        return Ok(());
    }
    Err(Status::unclassified(format!("insufficient quota to match these scopes: [{}]", open.join(" "))))
}

fn shown_scope(scope: &Value) -> String {
    let values: Vec<&str> = items(scope, "values").iter().filter_map(Value::as_str).collect();
    format!("{{{} {} [{}]}}", text(scope, "scopeName"), text(scope, "operator"), values.join(" "))
}

fn check_room(quota: &Quota, delta: &Amounts) -> Result<(), String> {
    let (mut requested, mut used, mut limited) = (Vec::new(), Vec::new(), Vec::new());
    for (name, more) in delta {
        let (Some(had), Some(hard)) = (quota.used.get(name), quota.hard.get(name)) else { continue };
        if had.plus(*more) > *hard {
            requested.push(format!("{name}={more}"));
            used.push(format!("{name}={had}"));
            limited.push(format!("{name}={hard}"));
        }
    }
    if requested.is_empty() {
        return Ok(());
    }
    Err(format!(
        "exceeded quota: {}, requested: {}, used: {}, limited: {}",
        quota.name,
        requested.join(","),
        used.join(","),
        limited.join(",")
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{Request, create, object, update};

    fn quota(hard: &Value, used: &Value, spec: &Value) -> Quota {
        Quota::of(&object(
            json!({ "metadata": { "name": "q" }, "spec": spec, "status": { "hard": hard, "used": used } }),
        ))
    }

    fn ask(request: &Request, value: Value, quotas: &mut [Quota], limited: &[Limited]) -> Result<bool, String> {
        let (attributes, object) = (request.attributes(), object(value));
        let evaluator = Evaluator::of(attributes.resource).unwrap();
        let now = "2026-08-01T10:00:00Z".parse().unwrap();
        charge(quotas, &Charge { attributes: &attributes, evaluator, object: &object, now }, limited)
            .map_err(|status| status.message)
    }

    fn pod(cpu: &str) -> Value {
        json!({ "metadata": { "name": "p" }, "spec": { "containers": [{ "name": "c", "resources": { "requests": { "cpu": cpu } } }] } })
    }

    #[test]
    fn what_fits_is_charged_and_what_does_not_is_refused() {
        let mut quotas =
            [quota(&json!({ "cpu": "2", "pods": "5" }), &json!({ "cpu": "500m", "pods": "1" }), &json!({}))];
        assert_eq!(ask(&create("", "pods"), pod("1"), &mut quotas, &[]), Ok(true));
        assert_eq!(quotas[0].used(), json!({ "cpu": "1500m", "pods": "2" }));
        let before = quotas.clone();
        assert_eq!(
            ask(&create("", "pods"), pod("600m"), &mut quotas, &[]),
            Err("pods \"p\" is forbidden: exceeded quota: q, requested: cpu=600m, used: cpu=1500m, limited: cpu=2"
                .into())
        );
        assert_eq!(quotas, before);
        let silent = json!({ "metadata": { "name": "p" }, "spec": { "containers": [{ "name": "c" }] } });
        assert_eq!(
            ask(&create("", "pods"), silent, &mut quotas, &[]),
            Err("pods \"p\" is forbidden: failed quota: q: must specify cpu for: c".into())
        );
    }

    #[test]
    fn a_quota_nobody_has_measured_lets_nothing_in() {
        let mut quotas = [quota(&json!({ "configmaps": "2" }), &json!({}), &json!({}))];
        let map = || json!({ "metadata": { "name": "m" } });
        assert_eq!(
            ask(&create("", "configmaps"), map(), &mut quotas, &[]),
            Err("configmaps \"m\" is forbidden: status unknown for quota: q, resources: configmaps".into())
        );
        assert_eq!(ask(&create("", "secrets"), map(), &mut quotas, &[]), Ok(false));
    }

    #[test]
    fn a_change_is_charged_with_what_it_adds() {
        let service =
            |kind: &str| json!({ "metadata": { "name": "a" }, "spec": { "type": kind, "ports": [{ "port": 1 }] } });
        let hard = json!({ "services": "1", "services.nodeports": "1" });
        let mut quotas = [quota(&hard, &json!({ "services": "1", "services.nodeports": "0" }), &json!({}))];
        assert_eq!(
            ask(&update("", "services", None, service("ClusterIP")), service("NodePort"), &mut quotas, &[]),
            Ok(true)
        );
        assert_eq!(quotas[0].used(), json!({ "services": "1", "services.nodeports": "1" }));
        assert_eq!(
            ask(&update("", "services", None, service("NodePort")), service("ClusterIP"), &mut quotas, &[]),
            Ok(false)
        );
        assert!(ask(&create("", "services"), service("ClusterIP"), &mut quotas, &[]).is_err());
    }

    #[test]
    fn a_quota_holds_for_its_scopes() {
        let best_effort = json!({ "scopes": ["BestEffort"] });
        let mut quotas = [quota(&json!({ "pods": "0" }), &json!({ "pods": "0" }), &best_effort)];
        assert_eq!(ask(&create("", "pods"), pod("1"), &mut quotas, &[]), Ok(false));
        assert!(ask(&create("", "pods"), pod("0"), &mut quotas, &[]).is_err());
    }

    #[test]
    fn what_is_limited_needs_a_quota() {
        let limits = limited(&json!({
            "apiVersion": "apiserver.config.k8s.io/v1", "kind": "ResourceQuotaConfiguration",
            "limitedResources": [
                { "resource": "persistentvolumeclaims", "matchContains": [".storageclass.storage.k8s.io/requests.storage"] },
                { "resource": "pods", "matchScopes": [{ "scopeName": "PriorityClass", "operator": "In", "values": ["high"] }] },
            ],
        }))
        .unwrap();
        let claim = json!({
            "metadata": { "name": "c" }, "spec": { "storageClassName": "gold", "resources": { "requests": { "storage": "1Gi" } } },
        });
        assert_eq!(
            ask(&create("", "persistentvolumeclaims"), claim.clone(), &mut [], &limits),
            Err("persistentvolumeclaims \"c\" is forbidden: insufficient quota to consume: gold.storageclass.storage.k8s.io/requests.storage".into())
        );
        let name = "gold.storageclass.storage.k8s.io/requests.storage";
        let mut quotas = [quota(&json!({ name: "2Gi" }), &json!({ name: "0" }), &json!({}))];
        assert_eq!(ask(&create("", "persistentvolumeclaims"), claim, &mut quotas, &limits), Ok(true));
        let mut important = pod("1");
        important["spec"]["priorityClassName"] = "high".into();
        assert_eq!(
            ask(&create("", "pods"), important, &mut [], &limits),
            Err("insufficient quota to match these scopes: [{PriorityClass In [high]}]".into())
        );
        assert!(limited(&json!({ "kind": "Pod" })).is_err());
    }
}
