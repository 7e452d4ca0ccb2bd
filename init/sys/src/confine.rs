//! What a process loses for good before it runs a program: its user, powers, files, ports, and system calls.
//!
//! [`Jail::build`] prepares everything that needs memory in the parent; [`Jail::enter`] only makes system calls.

use std::io;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, NetPort, PathBeneath, PathFd, Ruleset,
    RulesetAttr, RulesetCreated, RulesetCreatedAttr, Scope,
};
use nix::libc;
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::thread::{
    CapabilitySet, Gid, Uid, remove_capability_from_bounding_set, set_no_new_privs, set_thread_groups,
    set_thread_res_gid, set_thread_res_uid,
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};
use syscalls::Sysno;

/// The rights that are known here, those of Linux 6.12. An older kernel enforces those that it knows.
const KNOWN: ABI = ABI::V6;

/// What a program may do.
#[derive(Debug, Clone, Copy)]
pub struct Confinement<'a> {
    /// Its user and its only group. With 0 it stays root.
    pub id: u32,
    /// Parts of root's power that it keeps, by the kernel's numbers. Without effect unless it is root.
    pub capabilities: &'a [u8],
    /// Files that it reaches; `None` for all that its user may.
    pub files: Option<Files<'a>>,
    /// TCP ports it may listen on.
    pub listens: &'a [u16],
    /// TCP ports it may connect to; `None` for all.
    pub connects: Option<&'a [u16]>,
    /// Families of sockets it may make, by the kernel's numbers.
    pub sockets: &'a [Family],
    /// Names of the system calls that work. Others fail as unknown.
    pub allowed: &'a [&'a [&'a str]],
    /// Names of the system calls that end it.
    pub forbidden: &'a [&'a [&'a str]],
    /// Whether it may start processes and make memory executable.
    pub starts_programs: bool,
    /// The most descriptors it may have open.
    pub open_files: u64,
}

/// Files besides its own program.
#[derive(Debug, Clone, Copy)]
pub struct Files<'a> {
    /// To read. One that is missing is left out.
    pub read: &'a [&'a str],
    /// To do anything in but run programs. All of them exist.
    pub write: &'a [&'a str],
}

/// A family of sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// `AF_UNIX`
    Unix,
    /// `AF_INET`
    Inet,
    /// `AF_INET6`
    Inet6,
    /// `AF_NETLINK`
    Netlink,
}

impl Family {
    const fn number(self) -> u64 {
        let number = match self {
            Self::Unix => libc::AF_UNIX,
            Self::Inet => libc::AF_INET,
            Self::Inet6 => libc::AF_INET6,
            Self::Netlink => libc::AF_NETLINK,
        };
        number.unsigned_abs() as u64
    }
}

/// Why a program cannot be confined.
#[derive(Debug, thiserror::Error)]
pub enum JailError {
    /// A path that it needs cannot be opened.
    #[error("open {}", path.display())]
    Path {
        /// The path.
        path: PathBuf,
        /// The cause.
        source: landlock::PathFdError,
    },
    /// The rules for files and ports cannot be made.
    #[error("make the rules for files and ports")]
    Rules(#[source] landlock::RulesetError),
    /// The filter of system calls cannot be made.
    #[error("make the filter of system calls")]
    Filter(#[source] seccompiler::BackendError),
}

/// Whether this kernel enforces every rule for files and ports that is made here. One that does not enforces what it knows.
#[must_use]
pub fn enforces_all_rules() -> bool {
    let make = || {
        let rules = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
        let rules = rules.handle_access(AccessFs::from_all(KNOWN))?.handle_access(AccessNet::from_all(KNOWN))?;
        rules.scope(Scope::from_all(KNOWN))?.create()
    };
    make().is_ok()
}

/// Whether this architecture has a system call of this name.
#[must_use]
pub fn is_system_call(name: &str) -> bool {
    number(name).is_some()
}

/// Everything that is taken from a program, ready to be put into force.
#[derive(Debug)]
pub(crate) struct Jail {
    id: u32,
    kept: CapabilitySet,
    open_files: u64,
    /// Taken by [`Jail::enter`].
    rules: Option<RulesetCreated>,
    /// In the order in which they are put into force: the one that takes the most comes last.
    filters: Vec<BpfProgram>,
}

impl Jail {
    /// Prepares it for the program at `path`.
    pub(crate) fn build(path: &Path, confinement: &Confinement<'_>) -> Result<Self, JailError> {
        let kept = confinement.capabilities.iter().fold(0, |set: u64, number| set | 1 << number);
        Ok(Self {
            id: confinement.id,
            kept: CapabilitySet::from_bits_retain(kept),
            open_files: confinement.open_files,
            rules: Some(rules(path, confinement)?),
            filters: filters(confinement).map_err(JailError::Filter)?,
        })
    }

    /// Puts it into force on the calling thread, for good. System calls only: nothing is allocated. Once.
    pub(crate) fn enter(&mut self) -> io::Result<()> {
        // What a service holds in memory is not for disks; what it needs at once is never locked there.
        for (resource, most) in [(Resource::Core, 0), (Resource::Memlock, 0), (Resource::Nofile, self.open_files)] {
            lower(resource, most)?;
        }
        // While root still has the power to: a program that root runs gets what is left of this set, any other nothing.
        drop_capabilities(self.kept)?;
        if self.id != 0 {
            let (user, group) = (Uid::from_raw(self.id), Gid::from_raw(self.id));
            set_thread_groups(&[])?;
            set_thread_res_gid(group, group, group)?;
            set_thread_res_uid(user, user, user)?;
        }
        set_no_new_privs(true)?;
        if let Some(rules) = self.rules.take() {
            // An error without its details, which would take memory.
            rules.restrict_self().map_err(|_| Errno::PERM)?;
        }
        for filter in &self.filters {
            seccompiler::apply_filter(filter).map_err(|_| Errno::PERM)?;
        }
        Ok(())
    }
}

/// Sets a limit, unless it is lower already: in a container the manager's limits stay.
fn lower(resource: Resource, most: u64) -> io::Result<()> {
    let now = rustix::process::getrlimit(resource);
    let most = now.maximum.map_or(most, |maximum| maximum.min(most));
    Ok(setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?)
}

/// Takes all others out of the bounding set. Stops at the last capability that the kernel knows.
fn drop_capabilities(kept: CapabilitySet) -> io::Result<()> {
    for number in 0..64 {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        if kept.contains(capability) {
            continue;
        }
        match remove_capability_from_bounding_set(capability) {
            Ok(()) => {}
            Err(Errno::INVAL) => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn rules(program: &Path, confinement: &Confinement<'_>) -> Result<RulesetCreated, JailError> {
    let all = AccessFs::from_all(KNOWN);
    let make = || -> Result<RulesetCreated, landlock::RulesetError> {
        let mut rules = Ruleset::default().set_compatibility(CompatLevel::BestEffort).scope(Scope::from_all(KNOWN))?;
        rules = rules.handle_access(AccessNet::BindTcp)?;
        if confinement.connects.is_some() {
            rules = rules.handle_access(AccessNet::ConnectTcp)?;
        }
        if confinement.files.is_some() {
            rules = rules.handle_access(all)?;
        }
        let mut rules = rules.create()?;
        for port in confinement.listens {
            rules = rules.add_rule(NetPort::new(*port, AccessNet::BindTcp))?;
        }
        for port in confinement.connects.unwrap_or_default() {
            rules = rules.add_rule(NetPort::new(*port, AccessNet::ConnectTcp))?;
        }
        Ok(rules)
    };
    let mut rules = make().map_err(JailError::Rules)?;
    let Some(files) = confinement.files else { return Ok(rules) };
    let beneath = |rules: RulesetCreated, path: &Path, access: BitFlags<AccessFs>| {
        let opened = PathFd::new(path).map_err(|source| JailError::Path { path: path.to_owned(), source })?;
        // A file takes only the rights that there are to files.
        let access = if path.is_dir() { access } else { access & AccessFs::from_file(KNOWN) };
        rules.add_rule(PathBeneath::new(opened, access)).map_err(JailError::Rules)
    };
    rules = beneath(rules, program, AccessFs::Execute | AccessFs::ReadFile)?;
    for path in files.read.iter().map(Path::new).filter(|path| path.exists()) {
        rules = beneath(rules, path, AccessFs::ReadFile | AccessFs::ReadDir)?;
    }
    for path in files.write {
        let never = AccessFs::Execute | AccessFs::MakeBlock | AccessFs::MakeChar;
        rules = beneath(rules, Path::new(path), all & !never)?;
    }
    Ok(rules)
}

type Rules = std::collections::BTreeMap<i64, Vec<SeccompRule>>;

/// Programs for the kernel, which asks all of them; the strictest answer counts.
fn filters(confinement: &Confinement<'_>) -> Result<Vec<BpfProgram>, seccompiler::BackendError> {
    let mut refused = Rules::new();
    let mut unknown_families = Vec::new();
    for family in confinement.sockets {
        unknown_families.push(argument(0, SeccompCmpOp::Ne, family.number())?);
    }
    refused.insert(libc::SYS_socket, vec![SeccompRule::new(unknown_families)?]);
    let mut killed: Rules = numbers(confinement.forbidden);
    let mut denied = Rules::new();
    if !confinement.starts_programs {
        let thread = libc::CLONE_THREAD.unsigned_abs().into();
        killed.insert(libc::SYS_clone, vec![SeccompRule::new(vec![argument(0, SeccompCmpOp::MaskedEq(thread), 0)?])?]);
        let executable = libc::PROT_EXEC.unsigned_abs().into();
        for call in [libc::SYS_mmap, libc::SYS_mprotect] {
            let rule = SeccompRule::new(vec![argument(2, SeccompCmpOp::MaskedEq(executable), executable)?])?;
            denied.insert(call, vec![rule]);
        }
    }
    let errno = |errno: Errno| SeccompAction::Errno(errno.raw_os_error().unsigned_abs());
    let allow = SeccompAction::Allow;
    let mut filters = vec![program(refused, allow.clone(), errno(Errno::AFNOSUPPORT))?];
    if !denied.is_empty() {
        filters.push(program(denied, allow.clone(), errno(Errno::ACCESS))?);
    }
    filters.push(program(killed, allow.clone(), SeccompAction::KillProcess)?);
    // Last: from then on no further filter can be put into force.
    filters.push(program(numbers(confinement.allowed), errno(Errno::NOSYS), allow)?);
    Ok(filters)
}

fn argument(index: u8, operator: SeccompCmpOp, value: u64) -> Result<SeccompCondition, seccompiler::BackendError> {
    SeccompCondition::new(index, SeccompCmpArgLen::Dword, operator, value)
}

fn program(
    rules: Rules,
    otherwise: SeccompAction,
    action: SeccompAction,
) -> Result<BpfProgram, seccompiler::BackendError> {
    let architecture = TargetArch::try_from(std::env::consts::ARCH)?;
    SeccompFilter::new(rules, otherwise, action, architecture)?.try_into()
}

/// Every call that this architecture has, whatever its arguments.
fn numbers(groups: &[&[&str]]) -> Rules {
    groups.iter().flat_map(|group| group.iter()).filter_map(|name| Some((number(name)?, Vec::new()))).collect()
}

fn number(name: &str) -> Option<i64> {
    name.parse::<Sysno>().ok().map(|call| i64::from(call.id()))
}
