//! With which credentials and arguments each service starts.
//!
//! The answer is a list of files. Keys and certificates of leaves are made here each time; they live in memory only.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use machine::MachineConfig;
use pki::{Authority, Issued, Request, ServiceAccountKey, Subject, Usage};

use supervision::accounts::{self, Account, KUBE_APISERVER, STORE};

use crate::names;

/// How long the certificates of services are valid. They are issued anew at each boot and whenever an address of the
/// machine changes; this bounds how long a machine may run without either.
const SERVICE_LIFETIME: Duration = Duration::from_hours(365 * 24);

/// Everything that can sign.
#[derive(Debug)]
pub struct Authorities {
    /// The machine API.
    pub machine: Authority,
    /// The Kubernetes API.
    pub kubernetes: Authority,
    /// Members of the store.
    pub etcd_peer: Authority,
    /// The store's clients and servers.
    pub etcd: Authority,
    /// The proxy in front of aggregated APIs.
    pub front_proxy: Authority,
    /// Tokens of service accounts.
    pub service_accounts: ServiceAccountKey,
}

/// What the certificates and the arguments depend on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Put before every path; empty on a real machine.
    pub root: String,
    /// Name of the machine. DHCP may change it.
    pub hostname: String,
    /// Name of the machine's member of the store. It never changes, whatever DHCP says.
    pub member: String,
    /// Its addresses, the most important first.
    pub addresses: Vec<IpAddr>,
    /// The configuration in effect.
    pub config: MachineConfig,
}

/// A file to be written.
#[derive(Clone, PartialEq, Eq)]
pub struct File {
    /// Where, without the root.
    pub path: String,
    /// What.
    pub contents: String,
    /// Who reads it.
    pub readers: Readers,
}

/// Who reads a file besides machined, which alone may change it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readers {
    /// The service that it is for, and no other.
    Only(Account),
    /// Everybody: there is nothing secret in it.
    All,
}

/// A folder of a service's own, with everything in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataFolder {
    /// Where, without the root.
    pub path: &'static str,
    /// To whom it belongs.
    pub owner: Account,
}

/// The folders that services keep their data in.
pub const DATA_FOLDERS: [DataFolder; 1] = [DataFolder { path: "/var/lib/store", owner: accounts::STORE }];

impl std::fmt::Debug for File {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("File").field("path", &self.path).field("readers", &self.readers).finish_non_exhaustive()
    }
}

/// The certificate of the machine API. Its key is never written to a file.
pub fn machine_api(machine: &Authority, facts: &Facts, now: SystemTime) -> Result<Issued, pki::Error> {
    let request = Request {
        subject: Subject::new(&facts.hostname),
        sans: names::of_machine(&facts.hostname, &facts.addresses),
        usage: Usage::Server,
        lifetime: SERVICE_LIFETIME,
    };
    machine.issue(&request, now)
}

/// Whether the API server must start again after a change: it tells others the first address. A further address is in
/// the files, and is used from its next start on; a restart for each would cut connections whenever a router speaks.
#[must_use]
pub fn must_restart_apiserver(before: &Facts, after: &Facts) -> bool {
    before.addresses.first() != after.addresses.first()
}

/// Where clients from outside reach the Kubernetes API.
#[must_use]
pub fn kubernetes_endpoint(facts: &Facts) -> String {
    match (&facts.config.cluster.endpoint, facts.addresses.first()) {
        (Some(endpoint), _) => format!("https://{endpoint}"),
        (None, Some(IpAddr::V4(address))) => format!("https://{address}:6443"),
        (None, Some(IpAddr::V6(address))) => format!("https://[{address}]:6443"),
        (None, None) => "https://127.0.0.1:6443".to_owned(),
    }
}

/// All files of all services, credentials before arguments: a service can start once its arguments are there.
pub fn files(authorities: &Authorities, facts: &Facts, now: SystemTime) -> Result<Vec<File>, pki::Error> {
    let mut files = Vec::new();
    store_credentials(&mut files, authorities, facts, now)?;
    apiserver_credentials(&mut files, authorities, facts, now)?;
    controller_manager_credentials(&mut files, authorities, facts, now)?;
    for (service, arguments) in [
        ("store", store(facts)),
        ("kube-apiserver", apiserver(facts)),
        ("kube-controller-manager", controller_manager(facts)),
    ] {
        let mut contents = arguments.join("\n");
        contents.push('\n');
        files.push(File { path: format!("/run/services/{service}.args"), contents, readers: Readers::All });
    }
    Ok(files)
}

fn credential(files: &mut Vec<File>, service: Account, name: &str, contents: &str) {
    files.push(File {
        path: format!("/run/credentials/{}/{name}", service.name),
        contents: contents.to_owned(),
        readers: Readers::Only(service),
    });
}

fn pair(files: &mut Vec<File>, service: Account, name: &str, issued: &Issued) {
    credential(files, service, &format!("{name}.crt"), &issued.cert_pem);
    credential(files, service, &format!("{name}.key"), &issued.key_pem);
}

fn client(subject: Subject) -> Request {
    Request { subject, sans: Vec::new(), usage: Usage::Client, lifetime: SERVICE_LIFETIME }
}

fn store_credentials(
    files: &mut Vec<File>,
    authorities: &Authorities,
    facts: &Facts,
    now: SystemTime,
) -> Result<(), pki::Error> {
    let sans = names::of_machine(&facts.hostname, &facts.addresses);
    let request = |usage| Request {
        subject: Subject::new(&facts.hostname),
        sans: sans.clone(),
        usage,
        lifetime: SERVICE_LIFETIME,
    };
    // A member also calls itself through its client port, hence both usages.
    pair(files, STORE, "server", &authorities.etcd.issue(&request(Usage::ServerAndClient), now)?);
    pair(files, STORE, "peer", &authorities.etcd_peer.issue(&request(Usage::ServerAndClient), now)?);
    credential(files, STORE, "client-ca.crt", authorities.etcd.cert_pem());
    credential(files, STORE, "peer-ca.crt", authorities.etcd_peer.cert_pem());
    Ok(())
}

fn apiserver_credentials(
    files: &mut Vec<File>,
    authorities: &Authorities,
    facts: &Facts,
    now: SystemTime,
) -> Result<(), pki::Error> {
    let serving = Request {
        subject: Subject::new(KUBE_APISERVER.name),
        sans: names::of_kubernetes_api(&facts.hostname, &facts.addresses, &facts.config.cluster),
        usage: Usage::Server,
        lifetime: SERVICE_LIFETIME,
    };
    pair(files, KUBE_APISERVER, "serving", &authorities.kubernetes.issue(&serving, now)?);
    credential(files, KUBE_APISERVER, "client-ca.crt", authorities.kubernetes.cert_pem());
    pair(
        files,
        KUBE_APISERVER,
        "etcd-client",
        &authorities.etcd.issue(&client(Subject::new("kube-apiserver-etcd-client")), now)?,
    );
    credential(files, KUBE_APISERVER, "etcd-ca.crt", authorities.etcd.cert_pem());
    credential(files, KUBE_APISERVER, "service-account.key", &authorities.service_accounts.private_pem);
    credential(files, KUBE_APISERVER, "service-account.pub", &authorities.service_accounts.public_pem);
    Ok(())
}

fn controller_manager_credentials(
    files: &mut Vec<File>,
    authorities: &Authorities,
    facts: &Facts,
    now: SystemTime,
) -> Result<(), pki::Error> {
    const SERVICE: Account = accounts::KUBE_CONTROLLER_MANAGER;
    // The group is that of administrators until the API server knows roles of its own.
    let subject = Subject::with_organization("system:kube-controller-manager", "system:masters");
    pair(files, SERVICE, "client", &authorities.kubernetes.issue(&client(subject), now)?);
    let serving = Request {
        subject: Subject::new(SERVICE.name),
        sans: names::of_machine(&facts.hostname, &facts.addresses),
        usage: Usage::Server,
        lifetime: SERVICE_LIFETIME,
    };
    pair(files, SERVICE, "serving", &authorities.kubernetes.issue(&serving, now)?);
    credential(files, SERVICE, "ca.crt", authorities.kubernetes.cert_pem());
    credential(
        files,
        SERVICE,
        "kubeconfig",
        &kubeconfig_of_files(&format!("{}/run/credentials/{}", facts.root, SERVICE.name)),
    );
    Ok(())
}

/// A kubeconfig that points at the files beside it.
fn kubeconfig_of_files(folder: &str) -> String {
    let mut text = String::from("apiVersion: v1\nkind: Config\nclusters:\n- name: local\n  cluster:\n");
    let _ = writeln!(text, "    server: https://127.0.0.1:6443\n    certificate-authority: {folder}/ca.crt");
    text.push_str("users:\n- name: service\n  user:\n");
    let _ = writeln!(text, "    client-certificate: {folder}/client.crt\n    client-key: {folder}/client.key");
    text.push_str(
        "contexts:\n- name: local\n  context:\n    cluster: local\n    user: service\ncurrent-context: local\n",
    );
    text
}

fn store(facts: &Facts) -> Vec<String> {
    let credentials = format!("{}/run/credentials/store", facts.root);
    let name = &facts.member;
    vec![
        format!("--name={name}"),
        format!("--data-dir={}/var/lib/store", facts.root),
        // The only client is the API server of this machine; peers come with a second member.
        "--listen-client-urls=https://127.0.0.1:2379".to_owned(),
        "--advertise-client-urls=https://127.0.0.1:2379".to_owned(),
        "--listen-peer-urls=https://127.0.0.1:2380".to_owned(),
        "--initial-advertise-peer-urls=https://127.0.0.1:2380".to_owned(),
        format!("--initial-cluster={name}=https://127.0.0.1:2380"),
        format!("--cert-file={credentials}/server.crt"),
        format!("--key-file={credentials}/server.key"),
        format!("--trusted-ca-file={credentials}/client-ca.crt"),
        "--client-cert-auth".to_owned(),
        format!("--peer-cert-file={credentials}/peer.crt"),
        format!("--peer-key-file={credentials}/peer.key"),
        format!("--peer-trusted-ca-file={credentials}/peer-ca.crt"),
        "--peer-client-cert-auth".to_owned(),
        "--listen-metrics-urls=http://127.0.0.1:2381".to_owned(),
    ]
}

fn apiserver(facts: &Facts) -> Vec<String> {
    let credentials = format!("{}/run/credentials/kube-apiserver", facts.root);
    let mut arguments = vec![
        "--etcd-servers=https://127.0.0.1:2379".to_owned(),
        format!("--etcd-cafile={credentials}/etcd-ca.crt"),
        format!("--etcd-certfile={credentials}/etcd-client.crt"),
        format!("--etcd-keyfile={credentials}/etcd-client.key"),
        format!("--client-ca-file={credentials}/client-ca.crt"),
        format!("--tls-cert-file={credentials}/serving.crt"),
        format!("--tls-private-key-file={credentials}/serving.key"),
        "--secure-port=6443".to_owned(),
        format!("--service-cluster-ip-range={}", facts.config.cluster.service_subnet),
        format!("--service-account-key-file={credentials}/service-account.pub"),
        format!("--service-account-signing-key-file={credentials}/service-account.key"),
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local".to_owned(),
        "--enable-admission-plugins=NodeRestriction".to_owned(),
        // Its other half are controllers that let go of storage nobody uses. Until they are here, deleted claims would stay for ever.
        "--disable-admission-plugins=StorageObjectInUseProtection".to_owned(),
    ];
    if let Some(address) = facts.addresses.first() {
        arguments.push(format!("--advertise-address={address}"));
    }
    arguments
}

fn controller_manager(facts: &Facts) -> Vec<String> {
    let credentials = format!("{}/run/credentials/kube-controller-manager", facts.root);
    vec![
        format!("--kubeconfig={credentials}/kubeconfig"),
        format!("--root-ca-file={credentials}/ca.crt"),
        // Health and metrics are for the machine itself.
        "--bind-address=127.0.0.1".to_owned(),
        format!("--tls-cert-file={credentials}/serving.crt"),
        format!("--tls-private-key-file={credentials}/serving.key"),
        format!("--client-ca-file={credentials}/ca.crt"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use pki::AuthorityName;

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000)
    }

    fn authorities() -> Authorities {
        let make = |name| Authority::generate(name, now()).unwrap();
        Authorities {
            machine: make(AuthorityName::Machine),
            kubernetes: make(AuthorityName::Kubernetes),
            etcd_peer: make(AuthorityName::EtcdPeer),
            etcd: make(AuthorityName::Etcd),
            front_proxy: make(AuthorityName::FrontProxy),
            service_accounts: ServiceAccountKey::generate().unwrap(),
        }
    }

    fn facts() -> Facts {
        Facts {
            root: String::new(),
            hostname: "cp-1".into(),
            member: "orlop-0123".into(),
            addresses: vec!["10.0.2.15".parse().unwrap()],
            config: MachineConfig::default(),
        }
    }

    #[test]
    fn every_file_that_an_argument_names_is_written() {
        let files = files(&authorities(), &facts(), now()).unwrap();
        let paths: Vec<_> = files.iter().map(|file| file.path.as_str()).collect();
        let mut checked = 0;
        for file in files.iter().filter(|file| file.path.contains("services") || file.path.ends_with("kubeconfig")) {
            for word in file.contents.split(['\n', '=', ' ']).filter(|word| word.starts_with("/run/credentials/")) {
                assert!(paths.contains(&word), "{} names {word}", file.path);
                checked += 1;
            }
        }
        assert!(checked >= 18, "only {checked} paths were found");
    }

    #[test]
    fn keys_are_for_their_service_only_and_come_before_the_arguments() {
        let files = files(&authorities(), &facts(), now()).unwrap();
        for file in &files {
            let service = file.path.strip_prefix("/run/credentials/").and_then(|rest| rest.split('/').next());
            match (service, file.readers) {
                (Some(service), Readers::Only(account)) => assert_eq!(account.name, service, "{}", file.path),
                (None, Readers::All) => assert!(!file.contents.contains("PRIVATE"), "{}", file.path),
                (Some(_), Readers::All) | (None, Readers::Only(_)) => panic!("{file:?}"),
            }
        }
        let first_arguments = files.iter().position(|file| file.path.starts_with("/run/services/")).unwrap();
        assert!(files[first_arguments..].iter().all(|file| file.path.starts_with("/run/services/")));
        assert!(!format!("{files:?}").contains("PRIVATE"), "what is logged holds no key");
    }

    #[test]
    fn the_configuration_reaches_the_arguments() {
        let mut facts = facts();
        facts.config = MachineConfig::parse(
            "apiVersion: orlop.dev/v1alpha1\nkind: MachineConfig\ncluster: {serviceSubnet: 10.32.0.0/16, endpoint: api.example.net}\n",
        )
        .unwrap();
        let arguments = apiserver(&facts);
        assert!(arguments.contains(&"--service-cluster-ip-range=10.32.0.0/16".to_owned()));
        assert!(arguments.contains(&"--advertise-address=10.0.2.15".to_owned()));
        assert_eq!(kubernetes_endpoint(&facts), "https://api.example.net:6443");
    }

    #[test]
    fn only_a_new_first_address_restarts_the_api_server() {
        let before = facts();
        let mut after = facts();
        after.addresses.push("2001:db8::1".parse().unwrap());
        assert!(!must_restart_apiserver(&before, &after));
        assert!(must_restart_apiserver(&Facts { addresses: Vec::new(), ..facts() }, &after));
    }

    #[test]
    fn without_a_network_the_services_start_all_the_same() {
        let facts = Facts { addresses: Vec::new(), ..facts() };
        assert!(!apiserver(&facts).iter().any(|argument| argument.starts_with("--advertise-address")));
        assert_eq!(kubernetes_endpoint(&facts), "https://127.0.0.1:6443");
        files(&authorities(), &facts, now()).unwrap();
    }
}
