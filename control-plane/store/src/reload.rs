//! What is made from the files of a TLS end, and made again when they change: certificates are replaced without a restart.

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use crate::config::TlsFiles;

/// How often the files are looked at.
const EVERY: Duration = Duration::from_secs(30);

/// The newest that could be made from the files. Clones share it.
#[derive(Clone)]
pub struct Reloaded<T>(Arc<RwLock<T>>);

impl<T: Clone + Send + Sync + 'static> Reloaded<T> {
    /// Makes it from the files, now and whenever they have changed, until the last clone is gone. `what` names it in the
    /// log. Files that cannot be used later on (perhaps only half of them are there yet) leave the old one in place.
    pub fn open(
        what: &'static str,
        files: TlsFiles,
        load: impl Fn(&TlsFiles) -> Result<T, mtls::Error> + Send + 'static,
    ) -> Result<Self, mtls::Error> {
        Self::open_every(EVERY, what, files, load)
    }

    fn open_every(
        every: Duration,
        what: &'static str,
        files: TlsFiles,
        load: impl Fn(&TlsFiles) -> Result<T, mtls::Error> + Send + 'static,
    ) -> Result<Self, mtls::Error> {
        let mut seen = changed(&files);
        let reloaded = Self(Arc::new(RwLock::new(load(&files)?)));
        let current = Arc::downgrade(&reloaded.0);
        tokio::spawn(async move {
            let mut tick = tokio::time::interval(every);
            loop {
                tick.tick().await;
                let Some(current) = current.upgrade() else { return };
                let now = changed(&files);
                if now == seen {
                    continue;
                }
                match load(&files) {
                    Ok(loaded) => {
                        seen = now;
                        *current.write().unwrap_or_else(PoisonError::into_inner) = loaded;
                        tracing::info!("{what} was read again");
                    }
                    Err(error) => tracing::warn!(error = %chain::Chain(&error), "{what} cannot be used as it is now"),
                }
            }
        });
        Ok(reloaded)
    }

    /// As it is now.
    pub fn current(&self) -> T {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// When the files last changed; a file that cannot be looked at counts as unchanged.
fn changed(files: &TlsFiles) -> [Option<SystemTime>; 3] {
    let time = |path: &Path| std::fs::metadata(path).and_then(|found| found.modified()).ok();
    [&files.cert, &files.key, &files.authorities].map(|path| time(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[tokio::test]
    async fn changed_files_are_read_again_and_broken_ones_are_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["cert", "key", "ca"] {
            fs::write(path(name), "1").unwrap();
        }
        let files = TlsFiles { cert: path("cert"), key: path("key"), authorities: path("ca"), required: true };
        let (looked, mut looks) = tokio::sync::watch::channel(String::new());
        let load = move |files: &TlsFiles| {
            let text = fs::read_to_string(&files.cert).unwrap();
            looked.send_replace(text.clone());
            if text == "broken" { Err(mtls::Error::Empty { path: files.cert.clone() }) } else { Ok(text) }
        };
        let reloaded = Reloaded::open_every(Duration::from_millis(5), "the test's file", files, load).unwrap();
        assert_eq!(reloaded.current(), "1");
        for (contents, expected, age) in [("broken", "1", 1), ("2", "2", 2)] {
            // Written beside and moved, so that it is never seen half.
            fs::write(path("new"), contents).unwrap();
            let file = fs::File::options().write(true).open(path("new")).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(age)).unwrap();
            fs::rename(path("new"), path("cert")).unwrap();
            let deadline = std::time::Instant::now() + Duration::from_secs(20);
            let seen = looks.wait_for(|text| text == contents);
            tokio::time::timeout_at(deadline.into(), seen).await.unwrap().unwrap();
            while reloaded.current() != expected {
                assert!(std::time::Instant::now() < deadline, "{contents} is not in effect");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }
}
