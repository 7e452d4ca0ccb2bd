//! The distribution's `etcdctl`, as an operator types it.

use std::io::{BufRead, BufReader, Lines};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::{Cluster, Server};

/// The one of the reference.
pub const NEW: &str = "etcdctl";
/// The one of 3.4, which Debian 12 installs.
pub const OLD: &str = "etcdctl-3.4";

/// `etcdctl` with its certificates, for one server or for a cluster.
pub struct Etcdctl {
    program: &'static str,
    certificates: PathBuf,
    endpoints: String,
}

impl Etcdctl {
    /// For one server.
    #[must_use]
    pub fn of(program: &'static str, server: &Server) -> Self {
        Self::with(program, server.folder(), server.endpoint())
    }

    /// For these members of a cluster, by their URLs.
    #[must_use]
    pub fn of_cluster(program: &'static str, cluster: &Cluster, endpoints: String) -> Self {
        Self::with(program, cluster.folder(), endpoints)
    }

    fn with(program: &'static str, certificates: &Path, endpoints: String) -> Self {
        Self { program, certificates: certificates.to_owned(), endpoints }
    }

    /// The version of the tool: whether it is the older one.
    #[must_use]
    pub fn is_old(&self) -> bool {
        self.program == OLD
    }

    /// The command, to which the caller adds what is to be done.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = Command::new(self.program);
        command.env("ETCDCTL_API", "3").arg(format!("--endpoints={}", self.endpoints));
        for (flag, file) in [("cacert", "ca.crt"), ("cert", "client.crt"), ("key", "client.key")] {
            command.arg(format!("--{flag}={}", self.certificates.join(file).display()));
        }
        // `check` fetches the metrics with a client that knows none of the flags.
        command.env("SSL_CERT_FILE", self.certificates.join("ca.crt"));
        command.arg("--command-timeout=20s");
        command
    }

    /// Runs what must succeed; what is printed.
    pub fn run(&self, arguments: &[&str]) -> String {
        let output = self.command().args(arguments).output().expect("etcdctl is there");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{arguments:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
        text
    }

    /// Runs what may fail; whether it succeeded, and what is printed and complained of.
    pub fn attempt(&self, arguments: &[&str]) -> (bool, String) {
        let output = self.command().args(arguments).output().expect("etcdctl is there");
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    }

    /// Starts what goes on until it is dropped.
    pub fn start(&self, arguments: &[&str]) -> Running {
        // No limit of time: whoever holds a lock or waits for one goes on.
        let mut command = self.command();
        command.arg("--command-timeout=0").args(arguments).stdout(Stdio::piped());
        let mut child = command.spawn().expect("etcdctl is there");
        let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        Running { child, lines }
    }
}

/// An `etcdctl` that runs. It is killed when it is dropped.
pub struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    /// The next line that it prints.
    pub fn line(&mut self) -> String {
        self.lines.next().expect("a line").expect("text")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
