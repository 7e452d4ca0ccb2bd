//! What can be typed.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

/// Manage a machine that runs Orlop.
#[derive(Debug, Parser)]
#[command(name = "orlopctl", version, propagate_version = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    /// Whom to call and how to prove who is calling
    #[arg(long, global = true, env = "ORLOPCONFIG", value_name = "FILE", default_value_os_t = default_config())]
    pub(crate) orlopconfig: PathBuf,
    /// Context of the orlopconfig to use instead of its current one
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// Machine to call instead of the context's endpoint
    #[arg(long, short, global = true, value_name = "HOST:PORT")]
    pub(crate) endpoint: Option<String>,
    /// How long to wait for an answer, in seconds; streams with --follow have no limit
    #[arg(long, global = true, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    pub(crate) timeout: Duration,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show the version of this tool and of the machine
    Version {
        /// Do not call the machine
        #[arg(long)]
        client: bool,
    },
    /// Show who the machine is and what is wrong with it
    Status,
    /// List the services with their state
    Services {
        /// Show what the kernel lets them do instead
        #[arg(long)]
        confinement: bool,
    },
    /// Restart a service or send it a signal
    Service(ServiceArgs),
    /// Print the log of a service (of PID 1 itself: `init`)
    Logs {
        /// Name of the service
        service: String,
        /// Go on with lines as they come
        #[arg(long, short)]
        follow: bool,
        /// At most this many of the newest lines
        #[arg(long, value_name = "LINES")]
        tail: Option<u32>,
    },
    /// Print the kernel's messages
    Dmesg {
        /// Go on with messages as they come
        #[arg(long, short)]
        follow: bool,
    },
    /// Show the steps of this boot with their times
    Boot,
    /// Get credentials of an administrator of the Kubernetes API
    Kubeconfig(KubeconfigArgs),
    /// Stop everything and start the machine again
    Reboot(PowerArgs),
    /// Stop everything and switch the machine off
    Shutdown(PowerArgs),
    /// Manage the orlopconfig and the operator's key
    #[command(subcommand)]
    Config(ConfigCommand),
}

#[derive(Debug, Args)]
pub(crate) struct ServiceArgs {
    /// Name of the service
    pub(crate) name: String,
    #[command(subcommand)]
    pub(crate) action: ServiceAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ServiceAction {
    /// Stop it and start it again
    Restart,
    /// Send a signal to its main process
    Kill {
        /// Number of the signal
        #[arg(long, short, value_name = "NUMBER", default_value_t = 9, value_parser = clap::value_parser!(i32).range(1..=64))]
        signal: i32,
    },
}

#[derive(Debug, Args)]
pub(crate) struct KubeconfigArgs {
    /// File to write; `-` prints it
    #[arg(default_value = "kubeconfig")]
    pub(crate) path: String,
    /// Overwrite the file
    #[arg(long, short)]
    pub(crate) force: bool,
    /// Server to write into the file instead of the one that the machine names
    #[arg(long, value_name = "URL")]
    pub(crate) server: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct PowerArgs {
    /// Why; printed on the console and kept
    #[arg(long, value_name = "TEXT", default_value = "asked for by an operator")]
    pub(crate) reason: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// List the contexts
    Contexts,
    /// Make an operator's key and the request that a machine signs
    NewOperator {
        /// File for the private key, which stays here
        #[arg(long, value_name = "FILE", default_value = "operator.key")]
        key: PathBuf,
        /// File for the certificate request, which goes to the machine
        #[arg(long, value_name = "FILE", default_value = "operator.csr")]
        csr: PathBuf,
        /// Common name: who the audit log shall name
        #[arg(long, default_value = "operator")]
        name: String,
    },
    /// Take the certificates that a machine returned for a request
    Import {
        /// PEM file: the operator's certificate, then the authority of the machine API
        bundle: PathBuf,
        /// The private key that belongs to the request
        #[arg(long, value_name = "FILE", default_value = "operator.key")]
        key: PathBuf,
        /// Name of the context to write
        #[arg(long, default_value = "default")]
        name: String,
    },
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| format!("{text:?} is not a number of seconds"))?;
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| format!("{text:?} is not a span of time"))
}

fn default_config() -> PathBuf {
    std::env::home_dir().unwrap_or_default().join(".orlop").join("config")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definitions_fit_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_signal_out_of_range_is_refused() {
        assert!(Cli::try_parse_from(["orlopctl", "service", "store", "kill", "--signal", "0"]).is_err());
        assert!(Cli::try_parse_from(["orlopctl", "service", "store", "kill", "--signal", "9"]).is_ok());
        assert!(Cli::try_parse_from(["orlopctl", "services", "--timeout", "0"]).is_err());
    }
}
