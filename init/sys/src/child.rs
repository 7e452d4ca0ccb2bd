//! Starting the main process of a service, and reaping whatever ends.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::SigSet;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, WaitOptions, wait};

use crate::confine::{Confinement, Jail};

/// A program with everything that is decided before it runs.
#[derive(Debug)]
pub struct Program<'a> {
    /// The file to execute.
    pub path: &'a Path,
    /// Its arguments, without its own name.
    pub arguments: &'a [String],
    /// Its whole environment.
    pub environment: &'a [(&'a str, &'a OsStr)],
    /// The entry file of the group it joins; see [`crate::cgroup::Group::entry`].
    pub group: Option<BorrowedFd<'a>>,
    /// Who is killed first when memory runs out: -1000 to 1000. Has no effect where PID 1 may not set it.
    pub oom_score: i16,
    /// What it may do.
    pub confinement: Confinement<'a>,
}

/// A started process. It is reaped by [`reap`], like every child of PID 1.
#[derive(Debug)]
pub struct Child {
    /// Its process id, which is its session's id, too.
    pub pid: u32,
    /// What it writes to standard output and standard error. Reading never blocks.
    pub output: OwnedFd,
}

/// Starts a program in its own session and group, with standard input from nowhere and its output into a pipe.
///
/// It can never gain privileges that it does not start with. No signal is blocked in it, and it shares no descriptor of this
/// process but the pipe's end.
///
/// # Errors
///
/// Any step that fails, up to `exec` itself; then no process is left.
pub fn spawn(program: &Program<'_>) -> io::Result<Child> {
    let (output, input) = pipe_with(PipeFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&output, true)?;
    let mut command = Command::new(program.path);
    command
        .args(program.arguments)
        .env_clear()
        .envs(program.environment.iter().copied())
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::from(input.try_clone()?))
        .stderr(Stdio::from(input));
    let mut score = [0_u8; 8];
    let score_length = decimal(program.oom_score, &mut score);
    let group = program.group.map(|entry| entry.try_clone_to_owned()).transpose()?;
    let mut jail = Jail::build(program.path, &program.confinement).map_err(io::Error::other)?;
    let confine = move || {
        if let Some(group) = &group {
            write_all(group, b"0")?;
        }
        rustix::process::setsid()?;
        SigSet::empty().thread_set_mask()?;
        set_oom_score(&score[..score_length])?;
        jail.enter()
    };
    // SAFETY: needed because a session, a group and privileges can only be given up by the process itself, between fork and
    // exec. Sound because the closure makes system calls only: it allocates nothing (its buffers, rules and filters are on
    // the stack or made before the fork), takes no lock, and touches no state that another thread of the parent could have
    // left half changed.
    unsafe { command.pre_exec(confine) };
    let child = command.spawn()?;
    // Dropping the handle neither waits nor kills.
    Ok(Child { pid: child.id(), output })
}

/// Sets the score as far as this machine lets PID 1: in a container it may not be allowed to go below its own.
fn set_oom_score(decimal: &[u8]) -> io::Result<()> {
    let file = rustix::fs::open(c"/proc/self/oom_score_adj", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    match rustix::io::write(&file, decimal) {
        Ok(_) | Err(Errno::ACCESS | Errno::PERM) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn write_all(file: &OwnedFd, bytes: &[u8]) -> io::Result<()> {
    let written = rustix::io::write(file, bytes)?;
    // An error made of a number only: no allocation between fork and exec.
    if written == bytes.len() { Ok(()) } else { Err(Errno::IO.into()) }
}

/// Writes a number in decimal without allocating; returns its length.
fn decimal(number: i16, buffer: &mut [u8; 8]) -> usize {
    use io::Write;
    let mut rest = &mut buffer[..];
    // Six characters at most, so it always fits.
    let _ = write!(rest, "{number}");
    let left = rest.len();
    buffer.len() - left
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It returned this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
}

/// What a look for ended children found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reaped {
    /// This child ended; its process id is free again.
    Child {
        /// The id that it had.
        pid: u32,
        /// How it ended.
        end: End,
    },
    /// Children exist, and all of them live.
    AllAlive,
    /// There is no child.
    NoChild,
}

/// Collects one ended child, own or inherited, without waiting.
pub fn reap() -> io::Result<Reaped> {
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) => {
                let end = match (status.exit_status(), status.terminating_signal()) {
                    (Some(code), _) => End::Code(code),
                    (None, Some(signal)) => End::Signal(signal),
                    // Stopped and continued children are not asked for.
                    (None, None) => continue,
                };
                return Ok(Reaped::Child { pid: pid.as_raw_nonzero().get().cast_unsigned(), end });
            }
            Ok(None) => return Ok(Reaped::AllAlive),
            Err(Errno::CHILD) => return Ok(Reaped::NoChild),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Sends SIGTERM to a process.
///
/// Only for a child that was not reaped yet: until then its id cannot belong to another process.
pub fn terminate(pid: u32) -> io::Result<()> {
    Ok(rustix::process::kill_process(to_pid(pid)?, Signal::TERM)?)
}

/// Sends any signal of 1 to 31 to a process; see [`terminate`] for which ones.
pub fn signal(pid: u32, number: i32) -> io::Result<()> {
    let signal = Signal::from_named_raw(number).ok_or(io::ErrorKind::InvalidInput)?;
    Ok(rustix::process::kill_process(to_pid(pid)?, signal)?)
}

/// Whether [`signal`] knows this number.
#[must_use]
pub fn is_signal(number: i32) -> bool {
    Signal::from_named_raw(number).is_some()
}

/// SIGKILL to a session's first process group: what can be reached of a service without a control group.
///
/// Returns whether any process was there.
pub fn kill_process_group(leader: u32) -> io::Result<bool> {
    match rustix::process::kill_process_group(to_pid(leader)?, Signal::KILL) {
        Ok(()) => Ok(true),
        Err(Errno::SRCH) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Whether any process of that group exists, ended but unreaped ones included.
#[must_use]
pub fn process_group_exists(leader: u32) -> bool {
    to_pid(leader).is_ok_and(|leader| rustix::process::test_kill_process_group(leader) != Err(Errno::SRCH))
}

/// Whether a process exists, an ended but unreaped one included.
#[must_use]
pub fn exists(pid: u32) -> bool {
    to_pid(pid).is_ok_and(|pid| rustix::process::test_kill_process(pid) != Err(Errno::SRCH))
}

/// The session that a process belongs to.
#[must_use]
pub fn session_of(pid: u32) -> Option<u32> {
    let session = rustix::process::getsid(Some(to_pid(pid).ok()?)).ok()?;
    Some(session.as_raw_nonzero().get().cast_unsigned())
}

fn to_pid(pid: u32) -> io::Result<Pid> {
    i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read;
    use std::time::{Duration, Instant};

    use rustix::process::WaitStatus;

    use super::*;
    use crate::confine::Family;

    /// Nothing is taken that would need root to take.
    fn loose<'a>(calls: &'a [&'a [&'a str]]) -> Confinement<'a> {
        const ALL: &[u8] = &{
            let mut all = [0; 64];
            let mut number = 0;
            while number < 64 {
                all[number] = number as u8;
                number += 1;
            }
            all
        };
        Confinement {
            id: 0,
            capabilities: ALL,
            files: None,
            listens: &[],
            connects: None,
            sockets: &[Family::Unix],
            allowed: calls,
            forbidden: &[],
            starts_programs: true,
            open_files: 1000,
        }
    }

    /// Every system call but some.
    fn calls_but(absent: &[&str]) -> Vec<&'static str> {
        let known = (0..1000).filter_map(syscalls::Sysno::new).map(|call| call.name());
        known.filter(|name| !absent.contains(name)).collect()
    }

    /// Runs a shell line as a service would run and returns what it printed, once it has ended.
    fn run(line: &str) -> String {
        run_confined(line, &loose(&[&calls_but(&[])])).0
    }

    fn run_confined(line: &str, confinement: &Confinement<'_>) -> (String, WaitStatus) {
        let arguments = ["-c".to_owned(), line.to_owned()];
        let program = Program {
            path: Path::new("/bin/sh"),
            arguments: &arguments,
            environment: &[("PATH", OsStr::new("/usr/bin:/bin")), ("NAME", OsStr::new("value"))],
            group: None,
            oom_score: 500,
            confinement: *confinement,
        };
        let child = spawn(&program).expect("a process");
        let mut output = File::from(child.output);
        let mut text = Vec::new();
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            match output.read_to_end(&mut text) {
                Ok(_) => break,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && Instant::now() < deadline => {
                    let mut ready = [rustix::event::PollFd::new(&output, rustix::event::PollFlags::IN)];
                    rustix::event::poll(&mut ready, None).expect("a poll");
                }
                Err(error) => panic!("{error}"),
            }
        }
        let pid = to_pid(child.pid).expect("a pid");
        let (_, end) = rustix::process::waitpid(Some(pid), WaitOptions::empty()).expect("an end").expect("its end");
        (String::from_utf8(text).expect("text"), end)
    }

    #[test]
    fn a_call_that_is_not_allowed_is_unknown_and_one_that_is_forbidden_is_the_end() {
        let without = calls_but(&["getcwd", "mkdir", "mkdirat"]);
        let calls: &[&[&str]] = &[&without];
        let line = "mkdir /tmp/no-such-call 2>&1; echo $?";
        let (text, end) = run_confined(line, &loose(calls));
        assert!(text.contains("Function not implemented") && text.ends_with("\n1\n"), "{text}");
        assert_eq!(end.exit_status(), Some(0));
        let forbidden: &[&[&str]] = &[&["mkdir", "mkdirat"]];
        let (text, _) = run_confined(line, &Confinement { forbidden, ..loose(calls) });
        // 128 and the number of SIGSYS, as shells tell it.
        assert!(text.ends_with("159\n"), "{text}");
    }

    #[test]
    fn without_programs_no_memory_becomes_executable() {
        let all = calls_but(&[]);
        let calls: &[&[&str]] = &[&all];
        let confinement = Confinement { starts_programs: false, ..loose(calls) };
        // The shell is linked dynamically: what it needs cannot be loaded.
        let (text, end) = run_confined("echo loaded", &confinement);
        assert!(!text.contains("loaded\n") && text.contains("shared object"), "{text}");
        assert_eq!(end.exit_status(), Some(127));
    }

    #[test]
    fn a_service_starts_confined() {
        let text = run(
            "echo $NAME $HOME; cat /proc/self/oom_score_adj; grep -h -e NoNewPrivs -e SigBlk -e Seccomp: /proc/self/status; \
                        readlink /proc/self/fd/0; pwd; cut -d' ' -f 6 /proc/self/stat; echo $$ >&2",
        );
        let lines: Vec<&str> = text.lines().collect();
        let status: Vec<String> = lines[2..5].iter().map(|line| line.replace('\t', " ")).collect();
        assert_eq!(lines[..2], ["value", "500"]);
        assert!(status.contains(&"NoNewPrivs: 1".to_owned()), "{status:?}");
        assert!(status.contains(&"SigBlk: 0000000000000000".to_owned()), "{status:?}");
        assert!(status.contains(&"Seccomp: 2".to_owned()), "{status:?}");
        assert_eq!(lines[5..7], ["/dev/null", "/"]);
        assert_eq!(lines[7], lines[8], "the process leads its own session, and both outputs are one pipe");
    }

    #[test]
    fn a_program_that_is_not_there_is_an_error_and_leaves_no_process() {
        let all = calls_but(&[]);
        let calls: &[&[&str]] = &[&all];
        let program = Program {
            path: Path::new("/no/such/program"),
            arguments: &[],
            environment: &[],
            group: None,
            oom_score: 0,
            confinement: loose(calls),
        };
        assert_eq!(spawn(&program).expect_err("an error").kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn numbers_are_written_without_allocating() {
        for number in [0, -1000, 1000, i16::MIN] {
            let mut buffer = [0; 8];
            let length = decimal(number, &mut buffer);
            assert_eq!(std::str::from_utf8(&buffer[..length]), Ok(number.to_string().as_str()));
        }
    }

    #[test]
    fn signals_are_known_by_number() {
        assert!(is_signal(9) && is_signal(15) && !is_signal(0) && !is_signal(-1) && !is_signal(4000));
    }
}
