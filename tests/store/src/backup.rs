//! Backups under test: where one lies, the command that reads it, and when it is level with the store.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use proto::etcdserverpb::{LeaseLeasesRequest, LeaseTimeToLiveRequest};
use proto::mvccpb::KeyValue;
use tempfile::TempDir;

use crate::client::{Client, range_of_prefix};
use crate::metrics::figure;
use crate::server::{Kind, Server, program};
use crate::{Cluster, DEADLINE};

/// Where a backup lies. It goes with the test.
pub struct Backup {
    folder: TempDir,
    url: String,
    environment: Vec<(String, String)>,
}

impl Backup {
    /// A backup in a folder of its own, which is not there yet.
    pub fn in_a_folder() -> Self {
        let folder = tempfile::Builder::new().prefix("orlop-backup-").tempdir().expect("a folder for the test");
        let url = format!("file://{}", folder.path().join("backup").display());
        Self { folder, url, environment: Vec::new() }
    }

    /// A backup somewhere else, for which these variables have to be set.
    pub fn elsewhere(url: &str, environment: &[(&str, &str)]) -> Self {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self { url: url.to_owned(), environment: environment.iter().map(own).collect(), ..Self::in_a_folder() }
    }

    /// The flag that names it.
    pub fn flag(&self) -> String {
        format!("--backup-url={}", self.url)
    }

    /// Its folder.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("backup")
    }

    /// A folder for anything else, which goes with the test as well.
    pub fn scratch(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Every object in it whose name contains `part`, sorted.
    pub fn objects(&self, part: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![self.path()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.file_name().is_some_and(|name| name.to_string_lossy().contains(part)) {
                    found.push(path);
                }
            }
        }
        found.sort();
        found
    }

    /// `store backup <words>`.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(program("store"));
        command.arg("backup").args(words).arg(self.flag()).args(["--backup-s3-region=here"]);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs it; it must succeed. What it printed.
    pub fn run(&self, words: &[&str]) -> String {
        let (output, out, problems) = self.output(words);
        assert!(output.status.success(), "{words:?}: {out}{problems}");
        out
    }

    /// Runs it; it must fail. What it said of it.
    pub fn fail(&self, words: &[&str]) -> String {
        let (output, out, problems) = self.output(words);
        assert!(!output.status.success(), "{words:?}: {out}");
        problems
    }

    fn output(&self, words: &[&str]) -> (Output, String, String) {
        let output = self.command(words).output().expect("the store can be run");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (out, problems) = (text(&output.stdout), text(&output.stderr));
        (output, out, problems)
    }

    /// A server on what is restored from it.
    pub async fn restored(&self, words: &[&str]) -> Server {
        self.restored_with(words, &[]).await
    }

    /// The same, started with further flags.
    pub async fn restored_with(&self, words: &[&str], flags: &[&str]) -> Server {
        Server::start_from(Kind::Ours, flags, |data, peer| {
            let data = data.display().to_string();
            let (cluster, own) = (format!("default={peer}"), peer.to_owned());
            let place = ["restore", "--data-dir", &data, "--initial-cluster", &cluster];
            let own = ["--initial-advertise-peer-urls", &own];
            drop(self.run(&[&place[..], &own, words].concat()));
        })
        .await
    }
}

/// Waits until everything that a server applied is backed up.
pub async fn backed_up(server: &Server) {
    level(&server.file(""), &server.endpoint(), &server.log()).await;
}

/// The same for a cluster, whose leader must not change meanwhile.
pub async fn cluster_backed_up(cluster: &Cluster) {
    let leader = cluster.leader().await;
    level(cluster.folder(), &cluster.endpoint(leader), &cluster.log(leader)).await;
}

async fn level(folder: &Path, endpoint: &str, log: &str) {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let applied = figure(folder, endpoint, "etcd_server_proposals_applied_total");
        let written = figure(folder, endpoint, "orlop_store_backup_last_index");
        if applied.is_some() && written >= applied {
            return;
        }
        assert!(Instant::now() < deadline, "backed up to {written:?} of {applied:?}:\n{log}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What a store holds: all keys with their versions, and the leases with the keys attached to them.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    /// The revision.
    pub revision: i64,
    /// Every key.
    pub keys: Vec<KeyValue>,
    /// Every lease: its id, for how long it was granted, its keys.
    pub leases: Vec<(i64, i64, Vec<String>)>,
}

/// Takes a picture; nobody may write meanwhile.
pub async fn picture(client: &mut Client) -> Picture {
    let all = client.range(range_of_prefix("")).await.expect("range");
    let listed = client.lease.lease_leases(LeaseLeasesRequest {}).await.expect("leases").into_inner();
    let mut leases = Vec::new();
    for id in listed.leases.iter().map(|lease| lease.id) {
        let request = LeaseTimeToLiveRequest { id, keys: true };
        let lease = client.lease.lease_time_to_live(request).await.expect("a lease").into_inner();
        let mut keys: Vec<_> = lease.keys.iter().map(|key| String::from_utf8_lossy(key).into_owned()).collect();
        keys.sort();
        leases.push((id, lease.granted_ttl, keys));
    }
    leases.sort();
    Picture { revision: all.header.expect("a header").revision, keys: all.kvs, leases }
}
