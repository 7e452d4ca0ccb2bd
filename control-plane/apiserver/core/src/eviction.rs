//! Evictions: deletions of pods that disruption budgets have a say in.

use crate::engine::Context;
use crate::kinds;
use crate::object::Object;
use crate::resource::Resource;
use crate::status::Status;
use crate::time;

/// Evictions a budget remembers until its controller has seen them; more means that nobody looks.
const REMEMBERED: usize = 2000;
/// When to come back to a budget whose controller has not looked at it yet.
const PROCESSING_SECONDS: u32 = 10;

/// What budgets say to an eviction.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// No budget minds.
    Free,
    /// No budget minds as long as the pod is as it is: delete this version only.
    FreeAsItIs,
    /// The budget of that name must allow it: [`spend`] from it first.
    Ask(String),
}

/// Whether a budget has to be asked. `budgets` are those of the pod's namespace.
///
/// # Errors
///
/// 500 for a pod that more than one budget covers: none of them could be kept.
pub fn judge<'a>(pod: &Object, budgets: impl IntoIterator<Item = &'a Object>) -> Result<Verdict, Status> {
    let over = matches!(pod.text(&["status", "phase"]), Some("Succeeded" | "Failed" | "Pending"));
    if over || pod.deletion_timestamp().is_some() {
        return Ok(Verdict::Free);
    }
    let mut covering = budgets.into_iter().filter(|budget| kinds::selects(budget.at(&["spec", "selector"]), pod));
    let Some(budget) = covering.next() else { return Ok(Verdict::Free) };
    if covering.next().is_some() {
        return Err(Status::unclassified(
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
        ));
    }
    let ready = pod.list(&["status", "conditions"]).iter().any(|one| one["type"] == "Ready" && one["status"] == "True");
    let healthy = budget.integer(&["status", "currentHealthy"]).unwrap_or(0);
    let wanted = budget.integer(&["status", "desiredHealthy"]).unwrap_or(0);
    let always = budget.text(&["spec", "unhealthyPodEvictionPolicy"]) == Some("AlwaysAllow");
    // A pod that does not work is missed by nobody, once enough others do (or where that does not matter).
    if !ready && (always || (healthy >= wanted && wanted > 0)) {
        return Ok(Verdict::FreeAsItIs);
    }
    Ok(Verdict::Ask(budget.name().unwrap_or_default().to_owned()))
}

/// The budget after it has allowed the eviction of a pod, for its `status` subresource.
///
/// # Errors
///
/// 429 when it does not allow it now; 403 when its status makes no sense.
pub fn spend(resource: &Resource, budget: &Object, pod: &str, context: &Context<'_>) -> Result<Object, Status> {
    const REFUSED: &str = "Cannot evict pod as it would violate the pod's disruption budget.";
    let name = budget.name().unwrap_or_default();
    let number = |member: &str| budget.integer(&["status", member]).unwrap_or(0);
    if number("observedGeneration") < budget.generation().unwrap_or(0) {
        let why = format!("The disruption budget {name} is still being processed by the server.");
        return Err(Status::disruption_budget(REFUSED, &why, PROCESSING_SECONDS));
    }
    let allowed = number("disruptionsAllowed");
    if allowed < 0 {
        return Err(Status::forbidden(resource, name, "pdb disruptions allowed is negative"));
    }
    let remembered =
        budget.at(&["status", "disruptedPods"]).and_then(|pods| pods.as_object()).map_or(0, serde_json::Map::len);
    if remembered > REMEMBERED {
        return Err(Status::forbidden(
            resource,
            name,
            "DisruptedPods map too big - too many evictions not confirmed by PDB controller",
        ));
    }
    if allowed == 0 {
        let (wanted, healthy) = (number("desiredHealthy"), number("currentHealthy"));
        let why = format!("The disruption budget {name} needs {wanted} healthy pods and has {healthy} currently");
        return Err(Status::disruption_budget(REFUSED, &why, 0));
    }
    let mut spent = budget.clone();
    spent.set(&["status", "disruptionsAllowed"], allowed - 1);
    spent.set(&["status", "disruptedPods", pod], time::seconds(context.now));
    Ok(spent)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::kinds::testing::{context, row};

    fn object(value: Value) -> Object {
        Object::from_value(value).expect("an object")
    }

    fn pod(phase: &str, ready: &str) -> Object {
        object(json!({
            "metadata": { "name": "p", "labels": { "app": "web" } },
            "status": { "phase": phase, "conditions": [{ "type": "Ready", "status": ready }] },
        }))
    }

    fn budget(name: &str, app: &str, status: &Value) -> Object {
        object(json!({
            "metadata": { "name": name, "generation": 1 }, "spec": { "selector": { "matchLabels": { "app": app } } },
            "status": status,
        }))
    }

    #[test]
    fn a_budget_is_asked_for_pods_that_matter() {
        let full = json!({ "currentHealthy": 3, "desiredHealthy": 2 });
        let (web, db) = (budget("web", "web", &full), budget("db", "db", &full));
        assert_eq!(judge(&pod("Running", "True"), [&web, &db]), Ok(Verdict::Ask("web".into())));
        assert_eq!(judge(&pod("Running", "True"), [&db]), Ok(Verdict::Free));
        assert_eq!(judge(&pod("Pending", "False"), [&web]), Ok(Verdict::Free));
        assert_eq!(judge(&pod("Running", "False"), [&web]), Ok(Verdict::FreeAsItIs));
        let short = budget("web", "web", &json!({ "currentHealthy": 1, "desiredHealthy": 2 }));
        assert_eq!(judge(&pod("Running", "False"), [&short]), Ok(Verdict::Ask("web".into())));
        assert_eq!(judge(&pod("Running", "True"), [&web, &web]).map_err(|status| status.code), Err(500));
    }

    #[test]
    fn a_budget_is_spent_until_it_is_empty() {
        let row = row("policy", "poddisruptionbudgets");
        let spent = spend(
            &row,
            &budget("web", "web", &json!({ "observedGeneration": 1, "disruptionsAllowed": 1 })),
            "p",
            &context(),
        )
        .expect("one is allowed");
        assert_eq!(
            spent.at(&["status"]),
            Some(
                &json!({ "observedGeneration": 1, "disruptionsAllowed": 0, "disruptedPods": { "p": "2026-08-01T10:00:00Z" } })
            )
        );
        let refused = spend(&row, &spent, "q", &context()).expect_err("none is left");
        assert_eq!(refused.code, 429);
        assert_eq!(refused.message, "Cannot evict pod as it would violate the pod's disruption budget.");
        let details = refused.details.expect("details");
        assert_eq!(details.causes[0].reason, "DisruptionBudget");
        assert_eq!(details.causes[0].message, "The disruption budget web needs 0 healthy pods and has 0 currently");
        let new = spend(&row, &budget("web", "web", &json!({})), "p", &context()).expect_err("nobody has looked");
        assert_eq!((new.code, new.details.map(|details| details.retry_after_seconds)), (429, Some(10)));
    }
}
