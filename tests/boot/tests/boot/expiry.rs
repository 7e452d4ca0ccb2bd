//! A machine that was switched off for so long that every certificate has expired meanwhile.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use image_vm::folder::Folder;
use image_vm::launch::Vm;
use image_vm::operator::Credentials;
use image_vm::setup::{Boot, Setup};
use image_vm::{operator, wait};
use tests_boot::{BOOT, Kubectl, clean, eventually, folder, power_off, setup, start, up};

/// What begins an HTTP/2 connection, and empty settings: whoever is let in gets the server's settings.
const HTTP2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
const ANSWER: Duration = Duration::from_secs(30);

#[test]
fn expired_certificates_are_refused_and_the_machine_renews_its_own() {
    let folder = folder("expired");
    let mut vm = start(&setup(Boot::Direct), &folder);
    let access = up(&mut vm);
    let kubectl = Kubectl::new(&folder, &access);
    let kubeconfig = access.kubeconfig.clone();
    kubectl.ok(&["get", "namespaces"]);
    let old = access.credentials.clone();
    let answer = knock(&vm, &folder, &old);
    assert!(!answer.said.is_empty() && !answer.error.contains("alert"), "a good certificate is let in: {answer:?}");
    power_off(&mut vm, &access);
    drop(vm);

    let seconds = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a time after 1970").as_secs();
    // Of the year after the next: later than a certificate of a year that was made today.
    let date = format!("{}-01-02", 1970 + seconds / 31_556_952 + 2);
    let mut vm = start(&Setup { date: Some(date), ..setup(Boot::Direct) }, &folder);
    // The host's clock would not believe the machine's new certificates, so the console has to say that all is well.
    vm.wait_for_text("service kube-controller-manager: ready", BOOT).unwrap_or_else(|error| panic!("{error}"));
    let new = eventually("the operator's new certificate", BOOT, || {
        operator::credentials(&folder).expect("the credentials").filter(|new| new.cert_pem != old.cert_pem)
    });

    let answer = knock(&vm, &folder, &old);
    assert!(answer.said.is_empty() && answer.error.contains("alert certificate expired"), "{answer:?}");
    let answer = knock(&vm, &folder, &new);
    assert!(!answer.said.is_empty() && !answer.error.contains("alert"), "{answer:?}");

    let ports = vm.ports().expect("the machine has a network card");
    let before = kubeconfig.lines().find_map(|line| line.trim().strip_prefix("server: ")).expect("a server");
    let kubeconfig = kubeconfig.replace(before, &format!("https://127.0.0.1:{}", ports.kubernetes));
    // The host's clock does not believe the server's certificate either, and kubectl wants no authority then.
    let unverified: Vec<_> = kubeconfig.lines().filter(|line| !line.contains("certificate-authority-data")).collect();
    std::fs::write(folder.kubeconfig(), unverified.join("\n")).expect("write the kubeconfig");
    let refused = kubectl.refused(&["--insecure-skip-tls-verify", "get", "namespaces"]);
    assert!(refused.contains("You must be logged in to the server"), "{refused}");
    assert!(vm.runs() && vm.timeline().end().is_none(), "{:#?}", vm.tail(40));
    clean(&folder);
}

#[derive(Debug)]
struct Answer {
    said: Vec<u8>,
    error: String,
}

/// Speaks to the machine API with `openssl s_client`, which does not mind what the server's certificate says.
fn knock(vm: &Vm, folder: &Folder, credentials: &Credentials) -> Answer {
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("write a file");
        path
    };
    let port = vm.ports().expect("the machine has a network card").machine;
    let (out, err) = (folder.path().join("openssl.out"), folder.path().join("openssl.err"));
    let mut child = Command::new("openssl")
        .args(["s_client", "-quiet", "-alpn", "h2", "-connect", &format!("127.0.0.1:{port}"), "-cert"])
        .arg(file("knock.crt", &credentials.cert_pem))
        .arg("-key")
        .arg(file("knock.key", &credentials.key_pem))
        .stdin(Stdio::piped())
        .stdout(std::fs::File::create(&out).expect("create a file"))
        .stderr(std::fs::File::create(&err).expect("create a file"))
        .spawn()
        .expect("openssl can be run");
    let mut input = child.stdin.take().expect("it has an input");
    // Whoever is refused may be gone already.
    let _ = input.write_all(HTTP2);
    let read = |path| std::fs::read(path).expect("read a file");
    let answered = wait::until(Instant::now() + ANSWER, || {
        let ended = child.try_wait().expect("a child can be waited for").is_some();
        (ended || !read(&out).is_empty()).then_some(())
    });
    child.kill().expect("a child can be killed");
    child.wait().expect("a child can be waited for");
    answered.expect("the machine API answers, one way or the other");
    Answer { said: read(&out), error: String::from_utf8_lossy(&read(&err)).into_owned() }
}
