//! A program under test: started, watched, killed by its pid.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How long a program may take to end after it was asked to.
const STOP: Duration = Duration::from_secs(20);
/// Lines of the log shown when a test fails.
const SHOWN: usize = 40;

/// The path of one of our programs.
pub fn binary(name: &str) -> PathBuf {
    let beside = || {
        // target/<triple>/release/deps/<test> → target/<triple>/release/<name>
        let test = std::env::current_exe().expect("the test has a path");
        test.parent().and_then(Path::parent).expect("the test lies in cargo's target folder").to_path_buf()
    };
    let folder = std::env::var_os("ORLOP_BIN_DIR").map_or_else(beside, PathBuf::from);
    let path = folder.join(name);
    assert!(
        path.is_file(),
        "{} is missing: build it first with `cargo build --release --workspace --bins`",
        path.display()
    );
    path
}

/// A port nothing listens on just now.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bind a free port");
    listener.local_addr().expect("a bound port has an address").port()
}

/// Asks `probe` until it answers, at most `deadline`; `what` says in the panic what was waited for.
pub fn until<T>(what: &str, deadline: Duration, mut probe: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = probe() {
            return value;
        }
        assert!(start.elapsed() < deadline, "waited {deadline:?} in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A running program. Dropping it kills it.
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `program` with its output going to `log`, behind what is there.
    pub fn start<A: AsRef<OsStr>>(name: &str, program: &Path, args: impl IntoIterator<Item = A>, log: &Path) -> Self {
        let open = || File::options().create(true).append(true).open(log).expect("open the log of a program");
        let child = Command::new(program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(open())
            .stderr(open())
            .spawn()
            .unwrap_or_else(|error| panic!("start {}: {error}", program.display()));
        Self { name: name.to_owned(), child, log: log.to_path_buf() }
    }

    /// Its pid.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("ask for the end of a child")
    }

    /// Sends SIGKILL and waits until it is gone.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends SIGTERM.
    pub fn ask_to_end(&self) {
        let sent = Command::new("kill").arg("-TERM").arg(self.pid().to_string()).status().expect("run kill");
        assert!(sent.success(), "{} could not be asked to end", self.name);
    }

    /// Sends SIGTERM and waits until it ends by itself.
    pub fn terminate(&mut self) -> ExitStatus {
        self.ask_to_end();
        self.end()
    }

    /// Waits until it ends by itself.
    pub fn end(&mut self) -> ExitStatus {
        let name = self.name.clone();
        until(&format!("the end of {name}"), STOP, || self.ended())
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The value of a line of `/proc/<pid>/status` in kilobytes, for example `VmRSS`.
    pub fn kilobytes(&self, field: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with(field)).unwrap_or_default();
        line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).unwrap_or(0)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("--- the last lines of {}", self.name);
            for line in &lines[lines.len().saturating_sub(SHOWN)..] {
                eprintln!("{line}");
            }
        }
    }
}
