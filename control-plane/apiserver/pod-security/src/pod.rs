//! A pod, or a template of pods, as checks look at it.

use serde_json::Value;

/// Metadata and spec of a pod.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pod<'a> {
    metadata: &'a Value,
    /// The spec.
    pub(crate) spec: &'a Value,
}

/// A member that is there and is not `null`.
pub(crate) fn present<'a>(of: &'a Value, name: &str) -> Option<&'a Value> {
    of.get(name).filter(|value| !value.is_null())
}

/// A text; empty if it is not there.
pub(crate) fn text<'a>(of: &'a Value, name: &str) -> &'a str {
    of.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// The items of a list; none if it is not there.
pub(crate) fn items<'a>(of: &'a Value, name: &str) -> &'a [Value] {
    of.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The name of a container or of a volume.
pub(crate) fn name(of: &Value) -> &str {
    text(of, "name")
}

impl<'a> Pod<'a> {
    /// Of a pod, or of a pod template.
    pub(crate) fn new(object: &'a Value) -> Self {
        Self { metadata: &object["metadata"], spec: &object["spec"] }
    }

    /// Every container: those that run before, the lasting ones, those added for debugging.
    pub(crate) fn containers(self) -> impl Iterator<Item = &'a Value> {
        ["initContainers", "containers", "ephemeralContainers"].into_iter().flat_map(move |list| items(self.spec, list))
    }

    /// The security context of the pod.
    pub(crate) fn security_context(self) -> Option<&'a Value> {
        present(self.spec, "securityContext")
    }

    /// The annotations.
    pub(crate) fn annotations(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let members = self.metadata.get("annotations").and_then(Value::as_object);
        members.into_iter().flatten().filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
    }

    /// One annotation.
    pub(crate) fn annotation(self, key: &str) -> Option<&'a str> {
        self.metadata.get("annotations")?.get(key)?.as_str()
    }

    /// Whether the pod says that it runs on Windows.
    pub(crate) fn is_windows(self) -> bool {
        present(self.spec, "os").is_some_and(|os| name(os) == "windows")
    }

    /// Whether users in the pod are other users on the node.
    pub(crate) fn has_own_users(self) -> bool {
        self.spec.get("hostUsers") == Some(&Value::Bool(false))
    }

    /// The runtime class; empty if none is named.
    pub(crate) fn runtime_class(self) -> &'a str {
        text(self.spec, "runtimeClassName")
    }
}

/// The security context of a container.
pub(crate) fn context(container: &Value) -> Option<&Value> {
    present(container, "securityContext")
}

/// A member of a container's security context.
pub(crate) fn in_context<'a>(container: &'a Value, name: &str) -> Option<&'a Value> {
    present(context(container)?, name)
}
