//! machined: disks, network, time, identity, credentials, and the machine API.
//!
//! [`run`] is the whole program. `boot.rs` shows in which order things happen; what is decided lies in `machined-core`.
//! PID 1 is reached through its control socket only (`supervisor.rs`).

mod api;
mod audit;
mod boot;
mod claim;
mod clock;
mod config;
mod credentials;
mod disks;
mod identity;
mod network;
mod operator;
mod options;
mod report;
mod space;
mod supervisor;
mod triggers;

use std::ffi::OsString;
use std::process::ExitCode;

use chain::Chain;
use clap::Parser;

use crate::options::Options;

/// Runs machined until it is told to stop. `args` begin with the name of the program.
///
/// Ends with success after SIGTERM, with 2 for wrong arguments, with 1 if the machine API cannot be served.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    telemetry::init();
    let options = match Options::try_parse_from(args) {
        Ok(options) => options,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS };
        }
    };
    // Two threads: one may be busy with a key or a file while the other serves.
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "start the runtime");
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(boot::run(options));
    // A blocking task (a disk that does not answer) must not keep the program alive.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{}", Chain(&error));
            ExitCode::FAILURE
        }
    }
}
