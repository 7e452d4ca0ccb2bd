//! The store as a program of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    store::run(std::env::args_os())
}
