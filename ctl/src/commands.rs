//! One module per group of commands.

mod audit;
mod certs;
mod claim;
mod config;
mod kubeconfig;
mod logs;
mod power;
mod show;

use crate::cli::{Cli, Command};
use crate::connection::Machine;
use crate::error::Error;

/// Carries out what was typed.
pub(crate) async fn run(cli: Cli) -> Result<(), Error> {
    match &cli.command {
        Command::Config(command) => config::run(&cli, command),
        Command::Version { client: true } => show::client_version(),
        Command::Version { client: false } => {
            show::client_version()?;
            show::version(Machine::connect(&cli).await?).await
        }
        Command::Status => show::status(Machine::connect(&cli).await?).await,
        Command::Services => show::services(Machine::connect(&cli).await?).await,
        Command::Boot => show::boot(Machine::connect(&cli).await?).await,
        Command::Service(args) => power::service(Machine::connect(&cli).await?, args).await,
        Command::Reboot(args) => power::reboot(Machine::connect(&cli).await?, args).await,
        Command::Shutdown(args) => power::shutdown(Machine::connect(&cli).await?, args).await,
        Command::Logs { service, follow, tail } => {
            logs::service(Machine::connect(&cli).await?, service, *tail, *follow).await
        }
        Command::Dmesg { follow } => logs::kernel(Machine::connect(&cli).await?, *follow).await,
        Command::Audit(args) => audit::run(Machine::connect(&cli).await?, args).await,
        Command::Claim(args) => claim::run(&cli, args).await,
        Command::Login => certs::login(&cli).await,
        Command::Certs { output } => certs::list(Machine::connect(&cli).await?, &cli, *output).await,
        Command::Issue(args) => certs::issue(Machine::connect(&cli).await?, args).await,
        Command::Kubeconfig(args) => kubeconfig::write(Machine::connect(&cli).await?, args).await,
    }
}
