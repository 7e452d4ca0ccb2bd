//! First contact, as the owner and as those who would like to be.

use std::fs;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use claim::{BINDING_LABEL, Binding, Claimant, Code, Session, Side};
use hyper_util::rt::TokioIo;
use pki::{Described, KeyAndCsr, Peer, Subject};
use proto::machine::machine_client::MachineClient;
use proto::machine::{
    ClaimExchangeRequest, ClaimFinishRequest, ClaimFinishResponse, IssueOperatorRequest, KubeconfigRequest,
    RenewOperatorRequest, VersionRequest,
};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Code as Grpc, Status};
use tower::service_fn;

use crate::client::{Credentials, connect, der};
use crate::node::Node;

const NAME: &str = "ann";

/// Someone without a certificate, on a connection of his own.
struct Stranger {
    client: MachineClient<Channel>,
    binding: Binding,
}

impl Stranger {
    async fn connect(node: &Node) -> Result<Self, tonic::transport::Error> {
        let tls = mtls::stranger_config(&[b"h2"]).unwrap();
        let bound = Arc::new(Mutex::new(None));
        let (binding, address) = (Arc::clone(&bound), node.address);
        let connector = service_fn(move |_: Uri| {
            let (tls, binding) = (TlsConnector::from(Arc::clone(&tls)), Arc::clone(&binding));
            async move {
                let stream = TcpStream::connect(address).await?;
                let stream = tls.connect(ServerName::try_from("machine").unwrap(), stream).await?;
                let derived = stream.get_ref().1.export_keying_material([0; 32], BINDING_LABEL, None).unwrap();
                *binding.lock().unwrap() = Some(derived);
                Ok::<_, std::io::Error>(TokioIo::new(stream))
            }
        });
        let channel = Endpoint::from_static("http://machine").connect_with_connector(connector).await?;
        let binding = bound.lock().unwrap().expect("it is connected");
        Ok(Self { client: MachineClient::new(channel), binding })
    }

    /// Sends a message as soon as a guess may begin.
    async fn exchange(&mut self, message: &[u8]) -> Result<Vec<u8>, Status> {
        let deadline = Instant::now() + Duration::from_mins(1);
        loop {
            let request = ClaimExchangeRequest { message: message.to_vec().into() };
            match self.client.claim_exchange(request).await {
                Err(status) if status.code() == Grpc::ResourceExhausted && Instant::now() < deadline => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                other => return other.map(|answer| answer.into_inner().message.to_vec()),
            }
        }
    }

    async fn begin(&mut self, code: &Code, binding: Binding) -> Result<Session, Status> {
        let (claimant, message) = Claimant::begin(code, binding);
        Ok(claimant.finish(&self.exchange(&message).await?).unwrap())
    }

    async fn finish(&mut self, session: &Session, csr: &str) -> Result<ClaimFinishResponse, Status> {
        let proof = session.prove(Side::Claimant, &[csr.as_bytes(), NAME.as_bytes()]);
        self.send(csr, proof).await
    }

    async fn send(&mut self, csr: &str, proof: Vec<u8>) -> Result<ClaimFinishResponse, Status> {
        let request = ClaimFinishRequest { csr: csr.into(), name: NAME.into(), proof: proof.into() };
        self.client.claim_finish(request).await.map(tonic::Response::into_inner)
    }
}

fn request() -> KeyAndCsr {
    KeyAndCsr::generate(&Subject::with_organization("whoever", "orlop:admin")).unwrap()
}

fn code(node: &Node) -> Code {
    fs::read_to_string(node.path("run/claim/code")).unwrap().parse().unwrap()
}

async fn claim(node: &Node) -> Credentials {
    let mut owner = Stranger::connect(node).await.unwrap();
    let session = owner.begin(&code(node), owner.binding).await.unwrap();
    let mine = request();
    let granted = owner.finish(&session, &mine.csr_pem).await.unwrap();
    let texts = [granted.certificate.as_bytes(), granted.authority.as_bytes()];
    session.check(Side::Machine, &texts, &granted.proof).unwrap();
    assert_eq!(granted.authority, node.machine_authority().cert_pem());
    Credentials { cert_pem: granted.certificate, key_pem: mine.key_pem }
}

fn hours(certificate: &str) -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64;
    (Described::from_pem(certificate).unwrap().not_after - now + 60) / 3600
}

#[tokio::test]
async fn who_reads_the_code_off_the_console_becomes_the_first_administrator_and_the_door_closes() {
    let node = Node::start().await;
    let mut late = Stranger::connect(&node).await.unwrap();
    let old = code(&node);
    let ann = claim(&node).await;
    let peer = Peer::from_der(&der(&ann.cert_pem)).unwrap();
    assert_eq!((peer.common_name.as_str(), peer.organizations), (NAME, vec!["orlop:admin".to_owned()]));
    assert_eq!(hours(&ann.cert_pem), 24);
    let mut admin = connect(&node, Some(&ann)).await.unwrap();
    admin.kubeconfig(KubeconfigRequest { csr: request().csr_pem }).await.unwrap();

    assert!(!node.path("run/claim/code").exists());
    let closed = late.begin(&old, late.binding).await.unwrap_err();
    assert_eq!((closed.code(), closed.message()), (Grpc::PermissionDenied, "this machine is claimed"));
    // A new connection does not even come through the handshake: tell it by the first call, which comes after it.
    let deadline = Instant::now() + Duration::from_secs(30);
    while let Ok(mut stranger) = Stranger::connect(&node).await {
        let status = stranger.client.version(VersionRequest {}).await.unwrap_err();
        if status.code() != Grpc::Unauthenticated {
            break;
        }
        assert!(Instant::now() < deadline, "the handshake still lets strangers in");
    }

    let node = node.restart().await;
    assert!(!node.path("run/claim/code").exists(), "it stays claimed");
    let node = node.restart_with(&["--claim-again"]).await;
    let broken = claim(&node).await;
    assert_eq!(Peer::from_der(&der(&broken.cert_pem)).unwrap().organizations, ["orlop:break-glass"]);
    assert_eq!(hours(&broken.cert_pem), 1);
    let mut broken = connect(&node, Some(&broken)).await.unwrap();
    let renewal = broken.renew_operator(RenewOperatorRequest { csr: request().csr_pem }).await.unwrap_err();
    assert_eq!(renewal.code(), Grpc::PermissionDenied, "it is not a way to stay");
    let issue = IssueOperatorRequest { csr: request().csr_pem, name: "bob".into(), role: "admin".into() };
    broken.issue_operator(issue).await.unwrap();
}

#[tokio::test]
async fn a_wrong_code_a_replay_and_somebody_in_between_get_nothing() {
    let node = Node::start().await;
    let right = code(&node);
    let mine = request();
    let denied = |answer: Result<ClaimFinishResponse, Status>, code| assert_eq!(answer.unwrap_err().code(), code);

    let mut stranger = Stranger::connect(&node).await.unwrap();
    let status = stranger.client.version(VersionRequest {}).await.unwrap_err();
    assert_eq!(status.code(), Grpc::Unauthenticated, "{status}");
    denied(stranger.send(&mine.csr_pem, vec![0; 32]).await, Grpc::FailedPrecondition);

    let wrong = Code::from_random([9; 8]);
    let session = stranger.begin(&wrong, stranger.binding).await.unwrap();
    denied(stranger.finish(&session, &mine.csr_pem).await, Grpc::PermissionDenied);
    // The handshake is over: a second proof is not a second guess.
    denied(stranger.finish(&session, &mine.csr_pem).await, Grpc::FailedPrecondition);

    let again = Claimant::begin(&right, stranger.binding);
    // Cut short, and of another side. (Each is a guess, and the next may begin later and later.)
    for message in [&again.1[..32], &[0; 33]] {
        assert_eq!(stranger.exchange(message).await.unwrap_err().code(), Grpc::InvalidArgument);
    }

    // The right code, but the proof is made for another TLS session: what somebody in between would pass on.
    let session = stranger.begin(&right, [7; 32]).await.unwrap();
    denied(stranger.finish(&session, &mine.csr_pem).await, Grpc::PermissionDenied);
    assert_eq!(code(&node), right, "it can still be claimed");
    assert!(!node.path("state/claimed").exists());
}

#[tokio::test]
async fn a_handshake_belongs_to_the_connection_that_began_it_and_there_is_one_at_a_time() {
    let node = Node::start().await;
    let right = code(&node);
    let mut strangers = Vec::new();
    for _ in 0..12 {
        strangers.push(Stranger::connect(&node).await.unwrap());
    }
    let guesses = strangers.iter_mut().map(|stranger| {
        let (_, message) = Claimant::begin(&Code::from_random([1; 8]), stranger.binding);
        let request = ClaimExchangeRequest { message: message.into() };
        async move { stranger.client.claim_exchange(request).await.map(drop).map_err(|status| status.code()) }
    });
    let outcomes = futures::future::join_all(guesses).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1, "{outcomes:?}");
    assert!(outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).all(|code| *code == Grpc::ResourceExhausted));

    // The owner's handshake, once the guess above has run out; what the thief records of it is of no use to him.
    let (mut owner, mut thief) = (strangers.remove(0), strangers.remove(0));
    let session = owner.begin(&right, owner.binding).await.unwrap();
    let mine = request();
    let proof = session.prove(Side::Claimant, &[mine.csr_pem.as_bytes(), NAME.as_bytes()]);
    let stolen = thief.send(&mine.csr_pem, proof.clone()).await.unwrap_err();
    assert_eq!(stolen.code(), Grpc::FailedPrecondition, "{stolen}");
    let other = owner.send(&request().csr_pem, proof.clone()).await.unwrap_err();
    assert_eq!(other.code(), Grpc::PermissionDenied, "the proof is for another request");
    let replayed = owner.send(&mine.csr_pem, proof).await.unwrap_err();
    assert_eq!(replayed.code(), Grpc::FailedPrecondition);
}

#[tokio::test]
async fn operators_renew_their_own_certificate_and_administrators_make_others() {
    let node = Node::start().await;
    let ann = claim(&node).await;
    let mut admin = connect(&node, Some(&ann)).await.unwrap();
    let mine = request();
    let renewed = admin.renew_operator(RenewOperatorRequest { csr: mine.csr_pem }).await.unwrap().into_inner();
    let (before, after) =
        (Described::from_pem(&ann.cert_pem).unwrap(), Described::from_pem(&renewed.certificate).unwrap());
    assert_eq!((&before.subject, before.not_after <= after.not_after), (&after.subject, true));
    assert_ne!(before.serial, after.serial);
    let next = Credentials { cert_pem: renewed.certificate, key_pem: mine.key_pem };
    let mut admin = connect(&node, Some(&next)).await.unwrap();

    let bobs = request();
    let ask = |name: &str, role: &str| IssueOperatorRequest {
        csr: bobs.csr_pem.clone(),
        name: name.into(),
        role: role.into(),
    };
    let issued = admin.issue_operator(ask("bob", "reader")).await.unwrap().into_inner();
    let bob = Credentials { cert_pem: issued.certificate, key_pem: bobs.key_pem.clone() };
    let mut bob = connect(&node, Some(&bob)).await.unwrap();
    bob.version(VersionRequest {}).await.unwrap();
    assert_eq!(bob.issue_operator(ask("bob", "admin")).await.unwrap_err().code(), Grpc::PermissionDenied);
    for (name, role) in [
        ("bob", "break-glass"),
        ("bob", "orlop:admin"),
        ("", "reader"),
        ("b\nob", "reader"),
        (&*"x".repeat(65), "reader"),
    ] {
        assert_eq!(
            admin.issue_operator(ask(name, role)).await.unwrap_err().code(),
            Grpc::InvalidArgument,
            "{name} {role}"
        );
    }

    let all = admin.certificates(proto::machine::CertificatesRequest {}).await.unwrap().into_inner().certificates;
    let uses: Vec<_> = all.iter().map(|certificate| (certificate.r#use.as_str(), certificate.authority)).collect();
    for wanted in [
        ("machine", true),
        ("kubernetes", true),
        ("etcd-peer", true),
        ("machine-api", false),
        ("kube-apiserver/serving", false),
        ("store/peer", false),
    ] {
        assert!(uses.contains(&wanted), "{uses:?}");
    }
    assert!(all.iter().all(|certificate| certificate.not_before < certificate.not_after));
}
