//! Whether purged entries are asked for again and again.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Asked for again within this time, they are still wanted.
const AGAIN: Duration = Duration::from_secs(2);

/// When purged entries were asked for.
#[derive(Debug, Default)]
pub(super) struct Missing(Mutex<Option<Asked>>);

#[derive(Debug, Clone, Copy)]
struct Asked {
    first: Instant,
    last: Instant,
}

impl Missing {
    fn asked(&self) -> MutexGuard<'_, Option<Asked>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// They are asked for.
    pub(super) fn note(&self) {
        let (mut asked, now) = (self.asked(), Instant::now());
        let first = asked.filter(|asked| now - asked.last <= AGAIN).map_or(now, |asked| asked.first);
        *asked = Some(Asked { first, last: now });
    }

    /// For how long they have been asked for by now.
    pub(super) fn wanted_for(&self) -> Duration {
        let asked = self.asked().filter(|asked| asked.last.elapsed() <= AGAIN);
        asked.map_or(Duration::ZERO, |asked| asked.first.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_who_goes_on_asking_counts() {
        let missing = Missing::default();
        assert_eq!(missing.wanted_for(), Duration::ZERO);
        for _ in 0..4 {
            missing.note();
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert_eq!(missing.wanted_for(), Duration::from_secs(4));
        tokio::time::advance(AGAIN).await;
        assert_eq!(missing.wanted_for(), Duration::ZERO);
        missing.note();
        assert_eq!(missing.wanted_for(), Duration::ZERO);
    }
}
