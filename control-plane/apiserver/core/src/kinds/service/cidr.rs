//! Ranges of addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An address range in CIDR form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cidr {
    network: IpAddr,
    bits: u8,
}

impl Cidr {
    /// Parses `10.96.0.0/12`; `None` for anything else. Host bits are allowed and ignored.
    pub fn parse(text: &str) -> Option<Self> {
        let (network, bits) = text.split_once('/')?;
        let (network, bits): (IpAddr, u8) = (network.parse().ok()?, bits.parse().ok()?);
        let cidr = Self { network, bits };
        (bits <= cidr.width()).then_some(cidr)
    }

    /// Whether an address is inside.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.network.is_ipv4() == address.is_ipv4() && (number(address) ^ number(self.network)) & self.mask() == 0
    }

    /// Whether an address can be given out of this range: it is inside, and neither the network's own nor, in IPv4, everybody's.
    pub fn gives(&self, address: IpAddr) -> bool {
        self.contains(address) && (1..=self.usable()).contains(&(number(address) & !self.mask()))
    }

    /// The address at an offset from the network's own: 1 is what the `kubernetes` Service gets. `None` beyond the range.
    pub fn nth(&self, offset: u128) -> Option<IpAddr> {
        if offset >= self.size() {
            return None;
        }
        let address = (number(self.network) & self.mask()).checked_add(offset)?;
        Some(if self.network.is_ipv4() {
            IpAddr::V4(Ipv4Addr::from_bits(u32::try_from(address).ok()?))
        } else {
            IpAddr::V6(Ipv6Addr::from_bits(address))
        })
    }

    /// `IPv4` or `IPv6`, as a Service's `ipFamilies` has it.
    pub fn family(&self) -> &'static str {
        family(self.network)
    }

    /// The length of the prefix.
    pub fn bits(&self) -> u8 {
        self.bits
    }

    fn width(&self) -> u8 {
        if self.network.is_ipv4() { 32 } else { 128 }
    }

    /// How many addresses there are, at most `u128::MAX`.
    fn size(&self) -> u128 {
        1_u128.checked_shl(u32::from(self.width() - self.bits)).unwrap_or(u128::MAX)
    }

    fn mask(&self) -> u128 {
        !(self.size() - 1)
    }

    /// How many addresses may be given: not the network's own address, and in IPv4 not the broadcast address.
    pub(super) fn usable(&self) -> u128 {
        let less = if self.network.is_ipv4() { 2 } else { 1 };
        // Nobody has more Services than this, and the arithmetic below stays far from its limits.
        self.size().saturating_sub(less).min(1 << 64)
    }
}

impl std::fmt::Display for Cidr {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.nth(0) {
            Some(network) => write!(out, "{network}/{}", self.bits),
            None => write!(out, "{}/{}", self.network, self.bits),
        }
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

pub(super) fn family(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "IPv4" } else { "IPv6" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_gives_all_but_its_own_and_everybodys_address() {
        let gives =
            |range: &str, address: &str| Cidr::parse(range).expect("a range").gives(address.parse().expect("an IP"));
        for address in ["10.0.0.1", "10.0.0.14"] {
            assert!(gives("10.0.0.0/28", address), "{address}");
        }
        for address in ["10.0.0.0", "10.0.0.15", "10.0.0.16", "fd00::1"] {
            assert!(!gives("10.0.0.0/28", address), "{address}");
        }
        assert!(gives("fd00::/124", "fd00::f") && !gives("fd00::/124", "fd00::"));
    }
}
