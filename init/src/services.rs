//! The processes of the services: starting them, their groups, and the rings that hold what they print.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use init_core::arguments;
use init_core::boot::{ARGUMENTS, Arguments, PROGRAMS, Spec};
use init_core::confinement::{COMMON, Family, Files};
use init_core::console::Level;
use init_core::ids::{Pid, ServiceId, Uptime};
use init_core::log::{Ring, Splitter};
use init_sys::cgroup::{Bounds, Group, Tree};
use init_sys::child::{self, Child, Program};
use init_sys::confine;

use crate::set_up::NOTIFY_SOCKET;

/// Bytes of output kept per service: some thousand lines.
const RING_BYTES: usize = 512 * 1024;

/// The most that is read from one service in one turn of the loop, so that a service that floods its output slows down
/// itself and nobody else.
const READ_LIMIT: usize = 64 * 1024;

/// The environment of every service besides the socket and the log level.
const ENVIRONMENT: [(&str, &str); 2] = [("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"), ("HOME", "/")];

/// Why a service has no new process.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error("its arguments {path} are not written yet")]
    NoArguments { path: String },
    #[error("cannot read its arguments {path}")]
    ReadArguments { path: String, source: io::Error },
    #[error("its arguments {path} are malformed")]
    BadArguments { path: String, source: arguments::ArgumentsError },
    #[error("cannot set its group up")]
    Group { source: io::Error },
    #[error("cannot run {path}")]
    Spawn { path: String, source: io::Error },
}

/// What exists outside of this process for each service.
#[derive(Debug)]
pub(crate) struct Services {
    table: &'static [Spec],
    tree: Option<Tree>,
    memory: u64,
    level: Level,
    slots: Vec<Slot>,
}

/// One service's part.
#[derive(Debug)]
struct Slot {
    group: Option<Group>,
    /// The first process of the last start: the leader of its session.
    leader: Option<Pid>,
    output: Option<File>,
    splitter: Splitter,
    ring: Ring,
}

impl Services {
    /// Nothing runs yet.
    pub(crate) fn new(table: &'static [Spec], tree: Option<Tree>, level: Level) -> Self {
        let system = rustix::system::sysinfo();
        let memory = u64::from(system.mem_unit) * system.totalram as u64;
        let slot = |_: &Spec| Slot {
            group: None,
            leader: None,
            output: None,
            splitter: Splitter::default(),
            ring: Ring::new(RING_BYTES),
        };
        Self { table, tree, memory, level, slots: table.iter().map(slot).collect() }
    }

    /// Starts the main process of a service.
    pub(crate) fn start(&mut self, id: ServiceId) -> Result<Pid, StartError> {
        let spec = &self.table[id.0];
        let arguments = read_arguments(spec)?;
        let slot = &mut self.slots[id.0];
        if let Some(tree) = &self.tree {
            let limits = spec.memory.limits(self.memory);
            let bounds = Bounds { memory_high: limits.high, memory_max: limits.max, tasks: spec.tasks };
            slot.group = Some(tree.group(spec.name, &bounds).map_err(|source| StartError::Group { source })?);
        }
        let path = format!("{PROGRAMS}/{}", spec.name);
        let own = [("NOTIFY_SOCKET", NOTIFY_SOCKET), ("ORLOP_LOG", self.level.word())];
        let environment: Vec<(&str, &OsStr)> =
            ENVIRONMENT.into_iter().chain(own).map(|(name, value)| (name, OsStr::new(value))).collect();
        let row = &spec.confinement;
        let capabilities: Vec<u8> = row.capabilities.iter().map(|capability| capability.number()).collect();
        let readable = match row.files {
            Files::AsItsUser => Vec::new(),
            Files::Only { read, .. } => [COMMON, read].concat(),
        };
        let sockets: Vec<confine::Family> = row.sockets.iter().copied().map(family).collect();
        let program = Program {
            path: Path::new(&path),
            arguments: &arguments,
            environment: &environment,
            group: slot.group.as_ref().map(Group::entry),
            oom_score: spec.oom_score,
            confinement: confine::Confinement {
                id: row.account.id,
                capabilities: &capabilities,
                files: match row.files {
                    Files::AsItsUser => None,
                    Files::Only { write, .. } => Some(confine::Files { read: &readable, write }),
                },
                listens: row.listens,
                connects: row.connects,
                sockets: &sockets,
                allowed: row.allowed,
                forbidden: row.forbidden,
                starts_programs: row.starts_programs,
                open_files: row.open_files,
            },
        };
        let Child { pid, output } = child::spawn(&program).map_err(|source| StartError::Spawn { path, source })?;
        slot.leader = Some(Pid(pid));
        slot.output = Some(File::from(output));
        Ok(Pid(pid))
    }

    /// The pipe that a service writes to.
    pub(crate) fn output(&self, id: ServiceId) -> Option<BorrowedFd<'_>> {
        self.slots.get(id.0)?.output.as_ref().map(AsFd::as_fd)
    }

    /// Reads what a service has printed, at most [`READ_LIMIT`] bytes, and gives each line to `shown`, too.
    ///
    /// Returns whether there may be more to read now.
    pub(crate) fn read_output(&mut self, id: ServiceId, now: Uptime, mut shown: impl FnMut(&str)) -> bool {
        let Some(Slot { output, splitter, ring, .. }) = self.slots.get_mut(id.0) else { return false };
        let mut keep = |line: String| {
            shown(&line);
            ring.push(now, line);
        };
        let mut buffer = [0_u8; 8192];
        let mut total = 0;
        while let Some(file) = output.as_mut().filter(|_| total < READ_LIMIT) {
            match file.read(&mut buffer) {
                Ok(length) if length > 0 => {
                    total += length;
                    splitter.feed(&buffer[..length], &mut keep);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The end of the pipe: nobody holds its other side. Closing it takes it out of the event loop, too.
                Ok(_) | Err(_) => {
                    *output = None;
                    splitter.finish(&mut keep);
                }
            }
        }
        output.is_some()
    }

    /// SIGKILL to every process of a service.
    pub(crate) fn kill(&self, id: ServiceId) -> io::Result<()> {
        let slot = &self.slots[id.0];
        match (&slot.group, slot.leader) {
            (Some(group), _) => group.kill(),
            (None, Some(leader)) => child::kill_process_group(leader.0).map(|_| ()),
            (None, None) => Ok(()),
        }
    }

    /// Whether any process of a service is left.
    pub(crate) fn is_populated(&self, id: ServiceId) -> bool {
        let slot = &self.slots[id.0];
        match (&slot.group, slot.leader) {
            (Some(group), _) => group.is_populated(),
            (None, Some(leader)) => child::process_group_exists(leader.0),
            (None, None) => false,
        }
    }

    /// Bytes of memory that a service uses.
    pub(crate) fn memory(&self, id: ServiceId) -> Option<u64> {
        self.slots.get(id.0)?.group.as_ref()?.memory()
    }

    /// The log of a service.
    pub(crate) fn ring(&self, id: ServiceId) -> Option<&Ring> {
        self.slots.get(id.0).map(|slot| &slot.ring)
    }

    /// The name of a service.
    pub(crate) fn name(&self, id: ServiceId) -> &'static str {
        self.table.get(id.0).map_or("", |spec| spec.name)
    }

    /// Every service.
    pub(crate) fn ids(&self) -> impl Iterator<Item = ServiceId> + use<> {
        (0..self.slots.len()).map(ServiceId)
    }
}

const fn family(family: Family) -> confine::Family {
    match family {
        Family::Unix => confine::Family::Unix,
        Family::Inet => confine::Family::Inet,
        Family::Inet6 => confine::Family::Inet6,
        Family::Netlink => confine::Family::Netlink,
    }
}

fn read_arguments(spec: &Spec) -> Result<Vec<String>, StartError> {
    let path = format!("{ARGUMENTS}/{}.args", spec.name);
    let content = File::open(&path).and_then(|file| {
        let mut content = Vec::new();
        // One byte more than allowed tells a file that is too large from one that just fits.
        file.take(arguments::FILE_LIMIT as u64 + 1).read_to_end(&mut content)?;
        Ok(content)
    });
    match content {
        Ok(content) => arguments::parse(&content).map_err(|source| StartError::BadArguments { path, source }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => match spec.arguments {
            Arguments::Optional => Ok(Vec::new()),
            Arguments::Required => Err(StartError::NoArguments { path }),
        },
        Err(source) => Err(StartError::ReadArguments { path, source }),
    }
}

#[cfg(test)]
mod tests {
    use init_core::system_calls::{FORBIDDEN, MACHINE};
    use init_sys::confine::is_system_call;

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn the_kernel_has_every_call_of_the_lists() {
        for name in MACHINE.iter().chain(FORBIDDEN).flat_map(|group| group.iter()) {
            assert!(is_system_call(name), "{name}");
        }
    }
}
