//! Where a request has its token: in its `Authorization` header or, for browsers that cannot set one, among the protocols of a websocket.

use crate::Refused;
use crate::jose::decode;

/// What stands before the token in the name of a protocol.
const PROTOCOL: &str = "base64url.bearer.authorization.k8s.io.";

/// The token of an `Authorization` header.
pub fn from_header(value: &str) -> Option<&str> {
    let mut parts = value.trim().splitn(3, ' ');
    let (scheme, token) = (parts.next()?, parts.next()?);
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// A token among the protocols of a websocket, and the protocols that are left for the websocket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offered {
    /// The token.
    pub token: String,
    /// The other protocols.
    pub rest: Vec<String>,
}

/// The token among the protocols a websocket is asked for with.
///
/// # Errors
///
/// When it cannot be read, is not the only one, or is all that is asked for.
pub fn from_protocols(values: &[&str]) -> Result<Option<Offered>, Refused> {
    let mut token = None;
    let mut rest = Vec::new();
    for protocol in values.iter().flat_map(|value| value.split(',')).map(str::trim) {
        let Some(encoded) = protocol.strip_prefix(PROTOCOL) else {
            rest.push(protocol.to_owned());
            continue;
        };
        if token.is_some() {
            return Err(Refused::because("multiple base64.bearer.authorization tokens specified"));
        }
        let decoded = decode(encoded).and_then(|bytes| String::from_utf8(bytes).ok());
        let decoded = decoded.ok_or_else(|| Refused::because("invalid base64.bearer.authorization token encoding"))?;
        if decoded.is_empty() {
            return Ok(None);
        }
        token = Some(decoded);
    }
    match token {
        Some(_) if rest.is_empty() => Err(Refused::because("missing additional subprotocol")),
        Some(token) => Ok(Some(Offered { token, rest })),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jose::encode;

    #[test]
    fn a_header_has_a_token_or_not() {
        assert_eq!(from_header("Bearer abc"), Some("abc"));
        assert_eq!(from_header("  bEARER abc  "), Some("abc"));
        assert_eq!(from_header("Bearer abc def"), Some("abc"));
        for none in ["", "Bearer", "Bearer ", "Bearer  abc", "Basic abc", "Bearerabc", "abc"] {
            assert_eq!(from_header(none), None, "{none:?}");
        }
    }

    #[test]
    fn a_token_hides_among_protocols() {
        let hidden = format!("{PROTOCOL}{}", encode("secret"));
        let both = format!("v4.channel.k8s.io, {hidden}");
        let offered = from_protocols(&[&both]).expect("a token").expect("one");
        assert_eq!((offered.token.as_str(), offered.rest), ("secret", vec!["v4.channel.k8s.io".to_owned()]));
        assert_eq!(from_protocols(&["v4.channel.k8s.io"]), Ok(None));
        assert!(from_protocols(&[&hidden]).is_err());
        assert!(from_protocols(&[&both, &hidden]).is_err());
        assert!(from_protocols(&["x", &format!("{PROTOCOL}%%%")]).is_err());
    }
}
