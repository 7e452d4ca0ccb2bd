//! Tokens of service accounts: the keys, what the objects of a token are now, and the documents others check tokens with.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use apiserver_core::user::User;
use apiserver_core::{Object, Status};
use authentication::key::{NotAKey, PublicKey, SigningKey, key_set, read_public_keys};
use authentication::service_account::{Found, Grant, Kind, LAST_USED, Relic, Seen, Tracked, Verifier, Wanted};
use authentication::token_request::{Policy, Wish};
use authentication::{Identity, Refused};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use ring::rand::SystemRandom;
use serde::{Deserialize, Serialize};

use super::options::ServiceAccountOptions;
use super::seconds_now;
use crate::app::App;
use crate::cache::CachedObject;
use crate::writes::{self, Writer};

/// Where the keys are served.
const KEYS_PATH: &str = "/openid/v1/jwks";

/// A file of keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyError {
    /// It cannot be read.
    #[error("read the keys in {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// It holds none.
    #[error("read the keys in {}", path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: NotAKey,
    },
}

/// The tokens of service accounts.
pub(crate) struct ServiceAccounts {
    verifier: Verifier,
    signer: SigningKey,
    random: SystemRandom,
    /// What the command line says about new tokens.
    pub(crate) policy: Policy,
    /// What others need to check tokens; none when the issuer is no URL that could lead here.
    pub(crate) documents: Option<Documents>,
}

/// The documents of discovery, encoded.
pub(crate) struct Documents {
    /// `/.well-known/openid-configuration`
    pub(crate) configuration: Bytes,
    /// `/openid/v1/jwks`
    pub(crate) keys: Bytes,
}

#[derive(Serialize)]
struct Configuration<'a> {
    issuer: &'a str,
    jwks_uri: String,
    response_types_supported: [&'static str; 1],
    subject_types_supported: [&'static str; 1],
    id_token_signing_alg_values_supported: Vec<&'static str>,
}

impl ServiceAccounts {
    /// Reads the keys.
    pub(super) fn open(options: &ServiceAccountOptions, audiences: &[String]) -> Result<Self, KeyError> {
        let random = SystemRandom::new();
        let read = |path: &Path| std::fs::read(path).map_err(|source| KeyError::Read { path: path.into(), source });
        let none = |path: &Path, source| KeyError::NoKey { path: path.into(), source };
        let mut keys: Vec<PublicKey> = Vec::new();
        for path in &options.key_files {
            for key in read_public_keys(&read(path)?, &random).map_err(|source| none(path, source))? {
                if !keys.contains(&key) {
                    keys.push(key);
                }
            }
        }
        let path = &options.signing_key_file;
        let signer = SigningKey::read(&read(path)?, &random).map_err(|source| none(path, source))?;
        let documents = documents(options, &keys);
        let verifier = Verifier {
            issuers: options.issuers.clone(),
            audiences: audiences.to_vec(),
            lookup: options.lookup,
            ..Verifier::default()
        };
        Ok(Self {
            verifier: verifier.with_keys(keys),
            signer,
            random,
            policy: Policy {
                audiences: audiences.to_vec(),
                max_expiration: options.max_expiration.map(|most| most.as_secs() as i64),
                extend: options.extend,
            },
            documents,
        })
    }

    /// Whose a token is; `None` for tokens of others.
    pub(super) async fn judge(
        &self,
        app: &App,
        token: &str,
        audiences: &[String],
    ) -> Result<Option<(Identity, Vec<String>)>, Refused> {
        let Some(opened) = self.verifier.open(token, audiences)? else { return Ok(None) };
        let mut found = Found::new();
        for wanted in opened.wanted() {
            if let Some(seen) = look_up(app, &wanted).await? {
                found.insert(wanted.kind, seen);
            }
        }
        let (judged, remarks) = self.verifier.judge(opened, &found, seconds_now());
        app.metrics.authentication.remarked(&remarks);
        if let Some(tracked) = &remarks.tracked {
            track(app, tracked).await;
        }
        judged.map(|identity| Some((identity, remarks.warnings)))
    }

    /// A new token.
    pub(crate) fn sign(&self, relic: &Relic, wish: &Wish, now: jiff::Timestamp) -> Result<String, Status> {
        let grant = Grant {
            issuer: self.verifier.issuers.first().map(String::as_str).unwrap_or_default(),
            audiences: &wish.audiences,
            relic,
            id: &writes::uuid(),
            now: now.as_second(),
            expires_after: wish.expires_after,
            warn_after: wish.warn_after,
        };
        self.signer.sign(&grant.claims(), &self.random).map_err(|_| Status::internal("failed to generate token"))
    }
}

fn documents(options: &ServiceAccountOptions, keys: &[PublicKey]) -> Option<Documents> {
    let issuer = options.issuers.first()?;
    if !issuer.starts_with("https://") || issuer.contains(['?', '#']) || keys.is_empty() {
        tracing::warn!(issuer, "the issuer of service account tokens is no https URL: its keys are not published");
        return None;
    }
    let mut algorithms: Vec<&'static str> = keys.iter().map(|key| key.algorithm().name()).collect();
    algorithms.sort_unstable();
    algorithms.dedup();
    let configuration = Configuration {
        issuer,
        jwks_uri: options.keys_uri.clone().unwrap_or_else(|| format!("https://{}{KEYS_PATH}", options.external)),
        response_types_supported: ["id_token"],
        subject_types_supported: ["public"],
        id_token_signing_alg_values_supported: algorithms,
    };
    Some(Documents {
        configuration: serde_json::to_vec(&configuration).ok()?.into(),
        keys: serde_json::to_vec(&key_set(keys)).ok()?.into(),
    })
}

/// An object as it is now: from the cache or, when it is not there or another one, from the store, which may know more.
async fn look_up(app: &App, wanted: &Wanted) -> Result<Option<Seen>, Refused> {
    let Some(row) = app.core_row(wanted.kind.plural()) else { return Ok(None) };
    let key = row.key(wanted.namespace.as_deref(), &wanted.name);
    let cached = app.cache(row).and_then(|cache| cache.get(&key));
    let cached = cached.and_then(|cached| seen_in_cache(&cached, wanted.kind));
    if let Some(seen) = cached.filter(|seen| wanted.uid.is_empty() || seen.uid == wanted.uid) {
        return Ok(Some(seen));
    }
    let user = writes::own_user();
    let writer = Writer { app, row, user: &user, dry_run: false, manager: None, admitted: None };
    match writer.live(&key, "get").await {
        Ok(live) => Ok(live.map(|live| seen(&live.object))),
        Err(status) => Err(Refused(status.message)),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    #[serde(default)]
    uid: String,
    deletion_timestamp: Option<jiff::Timestamp>,
}

/// What matters of a cached object. Of pods and nodes that is in their metadata, and the rest is not looked at.
fn seen_in_cache(cached: &Arc<CachedObject>, kind: Kind) -> Option<Seen> {
    match kind {
        Kind::Pod | Kind::Node => {
            let metadata: Metadata = serde_json::from_slice(cached.metadata()).ok()?;
            let deleted = metadata.deletion_timestamp.map(jiff::Timestamp::as_second);
            Some(Seen { uid: metadata.uid, deleted, ..Seen::default() })
        }
        Kind::ServiceAccount | Kind::Secret => Some(seen(&cached.tree().ok()?)),
    }
}

fn seen(object: &Object) -> Seen {
    let deleted = object.text(&["metadata", "deletionTimestamp"]).and_then(|time| time.parse::<jiff::Timestamp>().ok());
    let token = object.text(&["data", "token"]).and_then(|token| STANDARD.decode(token).ok());
    let names = object.list(&["secrets"]).iter().filter_map(|one| one["name"].as_str().map(str::to_owned));
    Seen {
        uid: object.uid().unwrap_or_default().to_owned(),
        deleted: deleted.map(jiff::Timestamp::as_second),
        labels: object.labels().map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
        token: token.unwrap_or_default(),
        secrets: names.collect(),
    }
}

/// Writes the day a legacy token was used into its secret. That it fails takes nothing from the token.
async fn track(app: &App, tracked: &Tracked) {
    let (Some(day), Some(row)) = (&tracked.day, app.core_row("secrets")) else { return };
    let user: User = writes::own_user();
    let manager = Some(writes::OWN_MANAGER);
    let writer = Writer { app, row, user: &user, dry_run: false, manager, admitted: None };
    let key = row.key(Some(&tracked.namespace), &tracked.secret);
    let absent = || Status::not_found(row, &tracked.secret);
    let written = writer
        .change(&key, absent, |old, context| {
            let mut new = old.clone();
            if old.uid() == Some(tracked.uid.as_str()) {
                new.set(&["metadata", "labels", LAST_USED], day.as_str());
            }
            apiserver_core::engine::prepare_update(row, None, old, new, context)
        })
        .await;
    if let Err(status) = written {
        tracing::warn!(secret = %key, why = status.message, "the last use of a token could not be noted");
    }
}
