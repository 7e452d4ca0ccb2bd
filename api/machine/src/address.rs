//! Addresses with a network length, and where a service is reached.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// An address and the length of its network, for example `192.0.2.10/24`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    address: IpAddr,
    length: u8,
}

impl Prefix {
    /// Everything in IPv4.
    pub const ALL_V4: Self = Self { address: IpAddr::V4(Ipv4Addr::UNSPECIFIED), length: 0 };
    /// Everything in IPv6.
    pub const ALL_V6: Self = Self { address: IpAddr::V6(Ipv6Addr::UNSPECIFIED), length: 0 };

    /// Joins the two; `None` if the length is more than the address has bits.
    #[must_use]
    pub fn new(address: IpAddr, length: u8) -> Option<Self> {
        (length <= bits(address)).then_some(Self { address, length })
    }

    /// The address, with its host part.
    pub fn address(self) -> IpAddr {
        self.address
    }

    /// Bits of the network part.
    pub fn length(self) -> u8 {
        self.length
    }

    /// Whether the address has no host part: a network, not an address in one.
    pub fn is_network(self) -> bool {
        self.network() == self.address
    }

    /// The address with its host part cleared.
    #[must_use]
    pub fn network(self) -> IpAddr {
        match self.address {
            IpAddr::V4(address) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.length)).unwrap_or(0);
                IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() & mask))
            }
            IpAddr::V6(address) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.length)).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask))
            }
        }
    }

    /// The address `index` places after the network's own; `None` if it lies outside.
    #[must_use]
    pub fn nth(self, index: u32) -> Option<IpAddr> {
        let address = match self.network() {
            IpAddr::V4(network) => IpAddr::V4(Ipv4Addr::from_bits(network.to_bits().checked_add(index)?)),
            IpAddr::V6(network) => IpAddr::V6(Ipv6Addr::from_bits(network.to_bits().checked_add(index.into())?)),
        };
        self.contains(address).then_some(address)
    }

    /// Whether `address` lies in this network.
    pub fn contains(self, address: IpAddr) -> bool {
        Self::new(address, self.length).is_some_and(|other| other.network() == self.network())
            && address.is_ipv4() == self.address.is_ipv4()
    }

    /// Whether the two networks share an address.
    pub fn overlaps(self, other: Self) -> bool {
        self.contains(other.network()) || other.contains(self.network())
    }
}

fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

impl FromStr for Prefix {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (address, length) = text.split_once('/').ok_or(())?;
        let plain = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
        let length = if plain { length.parse().map_err(|_| ())? } else { return Err(()) };
        Self::new(address.parse().map_err(|_| ())?, length).ok_or(())
    }
}

/// Where a service is reached: a host, by name or address, and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Name or address, without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
}

impl Endpoint {
    /// Reads `https://host[:port]` or `host[:port]`; without a port it is `default_port`.
    #[must_use]
    pub fn parse(text: &str, default_port: u16) -> Option<Self> {
        let rest = text.strip_prefix("https://").unwrap_or(text);
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = if let Some(bracketed) = rest.strip_prefix('[') {
            let (host, after) = bracketed.split_once(']')?;
            host.parse::<Ipv6Addr>().ok()?;
            let port = if after.is_empty() { None } else { Some(after.strip_prefix(':')?) };
            (host, port)
        } else if rest.parse::<Ipv6Addr>().is_ok() {
            (rest, None)
        } else {
            match rest.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (rest, None),
            }
        };
        let port = match port {
            None => default_port,
            Some(text) => text.parse().ok().filter(|port| *port != 0)?,
        };
        (host.parse::<IpAddr>().is_ok() || is_dns_name(host)).then(|| Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Whether `text` is a DNS name of lower-case labels (RFC 1123), as Kubernetes wants names.
pub(crate) fn is_dns_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= 253 && text.split('.').all(is_dns_label)
}

/// Whether the kernel and a certificate take `text` as the name of a machine.
#[must_use]
pub fn is_host_name(text: &str) -> bool {
    text.len() <= 64 && is_dns_name(text)
}

pub(crate) fn is_dns_label(label: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !label.is_empty()
        && label.len() <= 63
        && label.bytes().all(inner)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    #[test]
    fn a_prefix_knows_its_network() {
        assert_eq!(prefix("192.0.2.77/26").network().to_string(), "192.0.2.64");
        assert_eq!(prefix("10.96.0.0/12").nth(1).unwrap().to_string(), "10.96.0.1");
        assert_eq!(prefix("2001:db8::7/64").network().to_string(), "2001:db8::");
        assert_eq!(prefix("0.0.0.0/0").network().to_string(), "0.0.0.0");
        assert_eq!(prefix("192.0.2.1/32").nth(1), None);
        assert!(prefix("10.96.0.0/12").overlaps(prefix("10.111.0.0/16")));
        assert!(!prefix("10.96.0.0/12").overlaps(prefix("10.112.0.0/16")));
        assert!(!prefix("::/0").contains("10.0.0.1".parse().unwrap()), "families do not mix");
    }

    #[test]
    fn what_is_no_prefix_is_refused() {
        for text in ["192.0.2.1", "192.0.2.1/33", "192.0.2/24", "::/129", "192.0.2.1/", "192.0.2.1/+8", "x/8", "/8"] {
            assert!(text.parse::<Prefix>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_endpoint_is_read_in_all_its_spellings() {
        let read = |text| Endpoint::parse(text, 6443).map(|endpoint| endpoint.to_string());
        assert_eq!(read("https://api.example.net"), Some("api.example.net:6443".into()));
        assert_eq!(read("192.0.2.1:443"), Some("192.0.2.1:443".into()));
        assert_eq!(read("https://[2001:db8::1]:443/"), Some("[2001:db8::1]:443".into()));
        assert_eq!(read("2001:db8::1"), Some("[2001:db8::1]:6443".into()));
        for text in ["", "http://x", "a b", "host:0", "host:99999", "[::1", "https://host/path", "host:"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
