//! The tree of control groups: one group per service, with bounds, killed as a whole.
//!
//! ```text
//!   <root>/init            PID 1 itself
//!   <root>/services/<name> one service with everything it forks
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

/// Controllers that groups of services get; one that the kernel does not have is left out and reported.
const CONTROLLERS: [&str; 4] = ["cpu", "io", "memory", "pids"];

/// Bounds of one group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of memory above which the group is slowed down.
    pub memory_high: u64,
    /// Bytes of memory above which the group is killed.
    pub memory_max: u64,
    /// The most processes and threads.
    pub tasks: u32,
}

/// The tree, with PID 1 in its own group.
#[derive(Debug)]
pub struct Tree {
    services: PathBuf,
    missing: Vec<&'static str>,
}

impl Tree {
    /// Sets the tree up below `root` (a mounted cgroup2) and moves the calling process into its own group.
    pub fn set_up(root: &Path) -> io::Result<Self> {
        let own = root.join("init");
        let services = root.join("services");
        make(&own)?;
        make(&services)?;
        fs::write(own.join("cgroup.procs"), "0")?;
        let missing = CONTROLLERS
            .into_iter()
            .filter(|controller| {
                [root, &services]
                    .iter()
                    .any(|level| fs::write(level.join("cgroup.subtree_control"), format!("+{controller}")).is_err())
            })
            .collect();
        Ok(Self { services, missing })
    }

    /// Controllers that could not be enabled.
    #[must_use]
    pub fn missing(&self) -> &[&'static str] {
        &self.missing
    }

    /// The group of a service, made if need be. A bound whose controller is missing is skipped.
    pub fn group(&self, name: &str, bounds: &Bounds) -> io::Result<Group> {
        let directory = self.services.join(name);
        make(&directory)?;
        let settings = [
            ("memory.high", bounds.memory_high.to_string()),
            ("memory.max", bounds.memory_max.to_string()),
            // When the bound is hit the whole service goes and comes back, instead of losing one thread's process.
            ("memory.oom.group", "1".to_owned()),
            ("pids.max", bounds.tasks.to_string()),
        ];
        for (file, value) in settings {
            let path = directory.join(file);
            if path.exists() {
                fs::write(path, value)?;
            }
        }
        let entry = OpenOptions::new().write(true).open(directory.join("cgroup.procs"))?;
        Ok(Group { directory, entry })
    }
}

/// The group of one service.
#[derive(Debug)]
pub struct Group {
    directory: PathBuf,
    entry: File,
}

impl Group {
    /// A process that writes `0` to this file joins the group.
    #[must_use]
    pub fn entry(&self) -> BorrowedFd<'_> {
        self.entry.as_fd()
    }

    /// SIGKILL to every process in the group, including those it forks meanwhile.
    pub fn kill(&self) -> io::Result<()> {
        OpenOptions::new().write(true).open(self.directory.join("cgroup.kill"))?.write_all(b"1")
    }

    /// Whether any process is in the group. `true` if that cannot be read: better late than twice.
    #[must_use]
    pub fn is_populated(&self) -> bool {
        fs::read_to_string(self.directory.join("cgroup.events"))
            .map_or(true, |events| !events.lines().any(|line| line == "populated 0"))
    }

    /// The working set in bytes: all memory that the group uses, page cache included, without the part of the page cache
    /// that was not used lately and can be dropped at once.
    #[must_use]
    pub fn memory(&self) -> Option<u64> {
        let current: u64 = fs::read_to_string(self.directory.join("memory.current")).ok()?.trim().parse().ok()?;
        let details = fs::read_to_string(self.directory.join("memory.stat")).unwrap_or_default();
        let droppable = details.lines().find_map(|line| line.strip_prefix("inactive_file ")?.parse().ok());
        Some(current.saturating_sub(droppable.unwrap_or(0)))
    }
}

/// The name of the service whose group this process is in, if it is in one.
#[must_use]
pub fn service_of(pid: u32) -> Option<String> {
    service_in(&fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?)
}

/// Reads `/proc/<pid>/cgroup`: the line `0::/services/<name>` or one below it.
fn service_in(groups: &str) -> Option<String> {
    let path = groups.lines().find_map(|line| line.strip_prefix("0::/services/"))?;
    path.split('/').next().filter(|name| !name.is_empty()).map(str::to_owned)
}

fn make(directory: &Path) -> io::Result<()> {
    match fs::create_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { memory_high: 1000, memory_max: 2000, tasks: 7 };

    /// A directory that looks like a mounted cgroup2, except that nothing happens.
    fn fake() -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a directory");
        for name in ["", "init", "services", "services/store"] {
            let directory = root.path().join(name);
            make(&directory).expect("a directory");
            for file in ["cgroup.subtree_control", "cgroup.procs"] {
                fs::write(directory.join(file), "").expect("a file");
            }
        }
        root
    }

    #[test]
    fn bounds_are_written_where_the_kernel_has_them() {
        let root = fake();
        let group_directory = root.path().join("services/store");
        fs::write(group_directory.join("memory.max"), "max").expect("a file");
        fs::write(group_directory.join("memory.current"), "4096\n").expect("a file");
        fs::write(group_directory.join("cgroup.kill"), "").expect("a file");
        let tree = Tree::set_up(root.path()).expect("a tree");
        assert!(tree.missing().is_empty());
        let group = tree.group("store", &BOUNDS).expect("a group");
        assert_eq!(fs::read_to_string(group_directory.join("memory.max")).expect("a file"), "2000");
        assert!(!group_directory.join("pids.max").exists(), "a missing controller is skipped");
        assert_eq!(group.memory(), Some(4096));
        fs::write(group_directory.join("memory.stat"), "anon 1\ninactive_file 1000\nactive_file 7\n").expect("a file");
        assert_eq!(group.memory(), Some(3096));
        group.kill().expect("an order to kill");
        assert_eq!(fs::read_to_string(group_directory.join("cgroup.kill")).expect("a file"), "1");
    }

    #[test]
    fn a_group_counts_as_full_until_it_is_known_to_be_empty() {
        let root = fake();
        let group = Tree::set_up(root.path()).and_then(|tree| tree.group("store", &BOUNDS)).expect("a group");
        assert!(group.is_populated(), "no file to read");
        let events = root.path().join("services/store/cgroup.events");
        fs::write(&events, "populated 1\nfrozen 0\n").expect("a file");
        assert!(group.is_populated());
        fs::write(&events, "populated 0\nfrozen 0\n").expect("a file");
        assert!(!group.is_populated());
    }

    #[test]
    fn controllers_that_are_not_there_are_reported() {
        let root = fake();
        fs::remove_file(root.path().join("services/cgroup.subtree_control")).expect("removed");
        fs::create_dir(root.path().join("services/cgroup.subtree_control")).expect("a directory in its place");
        assert_eq!(Tree::set_up(root.path()).expect("a tree").missing(), CONTROLLERS);
    }

    #[test]
    fn a_process_is_found_by_its_group() {
        assert_eq!(service_in("1:name=systemd:/x\n0::/services/store/inner\n").as_deref(), Some("store"));
        assert_eq!(service_in("0::/init\n"), None);
        assert_eq!(service_in("0::/services/\n"), None);
        assert_eq!(service_of(u32::MAX), None);
    }
}
