//! Commands that stop and start things.

use std::io::{Write, stdout};

use proto::machine::{RebootRequest, ServiceRestartRequest, ServiceSignalRequest, ShutdownRequest};

use crate::cli::{PowerArgs, ServiceAction, ServiceArgs};
use crate::connection::Machine;
use crate::error::Error;

pub(crate) async fn service(machine: Machine, args: &ServiceArgs) -> Result<(), Error> {
    let mut client = machine.client.clone();
    let service = args.name.clone();
    match args.action {
        ServiceAction::Restart => {
            let request = ServiceRestartRequest { service };
            machine.answer("restart the service", client.service_restart(request)).await?;
            Ok(writeln!(stdout(), "service {} is being restarted", args.name)?)
        }
        ServiceAction::Kill { signal } => {
            let request = ServiceSignalRequest { service, signal };
            machine.answer("send the signal", client.service_signal(request)).await?;
            Ok(writeln!(stdout(), "signal {signal} sent to service {}", args.name)?)
        }
    }
}

pub(crate) async fn reboot(machine: Machine, args: &PowerArgs) -> Result<(), Error> {
    let mut client = machine.client.clone();
    let request = RebootRequest { reason: args.reason.clone() };
    machine.answer("reboot", client.reboot(request)).await?;
    Ok(writeln!(stdout(), "the machine is rebooting")?)
}

pub(crate) async fn shutdown(machine: Machine, args: &PowerArgs) -> Result<(), Error> {
    let mut client = machine.client.clone();
    let request = ShutdownRequest { reason: args.reason.clone() };
    machine.answer("shut down", client.shutdown(request)).await?;
    Ok(writeln!(stdout(), "the machine is shutting down")?)
}
