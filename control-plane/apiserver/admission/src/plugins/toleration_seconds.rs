//! How long a pod stays on a node that is lost.

use apiserver_core::{Object, Status};
use serde_json::{Value, json};

use super::Settings;
use crate::attributes::Attributes;
use crate::facts::Facts;
use crate::plugin::Plugin;
use crate::pods::{list_mut, text};

/// Lets pods that do not say wait for a lost node a while.
#[derive(Debug)]
pub(super) struct DefaultTolerationSeconds(pub(super) Settings);

impl Plugin for DefaultTolerationSeconds {
    fn name(&self) -> &'static str {
        "DefaultTolerationSeconds"
    }

    fn concerns(&self, attributes: &Attributes<'_>) -> bool {
        attributes.writes("", "pods")
    }

    fn mutate(&self, _: &Attributes<'_>, pod: &mut Object, _: &dyn Facts) -> Result<(), Status> {
        let Some(tolerations) = list_mut(pod, "spec", "tolerations") else { return Ok(()) };
        let waits = [
            ("node.kubernetes.io/not-ready", self.0.not_ready_seconds),
            ("node.kubernetes.io/unreachable", self.0.unreachable_seconds),
        ];
        let said = |one: &Value, key: &str| {
            matches!(text(one, "effect"), "" | "NoExecute") && (text(one, "key").is_empty() || text(one, "key") == key)
        };
        let missing: Vec<_> =
            waits.into_iter().filter(|(key, _)| !tolerations.iter().any(|one| said(one, key))).collect();
        tolerations.extend(missing.into_iter().map(|(key, seconds)| {
            json!({ "key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds })
        }));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{World, create};

    fn tolerations(given: Value) -> Value {
        let plugin = DefaultTolerationSeconds(Settings::default());
        let pod = json!({ "spec": { "tolerations": given } });
        create("", "pods").mutate(&plugin, pod, &World::default()).unwrap()["spec"]["tolerations"].take()
    }

    #[test]
    fn pods_wait_five_minutes_unless_they_say_otherwise() {
        let wait = |end: &str| json!({ "key": format!("node.kubernetes.io/{end}"), "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300 });
        assert_eq!(tolerations(Value::Null), json!([wait("not-ready"), wait("unreachable")]));
        let own = json!({ "key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5 });
        assert_eq!(tolerations(json!([own])), json!([own, wait("unreachable")]));
        let any = json!([{ "operator": "Exists" }]);
        assert_eq!(tolerations(any.clone()), any);
    }
}
