//! The file as written.

use serde::Deserialize;

const GROUP: &str = "apiserver.config.k8s.io";
const VERSIONS: [&str; 3] = ["v1", "v1beta1", "v1alpha1"];

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Configuration {
    pub(super) api_version: String,
    pub(super) kind: String,
    #[serde(default)]
    pub(super) jwt: Vec<Authenticator>,
    pub(super) anonymous: Option<Anonymous>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Anonymous {
    pub(super) enabled: bool,
    #[serde(default)]
    pub(super) conditions: Vec<Condition>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Condition {
    pub(super) path: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Authenticator {
    pub(super) issuer: Issuer,
    #[serde(default)]
    pub(super) claim_validation_rules: Vec<Rule>,
    pub(super) claim_mappings: Mappings,
    #[serde(default)]
    pub(super) user_validation_rules: Vec<UserRule>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Issuer {
    #[serde(default)]
    pub(super) url: String,
    #[serde(default, rename = "discoveryURL")]
    pub(super) discovery_url: Option<String>,
    #[serde(default)]
    pub(super) certificate_authority: String,
    #[serde(default)]
    pub(super) audiences: Vec<String>,
    #[serde(default)]
    pub(super) audience_match_policy: String,
    #[serde(default)]
    pub(super) egress_selector_type: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Rule {
    #[serde(default)]
    pub(super) claim: String,
    #[serde(default)]
    pub(super) required_value: String,
    #[serde(default)]
    pub(super) expression: String,
    #[serde(default)]
    pub(super) message: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UserRule {
    #[expect(dead_code, reason = "the field is known, and refused with its rule")]
    pub(super) expression: String,
    #[serde(default)]
    #[expect(dead_code, reason = "the field is known, and refused with its rule")]
    pub(super) message: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Mappings {
    pub(super) username: Prefixed,
    #[serde(default)]
    pub(super) groups: Prefixed,
    #[serde(default)]
    pub(super) uid: Plain,
    #[serde(default)]
    pub(super) extra: Vec<Extra>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Prefixed {
    #[serde(default)]
    pub(super) claim: String,
    pub(super) prefix: Option<String>,
    #[serde(default)]
    pub(super) expression: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Plain {
    #[serde(default)]
    pub(super) claim: String,
    #[serde(default)]
    pub(super) expression: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Extra {
    #[expect(dead_code, reason = "the field is known, and refused with its expression")]
    pub(super) key: String,
    #[expect(dead_code, reason = "the field is known, and refused with its expression")]
    pub(super) value_expression: String,
}

/// Reads a file, strictly: an unknown field is a mistake in who is let in.
pub(super) fn read(text: &[u8]) -> Result<Configuration, String> {
    let text = std::str::from_utf8(text).map_err(|error| error.to_string())?;
    let read: Configuration = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
    let (group, version) = read.api_version.split_once('/').unwrap_or(("", &read.api_version));
    if group != GROUP || !VERSIONS.contains(&version) || read.kind != "AuthenticationConfiguration" {
        return Err(format!(
            "no kind {:?} is registered for version {:?}: expected AuthenticationConfiguration of {GROUP}/v1",
            read.kind, read.api_version
        ));
    }
    Ok(read)
}
