//! Peer URLs: where a member is reached.

use std::str::FromStr;

use rustls::pki_types::ServerName;

/// A peer URL, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerAddress {
    /// Whether TLS is spoken.
    pub tls: bool,
    /// The host's name or IP address, which is also what its certificate must be for.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl FromStr for PeerAddress {
    type Err = &'static str;

    fn from_str(url: &str) -> Result<Self, Self::Err> {
        let (scheme, rest) = url.split_once("://").ok_or("not a URL")?;
        let tls = match scheme {
            "http" => false,
            "https" => true,
            _ => return Err("URL scheme must be http or https"),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '?', '#', '@']) {
            return Err("URL must not contain a path");
        }
        let form = "URL address does not have the form \"host:port\"";
        let (host, port) = rest.rsplit_once(':').ok_or(form)?;
        let host = match host.strip_prefix('[') {
            Some(rest) => rest.strip_suffix(']').ok_or(form)?,
            None if host.contains(':') => return Err(form),
            None => host,
        };
        ServerName::try_from(host).map_err(|_| form)?;
        Ok(Self { tls, host: host.to_owned(), port: port.parse().map_err(|_| form)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        let read = |url: &str| url.parse::<PeerAddress>().map(|address| (address.tls, address.host, address.port));
        assert_eq!(read("https://10.0.0.1:2380"), Ok((true, "10.0.0.1".into(), 2380)));
        assert_eq!(read("http://store-1.example:2380"), Ok((false, "store-1.example".into(), 2380)));
        assert_eq!(read("https://[fd00::1]:2380"), Ok((true, "fd00::1".into(), 2380)));
        for wrong in [
            "",
            "x",
            "ftp://a:1",
            "http://a",
            "http://:1",
            "http://a:b",
            "http://a:1/x",
            "http://fd00::1:2",
            "http://[::1:2",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
