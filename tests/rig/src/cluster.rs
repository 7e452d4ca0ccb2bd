//! A store and an API server, ready to be asked.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::controllers::{self, Controllers};
use crate::credentials::{Credentials, Login};
use crate::https::Client;
use crate::process::{Process, binary, until};
use crate::store::{StoreKind, StoreProcess};

/// How long the API server may take to be ready; far above the second it should take, for loaded machines.
const START: Duration = Duration::from_mins(1);
/// How long one kubectl command may take.
const KUBECTL: Duration = Duration::from_mins(1);

/// How a cluster is made.
#[derive(Debug, Clone)]
pub struct Options {
    /// Which store.
    pub store: StoreKind,
    /// More flags of the API server.
    pub flags: Vec<String>,
}

impl From<StoreKind> for Options {
    fn from(store: StoreKind) -> Self {
        Self { store, flags: Vec::new() }
    }
}

/// A running cluster. Dropping it ends everything and removes the folder.
pub struct Cluster {
    // Fields are dropped in order: the controllers before the server, that before its store, the folder last.
    controllers: Option<Controllers>,
    server: Process,
    /// The store.
    pub store: StoreProcess,
    /// The credentials.
    pub credentials: Credentials,
    flags: Vec<String>,
    port: u16,
    admin: Login,
    kubectl: &'static str,
    folder: TempDir,
}

impl Cluster {
    /// Starts a cluster and waits until it is ready.
    pub async fn start(options: impl Into<Options>) -> Self {
        let options = options.into();
        let folder = TempDir::with_prefix("orlop-test-").expect("make a temporary folder");
        let credentials = Credentials::generate(folder.path());
        let store = StoreProcess::start(options.store, folder.path(), &credentials);
        let server = spawn(&credentials, &store, &options.flags, 0, folder.path());
        let admin = credentials.user("kubernetes-admin", Some("system:masters"));
        let kubectl = "kubectl";
        let mut cluster = Self {
            controllers: None,
            server,
            store,
            credentials,
            flags: options.flags,
            port: 0,
            admin,
            kubectl,
            folder,
        };
        cluster.port = cluster.listening_port();
        cluster.ready().await;
        cluster.controllers = Some(controllers::start(&cluster.admin()).await);
        std::fs::write(cluster.kubeconfig(), cluster.admin.kubeconfig(&cluster.url())).expect("write a kubeconfig");
        cluster
    }

    fn listening_port(&mut self) -> u16 {
        port_of(&mut self.server, self.folder.path())
    }

    /// Waits until `/readyz` is well.
    pub async fn ready(&mut self) {
        let admin = self.admin();
        ready(&mut self.server, &admin).await;
    }

    /// The URL of the API server.
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// The port of the API server.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The API server.
    pub fn server(&mut self) -> &mut Process {
        &mut self.server
    }

    /// Starts the API server again on the same port, after it was killed or ended, and waits until it is ready.
    pub async fn restart_server(&mut self) {
        self.server.kill();
        let port = self.port;
        self.server = spawn(&self.credentials, &self.store, &self.flags, port, self.folder.path());
        self.ready().await;
    }

    /// The same with other flags.
    pub async fn restart_server_with(&mut self, flags: &[&str]) {
        self.flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        self.restart_server().await;
    }

    /// Starts one more API server on the same store, and waits until it is ready.
    pub async fn another_server(&self, name: &str) -> Server {
        self.another_server_with(name, &[]).await
    }

    /// The same with more flags.
    pub async fn another_server_with(&self, name: &str, flags: &[&str]) -> Server {
        let folder = self.folder.path().join(name);
        std::fs::create_dir(&folder).expect("make a folder for another server");
        let flags: Vec<String> = self.flags.iter().cloned().chain(flags.iter().map(|&flag| flag.to_owned())).collect();
        let mut process = spawn(&self.credentials, &self.store, &flags, 0, &folder);
        let port = port_of(&mut process, &folder);
        let client = Client::new(port, &self.admin.authority, Some(&self.admin));
        ready(&mut process, &client).await;
        Server { process, client, port }
    }

    /// One more client of the administrator to a server besides the first.
    pub fn another_client(&self, server: &Server) -> Client {
        Client::new(server.port, &self.admin.authority, Some(&self.admin))
    }

    /// A client of the administrator.
    pub fn admin(&self) -> Client {
        self.client(Some(&self.admin))
    }

    /// The administrator's login.
    pub fn admin_login(&self) -> &Login {
        &self.admin
    }

    /// A client with another identity, or none.
    pub fn client(&self, login: Option<&Login>) -> Client {
        Client::new(self.port, &self.admin.authority, login)
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("admin.kubeconfig")
    }

    /// A folder that is removed with the cluster.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Runs kubectl as the administrator with `input` on its standard input.
    pub async fn kubectl_with(&self, args: &[&str], input: &str) -> Output {
        use tokio::io::AsyncWriteExt as _;
        let mut child = self.kubectl_command(args).spawn().expect("start kubectl");
        let mut stdin = child.stdin.take().expect("kubectl takes input");
        stdin.write_all(input.as_bytes()).await.expect("write to kubectl");
        drop(stdin);
        let output = tokio::time::timeout(KUBECTL, child.wait_with_output()).await;
        output.expect("kubectl ends in time").expect("wait for kubectl")
    }

    /// Runs kubectl as the administrator; it must succeed. Returns what it printed.
    pub async fn kubectl(&self, args: &[&str]) -> String {
        self.kubectl_input(args, "").await
    }

    /// The same with `input` on its standard input.
    pub async fn kubectl_input(&self, args: &[&str], input: &str) -> String {
        let output = self.kubectl_with(args, input).await;
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "kubectl {args:?} failed: {err}{out}");
        format!("{out}{err}")
    }

    /// Runs kubectl as the administrator; it must fail. Returns what it complained.
    pub async fn kubectl_fails(&self, args: &[&str]) -> String {
        let output = self.kubectl_with(args, "").await;
        assert!(!output.status.success(), "kubectl {args:?} worked: {}", String::from_utf8_lossy(&output.stdout));
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// Takes another program as kubectl from here on.
    pub fn use_kubectl(&mut self, program: &'static str) {
        self.kubectl = program;
    }

    /// kubectl, ready to be started.
    pub fn kubectl_command(&self, args: &[&str]) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(self.kubectl);
        command
            .arg("--kubeconfig")
            .arg(self.kubeconfig())
            .arg("--cache-dir")
            .arg(self.folder.path().join("kubectl-cache"))
            .args(args)
            .env("HOME", self.folder.path())
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .kill_on_drop(true);
        command
    }
}

/// One more API server. Dropping it ends it.
pub struct Server {
    /// The program.
    pub process: Process,
    /// A client of the administrator.
    pub client: Client,
    port: u16,
}

fn port_of(server: &mut Process, folder: &Path) -> u16 {
    let file = address_file(folder);
    until("the API server to listen", START, || {
        assert!(server.ended().is_none(), "the API server ended: {}", server.log());
        std::fs::read_to_string(&file).ok()?.rsplit_once(':')?.1.parse().ok()
    })
}

async fn ready(server: &mut Process, admin: &Client) {
    let start = Instant::now();
    loop {
        assert!(server.ended().is_none(), "the API server ended: {}", server.log());
        match admin.try_send("GET", "/readyz", &[], "").await {
            Ok(answer) if answer.code == 200 => return,
            Ok(answer) => assert!(start.elapsed() < START, "never ready: {}", answer.text()),
            Err(error) => assert!(start.elapsed() < START, "never ready: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn address_file(folder: &Path) -> PathBuf {
    folder.join("apiserver.address")
}

fn spawn(credentials: &Credentials, store: &StoreProcess, flags: &[String], port: u16, folder: &Path) -> Process {
    let mut args = vec![
        format!("--etcd-servers={}", store.url()),
        format!("--etcd-cafile={}", credentials.path("etcd-ca.crt")),
        format!("--etcd-certfile={}", credentials.path("etcd-client.crt")),
        format!("--etcd-keyfile={}", credentials.path("etcd-client.key")),
        format!("--client-ca-file={}", credentials.path("client-ca.crt")),
        format!("--tls-cert-file={}", credentials.path("serving.crt")),
        format!("--tls-private-key-file={}", credentials.path("serving.key")),
        format!("--service-account-key-file={}", credentials.path("service-account.pub")),
        format!("--service-account-signing-key-file={}", credentials.path("service-account.key")),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        "--bind-address=127.0.0.1".to_owned(),
        // Endpoints must not be loopback addresses; this one is for documentation.
        "--advertise-address=192.0.2.10".to_owned(),
        format!("--secure-port={port}"),
        "--service-cluster-ip-range=10.96.0.0/12".to_owned(),
        format!("--listen-address-file={}", address_file(folder).display()),
    ];
    // A flag the test gives takes the place of the one given here.
    let name = |flag: &str| flag.split('=').next().unwrap_or_default().to_owned();
    args.retain(|one| flags.iter().all(|other| name(other) != name(one)));
    args.extend_from_slice(flags);
    Process::start("the API server", &binary("kube-apiserver"), args, &folder.join("apiserver.log"))
}
