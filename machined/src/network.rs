//! The network: one task owns it, sets up every interface, and tells the others what it has come to.

mod dhcp;
mod netlink;

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chain::Chain;
use machine::{Prefix, Route};
use machined_core::dhcp::Lease;
use machined_core::network::{self, Link, Setup};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use self::netlink::Netlink;
use crate::report::Report;

/// What failed (an address that clashes, a route whose router is not there yet) is tried again this often, in addition
/// to every change that the kernel reports.
const RETRY: Duration = Duration::from_secs(10);

/// For so long after the start a missing link or address is nothing to tell anyone: it is on its way.
pub(crate) const SETTLING: Duration = Duration::from_secs(5);

/// Routes of DHCP lose against routes of the configuration.
const DHCP_METRIC: u32 = 1024;

/// Events that have not been looked at yet: leases come seldom, so a full queue means that the owner hangs.
const QUEUE: usize = 64;

/// What the network has come to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct State {
    /// The addresses by which others reach this machine, the most important first.
    pub(crate) addresses: Vec<IpAddr>,
    /// Time servers that DHCP named.
    pub(crate) time_servers: Vec<IpAddr>,
    /// A name that DHCP gave. Foreign input: it may be anything.
    pub(crate) hostname: Option<String>,
    /// Whether there is any interface that could get an address.
    pub(crate) has_links: bool,
}

/// What one DHCP client reports.
#[derive(Debug)]
pub(crate) enum Event {
    /// A lease was granted or renewed.
    Granted { link: u32, lease: Lease },
    /// A lease ended, or the server took it back.
    Lost { link: u32 },
}

/// Why the network cannot be set up at all.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The kernel's interface could not be opened.
    #[error("open the kernel's network interface")]
    Open(#[source] std::io::Error),
    /// The kernel refused a request.
    #[error("{what}")]
    Refused {
        /// What was tried.
        what: String,
        /// The cause.
        #[source]
        source: rtnetlink::Error,
    },
}

/// Starts the owner of the network. The first state is published when every interface has been looked at once.
pub(crate) async fn start(
    config: machine::Network,
    resolv_conf: PathBuf,
    report: Report,
) -> Result<watch::Receiver<State>, Error> {
    let netlink = Netlink::open()?;
    let (events, inbox) = mpsc::channel(QUEUE);
    let mut owner = Owner {
        netlink,
        config,
        resolv_conf,
        report,
        events,
        interfaces: HashMap::new(),
        state: watch::Sender::new(State::default()),
        nameservers: Vec::new(),
        settled_at: Instant::now() + SETTLING,
    };
    owner.refresh().await?;
    let state = owner.state.subscribe();
    tokio::spawn(owner.run(inbox));
    Ok(state)
}

/// What is known of one interface that is set up.
#[derive(Debug)]
struct Interface {
    link: Link,
    setup: Setup,
    /// Whether everything of the configuration is there.
    complete: bool,
    client: Option<JoinHandle<()>>,
    lease: Option<Lease>,
}

struct Owner {
    netlink: Netlink,
    config: machine::Network,
    resolv_conf: PathBuf,
    report: Report,
    events: mpsc::Sender<Event>,
    interfaces: HashMap<u32, Interface>,
    state: watch::Sender<State>,
    nameservers: Vec<IpAddr>,
    settled_at: Instant,
}

impl Owner {
    async fn run(mut self, mut inbox: mpsc::Receiver<Event>) {
        loop {
            let now = Instant::now();
            let retry = if now < self.settled_at { self.settled_at } else { now + RETRY };
            tokio::select! {
                // The owner holds a sender itself, so the inbox never ends.
                event = inbox.recv() => if let Some(event) = event { self.handle(event).await },
                changed = self.netlink.changed() => if !changed {
                    self.report.error("network", "the kernel no longer reports changes of the network");
                    return;
                },
                () = tokio::time::sleep_until(retry) => {}
            }
            if let Err(error) = self.refresh().await {
                self.report.error("network", Chain(&error).to_string());
            }
        }
    }

    async fn handle(&mut self, event: Event) {
        match event {
            Event::Granted { link, lease } => {
                let Some(interface) = self.interfaces.get_mut(&link) else { return };
                let old = interface.lease.replace(lease.clone());
                if let Some(old) = old.filter(|old| (old.address, old.prefix) != (lease.address, lease.prefix)) {
                    self.take_away(link, &old).await;
                }
                if let Err(error) = self.apply(link, &lease).await {
                    self.report.error("network", Chain(&error).to_string());
                }
            }
            Event::Lost { link } => {
                let lease = self.interfaces.get_mut(&link).and_then(|interface| interface.lease.take());
                if let Some(lease) = lease {
                    tracing::warn!(link, address = %lease.address, "the lease of the address has ended");
                    self.take_away(link, &lease).await;
                }
            }
        }
    }

    /// Brings a lease into effect. Doing it again changes nothing.
    async fn apply(&mut self, link: u32, lease: &Lease) -> Result<(), Error> {
        tracing::info!(link, address = %lease.address, prefix = lease.prefix, "DHCP gave an address");
        if let Some(mtu) = lease.mtu
            && self.interfaces.get(&link).is_some_and(|interface| interface.setup.mtu.is_none())
        {
            self.netlink.set_mtu(link, mtu).await?;
        }
        let address = IpAddr::V4(lease.address);
        if let Some(prefix) = Prefix::new(address, lease.prefix) {
            self.netlink.add_address(link, prefix).await?;
        }
        if let Some(router) = lease.router {
            let route = Route { to: Prefix::ALL_V4, via: Some(router.into()), metric: Some(DHCP_METRIC + link) };
            self.netlink.add_route(link, &route).await?;
        }
        Ok(())
    }

    async fn take_away(&mut self, link: u32, lease: &Lease) {
        if let Some(prefix) = Prefix::new(lease.address.into(), lease.prefix)
            && let Err(error) = self.netlink.remove_address(link, prefix).await
        {
            tracing::warn!("{}", Chain(&error));
        }
    }

    /// Looks at every interface, does what is missing, and publishes what came of it.
    async fn refresh(&mut self) -> Result<(), Error> {
        let links = self.netlink.links().await?;
        let gone: Vec<u32> =
            self.interfaces.keys().copied().filter(|index| !links.iter().any(|link| link.index == *index)).collect();
        for index in gone {
            if let Some(client) = self.interfaces.remove(&index).and_then(|interface| interface.client) {
                client.abort();
            }
        }
        let mut problems = Vec::new();
        for link in &links {
            if let Some(setup) = network::setup(link, &self.config)
                && let Err(error) = self.bring_up(link, setup).await
            {
                problems.push(format!("{}: {}", link.name, Chain(&error)));
            }
        }
        for name in network::missing(&links, &self.config) {
            problems.push(format!("there is no interface {name}"));
        }
        self.publish(problems).await
    }

    async fn bring_up(&mut self, link: &Link, setup: Setup) -> Result<(), Error> {
        let known = self.interfaces.entry(link.index).or_insert_with(|| Interface {
            link: Link { carrier: false, ..link.clone() },
            setup,
            complete: false,
            client: None,
            lease: None,
        });
        let plugged_in = link.carrier && !known.link.carrier;
        known.link = link.clone();
        if !known.complete {
            if let Some(mtu) = known.setup.mtu {
                self.netlink.set_mtu(link.index, mtu).await?;
            }
            accept_router_advertisements(&link.name);
            self.netlink.set_up(link.index).await?;
            for address in &known.setup.addresses {
                self.netlink.add_address(link.index, *address).await?;
            }
            for route in &known.setup.routes {
                self.netlink.add_route(link.index, route).await?;
            }
            known.complete = true;
        }
        // A new cable may lead to another network, so the client begins anew.
        if plugged_in
            && known.setup.dhcp
            && let Some(mac) = link.mac
        {
            if let Some(client) = known.client.take() {
                client.abort();
            }
            let client = dhcp::Client { link: link.index, name: link.name.clone(), mac, events: self.events.clone() };
            known.client = Some(tokio::spawn(client.run()));
        }
        Ok(())
    }

    async fn publish(&mut self, mut problems: Vec<String>) -> Result<(), Error> {
        let addresses = network::node_addresses(self.netlink.addresses().await?);
        let mut interfaces: Vec<_> = self.interfaces.values().collect();
        interfaces.sort_by_key(|interface| interface.link.index);
        let leases: Vec<_> = interfaces.iter().filter_map(|interface| interface.lease.as_ref()).collect();
        let mut nameservers = self.config.nameservers.clone();
        if nameservers.is_empty() {
            nameservers.extend(leases.iter().flat_map(|lease| &lease.nameservers).copied().map(IpAddr::V4));
        }
        let state = State {
            time_servers: leases.iter().flat_map(|lease| &lease.time_servers).copied().map(IpAddr::V4).collect(),
            hostname: leases.iter().find_map(|lease| lease.hostname.clone()),
            has_links: !interfaces.is_empty(),
            addresses,
        };
        if state.addresses.is_empty() && Instant::now() >= self.settled_at {
            let plugged_in = interfaces.iter().any(|interface| interface.link.carrier);
            problems.push(match (interfaces.is_empty(), plugged_in) {
                (true, _) => "the machine has no network interface".to_owned(),
                (false, false) => "no network interface has a link".to_owned(),
                (false, true) => "the machine has no address yet".to_owned(),
            });
        }
        if nameservers != self.nameservers {
            match durable::write(&self.resolv_conf, network::resolv_conf(&nameservers).as_bytes(), 0o644) {
                Ok(()) => self.nameservers = nameservers,
                Err(error) => problems.push(format!("the name servers cannot be written down: {error}")),
            }
        }
        if problems.is_empty() {
            self.report.clear("network");
        } else {
            self.report.warn("network", problems.join("; "));
        }
        self.state.send_if_modified(|current| {
            let news = *current != state;
            *current = state;
            news
        });
        Ok(())
    }
}

/// Lets the kernel take IPv6 addresses from routers, even if it should forward packets one day.
fn accept_router_advertisements(link: &str) {
    let path = Path::new("/proc/sys/net/ipv6/conf").join(link).join("accept_ra");
    // A kernel without IPv6 has no such file, and needs none.
    if path.exists()
        && let Err(error) = std::fs::write(&path, "2")
    {
        tracing::warn!(%error, link, "IPv6 router advertisements may be ignored");
    }
}
