//! First contact: a machine that nobody has claimed shows a code on its console, and who types it in becomes its first
//! administrator. After that the claim is closed, and no method is open to someone without a certificate.

mod console;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use claim::{Binding, Code, Session, Side};
use machined_core::claim::{Limiter, Occasion, Refused};
use tokio::sync::watch;
use tonic::{Code as Grpc, Status};

use self::console::Console;

/// The console forgets what it showed, so the code is shown again.
const SHOW_AGAIN: Duration = Duration::from_mins(5);

/// The way to the claim of this machine.
#[derive(Debug, Clone)]
pub(crate) struct Claim(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    open: watch::Sender<bool>,
    /// There once the machine is claimed.
    marker: PathBuf,
    console: Console,
    since: Instant,
}

#[derive(Debug)]
enum State {
    Closed,
    Open { occasion: Occasion, code: Code, limiter: Limiter, attempt: Attempt },
}

/// The one handshake that may be under way. It belongs to the TLS session that began it.
#[derive(Debug)]
enum Attempt {
    None,
    /// It was counted, and its first message is about to come. It is judged by the code that was shown when it began.
    Counted(Binding, Code),
    /// The claimant owes his proof.
    Exchanged(Binding, Box<Session>),
}

/// What a claimant sends with his proof.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Proof<'a> {
    pub(crate) csr: &'a str,
    pub(crate) name: &'a str,
    pub(crate) tag: &'a [u8],
}

/// Certificates of a claimant, and the machine's proof for them.
#[derive(Debug)]
pub(crate) struct Granted {
    pub(crate) certificate: String,
    pub(crate) proof: Vec<u8>,
}

impl Claim {
    /// A claim that is closed. `marker` tells, now or later, that the machine is claimed; `code_file` holds the code while
    /// there is one; with `consoles` it is shown on every console.
    pub(crate) fn closed(marker: PathBuf, code_file: PathBuf, consoles: bool) -> Self {
        Self(Arc::new(Inner {
            state: Mutex::new(State::Closed),
            open: watch::Sender::new(false),
            marker,
            console: Console::new(code_file, consoles),
            since: Instant::now(),
        }))
    }

    /// Whether somebody has claimed the machine before.
    pub(crate) fn is_claimed(&self) -> bool {
        // What cannot be looked at is taken for claimed.
        self.0.marker.try_exists().unwrap_or(true)
    }

    /// Remembers that the machine is claimed.
    pub(crate) fn remember(&self, by: &str) -> io::Result<()> {
        durable::write(&self.0.marker, format!("{by}\n").as_bytes(), 0o600)
    }

    /// Opens the claim with a fresh code, and shows it for as long as it is open.
    pub(crate) fn open(&self, occasion: Occasion) {
        let code = fresh();
        *self.state() = State::Open { occasion, code, limiter: Limiter::default(), attempt: Attempt::None };
        self.0.open.send_replace(true);
        self.show();
        let claim = self.clone();
        tokio::spawn(async move {
            let mut open = claim.0.open.subscribe();
            while *open.borrow_and_update() {
                let _ = tokio::time::timeout(SHOW_AGAIN, open.changed()).await;
                claim.show();
            }
        });
    }

    /// Whether it is open; changes when it closes.
    pub(crate) fn watch(&self) -> watch::Receiver<bool> {
        self.0.open.subscribe()
    }

    /// Whether a claimant may go on: the first step counts as a guess, further ones need the handshake they belong to.
    ///
    /// This is asked before anything is recorded or done, so that somebody who hammers at the door costs next to nothing.
    pub(crate) fn admit(&self, method: &str, binding: Option<Binding>) -> Result<(), Status> {
        let binding = binding.ok_or_else(|| Status::unauthenticated("a claim needs a TLS session"))?;
        let now = self.now_ms();
        let mut state = self.state();
        let State::Open { code, limiter, attempt, .. } = &mut *state else { return Err(not_open()) };
        if method != "ClaimExchange" {
            return match attempt {
                Attempt::Exchanged(of, _) if *of == binding && limiter.in_time(now) => Ok(()),
                Attempt::None | Attempt::Counted(..) | Attempt::Exchanged(..) => Err(no_handshake()),
            };
        }
        let begun = limiter.begin(now).map_err(refused)?;
        *attempt = Attempt::Counted(binding, code.clone());
        if begun.last {
            tracing::warn!("too many guesses of the claim code: there is another one, and a pause before it counts");
            *code = fresh();
            drop(state);
            self.show();
        }
        Ok(())
    }

    /// The first step.
    pub(crate) fn exchange(&self, binding: Option<Binding>, theirs: &[u8]) -> Result<Vec<u8>, Status> {
        let mut state = self.state();
        let State::Open { limiter, attempt, .. } = &mut *state else { return Err(not_open()) };
        let Attempt::Counted(of, code) = std::mem::replace(attempt, Attempt::None) else { return Err(no_handshake()) };
        if Some(of) != binding {
            return Err(no_handshake());
        }
        match claim::answer(&code, of, theirs) {
            Ok((session, ours)) => {
                *attempt = Attempt::Exchanged(of, Box::new(session));
                Ok(ours)
            }
            Err(error) => {
                limiter.ended();
                Err(Status::invalid_argument(error.to_string()))
            }
        }
    }

    /// The second and last step: checks the proof, lets `sign` make the certificate, remembers that the machine is claimed, and
    /// closes. The answer is proven over the certificate and that of the authority.
    ///
    /// # Guarantees
    ///
    /// A wrong proof ends the handshake. A certificate is handed out only after it is on disk that the machine is claimed.
    pub(crate) fn finish(
        &self,
        binding: Option<Binding>,
        proof: Proof<'_>,
        authority: &str,
        sign: impl FnOnce(Occasion) -> Result<String, Status>,
    ) -> Result<Granted, Status> {
        let now = self.now_ms();
        let mut state = self.state();
        let State::Open { occasion, limiter, attempt, .. } = &mut *state else { return Err(not_open()) };
        let Attempt::Exchanged(of, session) = std::mem::replace(attempt, Attempt::None) else {
            return Err(no_handshake());
        };
        let in_time = limiter.in_time(now);
        limiter.ended();
        if Some(of) != binding || !in_time {
            return Err(no_handshake());
        }
        let texts = [proof.csr.as_bytes(), proof.name.as_bytes()];
        session
            .check(Side::Claimant, &texts, proof.tag)
            .map_err(|error| Status::permission_denied(error.to_string()))?;
        let certificate = sign(*occasion)?;
        self.remember(proof.name)
            .map_err(|error| Status::unavailable(format!("remember that the machine is claimed: {error}")))?;
        let proof = session.prove(Side::Machine, &[certificate.as_bytes(), authority.as_bytes()]);
        *state = State::Closed;
        drop(state);
        self.0.console.forget();
        self.0.open.send_replace(false);
        Ok(Granted { certificate, proof })
    }

    fn show(&self) {
        let shown = match &*self.state() {
            State::Closed => return,
            State::Open { code, occasion, .. } => (code.to_string(), *occasion),
        };
        self.0.console.show(&shown.0, shown.1);
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.0.since.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change is one assignment; a panic in between leaves a state that refuses.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn fresh() -> Code {
    Code::from_random(rand::random())
}

fn not_open() -> Status {
    Status::permission_denied("this machine is claimed")
}

fn no_handshake() -> Status {
    Status::failed_precondition("there is no such handshake, or it took too long: begin again")
}

fn refused(refused: Refused) -> Status {
    let (why, wait_ms) = match refused {
        Refused::Busy(wait) => ("somebody else is claiming this machine", wait),
        Refused::TooSoon(wait) => ("the last guess of the code was too recent", wait),
    };
    Status::new(Grpc::ResourceExhausted, format!("{why}: try again in {} s", wait_ms.div_ceil(1000)))
}
