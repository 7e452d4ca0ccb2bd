//! Several members under test, over mutual TLS on the loopback.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use proto::etcdserverpb::{MemberListRequest, StatusRequest, StatusResponse};
use tempfile::TempDir;
use tests_disk::{Disk, Mounted, Names};

use crate::client::Client;
use crate::network::Network;
use crate::server::{Kind, command, free_port, member_flags, write_certificates};

/// Longest wait for something that a whole cluster must do.
pub(crate) const DEADLINE: Duration = Duration::from_mins(1);

/// A running cluster; its members are killed when it is dropped.
pub struct Cluster {
    kind: Kind,
    folder: TempDir,
    extra: Vec<String>,
    token: String,
    members: Vec<Member>,
    network: Option<Network>,
}

/// One member: its place, whether it runs or not.
struct Member {
    name: String,
    port: u16,
    peer_port: u16,
    /// Instead of what the cluster's members are started with.
    flags: Vec<(&'static str, String)>,
    process: Option<Child>,
    /// Under its data, if it is one that forgets.
    disk: Option<(Disk, Mounted)>,
}

impl Cluster {
    /// Starts members and waits until all of them answer.
    pub async fn start(kind: Kind, size: usize, extra: &[&str]) -> Self {
        let mut cluster = Self::prepare(kind, size, extra);
        for index in 0..size {
            cluster.spawn(index);
        }
        for index in 0..size {
            cluster.wait_until_ready(index).await;
        }
        cluster
    }

    /// Everything but the members' processes.
    pub fn prepare(kind: Kind, size: usize, extra: &[&str]) -> Self {
        Self::prepare_in(None, kind, size, extra)
    }

    /// The same, with each member in a namespace of a network.
    pub fn prepare_in(network: Option<Network>, kind: Kind, size: usize, extra: &[&str]) -> Self {
        let folder = tempfile::Builder::new().prefix("orlop-stores-").tempdir().expect("a folder for the test");
        let hosts = network.iter().flat_map(|network| (0..size).map(|index| network.host(index).into()));
        write_certificates(folder.path(), &hosts.collect::<Vec<_>>());
        let extra = extra.iter().map(ToString::to_string).collect();
        let mut cluster = Self { kind, folder, extra, token: "orlop".to_owned(), members: Vec::new(), network };
        for index in 0..size {
            cluster.members.push(Member::new(index));
        }
        let everybody = cluster.initial_cluster();
        for member in &mut cluster.members {
            member.flags = vec![("--initial-cluster", everybody.clone()), ("--initial-cluster-state", "new".into())];
        }
        cluster
    }

    /// Which program this is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// How many members were ever named.
    pub fn size(&self) -> usize {
        self.members.len()
    }

    /// `m0=https://127.0.0.1:<port>,…` of every member that was ever named.
    fn initial_cluster(&self) -> String {
        let members = self.members.iter().enumerate();
        members.map(|(index, member)| format!("{}={}", member.name, self.peer_url(index))).collect::<Vec<_>>().join(",")
    }

    /// A further member that joins: the others that run, and itself, are its initial cluster. It is not started yet.
    pub fn join(&mut self, others: &[usize]) -> usize {
        let index = self.members.len();
        self.members.push(Member::new(index));
        let mut all = others.to_vec();
        all.push(index);
        let all: Vec<_> =
            all.into_iter().map(|index| format!("{}={}", self.members[index].name, self.peer_url(index))).collect();
        self.members[index].flags =
            vec![("--initial-cluster", all.join(",")), ("--initial-cluster-state", "existing".into())];
        index
    }

    /// Gives a member another port for its peers; it counts from its next start.
    pub fn move_peer_port(&mut self, index: usize) {
        self.members[index].peer_port = free_port();
    }

    /// Sets a flag of a member from its next start on.
    pub fn set_flag(&mut self, index: usize, flag: &'static str, value: String) {
        let flags = &mut self.members[index].flags;
        flags.retain(|(name, _)| *name != flag);
        flags.push((flag, value));
    }

    /// A member's name.
    pub fn name(&self, index: usize) -> &str {
        &self.members[index].name
    }

    /// The network its members are in, if it is one of their own.
    pub fn network(&self) -> Option<&Network> {
        self.network.as_ref()
    }

    fn host(&self, index: usize) -> String {
        self.network.as_ref().map_or_else(|| "127.0.0.1".to_owned(), |network| network.host(index).to_string())
    }

    /// `https://127.0.0.1:<port>`
    pub fn endpoint(&self, index: usize) -> String {
        format!("https://{}:{}", self.host(index), self.members[index].port)
    }

    /// All endpoints, as `etcdctl` wants them.
    pub fn endpoints(&self) -> String {
        (0..self.members.len()).map(|index| self.endpoint(index)).collect::<Vec<_>>().join(",")
    }

    /// Where other members reach this one.
    pub fn peer_url(&self, index: usize) -> String {
        format!("https://{}:{}", self.host(index), self.members[index].peer_port)
    }

    /// A member's process, if it runs.
    pub fn pid(&self, index: usize) -> Option<u32> {
        Some(self.members[index].process.as_ref()?.id())
    }

    /// A file of the certificates.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The folder of a member's data.
    pub fn data(&self, index: usize) -> PathBuf {
        self.file(&format!("{}.data", self.members[index].name))
    }

    /// Puts a disk under the data of a member that does not run: an empty one, or again the one it had.
    pub fn mount(&mut self, index: usize) -> Disk {
        let folder = self.data(index);
        fs::create_dir_all(&folder).expect("a folder for the disk");
        let disk = self.members[index].disk.take().map_or_else(
            || Disk::new(Names::ByFolder),
            |(disk, mounted)| {
                mounted.unmount().expect("unmount the disk");
                disk
            },
        );
        let mounted = disk.mount(&folder).expect("mount a disk by /dev/fuse");
        self.members[index].disk = Some((disk.clone(), mounted));
        disk
    }

    /// What a member has printed so far.
    pub fn log(&self, index: usize) -> String {
        fs::read_to_string(self.file(&format!("{}.log", self.members[index].name))).unwrap_or_default()
    }

    /// A client of one member.
    pub async fn client(&self, index: usize) -> Client {
        Client::connect_to(self.folder.path(), self.endpoint(index), "client").await.expect("connect")
    }

    /// What a member says of itself, if it does.
    pub async fn status(&self, index: usize) -> Option<StatusResponse> {
        self.members[index].process.as_ref()?;
        // A member may listen and not answer yet.
        let asked = async {
            let connected = Client::connect_to(self.folder.path(), self.endpoint(index), "client").await;
            let mut client = connected.ok()?;
            client.maintenance.status(StatusRequest {}).await.ok()
        };
        Some(tokio::time::timeout(Duration::from_secs(2), asked).await.ok()??.into_inner())
    }

    /// The id of a member that runs.
    pub async fn id(&self, index: usize) -> u64 {
        let mut client = self.client(index).await;
        let listed = client.cluster.member_list(MemberListRequest { linearizable: false }).await.expect("list members");
        listed.into_inner().header.expect("a header").member_id
    }

    /// Waits until a majority of those that run agree on a leader that runs; which member it is.
    pub async fn leader(&self) -> usize {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let mut votes = Vec::new();
            let mut ids = Vec::new();
            for index in 0..self.members.len() {
                if let Some(status) = self.status(index).await {
                    let id = status.header.expect("a header").member_id;
                    ids.push((id, index));
                    votes.push(status.leader);
                }
            }
            for (id, index) in &ids {
                if votes.iter().filter(|vote| *vote == id).count() * 2 > ids.len() && ids.len() * 2 > self.voters() {
                    return *index;
                }
            }
            assert!(Instant::now() < deadline, "no leader: {votes:x?} of {ids:x?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn voters(&self) -> usize {
        self.members.iter().filter(|member| member.process.is_some()).count()
    }

    /// Starts a member.
    pub fn spawn(&mut self, index: usize) {
        let log = self.file(&format!("{}.log", self.members[index].name));
        let log = fs::OpenOptions::new().append(true).create(true).open(log).expect("a log file");
        let mut command = self.command(index);
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a log file")).stderr(log);
        self.members[index].process = Some(command.spawn().unwrap_or_else(|error| panic!("start {index}: {error}")));
    }

    fn command(&self, index: usize) -> Command {
        let member = &self.members[index];
        let mut command = command(self.kind);
        let (client, peer) = (self.endpoint(index), self.peer_url(index));
        let mut flags = member_flags(self.folder(), &member.name, &self.data(index), &client, &peer).to_vec();
        flags.push(("--initial-cluster-token", self.token.clone()));
        for (flag, value) in flags {
            if !member.flags.iter().any(|(name, _)| *name == flag) {
                command.arg(format!("{flag}={value}"));
            }
        }
        for (flag, value) in &member.flags {
            command.arg(format!("{flag}={value}"));
        }
        command.args(["--client-cert-auth", "--peer-client-cert-auth"]).args(&self.extra);
        match &self.network {
            Some(network) => network.command(index, &command),
            None => command,
        }
    }

    /// Waits until a member answers and sees a leader.
    pub async fn wait_until_ready(&mut self, index: usize) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let process = self.members[index].process.as_mut().expect("it was started");
            if let Some(status) = process.try_wait().expect("a child") {
                panic!("member {index} ended at its start with {status}:\n{}", self.log(index));
            }
            if self.status(index).await.is_some_and(|status| status.leader != 0) {
                return;
            }
            assert!(Instant::now() < deadline, "member {index} is not ready:\n{}", tail(&self.log(index)));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Whether a member's process runs.
    pub fn runs(&mut self, index: usize) -> bool {
        let process = self.members[index].process.as_mut();
        process.is_some_and(|process| process.try_wait().expect("a child").is_none())
    }

    /// Waits until a member's process has ended by itself; its exit code.
    pub async fn ended(&mut self, index: usize) -> Option<i32> {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let process = self.members[index].process.as_mut().expect("it was started");
            if let Some(status) = process.try_wait().expect("a child") {
                self.members[index].process = None;
                return status.code();
            }
            assert!(Instant::now() < deadline, "member {index} goes on:\n{}", tail(&self.log(index)));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// `kill -9`: nothing is flushed, nothing is said.
    pub fn kill(&mut self, index: usize) {
        if let Some(mut process) = self.members[index].process.take() {
            process.kill().expect("kill a member");
            if let Some((disk, _)) = &self.members[index].disk {
                // It may wait for it.
                disk.let_go();
            }
            process.wait().expect("the member has ended");
        }
    }

    /// Sends a signal, `TERM` for example.
    pub fn signal(&self, index: usize, signal: &str) {
        let pid = self.members[index].process.as_ref().expect("it runs").id().to_string();
        Command::new("kill").args([&format!("-{signal}"), &pid]).status().expect("kill is there");
    }

    /// Starts a member again and waits until it answers.
    pub async fn restart(&mut self, index: usize) {
        self.spawn(index);
        self.wait_until_ready(index).await;
    }

    /// The folder of certificates.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

impl Member {
    fn new(index: usize) -> Self {
        Self {
            name: format!("m{index}"),
            port: free_port(),
            peer_port: free_port(),
            flags: Vec::new(),
            process: None,
            disk: None,
        }
    }
}

fn tail(log: &str) -> String {
    let lines: Vec<_> = log.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for index in 0..self.members.len() {
            if let Some(mut process) = self.members[index].process.take() {
                let _ = process.kill();
                if let Some((disk, _)) = &self.members[index].disk {
                    disk.let_go();
                }
                let _ = process.wait();
            }
            self.members[index].disk.take();
            if std::thread::panicking() {
                eprintln!("last lines of member {index} of {:?}:\n{}", self.kind, tail(&self.log(index)));
            }
        }
    }
}
