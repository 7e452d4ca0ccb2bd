//! The kube-controller-manager as a program of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    controller_manager::run(std::env::args_os())
}
