//! The container, seen from outside.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use init_core::boot::SERVICES;
use supervision::{Answer, Request, ServiceStatus, ShutdownMode};

/// Why the tests cannot run here, if they cannot.
pub(crate) fn missing() -> Option<&'static str> {
    let usable = Command::new("unshare")
        .args(["--pid", "--mount", "--net", "--fork", "true"])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    (!usable).then_some("name spaces cannot be made here (needs root and util-linux's unshare)")
}

/// The text of one console line, without its time.
pub(crate) fn text(line: &str) -> Option<&str> {
    line.strip_prefix("[ ")?.split_once("] orlop: ").map(|(_, text)| text)
}

/// A running container.
pub(crate) struct Machine {
    /// `unshare`, which waits for PID 1 and ends as it ends.
    outer: Child,
    /// PID 1 as the host knows it.
    pid: u32,
    root: tempfile::TempDir,
}

impl Machine {
    /// Boots; each pair names a service and what it does besides being one.
    pub(crate) fn start(scenarios: &[(&str, &str)]) -> Self {
        let root = tempfile::tempdir().expect("a directory");
        // Services that are not root walk through it.
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).expect("a mode");
        let at = |path: &str| root.path().join(path);
        for directory in ["dev", "proc", "sys", "run", "tmp", "usr/bin", "var/lib", "scenario"] {
            fs::create_dir_all(at(directory)).expect("a directory");
        }
        fs::copy(env!("CARGO_BIN_EXE_init"), at("init")).expect("init");
        let own = std::env::current_exe().expect("a path");
        fs::copy(own, at("usr/bin/machined")).expect("a service");
        for spec in &SERVICES[1..] {
            fs::hard_link(at("usr/bin/machined"), at(&format!("usr/bin/{}", spec.name))).expect("a service");
        }
        for (name, scenario) in scenarios {
            fs::write(at(&format!("scenario/{name}")), scenario).expect("a scenario");
        }
        for device in ["null", "urandom"] {
            fs::write(at(&format!("dev/{device}")), "").expect("a file");
        }
        let console = fs::File::create(at("console.log")).expect("a file");
        let script = "for device in null urandom; do mount --bind /dev/$device \"$0/dev/$device\"; done; exec chroot \"$0\" /init";
        let outer = Command::new("unshare")
            .args(["--pid", "--mount", "--uts", "--ipc", "--net", "--fork", "--kill-child", "sh", "-c", script])
            .arg(root.path())
            .env_clear()
            .envs([("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"), ("container", "test")])
            .stdin(Stdio::null())
            .stdout(console.try_clone().expect("a file"))
            .stderr(console)
            .spawn()
            .expect("a container");
        let children = format!("/proc/{0}/task/{0}/children", outer.id());
        let pid = wait_for(Duration::from_secs(30), "PID 1", || {
            fs::read_to_string(&children).ok()?.split_whitespace().next()?.parse().ok()
        });
        Self { outer, pid, root }
    }

    /// Everything on the console so far.
    pub(crate) fn console(&self) -> String {
        fs::read_to_string(self.root.path().join("console.log")).expect("the console")
    }

    pub(crate) fn wait_until_ready(&self, limit: Duration) {
        let last = SERVICES[SERVICES.len() - 1].name;
        self.wait_for_status(last, limit, |status| status.state == "ready");
    }

    pub(crate) fn wait_for_status(
        &self,
        service: &str,
        limit: Duration,
        good: impl Fn(&ServiceStatus) -> bool,
    ) -> ServiceStatus {
        let what = format!("{service} to change");
        let found = try_for(limit, || self.try_status(service).filter(|status| good(status)));
        found.unwrap_or_else(|| panic!("waited for {what}: {:?}\n{}", self.try_status(service), self.console()))
    }

    pub(crate) fn status(&self, service: &str) -> ServiceStatus {
        self.try_status(service).expect("a status")
    }

    fn try_status(&self, service: &str) -> Option<ServiceStatus> {
        let socket = UnixStream::connect(self.inside(supervision::SOCKET)).ok()?;
        let request = [&serde_json::to_vec(&Request::Services).ok()?[..], b"\n"].concat();
        let answers: Vec<Answer> = talk(socket, &request).collect();
        let [Answer::Services(services)] = &answers[..] else { return None };
        services.iter().find(|status| status.name == service).cloned()
    }

    /// Sends a request and returns every answer.
    pub(crate) fn ask(&self, request: &Request) -> Vec<Answer> {
        self.say(&[&serde_json::to_vec(request).expect("a request")[..], b"\n"].concat())
    }

    /// Sends raw bytes to the control socket and returns every answer.
    pub(crate) fn say(&self, bytes: &[u8]) -> Vec<Answer> {
        talk(self.connect(), bytes).collect()
    }

    pub(crate) fn follow(&self, service: &str) -> impl Iterator<Item = Answer> + use<> {
        let request = Request::Logs { service: service.into(), tail: Some(0), follow: true };
        talk(self.connect(), &[&serde_json::to_vec(&request).expect("a request")[..], b"\n"].concat())
    }

    pub(crate) fn log(&self, service: &str, tail: Option<u32>) -> Vec<String> {
        let answers = self.ask(&Request::Logs { service: service.into(), tail, follow: false });
        let text = |answer| match answer {
            Answer::LogLine(line) => line.text,
            other => panic!("{other:?}"),
        };
        answers.into_iter().map(text).collect()
    }

    /// Sends a datagram from outside of every service.
    pub(crate) fn notify(&self, bytes: &[u8]) {
        let sender = UnixDatagram::unbound().expect("a socket");
        sender.send_to(bytes, self.inside("/run/init/notify.sock")).expect("sent");
    }

    pub(crate) fn shut_down(&self, mode: ShutdownMode) {
        assert_eq!(self.ask(&Request::Shutdown { mode, reason: "a test".into() }), [Answer::Done]);
    }

    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").args([format!("-{name}"), self.pid.to_string()]).status().expect("kill");
        assert!(status.success());
    }

    /// How many processes inside have these words as their arguments.
    pub(crate) fn processes(&self, words: &str) -> usize {
        let wanted = format!("{}\0", words.replace("orphan of ", "orphan-of\0"));
        let listing = fs::read_dir(self.inside("/proc")).expect("processes");
        listing
            .flatten()
            .filter(|entry| fs::read_to_string(entry.path().join("cmdline")).is_ok_and(|line| line.ends_with(&wanted)))
            .count()
    }

    /// Waits until PID 1 has ended its world, and tells how: the kernel shows it as the signal that ended PID 1.
    pub(crate) fn wait_for_end(&mut self, limit: Duration) -> ShutdownMode {
        let status = try_for(limit, || self.outer.try_wait().expect("a status"));
        let status = status.unwrap_or_else(|| panic!("still up\n{}", self.console()));
        match status.signal().or_else(|| status.code().map(|code| code - 128)) {
            Some(1) => ShutdownMode::Reboot,
            Some(2) => ShutdownMode::PowerOff,
            _ => panic!("ended with {status}\n{}", self.console()),
        }
    }

    fn connect(&self) -> UnixStream {
        UnixStream::connect(self.inside(supervision::SOCKET)).expect("a connection")
    }

    fn inside(&self, path: &str) -> PathBuf {
        Path::new(&format!("/proc/{}/root", self.pid)).join(path.trim_start_matches('/'))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.outer.kill();
        let _ = self.outer.wait();
    }
}

fn talk(mut socket: UnixStream, bytes: &[u8]) -> impl Iterator<Item = Answer> + use<> {
    socket.set_read_timeout(Some(Duration::from_secs(30))).expect("a limit");
    // A request that is too long is refused before all of it is read.
    let _ = socket.write_all(bytes);
    BufReader::new(socket)
        .lines()
        .map_while(Result::ok)
        .map(|line| serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}")))
}

fn wait_for<T>(limit: Duration, what: &str, look: impl FnMut() -> Option<T>) -> T {
    try_for(limit, look).unwrap_or_else(|| panic!("waited in vain for {what}"))
}

/// Looks again and again until there is a value or the time is over.
fn try_for<T>(limit: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if Instant::now() > deadline {
            return None;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
