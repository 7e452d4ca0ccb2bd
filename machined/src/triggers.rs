//! Takes what PID 1 did by itself into the audit log: it follows PID 1's own log.

use std::io;
use std::time::Duration;

use chain::Chain;
use machined_core::triggers;

use crate::audit::Audit;
use crate::supervisor::Supervisor;

/// Where these records come from.
const PID_1: &str = "init";
/// Records that are looked at for where the last machined of this boot stopped.
const LOOK_BACK: u64 = 5_000;
/// PID 1 always listens; where there is none, as on a developer's machine, it is asked this rarely.
const AGAIN: Duration = Duration::from_mins(1);

/// Follows for ever.
pub(crate) async fn follow(supervisor: Supervisor, audit: Audit, boot: String) {
    let mut after = match last_of_this_boot(&audit, boot).await {
        Ok(after) => after,
        Err(error) => {
            tracing::warn!(%error, "the audit log cannot be read back: local triggers may be in it twice");
            None
        }
    };
    loop {
        // The log is told from its beginning: what is on record already is left out.
        let mut latest = after;
        match supervisor.logs("init".to_owned(), None, true).await {
            Ok(mut lines) => loop {
                match lines.next().await {
                    Ok(Some(line)) => {
                        if after.is_some_and(|after| line.uptime_ms <= after) {
                            continue;
                        }
                        latest = Some(line.uptime_ms);
                        if let Some(trigger) = triggers::read(line.uptime_ms, &line.text) {
                            audit.happened(PID_1, trigger.what, trigger.detail).await;
                        }
                    }
                    Ok(None) => break,
                    Err(error) => {
                        tracing::info!("{}", Chain(&error));
                        break;
                    }
                }
            },
            Err(error) => tracing::info!("{}", Chain(&error)),
        }
        after = latest;
        tokio::time::sleep(AGAIN).await;
    }
}

/// When the last trigger was that is on record, if it was in this boot.
async fn last_of_this_boot(audit: &Audit, boot: String) -> io::Result<Option<u64>> {
    let last = *audit.last().borrow();
    let mut reader = audit.reader(last.saturating_sub(LOOK_BACK));
    let looking = tokio::task::spawn_blocking(move || {
        let mut found = None;
        loop {
            let lines = reader.lines(last)?;
            if lines.is_empty() {
                return Ok(found);
            }
            for (record, _) in lines.iter().filter_map(|line| ledger::read(line).ok()) {
                if record.boot == boot && record.event.who.is_none() && record.event.from == PID_1 {
                    found = found.max(triggers::uptime_ms(&record.event.detail));
                }
            }
        }
    });
    looking.await.unwrap_or_else(|error| Err(io::Error::other(error)))
}
