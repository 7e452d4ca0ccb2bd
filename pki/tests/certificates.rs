//! What the certificates say, read back with a foreign parser and verified with a foreign tool.

use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use pki::{Authority, AuthorityName, Error, KeyAndCsr, Peer, Request, San, ServiceAccountKey, Subject, Usage};
use x509_parser::extensions::GeneralName;
use x509_parser::pem::parse_x509_pem;

const DAY: Duration = Duration::from_hours(24);

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000)
}

fn server() -> Request {
    Request {
        subject: Subject::with_organization("kubernetes", "orlop"),
        sans: vec![
            San::Dns("localhost".into()),
            San::Ip(IpAddr::from([127, 0, 0, 1])),
            San::Ip("::1".parse().unwrap()),
        ],
        usage: Usage::Server,
        lifetime: 30 * DAY,
    }
}

fn client(organization: &str) -> Request {
    Request {
        subject: Subject::with_organization("someone", organization),
        sans: Vec::new(),
        usage: Usage::Client,
        lifetime: DAY,
    }
}

fn der(pem: &str) -> Vec<u8> {
    parse_x509_pem(pem.as_bytes()).unwrap().1.contents
}

fn openssl(folder: &Path, args: &[&str]) -> (bool, String) {
    let out = Command::new("openssl").args(args).current_dir(folder).output().expect("openssl is installed");
    (out.status.success(), format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr)))
}

#[test]
fn a_leaf_says_what_was_asked_for() {
    let authority = Authority::generate(AuthorityName::Kubernetes, now()).unwrap();
    let issued = authority.issue(&server(), now()).unwrap();
    let der = der(&issued.cert_pem);
    let (_, cert) = x509_parser::parse_x509_certificate(&der).unwrap();
    assert_eq!(cert.issuer().to_string(), "CN=kubernetes-ca");
    assert_eq!(cert.subject().to_string(), "O=orlop, CN=kubernetes");
    assert!(!cert.is_ca());
    let names = &cert.subject_alternative_name().unwrap().unwrap().value.general_names;
    assert!(names.contains(&GeneralName::DNSName("localhost")));
    assert!(names.contains(&GeneralName::IPAddress(&[127, 0, 0, 1])));
    assert_eq!(names.len(), 3);
    let usage = cert.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.server_auth && !usage.client_auth);
    let seconds = now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs().cast_signed();
    assert_eq!(cert.validity().not_after.timestamp(), seconds + 30 * 86_400);
    assert!(cert.validity().not_before.timestamp() <= seconds - 3_600, "clocks may differ by an hour");
}

#[test]
fn openssl_verifies_a_leaf_against_its_own_authority_only() {
    let folder = tempfile::tempdir().unwrap();
    let own = Authority::generate(AuthorityName::Etcd, now()).unwrap();
    let other = Authority::generate(AuthorityName::Etcd, now()).unwrap();
    fs::write(folder.path().join("own.crt"), own.cert_pem()).unwrap();
    fs::write(folder.path().join("other.crt"), other.cert_pem()).unwrap();
    fs::write(folder.path().join("leaf.crt"), own.issue(&server(), now()).unwrap().cert_pem).unwrap();
    let at = (now() + DAY).duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs().to_string();
    let verify = |ca: &str, time: &str, purpose: &str| {
        openssl(
            folder.path(),
            &["verify", "-x509_strict", "-attime", time, "-purpose", purpose, "-CAfile", ca, "leaf.crt"],
        )
    };
    let (ok, text) = verify("own.crt", &at, "sslserver");
    assert!(ok, "{text}");
    assert!(!verify("other.crt", &at, "sslserver").0, "a foreign authority of the same name must not do");
    assert!(!verify("own.crt", &at, "sslclient").0, "a server's certificate is no client's");
    let late = (now() + 31 * DAY).duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs().to_string();
    assert!(!verify("own.crt", &late, "sslserver").0, "its time is over");
}

#[test]
fn a_request_is_signed_for_the_granted_subject_not_for_the_asked_one() {
    let authority = Authority::generate(AuthorityName::Machine, now()).unwrap();
    let asked = KeyAndCsr::generate(&Subject::with_organization("mallory", "orlop:admin")).unwrap();
    let cert = authority.sign_csr(&asked.csr_pem, &client("orlop:reader"), now()).unwrap();
    let peer = Peer::from_der(&der(&cert)).unwrap();
    assert_eq!(peer.common_name, "someone");
    assert_eq!(peer.organizations, ["orlop:reader"]);
    assert_eq!(peer.not_after, now() + DAY);

    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("leaf.crt"), &cert).unwrap();
    fs::write(folder.path().join("leaf.key"), &asked.key_pem).unwrap();
    let of_cert = openssl(folder.path(), &["x509", "-in", "leaf.crt", "-noout", "-pubkey"]);
    let of_key = openssl(folder.path(), &["pkey", "-in", "leaf.key", "-pubout"]);
    assert!(of_cert.0 && of_key.0);
    assert_eq!(of_cert.1, of_key.1, "the certificate belongs to the asker's key");
}

#[test]
fn openssl_makes_a_request_that_is_accepted_and_a_damaged_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (ok, text) = openssl(
        folder.path(),
        &[
            "req",
            "-new",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-keyout",
            "k",
            "-out",
            "r",
            "-subj",
            "/O=anything/CN=operator",
        ],
    );
    assert!(ok, "{text}");
    let csr = fs::read_to_string(folder.path().join("r")).unwrap();
    let authority = Authority::generate(AuthorityName::Machine, now()).unwrap();
    authority.sign_csr(&csr, &client("orlop:admin"), now()).unwrap();

    let mut lines: Vec<_> = csr.lines().map(str::to_owned).collect();
    let last = lines.len() - 2;
    let flipped = if lines[last].starts_with('A') { "B" } else { "A" };
    lines[last].replace_range(0..1, flipped);
    let damaged = lines.join("\n");
    assert!(matches!(authority.sign_csr(&damaged, &client("orlop:admin"), now()), Err(Error::ReadCsr(_))));
    assert!(matches!(authority.sign_csr("rubbish", &client("orlop:admin"), now()), Err(Error::ReadCsr(_))));
}

#[test]
fn an_authority_survives_being_kept_as_text() {
    let before = Authority::generate(AuthorityName::FrontProxy, now()).unwrap();
    let after = Authority::from_pem(AuthorityName::FrontProxy, before.cert_pem(), &before.key_pem()).unwrap();
    assert_eq!(after.not_after(), before.not_after());
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("ca.crt"), before.cert_pem()).unwrap();
    fs::write(folder.path().join("leaf.crt"), after.issue(&client("x"), now()).unwrap().cert_pem).unwrap();
    let at = now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs().to_string();
    let (ok, text) = openssl(folder.path(), &["verify", "-attime", &at, "-CAfile", "ca.crt", "leaf.crt"]);
    assert!(ok, "{text}");
}

#[test]
fn texts_that_do_not_belong_together_are_refused() {
    let one = Authority::generate(AuthorityName::Machine, now()).unwrap();
    let two = Authority::generate(AuthorityName::Machine, now()).unwrap();
    let read = |cert: &str, key: &str| Authority::from_pem(AuthorityName::Machine, cert, key).unwrap_err();
    assert!(matches!(read(one.cert_pem(), &two.key_pem()), Error::KeyMismatch { .. }));
    assert!(matches!(read("", &one.key_pem()), Error::ReadCertificate { .. }));
    assert!(matches!(read(one.cert_pem(), "-----BEGIN PRIVATE KEY-----\nAA==\n"), Error::ReadKey { .. }));
    let leaf = one.issue(&client("x"), now()).unwrap();
    assert!(matches!(read(&leaf.cert_pem, &leaf.key_pem), Error::ReadCertificate { .. }), "a leaf is no authority");
}

#[test]
fn a_leaf_never_outlives_its_authority() {
    let authority = Authority::generate(AuthorityName::Machine, now()).unwrap();
    let long = Request { lifetime: 20 * 365 * DAY, ..client("x") };
    let cert = authority.issue(&long, now()).unwrap().cert_pem;
    assert_eq!(Peer::from_der(&der(&cert)).unwrap().not_after, authority.not_after());
    let end = authority.not_after();
    assert!(matches!(authority.issue(&client("x"), end), Err(Error::AuthorityExpired { .. })));
}

#[test]
fn signing_one_key_twice_gives_two_serial_numbers() {
    let authority = Authority::generate(AuthorityName::Machine, now()).unwrap();
    let csr = KeyAndCsr::generate(&Subject::new("operator")).unwrap().csr_pem;
    let serial = |time| {
        let der = der(&authority.sign_csr(&csr, &client("x"), time).unwrap());
        x509_parser::parse_x509_certificate(&der).unwrap().1.raw_serial().to_vec()
    };
    assert_ne!(serial(now()), serial(now() + DAY));
}

#[test]
fn names_that_a_certificate_cannot_hold_are_named() {
    let authority = Authority::generate(AuthorityName::Kubernetes, now()).unwrap();
    let request = Request { sans: vec![San::Dns("käse".into())], ..server() };
    let error = authority.issue(&request, now()).unwrap_err();
    assert!(error.to_string().contains("käse"), "{error}");
}

#[test]
fn a_service_account_key_is_read_back_from_its_private_half() {
    let pair = ServiceAccountKey::generate().unwrap();
    assert_eq!(ServiceAccountKey::from_private_pem(&pair.private_pem).unwrap(), pair);
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("k"), &pair.private_pem).unwrap();
    let (ok, public) = openssl(folder.path(), &["pkey", "-in", "k", "-pubout"]);
    assert!(ok && public == pair.public_pem, "{public}");
}

#[test]
fn debug_output_holds_no_key() {
    let authority = Authority::generate(AuthorityName::Machine, now()).unwrap();
    let issued = authority.issue(&client("x"), now()).unwrap();
    let csr = KeyAndCsr::generate(&Subject::new("x")).unwrap();
    let account = ServiceAccountKey::generate().unwrap();
    let text = format!("{authority:?}{issued:?}{csr:?}{account:?}");
    assert!(!text.contains("PRIVATE KEY"), "{text}");
}
