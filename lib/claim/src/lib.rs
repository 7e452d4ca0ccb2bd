//! First contact with a machine: a short code, read off its console, is turned into trust at both ends.
//!
//! ```text
//! claimant                                            machine
//!   TLS handshake, in which neither knows the other; both derive the same 32 bytes from it (the *binding*)
//!   exchange: a point hidden by the code      ──►
//!                                             ◄──     exchange: a point hidden by the code
//!   proof over the request for a certificate  ──►     checks it, signs the request
//!                                             ◄──     proof over the certificates
//! ```
//!
//! The exchange is SPAKE2: who does not know the code learns nothing from it but whether one guess was right, and only the
//! machine can tell him. Every proof covers the binding, so that somebody in between, who has two TLS connections with
//! two bindings, has proofs that are worth nothing. How often one may guess is for the machine to decide.

mod code;
#[cfg(test)]
mod tests;

pub use code::{Code, NoCode};

use ring::{digest, hkdf, hmac};
use spake2::{Ed25519Group, Identity, Password, Spake2};

/// What both ends derive from the TLS session they speak in (RFC 9266).
pub type Binding = [u8; 32];

/// A message of the exchange.
pub const EXCHANGE: usize = 33;

/// Label of the [`Binding`] in TLS.
pub const BINDING_LABEL: &[u8] = b"EXPORTER-Channel-Binding";

const CLAIMANT: &[u8] = b"orlop claimant";
const MACHINE: &[u8] = b"orlop machine";
const SALT: &[u8] = b"orlop claim v1";

/// Why a handshake ended. It never says how near a guess was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The message is none of this protocol, or one that was sent back to its sender.
    #[error("the message is not part of a claim")]
    Message,
    /// The other side has another code, or another TLS session.
    #[error("the codes differ, or somebody is in between")]
    Proof,
}

/// Who made a proof. A proof of one side is never one of the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Who wants in.
    Claimant,
    /// Who is claimed.
    Machine,
}

/// The claimant's side, until the machine has answered.
pub struct Claimant {
    exchange: Spake2<Ed25519Group>,
    message: Vec<u8>,
    binding: Binding,
}

impl Claimant {
    /// Begins with the code as it was typed; the message goes to the machine. Each call makes fresh randomness.
    #[must_use]
    pub fn begin(code: &Code, binding: Binding) -> (Self, Vec<u8>) {
        let (exchange, message) =
            Spake2::<Ed25519Group>::start_a(&password(code), &Identity::new(CLAIMANT), &Identity::new(MACHINE));
        (Self { exchange, message: message.clone(), binding }, message)
    }

    /// Takes the machine's message.
    pub fn finish(self, theirs: &[u8]) -> Result<Session, Error> {
        let key = shared(self.exchange, theirs)?;
        Ok(Session::derive(&key, self.binding, &self.message, theirs))
    }
}

/// The machine's side: answers the claimant's message with one of its own. Whether the claimant knows the code shows in
/// his proof.
pub fn answer(code: &Code, binding: Binding, theirs: &[u8]) -> Result<(Session, Vec<u8>), Error> {
    let (exchange, message) =
        Spake2::<Ed25519Group>::start_b(&password(code), &Identity::new(CLAIMANT), &Identity::new(MACHINE));
    let key = shared(exchange, theirs)?;
    Ok((Session::derive(&key, binding, theirs, &message), message))
}

fn password(code: &Code) -> Password {
    Password::new(code.secret())
}

fn shared(exchange: Spake2<Ed25519Group>, theirs: &[u8]) -> Result<Vec<u8>, Error> {
    if theirs.len() != EXCHANGE {
        return Err(Error::Message);
    }
    exchange.finish(theirs).map_err(|_| Error::Message)
}

/// A key that both sides have if they have the same code and the same TLS session.
pub struct Session {
    claimant: hmac::Key,
    machine: hmac::Key,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Claimant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Claimant").finish_non_exhaustive()
    }
}

impl Session {
    fn derive(key: &[u8], binding: Binding, of_claimant: &[u8], of_machine: &[u8]) -> Self {
        let mut transcript = digest::Context::new(&digest::SHA256);
        // All of them have a fixed length, so that no two transcripts are one text.
        for part in [&binding[..], of_claimant, of_machine] {
            transcript.update(part);
        }
        let transcript = transcript.finish();
        let secret = hkdf::Salt::new(hkdf::HKDF_SHA256, SALT).extract(key);
        let one = |side: &[u8]| {
            let info = [side, transcript.as_ref()];
            // 32 bytes are never too many for HKDF.
            let key = secret.expand(&info, hmac::HMAC_SHA256).expect("a key of one block can be derived");
            hmac::Key::from(key)
        };
        Self { claimant: one(CLAIMANT), machine: one(MACHINE) }
    }

    /// Proves to know the code, and vouches for `texts`.
    #[must_use]
    pub fn prove(&self, side: Side, texts: &[&[u8]]) -> Vec<u8> {
        let mut context = hmac::Context::with_key(self.key(side));
        feed(texts, |bytes| context.update(bytes));
        context.sign().as_ref().to_vec()
    }

    /// Checks the proof of `side` for `texts`, in a time that does not depend on where it differs.
    pub fn check(&self, side: Side, texts: &[&[u8]], proof: &[u8]) -> Result<(), Error> {
        let mut message = Vec::new();
        feed(texts, |bytes| message.extend_from_slice(bytes));
        hmac::verify(self.key(side), &message, proof).map_err(|_| Error::Proof)
    }

    fn key(&self, side: Side) -> &hmac::Key {
        match side {
            Side::Claimant => &self.claimant,
            Side::Machine => &self.machine,
        }
    }
}

/// Each text with its length in front, so that nothing can move from one to the next.
fn feed(texts: &[&[u8]], mut take: impl FnMut(&[u8])) {
    for text in texts {
        take(&(text.len() as u64).to_be_bytes());
        take(text);
    }
}
