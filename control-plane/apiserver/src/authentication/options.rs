//! The part of the command line that says who is let in.

mod foreign;

use std::ops::Deref;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args};

use crate::duration;

pub(crate) use foreign::FrontProxyOptions;
use foreign::{ForeignFlags, ForeignOptions};

/// The longest a token may be good.
const MOST_EXPIRATION: u64 = 1 << 32;

/// The flags as written.
#[derive(Debug, Args)]
pub(crate) struct AuthenticationFlags {
    /// Lets requests without credentials in as `system:anonymous`.
    #[arg(long, default_value_t = false, action = ArgAction::Set)]
    anonymous_auth: bool,
    /// Identifiers of this server, comma separated: tokens must be for one of them. The issuers, if there are none.
    #[arg(long, value_delimiter = ',')]
    api_audiences: Vec<String>,
    /// Files with keys that tokens of service accounts may be signed with, public or private ones. May be given several times; the key of
    /// this server if it is not.
    #[arg(long)]
    service_account_key_file: Vec<PathBuf>,
    /// File with the private key that signs tokens of service accounts.
    #[arg(long)]
    service_account_signing_key_file: Option<PathBuf>,
    /// Issuer in tokens of service accounts. May be given several times: the first one issues, all are accepted.
    #[arg(long)]
    service_account_issuer: Vec<String>,
    /// URL of the keys in the document of discovery, when others reach them elsewhere than this server.
    #[arg(long)]
    service_account_jwks_uri: Option<String>,
    /// Looks whether the secret of a legacy token is still there.
    #[arg(long, default_value_t = true, action = ArgAction::Set)]
    service_account_lookup: bool,
    /// How long a token of a service account is good at most; longer requests are shortened.
    #[arg(long, default_value = "0s", value_parser = duration::parse)]
    service_account_max_token_expiration: Duration,
    /// Lets the tokens that volumes of pods get by default be good for a year, and counts who needs that.
    #[arg(long, default_value_t = true, action = ArgAction::Set)]
    service_account_extend_token_expiration: bool,
    #[command(flatten)]
    foreign: ForeignFlags,
}

/// The flags, checked.
#[derive(Debug, Clone)]
pub(crate) struct AuthenticationOptions {
    /// Whether anonymous requests are let in.
    pub(crate) anonymous: bool,
    /// Identifiers of this server.
    pub(crate) audiences: Vec<String>,
    /// How long a good token is remembered.
    pub(crate) token_success_ttl: Duration,
    /// Tokens of service accounts; none without a key.
    pub(crate) service_accounts: Option<ServiceAccountOptions>,
    /// Who else may say who somebody is.
    foreign: ForeignOptions,
}

impl Deref for AuthenticationOptions {
    type Target = ForeignOptions;

    fn deref(&self) -> &ForeignOptions {
        &self.foreign
    }
}

/// How tokens of service accounts are made and checked.
#[derive(Debug, Clone)]
pub(crate) struct ServiceAccountOptions {
    /// Keys to check with.
    pub(crate) key_files: Vec<PathBuf>,
    /// Key to sign with.
    pub(crate) signing_key_file: PathBuf,
    /// Issuers; the first is the one of new tokens.
    pub(crate) issuers: Vec<String>,
    /// Where others find the keys, if not here.
    pub(crate) keys_uri: Option<String>,
    /// Whether secrets are looked up.
    pub(crate) lookup: bool,
    /// How long a token is good at most.
    pub(crate) max_expiration: Option<Duration>,
    /// Whether tokens of volumes are good for longer than they say.
    pub(crate) extend: bool,
    /// Where others reach this server: host and port.
    pub(crate) external: String,
}

impl AuthenticationFlags {
    /// Checks the flags. `serving_key` is the key of the server, `external` where others reach it.
    pub(crate) fn check(
        self,
        serving_key: &std::path::Path,
        external: String,
        errors: &mut Vec<String>,
    ) -> AuthenticationOptions {
        let issuers = self.service_account_issuer;
        let mut seen = Vec::new();
        for issuer in &issuers {
            if seen.contains(&issuer) {
                errors.push(format!("--service-account-issuer {issuer:?} is already specified"));
            }
            seen.push(issuer);
            if issuer.is_empty() {
                errors.push("--service-account-issuer should not be an empty string".to_owned());
            }
            if issuer.contains(':') && url::Url::parse(issuer).is_err() {
                errors.push(format!("--service-account-issuer {issuer:?} contained a ':' but was not a valid URL"));
            }
        }
        if self.service_account_jwks_uri.as_ref().is_some_and(|uri| !uri.starts_with("https://")) {
            errors.push("--service-account-jwks-uri requires https scheme".to_owned());
        }
        let most = self.service_account_max_token_expiration;
        if !most.is_zero() && (most < Duration::from_hours(1) || most > Duration::from_secs(MOST_EXPIRATION)) {
            errors.push("--service-account-max-token-expiration must be between 1 hour and 2^32 seconds".to_owned());
        }
        let mut audiences = self.api_audiences;
        if audiences.is_empty() {
            audiences.clone_from(&issuers);
        }
        let service_accounts = match self.service_account_signing_key_file {
            Some(signing_key_file) if !issuers.is_empty() => Some(ServiceAccountOptions {
                key_files: if self.service_account_key_file.is_empty() {
                    vec![serving_key.to_owned()]
                } else {
                    self.service_account_key_file
                },
                signing_key_file,
                issuers,
                keys_uri: self.service_account_jwks_uri,
                lookup: self.service_account_lookup,
                max_expiration: (!most.is_zero()).then_some(most),
                extend: self.service_account_extend_token_expiration,
                external,
            }),
            None if issuers.is_empty() => None,
            Some(_) | None => {
                errors.push(
                    "--service-account-signing-key-file and --service-account-issuer are required flags".to_owned(),
                );
                None
            }
        };
        AuthenticationOptions {
            anonymous: self.anonymous_auth,
            audiences,
            token_success_ttl: Duration::from_secs(10),
            service_accounts,
            foreign: self.foreign.check(errors),
        }
    }
}
