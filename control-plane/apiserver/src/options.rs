//! The command line: kube-apiserver's flag names, read as written and then checked as a whole.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::time::Duration;

use apiserver_core::kinds::service::Cidr;
use clap::{ArgAction, ArgMatches, CommandFactory as _, FromArgMatches as _, Parser};

use crate::authentication::options::{AuthenticationFlags, AuthenticationOptions};
use crate::authorization::Mode;
use crate::{admission, duration};

/// The flags as written.
#[derive(Debug, Parser)]
#[command(name = "kube-apiserver", version, about = "The Kubernetes API server of Orlop.")]
pub(crate) struct Flags {
    /// Stores to connect to (`scheme://host:port`), comma separated.
    #[arg(long, value_delimiter = ',', required = true)]
    etcd_servers: Vec<String>,
    /// Authority that signed the store's certificate.
    #[arg(long)]
    etcd_cafile: Option<PathBuf>,
    /// Certificate shown to the store.
    #[arg(long)]
    etcd_certfile: Option<PathBuf>,
    /// Private key shown to the store.
    #[arg(long)]
    etcd_keyfile: Option<PathBuf>,
    /// Prefix of every key in the store.
    #[arg(long, default_value = "/registry")]
    etcd_prefix: String,
    /// How often old revisions are compacted away; 0s turns it off.
    #[arg(long, default_value = "5m", value_parser = duration::parse)]
    etcd_compaction_interval: Duration,
    /// Authority of client certificates.
    #[arg(long)]
    client_ca_file: PathBuf,
    /// Certificate of this server.
    #[arg(long)]
    tls_cert_file: PathBuf,
    /// Private key of this server.
    #[arg(long)]
    tls_private_key_file: PathBuf,
    /// Address to listen on.
    #[arg(long, default_value = "::")]
    bind_address: IpAddr,
    /// Port to listen on; 0 takes any free one.
    #[arg(long, default_value_t = 6443)]
    secure_port: u16,
    /// Address other members of the cluster reach this server at.
    #[arg(long)]
    advertise_address: Option<IpAddr>,
    /// Range of cluster addresses for Services; one of each family, comma separated, for both.
    #[arg(long, default_value = "10.96.0.0/12")]
    service_cluster_ip_range: String,
    /// Range of node ports for Services.
    #[arg(long, default_value = "30000-32767")]
    service_node_port_range: String,
    #[command(flatten)]
    authentication: AuthenticationFlags,
    /// Who decides what requests may do, in the order they are asked: Node, RBAC, `AlwaysAllow`, `AlwaysDeny`.
    #[arg(long, default_value = "Node,RBAC")]
    authorization_mode: String,
    /// How long an event is kept.
    #[arg(long, default_value = "1h", value_parser = duration::parse)]
    event_ttl: Duration,
    /// Deadline of a request that is not long running.
    #[arg(long, default_value = "1m", value_parser = duration::parse)]
    request_timeout: Duration,
    /// Shortest life of a watch that names no timeout, in seconds; the real one is up to twice as long.
    #[arg(long, default_value_t = 1800)]
    min_request_timeout: u64,
    /// Reading requests served at once.
    #[arg(long, default_value_t = 400)]
    max_requests_inflight: usize,
    /// Changing requests served at once.
    #[arg(long, default_value_t = 200)]
    max_mutating_requests_inflight: usize,
    /// Lets levels and flows of requests share the server as `FlowSchema`s and `PriorityLevelConfiguration`s say, over the sum of
    /// both limits above. Without it they are the limits.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
    enable_priority_and_fairness: bool,
    /// How likely an HTTP/2 request is to have its client connect anew, so that clients spread over servers; 0.02 at most.
    #[arg(long, default_value_t = 0.0)]
    goaway_chance: f64,
    /// Keeps listening while requests finish at the end, and answers new ones that they are to be sent elsewhere.
    #[arg(long, default_value_t = false, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    shutdown_send_retry_after: bool,
    /// How long watches take to end at the end: so many of them at once would come back to the others at once.
    #[arg(long, default_value = "0s", value_parser = duration::parse)]
    shutdown_watch_termination_grace_period: Duration,
    /// How long the server keeps serving after it was told to stop, so that balancers see it go.
    #[arg(long, default_value = "0s", value_parser = duration::parse)]
    shutdown_delay_duration: Duration,
    /// Admission plugins to turn on besides those that are on by default.
    #[arg(long, value_delimiter = ',')]
    enable_admission_plugins: Vec<String>,
    /// Admission plugins to turn off although they are on by default.
    #[arg(long, value_delimiter = ',')]
    disable_admission_plugins: Vec<String>,
    /// The admission configuration.
    #[arg(long)]
    admission_control_config_file: Option<PathBuf>,
    /// Seconds that pods stay on a node that is not ready, unless they say otherwise.
    #[arg(long, default_value_t = 300)]
    default_not_ready_toleration_seconds: i64,
    /// Seconds that pods stay on a node that cannot be reached, unless they say otherwise.
    #[arg(long, default_value_t = 300)]
    default_unreachable_toleration_seconds: i64,
    /// File to write the address listened on to, once it is known.
    #[arg(long)]
    listen_address_file: Option<PathBuf>,
}

/// Where and how to reach the store.
#[derive(Debug, Clone)]
pub(crate) struct StoreOptions {
    /// `scheme://host:port` of each member.
    pub(crate) endpoints: Vec<String>,
    /// Files of the mutual TLS connection; none for plain text.
    pub(crate) tls: Option<StoreTls>,
    /// Zero turns compaction off.
    pub(crate) compaction_interval: Duration,
}

/// Files of the connection to the store.
#[derive(Debug, Clone)]
pub(crate) struct StoreTls {
    /// Authority of the store's certificate.
    pub(crate) authority: PathBuf,
    /// Certificate and key shown to the store.
    pub(crate) identity: Option<(PathBuf, PathBuf)>,
}

/// The flags, checked.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// The store.
    pub(crate) store: StoreOptions,
    /// Authority of client certificates.
    pub(crate) client_ca: PathBuf,
    /// Certificate and key of this server.
    pub(crate) serving: (PathBuf, PathBuf),
    /// Where to listen.
    pub(crate) listen: SocketAddr,
    /// Where others reach this server.
    pub(crate) advertise: IpAddr,
    /// Ranges of cluster addresses: of one family or of both, the default one first.
    pub(crate) service_ranges: Vec<Cidr>,
    /// First and last node port.
    pub(crate) node_ports: (u16, u16),
    /// Who is let in.
    pub(crate) authentication: AuthenticationOptions,
    /// Who decides what requests may do.
    pub(crate) authorization: Vec<Mode>,
    /// Life of an event.
    pub(crate) event_ttl: Duration,
    /// Deadline of an ordinary request.
    pub(crate) request_timeout: Duration,
    /// Shortest life of a watch without a timeout of its own.
    pub(crate) min_watch: Duration,
    /// Reading requests at once.
    pub(crate) max_reads: usize,
    /// Changing requests at once.
    pub(crate) max_writes: usize,
    /// Whether levels and flows share the server.
    pub(crate) fairness: bool,
    /// How likely a request ends its connection.
    pub(crate) goaway_chance: f64,
    /// Whether to answer what comes while requests finish.
    pub(crate) send_retry_after: bool,
    /// How long watches take to end.
    pub(crate) watch_grace: Duration,
    /// Serving time after the order to stop.
    pub(crate) shutdown_delay: Duration,
    /// What writes pass.
    pub(crate) admission: admission::Flags,
    /// Where to write the address listened on.
    pub(crate) listen_address_file: Option<PathBuf>,
    /// Every flag and what it is, given or not, for whoever asks how the server was started.
    pub(crate) flags: BTreeMap<String, String>,
}

/// Every bad flag, one per line.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{}", .0.join("; "))]
pub(crate) struct Invalid(Vec<String>);

impl Flags {
    /// Reads a command line and checks it.
    ///
    /// # Errors
    ///
    /// What clap makes of flags that cannot be read; the inner error is for those that do not fit together.
    pub(crate) fn read(args: impl IntoIterator<Item = OsString>) -> Result<Result<Options, Invalid>, clap::Error> {
        let mut command = Self::command();
        let matches = command.try_get_matches_from_mut(args)?;
        let shown =
            command.get_arguments().filter_map(|flag| Some((flag.get_long()?.to_owned(), shown(flag, &matches)?)));
        let flags: BTreeMap<_, _> = shown.collect();
        Ok(Self::from_arg_matches(&matches)?.check().map(|options| Options { flags, ..options }))
    }

    /// Checks the flags together and reports every bad one at once.
    pub(crate) fn check(self) -> Result<Options, Invalid> {
        let mut errors = Vec::new();
        let secure = self.etcd_servers.iter().all(|server| server.starts_with("https://"));
        let plain = self.etcd_servers.iter().all(|server| server.starts_with("http://"));
        if !secure && !plain {
            errors.push("--etcd-servers: every server needs the same scheme, https:// or http://".to_owned());
        }
        let identity = match (self.etcd_certfile, self.etcd_keyfile) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => None,
            _ => {
                errors.push("--etcd-certfile and --etcd-keyfile go together".to_owned());
                None
            }
        };
        let tls = match (secure, self.etcd_cafile) {
            (true, Some(authority)) => Some(StoreTls { authority, identity }),
            (true, None) => {
                errors.push("--etcd-cafile is required with https:// servers".to_owned());
                None
            }
            (false, _) => None,
        };
        if self.etcd_prefix.trim_end_matches('/') != "/registry" {
            errors.push("--etcd-prefix: only /registry is supported".to_owned());
        }
        let service_ranges = service_ranges(&self.service_cluster_ip_range).unwrap_or_else(|why| {
            errors.push(format!("--service-cluster-ip-range: {why}"));
            Vec::new()
        });
        let node_ports = port_range(&self.service_node_port_range).unwrap_or_else(|why| {
            errors.push(format!("--service-node-port-range: {why}"));
            (0, 0)
        });
        if self.enable_priority_and_fairness
            && self.max_requests_inflight == 0
            && self.max_mutating_requests_inflight == 0
        {
            errors.push(
                "--max-requests-inflight and --max-mutating-requests-inflight: the sum must be above zero".to_owned(),
            );
        }
        if !(0.0..=0.02).contains(&self.goaway_chance) {
            errors.push("--goaway-chance can not be less than 0 or greater than 0.02".to_owned());
        }
        let authorization = Mode::parse(&self.authorization_mode).unwrap_or_else(|why| {
            errors.push(format!("--authorization-mode: {why}"));
            Vec::new()
        });
        if self.request_timeout.is_zero() {
            errors.push("--request-timeout: must be above zero".to_owned());
        }
        if self.event_ttl.as_secs() == 0 {
            errors.push("--event-ttl: must be at least one second".to_owned());
        }
        let advertise = self.advertise_address.unwrap_or_else(|| default_address(self.bind_address));
        let external = SocketAddr::new(advertise, self.secure_port).to_string();
        let authentication = self.authentication.check(&self.tls_private_key_file, external, &mut errors);
        if !errors.is_empty() {
            return Err(Invalid(errors));
        }
        Ok(Options {
            store: StoreOptions {
                endpoints: self.etcd_servers,
                tls,
                compaction_interval: self.etcd_compaction_interval,
            },
            client_ca: self.client_ca_file,
            serving: (self.tls_cert_file, self.tls_private_key_file),
            listen: SocketAddr::new(self.bind_address, self.secure_port),
            advertise,
            service_ranges,
            node_ports,
            authentication,
            authorization,
            event_ttl: self.event_ttl,
            request_timeout: self.request_timeout,
            min_watch: Duration::from_secs(self.min_request_timeout),
            max_reads: self.max_requests_inflight,
            max_writes: self.max_mutating_requests_inflight,
            fairness: self.enable_priority_and_fairness,
            goaway_chance: self.goaway_chance,
            send_retry_after: self.shutdown_send_retry_after,
            watch_grace: self.shutdown_watch_termination_grace_period,
            shutdown_delay: self.shutdown_delay_duration,
            admission: admission::Flags {
                on: self.enable_admission_plugins,
                off: self.disable_admission_plugins,
                file: self.admission_control_config_file,
                not_ready_seconds: self.default_not_ready_toleration_seconds,
                unreachable_seconds: self.default_unreachable_toleration_seconds,
            },
            listen_address_file: self.listen_address_file,
            flags: BTreeMap::new(),
        })
    }
}

/// The value of a flag as Go's programs show theirs; `None` for what is no flag of ours, such as `--help`.
fn shown(flag: &clap::Arg, matches: &ArgMatches) -> Option<String> {
    if !flag.get_action().takes_values() {
        return None;
    }
    let values = matches.try_get_raw(flag.get_id().as_str()).ok()?;
    let values: Vec<_> = values.into_iter().flatten().map(|value| value.to_string_lossy()).collect();
    let many = matches!(flag.get_action(), ArgAction::Append);
    Some(if many { format!("[{}]", values.join(",")) } else { values.join(",") })
}

/// The address others reach this machine at: the one listened on or, if that says nothing, that of the interface which
/// leads out. Asking the kernel sends nothing.
fn default_address(bind: IpAddr) -> IpAddr {
    if !bind.is_unspecified() && !bind.is_loopback() {
        return bind;
    }
    UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))
        .and_then(|socket| socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).and_then(|()| socket.local_addr()))
        .map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |address| address.ip())
}

/// Reads one range, or one of each family. Host bits must be zero, some must be left, and no range is larger than what upstream's
/// allocators can search.
fn service_ranges(text: &str) -> Result<Vec<Cidr>, String> {
    let mut ranges: Vec<Cidr> = Vec::new();
    for one in text.split(',') {
        let range = Cidr::parse(one).ok_or_else(|| format!("{one:?} is not address/length"))?;
        if range.to_string() != one {
            return Err(format!("{one} has bits set behind its prefix (or is not written as {range})"));
        }
        let (least, most) = if range.family() == "IPv4" { (8, 30) } else { (64, 126) };
        if !(least..=most).contains(&range.bits()) {
            return Err(format!("prefix length {} is not between {least} and {most}", range.bits()));
        }
        if ranges.len() == 2 || ranges.iter().any(|other| other.family() == range.family()) {
            return Err(format!("{text}: at most one range of each family"));
        }
        ranges.push(range);
    }
    Ok(ranges)
}

fn port_range(text: &str) -> Result<(u16, u16), String> {
    let (first, last) = text.split_once('-').ok_or_else(|| format!("{text:?} is not first-last"))?;
    let first: u16 = first.parse().map_err(|_| format!("{first:?} is not a port"))?;
    let last: u16 = last.parse().map_err(|_| format!("{last:?} is not a port"))?;
    if first == 0 || last < first { Err(format!("{text:?} is empty")) } else { Ok((first, last)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEEDED: [&str; 6] = [
        "kube-apiserver",
        "--client-ca-file=ca",
        "--tls-cert-file=crt",
        "--tls-private-key-file=key",
        "--etcd-cafile=e",
        "--etcd-servers=https://a:2379,https://b:2379",
    ];

    fn parse(more: &[&str]) -> Result<Options, Invalid> {
        Flags::read(NEEDED.iter().chain(more).map(OsString::from)).unwrap()
    }

    #[test]
    fn upstream_flags_are_understood() {
        let options =
            parse(&["--service-cluster-ip-range=10.0.0.0/24", "--event-ttl=1h30m", "--secure-port=0"]).unwrap();
        assert_eq!(options.store.endpoints.len(), 2);
        assert_eq!(options.service_ranges[0].to_string(), "10.0.0.0/24");
        assert_eq!(options.event_ttl, Duration::from_mins(90));
        assert!(!options.authentication.anonymous);
    }

    #[test]
    fn every_flag_is_shown_with_what_it_is() {
        let flags = parse(&["--event-ttl=1h30m"]).unwrap().flags;
        let shown = |name: &str| flags.get(name).map(String::as_str);
        assert_eq!(shown("event-ttl"), Some("1h30m"));
        assert_eq!(shown("secure-port"), Some("6443"));
        assert_eq!(shown("etcd-servers"), Some("[https://a:2379,https://b:2379]"));
        assert_eq!(shown("advertise-address"), Some(""));
        assert_eq!((shown("help"), shown("version")), (None, None));
    }

    #[test]
    fn every_bad_flag_is_named_at_once() {
        let error = parse(&[
            "--service-cluster-ip-range=10.0.0.1/24",
            "--service-node-port-range=9-3",
            "--etcd-certfile=only",
            "--etcd-prefix=none",
            "--goaway-chance=0.03",
            "--authorization-mode=RBAC,Nodes",
            "--max-requests-inflight=0",
            "--max-mutating-requests-inflight=0",
        ])
        .unwrap_err();
        for flag in [
            "service-cluster-ip-range",
            "service-node-port-range",
            "etcd-certfile",
            "etcd-prefix",
            "goaway-chance",
            "authorization-mode",
            "max-requests-inflight",
        ] {
            assert!(error.to_string().contains(flag), "{flag} is missing in {error}");
        }
    }

    #[test]
    fn ranges_are_of_different_families() {
        let shown = |text: &str| service_ranges(text).map(|all| all.iter().map(Cidr::to_string).collect::<Vec<_>>());
        assert_eq!(shown("10.96.0.0/12"), Ok(vec!["10.96.0.0/12".to_owned()]));
        assert_eq!(shown("fd00::/108,10.0.0.0/24").map(|all| all.len()), Ok(2));
        for bad in [
            "10.96.0.0",
            "10.96.0.1/12",
            "10.96.0.0/31",
            "fd00::/48",
            "10.0.0.0/x",
            "10.0.0.0/24,10.1.0.0/24",
            "10.0.0.0/24,fd00::/108,fd01::/108",
        ] {
            assert!(shown(bad).is_err(), "{bad} was taken");
        }
    }
}
