//! Which system calls a service may make: lists of names by what they are for.
//!
//! A call is in one of three classes. What a service needs is *allowed*. What only an intruder would try is *forbidden*: the
//! kernel ends the process, and PID 1's record names the reason. Anything else is *unknown*: it fails as if the kernel were
//! too old for it, which libraries are made to cope with, so that an update of one does not end a service that works.
//!
//! A name that an architecture does not have (arm64 has no `open`, only `openat`) counts for nothing there.

/// What a service's own work is made of: memory, threads, files that are open or may be opened, waiting, time. Which files
/// and which ports is not decided here.
pub const WORK: &[&[&str]] = &[PROCESS, THREADS, SIGNALS, MEMORY, FILES, WAITING, TIME, NETWORK];

/// [`WORK`], and what setting up a machine takes.
pub const MACHINE: &[&[&str]] = &[PROCESS, THREADS, SIGNALS, MEMORY, FILES, WAITING, TIME, NETWORK, PROGRAMS, SET_UP];

/// What a service is ended for. No program of the image does any of this by mistake.
pub const FORBIDDEN: &[&[&str]] = &[PROGRAMS, SET_UP, IDENTITY, KERNEL, SPYING];

/// What the one that sets up the machine is ended for.
pub const FORBIDDEN_TO_MACHINE: &[&[&str]] = &[IDENTITY, KERNEL, SPYING];

const PROCESS: &[&str] = &[
    "arch_prctl",
    "capget",
    // Once, by PID 1 before it is the service; from then on no file but the program itself can be executed.
    "execve",
    "exit",
    "exit_group",
    "getcpu",
    "getegid",
    "geteuid",
    "getgid",
    "getgroups",
    "getpgid",
    "getpgrp",
    "getpid",
    "getppid",
    "getpriority",
    "getrandom",
    "getresgid",
    "getresuid",
    "getrlimit",
    "getrusage",
    "getsid",
    "gettid",
    "getuid",
    "ioprio_get",
    "ioprio_set",
    "prctl",
    "prlimit64",
    "setpriority",
    "sysinfo",
    "times",
    "umask",
    "uname",
];

const THREADS: &[&str] = &[
    // Threads only; a new process is another matter.
    "clone",
    "futex",
    "get_robust_list",
    "membarrier",
    "rseq",
    "sched_get_priority_max",
    "sched_get_priority_min",
    "sched_getaffinity",
    "sched_getattr",
    "sched_getparam",
    "sched_getscheduler",
    "sched_setaffinity",
    "sched_setscheduler",
    "sched_yield",
    "set_robust_list",
    "set_tid_address",
];

const SIGNALS: &[&str] = &[
    "kill",
    "pause",
    "restart_syscall",
    "rt_sigaction",
    "rt_sigpending",
    "rt_sigprocmask",
    "rt_sigreturn",
    "rt_sigsuspend",
    "rt_sigtimedwait",
    "sigaltstack",
    "signalfd4",
    "tgkill",
    "tkill",
];

const MEMORY: &[&str] =
    &["brk", "get_mempolicy", "madvise", "mbind", "mincore", "mmap", "mprotect", "mremap", "msync", "munmap"];

const FILES: &[&str] = &[
    "access",
    "chdir",
    "chmod",
    "close",
    "close_range",
    "copy_file_range",
    "creat",
    "dup",
    "dup2",
    "dup3",
    "faccessat",
    "faccessat2",
    "fadvise64",
    "fallocate",
    "fchdir",
    "fchmod",
    "fchmodat",
    "fchmodat2",
    "fcntl",
    "fdatasync",
    "fgetxattr",
    "flistxattr",
    "flock",
    "fstat",
    "fstatfs",
    "fsync",
    "ftruncate",
    "getcwd",
    "getdents",
    "getdents64",
    "getxattr",
    "ioctl",
    "lgetxattr",
    "link",
    "linkat",
    "listxattr",
    "llistxattr",
    "lseek",
    "lstat",
    "mkdir",
    "mkdirat",
    "newfstatat",
    "open",
    "openat",
    "openat2",
    "pread64",
    "preadv",
    "preadv2",
    "pwrite64",
    "pwritev",
    "pwritev2",
    "read",
    "readahead",
    "readlink",
    "readlinkat",
    "readv",
    "rename",
    "renameat",
    "renameat2",
    "rmdir",
    "sendfile",
    "splice",
    "stat",
    "statfs",
    "statx",
    "symlink",
    "symlinkat",
    "sync_file_range",
    "syncfs",
    "truncate",
    "unlink",
    "unlinkat",
    "utimensat",
    "write",
    "writev",
];

const WAITING: &[&str] = &[
    "epoll_create",
    "epoll_create1",
    "epoll_ctl",
    "epoll_pwait",
    "epoll_pwait2",
    "epoll_wait",
    "eventfd",
    "eventfd2",
    "inotify_add_watch",
    "inotify_init1",
    "inotify_rm_watch",
    "pipe",
    "pipe2",
    "poll",
    "ppoll",
    "pselect6",
    "select",
    "timerfd_create",
    "timerfd_gettime",
    "timerfd_settime",
];

const TIME: &[&str] = &["clock_getres", "clock_gettime", "clock_nanosleep", "gettimeofday", "nanosleep", "time"];

const NETWORK: &[&str] = &[
    "accept",
    "accept4",
    "bind",
    "connect",
    "getpeername",
    "getsockname",
    "getsockopt",
    "listen",
    "recvfrom",
    "recvmmsg",
    "recvmsg",
    "sendmmsg",
    "sendmsg",
    "sendto",
    "setsockopt",
    "shutdown",
    "socket",
    "socketpair",
];

/// Other programs: the tools that check and make file systems.
const PROGRAMS: &[&str] = &["fork", "vfork", "wait4", "waitid"];

const SET_UP: &[&str] = &[
    "adjtimex",
    "chown",
    "clock_adjtime",
    "clock_settime",
    "fchown",
    "fchownat",
    "lchown",
    "mount",
    "setdomainname",
    "sethostname",
    "settimeofday",
    "sync",
    "umount2",
];

/// Becoming somebody else, or moving to another world.
const IDENTITY: &[&str] = &[
    "capset",
    "chroot",
    "execveat",
    "fsconfig",
    "fsmount",
    "fsopen",
    "fspick",
    "mknod",
    "mknodat",
    "mount_setattr",
    "move_mount",
    "open_tree",
    "pivot_root",
    "setfsgid",
    "setfsuid",
    "setgid",
    "setgroups",
    "setns",
    "setregid",
    "setresgid",
    "setresuid",
    "setreuid",
    "setuid",
    "unshare",
];

/// Changing the kernel, or reaching parts of it that nothing here uses.
const KERNEL: &[&str] = &[
    "acct",
    "add_key",
    "bpf",
    "delete_module",
    "finit_module",
    "init_module",
    "io_uring_enter",
    "io_uring_register",
    "io_uring_setup",
    "ioperm",
    "iopl",
    "kexec_file_load",
    "kexec_load",
    "keyctl",
    "modify_ldt",
    "perf_event_open",
    "quotactl",
    "reboot",
    "request_key",
    "swapoff",
    "swapon",
    "syslog",
    "userfaultfd",
    "vhangup",
];

/// Looking into other processes, or at files by other means than their names.
const SPYING: &[&str] = &[
    "fanotify_init",
    "kcmp",
    "lookup_dcookie",
    "name_to_handle_at",
    "open_by_handle_at",
    "pidfd_getfd",
    "process_madvise",
    "process_vm_readv",
    "process_vm_writev",
    "ptrace",
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn names(groups: &[&[&'static str]]) -> BTreeSet<&'static str> {
        groups.iter().flat_map(|group| group.iter().copied()).collect()
    }

    #[test]
    fn nothing_is_both_allowed_and_forbidden() {
        for (allowed, forbidden) in [(WORK, FORBIDDEN), (MACHINE, FORBIDDEN_TO_MACHINE)] {
            let both: Vec<_> = names(allowed).intersection(&names(forbidden)).copied().collect();
            assert!(both.is_empty(), "{both:?}");
        }
    }

    #[test]
    fn lists_are_in_order_and_name_a_call_once() {
        for group in MACHINE.iter().chain(FORBIDDEN) {
            assert!(group.is_sorted_by(|one, next| one < next), "{group:?}");
        }
        let all: usize = MACHINE.iter().chain(FORBIDDEN_TO_MACHINE).map(|group| group.len()).sum();
        let once = names(MACHINE).len() + names(FORBIDDEN_TO_MACHINE).len();
        assert_eq!(all, once);
    }
}
