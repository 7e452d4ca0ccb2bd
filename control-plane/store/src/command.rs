//! Commands beside serving, `store snapshot …` and `store backup …`: a command line in, a text out.

use std::error::Error;
use std::ffi::OsString;
use std::process::ExitCode;

use chain::Chain;
use clap::Parser;

/// Reads a command line that begins with the program's name, and prints what `execute` makes of it, or why it could not.
pub fn run<C: Parser, E: Error>(
    args: impl IntoIterator<Item = OsString>,
    execute: impl FnOnce(&C) -> Result<String, E>,
) -> ExitCode {
    let command = match C::try_parse_from(args) {
        Ok(command) => command,
        Err(error) => {
            // The only failure is that standard error is closed.
            drop(error.print());
            return ExitCode::from(u8::from(error.use_stderr()));
        }
    };
    match execute(&command) {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("Error: {}", Chain(&error));
            ExitCode::FAILURE
        }
    }
}
