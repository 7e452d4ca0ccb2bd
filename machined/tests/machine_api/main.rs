//! machined as a process on this machine, below a folder, with a PID 1 made for the test: what strangers, readers,
//! operators and administrators can do, and what a damaged or misconfigured machine does.

mod audit;
mod claim;
mod client;
mod node;
mod pid1;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, SystemTime};

use machined_core::roles::Role;
use mtls::Versions;
use pki::{Authority, AuthorityName, KeyAndCsr, Peer, Subject};
use proto::machine::{
    DmesgRequest, KubeconfigRequest, LogsRequest, RebootRequest, ServiceRestartRequest, ServiceSignalRequest,
    ServicesRequest, Severity, ShutdownRequest, StatusRequest, VersionRequest,
};
use supervision::{Request as Order, ShutdownMode};
use tonic::Code;

use client::{Credentials, connect, connect_with};
use node::Node;

#[tokio::test]
async fn nobody_gets_in_without_a_certificate_of_the_machine_authority() {
    let node = Node::start().await;
    let admin = node.credentials(Role::Admin);
    let mut client = connect(&node, Some(&admin)).await.unwrap();
    client.version(VersionRequest {}).await.unwrap();

    let refused = |what: &'static str, credentials: Option<Credentials>| {
        let node = &node;
        async move {
            let call = async {
                let mut client = connect(node, credentials.as_ref()).await.map_err(|error| error.to_string())?;
                client.version(VersionRequest {}).await.map_err(|status| status.to_string())
            };
            assert!(call.await.is_err(), "{what} got in");
        }
    };
    refused("someone without a certificate", None).await;

    let now = SystemTime::now();
    let month = Duration::from_hours(30 * 24);
    let expired = Credentials::issue(&node.machine_authority(), Role::Admin.organization(), now - month);
    refused("an expired certificate", Some(expired)).await;
    let future = Credentials::issue(&node.machine_authority(), Role::Admin.organization(), now + month);
    refused("a certificate from the future", Some(future)).await;
    let foreign = Authority::generate(AuthorityName::Machine, now).unwrap();
    refused("a foreign authority of the same name", Some(Credentials::issue(&foreign, "orlop:admin", now))).await;
    let kubernetes = node.authority(AuthorityName::Kubernetes);
    refused("a certificate of the cluster", Some(Credentials::issue(&kubernetes, "orlop:admin", now))).await;
    let server = Credentials::of_server(&node.machine_authority(), now);
    refused("a server's certificate", Some(server)).await;
}

#[tokio::test]
async fn a_client_recognizes_the_machine_by_its_authority() {
    let node = Node::start().await;
    let admin = node.credentials(Role::Admin);
    let stranger = Authority::generate(AuthorityName::Machine, SystemTime::now()).unwrap();
    assert!(connect_with(&node, Some(&admin), stranger.cert_pem(), Versions::Tls13).await.is_err());
}

#[tokio::test]
async fn a_reader_looks_an_operator_acts_an_admin_makes_admins() {
    let node = Node::start().await;
    let denied = |status: tonic::Status| assert_eq!(status.code(), Code::PermissionDenied, "{status}");

    let mut reader = connect(&node, Some(&node.credentials(Role::Reader))).await.unwrap();
    assert_eq!(reader.version(VersionRequest {}).await.unwrap().into_inner().version, env!("CARGO_PKG_VERSION"));
    let services = reader.services(ServicesRequest {}).await.unwrap().into_inner().services;
    assert_eq!(services.len(), 1);
    assert_eq!((services[0].name.as_str(), services[0].restarts), ("store", 3));
    denied(reader.reboot(RebootRequest::default()).await.unwrap_err());
    denied(reader.service_restart(ServiceRestartRequest { service: "store".into() }).await.unwrap_err());
    denied(reader.kubeconfig(KubeconfigRequest::default()).await.unwrap_err());
    assert_eq!(node.pid1.orders(), [Order::Services], "what was denied never reached PID 1");

    let mut operator = connect(&node, Some(&node.credentials(Role::Operator))).await.unwrap();
    operator.reboot(RebootRequest { reason: "new\x1b[31m kernel\n".into() }).await.unwrap();
    let signal = ServiceSignalRequest { service: "store".into(), signal: 9 };
    operator.service_signal(signal).await.unwrap();
    let nonsense = ServiceSignalRequest { service: "store".into(), signal: 0 };
    assert_eq!(operator.service_signal(nonsense).await.unwrap_err().code(), Code::InvalidArgument);
    denied(operator.kubeconfig(KubeconfigRequest::default()).await.unwrap_err());
    assert_eq!(
        node.pid1.orders()[1..],
        [
            Order::Shutdown { mode: ShutdownMode::Reboot, reason: "asked by tester: new[31m kernel".into() },
            Order::Signal { service: "store".into(), signal: 9 },
        ]
    );

    let nobody = Credentials::issue(&node.machine_authority(), "orlop:nobody", SystemTime::now());
    let mut nobody = connect(&node, Some(&nobody)).await.unwrap();
    denied(nobody.version(VersionRequest {}).await.unwrap_err());
}

#[tokio::test]
async fn an_administrator_of_the_cluster_is_made_without_a_key_that_travels() {
    let node = Node::start().await;
    let mut admin = connect(&node, Some(&node.credentials(Role::Admin))).await.unwrap();
    let mine = KeyAndCsr::generate(&Subject::with_organization("me", "whatever")).unwrap();
    let made = admin.kubeconfig(KubeconfigRequest { csr: mine.csr_pem }).await.unwrap().into_inner();
    assert_eq!(made.certificate_authority, node.authority(AuthorityName::Kubernetes).cert_pem());
    assert_eq!((made.cluster_name.as_str(), made.server.as_str()), ("orlop", "https://127.0.0.1:6443"));
    let peer = Peer::from_der(&client::der(&made.certificate)).unwrap();
    assert_eq!(
        (peer.common_name.as_str(), peer.organizations),
        ("kubernetes-admin", vec!["system:masters".to_owned()])
    );

    let rubbish = admin.kubeconfig(KubeconfigRequest { csr: "rubbish".into() }).await.unwrap_err();
    assert_eq!(rubbish.code(), Code::InvalidArgument, "{rubbish}");
}

#[tokio::test]
async fn logs_stream_from_pid_1() {
    let node = Node::start().await;
    let mut reader = connect(&node, Some(&node.credentials(Role::Reader))).await.unwrap();
    let request = LogsRequest { service: "store".into(), tail: Some(2), follow: false };
    let mut lines = reader.logs(request).await.unwrap().into_inner();
    let mut texts = Vec::new();
    while let Some(line) = lines.message().await.unwrap() {
        texts.push(line.text);
    }
    assert_eq!(texts, ["line 1", "line 2"]);

    let followed = LogsRequest { service: "store".into(), tail: Some(1), follow: true };
    let mut lines = reader.logs(followed).await.unwrap().into_inner();
    assert_eq!(lines.message().await.unwrap().unwrap().text, "line 1");
    let waiting = tokio::time::timeout(Duration::from_millis(300), lines.message()).await;
    assert!(waiting.is_err(), "a log that is followed stays open");

    let unknown = LogsRequest { service: "nothing".into(), ..Default::default() };
    let refused = reader.logs(unknown).await.unwrap_err();
    assert_eq!((refused.code(), refused.message()), (Code::FailedPrecondition, "there is no service nothing"));

    // A container may hide the kernel's log; then that is what is said.
    match reader.dmesg(DmesgRequest { follow: false }).await {
        Ok(messages) => drop(messages.into_inner().message().await.unwrap()),
        Err(status) => assert_eq!(status.code(), Code::Unavailable, "{status}"),
    }
}

#[tokio::test]
async fn garbage_on_the_port_harms_nobody() {
    let node = Node::start().await;
    let mut idle = Vec::new();
    for round in 0_u8..40 {
        let mut stranger = TcpStream::connect(node.address).unwrap();
        let garbage: Vec<u8> = (0_u16..2000).map(|index| (index as u8).wrapping_mul(31).wrapping_add(round)).collect();
        match round % 4 {
            0 => drop(stranger.write_all(&garbage)),
            1 => drop(stranger.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")),
            2 => drop(stranger.write_all(&[0x16, 0x03, 0x01, 0xff, 0xff])),
            _ => {}
        }
        idle.push(stranger);
    }
    let mut admin = connect(&node, Some(&node.credentials(Role::Admin))).await.unwrap();
    admin.version(VersionRequest {}).await.unwrap();
    for stranger in &mut idle {
        stranger.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
        let mut answer = Vec::new();
        // Each is closed by the server, the silent ones when their time is over.
        let _ = stranger.read_to_end(&mut answer);
        assert!(answer.len() < 200, "a stranger learns nothing");
    }
    admin.version(VersionRequest {}).await.unwrap();
}

#[tokio::test]
async fn an_older_tls_is_not_spoken() {
    let node = Node::start().await;
    let admin = node.credentials(Role::Admin);
    // A client that offers 1.2 and 1.3 gets 1.3; one without 1.3 gets nothing.
    let out = std::process::Command::new("openssl")
        .args(["s_client", "-tls1_2", "-connect", &node.address.to_string()])
        .stdin(std::process::Stdio::null())
        .output()
        .expect("openssl is installed");
    assert!(!out.status.success(), "{}", String::from_utf8_lossy(&out.stdout));
    let authority = node.machine_authority();
    let mut client = connect_with(&node, Some(&admin), authority.cert_pem(), Versions::Tls12AndUp).await.unwrap();
    client.version(VersionRequest {}).await.unwrap();
}

#[tokio::test]
async fn without_pid_1_the_api_says_so() {
    let mut node = Node::start().await;
    node.pid1.stop();
    let mut admin = connect(&node, Some(&node.credentials(Role::Admin))).await.unwrap();
    let status = admin.services(ServicesRequest {}).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().starts_with("reach PID 1 at "), "{status}");
    let status = admin.shutdown(ShutdownRequest::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "an order that was not given is not reported as given");
    admin.version(VersionRequest {}).await.unwrap();
}

#[tokio::test]
async fn services_get_what_they_need_and_the_identity_is_kept() {
    let node = Node::start().await;
    let services = ["store", "kube-apiserver", "kube-controller-manager"];
    for service in services {
        let arguments = fs::read_to_string(node.path(&format!("run/services/{service}.args"))).unwrap();
        for argument in arguments.lines() {
            let value = argument.split_once('=').map_or("", |(_, value)| value);
            if value.contains("/run/credentials/") {
                assert!(fs::exists(value).unwrap(), "{argument}");
            }
        }
    }
    let authority = node.machine_authority().cert_pem().to_owned();
    let mut admin = connect(&node, Some(&node.credentials(Role::Admin))).await.unwrap();
    let before = admin.status(StatusRequest {}).await.unwrap().into_inner();
    assert_eq!(before.conditions, []);
    assert_eq!(before.hostname, format!("orlop-{}", &before.machine_id[..8]));

    let node = node.restart().await;
    assert_eq!(node.machine_authority().cert_pem(), authority);
    let mut admin = connect(&node, Some(&node.credentials(Role::Admin))).await.unwrap();
    let after = admin.status(StatusRequest {}).await.unwrap().into_inner();
    assert_eq!((before.machine_id, before.cluster_id), (after.machine_id, after.cluster_id));
}

#[tokio::test]
async fn a_wrong_configuration_is_shown_and_holds_the_services() {
    let node = Node::start().await;
    fs::create_dir_all(node.path("state/config")).unwrap();
    let wrong = "apiVersion: orlop.dev/v1alpha1\nkind: MachineConfig\nmachine:\n  hostnam: x\ncluster: {name: A}\n";
    fs::write(node.path("state/config/3.yaml"), wrong).unwrap();
    let node = node.restart().await;
    assert!(!node.path("run/services/store.args").exists(), "no service starts on a configuration that is not known");
    let mut admin = connect(&node, Some(&node.credentials(Role::Admin))).await.unwrap();
    let status = admin.status(StatusRequest {}).await.unwrap().into_inner();
    let condition = &status.conditions[0];
    assert_eq!((condition.part.as_str(), condition.severity()), ("config", Severity::Error));
    for piece in ["generation 3", "line 4: machine.hostnam: there is no such field", "line 5: cluster.name:"] {
        assert!(condition.message.contains(piece), "{}", condition.message);
    }
    assert_eq!(fs::read_to_string(node.path("state/config/3.yaml")).unwrap(), wrong);

    let right = "apiVersion: orlop.dev/v1alpha1\nkind: MachineConfig\nmachine: {hostname: cp-1}\n";
    fs::write(node.path("state/config/4.yaml"), right).unwrap();
    let node = node.restart().await;
    assert!(node.path("run/services/store.args").exists());
    let mut admin = connect(&node, Some(&node.credentials(Role::Admin))).await.unwrap();
    let status = admin.status(StatusRequest {}).await.unwrap().into_inner();
    assert_eq!((status.hostname.as_str(), status.config_generation), ("cp-1", 4));
    assert_eq!(status.conditions, []);
}

#[tokio::test]
async fn a_damaged_identity_is_left_as_it_is_and_holds_the_services() {
    let node = Node::start().await;
    let key = node.path("state/pki/kubernetes.key");
    fs::write(&key, "damaged").unwrap();
    let node = node.restart().await;
    assert!(!node.path("run/services/store.args").exists());
    assert_eq!(fs::read_to_string(&key).unwrap(), "damaged");
    assert!(TcpStream::connect(node.address).is_ok(), "the machine API is served all the same");
}

#[tokio::test]
async fn it_ends_in_order_when_it_is_told_to() {
    let node = Node::start().await;
    let mut reader = connect(&node, Some(&node.credentials(Role::Reader))).await.unwrap();
    let followed = LogsRequest { service: "store".into(), tail: None, follow: true };
    let _open = reader.logs(followed).await.unwrap();
    assert!(node.stop().await.success(), "an open stream does not hold it up, and the end is clean");
}

#[test]
fn wrong_arguments_end_with_2() {
    let out = std::process::Command::new(node::PROGRAM).arg("--no-such-thing").output().unwrap();
    assert_eq!(out.status.code(), Some(2));
}
