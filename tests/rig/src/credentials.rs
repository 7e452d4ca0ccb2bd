//! Fresh authorities and certificates for one test, as files.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pki::{Authority, AuthorityName, Issued, Request, San, ServiceAccountKey, Subject, Usage};

/// How long certificates live; longer than any test.
const LIFETIME: Duration = Duration::from_hours(24);

/// Somebody who can log in to the API server.
#[derive(Clone)]
pub struct Login {
    /// Certificate and key in PEM.
    pub cert: String,
    /// The key.
    pub key: String,
    /// Authority of the server in PEM.
    pub authority: String,
}

/// The authorities of a test cluster and the files the programs read.
pub struct Credentials {
    folder: PathBuf,
    kubernetes: Authority,
}

impl Credentials {
    /// Makes everything in `folder`. Servers are known as `localhost` and `127.0.0.1`.
    pub fn generate(folder: &Path) -> Self {
        let now = SystemTime::now();
        let authority = |name| Authority::generate(name, now).expect("make an authority");
        let kubernetes = authority(AuthorityName::Kubernetes);
        let etcd = authority(AuthorityName::Etcd);
        let peers = authority(AuthorityName::EtcdPeer);
        let service_account = ServiceAccountKey::generate().expect("make a key");
        let this = Self { folder: folder.to_path_buf(), kubernetes };
        let kubernetes = &this.kubernetes;
        this.write_pair("serving", &issue(kubernetes, Subject::new("kube-apiserver"), Usage::Server));
        this.write_pair("etcd-server", &issue(&etcd, Subject::new("store"), Usage::ServerAndClient));
        this.write_pair("etcd-peer", &issue(&peers, Subject::new("store"), Usage::ServerAndClient));
        this.write_pair("etcd-client", &issue(&etcd, Subject::new("kube-apiserver"), Usage::Client));
        this.write("client-ca.crt", kubernetes.cert_pem());
        this.write("etcd-ca.crt", etcd.cert_pem());
        this.write("etcd-peer-ca.crt", peers.cert_pem());
        this.write("service-account.key", &service_account.private_pem);
        this.write("service-account.pub", &service_account.public_pem);
        this
    }

    /// The path of one of the files.
    pub fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// The folder of the files.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A user of the API server, with at most one group.
    pub fn user(&self, name: &str, group: Option<&str>) -> Login {
        let subject = match group {
            Some(group) => Subject::with_organization(name, group),
            None => Subject::new(name),
        };
        self.login(issue(&self.kubernetes, subject, Usage::Client))
    }

    /// A user whose certificate comes from an authority the server does not know.
    pub fn stranger(&self, name: &str) -> Login {
        let other = Authority::generate(AuthorityName::Kubernetes, SystemTime::now()).expect("make an authority");
        self.login(issue(&other, Subject::with_organization(name, "system:masters"), Usage::Client))
    }

    /// The file with an authority of front proxies, and proxies of these names.
    pub fn front_proxies<const MANY: usize>(&self, names: [&str; MANY]) -> (String, [Login; MANY]) {
        let authority = Authority::generate(AuthorityName::FrontProxy, SystemTime::now()).expect("make an authority");
        self.write("front-proxy-ca.crt", authority.cert_pem());
        let logins = names.map(|name| self.login(issue(&authority, Subject::new(name), Usage::Client)));
        (self.path("front-proxy-ca.crt"), logins)
    }

    /// A user whose certificate has run out.
    pub fn expired(&self, name: &str) -> Login {
        let request = Request {
            subject: Subject::with_organization(name, "system:masters"),
            sans: Vec::new(),
            usage: Usage::Client,
            lifetime: Duration::ZERO,
        };
        let past = SystemTime::now() - Duration::from_hours(1);
        // An authority made now may sign what was valid before: only its own end is checked.
        self.login(self.kubernetes.issue(&request, past).expect("issue a certificate"))
    }

    fn login(&self, issued: Issued) -> Login {
        Login { cert: issued.cert_pem, key: issued.key_pem, authority: self.kubernetes.cert_pem().to_owned() }
    }

    fn write_pair(&self, name: &str, issued: &Issued) {
        self.write(&format!("{name}.crt"), &issued.cert_pem);
        self.write(&format!("{name}.key"), &issued.key_pem);
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.join(name), text).expect("write a credential");
    }
}

impl Login {
    /// A kubeconfig that logs in at `server`.
    pub fn kubeconfig(&self, server: &str) -> String {
        let encode = |text: &str| STANDARD.encode(text);
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: test\nclusters:\n- name: test\n  cluster:\n    server: {server}\n    certificate-authority-data: {}\nusers:\n- name: test\n  user:\n    client-certificate-data: {}\n    client-key-data: {}\ncontexts:\n- name: test\n  context: {{ cluster: test, user: test }}\n",
            encode(&self.authority),
            encode(&self.cert),
            encode(&self.key),
        )
    }
}

fn issue(authority: &Authority, subject: Subject, usage: Usage) -> Issued {
    let sans = vec![San::Dns("localhost".to_owned()), San::Ip([127, 0, 0, 1].into())];
    let request = Request { subject, sans, usage, lifetime: LIFETIME };
    authority.issue(&request, SystemTime::now()).expect("issue a certificate")
}
