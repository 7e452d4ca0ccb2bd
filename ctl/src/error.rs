//! Why a command failed.

use std::io;
use std::path::PathBuf;

/// Why a command failed. The text names what was tried; the cause follows as its source.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("read {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("write {}", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} already exists: use --force to overwrite it", path.display())]
    Exists { path: PathBuf },
    #[error("{} is not an orlopconfig: {why}", path.display())]
    Config { path: PathBuf, why: String },
    #[error("{} has no context {name:?}; it has: {known}", path.display())]
    NoContext { path: PathBuf, name: String, known: String },
    #[error("{} does not hold what a machine returns: {why}", path.display())]
    Bundle { path: PathBuf, why: &'static str },
    #[error("make the key")]
    Key(#[source] pki::Error),
    #[error("{endpoint:?} is not a host and a port")]
    Endpoint { endpoint: String },
    #[error("use the certificates of context {context:?}")]
    Certificates {
        context: String,
        #[source]
        source: tonic::transport::Error,
    },
    #[error("connect to the machine API at {endpoint}")]
    Connect {
        endpoint: String,
        #[source]
        source: tonic::transport::Error,
    },
    #[error("no answer from {endpoint} within {seconds} s")]
    Late { endpoint: String, seconds: f64 },
    #[error("{what}: {}", explain(status))]
    Refused { what: &'static str, status: Box<tonic::Status> },
    #[error("the audit log was tampered with")]
    Audit(#[source] ledger::Broken),
    #[error("record {seq} of the audit log {why}")]
    AuditHead { seq: u64, why: &'static str },
    #[error("the code")]
    Code(#[source] claim::NoCode),
    #[error("claim the machine")]
    Claim(#[source] claim::Error),
    #[error("set up TLS for a machine that is not known yet")]
    FirstContact(#[source] mtls::Error),
    #[error("read the certificate that the machine has signed")]
    Granted(#[source] pki::Error),
    #[error("print")]
    Print(#[from] io::Error),
}

impl Error {
    /// Whether the reader of our output has gone away.
    pub(crate) fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Print(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// Turns a refused call into an error that names the call.
    pub(crate) fn refused(what: &'static str) -> impl FnOnce(tonic::Status) -> Self {
        move |status| Self::Refused { what, status: Box::new(status) }
    }
}

fn explain(status: &tonic::Status) -> String {
    match status.code() {
        tonic::Code::PermissionDenied => format!("permission denied: {}", status.message()),
        tonic::Code::Unavailable => format!("the machine is not reachable: {}", status.message()),
        _ if status.message().is_empty() => status.code().to_string(),
        _ => status.message().to_owned(),
    }
}
