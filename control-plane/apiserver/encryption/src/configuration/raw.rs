//! The file as it is written.

use serde::Deserialize;
use zeroize::Zeroizing;

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Configuration {
    pub(super) resources: Vec<Rule>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Rule {
    pub(super) resources: Vec<String>,
    pub(super) providers: Vec<Provider>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Provider {
    pub(super) aesgcm: Option<Keys>,
    pub(super) aescbc: Option<Keys>,
    pub(super) secretbox: Option<Keys>,
    pub(super) identity: Option<Identity>,
    pub(super) kms: Option<Kms>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Keys {
    pub(super) keys: Vec<Key>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Key {
    pub(super) name: String,
    #[serde(deserialize_with = "secret")]
    pub(super) secret: Zeroizing<String>,
}

fn secret<'de, D: serde::Deserializer<'de>>(source: D) -> Result<Zeroizing<String>, D::Error> {
    String::deserialize(source).map(Zeroizing::new)
}

#[derive(Deserialize)]
pub(super) struct Identity {}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Kms {
    #[serde(rename = "apiVersion")]
    pub(super) api_version: String,
    pub(super) name: String,
    pub(super) cachesize: Option<i32>,
    pub(super) endpoint: String,
    pub(super) timeout: Option<String>,
}

impl Kms {
    /// The version of the protocol; the first if none is named.
    pub(super) fn api_version(&self) -> &str {
        if self.api_version.is_empty() { "v1" } else { &self.api_version }
    }
}
