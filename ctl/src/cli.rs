//! What can be typed.

use std::path::PathBuf;
use std::time::Duration;

use claim::Code;
use clap::{Args, Parser, Subcommand, ValueEnum};
use ledger::Head;

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
    Services,
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
    /// Show who called what, and what the machine did by itself
    Audit(AuditArgs),
    /// Show the steps of this boot with their times
    Boot,
    /// Claim a machine that nobody has claimed, with the code on its console
    Claim(ClaimArgs),
    /// Renew the operator's certificate of this context while it is valid
    Login,
    /// List every certificate and authority of the machine, and the operator's own
    Certs {
        /// How to print
        #[arg(long, short, value_enum, default_value_t = Output::Table)]
        output: Output,
    },
    /// Sign another operator's certificate request
    Issue(IssueArgs),
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
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct AuditArgs {
    #[command(subcommand)]
    pub(crate) command: Option<AuditCommand>,
    /// Go on with records as they come
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// At most this many of the newest records
    #[arg(long, value_name = "RECORDS")]
    pub(crate) tail: Option<u32>,
    /// Number of the first record
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub(crate) from: u64,
    /// How to print
    #[arg(long, short, value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Check that no record was changed, removed or put in; names the first bad one
    Verify {
        /// What an earlier check printed: the log must still hold that record
        #[arg(long, value_name = "NUMBER:HASH", value_parser = head)]
        head: Option<Head>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ClaimArgs {
    /// The machine: a name or an address, with or without a port
    pub(crate) address: String,
    /// The code on its console; asked for if it is not given
    #[arg(long, value_name = "XXXX-XXXX")]
    pub(crate) code: Option<Code>,
    /// Common name of the certificate: who the audit log shall name
    #[arg(long, default_value = "operator")]
    pub(crate) name: String,
}

#[derive(Debug, Args)]
pub(crate) struct IssueArgs {
    /// The other operator's request (orlopctl config new-operator)
    pub(crate) csr: PathBuf,
    /// Common name of the certificate: who the audit log shall name
    #[arg(long)]
    pub(crate) name: String,
    /// What the other operator may do
    #[arg(long, value_enum, default_value_t = IssuedRole::Reader)]
    pub(crate) role: IssuedRole,
    /// File for the certificate and that of the authority
    #[arg(long, value_name = "FILE", default_value = "operator.pem")]
    pub(crate) bundle: PathBuf,
}

/// A role that one operator can give to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum IssuedRole {
    Reader,
    Operator,
    Admin,
}

impl std::fmt::Display for IssuedRole {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Reader => "reader",
            Self::Operator => "operator",
            Self::Admin => "admin",
        })
    }
}

/// How a list is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    Table,
    Json,
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

fn head(text: &str) -> Result<Head, String> {
    let (seq, hash) = text.split_once(':').ok_or("a number, a colon and a hash")?;
    Ok(Head {
        seq: seq.parse().map_err(|_| format!("{seq:?} is not the number of a record"))?,
        hash: hash.parse().map_err(|error: ledger::NoHash| error.to_string())?,
    })
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
