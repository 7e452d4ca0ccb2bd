//! What the file of the configuration says, taken in again when the file changes.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use authentication::configuration::{Anonymous, Bad, Configuration, Issuer};

use super::provider::Provider;
use crate::app::App;

/// How often the file is looked at.
const LOOK: Duration = Duration::from_secs(2);

/// Whose tokens are taken besides our own, and where nobody need say who they are.
pub(super) struct Configured {
    pub(super) anonymous: Anonymous,
    pub(super) providers: Vec<Provider>,
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigurationError {
    /// The file cannot be read.
    #[error("read the file")]
    Read(#[source] std::io::Error),
    /// It says what makes no sense.
    #[error("check the file")]
    Bad(#[source] Bad),
    /// The authority of an issuer cannot be used.
    #[error("set up TLS for the issuer {0}")]
    Issuer(String, #[source] mtls::Error),
}

impl Configured {
    /// Of the command line alone.
    pub(super) fn new(anonymous: bool, issuers: Vec<Issuer>) -> Result<Self, ConfigurationError> {
        let providers = issuers.into_iter().map(|issuer| {
            let url = issuer.url.clone();
            Provider::new(issuer).map_err(|source| ConfigurationError::Issuer(url, source))
        });
        let anonymous = if anonymous { Anonymous::Everywhere } else { Anonymous::Nowhere };
        Ok(Self { anonymous, providers: providers.collect::<Result<_, _>>()? })
    }

    /// Of a file; what it does not say of anonymous requests the command line does.
    pub(super) fn read(text: &[u8], anonymous: bool, own: &[String]) -> Result<Self, ConfigurationError> {
        let read = Configuration::read(text, own).map_err(ConfigurationError::Bad)?;
        let configured = Self::new(anonymous, read.issuers)?;
        let anonymous = read.anonymous.unwrap_or(configured.anonymous);
        Ok(Self { anonymous, ..configured })
    }
}

/// Follows the file until the task is dropped. One that cannot be used leaves everything as it was.
pub(crate) async fn follow(app: Arc<App>, file: impl AsRef<Path>) {
    let file = file.as_ref();
    let mut seen = tokio::fs::read(file).await.ok();
    loop {
        tokio::time::sleep(LOOK).await;
        let Ok(text) = tokio::fs::read(file).await else { continue };
        if seen.as_ref() == Some(&text) {
            continue;
        }
        let taken = app.authentication.reconfigure(&text);
        app.metrics.authentication.reloaded(taken.is_ok());
        match taken {
            Ok(()) => tracing::info!("the changed configuration of authentication is in use"),
            Err(error) => {
                tracing::warn!(error = %chain::Chain(&error), "the changed configuration of authentication cannot be used");
            }
        }
        seen = Some(text);
    }
}
