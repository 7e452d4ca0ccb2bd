//! machined as a process, below a folder of its own.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, SystemTime};

use machined_core::roles::Role;
use pki::{Authority, AuthorityName};
use rustix::process::{Pid, Signal, kill_process};
use tokio::net::UnixDatagram;
use tokio::process::{Child, Command};

use crate::client::Credentials;
use crate::pid1::Pid1;

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_machined");

/// On a machine that compiles something else at the same time, even this has been seen to take seconds.
const PATIENCE: Duration = Duration::from_mins(1);

/// A machine. It ends with the value.
pub(crate) struct Node {
    folder: tempfile::TempDir,
    child: Child,
    pub(crate) pid1: Pid1,
    pub(crate) address: SocketAddr,
}

impl Node {
    /// Starts machined in an empty folder and waits until it is ready.
    pub(crate) async fn start() -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), &[]).await
    }

    async fn start_in(folder: tempfile::TempDir, arguments: &[&str]) -> Self {
        let root = folder.path().join("root");
        let pid1 = Pid1::start(&folder.path().join("init.sock"));
        let notify_path = folder.path().join("notify.sock");
        let _ = fs::remove_file(&notify_path);
        let notify = UnixDatagram::bind(&notify_path).unwrap();
        let address_file = folder.path().join("address");
        let child = Command::new(PROGRAM)
            .arg("--root")
            .arg(&root)
            .args(["--no-network", "--no-disk", "--listen", "127.0.0.1:0", "--init-socket"])
            .arg(folder.path().join("init.sock"))
            .arg("--listen-address-file")
            .arg(&address_file)
            .args(arguments)
            .env("NOTIFY_SOCKET", &notify_path)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut buffer = [0; 1024];
        loop {
            let length =
                tokio::time::timeout(PATIENCE, notify.recv(&mut buffer)).await.expect("it becomes ready").unwrap();
            if &buffer[..length] == b"READY=1" {
                break;
            }
        }
        let address = fs::read_to_string(&address_file).unwrap().parse().unwrap();
        Self { folder, child, pid1, address }
    }

    /// A path below the root.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join("root").join(path)
    }

    /// An authority, as it is kept.
    pub(crate) fn authority(&self, name: AuthorityName) -> Authority {
        let read = |ending| fs::read_to_string(self.path(&format!("state/pki/{name}.{ending}"))).unwrap();
        Authority::from_pem(name, &read("crt"), &read("key")).unwrap()
    }

    /// The authority of the machine API.
    pub(crate) fn machine_authority(&self) -> Authority {
        self.authority(AuthorityName::Machine)
    }

    /// Credentials of someone with this role.
    pub(crate) fn credentials(&self, role: Role) -> Credentials {
        Credentials::issue(&self.machine_authority(), role.organization(), SystemTime::now())
    }

    /// Tells it to stop, and waits until it has.
    pub(crate) async fn stop(mut self) -> ExitStatus {
        self.terminate().await
    }

    /// Stops it and starts it again in the same folder.
    pub(crate) async fn restart(self) -> Self {
        self.restart_with(&[]).await
    }

    /// The same, with further arguments.
    pub(crate) async fn restart_with(mut self, arguments: &[&str]) -> Self {
        assert!(self.terminate().await.success());
        self.start_again_with(arguments).await
    }

    /// Ends it without a word.
    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// Starts it in the same folder after it has ended.
    pub(crate) async fn start_again(self) -> Self {
        self.start_again_with(&[]).await
    }

    async fn start_again_with(self, arguments: &[&str]) -> Self {
        let Self { folder, mut pid1, .. } = self;
        pid1.stop();
        Self::start_in(folder, arguments).await
    }

    async fn terminate(&mut self) -> ExitStatus {
        let pid = self.child.id().and_then(|pid| Pid::from_raw(pid.cast_signed())).expect("it runs");
        kill_process(pid, Signal::TERM).unwrap();
        tokio::time::timeout(PATIENCE, self.child.wait()).await.expect("it ends").unwrap()
    }
}
