//! The configuration, checked: every mistake is reported before anything starts.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use store_core::auto_compaction::Policy;
use store_core::founding::Plan;
use store_core::watch::hub::Limits;

use crate::access::Settings;
use crate::access::options::TokenKind;
use crate::backup;
use crate::flags::Flags;
use crate::peers::address::PeerAddress;
use crate::snapshot::schedule::Schedule;

/// Requests may be this much larger on the wire than in the log, as with etcd.
const WIRE_OVERHEAD: usize = 512 << 10;
const DEFAULT_QUOTA: i64 = 2 << 30;
const RECENT_BYTES: usize = 8 << 20;

/// One thing that is wrong with the command line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("--{flag}: {problem}")]
pub struct Mistake {
    /// The flag.
    pub flag: &'static str,
    /// What is wrong with it.
    pub problem: String,
}

/// An address to serve on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// The address.
    pub address: SocketAddr,
    /// Whether TLS is spoken.
    pub tls: bool,
    /// As it was written.
    pub url: String,
}

/// The files of a TLS server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate chain.
    pub cert: PathBuf,
    /// The key.
    pub key: PathBuf,
    /// The authorities of clients.
    pub authorities: PathBuf,
    /// Whether a client must show a certificate.
    pub required: bool,
}

/// How a member without data begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beginning {
    /// It founds a cluster with the others.
    New,
    /// It was added to a cluster and joins it.
    Existing,
}

/// How damage is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Integrity {
    /// Whether a member that starts compares its state with the others' first.
    pub compare_first: bool,
    /// How often the leader compares the states of all members.
    pub compare_every: Option<Duration>,
    /// How often a member reads its whole state again.
    pub scrub_every: Option<Duration>,
}

/// What a member runs with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Its name.
    pub name: String,
    /// Its folder.
    pub data_dir: PathBuf,
    /// Where clients are served.
    pub clients: Vec<Listen>,
    /// Where the plain observers' pages are served.
    pub observers: Vec<Listen>,
    /// What clients are told to connect to.
    pub advertised: Vec<String>,
    /// Where members are served.
    pub peers: Vec<Listen>,
    /// What members are told to connect to.
    pub peer_urls: Vec<String>,
    /// TLS between members; there whenever a peer URL is https.
    pub peer_tls: Option<TlsFiles>,
    /// The members that are named on the command line, this one among them.
    pub plan: Plan,
    /// What to do without data.
    pub beginning: Beginning,
    /// Whether it goes on alone, whoever else is in its cluster.
    pub alone: bool,
    /// Whether changes of members that could cost the quorum are refused.
    pub strict_reconfig_check: bool,
    /// TLS for clients; there whenever a client URL is https.
    pub tls: Option<TlsFiles>,
    /// Bytes of live data; `None` = no limit.
    pub quota: Option<u64>,
    /// The largest command.
    pub max_request_bytes: usize,
    /// The most operations in a transaction.
    pub max_txn_ops: usize,
    /// Between heartbeats.
    pub heartbeat: Duration,
    /// Until an election.
    pub election: Duration,
    /// Entries between flushes.
    pub snapshot_count: u64,
    /// For idle watchers.
    pub progress_every: Duration,
    /// Snapshots from time to time.
    pub snapshots: Option<Schedule>,
    /// A continuous backup.
    pub backup: Option<backup::options::Plan>,
    /// How damage is looked for.
    pub integrity: Integrity,
    /// How clients are known.
    pub access: Settings,
    /// What is kept when compacting without being asked; `None` = only who asks compacts.
    pub auto_compaction: Option<Policy>,
    /// The most calls and streams one connection may have under way.
    pub max_concurrent_streams: u32,
    /// After how much silence a connection is asked whether it is still there, and how long it may take to say so.
    pub keep_alive: (Duration, Duration),
}

impl Config {
    /// Checks flags. All mistakes are in the answer, not just the first.
    pub fn check(flags: Flags) -> Result<Self, Vec<Mistake>> {
        let mut mistakes = Vec::new();
        let mut wrong = |flag, problem: String| mistakes.push(Mistake { flag, problem });
        let clients = listens("listen-client-urls", &flags.listen_client_urls, &mut wrong);
        let observers = listens("listen-metrics-urls", &flags.listen_metrics_urls, &mut wrong);
        let peers = listens("listen-peer-urls", &flags.listen_peer_urls, &mut wrong);
        if flags.level().is_none() {
            wrong("log-level", format!("`{}` is no level", flags.log_level));
        }
        if clients.is_empty() && flags.listen_client_urls.is_empty() {
            wrong("listen-client-urls", "at least one URL is needed".to_owned());
        }
        let tls = match (flags.cert_file, flags.key_file, flags.trusted_ca_file) {
            (Some(cert), Some(key), Some(authorities)) => {
                Some(TlsFiles { cert, key, authorities, required: flags.client_cert_auth })
            }
            (None, None, None) => None,
            _ => {
                wrong("cert-file", "--cert-file, --key-file and --trusted-ca-file go together".to_owned());
                None
            }
        };
        if tls.is_none() && clients.iter().chain(&observers).any(|listen| listen.tls) {
            wrong("cert-file", "an https:// URL needs --cert-file, --key-file and --trusted-ca-file".to_owned());
        }
        if tls.is_none() && flags.client_cert_auth {
            wrong("client-cert-auth", "needs --trusted-ca-file".to_owned());
        }
        let peer_urls = if flags.initial_advertise_peer_urls.is_empty() {
            flags.listen_peer_urls.clone()
        } else {
            flags.initial_advertise_peer_urls.clone()
        };
        let addresses: Vec<_> = peer_urls
            .iter()
            .filter_map(|url| {
                let parsed = url.parse::<PeerAddress>();
                parsed.map_err(|problem| wrong("initial-advertise-peer-urls", format!("`{url}`: {problem}"))).ok()
            })
            .collect();
        let peer_tls = match (flags.peer_cert_file, flags.peer_key_file, flags.peer_trusted_ca_file) {
            (Some(cert), Some(key), Some(authorities)) => {
                Some(TlsFiles { cert, key, authorities, required: flags.peer_client_cert_auth })
            }
            (None, None, None) => None,
            _ => {
                let problem = "--peer-cert-file, --peer-key-file and --peer-trusted-ca-file go together";
                wrong("peer-cert-file", problem.to_owned());
                None
            }
        };
        if peer_tls.is_none() && (peers.iter().any(|listen| listen.tls) || addresses.iter().any(|address| address.tls))
        {
            let problem = "an https:// URL needs --peer-cert-file, --peer-key-file and --peer-trusted-ca-file";
            wrong("peer-cert-file", problem.to_owned());
        }
        if peer_tls.is_none() && flags.peer_client_cert_auth {
            wrong("peer-client-cert-auth", "needs --peer-trusted-ca-file".to_owned());
        }
        let members = initial_cluster(&flags.name, &peer_urls, &flags.initial_cluster, &mut wrong);
        let beginning = match flags.initial_cluster_state.as_str() {
            "new" => Beginning::New,
            "existing" => Beginning::Existing,
            other => {
                wrong("initial-cluster-state", format!("`{other}`: it is either `new` or `existing`"));
                Beginning::New
            }
        };
        if flags.heartbeat_interval == 0 || flags.election_timeout < 5 * flags.heartbeat_interval {
            wrong(
                "election-timeout",
                "must be at least five times --heartbeat-interval, which must not be 0".to_owned(),
            );
        }
        if flags.election_timeout > 50_000 {
            wrong("election-timeout", "must be at most 50000 milliseconds".to_owned());
        }
        if flags.max_txn_ops == 0 {
            wrong("max-txn-ops", "must not be 0".to_owned());
        }
        if flags.snapshot_count == 0 {
            wrong("snapshot-count", "must not be 0".to_owned());
        }
        let progress_every = duration(&flags.watch_progress_notify_interval).unwrap_or_else(|problem| {
            wrong("watch-progress-notify-interval", problem);
            Duration::ZERO
        });
        let tokens = TokenKind::parse(&flags.auth_token, duration).unwrap_or_else(|problem| {
            wrong("auth-token", problem);
            TokenKind::Simple
        });
        if flags.auth_token_ttl == 0 {
            wrong("auth-token-ttl", "must not be 0".to_owned());
        }
        if !(4..=31).contains(&flags.bcrypt_cost) {
            wrong("bcrypt-cost", "must be between 4 and 31".to_owned());
        }
        let auto_compaction = retention(&flags.auto_compaction_mode, &flags.auto_compaction_retention).unwrap_or_else(
            |(flag, problem)| {
                wrong(flag, problem);
                None
            },
        );
        let mut interval = |flag, text: &str| match duration(text) {
            Ok(time) if !time.is_zero() => time,
            Ok(_) => {
                wrong(flag, "must not be 0".to_owned());
                Duration::MAX
            }
            Err(problem) => {
                wrong(flag, problem);
                Duration::MAX
            }
        };
        let keep_alive = (
            interval("grpc-keepalive-interval", &flags.grpc_keepalive_interval),
            interval("grpc-keepalive-timeout", &flags.grpc_keepalive_timeout),
        );
        let compare_every = interval("compact-hash-check-time", &flags.integrity.compact_hash_check_time);
        if flags.max_concurrent_streams == 0 {
            wrong("max-concurrent-streams", "must not be 0".to_owned());
        }
        let scrub_every = duration(&flags.integrity.corrupt_check_time).unwrap_or_else(|problem| {
            wrong("corrupt-check-time", problem);
            Duration::ZERO
        });
        let integrity = Integrity {
            compare_first: flags.integrity.initial_corrupt_check,
            compare_every: flags.integrity.compact_hash_check_enabled.then_some(compare_every),
            scrub_every: (!scrub_every.is_zero()).then_some(scrub_every),
        };
        let access = Settings {
            tokens,
            ttl: Duration::from_secs(flags.auth_token_ttl),
            cost: flags.bcrypt_cost,
            by_certificate: flags.client_cert_auth,
        };
        let snapshots = flags.snapshots.snapshot_dir.map(|folder| {
            let every = duration(&flags.snapshots.snapshot_interval).unwrap_or_else(|problem| {
                wrong("snapshot-interval", problem);
                Duration::ZERO
            });
            if flags.snapshots.snapshot_retention == 0 {
                wrong("snapshot-retention", "must not be 0".to_owned());
            }
            let every = every.max(Duration::from_secs(1));
            Schedule {
                folder,
                every,
                keep: flags.snapshots.snapshot_retention,
                verify: flags.snapshots.snapshot_verify,
            }
        });
        let backup = flags.backup.check(duration, &mut wrong);
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        let advertised =
            if flags.advertise_client_urls.is_empty() { flags.listen_client_urls } else { flags.advertise_client_urls };
        Ok(Self {
            name: flags.name,
            data_dir: flags.data_dir,
            clients,
            observers,
            advertised,
            peers,
            peer_urls,
            peer_tls,
            plan: Plan::new(flags.initial_cluster_token, members),
            beginning,
            alone: flags.membership.force_new_cluster,
            strict_reconfig_check: flags.membership.strict_reconfig_check,
            tls,
            quota: match flags.quota_backend_bytes {
                0 => Some(DEFAULT_QUOTA.unsigned_abs()),
                bytes if bytes < 0 => None,
                bytes => Some(bytes.unsigned_abs()),
            },
            max_request_bytes: flags.max_request_bytes,
            max_txn_ops: flags.max_txn_ops,
            heartbeat: Duration::from_millis(flags.heartbeat_interval),
            election: Duration::from_millis(flags.election_timeout),
            snapshot_count: flags.snapshot_count,
            progress_every: progress_every.max(Duration::from_millis(100)),
            snapshots,
            backup,
            integrity,
            access,
            auto_compaction,
            max_concurrent_streams: flags.max_concurrent_streams,
            keep_alive,
        })
    }

    /// The largest message taken from the wire.
    #[must_use]
    pub fn max_message_bytes(&self) -> usize {
        self.max_request_bytes + WIRE_OVERHEAD
    }

    /// How long a leader may be silent before it counts as lost; also the longest an election waits.
    #[must_use]
    pub fn election_max(&self) -> Duration {
        self.election + self.election / 2
    }

    /// How long a request may take before the client is told that it timed out.
    #[must_use]
    pub fn request_timeout(&self) -> Duration {
        Duration::from_secs(5) + 2 * self.election
    }

    /// The shortest lease: one and a half elections, in whole seconds.
    #[must_use]
    pub fn min_lease_ttl(&self) -> i64 {
        let millis = self.election.as_millis() * 3 / 2;
        i64::try_from(millis.div_ceil(1000)).unwrap_or(i64::MAX)
    }

    /// Sizes and times of the watch hub.
    #[must_use]
    pub fn watch_limits(&self) -> Limits {
        Limits {
            message_bytes: self.max_request_bytes,
            recent_bytes: RECENT_BYTES,
            progress_every: self.progress_every,
        }
    }
}

/// The members named by `--initial-cluster`: names, each with its URLs.
fn initial_cluster(
    name: &str,
    peer_urls: &[String],
    entries: &[String],
    wrong: &mut impl FnMut(&'static str, String),
) -> BTreeMap<String, Vec<String>> {
    const FLAG: &str = "initial-cluster";
    let mut members: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for entry in entries.iter().map(|entry| entry.trim()).filter(|entry| !entry.is_empty()) {
        let Some((member, url)) = entry.split_once('=').filter(|(member, _)| !member.is_empty()) else {
            wrong(FLAG, format!("`{entry}`: it is to be <name>=<URL>"));
            continue;
        };
        if let Err(problem) = url.parse::<PeerAddress>() {
            wrong(FLAG, format!("`{url}`: {problem}"));
        }
        if !seen.insert(url) {
            wrong(FLAG, format!("`{url}`: duplicate peer URL"));
        }
        members.entry(member.to_owned()).or_default().push(url.to_owned());
    }
    if members.is_empty() {
        return BTreeMap::from([(name.to_owned(), peer_urls.to_vec())]);
    }
    match members.get(name) {
        None => wrong(FLAG, format!("couldn't find local name \"{name}\" in the initial cluster configuration")),
        Some(urls) => {
            let (mut told, mut own) = (urls.clone(), peer_urls.to_vec());
            told.sort();
            own.sort();
            if told != own {
                let own: Vec<_> = own.iter().map(|url| format!("{name}={url}")).collect();
                let given = peer_urls.join(",");
                wrong(FLAG, format!("must include {} given --initial-advertise-peer-urls={given}", own.join(",")));
            }
        }
    }
    members
}

fn listens(flag: &'static str, urls: &[String], wrong: &mut impl FnMut(&'static str, String)) -> Vec<Listen> {
    let mut found = Vec::new();
    for url in urls.iter().map(|url| url.trim()).filter(|url| !url.is_empty()) {
        match listen(url) {
            Ok(listen) => found.push(listen),
            Err(problem) => wrong(flag, format!("`{url}`: {problem}")),
        }
    }
    found
}

fn listen(url: &str) -> Result<Listen, &'static str> {
    let (scheme, rest) = url.split_once("://").ok_or("not a URL")?;
    let tls = match scheme {
        "http" => false,
        "https" => true,
        _ => return Err("only http:// and https:// are served"),
    };
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    let address = match authority.strip_prefix("localhost:") {
        Some(port) => SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port.parse().map_err(|_| "not a port")?),
        None => authority.parse().map_err(|_| "an IP address and a port are needed")?,
    };
    Ok(Listen { address, tls, url: url.to_owned() })
}

/// Reads what is kept of the history; a bare number is of hours or of revisions.
fn retention(mode: &str, text: &str) -> Result<Option<Policy>, (&'static str, String)> {
    let number = text.parse::<u32>().ok();
    let flag = "auto-compaction-retention";
    let policy = match (mode, number) {
        ("periodic" | "revision", Some(0)) => None,
        ("periodic", Some(hours)) => Some(Policy::Period(Duration::from_hours(1) * hours)),
        ("periodic", None) => {
            let period = duration(text).map_err(|problem| (flag, problem))?;
            (!period.is_zero()).then_some(Policy::Period(period))
        }
        ("revision", Some(count)) => Some(Policy::Revisions(i64::from(count))),
        ("revision", None) => return Err((flag, format!("`{text}` is no number of revisions"))),
        _ => return Err(("auto-compaction-mode", format!("`{mode}`: only `periodic` and `revision` are known"))),
    };
    Ok(policy)
}

/// Reads a duration as Go writes it, for example `10m`, `1m30s`, `100ms`.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no duration such as 10m or 100ms");
    let mut rest = text;
    let mut sum = Duration::ZERO;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let (number, tail) = rest.split_at(digits);
        let number: u32 = number.parse().map_err(|_| wrong())?;
        let letters = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let unit = match unit {
            "ms" => Duration::from_millis(1),
            "s" => Duration::from_secs(1),
            "m" => Duration::from_mins(1),
            "h" => Duration::from_hours(1),
            _ => return Err(wrong()),
        };
        sum = unit.checked_mul(number).and_then(|part| sum.checked_add(part)).ok_or_else(wrong)?;
        rest = tail;
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn check(flags: &[&str]) -> Result<Config, Vec<Mistake>> {
        Config::check(Flags::try_parse_from(std::iter::once("store").chain(flags.iter().copied())).unwrap())
    }

    #[test]
    fn the_defaults_are_etcds() {
        let config = check(&[]).unwrap();
        assert_eq!(config.clients[0].address, "127.0.0.1:2379".parse().unwrap());
        assert_eq!(config.advertised, ["http://localhost:2379"]);
        assert_eq!((config.quota, config.min_lease_ttl()), (Some(2 << 30), 2));
        assert_eq!(config.progress_every, Duration::from_mins(10));
        assert_eq!(config.request_timeout(), Duration::from_secs(7));
    }

    #[test]
    fn switches_are_read_as_go_writes_them() {
        let tls = ["--cert-file=c", "--key-file=k", "--trusted-ca-file=a"];
        for (switch, expected) in
            [("--client-cert-auth", true), ("--client-cert-auth=true", true), ("--client-cert-auth=false", false)]
        {
            let config = check(&[&tls[..], &[switch]].concat()).unwrap();
            assert_eq!(config.tls.unwrap().required, expected);
        }
    }

    #[test]
    fn every_mistake_is_named() {
        let mistakes = check(&[
            "--listen-client-urls=https://127.0.0.1:1,ftp://x",
            "--initial-cluster=default=http://localhost:2380,b=ftp://2,c",
            "--election-timeout=100",
            "--watch-progress-notify-interval=soon",
        ])
        .unwrap_err();
        let flags: Vec<_> = mistakes.iter().map(|mistake| mistake.flag).collect();
        assert_eq!(
            flags,
            [
                "listen-client-urls",
                "cert-file",
                "initial-cluster",
                "initial-cluster",
                "election-timeout",
                "watch-progress-notify-interval"
            ]
        );
        assert_eq!(mistakes[0].to_string(), "--listen-client-urls: `ftp://x`: only http:// and https:// are served");
    }

    #[test]
    fn the_initial_cluster_holds_this_member() {
        let config = check(&[
            "--name=b",
            "--initial-advertise-peer-urls=http://10.0.0.2:2380",
            "--initial-cluster=b=http://10.0.0.2:2380,a=http://10.0.0.1:2380,a=http://a.example:2380",
        ])
        .unwrap();
        let urls = |urls: &[&str]| urls.iter().map(ToString::to_string).collect::<Vec<_>>();
        let expected = [
            ("a".to_owned(), urls(&["http://10.0.0.1:2380", "http://a.example:2380"])),
            ("b".to_owned(), urls(&["http://10.0.0.2:2380"])),
        ];
        assert_eq!(config.plan.members(), expected);
        let alone = check(&["--name=b"]).unwrap();
        assert_eq!(alone.plan.members(), [("b".to_owned(), urls(&["http://localhost:2380"]))]);
        for (wrong, text) in [
            ("a=http://localhost:2380", "couldn't find local name \"default\" in the initial cluster configuration"),
            (
                "default=http://localhost:1",
                "must include default=http://localhost:2380 given --initial-advertise-peer-urls=http://localhost:2380",
            ),
            ("default=http://localhost:2380,a=http://localhost:2380", "`http://localhost:2380`: duplicate peer URL"),
        ] {
            let mistakes = check(&[&format!("--initial-cluster={wrong}")]).unwrap_err();
            assert_eq!(mistakes[0].problem, text);
        }
    }

    #[test]
    fn retention_is_a_time_or_a_number() {
        for (mode, text, expected) in [
            ("periodic", "0", None),
            ("periodic", "0s", None),
            ("revision", "0", None),
            ("periodic", "5", Some(Policy::Period(Duration::from_hours(5)))),
            ("periodic", "10m", Some(Policy::Period(Duration::from_mins(10)))),
            ("revision", "1000", Some(Policy::Revisions(1000))),
        ] {
            assert_eq!(retention(mode, text), Ok(expected), "{mode} {text}");
        }
        for (mode, text, flag) in [
            ("periodic", "-1", "auto-compaction-retention"),
            ("periodic", "soon", "auto-compaction-retention"),
            ("revision", "10m", "auto-compaction-retention"),
            ("often", "1", "auto-compaction-mode"),
        ] {
            assert_eq!(retention(mode, text).unwrap_err().0, flag, "{mode} {text}");
        }
    }

    #[test]
    fn durations_are_gos() {
        assert_eq!(duration("1m30s").unwrap(), Duration::from_secs(90));
        assert_eq!(duration("100ms").unwrap(), Duration::from_millis(100));
        for wrong in ["", "5", "m", "5x", "99999999999h"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
