//! Addresses and networks.

use std::any::Any;
use std::net::IpAddr;

use cel::value::Opaque;
use cel::{Error, Library, Type, Value};

use super::{Given, each, nominal, opaque, text, traversal};

const IP: &str = "net.IP";
const CIDR: &str = "net.CIDR";

#[derive(Debug, PartialEq, Eq, Clone, Copy)]
struct Address(IpAddr);

/// The address is kept as written: the host's bits are dropped by `masked` only.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Opaque for Address {
    fn type_name(&self) -> &str {
        IP
    }

    fn equals(&self, other: &dyn Opaque) -> bool {
        (other as &dyn Any).downcast_ref() == Some(self)
    }

    fn size(&self) -> u64 {
        u64::from(bits(self.0)) / 8
    }
}

impl Opaque for Network {
    fn type_name(&self) -> &str {
        CIDR
    }

    fn equals(&self, other: &dyn Opaque) -> bool {
        (other as &dyn Any).downcast_ref() == Some(self)
    }

    fn size(&self) -> u64 {
        u64::from(self.prefix.div_ceil(8))
    }
}

fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// An address; IPv4 within IPv6 and zones are refused.
fn address(text: &str) -> Result<IpAddr, Error> {
    let wrong =
        |why: &str| Error::new(format!("IP Address \"{text}\" parse error during conversion from string: {why}"));
    if text.contains('%') {
        return Err(wrong("IP address with zone value is not allowed"));
    }
    match text.parse() {
        Ok(IpAddr::V6(v6)) if v6.to_ipv4_mapped().is_some() => Err(wrong("IPv4-mapped IPv6 address is not allowed")),
        Ok(address) => Ok(address),
        Err(_) => Err(wrong(&format!("ParseAddr(\"{text}\"): unable to parse IP"))),
    }
}

fn network(text: &str) -> Result<Network, Error> {
    let wrong = || {
        Error::new(format!(
            "network address parse error during conversion from string: netip.ParsePrefix(\"{text}\"): no valid network"
        ))
    };
    let (host, prefix) = text.split_once('/').ok_or_else(wrong)?;
    let address = address(host).map_err(|_| wrong())?;
    if prefix.is_empty() || prefix.len() > 1 && prefix.starts_with('0') || !prefix.bytes().all(|b| b.is_ascii_digit()) {
        return Err(wrong());
    }
    let prefix = prefix.parse().ok().filter(|prefix| *prefix <= bits(address)).ok_or_else(wrong)?;
    Ok(Network { address, prefix })
}

fn masked(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            IpAddr::V4((v4.to_bits() & mask).into())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
            IpAddr::V6((v6.to_bits() & mask).into())
        }
    }
}

impl Network {
    fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.address.is_ipv4() && masked(address, self.prefix) == masked(self.address, self.prefix)
    }
}

fn multicast_scope(address: &IpAddr) -> Option<u16> {
    match address {
        IpAddr::V6(v6) if v6.is_multicast() => Some(v6.segments()[0] & 0xf),
        _ => None,
    }
}

/// Asks something of an address.
type Test = for<'a> fn(&[Value<'a>]) -> Given<'a>;

pub(super) fn addresses() -> Library {
    use Type::{Bool, Int, String};
    let ip = Type::opaque(IP);
    let cidr = Type::opaque(CIDR);
    let library = Library::default()
        .named_type(IP, ip.clone())
        .named_type(CIDR, cidr.clone())
        .global("ip", "string_to_ip", &[String], ip.clone(), |args| {
            Ok(Value::opaque(Address(address(text(&args[0])?)?)))
        })
        .costing(traversal)
        .global("isIP", "is_ip", &[String], Bool, |args| Ok(Value::Bool(address(text(&args[0])?).is_ok())))
        .costing(traversal)
        .global("ip.isCanonical", "ip_is_canonical", &[String], Bool, |args| {
            let text = text(&args[0])?;
            Ok(Value::Bool(address(text)?.to_string() == text))
        })
        .costing(|args, _| cel::ceil_tenth(2 * cel::size(&args[0])))
        .global("string", "ip_to_string", std::slice::from_ref(&ip), String, |args| {
            Ok(Value::string(opaque::<Address>(&args[0])?.0.to_string()))
        })
        .member("family", "ip_family", std::slice::from_ref(&ip), Int, |args| {
            Ok(Value::Int(if opaque::<Address>(&args[0])?.0.is_ipv4() { 4 } else { 6 }))
        })
        .costing(nominal);
    let tests: [(&'static str, &'static str, Test); 5] = [
        ("isUnspecified", "ip_is_unspecified", |args| test(args, IpAddr::is_unspecified)),
        ("isLoopback", "ip_is_loopback", |args| test(args, IpAddr::is_loopback)),
        ("isLinkLocalMulticast", "ip_is_link_local_multicast", |args| {
            test(args, |address| match address {
                IpAddr::V4(v4) => v4.octets()[..3] == [224, 0, 0],
                IpAddr::V6(_) => multicast_scope(address) == Some(2),
            })
        }),
        ("isLinkLocalUnicast", "ip_is_link_local_unicast", |args| {
            test(args, |address| match address {
                IpAddr::V4(v4) => v4.is_link_local(),
                IpAddr::V6(v6) => v6.is_unicast_link_local(),
            })
        }),
        ("isGlobalUnicast", "ip_is_global_unicast", |args| {
            test(args, |address| {
                let link_local = match address {
                    IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast(),
                    IpAddr::V6(v6) => v6.is_unicast_link_local(),
                };
                !(link_local || address.is_unspecified() || address.is_loopback() || address.is_multicast())
            })
        }),
    ];
    each(library, tests, |library, (name, id, test)| {
        library.member(name, id, &[Type::opaque(IP)], Bool, test).costing(nominal)
    })
    .global("cidr", "string_to_cidr", &[String], cidr.clone(), |args| network(text(&args[0])?).map(Value::opaque))
    .costing(traversal)
    .global("isCIDR", "is_cidr", &[String], Bool, |args| Ok(Value::Bool(network(text(&args[0])?).is_ok())))
    .costing(traversal)
    .global("string", "cidr_to_string", std::slice::from_ref(&cidr), String, |args| {
        let network: &Network = opaque(&args[0])?;
        Ok(Value::string(format!("{}/{}", network.address, network.prefix)))
    })
    .member("containsIP", "cidr_contains_ip_ip", &[cidr.clone(), ip.clone()], Bool, |args| {
        Ok(Value::Bool(opaque::<Network>(&args[0])?.contains(opaque::<Address>(&args[1])?.0)))
    })
    .costing(|args, _| cel::ceil_tenth(2 * cel::size(&args[0])))
    .member("containsIP", "cidr_contains_ip_string", &[cidr.clone(), String], Bool, |args| {
        Ok(Value::Bool(opaque::<Network>(&args[0])?.contains(address(text(&args[1])?)?)))
    })
    .costing(|args, _| cel::ceil_tenth(2 * cel::size(&args[0])) + cel::ceil_tenth(cel::size(&args[1])))
    .member("containsCIDR", "cidr_contains_cidr", &[cidr.clone(), cidr.clone()], Bool, |args| {
        contains_network(args, *opaque(&args[1])?)
    })
    .costing(|args, _| network_cost(args))
    .member("containsCIDR", "cidr_contains_cidr_string", &[cidr.clone(), String], Bool, |args| {
        contains_network(args, network(text(&args[1])?)?)
    })
    .costing(|args, _| network_cost(args) + cel::ceil_tenth(cel::size(&args[1])))
    .member("ip", "cidr_ip", std::slice::from_ref(&cidr), ip, |args| {
        Ok(Value::opaque(Address(opaque::<Network>(&args[0])?.address)))
    })
    .costing(nominal)
    .member("prefixLength", "cidr_prefix_length", std::slice::from_ref(&cidr), Int, |args| {
        Ok(Value::Int(i64::from(opaque::<Network>(&args[0])?.prefix)))
    })
    .costing(nominal)
    .member("masked", "cidr_masked", std::slice::from_ref(&cidr), cidr.clone(), |args| {
        let Network { address, prefix } = *opaque(&args[0])?;
        Ok(Value::opaque(Network { address: masked(address, prefix), prefix }))
    })
    .costing(nominal)
}

fn test<'a>(args: &[Value<'a>], holds: fn(&IpAddr) -> bool) -> Given<'a> {
    Ok(Value::Bool(holds(&opaque::<Address>(&args[0])?.0)))
}

fn contains_network<'a>(args: &[Value<'a>], other: Network) -> Given<'a> {
    let network: &Network = opaque(&args[0])?;
    Ok(Value::Bool(network.prefix <= other.prefix && network.contains(other.address)))
}

fn network_cost(args: &[Value<'_>]) -> u64 {
    cel::ceil_tenth(2 * cel::size(&args[0])) + cel::ceil_tenth(cel::size(&args[0])) + 1
}
