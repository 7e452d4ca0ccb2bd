//! A service that does what its scenario says.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::time::Duration;

use init_sys::signals::{Meaning, Signals};
use supervision::accounts::{ACCOUNTS, STORE};

use crate::probe;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Where a service reads what it is to do. All but machined reach no more than their credentials.
fn scenario(name: &str) -> String {
    if name == "machined" { format!("/scenario/{name}") } else { format!("/run/credentials/{name}/scenario") }
}

/// What machined does for the others: their credentials, their data, their arguments.
fn prepare() {
    for account in ACCOUNTS {
        let folder = format!("/run/credentials/{}", account.name);
        fs::create_dir_all(&folder).expect("a directory");
        let own = scenario(account.name);
        let words = fs::read_to_string(format!("/scenario/{}", account.name)).unwrap_or_default();
        fs::write(&own, words).expect("a file");
        chown(&own, None, Some(account.id)).expect("a group");
        fs::set_permissions(&own, fs::Permissions::from_mode(0o640)).expect("a mode");
    }
    fs::create_dir_all("/var/lib/store").expect("a directory");
    chown("/var/lib/store", Some(STORE.id), Some(STORE.id)).expect("an owner");
    fs::create_dir_all("/run/services").expect("a directory");
    for account in ACCOUNTS {
        fs::write(format!("/run/services/{}.args", account.name), "--name\nfirst machine\n").expect("a file");
    }
}

/// Runs until it is told to stop.
pub(crate) fn service(name: &str) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|argument| argument == "orphan-of") {
        std::thread::sleep(Duration::from_hours(1));
        return ExitCode::SUCCESS;
    }
    if name == "machined" {
        prepare();
    }
    let scenario = fs::read_to_string(scenario(name)).unwrap_or_default();
    let told = |word: &str| scenario.lines().any(|line| line == word);
    let mut signals = Signals::watch().expect("signals");
    println!("pretending to be {name}");
    println!("arguments: {}", arguments.join(" "));
    if told("crash") {
        eprintln!("crashing as told");
        return ExitCode::from(3);
    }
    if told("orphan") {
        // In the same process group, so that it can be found without control groups; nobody waits for it.
        let own = std::env::current_exe().expect("a path");
        let orphan = Command::new(own).arg0(name).args(["orphan-of", name]).spawn().expect("an orphan");
        drop(orphan);
    }
    if told("probe") {
        probe::run(name);
    }
    if told("fork") {
        let _ = Command::new("/usr/bin/store").spawn();
    }
    let socket = std::env::var("NOTIFY_SOCKET").expect("a socket");
    UnixDatagram::unbound().and_then(|sender| sender.send_to(b"READY=1", socket)).expect("told");
    let mut line = 0_u64;
    loop {
        if told("flood") {
            line += 1;
            let text = format!("flood {line} {}\n", "f".repeat(100));
            std::io::stdout().write_all(text.as_bytes()).expect("printed");
        } else {
            let wait = Timespec { tv_sec: 3600, tv_nsec: 0 };
            poll(&mut [PollFd::new(&signals, PollFlags::IN)], Some(&wait)).expect("a signal");
        }
        if signals.take().expect("a signal") == Some(Meaning::Terminate) && !told("stubborn") {
            return ExitCode::SUCCESS;
        }
    }
}
