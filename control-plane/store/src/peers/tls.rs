//! Both ends of TLS between members, from one set of files that is read again when it changes.

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use mtls::{ClientAuth, Identity, Roots, Versions};
use rustls::{ClientConfig, ServerConfig};

use crate::config::TlsFiles;

/// How often the files are looked at.
const RELOAD_EVERY: Duration = Duration::from_secs(30);

/// Both ends, as they are at the moment.
#[derive(Clone)]
pub struct PeerTls {
    current: Arc<RwLock<Ends>>,
}

#[derive(Clone)]
struct Ends {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

fn load(files: &TlsFiles) -> Result<Ends, mtls::Error> {
    let roots = Roots::load(&files.authorities)?;
    let identity = Identity::load(&files.cert, &files.key)?;
    let auth = if files.required { ClientAuth::Required(roots.clone()) } else { ClientAuth::Optional(roots.clone()) };
    Ok(Ends {
        server: mtls::server_config(identity.clone(), auth, Versions::Tls13, &[b"h2"])?,
        client: mtls::client_config(Some(identity), roots, Versions::Tls13, &[b"h2"])?,
    })
}

/// When the files last changed; a file that cannot be looked at counts as unchanged.
fn changed(files: &TlsFiles) -> Vec<Option<SystemTime>> {
    let time = |path: &Path| std::fs::metadata(path).and_then(|found| found.modified()).ok();
    [&files.cert, &files.key, &files.authorities].map(|path| time(path)).into()
}

impl PeerTls {
    /// Reads the files, and again when they change.
    pub fn open(files: TlsFiles) -> Result<Self, mtls::Error> {
        let mut seen = changed(&files);
        let tls = Self { current: Arc::new(RwLock::new(load(&files)?)) };
        let current = Arc::downgrade(&tls.current);
        tokio::spawn(async move {
            let mut tick = tokio::time::interval(RELOAD_EVERY);
            loop {
                tick.tick().await;
                let Some(current) = current.upgrade() else { return };
                let now = changed(&files);
                if now == seen {
                    continue;
                }
                match load(&files) {
                    Ok(ends) => {
                        seen = now;
                        *current.write().unwrap_or_else(PoisonError::into_inner) = ends;
                        tracing::info!("the certificate for other members was read again");
                    }
                    // Perhaps only half of the files are there yet: the old certificate goes on meanwhile.
                    Err(error) => {
                        tracing::warn!(error = %chain::Chain(&error), "the new peer certificate cannot be used");
                    }
                }
            }
        });
        Ok(tls)
    }

    fn ends(&self) -> Ends {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// For accepting.
    pub fn server(&self) -> Arc<ServerConfig> {
        self.ends().server
    }

    /// For connecting.
    pub fn client(&self) -> Arc<ClientConfig> {
        self.ends().client
    }
}
