//! The kernel's own interface to links, addresses and routes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use futures::{FutureExt, StreamExt, TryStreamExt};
use machine::{Mac, Prefix, Route};
use machined_core::network::Link;
use rtnetlink::packet_core::NetlinkMessage;
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage};
use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags, LinkLayerType, LinkMessage};
use rtnetlink::packet_route::route::RouteMessage;
use rtnetlink::sys::SocketAddr;
use rtnetlink::{
    AddressMessageBuilder, Handle, LinkUnspec, MulticastGroup, RouteMessageBuilder, new_multicast_connection,
};

use super::Error;

/// An open connection to the kernel.
pub(super) struct Netlink {
    handle: Handle,
    changes: futures::channel::mpsc::UnboundedReceiver<(NetlinkMessage<RouteNetlinkMessage>, SocketAddr)>,
}

impl Netlink {
    /// Connects, and listens to changes of links and addresses.
    pub(super) fn open() -> Result<Self, Error> {
        let groups = [MulticastGroup::Link, MulticastGroup::Ipv4Ifaddr, MulticastGroup::Ipv6Ifaddr];
        let (connection, handle, changes) = new_multicast_connection(&groups).map_err(Error::Open)?;
        tokio::spawn(connection);
        Ok(Self { handle, changes })
    }

    /// Waits for a change; what has come in the meantime counts as one. `false` if the connection has ended.
    pub(super) async fn changed(&mut self) -> bool {
        if self.changes.next().await.is_none() {
            return false;
        }
        while let Some(Some(_)) = self.changes.next().now_or_never() {}
        true
    }

    /// All links.
    pub(super) async fn links(&self) -> Result<Vec<Link>, Error> {
        let refused = |source| Error::Refused { what: "list the network interfaces".to_owned(), source };
        let messages: Vec<_> = self.handle.link().get().execute().try_collect().await.map_err(refused)?;
        Ok(messages.iter().map(link).collect())
    }

    /// All addresses of all links.
    pub(super) async fn addresses(&self) -> Result<Vec<IpAddr>, Error> {
        let refused = |source| Error::Refused { what: "list the addresses".to_owned(), source };
        let messages: Vec<_> = self.handle.address().get().execute().try_collect().await.map_err(refused)?;
        Ok(messages.iter().filter_map(address).collect())
    }

    /// Switches a link on.
    pub(super) async fn set_up(&self, link: u32) -> Result<(), Error> {
        let request = self.handle.link().set(LinkUnspec::new_with_index(link).up().build());
        request.execute().await.map_err(|source| Error::Refused { what: "switch the interface on".to_owned(), source })
    }

    /// Sets the size of the largest packet.
    pub(super) async fn set_mtu(&self, link: u32, mtu: u32) -> Result<(), Error> {
        let request = self.handle.link().set(LinkUnspec::new_with_index(link).mtu(mtu).build());
        request.execute().await.map_err(|source| Error::Refused { what: format!("set the MTU to {mtu}"), source })
    }

    /// Adds an address; one that is there already stays.
    pub(super) async fn add_address(&self, link: u32, prefix: Prefix) -> Result<(), Error> {
        let request = self.handle.address().add(link, prefix.address(), prefix.length()).replace();
        request.execute().await.map_err(|source| Error::Refused { what: format!("add the address {prefix}"), source })
    }

    /// Takes an address away.
    pub(super) async fn remove_address(&self, link: u32, prefix: Prefix) -> Result<(), Error> {
        let message: AddressMessage = match prefix.address() {
            IpAddr::V4(address) => {
                AddressMessageBuilder::<Ipv4Addr>::new().index(link).address(address, prefix.length()).build()
            }
            IpAddr::V6(address) => {
                AddressMessageBuilder::<Ipv6Addr>::new().index(link).address(address, prefix.length()).build()
            }
        };
        let refused = |source| Error::Refused { what: format!("take the address {prefix} away"), source };
        self.handle.address().del(message).execute().await.map_err(refused)
    }

    /// Adds a route, or replaces the one to the same network with the same metric.
    pub(super) async fn add_route(&self, link: u32, route: &Route) -> Result<(), Error> {
        let refused = |source| Error::Refused { what: format!("add the route to {}", route.to), source };
        self.handle.route().add(route_message(link, route)).replace().execute().await.map_err(refused)
    }
}

fn route_message(link: u32, route: &Route) -> RouteMessage {
    match route.to.address() {
        IpAddr::V4(to) => {
            let mut builder =
                RouteMessageBuilder::<Ipv4Addr>::new().destination_prefix(to, route.to.length()).output_interface(link);
            if let Some(IpAddr::V4(via)) = route.via {
                // A cloud's router may lie outside the machine's own network of one address.
                builder = builder.gateway(via).onlink();
            }
            if let Some(metric) = route.metric {
                builder = builder.priority(metric);
            }
            builder.build()
        }
        IpAddr::V6(to) => {
            let mut builder =
                RouteMessageBuilder::<Ipv6Addr>::new().destination_prefix(to, route.to.length()).output_interface(link);
            if let Some(IpAddr::V6(via)) = route.via {
                builder = builder.gateway(via).onlink();
            }
            if let Some(metric) = route.metric {
                builder = builder.priority(metric);
            }
            builder.build()
        }
    }
}

fn link(message: &LinkMessage) -> Link {
    let mut name = String::new();
    let mut mac = None;
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(text) => name.clone_from(text),
            LinkAttribute::Address(bytes) => mac = <[u8; 6]>::try_from(bytes.as_slice()).ok().map(Mac),
            _ => {}
        }
    }
    let is_ethernet = message.header.link_layer_type == LinkLayerType::Ether && has_device(&name);
    Link {
        index: message.header.index,
        name,
        mac,
        is_ethernet,
        carrier: message.header.flags.contains(LinkFlags::LowerUp),
    }
}

/// Whether an interface has a device behind it; a bridge or a dummy has none.
fn has_device(name: &str) -> bool {
    !name.is_empty() && Path::new("/sys/class/net").join(name).join("device").exists()
}

fn address(message: &AddressMessage) -> Option<IpAddr> {
    let mut found = None;
    for attribute in &message.attributes {
        match attribute {
            // On a point-to-point link `Address` is the other end, and `Local` is ours.
            AddressAttribute::Local(address) => return Some(*address),
            AddressAttribute::Address(address) => found = Some(*address),
            _ => {}
        }
    }
    found
}
