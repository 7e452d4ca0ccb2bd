//! From the credentials of a request to its user: every way is tried in upstream's order, and the first that succeeds wins.
//!
//! ```text
//!   headers of a front proxy ─> certificate of the connection ─> token of the header ─> token among the protocols of a websocket
//!      ─> anonymous                                                  └── cache ──> file ─> service accounts ─> bootstrap
//!                                                                                     ─> providers ─> webhook
//! ```
//!
//! A credential that is refused spoils the request unless another one is good: only a request without any is anonymous. Why one is
//! refused is logged and never told.

mod cache;
pub(crate) mod configured;
mod https;
mod metrics;
pub(crate) mod options;
mod peer;
mod provider;
mod service_accounts;
mod webhook;

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use apiserver_core::user::User;
use authentication::bootstrap_token::{self, BootstrapToken};
use authentication::request_header::Names;
use authentication::token_file::{BadFile, TokenFile};
use authentication::{ANONYMOUS, Identity, Outcome, Refused, UNAUTHENTICATED, bearer, intersection, known};
use http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::time::Instant;

use self::cache::Cache;
use self::configured::{ConfigurationError, Configured};
use self::options::AuthenticationOptions;
use self::service_accounts::{KeyError, ServiceAccounts};
use self::webhook::{Webhook, WebhookError};
use crate::app::App;
use crate::writes::{self, Writer};

pub(crate) use metrics::AuthenticationMetrics;
pub(crate) use peer::{Judges, Peer, Proxies};

/// What a token that nobody knows is refused with.
const INVALID: &str = "invalid bearer token";

/// A part of the command line about authentication cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SetupError {
    /// The keys of service accounts.
    #[error("set up tokens of service accounts")]
    Keys(#[from] KeyError),
    /// The file of tokens cannot be read.
    #[error("read the tokens in {}", .0.display())]
    TokenFile(PathBuf, #[source] std::io::Error),
    /// The file of tokens makes no sense.
    #[error("read the tokens in {}", .0.display())]
    Tokens(PathBuf, #[source] BadFile),
    /// The configuration of issuers.
    #[error("set up the issuers of tokens")]
    Configuration(#[from] ConfigurationError),
    /// The webhook.
    #[error("set up the webhook")]
    Webhook(#[from] WebhookError),
}

/// All ways to authenticate.
pub(crate) struct Authentication {
    /// What the command line says of requests without credentials.
    anonymous: bool,
    /// The audiences of this server.
    pub(crate) audiences: Vec<String>,
    /// Tokens of service accounts.
    pub(crate) service_accounts: Option<ServiceAccounts>,
    /// The issuers of this server, which nobody else may be.
    own: Vec<String>,
    proxy_headers: Option<Names>,
    tokens: TokenFile,
    bootstrap: bool,
    configured: RwLock<Arc<Configured>>,
    webhook: Option<(Webhook, Cache)>,
    cache: Cache,
}

/// What became of a token: whose it is and what to tell its bearer, or every reason against it.
type Judged = Result<(Identity, Vec<String>), Vec<Refused>>;

/// What the client of a request is told besides its answer.
#[derive(Debug, Clone)]
pub(crate) struct Remarks(pub(crate) Vec<String>);

impl Authentication {
    /// Reads the keys and the files.
    pub(crate) fn open(options: &AuthenticationOptions) -> Result<Self, SetupError> {
        let accounts = options.service_accounts.as_ref();
        let own = accounts.map_or_else(Vec::new, |accounts| accounts.issuers.clone());
        let tokens = match &options.token_file {
            None => TokenFile::default(),
            Some(path) => {
                let text = std::fs::read(path).map_err(|source| SetupError::TokenFile(path.clone(), source))?;
                TokenFile::read(&text).map_err(|source| SetupError::Tokens(path.clone(), source))?
            }
        };
        let configured = match &options.configuration_file {
            None => Configured::new(options.anonymous, options.issuers()?)?,
            Some(path) => {
                let text = std::fs::read(path).map_err(ConfigurationError::Read)?;
                Configured::read(&text, options.anonymous, &own)?
            }
        };
        let webhook = options.webhook.as_ref().map(|webhook| {
            Webhook::open(&webhook.file, webhook.version).map(|opened| (opened, Cache::new(webhook.ttl)))
        });
        Ok(Self {
            anonymous: options.anonymous,
            audiences: options.audiences.clone(),
            service_accounts: accounts.map(|one| ServiceAccounts::open(one, &options.audiences)).transpose()?,
            own,
            proxy_headers: options.front_proxy.as_ref().map(|proxy| proxy.names.clone()),
            tokens,
            bootstrap: options.bootstrap_tokens,
            configured: RwLock::new(Arc::new(configured)),
            webhook: webhook.transpose()?,
            cache: Cache::new(options.token_success_ttl),
        })
    }

    /// Takes in another configuration. Nothing of what tokens were before is remembered.
    fn reconfigure(&self, text: &[u8]) -> Result<(), ConfigurationError> {
        let fresh = Arc::new(Configured::read(text, self.anonymous, &self.own)?);
        *self.configured.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        self.cache.forget();
        Ok(())
    }

    fn configured(&self) -> Arc<Configured> {
        Arc::clone(&self.configured.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The user of a request; `None` is answered with 401. Credentials, and headers only a front proxy may send, are taken out of it.
    pub(crate) async fn user(&self, app: &App, peer: &Peer, parts: &mut Parts) -> Option<User> {
        let started = Instant::now();
        let outcome = self.decide(app, peer, parts).await;
        app.metrics.authentication.attempted(&outcome, started.elapsed());
        self.scrub(&mut parts.headers);
        match outcome {
            Ok(Some(identity)) => Some(identity.user),
            Ok(None) => None,
            Err(Refused(why)) => {
                tracing::info!(why, "a request could not be authenticated");
                None
            }
        }
    }

    async fn decide(&self, app: &App, peer: &Peer, parts: &mut Parts) -> Outcome {
        let mut refusals = Vec::new();
        let identity = |user: User| Identity { user: known(user), audiences: self.audiences.clone() };
        let now = SystemTime::now();
        if let Some(names) = self.proxy_headers.as_ref().filter(|_| peer.is_proxy(now))
            && let Some(user) = names.user(&texts(&parts.headers))
        {
            return Ok(Some(identity(user)));
        }
        match peer.user(now) {
            Ok(Some(user)) => return Ok(Some(identity(user.clone()))),
            Ok(None) => {}
            Err(refused) => refusals.push(refused),
        }
        let header = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        if let Some(token) = header.and_then(bearer::from_header) {
            match self.token(app, token, &self.audiences).await {
                Ok(judged) => return Ok(Some(accepted(parts, judged))),
                Err(more) => refusals.extend(more),
            }
        }
        match offered(&parts.headers) {
            Ok(Some(offered)) => match self.token(app, &offered.token, &self.audiences).await {
                Ok(judged) => {
                    let rest = HeaderValue::from_str(&offered.rest.join(", "));
                    parts.headers.remove(SEC_WEBSOCKET_PROTOCOL);
                    parts.headers.extend(rest.ok().map(|rest| (SEC_WEBSOCKET_PROTOCOL, rest)));
                    return Ok(Some(accepted(parts, judged)));
                }
                Err(more) => refusals.extend(more),
            },
            Ok(None) => {}
            Err(refused) => refusals.push(refused),
        }
        if !refusals.is_empty() {
            return Err(Refused(Refused::joined(&refusals)));
        }
        let anonymous =
            User { name: ANONYMOUS.to_owned(), groups: vec![UNAUTHENTICATED.to_owned()], ..User::default() };
        Ok(self.configured().anonymous.lets_in(parts.uri.path()).then(|| identity(anonymous)))
    }

    /// Takes out of a request what only this stage may see.
    fn scrub(&self, headers: &mut HeaderMap) {
        headers.remove(AUTHORIZATION);
        let standard = Names::standard();
        let consumed = |name: &HeaderName| {
            standard.contain(name.as_str()) || self.proxy_headers.as_ref().is_some_and(|own| own.contain(name.as_str()))
        };
        let names: Vec<HeaderName> = headers.keys().filter(|name| consumed(name)).cloned().collect();
        for name in names {
            headers.remove(name);
        }
    }

    /// Whose a token is, among those for the given audiences.
    pub(crate) async fn token(&self, app: &App, token: &str, audiences: &[String]) -> Judged {
        // Most requests find their token in the cache: the rest of the way takes its room only when it is gone.
        let fresh = || Box::pin(self.fresh(app, token, audiences));
        self.cache.judged(&app.metrics.authentication, token, audiences, fresh).await
    }

    async fn fresh(&self, app: &App, token: &str, audiences: &[String]) -> Judged {
        let mut refusals = vec![Refused::because(INVALID)];
        // Most tokens say nothing of whom they are for: they are for this server.
        let ours = intersection(&self.audiences, audiences);
        let agnostic = !ours.is_empty() || audiences.is_empty();
        let plain = |user: User| Ok((Identity { user, audiences: ours.clone() }, Vec::new()));
        if let Some(user) = self.tokens.user(token).filter(|_| agnostic) {
            return plain(user.clone());
        }
        if let Some(accounts) = &self.service_accounts {
            match accounts.judge(app, token, audiences).await {
                Ok(Some(judged)) => return Ok(judged),
                Ok(None) => {}
                Err(refused) => refusals.push(refused),
            }
        }
        if self.bootstrap
            && agnostic
            && let Some(user) = joining(app, token).await
        {
            return plain(user);
        }
        let configured = self.configured();
        for provider in configured.providers.iter().filter(|_| agnostic) {
            match provider.judge(token).await {
                Ok(Some(identity)) => return plain(identity.user),
                Ok(None) => {}
                Err(refused) => refusals.push(refused),
            }
        }
        if let Some((webhook, cache)) = &self.webhook {
            let asked = || async {
                match webhook.judge(token, audiences, &self.audiences).await {
                    Ok(Some(identity)) => Ok((identity, Vec::new())),
                    Ok(None) => Err(Vec::new()),
                    Err(refused) => Err(vec![refused]),
                }
            };
            match cache.judged(&app.metrics.authentication, token, audiences, asked).await {
                Ok(judged) => return Ok(judged),
                Err(more) => refusals.extend(more),
            }
        }
        Err(refusals)
    }
}

fn accepted(parts: &mut Parts, (identity, warnings): (Identity, Vec<String>)) -> Identity {
    if !warnings.is_empty() {
        parts.extensions.insert(Remarks(warnings));
    }
    Identity { user: known(identity.user), ..identity }
}

/// The headers that are text.
fn texts(headers: &HeaderMap) -> Vec<(&str, &str)> {
    headers
        .iter()
        .filter_map(|(name, value)| Some((name.as_str(), std::str::from_utf8(value.as_bytes()).ok()?)))
        .collect()
}

/// The machine that joins with a bootstrap token.
async fn joining(app: &App, token: &str) -> Option<User> {
    let token = BootstrapToken::parse(token)?;
    let row = app.core_row("secrets")?;
    let key = row.key(Some(bootstrap_token::NAMESPACE), &token.secret_name());
    let cached = app.cache(row).and_then(|cache| cache.get(&key)).and_then(|cached| cached.tree().ok());
    let secret = if let Some(cached) = cached {
        cached
    } else {
        let user = writes::own_user();
        let writer = Writer { app, row, user: &user, dry_run: false, manager: None, admitted: None };
        writer.live(&key, "get").await.ok()??.object
    };
    match token.user(&secret, jiff::Timestamp::now()) {
        Ok(user) => Some(user),
        Err(why) => {
            tracing::info!(secret = token.secret_name(), why, "a bootstrap token was refused");
            None
        }
    }
}

/// The token among the protocols of a websocket.
fn offered(headers: &HeaderMap) -> Result<Option<bearer::Offered>, Refused> {
    let values: Vec<&str> =
        headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok()).collect();
    bearer::from_protocols(&values)
}

/// Now, in seconds since 1970.
fn seconds_now() -> i64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs() as i64
}
