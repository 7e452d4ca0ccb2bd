//! A server elsewhere that is asked whose a token is.

use std::path::Path;
use std::time::Duration;

use apiserver_core::user::User;
use authentication::{Identity, Outcome, Refused, intersection};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::json;

use super::https::{FetchError, Https};

/// How often a question is put when there is no answer.
const TRIES: u32 = 5;
/// The first pause between tries; each is half as long again.
const PAUSE: Duration = Duration::from_millis(500);

/// The server.
pub(super) struct Webhook {
    url: String,
    https: Https,
    version: &'static str,
}

/// What is wrong with the file that says where the server is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WebhookError {
    /// It cannot be read.
    #[error("read {what}")]
    Read {
        /// The file.
        what: String,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// It says nothing of use.
    #[error("the kubeconfig of the webhook: {0}")]
    Content(String),
    /// What it names cannot be used.
    #[error("set up TLS for the webhook")]
    Tls(#[from] mtls::Error),
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Kubeconfig {
    clusters: Vec<Cluster>,
    #[serde(default)]
    users: Vec<Named<Credentials>>,
    #[serde(default)]
    contexts: Vec<Context>,
    #[serde(default)]
    current_context: String,
}

#[derive(Deserialize)]
struct Cluster {
    name: String,
    cluster: Place,
}

#[derive(Deserialize)]
struct Named<T> {
    name: String,
    user: T,
}

#[derive(Deserialize)]
struct Context {
    name: String,
    context: Pair,
}

#[derive(Deserialize)]
struct Pair {
    #[serde(default)]
    cluster: String,
    #[serde(default)]
    user: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Place {
    server: String,
    certificate_authority: Option<String>,
    certificate_authority_data: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
struct Credentials {
    client_certificate: Option<String>,
    client_certificate_data: Option<String>,
    client_key: Option<String>,
    client_key_data: Option<String>,
    token: Option<String>,
}

#[derive(Deserialize)]
struct Review {
    #[serde(default)]
    status: Status,
}

#[derive(Deserialize, Default)]
struct Status {
    #[serde(default)]
    authenticated: bool,
    #[serde(default)]
    user: Info,
    #[serde(default)]
    audiences: Vec<String>,
    #[serde(default)]
    error: String,
}

#[derive(Deserialize, Default)]
struct Info {
    #[serde(default)]
    username: String,
    #[serde(default)]
    uid: String,
    #[serde(default)]
    groups: Vec<String>,
    #[serde(default)]
    extra: std::collections::BTreeMap<String, Vec<String>>,
}

impl Webhook {
    /// Reads where it is. `version` is that of the reviews it understands.
    pub(super) fn open(file: &Path, version: &'static str) -> Result<Self, WebhookError> {
        let text = read(file)?;
        let text = String::from_utf8_lossy(&text);
        let config: Kubeconfig =
            serde_saphyr::from_str(&text).map_err(|error| WebhookError::Content(error.to_string()))?;
        let context = config.contexts.into_iter().find(|one| one.name == config.current_context);
        let pair = context.map_or_else(|| Pair { cluster: String::new(), user: String::new() }, |one| one.context);
        let mut clusters = config.clusters.into_iter();
        let cluster = clusters.find(|one| pair.cluster.is_empty() || one.name == pair.cluster);
        let place = cluster.ok_or_else(|| WebhookError::Content("there is no cluster".to_owned()))?.cluster;
        let user = config.users.into_iter().find(|one| one.name == pair.user).map(|one| one.user).unwrap_or_default();
        let authority = bytes(file, place.certificate_authority_data, place.certificate_authority)?;
        let authority = authority.map(|pem| String::from_utf8_lossy(&pem).into_owned());
        let certificate = bytes(file, user.client_certificate_data, user.client_certificate)?;
        let key = bytes(file, user.client_key_data, user.client_key)?;
        let identity = match (certificate, key) {
            (Some(certificate), Some(key)) => Some(mtls::Identity::parse(&certificate, &key)?),
            (None, None) => None,
            _ => return Err(WebhookError::Content("client-certificate and client-key go together".to_owned())),
        };
        let https = Https::new(authority.as_deref(), identity)?.with_token(user.token.as_deref());
        Ok(Self { url: place.server, https, version })
    }

    /// Whose a token is for the given audiences. `own` are those of this server, which one means who names none.
    pub(super) async fn judge(&self, token: &str, wanted: &[String], own: &[String]) -> Outcome {
        let question = json!({
            "apiVersion": format!("authentication.k8s.io/{}", self.version), "kind": "TokenReview",
            "metadata": { "creationTimestamp": null }, "spec": { "token": token, "audiences": wanted }, "status": { "user": {} },
        });
        let answer = self.ask(question.to_string().into_bytes()).await.map_err(|error| {
            tracing::warn!(error = %chain::Chain(&error), "the webhook of authentication did not answer");
            Refused(chain::Chain(&error).to_string())
        })?;
        let review: Review = serde_json::from_slice(&answer).map_err(|error| Refused(error.to_string()))?;
        let Status { authenticated, user, audiences, error } = review.status;
        if !authenticated {
            return if error.is_empty() { Ok(None) } else { Err(Refused(error)) };
        }
        let got = if audiences.is_empty() { own } else { &audiences };
        let audiences = intersection(wanted, got);
        if audiences.is_empty() && !wanted.is_empty() {
            return Ok(None);
        }
        if user.username.is_empty() {
            return Err(Refused::because("the webhook named no user"));
        }
        let user = User { name: user.username, uid: user.uid, groups: user.groups, extra: user.extra };
        Ok(Some(Identity { user, audiences }))
    }

    async fn ask(&self, question: Vec<u8>) -> Result<bytes::Bytes, FetchError> {
        let mut pause = PAUSE;
        for _ in 1..TRIES {
            match self.https.post(&self.url, question.clone()).await {
                Err(FetchError::Answer { code, .. }) if code.is_server_error() || code.as_u16() == 429 => {}
                Err(FetchError::Connect { .. } | FetchError::Talk { .. }) => {}
                done => return done,
            }
            tokio::time::sleep(pause).await;
            pause += pause / 2;
        }
        self.https.post(&self.url, question).await
    }
}

fn read(path: &Path) -> Result<Vec<u8>, WebhookError> {
    std::fs::read(path).map_err(|source| WebhookError::Read { what: path.display().to_string(), source })
}

/// What a kubeconfig says itself, or in a file beside it.
fn bytes(config: &Path, data: Option<String>, file: Option<String>) -> Result<Option<Vec<u8>>, WebhookError> {
    match (data.filter(|data| !data.is_empty()), file.filter(|file| !file.is_empty())) {
        (Some(data), _) => {
            let decoded = STANDARD.decode(data).map_err(|error| WebhookError::Content(error.to_string()))?;
            Ok(Some(decoded))
        }
        (None, Some(file)) => read(&config.parent().unwrap_or(Path::new(".")).join(file)).map(Some),
        (None, None) => Ok(None),
    }
}
