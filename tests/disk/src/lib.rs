//! A disk that forgets: a file system in memory that knows what was flushed, for tests of programs that promise to keep
//! what they were given.
//!
//! It is mounted by FUSE, so the program under test is the real one and knows nothing of it. Every change (a write, a new
//! name, a flush) is a *point*, and the disk can be told to stand still in front of any of them: the test then kills the
//! program ([`Disk::let_go`]), and, when it means a power cut, takes away what was not flushed ([`Disk::cut_power`]).
//! Flushes can also be held back, or fail.

mod file;
mod fuse;
mod tree;

use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fuser::{Config, MountOption, ReplyEmpty};

pub use tree::Names;
use tree::{Number, Tree};

/// A disk. It keeps its content while it is not mounted.
#[derive(Clone)]
pub struct Disk(Arc<Shared>);

struct Shared {
    inner: Mutex<Inner>,
    changed: Condvar,
}

struct Inner {
    tree: Tree,
    points: u64,
    stop_at: Option<u64>,
    standing: Standing,
    flushes: Flushes,
    held: Vec<(Flush, ReplyEmpty)>,
}

/// Whether the disk does what it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Goes,
    /// Whoever asks waits.
    Stands,
    /// Whoever asks is refused.
    Gone,
}

/// What becomes of flushes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flushes {
    Done,
    Held,
    Refused,
}

/// What is to be flushed.
#[derive(Debug, Clone, Copy)]
enum Flush {
    File(Number),
    Folder(Number),
}

impl Inner {
    fn flush(&mut self, flush: Flush) -> Result<(), tree::Refusal> {
        match flush {
            Flush::File(number) => self.tree.flush_file(number),
            Flush::Folder(number) => {
                self.tree.flush_folder(number);
                Ok(())
            }
        }
    }
}

/// A disk in use; unmounted when dropped.
pub struct Mounted {
    disk: Disk,
    session: Option<fuser::BackgroundSession>,
}

impl Disk {
    /// An empty one.
    #[must_use]
    pub fn new(names: Names) -> Self {
        let inner = Inner {
            tree: Tree::new(names),
            points: 0,
            stop_at: None,
            standing: Standing::Goes,
            flushes: Flushes::Done,
            held: Vec::new(),
        };
        Self(Arc::new(Shared { inner: Mutex::new(inner), changed: Condvar::new() }))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Mounts it on a folder. Needs `/dev/fuse`, and root or `fusermount3`.
    pub fn mount(&self, folder: &Path) -> io::Result<Mounted> {
        {
            let mut inner = self.inner();
            (inner.standing, inner.stop_at, inner.flushes) = (Standing::Goes, None, Flushes::Done);
        }
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("orlop-test-disk".to_owned()), MountOption::NoAtime];
        let session = fuser::spawn_mount(fuse::Driver(self.clone()), folder, &config)?;
        Ok(Mounted { disk: self.clone(), session: Some(session) })
    }

    /// How many points there were.
    #[must_use]
    pub fn points(&self) -> u64 {
        self.inner().points
    }

    /// Stands still in front of the next point but `points`.
    pub fn stop_in(&self, points: u64) {
        let mut inner = self.inner();
        inner.stop_at = Some(inner.points + 1 + points);
    }

    /// Waits until it stands still; whether it does.
    #[must_use]
    pub fn stands_within(&self, at_most: Duration) -> bool {
        let waited = self.0.changed.wait_timeout_while(self.inner(), at_most, |inner| inner.standing == Standing::Goes);
        waited.unwrap_or_else(PoisonError::into_inner).0.standing == Standing::Stands
    }

    /// Refuses whoever waits and everything from now on, until it is mounted again: to be called when the program was sent
    /// its end, which comes when it waits no more.
    pub fn let_go(&self) {
        let mut inner = self.inner();
        inner.standing = Standing::Gone;
        for (_, reply) in inner.held.drain(..) {
            reply.error(fuser::Errno::EIO);
        }
        self.0.changed.notify_all();
    }

    /// Takes away what was not flushed, but for those pieces of it for which `keep` says yes. Not while it is mounted.
    pub fn cut_power(&self, mut keep: impl FnMut() -> bool) {
        self.inner().tree.cut_power(&mut keep);
    }

    /// From now on nobody who flushes gets an answer; everything else goes on.
    pub fn hold_flushes(&self) {
        self.inner().flushes = Flushes::Held;
    }

    /// From now on flushing fails.
    pub fn refuse_flushes(&self) {
        self.inner().flushes = Flushes::Refused;
    }

    /// Flushing works again, also for those who wait.
    pub fn resume_flushes(&self) {
        let mut inner = self.inner();
        inner.flushes = Flushes::Done;
        for (flush, reply) in std::mem::take(&mut inner.held) {
            match inner.flush(flush) {
                Ok(()) => reply.ok(),
                Err(refusal) => reply.error(fuse::code(refusal)),
            }
        }
    }
}

impl Mounted {
    /// Unmounts it. Nobody may use it any more.
    pub fn unmount(mut self) -> io::Result<()> {
        self.disk.let_go();
        match self.session.take().map_or(Ok(()), fuser::BackgroundSession::umount_and_join) {
            // The kernel took leave first.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => Ok(()),
            ended => ended,
        }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Whoever waits must not wait for ever; the session unmounts when it is dropped.
        self.disk.let_go();
    }
}
