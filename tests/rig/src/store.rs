//! The store below the API server: ours of one member or three, or etcd from the distribution's packages.

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
    /// Ours, of three members.
    ThreeMembers,
    /// The reference.
    Etcd,
}

impl StoreKind {
    /// The store that `ORLOP_TEST_STORE` names: `orlop` (also if it is not set), `three-members` or `etcd`.
    pub fn chosen() -> Self {
        match std::env::var("ORLOP_TEST_STORE").as_deref() {
            Err(_) | Ok("orlop") => Self::Orlop,
            Ok("three-members") => Self::ThreeMembers,
            Ok("etcd") => Self::Etcd,
            Ok(other) => panic!("ORLOP_TEST_STORE={other}: there are orlop, three-members and etcd"),
        }
    }

    fn size(self) -> usize {
        match self {
            Self::Orlop | Self::Etcd => 1,
            Self::ThreeMembers => 3,
        }
    }
}

/// A store of one or more members.
pub struct StoreProcess {
    kind: StoreKind,
    members: Vec<Member>,
}

/// One member, and how to start it again.
struct Member {
    program: PathBuf,
    args: Vec<String>,
    client_port: u16,
    log: PathBuf,
    process: Process,
}

impl StoreProcess {
    /// Starts a store with its data in `folder` and waits until it listens.
    pub fn start(kind: StoreKind, folder: &Path, credentials: &Credentials) -> Self {
        let program = match kind {
            StoreKind::Orlop | StoreKind::ThreeMembers => binary("store"),
            StoreKind::Etcd => PathBuf::from("etcd"),
        };
        let ports: Vec<_> = (0..kind.size()).map(|_| (free_port(), free_port())).collect();
        let everybody: Vec<_> =
            ports.iter().enumerate().map(|(index, (_, peer))| format!("{}={}", name(index), url(*peer))).collect();
        let members = ports.iter().enumerate().map(|(index, (client_port, peer_port))| {
            let (client, peer) = (url(*client_port), url(*peer_port));
            let args = vec![
                format!("--name={}", name(index)),
                format!("--data-dir={}", folder.join(format!("store-{index}")).display()),
                format!("--listen-client-urls={client}"),
                format!("--advertise-client-urls={client}"),
                format!("--listen-peer-urls={peer}"),
                format!("--initial-advertise-peer-urls={peer}"),
                format!("--initial-cluster={}", everybody.join(",")),
                format!("--cert-file={}", credentials.path("etcd-server.crt")),
                format!("--key-file={}", credentials.path("etcd-server.key")),
                format!("--trusted-ca-file={}", credentials.path("etcd-ca.crt")),
                "--client-cert-auth".to_owned(),
                format!("--peer-cert-file={}", credentials.path("etcd-peer.crt")),
                format!("--peer-key-file={}", credentials.path("etcd-peer.key")),
                format!("--peer-trusted-ca-file={}", credentials.path("etcd-peer-ca.crt")),
                "--peer-client-cert-auth".to_owned(),
            ];
            let log = folder.join(format!("store-{index}.log"));
            let process = Process::start("the store", &program, &args, &log);
            Member { program: program.clone(), args, client_port: *client_port, log, process }
        });
        let mut store = Self { kind, members: members.collect() };
        store.members.iter_mut().for_each(Member::wait);
        store
    }

    /// The URLs of its client ports, as `--etcd-servers` takes them.
    pub fn url(&self) -> String {
        let urls: Vec<_> = self.members.iter().map(|member| url(member.client_port)).collect();
        urls.join(",")
    }

    /// Which one it is.
    pub fn kind(&self) -> StoreKind {
        self.kind
    }

    /// How many members it has.
    pub fn size(&self) -> usize {
        self.members.len()
    }

    /// The process of the first member.
    pub fn process(&mut self) -> &mut Process {
        self.member(0)
    }

    /// The process of one member.
    pub fn member(&mut self, index: usize) -> &mut Process {
        &mut self.members[index].process
    }

    /// Starts it again on the same data and ports, after it was killed or ended.
    pub fn restart(&mut self) {
        self.members.iter_mut().for_each(Member::restart);
    }

    /// The same with one member.
    pub fn restart_member(&mut self, index: usize) {
        self.members[index].restart();
    }
}

impl Member {
    fn restart(&mut self) {
        self.process.kill();
        self.process = Process::start("the store", &self.program, &self.args, &self.log);
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

fn name(index: usize) -> String {
    format!("test-{index}")
}

fn url(port: u16) -> String {
    format!("https://127.0.0.1:{port}")
}
