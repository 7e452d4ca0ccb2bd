//! From where a request came.

use std::net::IpAddr;

/// The addresses of a request, the farthest first: those of `X-Forwarded-For`, that of `X-Real-Ip`, that of the connection.
/// All but the last can be set by the client. What is no address is left out, and so is what was said just before.
pub fn source_addresses(forwarded_for: Option<&str>, real_ip: Option<&str>, remote: Option<IpAddr>) -> Vec<IpAddr> {
    let forwarded = forwarded_for.unwrap_or_default().split(',');
    let mut addresses: Vec<IpAddr> = forwarded.filter_map(|part| part.trim().parse().ok()).map(plain).collect();
    if let Some(real) = real_ip.and_then(|text| text.parse().ok()).map(plain)
        && !addresses.contains(&real)
    {
        addresses.push(real);
    }
    if let Some(remote) = remote.map(plain)
        && addresses.last() != Some(&remote)
    {
        addresses.push(remote);
    }
    addresses
}

/// An address of IPv4, however it is written.
fn plain(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_collected_in_order() {
        for (forwarded, real, remote, expected) in [
            (None, None, Some("192.0.2.1"), "192.0.2.1"),
            (Some("10.0.0.1, 10.0.0.2"), None, Some("192.0.2.1"), "10.0.0.1 10.0.0.2 192.0.2.1"),
            (Some("10.0.0.1,nonsense,,2001:db8::1"), None, Some("192.0.2.1"), "10.0.0.1 2001:db8::1 192.0.2.1"),
            (Some("10.0.0.1, 192.0.2.1"), None, Some("192.0.2.1"), "10.0.0.1 192.0.2.1"),
            (Some("192.0.2.1, 10.0.0.1"), None, Some("192.0.2.1"), "192.0.2.1 10.0.0.1 192.0.2.1"),
            (Some("10.0.0.1"), Some("10.0.0.1"), Some("192.0.2.1"), "10.0.0.1 192.0.2.1"),
            (Some("10.0.0.1"), Some("10.0.0.9"), Some("192.0.2.1"), "10.0.0.1 10.0.0.9 192.0.2.1"),
            (None, Some("::ffff:192.0.2.1"), Some("192.0.2.1"), "192.0.2.1"),
            (Some("x"), Some("y"), None, ""),
        ] {
            let found = source_addresses(forwarded, real, remote.map(|text| text.parse().expect("an address")));
            let found: Vec<String> = found.iter().map(ToString::to_string).collect();
            assert_eq!(found.join(" "), expected, "{forwarded:?} {real:?} {remote:?}");
        }
    }
}
