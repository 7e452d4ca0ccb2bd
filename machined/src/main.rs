//! machined as a program of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    machined::run(std::env::args_os())
}
