//! The command line: as written, then as checked. Names and defaults are kube-controller-manager's.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Parser};
use controller_manager_core::election::{Timing, TimingError};
use controller_manager_core::go_duration;
use controller_manager_core::selection::{self, UnknownController};

use crate::controllers;

/// Keeps desired and actual state together: runs the controllers of a cluster.
#[derive(Debug, Parser)]
#[command(name = "kube-controller-manager", version)]
pub(crate) struct Flags {
    /// Kubeconfig file that says how to reach the API server; without it, the service account of the pod is used.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,

    /// Certificates to publish in every namespace for verifying the API server.
    #[arg(long, value_name = "FILE")]
    root_ca_file: Option<PathBuf>,

    /// Controllers to run: '*' for all that are on by default, 'foo' switches foo on, '-foo' switches it off.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', default_value = "*", allow_hyphen_values = true)]
    controllers: Vec<String>,

    /// How many namespaces are emptied at the same time.
    #[arg(long, value_name = "NUMBER", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..))]
    concurrent_namespace_syncs: u16,

    /// Whether only one of several copies works at a time.
    #[arg(long, value_name = "BOOL", default_value_t = true, default_missing_value = "true", num_args = 0..=1,
          require_equals = true, action = ArgAction::Set)]
    leader_elect: bool,

    /// How long the other copies wait for a silent leader.
    #[arg(long, value_name = "DURATION", default_value = "15s", value_parser = go_duration::parse)]
    leader_elect_lease_duration: Duration,

    /// How long a leader works without having renewed its lease.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = go_duration::parse)]
    leader_elect_renew_deadline: Duration,

    /// The time between two tries to get or renew the lease.
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = go_duration::parse)]
    leader_elect_retry_period: Duration,

    /// The name of the Lease object.
    #[arg(long, value_name = "NAME", default_value = "kube-controller-manager")]
    leader_elect_resource_name: String,

    /// The namespace of the Lease object.
    #[arg(long, value_name = "NAME", default_value = "kube-system")]
    leader_elect_resource_namespace: String,

    /// The address on which health is served.
    #[arg(long, value_name = "IP", default_value_t = IpAddr::V4(Ipv4Addr::UNSPECIFIED))]
    bind_address: IpAddr,

    /// The port on which health is served with TLS; 0 serves nothing.
    #[arg(long, value_name = "PORT", default_value_t = 10257)]
    secure_port: u16,

    /// The certificate (and chain) of the health endpoint; without it, one is made at each start.
    #[arg(long, value_name = "FILE", requires = "tls_private_key_file")]
    tls_cert_file: Option<PathBuf>,

    /// The key of --tls-cert-file.
    #[arg(long, value_name = "FILE", requires = "tls_cert_file")]
    tls_private_key_file: Option<PathBuf>,

    /// Authorities of clients that may read /metrics; without it, nobody may.
    #[arg(long, value_name = "FILE")]
    client_ca_file: Option<PathBuf>,
}

/// What is wrong with the command line beyond its form.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FlagError {
    #[error("--controllers")]
    Controllers(#[source] UnknownController),
    #[error("--leader-elect-*")]
    Timing(#[source] TimingError),
}

/// The checked command line.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) kubeconfig: Option<PathBuf>,
    pub(crate) root_ca_file: Option<PathBuf>,
    /// Full names of the controllers that run.
    pub(crate) controllers: Vec<&'static str>,
    pub(crate) concurrent_namespaces: usize,
    /// `None`: work without an election.
    pub(crate) election: Option<LeaseOptions>,
    /// `None`: serve nothing.
    pub(crate) health: Option<HealthOptions>,
}

/// Where and how the election is held.
#[derive(Debug, Clone)]
pub(crate) struct LeaseOptions {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) timing: Timing,
}

/// Where and how health is served.
#[derive(Debug, Clone)]
pub(crate) struct HealthOptions {
    pub(crate) address: IpAddr,
    pub(crate) port: u16,
    /// Certificate and key.
    pub(crate) identity: Option<(PathBuf, PathBuf)>,
    pub(crate) client_ca: Option<PathBuf>,
}

impl Flags {
    /// Checks what the parser could not. All errors are reported at once.
    pub(crate) fn check(self) -> Result<Options, Vec<FlagError>> {
        let mut errors = Vec::new();
        let controllers = selection::select(&self.controllers, &controllers::names()).unwrap_or_else(|unknown| {
            errors.extend(unknown.into_iter().map(FlagError::Controllers));
            Vec::new()
        });
        let timing = Timing {
            lease_duration: self.leader_elect_lease_duration,
            renew_deadline: self.leader_elect_renew_deadline,
            retry_period: self.leader_elect_retry_period,
        };
        if self.leader_elect
            && let Err(error) = timing.check()
        {
            errors.push(FlagError::Timing(error));
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Options {
            kubeconfig: self.kubeconfig,
            root_ca_file: self.root_ca_file,
            controllers,
            concurrent_namespaces: self.concurrent_namespace_syncs.into(),
            election: self.leader_elect.then_some(LeaseOptions {
                namespace: self.leader_elect_resource_namespace,
                name: self.leader_elect_resource_name,
                timing,
            }),
            health: (self.secure_port != 0).then_some(HealthOptions {
                address: self.bind_address,
                port: self.secure_port,
                identity: self.tls_cert_file.zip(self.tls_private_key_file),
                client_ca: self.client_ca_file,
            }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Flags {
        Flags::try_parse_from([&["kube-controller-manager"], args].concat()).unwrap()
    }

    #[test]
    fn the_defaults_are_upstreams() {
        let options = parse(&[]).check().unwrap();
        let lease = options.election.unwrap();
        assert_eq!((lease.namespace.as_str(), lease.name.as_str()), ("kube-system", "kube-controller-manager"));
        assert_eq!(lease.timing.lease_duration, Duration::from_secs(15));
        assert_eq!(options.health.unwrap().port, 10257);
        assert_eq!(options.controllers.len(), controllers::names().len());
    }

    #[test]
    fn the_forms_that_people_write_are_understood() {
        let options =
            parse(&["--leader-elect=false", "--controllers=-namespace,*", "--secure-port=0"]).check().unwrap();
        assert!(options.election.is_none() && options.health.is_none());
        assert!(!options.controllers.contains(&"namespace-controller"));
        assert!(parse(&["--leader-elect"]).check().unwrap().election.is_some());
        let options = parse(&["--controllers", "*", "--controllers", "-namespace"]).check().unwrap();
        assert!(!options.controllers.contains(&"namespace-controller"));
    }

    #[test]
    fn all_mistakes_are_reported_at_once() {
        let errors = parse(&["--controllers=*,foo,-bar", "--leader-elect-renew-deadline=20s"]).check().unwrap_err();
        assert_eq!(errors.len(), 3);
        assert!(Flags::try_parse_from(["x", "--tls-cert-file=a"]).is_err(), "a certificate without its key");
        assert!(Flags::try_parse_from(["x", "--leader-elect-retry-period=5"]).is_err());
    }
}
