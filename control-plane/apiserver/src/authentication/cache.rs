//! What tokens were found to be, for some seconds: signatures and lookups cost more than remembering.
//!
//! A token itself is not kept, but a digest of it under a key that only this process has: whoever reads the memory finds no token, and
//! nobody can guess one by how long a comparison takes. Only good tokens are remembered; a refusal may be over the next moment.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use authentication::Identity;
use ring::hmac;
use ring::rand::SystemRandom;
use tokio::time::Instant;

use super::Judged;
use super::metrics::AuthenticationMetrics;

/// Tokens remembered at most; one takes about a kilobyte. Above it everything is forgotten, which costs some signatures.
const MOST: usize = 16_384;

/// The cache.
pub(super) struct Cache {
    key: hmac::Key,
    ttl: Duration,
    known: Mutex<HashMap<[u8; 32], Known>>,
}

struct Known {
    until: Instant,
    identity: Identity,
    warnings: Vec<String>,
}

impl Cache {
    /// Remembers good tokens for so long; not at all for zero.
    pub(super) fn new(ttl: Duration) -> Self {
        // Without randomness there are no tokens either; a key nobody can guess matters only beside some.
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
            .unwrap_or_else(|_| hmac::Key::new(hmac::HMAC_SHA256, &rand::random::<[u8; 32]>()));
        Self { key, ttl, known: Mutex::default() }
    }

    /// What is remembered of a token or, if that is nothing, what `fresh` finds out.
    pub(super) async fn judged<F: Future<Output = Judged>>(
        &self,
        metrics: &AuthenticationMetrics,
        token: &str,
        audiences: &[String],
        fresh: impl FnOnce() -> F,
    ) -> Judged {
        if self.ttl.is_zero() {
            return fresh().await;
        }
        let started = Instant::now();
        let key = self.digest(token, audiences);
        let found = {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            known
                .get(&key)
                .filter(|known| started < known.until)
                .map(|known| (known.identity.clone(), known.warnings.clone()))
        };
        if let Some(found) = found {
            metrics.cache_asked(true, started.elapsed());
            return Ok(found);
        }
        let judged = {
            let _fetching = metrics.fetching();
            fresh().await
        };
        metrics.cache_fetched(judged.is_ok());
        metrics.cache_asked(false, started.elapsed());
        if let Ok((identity, warnings)) = &judged {
            let now = Instant::now();
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            if known.len() >= MOST {
                known.retain(|_, known| now < known.until);
            }
            if known.len() >= MOST {
                known.clear();
            }
            let (identity, warnings) = (identity.clone(), warnings.clone());
            known.insert(key, Known { until: now + self.ttl, identity, warnings });
        }
        judged
    }

    /// Forgets all tokens.
    pub(super) fn forget(&self) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn digest(&self, token: &str, audiences: &[String]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.key);
        // Lengths keep the parts apart.
        for part in std::iter::once(token).chain(audiences.iter().map(String::as_str)) {
            context.update(&(part.len() as u64).to_le_bytes());
            context.update(part.as_bytes());
        }
        let mut digest = [0; 32];
        digest.copy_from_slice(context.sign().as_ref());
        digest
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use apiserver_core::user::User;
    use authentication::Refused;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn good_tokens_are_remembered_for_their_audience_and_bad_ones_never() {
        let (cache, metrics) = (Cache::new(Duration::from_secs(10)), AuthenticationMetrics::default());
        let asked = AtomicU32::new(0);
        let ask = async |token: &str, audience: &str| {
            let fresh = || async {
                asked.fetch_add(1, Ordering::Relaxed);
                if token == "bad" {
                    return Err(vec![Refused::because("bad")]);
                }
                let user = User { name: token.to_owned(), ..User::default() };
                Ok((Identity { user, audiences: Vec::new() }, Vec::new()))
            };
            let judged = cache.judged(&metrics, token, &[audience.to_owned()], fresh).await;
            (judged.ok().map(|(identity, _)| identity.user.name), asked.load(Ordering::Relaxed))
        };
        assert_eq!(ask("ann", "a").await, (Some("ann".into()), 1));
        assert_eq!(ask("ann", "a").await, (Some("ann".into()), 1));
        assert_eq!(ask("ann", "b").await, (Some("ann".into()), 2));
        assert_eq!(ask("bad", "a").await, (None, 3));
        assert_eq!(ask("bad", "a").await, (None, 4));
        tokio::time::advance(Duration::from_secs(11)).await;
        assert_eq!(ask("ann", "a").await, (Some("ann".into()), 5));
    }
}
