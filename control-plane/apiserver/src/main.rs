//! The API server as a program of its own.

fn main() -> std::process::ExitCode {
    apiserver::run(std::env::args_os())
}
