//! The end of a member that can no longer know what is on its disk: it refuses, says why, and leaves, so that its
//! supervisor starts it again from what the disk really holds.

use std::io;
use std::sync::{Arc, OnceLock};

use tokio::sync::Notify;

/// Shared by everything that writes.
#[derive(Debug, Clone, Default)]
pub struct Poison(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    reason: OnceLock<String>,
    told: Notify,
}

impl Poison {
    /// The first reason counts; the process stops soon after.
    pub fn spread(&self, reason: impl Into<String>) {
        if self.0.reason.set(reason.into()).is_ok() {
            self.0.told.notify_one();
        }
    }

    /// Refuses once poisoned.
    pub fn check(&self) -> io::Result<()> {
        match self.0.reason.get() {
            None => Ok(()),
            Some(reason) => Err(io::Error::other(format!("an earlier failure stopped all writing: {reason}"))),
        }
    }

    /// Waits for the reason. Cancel safe; meant for one waiter.
    pub async fn reason(&self) -> &str {
        loop {
            if let Some(reason) = self.0.reason.get() {
                return reason;
            }
            self.0.told.notified().await;
        }
    }
}
