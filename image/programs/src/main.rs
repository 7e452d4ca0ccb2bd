//! All services of a node in one static program, which shares their common code: on disk, and in memory while several run.
//!
//! The image has a link to it for each service; started as `orlop`, it takes the service's name as its first argument. Each
//! service also builds and runs alone: nothing but the choice is made here.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;

use rustix::process::DumpableBehavior;

/// The allocator of all services. The C library's keeps what many threads freed, which in services that live for months is
/// most of their memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The name this program has when it is no service yet.
const SELF: &str = "orlop";

/// The exit code of a wrong command line.
const USAGE: u8 = 2;

/// A service: its name, and its main function, which is given its arguments with its name as the first.
struct Program {
    name: &'static str,
    run: fn(Vec<OsString>) -> ExitCode,
}

const PROGRAMS: [Program; 4] = [
    Program { name: "machined", run: |arguments| machined::run(arguments) },
    Program { name: "store", run: |arguments| store::run(arguments) },
    Program { name: "kube-apiserver", run: |arguments| apiserver::run(arguments) },
    Program { name: "kube-controller-manager", run: |arguments| controller_manager::run(arguments) },
];

fn main() -> ExitCode {
    // A service's memory holds keys: no other process of its user may read it, not even by `/proc`. It cannot fail, and a
    // kernel that thinks otherwise is no reason to be without a control plane.
    let _ = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
    match choose(std::env::args_os().collect()) {
        Ok((program, arguments)) => (program.run)(arguments),
        Err(message) => {
            eprintln!("{message}");
            ExitCode::from(USAGE)
        }
    }
}

/// Finds the program that the arguments ask for, and the arguments it gets.
fn choose(mut arguments: Vec<OsString>) -> Result<(&'static Program, Vec<OsString>), String> {
    let called = arguments.first().map(|path| Path::new(path).file_name().unwrap_or_default().to_owned());
    if called.as_deref() == Some(OsStr::new(SELF)) {
        arguments.remove(0);
    }
    let Some(asked) = arguments.first() else {
        return Err(format!("{SELF}: name a program: {}", names()));
    };
    let name = Path::new(asked).file_name().unwrap_or_default();
    match PROGRAMS.iter().find(|program| OsStr::new(program.name) == name) {
        Some(program) => Ok((program, arguments)),
        None => Err(format!("{SELF}: there is no program `{}`; there is: {}", name.display(), names())),
    }
}

fn names() -> String {
    PROGRAMS.map(|program| program.name).join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(arguments: &[&str]) -> Result<(&'static str, Vec<String>), String> {
        let (program, arguments) = choose(arguments.iter().map(OsString::from).collect())?;
        Ok((program.name, arguments.into_iter().map(|word| word.into_string().unwrap()).collect()))
    }

    #[test]
    fn the_name_it_is_called_by_chooses() {
        assert_eq!(
            chosen(&["/usr/bin/store", "--name", "a"]).unwrap(),
            ("store", vec!["/usr/bin/store".into(), "--name".into(), "a".into()])
        );
    }

    #[test]
    fn under_its_own_name_the_first_argument_chooses() {
        assert_eq!(
            chosen(&["./orlop", "kube-apiserver", "--help"]).unwrap(),
            ("kube-apiserver", vec!["kube-apiserver".into(), "--help".into()])
        );
    }

    #[test]
    fn anything_else_is_told_what_there_is() {
        let unknown = chosen(&["orlop", "sh", "-c", "id"]).unwrap_err();
        assert!(unknown.starts_with("orlop: there is no program `sh`; there is: machined, store"), "{unknown}");
        assert!(chosen(&["/bin/ls"]).unwrap_err().contains("`ls`"));
        assert!(chosen(&["orlop"]).unwrap_err().starts_with("orlop: name a program"));
        assert!(chosen(&[]).unwrap_err().starts_with("orlop: name a program"));
    }

    #[test]
    fn every_service_of_the_boot_table_is_here() {
        let table = init_core::boot::SERVICES.map(|service| service.name);
        assert_eq!(PROGRAMS.map(|program| program.name), table);
    }
}
