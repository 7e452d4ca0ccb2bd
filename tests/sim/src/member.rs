//! One member: a runtime with a clock of its own, that can be killed, held still and made to run fast or slow.
//!
//! ```text
//!          start            ready
//!   Down ---------> Up --------------> Up, with a door
//!    ^               |                  |
//!    '---- kill -----+----- ended ------'      `ended`: it failed, or was removed; it is started again
//! ```

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clap::Parser;
use store::config::Config;
use store::flags::Flags;
use store::founding::PeerSide;
use store::node::Node;
use store::peers::reception;
use store::peers::service::Desk;
use tests_store::dice::Dice;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::watch;
use tonic::service::Routes;

use crate::ground::{Disk, Ground, host};
use crate::network::{Place, Switch};

/// Work on other threads that is under way when a member is killed may end within this, in real time.
const LAST_WORK: Duration = Duration::from_secs(20);

/// How all members of a simulation are set up.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Between heartbeats.
    pub heartbeat: Duration,
    /// Until an election.
    pub election: Duration,
    /// Entries between flushes.
    pub snapshot_count: u64,
    /// The members that found the cluster.
    pub founders: usize,
}

/// The way to a member for clients beside it.
#[derive(Clone)]
pub struct Door {
    /// Runs what is asked at the member.
    pub handle: Handle,
    /// Its services.
    pub routes: Routes,
}

/// What a member's main task tells about it.
#[derive(Default)]
struct Status {
    node: Option<(Arc<Node>, Routes)>,
    ended: Option<String>,
}

/// A member.
pub struct Member {
    place: Place,
    folder: PathBuf,
    /// How often it was started: each start has a folder of its own.
    starts: u32,
    /// Whether it was added to a cluster that exists.
    joins: bool,
    /// Seconds of its clock in one of the world's.
    pub rate: f64,
    /// Time it missed standing still.
    missed: Duration,
    /// Whether it stands still.
    pub still: bool,
    /// Its disk.
    pub disk: Disk,
    running: Option<Running>,
}

struct Running {
    runtime: Runtime,
    status: Arc<Mutex<Status>>,
    stop: watch::Sender<bool>,
}

impl Member {
    /// A member whose data will be in a folder of `folder`.
    pub fn new(place: Place, folder: &Path, dice: Dice) -> Self {
        Self {
            place,
            folder: folder.join(host(place)),
            starts: 0,
            joins: false,
            rate: 1.0,
            missed: Duration::ZERO,
            still: false,
            disk: Disk::new(dice),
            running: None,
        }
    }

    fn data(&self) -> PathBuf {
        self.folder.join(self.starts.to_string())
    }

    /// Forgets everything: what starts here next is a new member, that was added to the cluster.
    pub fn wipe(&mut self) -> io::Result<()> {
        self.joins = true;
        match fs::remove_dir_all(self.data()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn config(&self, setup: &Setup, places: &[Place]) -> Config {
        let url = |place: Place| format!("http://{}:2380", host(place));
        let cluster: Vec<_> = places.iter().map(|place| format!("{}={}", host(*place), url(*place))).collect();
        let flags = [
            "store".to_owned(),
            format!("--name={}", host(self.place)),
            format!("--data-dir={}", self.data().display()),
            "--listen-client-urls=http://127.0.0.1:2379".to_owned(),
            format!("--advertise-client-urls=http://{}:2379", host(self.place)),
            "--listen-peer-urls=http://127.0.0.1:2380".to_owned(),
            format!("--initial-advertise-peer-urls={}", url(self.place)),
            format!("--initial-cluster={}", cluster.join(",")),
            format!("--initial-cluster-state={}", if self.joins { "existing" } else { "new" }),
            format!("--heartbeat-interval={}", setup.heartbeat.as_millis()),
            format!("--election-timeout={}", setup.election.as_millis()),
            format!("--snapshot-count={}", setup.snapshot_count),
            "--watch-progress-notify-interval=5s".to_owned(),
        ];
        let flags = Flags::try_parse_from(flags).expect("the flags of a simulated member");
        Config::check(flags).expect("the settings of a simulated member")
    }

    /// Starts it, unless it runs. `places` are those of the cluster's members.
    pub fn start(&mut self, setup: &Setup, switch: &Switch, places: &[Place]) {
        if self.running.is_some() {
            return;
        }
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
        let (status, ground) = (Arc::<Mutex<Status>>::default(), self.ground(switch));
        let (stop, stopping) = watch::channel(false);
        let wires = switch.listen(self.place);
        let (config, told) = (self.config(setup, places), Arc::clone(&status));
        runtime.spawn(async move {
            let side = PeerSide { desk: Arc::new(Desk::default()), tls: None, host: Arc::new(ground) };
            reception::serve_incoming(&side.desk, wires, stopping.clone());
            let outcome = live(config, &side, stopping, &told).await;
            let mut status = told.lock().unwrap_or_else(PoisonError::into_inner);
            (status.node, status.ended) = (None, Some(outcome));
        });
        self.running = Some(Running { runtime, status, stop });
    }

    fn ground(&self, switch: &Switch) -> Ground {
        Ground { place: self.place, switch: switch.clone(), disk: self.disk.clone() }
    }

    /// Lets `span` of the world's time pass. Why it ended, if it did.
    pub fn run(&mut self, span: Duration) -> Option<String> {
        let running = self.running.as_ref()?;
        let span = span.mul_f64(self.rate);
        if self.still {
            self.missed += span;
            return None;
        }
        let missed = std::mem::take(&mut self.missed);
        running.runtime.block_on(async {
            if !missed.is_zero() {
                tokio::time::advance(missed).await;
            }
            tokio::time::sleep(span).await;
        });
        running.status.lock().unwrap_or_else(PoisonError::into_inner).ended.take()
    }

    /// Its clock stood still as long as it did, as that of a suspended machine does.
    pub fn forget_missed(&mut self) {
        self.missed = Duration::ZERO;
    }

    /// Whether it was started.
    pub fn is_up(&self) -> bool {
        self.running.is_some()
    }

    /// The way in, once it serves.
    pub fn door(&self) -> Option<Door> {
        let running = self.running.as_ref()?;
        let status = running.status.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, routes) = status.node.as_ref()?;
        Some(Door { handle: running.runtime.handle().clone(), routes: routes.clone() })
    }

    /// Its node, once it serves.
    pub fn node(&self) -> Option<Arc<Node>> {
        let running = self.running.as_ref()?;
        let status = running.status.lock().unwrap_or_else(PoisonError::into_inner);
        status.node.as_ref().map(|(node, _)| Arc::clone(node))
    }

    /// Asks it to stop in order.
    pub fn stop(&self) {
        if let Some(running) = &self.running {
            running.stop.send_replace(true);
        }
    }

    /// Ends it where it stands: what was not on its disk is lost.
    pub fn kill(&mut self, switch: &Switch) -> io::Result<()> {
        let Some(running) = self.running.take() else { return Ok(()) };
        switch.hang_up(self.place);
        let before = self.data();
        self.starts += 1;
        fs::create_dir_all(&before)?;
        // Closing a database writes down what it has in memory; whoever dies does not.
        copy_again(&before, &self.data())?;
        running.status.lock().unwrap_or_else(PoisonError::into_inner).node = None;
        running.runtime.shutdown_timeout(LAST_WORK);
        (self.still, self.missed) = (false, Duration::ZERO);
        remove_again(&before)
    }
}

/// A member from its start to its end; why it ended.
async fn live(config: Config, side: &PeerSide, mut stopping: watch::Receiver<bool>, status: &Mutex<Status>) -> String {
    let node = tokio::select! {
        node = Node::start(config, side) => node,
        () = told_to_stop(&mut stopping) => return "it was stopped".to_owned(),
    };
    let node = match node {
        Ok(node) => node,
        Err(error) => return format!("it could not start: {}", chain::Chain(&error)),
    };
    let routes = store::grpc::routes(&node);
    status.lock().unwrap_or_else(PoisonError::into_inner).node = Some((Arc::clone(&node), routes));
    let published = async {
        if let Err(refusal) = node.publish().await {
            tracing::info!(%refusal, "the member could not make itself known");
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = published => String::new(),
        () = node.removed() => "it was removed".to_owned(),
        reason = node.poison.reason() => reason.to_owned(),
        () = told_to_stop(&mut stopping) => match node.stop().await {
            Ok(()) => "it was stopped".to_owned(),
            Err(error) => format!("it could not be stopped: {error}"),
        },
    }
}

async fn told_to_stop(stopping: &mut watch::Receiver<bool>) {
    // The sender goes with the member.
    drop(stopping.wait_for(|stopping| *stopping).await);
}

/// Removes a folder whose database may still be closing.
fn remove_again(folder: &Path) -> io::Result<()> {
    for _ in 0..1000 {
        match fs::remove_dir_all(folder) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
                std::thread::sleep(Duration::from_millis(1));
            }
            result => return result,
        }
    }
    Err(io::Error::other("the folder of a dead member is still in use"))
}

/// Copies a folder as it is. Files of databases come and go meanwhile: then it begins again.
fn copy_again(from: &Path, to: &Path) -> io::Result<()> {
    for _ in 0..100 {
        match copy(from, to) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => fs::remove_dir_all(to)?,
            result => return result,
        }
    }
    Err(io::Error::other("a folder changes faster than it can be copied"))
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    fs::set_permissions(to, fs::metadata(from)?.permissions())?;
    let mut paths: Vec<_> =
        fs::read_dir(from)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    let name = |path: &Path| path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
    // What names other files comes first: what it names is there, and more.
    let rank = |path: &PathBuf| match name(path) {
        name if name.starts_with("CURRENT") => 0,
        name if name.starts_with("MANIFEST") => 1,
        _ => 2,
    };
    paths.sort_by_key(rank);
    for path in paths {
        let name = name(&path);
        if matches!(&name[..], "LOCK" | "LOG") || name.starts_with("LOG.old") {
            continue;
        }
        let target = to.join(&name);
        if path.is_dir() {
            copy(&path, &target)?;
        } else if name == "reserve" || path.extension().is_some_and(|kind| kind == "sst") {
            fs::hard_link(&path, &target)?;
        } else {
            fs::copy(&path, &target)?;
        }
    }
    Ok(())
}
