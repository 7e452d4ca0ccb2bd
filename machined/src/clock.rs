//! The clock: never before the floor, and set by a time server when one is known.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use backoff::Backoff;
use machined_core::clock::{self, Offset};
use rsntp::{AsyncSntpClient, Config, SynchronizationResult};
use rustix::time::{ClockId, Timespec, clock_settime};
use tokio::sync::watch;

use crate::network::State;
use crate::report::Report;

/// When this was built, as far as the build says so (`SOURCE_DATE_EPOCH`); else when this line was written.
const BUILD: u64 = match option_env!("SOURCE_DATE_EPOCH") {
    Some(text) => match u64::from_str_radix(text, 10) {
        Ok(seconds) => seconds,
        Err(_) => WRITTEN,
    },
    None => WRITTEN,
};
const WRITTEN: u64 = 1_795_000_000;

const NTP_PORT: u16 = 123;

/// How long one server may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often a good clock is checked: a quartz drifts by less than a tenth of a second in that time.
const PERIOD: Duration = Duration::from_secs(1024);
/// How often the time is written down.
const STAMP_PERIOD: Duration = Duration::from_hours(1);
/// Two tries that failed are at least this far apart, and at most [`RETRY_LAST`].
const RETRY_FIRST: Duration = Duration::from_secs(4);
const RETRY_LAST: Duration = Duration::from_mins(5);

/// Where the last known time is written down.
#[derive(Debug, Clone)]
pub(crate) struct Stamp(PathBuf);

impl Stamp {
    pub(crate) fn new(state: &Path) -> Self {
        Self(state.join("clock"))
    }

    fn read(&self) -> Option<SystemTime> {
        let seconds = fs::read_to_string(&self.0).ok()?.trim_end().parse().ok()?;
        SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
    }

    /// Writes down the present time, unless the disk is full: then the old time has to do.
    fn write(&self) {
        let seconds = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        if let Err(error) = durable::write(&self.0, format!("{seconds}\n").as_bytes(), 0o644) {
            tracing::warn!(%error, "the time could not be written down");
        }
    }
}

/// Writes down the time now and then, so that a machine without a battery does not fall back by more than an hour.
pub(crate) async fn keep(stamp: Stamp) {
    loop {
        stamp.write();
        tokio::time::sleep(STAMP_PERIOD).await;
    }
}

/// The earliest time it can be.
pub(crate) fn floor(stamp: Option<&Stamp>) -> SystemTime {
    clock::floor(SystemTime::UNIX_EPOCH + Duration::from_secs(BUILD), stamp.and_then(Stamp::read))
}

/// Raises a clock that shows a time before the floor.
pub(crate) fn raise(floor: SystemTime, report: &Report) {
    if let Some(time) = clock::raise(SystemTime::now(), floor) {
        match set(time) {
            Ok(()) => report.info("clock", "the clock showed a time before this system was built, and was set to that"),
            Err(error) => report.warn("clock", format!("the clock is wrong and cannot be set: {error}")),
        }
    }
}

/// Asks time servers for ever, and sets the clock when it is off. `synchronized` becomes true with the first answer.
pub(crate) async fn follow(
    configured: Vec<String>,
    mut network: watch::Receiver<State>,
    stamp: Stamp,
    report: Report,
    synchronized: watch::Sender<bool>,
) {
    let mut retry = Backoff::new(RETRY_FIRST, RETRY_LAST);
    loop {
        let servers = servers(&configured, &network.borrow_and_update());
        if servers.is_empty() {
            // Nothing to ask until DHCP names a server.
            if network.changed().await.is_err() {
                return;
            }
            continue;
        }
        let pause = match ask_any(&servers, &stamp, &report).await {
            Ok(()) => {
                report.clear("clock");
                synchronized.send_replace(true);
                stamp.write();
                retry.reset();
                PERIOD
            }
            Err(why) => {
                if !*synchronized.borrow() {
                    report.warn("clock", format!("no time server answers: {why}"));
                }
                retry.next_delay(rand::random())
            }
        };
        // A new address or a new server is a reason to ask at once.
        let _ = tokio::time::timeout(pause, network.changed()).await;
    }
}

/// The servers to ask: those of the configuration, else those of DHCP.
pub(crate) fn servers(configured: &[String], network: &State) -> Vec<String> {
    if configured.is_empty() {
        network.time_servers.iter().map(IpAddr::to_string).collect()
    } else {
        configured.to_vec()
    }
}

async fn ask_any(servers: &[String], stamp: &Stamp, report: &Report) -> Result<(), String> {
    let mut why = String::new();
    for server in servers {
        match tokio::time::timeout(PATIENCE, ask(server)).await {
            Ok(Ok(offset)) => {
                apply(server, offset, stamp, report);
                return Ok(());
            }
            Ok(Err(error)) => why = format!("{server}: {error}"),
            Err(_) => why = format!("{server}: no answer"),
        }
    }
    Err(why)
}

async fn ask(server: &str) -> Result<Offset, String> {
    if let Ok(address) = server.parse::<IpAddr>() {
        return ask_at(SocketAddr::new(address, NTP_PORT)).await;
    }
    let client = AsyncSntpClient::with_config(Config::default().timeout(PATIENCE));
    client.synchronize(server).await.map_err(|error| error.to_string()).and_then(|result| offset(&result))
}

async fn ask_at(server: SocketAddr) -> Result<Offset, String> {
    let local: IpAddr = if server.is_ipv6() { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    let config = Config::default().bind_address(SocketAddr::new(local, 0)).timeout(PATIENCE);
    let result = AsyncSntpClient::with_config(config).synchronize(server).await;
    result.map_err(|error| error.to_string()).and_then(|result| offset(&result))
}

fn offset(result: &SynchronizationResult) -> Result<Offset, String> {
    let offset = result.clock_offset();
    let size = offset.abs_as_std_duration().map_err(|error| error.to_string())?;
    Ok(if offset.signum() < 0 { Offset::Ahead(size) } else { Offset::Behind(size) })
}

fn apply(server: &str, offset: Offset, stamp: &Stamp, report: &Report) {
    let Some(time) = clock::correct(SystemTime::now(), offset, floor(Some(stamp))) else { return };
    match set(time) {
        Ok(()) => tracing::info!(server, ?offset, "the clock was set"),
        Err(error) => report.warn("clock", format!("the clock is off and cannot be set: {error}")),
    }
}

fn set(time: SystemTime) -> io::Result<()> {
    let since_epoch = time.duration_since(SystemTime::UNIX_EPOCH).map_err(io::Error::other)?;
    Ok(clock_settime(ClockId::Realtime, Timespec::try_from(since_epoch).map_err(io::Error::other)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers one request with a clock that is ahead by `ahead` seconds.
    async fn server(socket: tokio::net::UdpSocket, ahead: u64) {
        let mut request = [0; 48];
        let (length, client) = socket.recv_from(&mut request).await.unwrap();
        assert_eq!(length, 48);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        // NTP counts from 1900, in seconds and their 2^32nd parts.
        let seconds = (now.as_secs() + 2_208_988_800 + ahead) as u32;
        let fraction = (u64::from(now.subsec_nanos()) << 32) / 1_000_000_000;
        let time = [seconds.to_be_bytes(), (fraction as u32).to_be_bytes()].concat();
        let mut answer = [0; 48];
        // Version 4, mode "server"; a primary server.
        answer[..2].copy_from_slice(&[0x24, 1]);
        answer[12..16].copy_from_slice(b"GPS\0");
        answer[24..32].copy_from_slice(&request[40..48]);
        answer[32..40].copy_from_slice(&time);
        answer[40..48].copy_from_slice(&time);
        socket.send_to(&answer, client).await.unwrap();
    }

    #[tokio::test]
    async fn a_server_says_how_far_the_clock_is_off() {
        let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let (answer, ()) = tokio::join!(ask_at(address), server(socket, 500));
        let Ok(Offset::Behind(by)) = answer else { panic!("{answer:?}") };
        assert!((499..=501).contains(&by.as_secs()), "{by:?}");
    }

    #[test]
    fn configured_servers_go_before_those_of_dhcp() {
        let network = State { time_servers: vec![[192, 0, 2, 1].into()], ..State::default() };
        assert_eq!(servers(&[], &network), ["192.0.2.1"]);
        assert_eq!(servers(&["time.example.net".to_owned()], &network), ["time.example.net"]);
    }

    #[test]
    fn the_stamp_raises_the_floor() {
        let state = tempfile::tempdir().unwrap();
        let stamp = Stamp::new(state.path());
        let build = floor(None);
        assert_eq!(floor(Some(&stamp)), build);
        stamp.write();
        assert!(floor(Some(&stamp)) >= build);
        fs::write(state.path().join("clock"), "99999999999\n").unwrap();
        assert_eq!(floor(Some(&stamp)), SystemTime::UNIX_EPOCH + Duration::from_secs(99_999_999_999));
        fs::write(state.path().join("clock"), "rubbish").unwrap();
        assert_eq!(floor(Some(&stamp)), build);
    }
}
