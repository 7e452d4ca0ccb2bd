//! Commands that only look.

use std::io::{Write, stdout};

use proto::machine::{
    BootStep, BootTimelineRequest, Service, ServicesRequest, Severity, StatusRequest, VersionRequest,
};

use crate::connection::Machine;
use crate::error::Error;
use crate::table;

pub(crate) fn client_version() -> Result<(), Error> {
    Ok(writeln!(stdout(), "Client:       {}", env!("CARGO_PKG_VERSION"))?)
}

pub(crate) async fn version(machine: Machine) -> Result<(), Error> {
    let mut client = machine.client.clone();
    let version = machine.answer("ask for the version", client.version(VersionRequest {})).await?;
    let mut out = stdout().lock();
    writeln!(out, "Machine:      {}", version.version)?;
    writeln!(out, "Kubernetes:   {}", version.kubernetes)?;
    writeln!(out, "Kernel:       {}", version.kernel)?;
    Ok(writeln!(out, "Architecture: {}", version.architecture)?)
}

pub(crate) async fn status(machine: Machine) -> Result<(), Error> {
    let mut client = machine.client.clone();
    let status = machine.answer("ask for the status", client.status(StatusRequest {})).await?;
    let mut out = stdout().lock();
    writeln!(out, "Hostname:   {}", status.hostname)?;
    writeln!(out, "Machine:    {}", status.machine_id)?;
    writeln!(out, "Cluster:    {} ({})", status.cluster_name, status.cluster_id)?;
    writeln!(out, "Addresses:  {}", status.addresses.join(", "))?;
    writeln!(out, "Up:         {}", span(status.uptime_ms))?;
    match status.config_generation {
        0 => writeln!(out, "Generation: none, built-in defaults are in effect")?,
        generation => writeln!(out, "Generation: {generation}")?,
    }
    if status.conditions.is_empty() {
        return Ok(writeln!(out, "Conditions: none, all is well")?);
    }
    writeln!(out)?;
    let rows: Vec<_> = status
        .conditions
        .iter()
        .map(|condition| vec![condition.part.clone(), severity(condition.severity()).into(), condition.message.clone()])
        .collect();
    Ok(table::print(out, &["PART", "SEVERITY", "MESSAGE"], &rows)?)
}

pub(crate) async fn services(machine: Machine, confinement: bool) -> Result<(), Error> {
    let mut client = machine.client.clone();
    let services = machine.answer("list the services", client.services(ServicesRequest {})).await?.services;
    if confinement {
        let rows: Vec<_> = services.iter().map(confinement_row).collect();
        let heading = ["NAME", "USER", "GROUP", "NO NEW PRIVILEGES", "SYSTEM CALLS", "CAPABILITIES"];
        return Ok(table::print(stdout().lock(), &heading, &rows)?);
    }
    let rows: Vec<_> = services.iter().map(service_row).collect();
    let heading = ["NAME", "STATE", "PID", "RESTARTS", "MEMORY", "SINCE BOOT", "LAST EXIT", "STATUS"];
    Ok(table::print(stdout().lock(), &heading, &rows)?)
}

pub(crate) async fn boot(machine: Machine) -> Result<(), Error> {
    let mut client = machine.client.clone();
    let steps = machine.answer("ask for the boot's steps", client.boot_timeline(BootTimelineRequest {})).await?.steps;
    Ok(table::print(stdout().lock(), &["AT", "AFTER", "STEP"], &timeline(&steps))?)
}

/// Rows of time since the kernel started, time since the step before, and the step.
fn timeline(steps: &[BootStep]) -> Vec<Vec<String>> {
    let mut before = None;
    let mut rows = Vec::new();
    for step in steps {
        let after =
            before.map_or_else(|| "-".to_owned(), |before| format!("+{} ms", step.uptime_ms.saturating_sub(before)));
        before = Some(step.uptime_ms);
        rows.push(vec![format!("{} ms", step.uptime_ms), after, step.what.clone()]);
    }
    rows
}

fn service_row(service: &Service) -> Vec<String> {
    let or_dash = |text: Option<String>| text.filter(|text| !text.is_empty()).unwrap_or_else(|| "-".into());
    vec![
        service.name.clone(),
        service.state.clone(),
        or_dash(service.pid.map(|pid| pid.to_string())),
        service.restarts.to_string(),
        or_dash(service.memory_bytes.map(mebibytes)),
        span(service.since_ms),
        or_dash(service.last_exit.clone()),
        or_dash(service.status.clone()),
    ]
}

fn confinement_row(service: &Service) -> Vec<String> {
    let Some(found) = &service.confinement else { return [&[service.name.clone()][..], &vec!["-".into(); 5]].concat() };
    let capabilities = match found.capabilities.len() {
        0 => "none".to_owned(),
        // More than a list is for.
        20.. => format!("{} of them", found.capabilities.len()),
        _ => found.capabilities.join(","),
    };
    vec![
        service.name.clone(),
        found.user.to_string(),
        found.group.to_string(),
        if found.no_new_privileges { "yes" } else { "no" }.into(),
        if found.filtered { "filtered" } else { "all" }.into(),
        capabilities,
    ]
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Unspecified => "unknown",
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Error => "error",
    }
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

/// A span of time as kubectl writes ages, with a fraction of a second while it is short.
fn span(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    match seconds {
        0..=9 => format!("{:.1}s", milliseconds as f64 / 1000.0),
        10..=119 => format!("{seconds}s"),
        120..=7_199 => format!("{}m{}s", seconds / 60, seconds % 60),
        7_200..=172_799 => format!("{}h{}m", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{}d{}h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_like_ages() {
        let spans = [900, 12_300, 125_000, 7_260_000, 180_000_000].map(span);
        assert_eq!(spans, ["0.9s", "12s", "2m5s", "2h1m", "2d2h"]);
    }

    #[test]
    fn a_step_shows_the_time_since_the_step_before() {
        let step = |uptime_ms, what: &str| BootStep { uptime_ms, what: what.into() };
        let rows = timeline(&[step(0, "kernel"), step(900, "initramfs"), step(1000, "init")]);
        assert_eq!(rows[0], ["0 ms", "-", "kernel"]);
        assert_eq!(rows[1], ["900 ms", "+900 ms", "initramfs"]);
        assert_eq!(rows[2], ["1000 ms", "+100 ms", "init"]);
    }

    #[test]
    fn a_service_without_a_process_has_dashes() {
        let row = service_row(&Service { name: "store".into(), state: "waiting".into(), ..Service::default() });
        assert_eq!(row, ["store", "waiting", "-", "0", "-", "0.0s", "-", "-"]);
    }
}
