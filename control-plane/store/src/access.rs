//! Who asks: passwords, tokens and certificates of clients.
//!
//! The rules and the state of users and roles are in [`store_core::auth`]. Here is what needs a clock, randomness or
//! processor time: hashing passwords, making tokens and checking them.

pub mod jwt;
pub mod options;

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use rand::distr::{Alphanumeric, SampleString};
use store_core::Refusal;
use store_core::auth::tokens::{TokenChange, Tokens};
use store_core::auth::{Caller, Standing};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tonic::Request;

use crate::node::Node;
use jwt::{Jwt, NotSigned};
use options::TokenKind;

/// Passwords hashed or checked at the same time. Each takes a processor for some fifty milliseconds: more would leave
/// nothing for the rest.
const HASHES: usize = 2;
/// How long a password waits for its turn.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// The length of a random token; 190 bits.
const TOKEN_LENGTH: usize = 32;

/// How clients are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// What tokens are.
    pub tokens: TokenKind,
    /// How long a simple token is good for after its last use.
    pub ttl: Duration,
    /// The exponent of the work a password's hash takes.
    pub cost: u32,
    /// Whether the common name of a client's certificate is a user's name.
    pub by_certificate: bool,
}

/// What a request shows of its sender.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    token: Option<String>,
    common_name: Option<Arc<str>>,
}

/// The common name of a connection's certificate, as an extension of each of its requests.
#[derive(Debug, Clone)]
pub struct CommonName(pub Arc<str>);

impl Credentials {
    /// Takes them from a request.
    pub fn of<T>(request: &Request<T>) -> Self {
        let metadata = request.metadata();
        let token = metadata.get("token").or_else(|| metadata.get("authorization"));
        // Who comes through etcd's gateway shows the gateway's certificate, not his own.
        let gateway = metadata.get("grpcgateway-accept").is_some();
        Self {
            // What is no text is no token either, but it is not the same as showing none.
            token: token.map(|token| token.to_str().unwrap_or_default().to_owned()),
            common_name: request.extensions().get::<CommonName>().filter(|_| !gateway).map(|name| Arc::clone(&name.0)),
        }
    }
}

/// A token that was made, or what has to go through the log to make it.
#[derive(Debug)]
pub enum NewToken {
    /// It is good as it is.
    Signed(String),
    /// Every member must hear of it first.
    Random(String),
}

/// Everything about who asks.
#[derive(Debug)]
pub struct Access {
    settings: Settings,
    jwt: Option<Jwt>,
    started: Instant,
    enabled: AtomicBool,
    revision: AtomicU64,
    tokens: Mutex<Tokens>,
    hashes: Semaphore,
}

impl Access {
    /// Begins with the standing of the state; reads the keys of signed tokens.
    pub fn open(settings: Settings, standing: Standing) -> io::Result<Self> {
        let jwt = match &settings.tokens {
            TokenKind::Simple => None,
            TokenKind::Jwt(options) => Some(Jwt::open(options)?),
        };
        Ok(Self {
            jwt,
            started: Instant::now(),
            enabled: AtomicBool::new(standing.enabled),
            revision: AtomicU64::new(standing.revision),
            tokens: Mutex::new(Tokens::new(settings.ttl)),
            hashes: Semaphore::new(HASHES),
            settings,
        })
    }

    fn tokens(&self) -> MutexGuard<'_, Tokens> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Follows what was applied.
    pub fn follow(&self, changes: &[TokenChange], standing: Standing) {
        if !changes.is_empty() {
            let now = self.started.elapsed();
            let mut tokens = self.tokens();
            for change in changes {
                tokens.follow(change, now);
            }
        }
        // The revision first: whoever sees that it is on must not see the revision from before.
        self.revision.store(standing.revision, Ordering::Release);
        self.enabled.store(standing.enabled, Ordering::Release);
    }

    /// Whether clients are asked who they are, as far as this member knows.
    pub fn enabled(&self) -> bool {
        self.enabled.load(Ordering::Acquire)
    }

    /// How often users and roles changed, as far as this member knows.
    pub fn revision(&self) -> u64 {
        self.revision.load(Ordering::Acquire)
    }

    /// Who shows these credentials; `None` when nobody is asked, or none are shown.
    pub async fn caller(&self, node: &Node, credentials: &Credentials) -> Result<Option<Caller>, Refusal> {
        if !self.enabled() {
            return Ok(None);
        }
        if let Some(token) = &credentials.token {
            if let Some(caller) = self.by_token(token) {
                return Ok(Some(caller));
            }
            if self.jwt.is_some() {
                return Err(Refusal::InvalidAuthToken);
            }
            // Another member may have made it: once this one has what that one had, it knows, unless it has it as a whole
            // from another member, or began anew meanwhile.
            node.barrier().await?;
            let caller = match self.by_token(token) {
                Some(caller) => Some(caller),
                None => self.by_token_elsewhere(node, token).await?,
            };
            return caller.map(Some).ok_or(Refusal::InvalidAuthToken);
        }
        let name = credentials.common_name.as_ref().filter(|_| self.settings.by_certificate);
        Ok(name.map(|name| Caller { user: name.to_string(), revision: self.revision() }))
    }

    fn by_token(&self, token: &str) -> Option<Caller> {
        if let Some(jwt) = &self.jwt {
            return jwt.verify(token, SystemTime::now());
        }
        let revision = self.revision();
        Some(Caller { user: self.token_user(token)?, revision })
    }

    /// The user a simple token stands for, as far as this member knows; the token counts as used.
    pub fn token_user(&self, token: &str) -> Option<String> {
        self.tokens().user(token, self.started.elapsed()).map(|user| user.to_string())
    }

    /// Asks the leader, and remembers what it says.
    async fn by_token_elsewhere(&self, node: &Node, token: &str) -> Result<Option<Caller>, Refusal> {
        let (revision, revocations) = (self.revision(), self.tokens().revocations());
        let Some(user) = node.token_user(token).await? else { return Ok(None) };
        self.tokens().learn(&user, token, revocations, self.started.elapsed());
        Ok(Some(Caller { user, revision }))
    }

    /// Makes a token for a user whose password was checked.
    pub fn new_token(&self, caller: &Caller) -> Result<NewToken, Refusal> {
        let Some(jwt) = &self.jwt else {
            return Ok(NewToken::Random(Alphanumeric.sample_string(&mut rand::rng(), TOKEN_LENGTH)));
        };
        jwt.sign(caller, SystemTime::now()).map(NewToken::Signed).map_err(|problem| match problem {
            NotSigned::VerifyOnly => Refusal::VerifyOnly,
            NotSigned::Broken => {
                tracing::error!("a token could not be signed");
                Refusal::InvalidAuthToken
            }
        })
    }

    /// Hashes a password; `None` when it is too long for bcrypt.
    pub async fn hash(&self, password: String) -> Result<Option<String>, Refusal> {
        let cost = self.settings.cost;
        self.work(move || bcrypt::non_truncating_hash(password, cost)).await.map(|hashed| match hashed {
            Ok(hash) => Some(hash),
            Err(error) => {
                tracing::debug!(%error, "a password could not be hashed");
                None
            }
        })
    }

    /// Whether a password is the one that was hashed.
    pub async fn matches(&self, password: String, hash: Vec<u8>) -> Result<bool, Refusal> {
        let check = move || {
            let hash = std::str::from_utf8(&hash).ok()?;
            bcrypt::verify(password, hash).ok()
        };
        Ok(self.work(check).await? == Some(true))
    }

    async fn work<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
        let place = tokio::time::timeout(LONGEST_WAIT, self.hashes.acquire()).await;
        let _place = place.map_err(|_elapsed| Refusal::TooManyRequests)?.map_err(|_closed| Refusal::Stopped)?;
        tokio::task::spawn_blocking(work).await.map_err(|_| Refusal::Stopped)
    }
}
