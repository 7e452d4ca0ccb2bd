//! Quality of service: who is killed first when memory runs out.

use serde_json::Value;

use super::list;
use crate::object::Object;
use crate::quantity::Quantity;

/// `Guaranteed`, `Burstable` or `BestEffort`.
pub(super) fn class(pod: &Object) -> &'static str {
    let spec = pod.at(&["spec"]).unwrap_or(&Value::Null);
    let containers = || list(spec, "initContainers").iter().chain(list(spec, "containers"));
    let amount = |container: &Value, kind: &str, name: &str| {
        let text = container.get("resources")?.get(kind)?.get(name)?.as_str()?;
        Quantity::parse(text).ok().filter(|amount| !amount.is_zero() && !amount.is_negative())
    };
    let any = containers().any(|container| {
        ["requests", "limits"]
            .iter()
            .any(|kind| ["cpu", "memory"].iter().any(|name| amount(container, kind, name).is_some()))
    });
    if !any {
        return "BestEffort";
    }
    let guaranteed = containers().all(|container| {
        ["cpu", "memory"].iter().all(|name| {
            let limit = amount(container, "limits", name);
            let request = amount(container, "requests", name).or(limit);
            limit.is_some() && request == limit
        })
    });
    if guaranteed { "Guaranteed" } else { "Burstable" }
}
