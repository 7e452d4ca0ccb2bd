//! A provider of tokens: its keys, fetched when a token first needs them and again when one is signed by another.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use authentication::configuration::Issuer;
use authentication::jose::Token;
use authentication::key::{NamedKey, read_key_set};
use authentication::oidc::{self, Checked};
use authentication::{Identity, Outcome, Refused};
use serde::Deserialize;
use tokio::time::Instant;

use super::https::Https;
use super::seconds_now;

/// How long keys are not asked for again, however many tokens are signed by unknown ones: whoever makes those up must not make this
/// server a burden to the provider.
const PAUSE: Duration = Duration::from_secs(2);

/// A provider.
pub(super) struct Provider {
    issuer: Issuer,
    https: Https,
    keys: Mutex<Keys>,
    /// One asks, the others wait for what it learns.
    asking: tokio::sync::Mutex<()>,
}

#[derive(Default, Clone)]
struct Keys {
    all: Arc<Vec<NamedKey>>,
    asked: Option<Instant>,
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

impl Provider {
    /// A provider whose keys are not known yet.
    pub(super) fn new(issuer: Issuer) -> Result<Self, mtls::Error> {
        let https = Https::new(issuer.authority.as_deref(), None)?;
        Ok(Self { issuer, https, keys: Mutex::default(), asking: tokio::sync::Mutex::default() })
    }

    /// Whose a token is; `None` for tokens of others.
    pub(super) async fn judge(&self, text: &str) -> Outcome {
        let Some(token) = Token::parse(text) else { return Ok(None) };
        if !oidc::is_of(&self.issuer, &token) {
            return Ok(None);
        }
        let known = self.known();
        let mut checked = oidc::check(&self.issuer, &token, &known.all)?;
        if checked == Checked::UnknownKey {
            let keys = self.fresh(known.asked).await?;
            checked = oidc::check(&self.issuer, &token, &keys)?;
        }
        match checked {
            Checked::Signed(claims) => {
                let user = oidc::user(&self.issuer, &claims, seconds_now())?;
                Ok(Some(Identity { user, audiences: Vec::new() }))
            }
            Checked::UnknownKey => Err(Refused::because(
                "oidc: verify token: failed to verify signature: failed to verify id token signature",
            )),
        }
    }

    fn known(&self) -> Keys {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The keys as they are now, unless somebody asked after `seen`, or just now.
    async fn fresh(&self, seen: Option<Instant>) -> Result<Arc<Vec<NamedKey>>, Refused> {
        let _asking = self.asking.lock().await;
        let known = self.known();
        if known.asked != seen || known.asked.is_some_and(|asked| asked.elapsed() < PAUSE) {
            return Ok(known.all);
        }
        let fetched = self.fetch().await;
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        keys.asked = Some(Instant::now());
        match fetched {
            Ok(all) => {
                keys.all = Arc::new(all);
                Ok(Arc::clone(&keys.all))
            }
            Err(why) => Err(Refused(format!("oidc: verify token: fetching keys: {why}"))),
        }
    }

    async fn fetch(&self) -> Result<Vec<NamedKey>, String> {
        let Issuer { url, discovery_url, .. } = &self.issuer;
        let place = discovery_url
            .clone()
            .unwrap_or_else(|| format!("{}/.well-known/openid-configuration", url.trim_end_matches('/')));
        let document = self.https.get(&place).await.map_err(|error| chain::Chain(&error).to_string())?;
        let document: Discovery = serde_json::from_slice(&document).map_err(|error| error.to_string())?;
        if document.issuer != *url {
            return Err(format!(
                "issuer did not match the issuer returned by provider, expected {url:?} got {:?}",
                document.issuer
            ));
        }
        let set = self.https.get(&document.jwks_uri).await.map_err(|error| chain::Chain(&error).to_string())?;
        let set = serde_json::from_slice(&set).map_err(|error| error.to_string())?;
        read_key_set(&set).ok_or_else(|| "no set of keys".to_owned())
    }
}
