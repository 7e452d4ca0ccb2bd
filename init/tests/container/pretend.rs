//! A service that does what its scenario says.

use std::fs;
use std::io::Write;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::time::Duration;

use init_sys::signals::{Meaning, Signals};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Runs until it is told to stop.
pub(crate) fn service(name: &str) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|argument| argument == "orphan-of") {
        std::thread::sleep(Duration::from_hours(1));
        return ExitCode::SUCCESS;
    }
    let scenario = fs::read_to_string(format!("/scenario/{name}")).unwrap_or_default();
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
    if name == "machined" {
        fs::create_dir_all("/run/services").expect("a directory");
        for other in ["store", "kube-apiserver", "kube-controller-manager"] {
            fs::write(format!("/run/services/{other}.args"), "--name\nfirst machine\n").expect("a file");
        }
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
