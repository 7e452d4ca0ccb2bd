//! Who else may say who somebody is: front proxies, files, providers of tokens and webhooks.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use authentication::configuration::{Claim, Issuer};
use authentication::jose::Algorithm;
use authentication::request_header::Names;
use clap::{ArgAction, Args};

use crate::authentication::configured::ConfigurationError;
use crate::duration;

/// The flags as written.
#[derive(Debug, Args)]
pub(crate) struct ForeignFlags {
    /// Authority of the certificates of front proxies, whose word on the user of a request counts.
    #[arg(long)]
    requestheader_client_ca_file: Option<PathBuf>,
    /// Common names of front proxies, comma separated; all that the authority signed if there are none.
    #[arg(long, value_delimiter = ',')]
    requestheader_allowed_names: Vec<String>,
    /// Headers with the name of the user, comma separated: X-Remote-User is common.
    #[arg(long, value_delimiter = ',')]
    requestheader_username_headers: Vec<String>,
    /// Headers with the uid of the user: X-Remote-Uid is common.
    #[arg(long, value_delimiter = ',')]
    requestheader_uid_headers: Vec<String>,
    /// Headers with the groups of the user: X-Remote-Group is common.
    #[arg(long, value_delimiter = ',')]
    requestheader_group_headers: Vec<String>,
    /// What stands before the names of headers with anything else: X-Remote-Extra- is common.
    #[arg(long, value_delimiter = ',')]
    requestheader_extra_headers_prefix: Vec<String>,
    /// File with tokens: token, user, uid and, perhaps, groups in each line.
    #[arg(long)]
    token_auth_file: Option<PathBuf>,
    /// Lets machines in with the tokens in secrets of type bootstrap.kubernetes.io/token in kube-system.
    #[arg(long, default_value_t = false, action = ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    enable_bootstrap_token_auth: bool,
    /// File with an `AuthenticationConfiguration`: issuers of tokens, and where nobody need say who they are. It is read again when it changes.
    #[arg(long)]
    authentication_config: Option<PathBuf>,
    /// URL of an issuer of tokens; only https.
    #[arg(long)]
    oidc_issuer_url: Option<String>,
    /// Who its tokens must be for.
    #[arg(long)]
    oidc_client_id: Option<String>,
    /// Authority of its server; those of the machine without.
    #[arg(long)]
    oidc_ca_file: Option<PathBuf>,
    /// Claim with the name of the user.
    #[arg(long, default_value = "sub")]
    oidc_username_claim: String,
    /// What is put before the name; the URL of the issuer unless the claim is email, nothing for -.
    #[arg(long, default_value = "")]
    oidc_username_prefix: String,
    /// Claim with the groups of the user.
    #[arg(long)]
    oidc_groups_claim: Option<String>,
    /// What is put before a group.
    #[arg(long, default_value = "")]
    oidc_groups_prefix: String,
    /// How its tokens may be signed, comma separated.
    #[arg(long, value_delimiter = ',', default_value = "RS256")]
    oidc_signing_algs: Vec<String>,
    /// Claims its tokens must have, each with its value: key=value.
    #[arg(long, value_delimiter = ',')]
    oidc_required_claim: Vec<String>,
    /// Kubeconfig of a server that is asked whose tokens are.
    #[arg(long)]
    authentication_token_webhook_config_file: Option<PathBuf>,
    /// How long its answers are remembered.
    #[arg(long, default_value = "2m", value_parser = duration::parse)]
    authentication_token_webhook_cache_ttl: Duration,
    /// Version of the reviews it understands.
    #[arg(long, default_value = "v1beta1")]
    authentication_token_webhook_version: String,
}

/// The flags, checked.
#[derive(Debug, Clone)]
pub(crate) struct ForeignOptions {
    /// Front proxies.
    pub(crate) front_proxy: Option<FrontProxyOptions>,
    /// The file of tokens.
    pub(crate) token_file: Option<PathBuf>,
    /// Whether bootstrap tokens are taken.
    pub(crate) bootstrap_tokens: bool,
    /// The file with issuers.
    pub(crate) configuration_file: Option<PathBuf>,
    /// The webhook.
    pub(crate) webhook: Option<WebhookOptions>,
    /// The issuer of the flags, and the file with its authority.
    issuer: Option<(Issuer, Option<PathBuf>)>,
}

/// Whose word on the user of a request counts, and in which headers it is.
#[derive(Debug, Clone)]
pub(crate) struct FrontProxyOptions {
    /// Authority of their certificates.
    pub(crate) authority: PathBuf,
    /// Their names.
    pub(crate) allowed: Vec<String>,
    /// The headers, in lower case.
    pub(crate) names: Names,
    /// The headers as they were written, for those who want to do the same.
    pub(crate) written: Names,
}

/// The server that is asked whose tokens are.
#[derive(Debug, Clone)]
pub(crate) struct WebhookOptions {
    /// The kubeconfig.
    pub(crate) file: PathBuf,
    /// How long answers are remembered.
    pub(crate) ttl: Duration,
    /// Version of the reviews.
    pub(crate) version: &'static str,
}

impl ForeignFlags {
    /// Checks the flags.
    pub(super) fn check(self, errors: &mut Vec<String>) -> ForeignOptions {
        let issuer = self.issuer(errors);
        if issuer.is_some() && self.authentication_config.is_some() {
            errors.push("--authentication-config and the --oidc-* flags are mutually exclusive".to_owned());
        }
        let version = match self.authentication_token_webhook_version.as_str() {
            "v1" => "v1",
            "v1beta1" => "v1beta1",
            other => {
                errors.push(format!("--authentication-token-webhook-version: {other:?} is not v1 or v1beta1"));
                "v1"
            }
        };
        let written = Names {
            user: self.requestheader_username_headers,
            uid: self.requestheader_uid_headers,
            group: self.requestheader_group_headers,
            extra: self.requestheader_extra_headers_prefix,
        };
        let lower = |names: &[String]| names.iter().map(|name| name.trim().to_ascii_lowercase()).collect::<Vec<_>>();
        let names = Names {
            user: lower(&written.user),
            uid: lower(&written.uid),
            group: lower(&written.group),
            extra: lower(&written.extra),
        };
        let every = [&names.user, &names.uid, &names.group, &names.extra];
        if every.into_iter().flatten().any(String::is_empty) {
            errors.push("--requestheader-*: empty value in a list of headers".to_owned());
        }
        let webhook = self.authentication_token_webhook_config_file;
        let ttl = self.authentication_token_webhook_cache_ttl;
        ForeignOptions {
            front_proxy: self.requestheader_client_ca_file.map(|authority| FrontProxyOptions {
                authority,
                allowed: self.requestheader_allowed_names,
                names,
                written,
            }),
            token_file: self.token_auth_file,
            bootstrap_tokens: self.enable_bootstrap_token_auth,
            configuration_file: self.authentication_config,
            webhook: webhook.map(|file| WebhookOptions { file, ttl, version }),
            issuer,
        }
    }

    fn issuer(&self, errors: &mut Vec<String>) -> Option<(Issuer, Option<PathBuf>)> {
        let (url, client) = match (&self.oidc_issuer_url, &self.oidc_client_id) {
            (None, None) => return None,
            (Some(url), Some(client)) => (url, client),
            (Some(_), None) | (None, Some(_)) => {
                errors.push("--oidc-issuer-url and --oidc-client-id must be specified together".to_owned());
                return None;
            }
        };
        if !url.starts_with("https://") {
            errors.push(format!("--oidc-issuer-url: URL scheme must be https: {url:?}"));
        }
        let mut algorithms = Vec::new();
        for name in &self.oidc_signing_algs {
            match Algorithm::parse(name) {
                Some(algorithm) => algorithms.push(algorithm),
                None => errors.push(format!("--oidc-signing-algs: unsupported signing alg: {name:?}")),
            }
        }
        let mut required = BTreeMap::new();
        for pair in &self.oidc_required_claim {
            match pair.split_once('=') {
                Some((claim, value)) => _ = required.insert(claim.to_owned(), value.to_owned()),
                None => errors.push(format!("--oidc-required-claim: {pair:?} is not key=value")),
            }
        }
        let claim = self.oidc_username_claim.clone();
        let prefix = match self.oidc_username_prefix.as_str() {
            "-" => String::new(),
            "" if claim != "email" => format!("{url}#"),
            prefix => prefix.to_owned(),
        };
        let groups = self.oidc_groups_claim.clone();
        let issuer = Issuer {
            url: url.clone(),
            discovery_url: None,
            authority: None,
            audiences: vec![client.clone()],
            algorithms,
            required,
            user: Claim { name: claim, prefix },
            groups: groups.map(|name| Claim { name, prefix: self.oidc_groups_prefix.clone() }),
            uid: None,
        };
        Some((issuer, self.oidc_ca_file.clone()))
    }
}

impl ForeignOptions {
    /// The issuers of the flags, with their authorities read.
    pub(crate) fn issuers(&self) -> Result<Vec<Issuer>, ConfigurationError> {
        let read = |(issuer, file): &(Issuer, Option<PathBuf>)| {
            let authority = file.as_ref().map(std::fs::read_to_string).transpose();
            Ok(Issuer { authority: authority.map_err(ConfigurationError::Read)?, ..issuer.clone() })
        };
        self.issuer.iter().map(read).collect()
    }
}
