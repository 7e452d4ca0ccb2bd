//! The program as a whole, against an API server that misbehaves on purpose.

mod fake;

use std::fs::File;
use std::future::Future;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use fake::Fake;
use http::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Long enough for a busy machine; a test that works never waits for it.
const LIMIT: Duration = Duration::from_secs(40);

/// One copy of the program.
struct Program {
    child: Child,
    folder: TempDir,
}

impl Program {
    fn start(fake: &Fake, extra: &[&str]) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), fake, extra)
    }

    fn start_in(folder: TempDir, fake: &Fake, extra: &[&str]) -> Self {
        let kubeconfig = folder.path().join("kubeconfig");
        let text = json!({"apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": format!("http://{}", fake.address)}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "users": [{"name": "u", "user": {}}]});
        std::fs::write(&kubeconfig, text.to_string()).unwrap();
        let root_ca = folder.path().join("ca.crt");
        let key = rcgen::KeyPair::generate().unwrap();
        let cert = rcgen::CertificateParams::new(vec!["ca".to_owned()]).unwrap().self_signed(&key).unwrap();
        std::fs::write(&root_ca, cert.pem()).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_kube-controller-manager"))
            .arg("--kubeconfig")
            .arg(&kubeconfig)
            .arg("--root-ca-file")
            .arg(&root_ca)
            .arg("--bind-address=127.0.0.1")
            .args(if extra.iter().any(|arg| arg.starts_with("--secure-port")) { None } else { Some("--secure-port=0") })
            .args(extra)
            .env("NOTIFY_SOCKET", folder.path().join("notify"))
            .stderr(File::create(folder.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        Self { child, folder }
    }

    fn root_ca(&self) -> String {
        read(&self.folder.path().join("ca.crt"))
    }

    fn log(&self) -> String {
        read(&self.folder.path().join("log"))
    }

    fn id(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_child(&self.child)
    }

    fn resident_kilobytes(&self) -> u64 {
        let status = read(Path::new(&format!("/proc/{}/status", self.child.id())));
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches("kB").trim().parse().unwrap()
    }

    async fn ends(&mut self, within: Duration) -> ExitStatus {
        eventually("the program ends", within, || std::future::ready(self.child.try_wait().unwrap())).await
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- log of the program\n{}", self.log());
        }
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, within: Duration, mut look: impl FnMut() -> F) -> T {
    let deadline = Instant::now() + within;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: not within {within:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn exists(fake: &Fake, resource: &str, namespace: &str, name: &str) -> Value {
    let what = format!("{resource} {namespace}/{name} appears");
    eventually(&what, LIMIT, || async { fake.get(resource, namespace, name) }).await
}

async fn is_gone(fake: &Fake, resource: &str, namespace: &str, name: &str) {
    let what = format!("{resource} {namespace}/{name} vanishes");
    eventually(&what, LIMIT, || async { fake.get(resource, namespace, name).is_none().then_some(()) }).await;
}

fn condition(namespace: &Value, kind: &str) -> Option<(String, String)> {
    let conditions = namespace["status"]["conditions"].as_array()?;
    let found = conditions.iter().find(|condition| condition["type"] == kind)?;
    Some((found["status"].as_str()?.to_owned(), found["message"].as_str()?.to_owned()))
}

fn config_map() -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_namespace_gets_its_account_and_its_certificates_and_keeps_them() {
    let fake = Fake::start();
    let program = Program::start(&fake, &["--leader-elect=false"]);
    for namespace in ["default", "kube-system"] {
        exists(&fake, "serviceaccounts", namespace, "default").await;
        exists(&fake, "configmaps", namespace, "kube-root-ca.crt").await;
    }
    fake.create_namespace("late");
    exists(&fake, "serviceaccounts", "late", "default").await;
    let map = exists(&fake, "configmaps", "late", "kube-root-ca.crt").await;
    assert_eq!(map["data"]["ca.crt"], json!(program.root_ca()));

    fake.delete("serviceaccounts", "late", "default");
    exists(&fake, "serviceaccounts", "late", "default").await;
    fake.delete("configmaps", "late", "kube-root-ca.crt");
    exists(&fake, "configmaps", "late", "kube-root-ca.crt").await;
    fake.change("configmaps", "late", "kube-root-ca.crt", |map| map["data"] = json!({"ca.crt": "evil"}));
    eventually("the certificates are put right", LIMIT, || async {
        let map = fake.get("configmaps", "late", "kube-root-ca.crt")?;
        (map["data"]["ca.crt"] == json!(program.root_ca())).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_namespace_is_emptied_pods_first_and_then_goes_away() {
    let fake = Fake::start();
    let _program = Program::start(&fake, &["--leader-elect=false"]);
    fake.create_namespace("shop");
    exists(&fake, "serviceaccounts", "shop", "default").await;
    for number in 0..5 {
        fake.create("configmaps", "shop", &format!("map-{number}"), config_map());
        fake.create("secrets", "shop", &format!("secret-{number}"), json!({"metadata": {}}));
    }
    fake.create("pods", "shop", "slow", json!({"metadata": {"finalizers": ["example.com/stopping"]}}));
    fake.create("configmaps", "shop", "held", json!({"metadata": {"finalizers": ["example.com/hold"]}}));
    fake.create("configmaps", "default", "bystander", config_map());
    fake.delete("namespaces", "", "shop");

    eventually("the pod is told of", LIMIT, || async {
        let (status, message) = condition(&fake.get("namespaces", "", "shop")?, "NamespaceContentRemaining")?;
        (status == "True" && message == "Some resources are remaining: pods. has 1 resource instances").then_some(())
    })
    .await;
    assert!(fake.get("configmaps", "shop", "map-0").is_some(), "nothing else goes before the pods");

    fake.change("pods", "shop", "slow", |pod| pod["metadata"]["finalizers"] = json!([]));
    fake.delete("pods", "shop", "slow");
    eventually("the held map is told of", LIMIT, || async {
        let namespace = fake.get("namespaces", "", "shop")?;
        let (_, message) = condition(&namespace, "NamespaceFinalizersRemaining")?;
        (message.ends_with("example.com/hold in 1 resource instances")).then_some(())
    })
    .await;
    is_gone(&fake, "secrets", "shop", "secret-4").await;
    is_gone(&fake, "configmaps", "shop", "map-4").await;
    assert!(fake.get("namespaces", "", "shop").is_some());

    fake.change("configmaps", "shop", "held", |map| map["metadata"]["finalizers"] = json!([]));
    fake.delete("configmaps", "shop", "held");
    is_gone(&fake, "namespaces", "", "shop").await;
    assert!(fake.get("configmaps", "default", "bystander").is_some());
    assert_eq!(
        fake.requests(&Method::POST, "/namespaces/shop/serviceaccounts"),
        1,
        "none is made in a dying namespace"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outages_and_a_lost_history_are_survived() {
    let mut fake = Fake::start();
    let mut program = Program::start(&fake, &["--leader-elect=false"]);
    exists(&fake, "serviceaccounts", "default", "default").await;
    for round in 0..3 {
        fake.die().await;
        // What happened meanwhile is not in the history any more.
        fake.create_namespace(&format!("round-{round}"));
        fake.delete("serviceaccounts", "default", "default");
        fake.compact();
        tokio::time::sleep(Duration::from_millis(300)).await;
        fake.resume();
        exists(&fake, "serviceaccounts", &format!("round-{round}"), "default").await;
        exists(&fake, "serviceaccounts", "default", "default").await;
    }
    assert!(program.child.try_wait().unwrap().is_none(), "it is still running");
    let log = program.log();
    assert!(log.lines().count() < 60, "the log is flooded:\n{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_closes_every_watch_is_not_asked_in_a_tight_loop() {
    let fake = Fake::start();
    fake.set_short_watches(true);
    let _program = Program::start(&fake, &["--leader-elect=false"]);
    exists(&fake, "serviceaccounts", "default", "default").await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let asked = fake.requests(&Method::GET, "/api/v1/namespaces");
    assert!((2..15).contains(&asked), "{asked} requests in three seconds");
    fake.create_namespace("late");
    exists(&fake, "serviceaccounts", "late", "default").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_namespaces_cost_little_memory() {
    let fake = Fake::start();
    let names: Vec<_> = (0..1_000).map(|number| format!("tenant-{number}")).collect();
    for name in &names {
        fake.create_namespace(name);
    }
    let program = Program::start(&fake, &["--leader-elect=false"]);
    for name in &names {
        exists(&fake, "serviceaccounts", name, "default").await;
        exists(&fake, "configmaps", name, "kube-root-ca.crt").await;
    }
    let resident = program.resident_kilobytes();
    println!("figure: controller manager with 1,000 namespaces: {resident} kB resident");
    assert!(resident < 40 << 10, "{resident} kB resident");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_two_leads_and_hands_over_when_it_ends() {
    let fake = Fake::start();
    let mut first = Program::start(&fake, &[]);
    let lease = exists(&fake, "leases", "kube-system", "kube-controller-manager").await;
    let holder = lease["spec"]["holderIdentity"].clone();
    assert_eq!(lease["spec"]["leaseDurationSeconds"], 15);
    exists(&fake, "serviceaccounts", "default", "default").await;
    let mut second = Program::start(&fake, &[]);
    eventually("the second sees the first lead", LIMIT, || async {
        second.log().contains("another copy leads").then_some(())
    })
    .await;
    assert!(!second.log().contains("starting"), "a copy that does not lead does not work");

    rustix::process::kill_process(first.id(), rustix::process::Signal::TERM).unwrap();
    assert!(first.ends(Duration::from_secs(5)).await.success());
    let taken = eventually("the second leads", Duration::from_secs(8), || async {
        let lease = fake.get("leases", "kube-system", "kube-controller-manager")?;
        let now = lease["spec"]["holderIdentity"].clone();
        (now != holder && now != json!("")).then_some(lease)
    })
    .await;
    assert!(taken["spec"]["leaseTransitions"].as_i64() >= Some(1));
    fake.create_namespace("late");
    exists(&fake, "serviceaccounts", "late", "default").await;

    rustix::process::kill_process(second.id(), rustix::process::Signal::TERM).unwrap();
    assert!(second.ends(Duration::from_secs(5)).await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_cannot_renew_stops_and_leads_again_later() {
    let mut fake = Fake::start();
    let times =
        ["--leader-elect-lease-duration=3s", "--leader-elect-renew-deadline=2s", "--leader-elect-retry-period=200ms"];
    let mut program = Program::start(&fake, &times);
    exists(&fake, "serviceaccounts", "default", "default").await;
    fake.die().await;
    eventually("it stops leading", LIMIT, || async { program.log().contains("the lease is lost").then_some(()) }).await;
    fake.create_namespace("late");
    fake.resume();
    exists(&fake, "serviceaccounts", "late", "default").await;

    // It ends in time even when there is nobody to give the lease back to.
    fake.die().await;
    rustix::process::kill_process(program.id(), rustix::process::Signal::TERM).unwrap();
    assert!(program.ends(Duration::from_secs(5)).await.success());
}

/// One GET over a TLS connection of its own; returns the status line and the body.
async fn get(port: u16, tls: &tokio_rustls::TlsConnector, path: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let mut stream = tls.connect("localhost".try_into().unwrap(), stream).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_is_served_and_readiness_is_told() {
    let mut fake = Fake::start();
    fake.die().await;
    let folder = tempfile::tempdir().unwrap();
    let supervisor = tokio::net::UnixDatagram::bind(folder.path().join("notify")).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let cert = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    let (cert_file, key_file) = (folder.path().join("serving.crt"), folder.path().join("serving.key"));
    std::fs::write(&cert_file, cert.pem()).unwrap();
    std::fs::write(&key_file, key.serialize_pem()).unwrap();
    // Whoever is allowed to read the metrics: here the same certificate.
    let client_ca = cert_file.display().to_string();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let flags = [
        format!("--secure-port={port}"),
        format!("--tls-cert-file={}", cert_file.display()),
        format!("--tls-private-key-file={}", key_file.display()),
        format!("--client-ca-file={client_ca}"),
    ];
    let program = Program::start_in(folder, &fake, &flags.each_ref().map(String::as_str));
    let connector = |identity| {
        let roots = mtls::Roots::parse(cert.pem().as_bytes()).unwrap();
        let config = mtls::client_config(identity, roots, mtls::Versions::Tls12AndUp, &[]).unwrap();
        tokio_rustls::TlsConnector::from(config)
    };
    let anonymous = connector(None);
    eventually("it listens", LIMIT, || async { tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok() }).await;
    assert!(get(port, &anonymous, "/healthz").await.ends_with("ok"));
    assert!(get(port, &anonymous, "/readyz").await.starts_with("HTTP/1.1 503"), "the API server is not there");

    // Neither garbage nor silence on the port holds anybody up.
    let silent = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let garbage = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    garbage.try_write(&[0xff; 4096]).unwrap();

    fake.resume();
    let mut told = [0; 64];
    let length = tokio::time::timeout(LIMIT, supervisor.recv(&mut told)).await.expect("readiness is told").unwrap();
    assert_eq!(&told[..length], b"READY=1");
    assert!(get(port, &anonymous, "/readyz").await.ends_with("ok"));
    exists(&fake, "serviceaccounts", "default", "default").await;

    assert!(get(port, &anonymous, "/metrics").await.starts_with("HTTP/1.1 401"));
    let known = connector(Some(mtls::Identity::parse(cert.pem().as_bytes(), key.serialize_pem().as_bytes()).unwrap()));
    let metrics = get(port, &known, "/metrics").await;
    assert!(metrics.contains("leader_election_master_status{name=\"kube-controller-manager\"} 1"), "{metrics}");
    assert!(metrics.contains("workqueue_adds_total{name=\"serviceaccount-controller\"}"), "{metrics}");
    drop((silent, program));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_waits_for_the_api_server_and_can_be_stopped_while_it_waits() {
    let mut fake = Fake::start();
    fake.die().await;
    let mut program = Program::start(&fake, &[]);
    eventually("it says what it waits for", LIMIT, || async {
        program.log().contains("the API server is not ready").then_some(())
    })
    .await;
    rustix::process::kill_process(program.id(), rustix::process::Signal::TERM).unwrap();
    assert!(program.ends(Duration::from_secs(5)).await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mistakes_on_the_command_line_are_told_by_name() {
    let fake = Fake::start();
    let mut program = Program::start(&fake, &["--controllers=*,nmespace", "--leader-elect-renew-deadline=20s"]);
    assert_eq!(program.ends(LIMIT).await.code(), Some(2));
    let log = program.log();
    assert!(log.contains("nmespace") && log.contains("greater than the renew deadline"), "{log}");
}
