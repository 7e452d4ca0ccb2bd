//! A server on a [`Disk`]: killed in front of any write of its disk, with or without what was not flushed, and started again.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tests_disk::{Disk, Mounted, Names};

use crate::client::Client;
use crate::server::{Kind, command, free_port};
use crate::{DEADLINE, dice::Dice};

/// After the disk stands still, for answers that need no disk: what is promised then counts as well.
const LAST_WORDS: Duration = Duration::from_millis(10);

/// What a crash takes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// The program ends: what it wrote is there.
    Program,
    /// The power goes: only what was flushed is there.
    Power,
    /// The power goes: what was flushed is there, and of the rest some pages and names.
    PowerInTheMiddle,
}

/// How a start went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Started {
    /// It answers.
    Ready,
    /// The disk stands still in the middle of it.
    Interrupted,
    /// It ended, or does not answer; what it said.
    Failed(String),
}

/// A server and its disk. Killed and unmounted when dropped.
pub struct Victim {
    kind: Kind,
    extra: Vec<String>,
    /// Its disk.
    pub disk: Disk,
    port: u16,
    peer_port: u16,
    process: Option<Child>,
    mounted: Option<Mounted>,
    folder: TempDir,
}

impl Victim {
    /// A server that was never started, on an empty disk.
    pub fn new(kind: Kind, extra: &[&str]) -> Self {
        let folder = tempfile::Builder::new().prefix("orlop-victim-").tempdir().expect("a folder for the test");
        fs::create_dir(folder.path().join("disk")).expect("a folder for the disk");
        let names = match kind {
            // It never flushes the folder of its first log, and trusts the journal with that.
            Kind::Etcd | Kind::Old => Names::InOrder,
            Kind::Ours => Names::ByFolder,
        };
        Self {
            kind,
            extra: extra.iter().map(ToString::to_string).collect(),
            disk: Disk::new(names),
            port: free_port(),
            peer_port: free_port(),
            process: None,
            mounted: None,
            folder,
        }
    }

    fn mount_point(&self) -> PathBuf {
        self.folder.path().join("disk")
    }

    /// What it has printed so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// A client.
    pub async fn client(&self) -> Option<Client> {
        Client::connect_plainly(format!("http://127.0.0.1:{}", self.port)).await.ok()
    }

    /// Starts it; its disk stands still in front of the point number `stop_in`, if there is one.
    pub async fn start(&mut self, stop_in: Option<u64>) -> Started {
        let mounted = self.disk.mount(&self.mount_point());
        self.mounted = Some(mounted.unwrap_or_else(|error| panic!("mount a disk by /dev/fuse: {error}")));
        if let Some(points) = stop_in {
            self.disk.stop_in(points);
        }
        self.process = Some(self.spawn().unwrap_or_else(|error| panic!("start {:?}: {error}", self.kind)));
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(mut client) = self.client().await {
                let asked = tokio::time::timeout(Duration::from_millis(200), client.get("readiness"));
                if matches!(asked.await, Ok(Ok(_))) {
                    return Started::Ready;
                }
            }
            if self.disk.stands_within(Duration::from_millis(3)) {
                return Started::Interrupted;
            }
            let process = self.process.as_mut().expect("it was started");
            if let Some(status) = process.try_wait().expect("a child") {
                return Started::Failed(format!("it ended at its start with {status}:\n{}", self.log()));
            }
            if Instant::now() >= deadline {
                return Started::Failed(format!("it is not ready:\n{}", self.log()));
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    fn spawn(&self) -> io::Result<Child> {
        let log = fs::OpenOptions::new().append(true).create(true).open(self.folder.path().join("log"))?;
        let client = format!("http://127.0.0.1:{}", self.port);
        let peer = format!("http://127.0.0.1:{}", self.peer_port);
        let flags = [
            ("--name", "default".to_owned()),
            ("--data-dir", self.mount_point().join("data").display().to_string()),
            ("--listen-client-urls", client.clone()),
            ("--advertise-client-urls", client),
            ("--listen-peer-urls", peer.clone()),
            ("--initial-advertise-peer-urls", peer.clone()),
            ("--initial-cluster", format!("default={peer}")),
            ("--heartbeat-interval", "10".to_owned()),
            ("--election-timeout", "100".to_owned()),
        ];
        let mut command = command(self.kind);
        for (flag, value) in flags {
            command.arg(format!("{flag}={value}"));
        }
        command.args(&self.extra).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()
    }

    /// Ends it at once, wherever it is, and takes away what the crash takes.
    pub async fn crash(&mut self, crash: Crash, dice: &mut Dice) {
        tokio::time::sleep(LAST_WORDS).await;
        if let Some(mut process) = self.process.take() {
            process.kill().expect("kill it");
            // It waits for its disk until that refuses.
            self.disk.let_go();
            process.wait().expect("it has ended");
        }
        if let Some(mounted) = self.mounted.take() {
            mounted.unmount().expect("unmount the disk");
        }
        match crash {
            Crash::Program => {}
            Crash::Power => self.disk.cut_power(|| false),
            Crash::PowerInTheMiddle => self.disk.cut_power(|| dice.below(2) == 0),
        }
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            self.disk.let_go();
            let _ = process.wait();
        }
        self.mounted.take();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            eprintln!("last lines of {:?}:\n{}", self.kind, lines[lines.len().saturating_sub(40)..].join("\n"));
        }
    }
}
