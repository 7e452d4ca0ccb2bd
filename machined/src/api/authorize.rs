//! Between the connection and the methods: may this caller call this method, and is it on record? The answer to the first
//! is in `machined-core`'s table; the record comes before the deed.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;

use ledger::{Event, Outcome, Who};
use machined_core::audit::Strangers;
use machined_core::roles::{self, Callers, Effect, Role, Rule};
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

use super::connection::Caller;
use crate::audit::Audit;
use crate::claim::Claim;

/// What a method wants to be written beside its outcome; it is put into the answer's extensions.
#[derive(Debug, Clone)]
pub(super) struct Noted(pub(super) String);

/// Puts [`Authorize`] in front of a service.
#[derive(Debug, Clone)]
pub(super) struct AuthorizeLayer(Gate);

impl AuthorizeLayer {
    pub(super) fn new(audit: Audit, claim: Claim) -> Self {
        Self(Gate { audit, claim, strangers: Arc::default(), since: Instant::now() })
    }
}

impl<S> Layer<S> for AuthorizeLayer {
    type Service = Authorize<S>;

    fn layer(&self, inner: S) -> Authorize<S> {
        Authorize { inner, gate: self.0.clone() }
    }
}

/// Lets a call through, or refuses it.
#[derive(Debug, Clone)]
pub(super) struct Authorize<S> {
    inner: S,
    gate: Gate,
}

impl<S> Service<http::Request<Body>> for Authorize<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        // The one that was found ready is the one that is called.
        let fresh = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, fresh);
        let gate = self.gate.clone();
        let path = request.uri().path().to_owned();
        let caller = request.extensions().get::<Caller>().cloned();
        Box::pin(async move {
            let call = match gate.admit(&path, caller).await {
                Ok(call) => call,
                Err(status) => return Ok(status.into_http()),
            };
            let answer = inner.call(request).await?;
            let told = Told::by(&answer);
            gate.conclude(call, told).await;
            Ok(answer)
        })
    }
}

/// A call that was let through.
struct Admitted {
    event: Event,
    effect: Effect,
    /// The number of its record, if it is on record.
    number: Option<u64>,
}

/// What a method has answered.
struct Told {
    outcome: Outcome,
    words: String,
}

impl Told {
    fn by(answer: &http::Response<Body>) -> Self {
        let failed = Status::from_header_map(answer.headers()).filter(|status| status.code() != tonic::Code::Ok);
        match (failed, answer.extensions().get::<Noted>()) {
            (Some(status), _) => {
                Self { outcome: Outcome::Failed, words: format!("{:?}: {}", status.code(), status.message()) }
            }
            (None, noted) => {
                Self { outcome: Outcome::Done, words: noted.map(|noted| noted.0.clone()).unwrap_or_default() }
            }
        }
    }
}

#[derive(Debug, Clone)]
struct Gate {
    audit: Audit,
    claim: Claim,
    strangers: Arc<Mutex<Strangers>>,
    since: Instant,
}

impl Gate {
    async fn admit(&self, path: &str, caller: Option<Caller>) -> Result<Admitted, Status> {
        let Some(caller) = caller else {
            tracing::error!(path, "a call without a caller");
            return Err(Status::unauthenticated("who calls is not known"));
        };
        let rule = roles::rule_for(path);
        let organizations = caller.peer.as_ref().map(|peer| peer.organizations.as_slice());
        let mut event = event(&caller, rule, path);
        let Some(rule) = rule.filter(|rule| roles::allowed(rule, organizations)) else {
            event.outcome = Outcome::Refused;
            tracing::warn!(?event, "call refused");
            let status = refusal(&event);
            self.record_refusal(event).await;
            return Err(status);
        };
        if rule.callers == Callers::Claimant
            && let Err(status) = self.claim.admit(rule.method, caller.binding)
        {
            event.outcome = Outcome::Refused;
            status.message().clone_into(&mut event.detail);
            self.record_refusal(event).await;
            return Err(status);
        }
        tracing::info!(method = rule.method, who = caller.name(), from = event.from, "call");
        let number = match self.audit.record(event.clone()).await {
            Ok(number) => Some(number),
            Err(error) => {
                let breaks_glass = roles::of(organizations.unwrap_or_default()).any(|role| role == Role::BreakGlass);
                if rule.effect == Effect::Acts && !breaks_glass {
                    return Err(Status::unavailable(format!("{error}, and {} changes something", rule.method)));
                }
                tracing::error!(?event, "a call that is not in the audit log");
                None
            }
        };
        Ok(Admitted { event, effect: rule.effect, number })
    }

    /// Someone without a certificate may knock as often as he likes; the log is for those who have one.
    async fn record_refusal(&self, mut event: Event) {
        if event.who.is_none() {
            let now_ms = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
            let silent = self.strangers.lock().unwrap_or_else(PoisonError::into_inner).admit(now_ms);
            match silent {
                None => return,
                Some(0) => {}
                Some(silent) => {
                    let more = format!("{silent} refused calls of strangers before this one were not recorded");
                    event.detail = if event.detail.is_empty() { more } else { format!("{}; {more}", event.detail) };
                }
            }
        }
        // What was refused did nothing; that it is missing is counted by the log itself.
        let _ = self.audit.record(event).await;
    }

    /// Records what became of a call that acts.
    async fn conclude(&self, call: Admitted, told: Told) {
        if call.effect == Effect::Looks {
            return;
        }
        let mut event = call.event;
        event.outcome = told.outcome;
        let of = call.number.map(|number| format!("call {number}"));
        let told = Some(told.words).filter(|words| !words.is_empty());
        event.detail = of.into_iter().chain(told).collect::<Vec<_>>().join(", ");
        if self.audit.record(event.clone()).await.is_err() {
            tracing::error!(?event, "what became of a call is not in the audit log");
        }
    }
}

fn event(caller: &Caller, rule: Option<&Rule>, path: &str) -> Event {
    Event {
        who: caller.peer.as_ref().map(|peer| Who {
            name: peer.common_name.clone(),
            roles: peer.organizations.clone(),
            serial: peer.serial.clone(),
            fingerprint: peer.fingerprint.clone(),
        }),
        from: caller.address.map_or_else(String::new, |address| address.to_string()),
        what: rule.map_or_else(|| path.to_owned(), |rule| rule.method.to_owned()),
        outcome: Outcome::Allowed,
        detail: String::new(),
    }
}

fn refusal(event: &Event) -> Status {
    let method = event.what.rsplit('/').next().unwrap_or(&event.what);
    match &event.who {
        Some(who) => {
            Status::permission_denied(format!("{:?} with roles {:?} may not call {method}", who.name, who.roles))
        }
        None => Status::unauthenticated(format!("{method} needs a client certificate of this machine's authority")),
    }
}
