//! What the command line and the admission configuration say.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// The flags of admission.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Flags {
    /// Plugins to turn on.
    pub(crate) on: Vec<String>,
    /// Plugins to turn off.
    pub(crate) off: Vec<String>,
    /// The file of the admission configuration.
    pub(crate) file: Option<PathBuf>,
    /// How long pods stay on a node that is not ready.
    pub(crate) not_ready_seconds: i64,
    /// How long pods stay on a node that is not reachable.
    pub(crate) unreachable_seconds: i64,
}

/// What the configuration says to each plugin.
#[derive(Debug, Default)]
pub(super) struct Configuration(BTreeMap<String, Value>);

impl Configuration {
    /// Reads an `AdmissionConfiguration`, and the files it names, relative to its own place.
    pub(super) fn read(file: Option<&Path>) -> Result<Self, String> {
        let Some(file) = file else { return Ok(Self::default()) };
        let about = |why: String| format!("--admission-control-config-file: {why}");
        let whole = read(file).map_err(about)?;
        let version = whole["apiVersion"].as_str().unwrap_or_default();
        if !["apiserver.config.k8s.io/v1", "apiserver.k8s.io/v1alpha1"].contains(&version)
            || whole["kind"] != "AdmissionConfiguration"
        {
            return Err(about(format!("{}: no AdmissionConfiguration of apiserver.config.k8s.io/v1", file.display())));
        }
        let mut all = BTreeMap::new();
        for plugin in whole["plugins"].as_array().into_iter().flatten() {
            let Some(name) = plugin["name"].as_str() else { return Err(about("a plugin has no name".to_owned())) };
            if !admission::ORDER.iter().any(|(known, _)| *known == name) {
                return Err(about(format!("{name:?} is no admission plugin")));
            }
            let own = &plugin["configuration"];
            let said = match plugin["path"].as_str().filter(|path| !path.is_empty()) {
                None => own.clone(),
                Some(_) if !own.is_null() => {
                    return Err(about(format!("{name}: path and configuration are both given")));
                }
                Some(path) => read(&file.parent().unwrap_or(Path::new("")).join(path)).map_err(about)?,
            };
            if all.insert(name.to_owned(), said).is_some() {
                return Err(about(format!("{name} is there twice")));
            }
        }
        Ok(Self(all))
    }

    /// The part of a plugin, null if there is none.
    pub(super) fn of(&self, name: &str) -> &Value {
        self.0.get(name).unwrap_or(&Value::Null)
    }
}

fn read(file: &Path) -> Result<Value, String> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    serde_saphyr::from_str(&text).map_err(|error| format!("{}: {error}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<Configuration, String> {
        let file = std::env::temp_dir().join(format!("admission-{}-{}.yaml", std::process::id(), text.len()));
        std::fs::write(&file, text).unwrap();
        let read = Configuration::read(Some(&file));
        std::fs::remove_file(file).unwrap();
        read
    }

    #[test]
    fn each_plugin_has_its_part() {
        let head = "apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\nplugins:\n";
        let read = read_text(&format!("{head}- name: PodNodeSelector\n  configuration: {{ a: b }}\n")).unwrap();
        assert_eq!(read.of("PodNodeSelector")["a"], "b");
        assert!(read.of("ResourceQuota").is_null());
        assert!(read_text(&format!("{head}- name: Nonsense\n")).unwrap_err().contains("is no admission plugin"));
        assert!(read_text("kind: Pod\n").is_err());
        assert!(Configuration::read(Some(Path::new("/nowhere"))).is_err());
    }
}
