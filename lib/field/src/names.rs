//! The shapes of DNS names, and what is said of a text that has another.

const LABEL_MESSAGE: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end \
     with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const SUBDOMAIN_MESSAGE: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must \
     start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
     '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

/// Longest DNS label.
pub const LABEL_LENGTH: usize = 63;
/// Longest DNS subdomain.
pub const SUBDOMAIN_LENGTH: usize = 253;

/// What is said of a text longer than `limit` bytes.
pub fn too_long(limit: usize) -> String {
    format!("must be no more than {limit} bytes")
}

/// Whether a byte may stand anywhere in a DNS label.
pub fn is_lower(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

/// Whether a text has the shape of a DNS-1123 label, whatever its length.
pub fn is_label(text: &str) -> bool {
    let bytes = text.as_bytes();
    match (bytes.first(), bytes.last()) {
        (Some(&first), Some(&last)) => {
            is_lower(first) && is_lower(last) && bytes.iter().all(|&byte| is_lower(byte) || byte == b'-')
        }
        _ => false,
    }
}

/// What is wrong with a DNS-1123 label.
pub fn dns_label(text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if text.len() > LABEL_LENGTH {
        wrong.push(too_long(LABEL_LENGTH));
    }
    if !is_label(text) {
        wrong.push(LABEL_MESSAGE.to_owned());
    }
    wrong
}

/// What is wrong with a DNS-1123 subdomain.
pub fn dns_subdomain(text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if text.len() > SUBDOMAIN_LENGTH {
        wrong.push(too_long(SUBDOMAIN_LENGTH));
    }
    if !text.split('.').all(is_label) {
        wrong.push(SUBDOMAIN_MESSAGE.to_owned());
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_none_are_told_why() {
        assert_eq!(dns_label("A"), [LABEL_MESSAGE]);
        assert_eq!(dns_label(&"a".repeat(64)), ["must be no more than 63 bytes"]);
        assert_eq!(dns_subdomain("a..b"), [SUBDOMAIN_MESSAGE]);
    }
}
