//! From the credentials of a request to its user: every way is tried in upstream's order, and the first that succeeds wins.
//!
//! ```text
//!   certificate of the connection ─> token of the header ─> token among the protocols of a websocket ─> anonymous
//!                                           └── cache ──> service accounts
//! ```
//!
//! A credential that is refused spoils the request unless another one is good: only a request without any is anonymous. Why one is
//! refused is logged and never told.

mod cache;
mod metrics;
pub(crate) mod options;
mod peer;
mod service_accounts;

use std::time::{Duration, SystemTime};

use apiserver_core::user::User;
use authentication::{ANONYMOUS, Identity, Outcome, Refused, UNAUTHENTICATED, bearer, known};
use http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};
use http::request::Parts;
use http::{HeaderMap, HeaderValue};
use tokio::time::Instant;

use self::cache::Cache;
use self::options::AuthenticationOptions;
use self::service_accounts::ServiceAccounts;
use crate::app::App;

pub(crate) use metrics::AuthenticationMetrics;
pub(crate) use peer::Peer;
pub(crate) use service_accounts::KeyError;

/// What a token that nobody knows is refused with.
const INVALID: &str = "invalid bearer token";

/// All ways to authenticate.
pub(crate) struct Authentication {
    anonymous: bool,
    /// The audiences of this server.
    pub(crate) audiences: Vec<String>,
    /// Tokens of service accounts.
    pub(crate) service_accounts: Option<ServiceAccounts>,
    cache: Cache,
}

/// What became of a token: whose it is and what to tell its bearer, or every reason against it.
type Judged = Result<(Identity, Vec<String>), Vec<Refused>>;

/// What the client of a request is told besides its answer.
#[derive(Debug, Clone)]
pub(crate) struct Remarks(pub(crate) Vec<String>);

impl Authentication {
    /// Reads the keys.
    pub(crate) fn open(options: &AuthenticationOptions) -> Result<Self, KeyError> {
        let service_accounts = options.service_accounts.as_ref();
        Ok(Self {
            anonymous: options.anonymous,
            audiences: options.audiences.clone(),
            service_accounts: service_accounts
                .map(|accounts| ServiceAccounts::open(accounts, &options.audiences))
                .transpose()?,
            cache: Cache::new(options.token_success_ttl),
        })
    }

    /// The user of a request; `None` is answered with 401. Credentials that were used are taken out of the request.
    pub(crate) async fn user(&self, app: &App, peer: &Peer, parts: &mut Parts) -> Option<User> {
        let started = Instant::now();
        let outcome = self.decide(app, peer, parts).await;
        app.metrics.authentication.attempted(&outcome, started.elapsed());
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
        let identity = |user: User| Identity { user, audiences: self.audiences.clone() };
        match peer.user(SystemTime::now()) {
            Ok(Some(user)) => {
                parts.headers.remove(AUTHORIZATION);
                return Ok(Some(identity(known(user.clone()))));
            }
            Ok(None) => {}
            Err(refused) => refusals.push(refused),
        }
        let header = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        if let Some(token) = header.and_then(bearer::from_header) {
            match self.token(app, token, &self.audiences).await {
                Ok(judged) => return Ok(Some(Self::accepted(parts, judged))),
                Err(more) => refusals.extend(more),
            }
        }
        match offered(&parts.headers) {
            Ok(Some(offered)) => match self.token(app, &offered.token, &self.audiences).await {
                Ok(judged) => {
                    let rest = HeaderValue::from_str(&offered.rest.join(", "));
                    parts.headers.remove(SEC_WEBSOCKET_PROTOCOL);
                    parts.headers.extend(rest.ok().map(|rest| (SEC_WEBSOCKET_PROTOCOL, rest)));
                    return Ok(Some(Self::accepted(parts, judged)));
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
            || User { name: ANONYMOUS.to_owned(), groups: vec![UNAUTHENTICATED.to_owned()], ..User::default() };
        Ok(self.anonymous.then(|| identity(anonymous())))
    }

    fn accepted(parts: &mut Parts, (identity, warnings): (Identity, Vec<String>)) -> Identity {
        parts.headers.remove(AUTHORIZATION);
        if !warnings.is_empty() {
            parts.extensions.insert(Remarks(warnings));
        }
        Identity { user: known(identity.user), ..identity }
    }

    /// Whose a token is, among those for the given audiences.
    pub(crate) async fn token(&self, app: &App, token: &str, audiences: &[String]) -> Judged {
        self.cache.judged(&app.metrics.authentication, token, audiences, self.fresh(app, token, audiences)).await
    }

    async fn fresh(&self, app: &App, token: &str, audiences: &[String]) -> Judged {
        let mut refusals = vec![Refused::because(INVALID)];
        if let Some(accounts) = &self.service_accounts {
            match accounts.judge(app, token, audiences).await {
                Ok(Some(judged)) => return Ok(judged),
                Ok(None) => {}
                Err(refused) => refusals.push(refused),
            }
        }
        Err(refusals)
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
