//! A campaign: one simulation after the other, until so many hours are simulated.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use tests_sim::panics;
use tests_sim::run::{Plan, run};
use tracing_subscriber::filter::LevelFilter;

/// Simulates the store while everything fails.
#[derive(Parser)]
struct Options {
    /// Run this seed alone, for all of the time.
    #[arg(long)]
    seed: Option<u64>,
    /// The first seed of a campaign.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Between two seeds of a campaign: several processes share one.
    #[arg(long, default_value_t = 1)]
    every: u64,
    /// Simulated hours in all.
    #[arg(long, default_value_t = 1.0)]
    hours: f64,
    /// Simulated minutes of each seed of a campaign.
    #[arg(long, default_value_t = 30)]
    minutes: u64,
    /// Members; not given: three or five, as the seed says.
    #[arg(long)]
    members: Option<usize>,
}

fn main() -> ExitCode {
    let code = simulate();
    // The last members' threads must not outlive the library they use.
    store::closing::wait(Duration::from_secs(10));
    code
}

fn simulate() -> ExitCode {
    // What a failing world makes libraries complain about says nothing: only who asks by RUST_LOG is shown it.
    let filter = tracing_subscriber::EnvFilter::builder().with_default_directive(LevelFilter::OFF.into());
    let filter = filter.from_env_lossy();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    panics::remember();
    let options = Options::parse();
    let whole = Duration::from_secs_f64(options.hours * 3600.0);
    let members = options.members;
    if let Some(seed) = options.seed {
        let report = run(Plan { seed, members, span: whole });
        println!("{report}");
        return if report.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let (mut simulated, mut took, mut faults, mut answers, mut bad) =
        (Duration::ZERO, Duration::ZERO, 0, 0, Vec::new());
    let mut seed = options.from;
    while simulated < whole {
        let report = run(Plan { seed, members, span: Duration::from_mins(options.minutes) });
        println!("{report}");
        (simulated, took) = (simulated + report.simulated, took + report.took);
        (faults, answers) = (faults + report.faults.sum(), answers + report.answers);
        if !report.violations.is_empty() {
            bad.push(seed);
        }
        seed += options.every;
    }
    println!(
        "{:.2} hours simulated in {:.0} s: {faults} faults, {answers} answers, seeds with violations: {bad:?}",
        simulated.as_secs_f64() / 3600.0,
        took.as_secs_f64(),
    );
    if bad.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
