//! `store snapshot save`: fetches a snapshot from a member, as etcdctl does.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use proto::etcdserverpb::auth_client::AuthClient;
use proto::etcdserverpb::maintenance_client::MaintenanceClient;
use proto::etcdserverpb::{AuthenticateRequest, SnapshotRequest};
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;
use tonic::metadata::MetadataValue;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Request, Status};

use super::file::CHECKSUM;

/// A member that cannot be reached, or says nothing more for so long, has failed.
const PATIENCE: Duration = Duration::from_mins(2);

/// A snapshot could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// The flags do not belong together.
    #[error("{0}")]
    Usage(&'static str),
    /// A file cannot be read or written.
    #[error("{what} {}", path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The member cannot be reached.
    #[error("connect to {endpoint}")]
    Connect {
        /// The member.
        endpoint: String,
        /// Why.
        source: tonic::transport::Error,
    },
    /// The member refused, or the stream broke.
    #[error("{}", .0.message())]
    Refused(#[from] Status),
    /// The member said nothing for too long.
    #[error("the member says nothing more")]
    Silent,
    /// What came is not what was sent.
    #[error("what came is not a whole snapshot: {0}")]
    Broken(&'static str),
    /// The runtime cannot be started.
    #[error("start a runtime")]
    Runtime(#[source] io::Error),
}

/// Which member is asked, and as whom: etcdctl's flags and variables.
#[derive(Debug, Args)]
pub struct Member {
    /// The member. Of several, the first one is asked.
    #[arg(
        long,
        alias = "endpoint",
        env = "ETCDCTL_ENDPOINTS",
        value_delimiter = ',',
        default_value = "127.0.0.1:2379"
    )]
    endpoints: Vec<String>,
    /// The authorities of its certificate.
    #[arg(long, env = "ETCDCTL_CACERT")]
    cacert: Option<PathBuf>,
    /// The certificate to show.
    #[arg(long, env = "ETCDCTL_CERT", requires = "key")]
    cert: Option<PathBuf>,
    /// Its key.
    #[arg(long, env = "ETCDCTL_KEY", requires = "cert")]
    key: Option<PathBuf>,
    /// The user: a name, or name:password.
    #[arg(long, env = "ETCDCTL_USER")]
    user: Option<String>,
    /// His password, if it is not in `--user`.
    #[arg(long, env = "ETCDCTL_PASSWORD")]
    password: Option<String>,
}

/// Fetches a snapshot into a file, which is there wholly or not at all. Returns its size.
pub fn save(member: &Member, path: &Path) -> Result<u64, SaveError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(SaveError::Runtime)?;
    runtime.block_on(fetch(member, path))
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SaveError {
    let path = path.to_owned();
    move |source| SaveError::File { what, path, source }
}

async fn fetch(member: &Member, path: &Path) -> Result<u64, SaveError> {
    let channel = connect(member).await?;
    let mut request = Request::new(SnapshotRequest {});
    if let Some(token) = token(member, &channel).await? {
        request.metadata_mut().insert("token", token);
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut staged = NamedTempFile::new_in(folder).map_err(failed("make a file beside", path))?;
    let size = receive(channel, request, &mut staged, path).await?;
    staged.as_file().sync_all().map_err(failed("write", path))?;
    staged.persist(path).map_err(|error| failed("write", path)(error.error))?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed("write", path))?;
    Ok(size)
}

async fn connect(member: &Member) -> Result<Channel, SaveError> {
    let named = member.endpoints.first().map(String::as_str).unwrap_or_default();
    let secure = member.cacert.is_some() || named.starts_with("https://");
    let endpoint = match (named.contains("://"), secure) {
        (true, _) => named.to_owned(),
        (false, true) => format!("https://{named}"),
        (false, false) => format!("http://{named}"),
    };
    let wrong = |source| SaveError::Connect { endpoint: endpoint.clone(), source };
    let mut builder = Endpoint::from_shared(endpoint.clone()).map_err(wrong)?.connect_timeout(PATIENCE / 8);
    if secure {
        let read = |path: &Path| std::fs::read(path).map_err(failed("read", path));
        let authorities = member.cacert.as_deref().ok_or(SaveError::Usage("an https:// endpoint needs --cacert"))?;
        let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read(authorities)?));
        if let (Some(cert), Some(key)) = (&member.cert, &member.key) {
            tls = tls.identity(Identity::from_pem(read(cert)?, read(key)?));
        }
        builder = builder.tls_config(tls).map_err(wrong)?;
    }
    builder.connect().await.map_err(wrong)
}

/// The token of the user, if one is named.
async fn token(member: &Member, channel: &Channel) -> Result<Option<MetadataValue<tonic::metadata::Ascii>>, SaveError> {
    let Some(user) = &member.user else { return Ok(None) };
    let (name, password) = match (user.split_once(':'), &member.password) {
        (_, Some(password)) => (user.as_str(), password.as_str()),
        (Some((name, password)), None) => (name, password),
        (None, None) => return Err(SaveError::Usage("--user needs a password")),
    };
    let request = AuthenticateRequest { name: name.to_owned(), password: password.to_owned() };
    let answer = AuthClient::new(channel.clone()).authenticate(request).await?.into_inner();
    answer.token.parse().map(Some).map_err(|_| SaveError::Broken("its token is no text"))
}

async fn receive(
    channel: Channel,
    request: Request<SnapshotRequest>,
    out: &mut NamedTempFile,
    path: &Path,
) -> Result<u64, SaveError> {
    let mut stream = MaintenanceClient::new(channel).snapshot(request).await?.into_inner();
    let mut sum = Sha256::new();
    let mut size = 0;
    // The last bytes are the checksum of all before them, however the messages are cut.
    let mut held = Vec::new();
    loop {
        let next = tokio::time::timeout(PATIENCE, stream.message()).await.map_err(|_| SaveError::Silent)?;
        let Some(message) = next? else { break };
        size += message.blob.len() as u64;
        held.extend_from_slice(&message.blob);
        let good = held.len().saturating_sub(CHECKSUM as usize);
        sum.update(&held[..good]);
        out.write_all(&held[..good]).map_err(failed("write", path))?;
        held.drain(..good);
    }
    if size % 512 != CHECKSUM {
        return Err(SaveError::Broken("its size is no snapshot's"));
    }
    if sum.finalize()[..] != held[..] {
        return Err(SaveError::Broken("its checksum is another one"));
    }
    out.write_all(&held).map_err(failed("write", path))?;
    Ok(size)
}
