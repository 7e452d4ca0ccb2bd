//! The command line and the environment as they are written: etcd's names, and its ways of writing values.

use std::path::PathBuf;

use clap::builder::BoolishValueParser;
use clap::{ArgAction, Parser};
use tracing::level_filters::LevelFilter;

/// A switch as Go writes it: `--flag`, `--flag=true`, `--flag=false`.
macro_rules! switch {
    () => {
        BoolishValueParser::new()
    };
}

/// An etcd-compatible store: the v3 API on a replicated log.
#[derive(Debug, Clone, Parser)]
#[command(name = "store", version = crate::VERSION, disable_version_flag = false, args_override_self = true,
          after_help = "Beside serving: store snapshot save|restore|status|verify and store backup list|status|restore|verify \
                        (see --help of each)")]
pub struct Flags {
    /// The name of this member, for people.
    #[arg(long, env = "ETCD_NAME", default_value = "default")]
    pub name: String,
    /// Where everything is kept.
    #[arg(long, env = "ETCD_DATA_DIR", default_value = "default.etcd")]
    pub data_dir: PathBuf,
    /// Where clients are served: a list of http:// and https:// URLs with IP addresses.
    #[arg(long, env = "ETCD_LISTEN_CLIENT_URLS", value_delimiter = ',', default_value = "http://localhost:2379")]
    pub listen_client_urls: Vec<String>,
    /// What clients are told to connect to; as served when it is not set.
    #[arg(long, env = "ETCD_ADVERTISE_CLIENT_URLS", value_delimiter = ',')]
    pub advertise_client_urls: Vec<String>,
    /// Where other members are served.
    #[arg(long, env = "ETCD_LISTEN_PEER_URLS", value_delimiter = ',', default_value = "http://localhost:2380")]
    pub listen_peer_urls: Vec<String>,
    /// What other members are told to connect to.
    #[arg(long, env = "ETCD_INITIAL_ADVERTISE_PEER_URLS", value_delimiter = ',')]
    pub initial_advertise_peer_urls: Vec<String>,
    /// The members of the cluster: `name=url,name=url`. Not set: only this one.
    #[arg(long, env = "ETCD_INITIAL_CLUSTER", value_delimiter = ',')]
    pub initial_cluster: Vec<String>,
    /// `new`: found a cluster with the others; `existing`: join one that this member was added to.
    #[arg(long, env = "ETCD_INITIAL_CLUSTER_STATE", default_value = "new")]
    pub initial_cluster_state: String,
    /// Tells clusters apart that are founded on the same addresses.
    #[arg(long, env = "ETCD_INITIAL_CLUSTER_TOKEN", default_value = "etcd-cluster")]
    pub initial_cluster_token: String,
    /// Who may be a member.
    #[command(flatten)]
    pub membership: MembershipFlags,
    /// The certificate shown to clients.
    #[arg(long, env = "ETCD_CERT_FILE")]
    pub cert_file: Option<PathBuf>,
    /// Its key.
    #[arg(long, env = "ETCD_KEY_FILE")]
    pub key_file: Option<PathBuf>,
    /// The authorities of clients' certificates.
    #[arg(long, env = "ETCD_TRUSTED_CA_FILE")]
    pub trusted_ca_file: Option<PathBuf>,
    /// Whether a client must show a certificate.
    #[arg(long, env = "ETCD_CLIENT_CERT_AUTH", value_parser = switch!(), num_args = 0..=1, require_equals = true,
          default_value = "false", default_missing_value = "true", action = ArgAction::Set)]
    pub client_cert_auth: bool,
    /// The certificate shown to other members.
    #[arg(long, env = "ETCD_PEER_CERT_FILE")]
    pub peer_cert_file: Option<PathBuf>,
    /// Its key.
    #[arg(long, env = "ETCD_PEER_KEY_FILE")]
    pub peer_key_file: Option<PathBuf>,
    /// The authorities of members' certificates.
    #[arg(long, env = "ETCD_PEER_TRUSTED_CA_FILE")]
    pub peer_trusted_ca_file: Option<PathBuf>,
    /// Whether a member must show a certificate.
    #[arg(long, env = "ETCD_PEER_CLIENT_CERT_AUTH", value_parser = switch!(), num_args = 0..=1, require_equals = true,
          default_value = "false", default_missing_value = "true", action = ArgAction::Set)]
    pub peer_client_cert_auth: bool,
    /// Where /metrics, /health, /livez and /readyz are served besides the client URLs.
    #[arg(long, env = "ETCD_LISTEN_METRICS_URLS", value_delimiter = ',')]
    pub listen_metrics_urls: Vec<String>,
    /// Bytes of live data above which writes are refused. 0: two gibibytes; negative: no limit.
    #[arg(long, env = "ETCD_QUOTA_BACKEND_BYTES", default_value_t = 0, allow_negative_numbers = true)]
    pub quota_backend_bytes: i64,
    /// The largest request.
    #[arg(long, env = "ETCD_MAX_REQUEST_BYTES", default_value_t = 1_572_864)]
    pub max_request_bytes: usize,
    /// The most operations in a transaction.
    #[arg(long, env = "ETCD_MAX_TXN_OPS", default_value_t = 128)]
    pub max_txn_ops: usize,
    /// Milliseconds between heartbeats of a leader.
    #[arg(long, env = "ETCD_HEARTBEAT_INTERVAL", default_value_t = 100)]
    pub heartbeat_interval: u64,
    /// Milliseconds without a leader after which an election begins.
    #[arg(long, env = "ETCD_ELECTION_TIMEOUT", default_value_t = 1000)]
    pub election_timeout: u64,
    /// Applied entries after which the state is flushed and the log may be shortened.
    #[arg(long, env = "ETCD_SNAPSHOT_COUNT", default_value_t = 10_000)]
    pub snapshot_count: u64,
    /// Snapshots from time to time.
    #[command(flatten)]
    pub snapshots: SnapshotFlags,
    /// A continuous backup.
    #[command(flatten)]
    pub backup: crate::backup::options::BackupFlags,
    /// How members' states are compared.
    #[command(flatten)]
    pub integrity: IntegrityFlags,
    /// How long an idle watcher waits until it is told of progress, as Go writes durations.
    #[arg(
        long,
        env = "ETCD_WATCH_PROGRESS_NOTIFY_INTERVAL",
        alias = "experimental-watch-progress-notify-interval",
        default_value = "10m"
    )]
    pub watch_progress_notify_interval: String,
    /// What `--auto-compaction-retention` counts: `periodic` (time) or `revision`.
    #[arg(long, env = "ETCD_AUTO_COMPACTION_MODE", default_value = "periodic")]
    pub auto_compaction_mode: String,
    /// How much history is kept when compacting without being asked: a number of hours or a duration such as 30m, or a number
    /// of revisions. 0: nothing is compacted without being asked.
    #[arg(long, env = "ETCD_AUTO_COMPACTION_RETENTION", default_value = "0")]
    pub auto_compaction_retention: String,
    /// The most calls and streams one connection may have under way.
    #[arg(long, env = "ETCD_MAX_CONCURRENT_STREAMS", default_value_t = u32::MAX)]
    pub max_concurrent_streams: u32,
    /// After how much silence a connection is asked whether it is still there. Shorter than etcd's two hours.
    #[arg(long, env = "ETCD_GRPC_KEEPALIVE_INTERVAL", default_value = "30s")]
    pub grpc_keepalive_interval: String,
    /// How long a connection may take to say so.
    #[arg(long, env = "ETCD_GRPC_KEEPALIVE_TIMEOUT", default_value = "20s")]
    pub grpc_keepalive_timeout: String,
    /// Accepted for etcd's sake: clients may ask as often as they like.
    #[arg(long, env = "ETCD_GRPC_KEEPALIVE_MIN_TIME", default_value = "5s", hide = true)]
    pub grpc_keepalive_min_time: String,
    /// Accepted for etcd's sake: elections always begin with a pre-vote.
    #[arg(long, env = "ETCD_PRE_VOTE", num_args = 0..=1, require_equals = true, default_value = "true",
          default_missing_value = "true", hide = true)]
    pub pre_vote: String,
    /// Accepted for etcd's sake: there is one set of metrics.
    #[arg(long, env = "ETCD_METRICS", default_value = "basic", hide = true)]
    pub metrics: String,
    /// What tokens are: `simple`, or `jwt,pub-key=<file>,priv-key=<file>,sign-method=<method>,ttl=<duration>`.
    #[arg(long, env = "ETCD_AUTH_TOKEN", default_value = "simple")]
    pub auth_token: String,
    /// Seconds for which a simple token is good after its last use.
    #[arg(long, env = "ETCD_AUTH_TOKEN_TTL", default_value_t = 300)]
    pub auth_token_ttl: u64,
    /// How much work a password's hash takes: the exponent of bcrypt's rounds.
    #[arg(long, env = "ETCD_BCRYPT_COST", default_value_t = 10)]
    pub bcrypt_cost: u32,
    /// `debug`, `info`, `warn` or `error`; the variable `ORLOP_LOG` says more.
    #[arg(long, env = "ETCD_LOG_LEVEL", default_value = "info")]
    pub log_level: String,
    /// Accepted for etcd's sake.
    #[arg(long, env = "ETCD_LOGGER", default_value = "zap", hide = true)]
    pub logger: String,
    /// Accepted for etcd's sake: logs go to standard error.
    #[arg(long, env = "ETCD_LOG_OUTPUTS", value_delimiter = ',', hide = true)]
    pub log_outputs: Vec<String>,
}

impl Flags {
    /// The level of what is logged; `None` when it is none. Nothing here is worse than an error, so etcd's two levels above
    /// it mean the same.
    pub fn level(&self) -> Option<LevelFilter> {
        match self.log_level.as_str() {
            "debug" => Some(LevelFilter::DEBUG),
            "info" => Some(LevelFilter::INFO),
            "warn" => Some(LevelFilter::WARN),
            "error" | "panic" | "fatal" => Some(LevelFilter::ERROR),
            _ => None,
        }
    }
}

/// Changes of members, and the last of them.
#[derive(Debug, Clone, clap::Args)]
pub struct MembershipFlags {
    /// Goes on alone with the data that is there: for the last member of a cluster whose others are lost for ever.
    #[arg(long, env = "ETCD_FORCE_NEW_CLUSTER", value_parser = switch!(), num_args = 0..=1, require_equals = true,
          default_value = "false", default_missing_value = "true", action = ArgAction::Set)]
    pub force_new_cluster: bool,
    /// Whether changes of members that could cost the quorum are refused.
    #[arg(long, env = "ETCD_STRICT_RECONFIG_CHECK", value_parser = switch!(), num_args = 0..=1, require_equals = true,
          default_value = "true", default_missing_value = "true", action = ArgAction::Set)]
    pub strict_reconfig_check: bool,
}

/// Looking for damage, by etcd's names; cheaper here, and therefore on.
#[derive(Debug, Clone, clap::Args)]
pub struct IntegrityFlags {
    /// Whether a member that starts compares its state with the others', and ends if most have another one.
    #[arg(long, env = "ETCD_INITIAL_CORRUPT_CHECK", alias = "experimental-initial-corrupt-check",
          value_parser = switch!(), num_args = 0..=1, require_equals = true,
          default_value = "true", default_missing_value = "true", action = ArgAction::Set)]
    pub initial_corrupt_check: bool,
    /// Whether the leader compares the states of all members.
    #[arg(long, env = "ETCD_COMPACT_HASH_CHECK_ENABLED", alias = "experimental-compact-hash-check-enabled",
          value_parser = switch!(), num_args = 0..=1, require_equals = true,
          default_value = "true", default_missing_value = "true", action = ArgAction::Set)]
    pub compact_hash_check_enabled: bool,
    /// How often it does, as Go writes durations.
    #[arg(
        long,
        env = "ETCD_COMPACT_HASH_CHECK_TIME",
        alias = "experimental-compact-hash-check-time",
        default_value = "10s"
    )]
    pub compact_hash_check_time: String,
    /// How often a member reads its whole state again, as Go writes durations; 0: never.
    #[arg(long, env = "ETCD_CORRUPT_CHECK_TIME", alias = "experimental-corrupt-check-time", default_value = "1h")]
    pub corrupt_check_time: String,
}

/// Snapshots that a member makes on its own; etcd has no such flags.
#[derive(Debug, Clone, clap::Args)]
pub struct SnapshotFlags {
    /// Where snapshots of this member are made from time to time; none without it.
    #[arg(long, env = "ORLOP_SNAPSHOT_DIR")]
    pub snapshot_dir: Option<PathBuf>,
    /// From one of those snapshots to the next, as Go writes durations.
    #[arg(long, env = "ORLOP_SNAPSHOT_INTERVAL", default_value = "1h")]
    pub snapshot_interval: String,
    /// How many of them are kept.
    #[arg(long, env = "ORLOP_SNAPSHOT_RETENTION", default_value_t = 24)]
    pub snapshot_retention: usize,
    /// Whether each of them is restored into a scratch folder and compared before older ones are removed.
    #[arg(long, env = "ORLOP_SNAPSHOT_VERIFY", value_parser = switch!(), num_args = 0..=1, require_equals = true,
          default_value = "true", default_missing_value = "true", action = ArgAction::Set)]
    pub snapshot_verify: bool,
}
