//! The orlopconfig: which machines there are and how to prove who is calling. Same idea as a kubeconfig.

use std::fs;
use std::io;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::error::Error;

const API_VERSION: &str = "orlop.dev/v1alpha1";
const KIND: &str = "ClientConfig";
/// It holds private keys.
const PRIVATE: u32 = 0o600;

/// The file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ClientConfig {
    api_version: String,
    kind: String,
    /// Name of the context that is used when none is asked for.
    pub(crate) current_context: String,
    pub(crate) contexts: Vec<Context>,
}

/// One machine, as one operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Context {
    pub(crate) name: String,
    /// `host:port`
    pub(crate) endpoint: String,
    ca: String,
    cert: String,
    key: String,
}

/// The PEM texts of a context.
pub(crate) struct Credentials {
    pub(crate) ca: Vec<u8>,
    pub(crate) cert: Vec<u8>,
    pub(crate) key: Vec<u8>,
}

impl ClientConfig {
    /// Reads the file.
    pub(crate) fn load(path: &Path) -> Result<Self, Error> {
        let text = fs::read_to_string(path).map_err(|source| Error::Read { path: path.into(), source })?;
        Self::parse(path, &text)
    }

    fn load_or_empty(path: &Path) -> Result<Self, Error> {
        match Self::load(path) {
            Err(Error::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(Self {
                api_version: API_VERSION.into(),
                kind: KIND.into(),
                current_context: String::new(),
                contexts: Vec::new(),
            }),
            other => other,
        }
    }

    fn parse(path: &Path, text: &str) -> Result<Self, Error> {
        let wrong = |why: String| Error::Config { path: path.into(), why };
        let config: Self = serde_saphyr::from_str(text).map_err(|error| wrong(error.to_string()))?;
        if config.api_version != API_VERSION || config.kind != KIND {
            return Err(wrong(format!(
                "apiVersion and kind must be {API_VERSION} and {KIND}, not {} and {}",
                config.api_version, config.kind
            )));
        }
        Ok(config)
    }

    /// The context of this name, or the current one.
    pub(crate) fn context(&self, path: &Path, name: Option<&str>) -> Result<&Context, Error> {
        let name = name.unwrap_or(&self.current_context);
        self.contexts.iter().find(|context| context.name == name).ok_or_else(|| Error::NoContext {
            path: path.into(),
            name: name.into(),
            known: self.contexts.iter().map(|context| context.name.as_str()).collect::<Vec<_>>().join(", "),
        })
    }

    /// Adds or replaces a context in the file and makes it the current one. Other contexts stay.
    pub(crate) fn put(path: &Path, context: Context) -> Result<(), Error> {
        let mut config = Self::load_or_empty(path)?;
        config.current_context.clone_from(&context.name);
        config.keep(path, context)
    }

    /// Replaces a context in the file. The current one stays the current one.
    pub(crate) fn replace(path: &Path, context: Context) -> Result<(), Error> {
        Self::load(path)?.keep(path, context)
    }

    fn keep(mut self, path: &Path, context: Context) -> Result<(), Error> {
        let config = &mut self;
        match config.contexts.iter_mut().find(|old| old.name == context.name) {
            Some(old) => *old = context,
            None => config.contexts.push(context),
        }
        let text = serde_saphyr::to_string(config)
            .map_err(|error| Error::Config { path: path.into(), why: error.to_string() })?;
        let write = |source| Error::Write { path: path.into(), source };
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder).map_err(write)?;
        }
        durable::write(path, text.as_bytes(), PRIVATE).map_err(write)
    }
}

impl Context {
    pub(crate) fn new(name: String, endpoint: String, credentials: &Credentials) -> Self {
        Self {
            name,
            endpoint,
            ca: STANDARD.encode(&credentials.ca),
            cert: STANDARD.encode(&credentials.cert),
            key: STANDARD.encode(&credentials.key),
        }
    }

    pub(crate) fn credentials(&self, path: &Path) -> Result<Credentials, Error> {
        let decode = |field: &str, value: &str| {
            STANDARD.decode(value).map_err(|error| Error::Config {
                path: path.into(),
                why: format!("contexts[{}].{field} is not base64: {error}", self.name),
            })
        };
        Ok(Credentials {
            ca: decode("ca", &self.ca)?,
            cert: decode("cert", &self.cert)?,
            key: decode("key", &self.key)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(name: &str, endpoint: &str) -> Context {
        let pem = Credentials { ca: b"ca".into(), cert: b"cert".into(), key: b"key".into() };
        Context::new(name.into(), endpoint.into(), &pem)
    }

    #[test]
    fn contexts_are_added_and_replaced_and_others_stay() {
        let folder = std::env::temp_dir().join(format!("orlopconfig-{}", std::process::id()));
        let path = folder.join("deep").join("config");
        ClientConfig::put(&path, context("one", "a:1")).unwrap();
        ClientConfig::put(&path, context("two", "b:2")).unwrap();
        ClientConfig::put(&path, context("one", "c:3")).unwrap();
        ClientConfig::replace(&path, context("two", "b:2")).unwrap();
        let config = ClientConfig::load(&path).unwrap();
        assert_eq!(config.contexts, [context("one", "c:3"), context("two", "b:2")]);
        assert_eq!(config.context(&path, None).unwrap().endpoint, "c:3");
        assert_eq!(config.context(&path, Some("two")).unwrap().credentials(&path).unwrap().key, b"key");
        let missing = config.context(&path, Some("three")).unwrap_err().to_string();
        assert!(missing.ends_with("has no context \"three\"; it has: one, two"), "{missing}");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn another_kind_of_file_is_refused() {
        let text = "apiVersion: v1\nkind: Config\ncurrentContext: a\ncontexts: []\n";
        let error = ClientConfig::parse(Path::new("f"), text).unwrap_err().to_string();
        assert_eq!(
            error,
            "f is not an orlopconfig: apiVersion and kind must be orlop.dev/v1alpha1 and ClientConfig, not v1 and Config"
        );
        assert!(ClientConfig::parse(Path::new("f"), "{]").is_err());
    }
}
