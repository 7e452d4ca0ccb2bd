//! From nothing to ready, in order. Each step needs what the one before it has found out.
//!
//! ```text
//! kernel arguments, clock floor ─ disks ─ configuration ─ network ─ time ─ identity ─ machine API ─ credentials ─ ready
//! ```
//!
//! Nothing here ends the program but a port that cannot be had: what fails is reported, and the machine API shows it. If
//! the operator's wish or the machine's own state cannot be used, the boot is *held*: no service gets its arguments, so
//! none starts on wrong ground, while the machine API is served all the same.

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use chain::Chain;
use machine::MachineConfig;
use machined_core::claim::occasion;
use machined_core::disk::Permission;
use machined_core::kernel_arguments::KernelArguments;
use machined_core::names;
use machined_core::services::{self, Authorities, Facts};
use machined_core::source::{self, Choice, Finding};
use rustls::ServerConfig;
use supervision::Request as Order;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::api::{self, About, Machine};
use crate::audit::Audit;
use crate::claim::Claim;
use crate::clock::Stamp;
use crate::disks::{STATE, Storage, VAR};
use crate::identity::{self, Identity};
use crate::network::State;
use crate::options::Options;
use crate::report::Report;
use crate::supervisor::Supervisor;
use crate::{clock, config, credentials, disks, network, operator, space, triggers};

/// Name of the configuration in the firmware.
const FIRMWARE_CONFIG: &str = "opt/dev.orlop/config";
/// How long the first boot waits for the right time before it makes authorities, whose certificates begin at a time.
const TIME_PATIENCE: Duration = Duration::from_secs(2);
/// How long open calls may take to end when machined is told to stop.
const FAREWELL: Duration = Duration::from_secs(2);

/// Why machined cannot go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Not even memory could be mounted.
    #[error("prepare the disks")]
    Disks(#[from] disks::Error),
    /// The machine API is not served.
    #[error(transparent)]
    Api(#[from] api::Error),
    /// A certificate could not be made.
    #[error("make the machine's own certificates")]
    Pki(#[from] pki::Error),
    /// Signals cannot be waited for.
    #[error("listen to signals")]
    Signals(#[source] std::io::Error),
    /// The address that was listened on could not be written down.
    #[error("write down the address of the machine API")]
    AddressFile(#[source] std::io::Error),
    /// A task of ours ended in a panic.
    #[error("a task ended")]
    Task(#[from] tokio::task::JoinError),
}

/// Boots, serves, and ends in order after SIGTERM.
pub(crate) async fn run(options: Options) -> Result<(), Error> {
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::Signals)?;
    let options = Arc::new(options);
    let report = Report::new(options.owns_machine());
    let booting = boot(Arc::clone(&options), report);
    let running = tokio::select! {
        running = booting => running?,
        _ = terminate.recv() => return Ok(()),
    };
    telemetry::notify_ready();
    let stop = running.stop.clone();
    let audit = running.machine.audit.clone();
    let mut serving = tokio::spawn(running.serve());
    tokio::select! {
        ended = &mut serving => return Ok(ended??),
        _ = terminate.recv() => {}
    }
    tracing::info!("stopping");
    audit.happened("machined", "stop", "told to stop").await;
    stop.cancel();
    match tokio::time::timeout(FAREWELL, serving).await {
        Ok(ended) => Ok(ended??),
        // Someone follows a log; the connection ends with the program.
        Err(_) => Ok(()),
    }
}

/// A machine that is up.
struct Running {
    machine: Machine,
    listener: tokio::net::TcpListener,
    tls: watch::Receiver<Arc<ServerConfig>>,
    stop: CancellationToken,
}

impl Running {
    async fn serve(self) -> Result<(), api::Error> {
        api::serve(self.listener, self.tls, self.machine, self.stop).await
    }
}

async fn boot(options: Arc<Options>, report: Report) -> Result<Running, Error> {
    if options.owns_machine() {
        clock::raise(clock::floor(None), &report);
    }
    let (storage, choice, again) = storage_and_config(&options, &report).await?;
    let stamp = Stamp::new(&options.path(STATE));
    if options.owns_machine() {
        clock::raise(clock::floor(Some(&stamp)), &report);
    }
    let audit = Audit::open(&options.path(STATE), boot_id(), &report);
    audit.happened("machined", "start", began(&options)).await;
    let network = start_network(&options, &choice.config, &report).await;
    if options.owns_machine() {
        follow_time(&choice.config, &network, &stamp, &report, &options.path(STATE)).await;
    }
    let (identity, held) = establish_identity(&options, &storage, &choice, &report)?;
    let kept = !held;
    let held = held || storage == Storage::Held || matches!(choice.finding, Finding::Hold(_));

    let machine_id = identity.machine_id.clone();
    let facts = facts(&options, &choice.config, &machine_id, &network.borrow());
    let authorities = Arc::new(identity.authorities);
    let own = services::machine_api(&authorities.machine, &facts, SystemTime::now())?;
    let (tls_sender, tls) = watch::channel(api::tls(&authorities.machine, &own, false).map_err(api::Error::from)?);
    let listener = api::listen(options.listen)?;
    if let Some(path) = &options.listen_address_file {
        let address = listener.local_addr().map_err(Error::AddressFile)?;
        durable::write(path, address.to_string().as_bytes(), 0o644).map_err(Error::AddressFile)?;
    }
    name_machine(&options, &facts.hostname, &report);
    let about = Arc::new(About {
        machine_id,
        cluster_id: identity.cluster_id,
        generation: choice.generation,
        authorities: Arc::clone(&authorities),
        credentials: options.path("/run/credentials"),
        own_certificate: RwLock::new(own.cert_pem),
        facts: RwLock::new(facts),
    });
    let supervisor = Supervisor::new(options.init_socket.clone());
    let claim = Claim::closed(options.path("/state/claimed"), options.path("/run/claim/code"), options.owns_machine());
    let upkeep = Upkeep {
        claim: claim.clone(),
        options,
        about,
        report,
        supervisor,
        config: choice.config,
        held,
        tls: tls_sender,
    };
    upkeep.write_service_files();
    let introduced = upkeep.serve_operator(&authorities, &audit).await;
    // An identity that is kept nowhere is not worth claiming.
    if kept {
        upkeep.open_claim(introduced, again);
    }
    let machine = Machine {
        about: Arc::clone(&upkeep.about),
        report: upkeep.report.clone(),
        supervisor: upkeep.supervisor.clone(),
        audit,
        claim,
    };
    let volumes = [("the STATE partition", STATE), ("the DATA partition", VAR)];
    let volumes = volumes.map(|(name, path)| (format!("{name} ({path})"), upkeep.options.path(path)));
    tokio::spawn(space::watch(volumes.into(), upkeep.report.clone()));
    tokio::spawn(triggers::follow(machine.supervisor.clone(), machine.audit.clone(), boot_id()));
    tokio::spawn(upkeep.follow(network));
    Ok(Running { machine, listener, tls, stop: CancellationToken::new() })
}

/// The kernel's id of this boot; all zero where it tells none.
fn boot_id() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    Some(id.trim()).filter(|id| !id.is_empty()).unwrap_or("00000000-0000-0000-0000-000000000000").to_owned()
}

/// What the audit log says when machined begins.
fn began(options: &Options) -> String {
    let what = if options.owns_machine() { "of this machine" } else { "below a folder" };
    format!("version {} {what}", env!("CARGO_PKG_VERSION"))
}

/// Disks first, because the configuration lies on one; but the wish which disk may be formatted comes from outside.
async fn storage_and_config(options: &Arc<Options>, report: &Report) -> Result<(Storage, Choice, bool), Error> {
    if let Err(error) = credentials::withdraw_arguments(&options.path("/run/services")) {
        report.error("services", format!("old arguments cannot be taken away: {error}"));
    }
    let mut arguments = KernelArguments::default();
    let mut provided = None;
    if options.owns_machine() {
        arguments = KernelArguments::parse(&std::fs::read_to_string("/proc/cmdline").unwrap_or_default());
        if !arguments.problems.is_empty() {
            // The console has it from PID 1 already.
            report.info("kernel-arguments", arguments.problems.join("; "));
        }
        match config::from_firmware(FIRMWARE_CONFIG, machine::MAX_BYTES + 1) {
            Ok(text) => provided = text,
            Err(error) => report.warn("config", format!("the firmware's configuration cannot be read: {error}")),
        }
    }
    let again = options.claim_again || arguments.claim_again;
    let storage = if options.uses_disks() {
        let provided = provided.clone();
        let reporter = report.clone();
        tokio::task::spawn_blocking(move || prepare_disks(provided.as_deref(), arguments.disk, &reporter)).await??
    } else {
        if !options.owns_machine() {
            for path in [STATE, VAR, "/run"] {
                let path = options.path(path);
                if let Err(error) = std::fs::create_dir_all(&path) {
                    report.error("disk", format!("{} cannot be made: {error}", path.display()));
                }
            }
        }
        Storage::Disk
    };
    let folder = options.path("/state/config");
    let mut choice = source::choose(config::stored(&folder), provided.as_deref().map(|text| (text, "the firmware")));
    match &choice.finding {
        Finding::Fine => {}
        Finding::Note(note) => report.info("config", note.clone()),
        Finding::Hold(why) => {
            report.error("config", format!("{why}; the defaults are in effect, and no service is started"));
        }
    }
    if let Some(text) = choice.keep.take()
        && let Err(error) = config::keep(&folder, choice.generation, &text)
    {
        report.error("config", Chain(&error).to_string());
    }
    Ok((storage, choice, again))
}

fn prepare_disks(provided: Option<&str>, argument: Option<String>, report: &Report) -> Result<Storage, disks::Error> {
    let wish = provided.map(MachineConfig::parse).transpose();
    match wish {
        Ok(config) => {
            let mut selector = config.unwrap_or_default().machine.disk;
            if argument.is_some() {
                // The kernel argument is what an operator at the console can change, so it wins.
                selector = machine::DiskSelector { device: argument, ..Default::default() };
            }
            disks::prepare(Permission::Granted(&selector), report)
        }
        Err(_) => disks::prepare(Permission::Withheld("the configuration is wrong"), report),
    }
}

/// Sets up the network and waits for an address, but not for long.
async fn start_network(options: &Options, config: &MachineConfig, report: &Report) -> watch::Receiver<State> {
    let nothing = || watch::channel(State::default()).1;
    if !options.uses_network() {
        return nothing();
    }
    let resolv_conf = options.path("/run/resolv.conf");
    let mut network = match network::start(config.machine.network.clone(), resolv_conf, report.clone()).await {
        Ok(network) => network,
        Err(error) => {
            report.error("network", Chain(&error).to_string());
            return nothing();
        }
    };
    let settled = network.wait_for(|state| !state.addresses.is_empty() || !state.has_links);
    // Without an address everything starts all the same. The conditions say what is missing; the network goes on trying.
    let _ = tokio::time::timeout(network::SETTLING, settled).await;
    network
}

/// Starts to follow a time server. A first boot waits for its first answer, but not for long.
async fn follow_time(
    config: &MachineConfig,
    network: &watch::Receiver<State>,
    stamp: &Stamp,
    report: &Report,
    state: &Path,
) {
    let (synchronized, mut answer) = watch::channel(false);
    let servers = config.machine.time_servers.clone();
    let has_server = !clock::servers(&servers, &network.borrow()).is_empty();
    let first_boot = !state.join("pki").exists();
    tokio::spawn(clock::keep(stamp.clone()));
    tokio::spawn(clock::follow(servers, network.clone(), stamp.clone(), report.clone(), synchronized));
    if first_boot && has_server {
        let _ = tokio::time::timeout(TIME_PATIENCE, answer.wait_for(|known| *known)).await;
    }
}

/// The kept identity, or a fleeting one; and whether the boot is held because of it.
fn establish_identity(
    options: &Options,
    storage: &Storage,
    choice: &Choice,
    report: &Report,
) -> Result<(Identity, bool), Error> {
    let now = SystemTime::now();
    // A machine whose wish is not known keeps nothing yet: its disk may not be the one that is meant.
    let nothing_kept = matches!(choice.finding, Finding::Hold(_)) && !options.path("/state/pki").exists();
    if *storage == Storage::Held || nothing_kept {
        return Ok((identity::fleeting(now)?, true));
    }
    match identity::load_or_make(&options.path(STATE), now) {
        Ok(identity) => Ok((identity, false)),
        Err(error) => {
            report.error("identity", format!("{}; nothing was changed, and no service is started", Chain(&error)));
            Ok((identity::fleeting(now)?, true))
        }
    }
}

fn facts(options: &Options, config: &MachineConfig, machine_id: &str, network: &State) -> Facts {
    let configured = config.machine.hostname.as_deref();
    Facts {
        root: options.prefix(),
        hostname: names::hostname(configured, network.hostname.as_deref(), machine_id),
        member: names::member(configured, machine_id),
        addresses: network.addresses.clone(),
        config: config.clone(),
    }
}

fn name_machine(options: &Options, hostname: &str, report: &Report) {
    if options.owns_machine()
        && let Err(error) = rustix::system::sethostname(hostname.as_bytes())
    {
        report.warn("hostname", format!("the machine cannot be named {hostname}: {error}"));
    }
}

/// Keeps certificates and arguments in step with the addresses of the machine.
struct Upkeep {
    options: Arc<Options>,
    about: Arc<About>,
    report: Report,
    claim: Claim,
    supervisor: Supervisor,
    config: MachineConfig,
    held: bool,
    tls: watch::Sender<Arc<ServerConfig>>,
}

impl Upkeep {
    fn facts(&self) -> Facts {
        self.about.facts.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Writes what the services need to start, unless the boot is held.
    fn write_service_files(&self) {
        if self.held {
            telemetry::notify("STATUS=held: see the conditions of the machine");
            return;
        }
        let made = services::files(&self.about.authorities, &self.facts(), SystemTime::now());
        let files = match made {
            Ok(files) => files,
            Err(error) => return self.report.error("services", Chain(&error).to_string()),
        };
        match credentials::write(&self.options.root, &files) {
            Ok(()) => self.report.clear("services"),
            Err(error) => self.report.error("services", Chain(&error).to_string()),
        }
    }

    /// Returns whether the hypervisor has introduced an operator.
    async fn serve_operator(&self, authorities: &Arc<Authorities>, audit: &Audit) -> bool {
        if !self.options.owns_machine() {
            return false;
        }
        let authorities = Arc::clone(authorities);
        let served =
            tokio::task::spawn_blocking(move || operator::serve(&authorities.machine, SystemTime::now())).await;
        match served {
            Ok(Ok(true)) => {
                tracing::info!("the operator got a certificate");
                audit.happened("hypervisor", "operator-introduced", "signed the request in the firmware").await;
                return true;
            }
            Ok(Ok(false)) => {}
            Ok(Err(error)) => self.report.warn("operator", Chain(&error).to_string()),
            Err(error) => self.report.warn("operator", error.to_string()),
        }
        false
    }

    /// Lets the machine be claimed, if it may.
    fn open_claim(&self, introduced: bool, again: bool) {
        let claimed = self.claim.is_claimed();
        if introduced
            && !claimed
            && let Err(error) = self.claim.remember("hypervisor")
        {
            self.report.warn("claim", format!("that the machine has an operator cannot be remembered: {error}"));
        }
        if let Some(occasion) = occasion(claimed, introduced, again) {
            self.claim.open(occasion);
            self.renew_api(&self.facts());
        }
    }

    async fn follow(self, mut network: watch::Receiver<State>) {
        let mut claimable = self.claim.watch();
        loop {
            tokio::select! {
                changed = network.changed() => if changed.is_err() { return self.follow_claim(claimable).await },
                Ok(()) = claimable.changed() => {
                    // From now on nobody comes in without a certificate.
                    self.renew_api(&self.facts());
                    continue;
                }
            }
            let before = self.facts();
            let after = facts(&self.options, &self.config, &self.about.machine_id, &network.borrow_and_update());
            if after == before {
                continue;
            }
            let addresses: Vec<_> = after.addresses.iter().map(ToString::to_string).collect();
            tracing::info!(hostname = after.hostname, ?addresses, "the machine has new names or addresses");
            name_machine(&self.options, &after.hostname, &self.report);
            *self.about.facts.write().unwrap_or_else(PoisonError::into_inner) = after.clone();
            self.renew_api(&after);
            self.write_service_files();
            if !self.held && services::must_restart_apiserver(&before, &after) {
                let order = Order::Restart { service: "kube-apiserver".to_owned() };
                if let Err(error) = self.supervisor.order(&order).await {
                    // It may not have been started yet, and then it starts with the new files.
                    tracing::info!("{}", Chain(&error));
                }
            }
        }
    }

    /// The network does not change any more, as on a developer's machine.
    async fn follow_claim(&self, mut claimable: watch::Receiver<bool>) {
        while claimable.changed().await.is_ok() {
            self.renew_api(&self.facts());
        }
    }

    fn renew_api(&self, facts: &Facts) {
        let machine = &self.about.authorities.machine;
        let claimable = *self.claim.watch().borrow();
        let renewed = services::machine_api(machine, facts, SystemTime::now());
        match renewed.map_err(|error| Chain(&error).to_string()).and_then(|own| {
            match api::tls(machine, &own, claimable) {
                Ok(config) => Ok((own.cert_pem, config)),
                Err(error) => Err(Chain(&error).to_string()),
            }
        }) {
            Ok((certificate, config)) => {
                *self.about.own_certificate.write().unwrap_or_else(PoisonError::into_inner) = certificate;
                self.tls.send_replace(config);
            }
            Err(why) => self.report.error("machine-api", format!("the certificate cannot be renewed: {why}")),
        }
    }
}
