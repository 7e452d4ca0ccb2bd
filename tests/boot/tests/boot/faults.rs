//! Strangers at the doors, and services that die.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant, SystemTime};

use chain::Chain;
use image_vm::bring_up::Access;
use image_vm::kubernetes::Kubernetes;
use image_vm::launch::Vm;
use image_vm::machine_api::MachineApi;
use mtls::Identity;
use tests_boot::{Kubectl, eventually};

/// From kill to serving again, on an emulated processor.
const RECOVERY: Duration = Duration::from_mins(1);
const REACH: Duration = Duration::from_secs(15);

/// Without a certificate kube-apiserver says 401 and the machine API says nothing; a foreign certificate is as good as
/// none.
pub(crate) fn strangers_stay_outside(vm: &Vm, access: &Access) {
    let ports = vm.ports().expect("the machine has a network card");
    let stranger =
        Kubernetes::without_certificate(&access.kubeconfig, ports.kubernetes).expect("the kubeconfig is one");
    let (status, body) = stranger.get("/api/v1/namespaces", REACH).unwrap_or_else(|error| panic!("{}", Chain(&error)));
    assert_eq!(status, 401, "{body}");
    assert!(body.contains("\"reason\":\"Unauthorized\""), "{body}");

    let ca = &access.credentials.ca_pem;
    let refused = |identity: Option<Identity>| {
        MachineApi::connect_as(ports.machine, ca, identity, REACH).is_ok_and(|api| api.version().is_ok())
    };
    assert!(!refused(None), "the machine API lets in a client without a certificate");
    assert!(!refused(Some(foreign())), "the machine API lets in a client of another authority");
    access.machine.version().unwrap_or_else(|error| panic!("{}", Chain(&error)));
}

/// A certificate that an authority with the right name has signed, but not the machine's own.
fn foreign() -> Identity {
    let now = SystemTime::now();
    let authority = pki::Authority::generate(pki::AuthorityName::Machine, now).expect("an authority");
    let request = pki::Request {
        subject: pki::Subject::with_organization("operator", "orlop:admin"),
        sans: Vec::new(),
        usage: pki::Usage::Client,
        lifetime: Duration::from_hours(1),
    };
    let issued = authority.issue(&request, now).expect("a certificate");
    Identity::parse(issued.cert_pem.as_bytes(), issued.key_pem.as_bytes()).expect("an identity")
}

/// Bytes of no protocol at all leave every port as it was.
pub(crate) fn garbage_is_shrugged_off(vm: &Vm, access: &Access) {
    let ports = vm.ports().expect("the machine has a network card");
    for port in [ports.machine, ports.kubernetes] {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the port is open");
        stream.set_read_timeout(Some(REACH)).expect("a timeout can be set");
        // The server may close the connection in the middle of it.
        let _ = stream.write_all(&(0..=255).cycle().take(64 * 1024).collect::<Vec<u8>>());
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
    }
    access.machine.version().unwrap_or_else(|error| panic!("{}", Chain(&error)));
    assert!(access.kubernetes.ready(REACH).unwrap_or_else(|error| panic!("{}", Chain(&error))));
}

/// Kills one service after the other. Each comes back, and everything that was acknowledged before is there.
pub(crate) fn killed_services_come_back(access: &Access, kubectl: &Kubectl) {
    let services = ["kube-controller-manager", "kube-apiserver", "store", "machined"];
    for service in services {
        let before = restarts(access, service).expect("the service is known");
        let name = format!("before-{service}");
        kubectl.ok(&["-n", "demo", "create", "configmap", &name, "--from-literal=a=b"]);
        let killed = Instant::now();
        // machined may be gone before it has said that it will be.
        let answer = access.machine.signal(service, 9);
        assert!(answer.is_ok() || service == "machined", "{answer:?}");
        eventually(&format!("{service} to be started again"), RECOVERY, || {
            restarts(access, service).filter(|now| *now > before && ready(access, service))
        });
        eventually("Kubernetes to be ready again", RECOVERY, || {
            access.kubernetes.ready(REACH).is_ok_and(|ready| ready).then_some(())
        });
        eprintln!("{service} was back {:.1} s after it was killed", killed.elapsed().as_secs_f64());
        let found = kubectl.ok(&["-n", "demo", "get", "configmaps", "-o", "name"]);
        for earlier in services.iter().take_while(|other| **other != service).chain([&service]) {
            assert!(found.contains(&format!("configmap/before-{earlier}\n")), "after {service} was killed: {found}");
        }
        assert!(found.contains("configmap/kept\n"), "{found}");
    }
}

fn restarts(access: &Access, service: &str) -> Option<u32> {
    let services = access.machine.services().ok()?;
    services.into_iter().find(|one| one.name == service).map(|one| one.restarts)
}

fn ready(access: &Access, service: &str) -> bool {
    let services = access.machine.services().unwrap_or_default();
    services.iter().any(|one| one.name == service && one.state == "ready")
}
