//! Commands that print a stream.

use std::io::{Write, stdout};

use proto::machine::{DmesgRequest, LogsRequest};

use crate::connection::Machine;
use crate::error::Error;

pub(crate) async fn service(machine: Machine, service: &str, tail: Option<u32>, follow: bool) -> Result<(), Error> {
    let mut client = machine.client.clone();
    let request = LogsRequest { service: service.into(), tail, follow };
    let mut lines = machine.answer("read the log", client.logs(request)).await?;
    while let Some(line) = lines.message().await.map_err(Error::refused("read the log"))? {
        writeln!(stdout(), "[{:>12.3}] {}", line.uptime_ms as f64 / 1000.0, line.text)?;
    }
    Ok(())
}

pub(crate) async fn kernel(machine: Machine, follow: bool) -> Result<(), Error> {
    let mut client = machine.client.clone();
    let mut messages = machine.answer("read the kernel's messages", client.dmesg(DmesgRequest { follow })).await?;
    while let Some(message) = messages.message().await.map_err(Error::refused("read the kernel's messages"))? {
        writeln!(stdout(), "[{:>12.6}] {}", message.uptime_us as f64 / 1_000_000.0, message.text)?;
    }
    Ok(())
}
