//! Files that others rewrite while we run, such as renewed certificates.

use std::path::PathBuf;
use std::time::Duration;

use chain::Chain;
use tokio::sync::watch;

/// How often files are compared with what is in use. Certificates are renewed hours before they end.
pub(crate) const INTERVAL: Duration = Duration::from_secs(20);

/// Reads `paths` for ever and sends what `parse` makes of them whenever their contents changed. What cannot be parsed
/// is logged, and the former value stays. Ends when nobody listens any more.
pub(crate) async fn follow<T, E>(paths: Vec<PathBuf>, sender: watch::Sender<T>, parse: impl Fn() -> Result<T, E> + Send)
where
    T: Send + Sync,
    E: std::error::Error + 'static,
{
    let mut known = contents(&paths).await;
    loop {
        tokio::select! {
            () = sender.closed() => return,
            () = tokio::time::sleep(INTERVAL) => {}
        }
        let found = contents(&paths).await;
        if found == known {
            continue;
        }
        known = found;
        match parse() {
            Ok(value) => {
                tracing::info!(?paths, "files changed and are in use");
                sender.send_replace(value);
            }
            Err(error) => {
                tracing::warn!(?paths, error = %Chain(&error), "files changed and cannot be used; the former stay");
            }
        }
    }
}

async fn contents(paths: &[PathBuf]) -> Vec<Option<Vec<u8>>> {
    let mut contents = Vec::with_capacity(paths.len());
    for path in paths {
        contents.push(tokio::fs::read(path).await.ok());
    }
    contents
}
