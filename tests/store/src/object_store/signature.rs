//! Signature version 4 in a URL, worked out from its description and from nothing of the program under test.

use std::collections::HashMap;

use http::request::Parts;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use ring::{digest, hmac};

/// The one user's key.
pub const KEY: &str = "AKIDEXAMPLE";
/// His secret.
pub const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
/// His session.
pub const TOKEN: &str = "session/+=token";
/// Where the store is.
pub const REGION: &str = "here";

/// The longest a signature may be good, in seconds.
const LONGEST: i64 = 900;

/// Undoes percent encoding.
pub(super) fn decode(text: &str) -> String {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
        match byte {
            b'%' => out.push((digit(bytes.next()).unwrap_or(0) * 16 + digit(bytes.next()).unwrap_or(0)) as u8),
            byte => out.push(byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Encodes everything but what needs no encoding.
pub(super) fn encode(text: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
    text.bytes().map(|byte| if plain(&byte) { char::from(byte).into() } else { format!("%{byte:02X}") }).collect()
}

fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('?');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

fn sign(key: &[u8], text: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
}

/// The query of a request whose signature is good; else what S3 says of it.
pub(super) fn check(parts: &Parts) -> Result<HashMap<String, String>, &'static str> {
    let text = parts.uri.query().unwrap_or_default();
    let pairs: Vec<_> = text.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, ""))).collect();
    let query: HashMap<_, _> = pairs.iter().map(|(name, value)| (decode(name), decode(value))).collect();
    let get = |name: &str| query.get(name).map(String::as_str).ok_or("MissingSecurityHeader");
    if get("X-Amz-Algorithm")? != "AWS4-HMAC-SHA256" || get("X-Amz-Security-Token")? != TOKEN {
        return Err("InvalidToken");
    }
    let date = get("X-Amz-Date")?;
    let day = date.split('T').next().unwrap_or_default();
    let scope = format!("{day}/{REGION}/s3/aws4_request");
    if get("X-Amz-Credential")? != format!("{KEY}/{scope}") {
        return Err("InvalidAccessKeyId");
    }
    let signed_at = DateTime::strptime("%Y%m%dT%H%M%SZ", date).map_err(|_| "AuthorizationQueryParametersError")?;
    let signed_at = signed_at.to_zoned(TimeZone::UTC).map_err(|_| "AuthorizationQueryParametersError")?;
    let age = Timestamp::now().as_second() - signed_at.timestamp().as_second();
    let good_for: i64 = get("X-Amz-Expires")?.parse().map_err(|_| "AuthorizationQueryParametersError")?;
    if good_for > LONGEST || !(-60..good_for).contains(&age) {
        return Err("RequestTimeTooSkewed");
    }
    let signed = get("X-Amz-SignedHeaders")?;
    let covered = |name: &str| signed.split(';').any(|one| one == name);
    let must = |name: &str| name == "host" || name == "if-none-match" || name.starts_with("x-amz-");
    if !covered("host") || parts.headers.keys().any(|name| must(name.as_str()) && !covered(name.as_str())) {
        return Err("AccessDenied");
    }

    let mut sorted: Vec<_> = pairs.iter().filter(|(name, _)| *name != "X-Amz-Signature").collect();
    sorted.sort();
    let canonical_query: Vec<_> = sorted.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let header = |name: &str| {
        let value = parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        format!("{name}:{}\n", value.trim())
    };
    let canonical = format!(
        "{}\n{}\n{}\n{}\n{signed}\nUNSIGNED-PAYLOAD",
        parts.method,
        parts.uri.path(),
        canonical_query.join("&"),
        signed.split(';').map(header).collect::<String>(),
    );
    let hash = hex(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref());
    let mut key = format!("AWS4{SECRET}").into_bytes();
    for part in [day, REGION, "s3", "aws4_request"] {
        key = sign(&key, part);
    }
    let signature = hex(&sign(&key, &format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{hash}")));
    if get("X-Amz-Signature")? == signature { Ok(query) } else { Err("SignatureDoesNotMatch") }
}
