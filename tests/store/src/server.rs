//! One server under test: its certificates, its folder, its process.

use std::fs;
use std::net::{IpAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime};

use pki::{Authority, AuthorityName, Request, San, Subject, Usage};
use tempfile::TempDir;

use crate::DEADLINE;
use crate::client::Client;

const DAY: Duration = Duration::from_hours(24);

/// Which program answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The distribution's etcd: the reference.
    Etcd,
    /// Ours.
    Ours,
    /// An etcd 3.4, for the few cases about older ones.
    Old,
}

/// A running server with a data folder of its own. It is killed when dropped.
pub struct Server {
    kind: Kind,
    folder: TempDir,
    port: u16,
    peer_port: u16,
    extra: Vec<String>,
    process: Child,
}

impl Server {
    /// Starts a server and waits until it answers.
    pub async fn start(kind: Kind) -> Self {
        Self::start_with(kind, &[]).await
    }

    /// Starts a server with further flags and waits until it answers.
    pub async fn start_with(kind: Kind, extra: &[&str]) -> Self {
        Self::start_from(kind, extra, |_, _| {}).await
    }

    /// Starts a server on data that `prepare` makes in the folder it is given, for the member `default` with the peer URL it
    /// is given, and waits until it answers.
    pub async fn start_from(kind: Kind, extra: &[&str], prepare: impl FnOnce(&Path, &str)) -> Self {
        let folder = tempfile::Builder::new().prefix("orlop-store-").tempdir().expect("a folder for the test");
        write_certificates(folder.path(), &[]);
        let (port, peer_port) = (free_port(), free_port());
        prepare(&folder.path().join("data"), &format!("https://127.0.0.1:{peer_port}"));
        let extra: Vec<_> = extra.iter().map(ToString::to_string).collect();
        let process = spawn(kind, folder.path(), port, peer_port, &extra);
        let mut server = Self { kind, folder, port, peer_port, extra, process };
        server.wait_until_ready().await;
        server
    }

    /// Which program this is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// `https://127.0.0.1:<port>`
    pub fn endpoint(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// The port of the client API.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A file of the certificates: `ca.crt`, `client.crt`, `client.key`, `foreign.crt`, `foreign.key`.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The folder of certificates, log and data.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The folder of the server's data.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// What the server has printed so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// A connected client with the certificate of a client.
    pub async fn client(&self) -> Client {
        Client::connect(self, "client").await.expect("connect")
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// `kill -9`: nothing is flushed, nothing is said.
    pub fn kill(&mut self) {
        self.process.kill().expect("kill the server");
        self.process.wait().expect("the server has ended");
    }

    /// Starts the server again on the same folder and ports, and waits until it answers.
    pub async fn restart(&mut self) {
        self.process = spawn(self.kind, self.folder.path(), self.port, self.peer_port, &self.extra);
        self.wait_until_ready().await;
    }

    /// Starts the server again where it cannot start, and waits for its end; what it said.
    pub fn start_in_vain(&mut self) -> String {
        let before = self.log().len();
        self.process = spawn(self.kind, self.folder.path(), self.port, self.peer_port, &self.extra);
        let status = self.wait_for_end();
        assert!(!status.success(), "the server ended as if all was well");
        self.log().split_off(before)
    }

    /// Asks the server to stop and waits for its end; the exit code.
    pub fn stop(&mut self) -> Option<i32> {
        let pid = self.process.id().to_string();
        Command::new("kill").args(["-TERM", &pid]).status().expect("kill is there");
        self.wait_for_end().code()
    }

    fn wait_for_end(&mut self) -> ExitStatus {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.process.try_wait().expect("the server is a child") {
                return status;
            }
            assert!(Instant::now() < deadline, "the server did not stop: {}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    async fn wait_until_ready(&mut self) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.process.try_wait().expect("the server is a child") {
                panic!("{:?} ended at its start with {status}:\n{}", self.kind, self.log());
            }
            if let Ok(mut client) = Client::connect(self, "client").await
                && client.get("readiness").await.map_or_else(|status| asks_who(&status), |_| true)
            {
                return;
            }
            assert!(Instant::now() < deadline, "{:?} is not ready:\n{}", self.kind, self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// A server that wants to know who asks is ready, too.
fn asks_who(status: &tonic::Status) -> bool {
    matches!(status.code(), tonic::Code::InvalidArgument | tonic::Code::PermissionDenied)
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.process.try_wait().is_ok_and(|ended| ended.is_none()) {
            let _ = self.process.kill();
            let _ = self.process.wait();
        }
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<_> = log.lines().rev().take(40).collect();
            eprintln!("last lines of {:?}:", self.kind);
            for line in tail.iter().rev() {
                eprintln!("  {line}");
            }
        }
    }
}

/// A program built by this workspace: beside the folder of the test's own executable, or in `ORLOP_BIN_DIR`.
pub fn program(name: &str) -> PathBuf {
    let folder = std::env::var_os("ORLOP_BIN_DIR").map_or_else(
        || {
            let test = std::env::current_exe().expect("a test has a path");
            test.ancestors().nth(2).expect("a test lies in <profile>/deps").to_path_buf()
        },
        PathBuf::from,
    );
    let path = folder.join(name);
    assert!(path.exists(), "{} is not there: build it first (`just build`)", path.display());
    path
}

/// The program of this kind.
pub(crate) fn command(kind: Kind) -> Command {
    match kind {
        Kind::Etcd => Command::new("etcd"),
        Kind::Ours => Command::new(program("store")),
        Kind::Old => Command::new("etcd-3.4"),
    }
}

/// What every member is told: who it is, where it listens, and its certificates.
pub(crate) fn member_flags(
    certificates: &Path,
    name: &str,
    data: &Path,
    client: &str,
    peer: &str,
) -> [(&'static str, String); 12] {
    let file = |name: &str| certificates.join(name).display().to_string();
    [
        ("--name", name.to_owned()),
        ("--data-dir", data.display().to_string()),
        ("--listen-client-urls", client.to_owned()),
        ("--advertise-client-urls", client.to_owned()),
        ("--listen-peer-urls", peer.to_owned()),
        ("--initial-advertise-peer-urls", peer.to_owned()),
        ("--cert-file", file("server.crt")),
        ("--key-file", file("server.key")),
        ("--trusted-ca-file", file("ca.crt")),
        ("--peer-cert-file", file("peer.crt")),
        ("--peer-key-file", file("peer.key")),
        ("--peer-trusted-ca-file", file("peer-ca.crt")),
    ]
}

fn spawn(kind: Kind, folder: &Path, port: u16, peer_port: u16, extra: &[String]) -> Child {
    let log = fs::OpenOptions::new().append(true).create(true).open(folder.join("log")).expect("a log file");
    let mut command = command(kind);
    let client = format!("https://127.0.0.1:{port}");
    let peer = format!("https://127.0.0.1:{peer_port}");
    for (flag, value) in member_flags(folder, "default", &folder.join("data"), &client, &peer) {
        command.arg(format!("{flag}={value}"));
    }
    command.arg(format!("--initial-cluster=default={peer}"));
    command.args(["--client-cert-auth", "--peer-client-cert-auth"]).args(extra);
    if kind != Kind::Ours {
        // A single member elects itself after one election timeout: the tests need not wait a second for it.
        command.args(["--heartbeat-interval=10", "--election-timeout=100"]);
    }
    command
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a log file"))
        .stderr(log)
        .spawn()
        .unwrap_or_else(|error| panic!("start {kind:?}: {error}"))
}

/// Certificates for servers on the loopback and at further addresses.
pub(crate) fn write_certificates(folder: &Path, further: &[IpAddr]) {
    let now = SystemTime::now();
    let mut names = vec![San::Dns("localhost".into()), San::Ip([127, 0, 0, 1].into())];
    names.extend(further.iter().map(|address| San::Ip(*address)));
    let write = |name: &str, text: &str| fs::write(folder.join(name), text).expect("write a certificate");
    let issue = |authority: &Authority, name: &str, usage| {
        let request = Request { subject: Subject::new(name), sans: names.clone(), usage, lifetime: DAY };
        let issued = authority.issue(&request, now).expect("a certificate");
        write(&format!("{name}.crt"), &issued.cert_pem);
        write(&format!("{name}.key"), &issued.key_pem);
    };
    let clients = Authority::generate(AuthorityName::Etcd, now).expect("an authority");
    let peers = Authority::generate(AuthorityName::EtcdPeer, now).expect("an authority");
    let foreign = Authority::generate(AuthorityName::Etcd, now).expect("an authority");
    issue(&clients, "server", Usage::ServerAndClient);
    issue(&clients, "client", Usage::Client);
    issue(&peers, "peer", Usage::ServerAndClient);
    issue(&foreign, "foreign-peer", Usage::ServerAndClient);
    issue(&foreign, "foreign", Usage::Client);
    write("ca.crt", clients.cert_pem());
    write("peer-ca.crt", peers.cert_pem());
    write("foreign-ca.crt", foreign.cert_pem());
}

/// A port that nobody listens on, below the range from which the kernel takes the ports of outgoing connections: one of
/// those could be taken again before the server binds it. Each test process begins its search elsewhere.
pub(crate) fn free_port() -> u16 {
    const FIRST: u32 = 10_000;
    const COUNT: u32 = 20_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    (0..COUNT)
        .map(|_| FIRST + (std::process::id().wrapping_mul(37) + NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT)
        .filter_map(|port| u16::try_from(port).ok())
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("a free port")
}
