//! The store below the API server: ours, or etcd from the distribution's packages.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::credentials::Credentials;
use crate::process::{Process, binary, free_port, until};

/// How long a store may take to listen.
const START: Duration = Duration::from_secs(30);

/// Which store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreKind {
    /// Ours.
    Orlop,
    /// The reference.
    Etcd,
}

/// A store of one member.
pub struct StoreProcess {
    kind: StoreKind,
    folder: PathBuf,
    credentials: Vec<String>,
    client_port: u16,
    peer_port: u16,
    process: Process,
}

impl StoreProcess {
    /// Starts a store with its data in `folder` and waits until it listens.
    pub fn start(kind: StoreKind, folder: &Path, credentials: &Credentials) -> Self {
        let files = vec![
            format!("--cert-file={}", credentials.path("etcd-server.crt")),
            format!("--key-file={}", credentials.path("etcd-server.key")),
            format!("--trusted-ca-file={}", credentials.path("etcd-ca.crt")),
            "--client-cert-auth".to_owned(),
            format!("--peer-cert-file={}", credentials.path("etcd-peer.crt")),
            format!("--peer-key-file={}", credentials.path("etcd-peer.key")),
            format!("--peer-trusted-ca-file={}", credentials.path("etcd-peer-ca.crt")),
            "--peer-client-cert-auth".to_owned(),
        ];
        let (client_port, peer_port) = (free_port(), free_port());
        let process = spawn(kind, folder, &files, client_port, peer_port);
        let mut store =
            Self { kind, folder: folder.to_path_buf(), credentials: files, client_port, peer_port, process };
        store.wait();
        store
    }

    /// The URL of its client port.
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.client_port)
    }

    /// Which one it is.
    pub fn kind(&self) -> StoreKind {
        self.kind
    }

    /// The process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Starts it again on the same data and ports, after it was killed or ended.
    pub fn restart(&mut self) {
        self.process.kill();
        self.process = spawn(self.kind, &self.folder, &self.credentials, self.client_port, self.peer_port);
        self.wait();
    }

    fn wait(&mut self) {
        let (port, process) = (self.client_port, &mut self.process);
        until("the store to listen", START, || {
            assert!(process.ended().is_none(), "the store ended: {}", process.log());
            TcpStream::connect(("127.0.0.1", port)).ok()
        });
    }
}

fn spawn(kind: StoreKind, folder: &Path, files: &[String], client_port: u16, peer_port: u16) -> Process {
    let program = match kind {
        StoreKind::Orlop => binary("store"),
        StoreKind::Etcd => PathBuf::from("etcd"),
    };
    let (client, peer) = (format!("https://127.0.0.1:{client_port}"), format!("https://127.0.0.1:{peer_port}"));
    let mut args = vec![
        "--name=test".to_owned(),
        format!("--data-dir={}", folder.join("store").display()),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=test={peer}"),
    ];
    args.extend_from_slice(files);
    Process::start("the store", &program, args, &folder.join("store.log"))
}
