//! One DHCP client on one interface (RFC 2131, IPv4), for as long as there is a cable.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use backoff::Backoff;
use dhcproto::v4::{DhcpOption, Flags, Message, MessageType, Opcode, OptionCode};
use dhcproto::{Decodable, Decoder, Encodable};
use machine::Mac;
use machined_core::dhcp::{Lease, Step, Times, is_usable, prefix_of_mask};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::Event;

const SERVER_PORT: u16 = 67;
const CLIENT_PORT: u16 = 68;

/// Largest answer: that of an Ethernet packet.
const LARGEST: usize = 1500;

/// The first pause is short, because a machine that boots waits for it; the last one spares the server.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_LAST: Duration = Duration::from_secs(30);

/// How often an offer is asked for before another one is sought.
const REQUESTS: u32 = 3;

/// A client, ready to run.
pub(super) struct Client {
    pub(super) link: u32,
    pub(super) name: String,
    pub(super) mac: Mac,
    pub(super) events: mpsc::Sender<Event>,
}

/// What a server said to a request.
enum Reply {
    Granted(Lease),
    Denied,
    Silence,
}

impl Client {
    /// Asks for an address, keeps it as long as the server allows, and begins anew; for ever.
    pub(super) async fn run(self) {
        let mut retry = Backoff::new(RETRY_FIRST, RETRY_LAST);
        loop {
            match self.one_lease(&mut retry).await {
                Ok(()) => retry.reset(),
                Err(error) => {
                    tracing::warn!(link = self.name, %error, "DHCP");
                    tokio::time::sleep(retry.next_delay(rand::random())).await;
                }
            }
        }
    }

    /// From asking for an address to losing it.
    async fn one_lease(&self, retry: &mut Backoff) -> io::Result<()> {
        let socket = self.socket()?;
        let (mut lease, mut granted) = self.acquire(&socket, retry).await?;
        self.tell(Event::Granted { link: self.link, lease: lease.clone() }).await;
        retry.reset();
        loop {
            let (to, until) = match lease.times.decide(granted.elapsed()) {
                Step::Wait(pause) => {
                    tokio::time::sleep(pause).await;
                    continue;
                }
                Step::Renew(pause) => (lease.server, Instant::now() + pause),
                Step::Rebind(pause) => (Ipv4Addr::BROADCAST, Instant::now() + pause),
                Step::GiveUp => break,
            };
            let asked = Instant::now();
            let mut request = self.message(MessageType::Request, rand::random());
            request.set_ciaddr(lease.address);
            match self.ask(&socket, &request, to, until).await? {
                Reply::Granted(renewed) => {
                    lease = renewed;
                    granted = asked;
                    self.tell(Event::Granted { link: self.link, lease: lease.clone() }).await;
                }
                Reply::Denied => break,
                // `ask` waited until it is time to decide again.
                Reply::Silence => {}
            }
        }
        self.tell(Event::Lost { link: self.link }).await;
        Ok(())
    }

    /// Discovers a server, takes its first offer. Returns when the lease was asked for, since its time runs from there.
    async fn acquire(&self, socket: &UdpSocket, retry: &mut Backoff) -> io::Result<(Lease, Instant)> {
        loop {
            let pause = retry.next_delay(rand::random());
            let id = rand::random();
            let discover = self.broadcast(MessageType::Discover, id);
            send(socket, &discover, Ipv4Addr::BROADCAST).await?;
            let Some(offer) = self.receive(socket, id, Instant::now() + pause, &[MessageType::Offer]).await? else {
                continue;
            };
            let address = offer.yiaddr();
            let Some(server) = server_of(&offer).filter(|_| is_usable(address)) else { continue };
            let mut request = self.broadcast(MessageType::Request, id);
            request.opts_mut().insert(DhcpOption::RequestedIpAddress(address));
            request.opts_mut().insert(DhcpOption::ServerIdentifier(server));
            let mut wait = Backoff::new(RETRY_FIRST, RETRY_LAST);
            for _ in 0..REQUESTS {
                let asked = Instant::now();
                let until = asked + wait.next_delay(0.0);
                match self.ask(socket, &request, Ipv4Addr::BROADCAST, until).await? {
                    Reply::Granted(lease) => return Ok((lease, asked)),
                    Reply::Denied => break,
                    Reply::Silence => {}
                }
            }
        }
    }

    async fn ask(&self, socket: &UdpSocket, request: &Message, to: Ipv4Addr, until: Instant) -> io::Result<Reply> {
        send(socket, request, to).await?;
        let kinds = [MessageType::Ack, MessageType::Nak];
        loop {
            let Some(answer) = self.receive(socket, request.xid(), until, &kinds).await? else {
                return Ok(Reply::Silence);
            };
            if answer.opts().has_msg_type(MessageType::Nak) {
                return Ok(Reply::Denied);
            }
            // An answer that makes no sense is as good as none.
            if let Some(lease) = lease(&answer) {
                return Ok(Reply::Granted(lease));
            }
        }
    }

    /// The next message to us of one of these kinds; `None` at the deadline. Everything else on the port is passed over.
    async fn receive(
        &self,
        socket: &UdpSocket,
        id: u32,
        until: Instant,
        kinds: &[MessageType],
    ) -> io::Result<Option<Message>> {
        let mut buffer = [0; LARGEST];
        loop {
            let length = match timeout_at(until, socket.recv(&mut buffer)).await {
                Ok(received) => received?,
                Err(_) => return Ok(None),
            };
            let Ok(message) = Message::decode(&mut Decoder::new(&buffer[..length])) else { continue };
            let ours = message.opcode() == Opcode::BootReply
                && message.xid() == id
                && message.chaddr() == self.mac.0
                && message.opts().msg_type().is_some_and(|kind| kinds.contains(&kind));
            if ours {
                return Ok(Some(message));
            }
        }
    }

    fn message(&self, kind: MessageType, id: u32) -> Message {
        let mut message = Message::default();
        message.set_xid(id).set_chaddr(&self.mac.0);
        let options = message.opts_mut();
        options.insert(DhcpOption::MessageType(kind));
        // Hardware type 1 is Ethernet.
        options.insert(DhcpOption::ClientIdentifier([&[1], self.mac.0.as_slice()].concat()));
        options.insert(DhcpOption::MaxMessageSize(LARGEST as u16));
        options.insert(DhcpOption::ParameterRequestList(vec![
            OptionCode::SubnetMask,
            OptionCode::Router,
            OptionCode::DomainNameServer,
            OptionCode::Hostname,
            OptionCode::InterfaceMtu,
            OptionCode::NtpServers,
            OptionCode::AddressLeaseTime,
            OptionCode::Renewal,
            OptionCode::Rebinding,
        ]));
        message
    }

    /// A message before there is an address: the server must answer to everyone.
    fn broadcast(&self, kind: MessageType, id: u32) -> Message {
        let mut message = self.message(kind, id);
        message.set_flags(Flags::default().set_broadcast());
        message
    }

    fn socket(&self) -> io::Result<UdpSocket> {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_reuse_address(true)?;
        socket.set_broadcast(true)?;
        socket.bind_device(Some(self.name.as_bytes()))?;
        socket.set_nonblocking(true)?;
        socket.bind(&SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, CLIENT_PORT).into())?;
        UdpSocket::from_std(socket.into())
    }

    async fn tell(&self, event: Event) {
        // The owner ends only with the program.
        let _ = self.events.send(event).await;
    }
}

async fn send(socket: &UdpSocket, message: &Message, to: Ipv4Addr) -> io::Result<()> {
    let bytes = message.to_vec().map_err(io::Error::other)?;
    socket.send_to(&bytes, SocketAddrV4::new(to, SERVER_PORT)).await.map(|_| ())
}

fn server_of(message: &Message) -> Option<Ipv4Addr> {
    match message.opts().get(OptionCode::ServerIdentifier) {
        Some(DhcpOption::ServerIdentifier(server)) => Some(*server),
        _ => None,
    }
}

/// Reads an acknowledgement; `None` if it gives no address that could be used.
fn lease(message: &Message) -> Option<Lease> {
    let address = message.yiaddr();
    let options = message.opts();
    let seconds = |code| match options.get(code) {
        Some(DhcpOption::AddressLeaseTime(value) | DhcpOption::Renewal(value) | DhcpOption::Rebinding(value)) => {
            Some(*value)
        }
        _ => None,
    };
    let prefix = match options.get(OptionCode::SubnetMask) {
        Some(DhcpOption::SubnetMask(mask)) => prefix_of_mask(*mask)?,
        // Without a mask the machine is alone in its network.
        _ => 32,
    };
    let times = Times::new(
        seconds(OptionCode::AddressLeaseTime)?,
        seconds(OptionCode::Renewal),
        seconds(OptionCode::Rebinding),
    );
    let nameservers = match options.get(OptionCode::DomainNameServer) {
        Some(DhcpOption::DomainNameServer(servers)) => servers.clone(),
        _ => Vec::new(),
    };
    let time_servers = match options.get(OptionCode::NtpServers) {
        Some(DhcpOption::NtpServers(servers)) => servers.clone(),
        _ => Vec::new(),
    };
    let router = match options.get(OptionCode::Router) {
        Some(DhcpOption::Router(routers)) => routers.first().copied(),
        _ => None,
    };
    let hostname = match options.get(OptionCode::Hostname) {
        Some(DhcpOption::Hostname(name)) => Some(name.clone()),
        _ => None,
    };
    let mtu = match options.get(OptionCode::InterfaceMtu) {
        Some(DhcpOption::InterfaceMtu(mtu)) if *mtu >= 576 => Some(u32::from(*mtu)),
        _ => None,
    };
    let server = server_of(message)?;
    is_usable(address).then_some(Lease {
        address,
        prefix,
        router: router.filter(|router| is_usable(*router)),
        nameservers,
        time_servers,
        hostname,
        mtu,
        server,
        times,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client() -> Client {
        let (events, _) = mpsc::channel(1);
        Client { link: 2, name: "eth0".into(), mac: Mac([0x52, 0x54, 0, 0x12, 0x34, 0x56]), events }
    }

    fn acknowledgement() -> Message {
        let mut message = client().message(MessageType::Ack, 7);
        message.set_opcode(Opcode::BootReply).set_yiaddr([10, 0, 2, 15]);
        let options = message.opts_mut();
        options.insert(DhcpOption::ServerIdentifier([10, 0, 2, 2].into()));
        options.insert(DhcpOption::SubnetMask([255, 255, 255, 0].into()));
        options.insert(DhcpOption::Router(vec![[10, 0, 2, 2].into()]));
        options.insert(DhcpOption::DomainNameServer(vec![[10, 0, 2, 3].into()]));
        options.insert(DhcpOption::NtpServers(vec![[10, 0, 2, 4].into()]));
        options.insert(DhcpOption::AddressLeaseTime(86_400));
        message
    }

    #[test]
    fn an_acknowledgement_becomes_a_lease() {
        let bytes = acknowledgement().to_vec().unwrap();
        let lease = lease(&Message::decode(&mut Decoder::new(&bytes)).unwrap()).unwrap();
        assert_eq!((lease.address.to_string(), lease.prefix), ("10.0.2.15".to_owned(), 24));
        assert_eq!(lease.router, Some([10, 0, 2, 2].into()));
        assert_eq!(lease.nameservers, [Ipv4Addr::from([10, 0, 2, 3])]);
        assert_eq!(lease.time_servers, [Ipv4Addr::from([10, 0, 2, 4])]);
        assert_eq!(lease.times.renew, Duration::from_hours(12));
    }

    #[test]
    fn an_acknowledgement_without_sense_is_none() {
        let mut loopback = acknowledgement();
        loopback.set_yiaddr([127, 0, 0, 1]);
        assert_eq!(lease(&loopback), None);
        let mut endless = acknowledgement();
        endless.opts_mut().remove(OptionCode::AddressLeaseTime);
        assert_eq!(lease(&endless), None);
        let mut holes = acknowledgement();
        holes.opts_mut().insert(DhcpOption::SubnetMask([255, 0, 255, 0].into()));
        assert_eq!(lease(&holes), None);
    }

    #[tokio::test]
    async fn what_is_not_for_us_is_passed_over() {
        let ours = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        server.connect(ours.local_addr().unwrap()).await.unwrap();
        let mut foreign = acknowledgement();
        foreign.set_chaddr(&[1, 2, 3, 4, 5, 6]);
        let mut old = acknowledgement();
        old.set_xid(8);
        for message in [&foreign, &old] {
            server.send(&message.to_vec().unwrap()).await.unwrap();
        }
        server.send(b"garbage").await.unwrap();
        server.send(&[]).await.unwrap();
        server.send(&acknowledgement().to_vec().unwrap()).await.unwrap();
        let until = Instant::now() + Duration::from_secs(5);
        let client = client();
        let message = client.receive(&ours, 7, until, &[MessageType::Ack]).await.unwrap().expect("the right one");
        assert_eq!((message.xid(), message.chaddr()), (7, client.mac.0.as_slice()));
        let none = client.receive(&ours, 7, Instant::now(), &[MessageType::Ack]).await.unwrap();
        assert!(none.is_none());
    }
}
