//! The shapes names, label keys and values must have, and what is said when they have another.

use field::names::{LABEL_LENGTH, SUBDOMAIN_LENGTH, is_label, is_lower, too_long};
pub use field::names::{dns_label, dns_subdomain};
use field::{Errors, Path};

use crate::strategy::NameRule;

const LABEL_1035_MESSAGE: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic \
     character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is \
     '[a-z]([-a-z0-9]*[a-z0-9])?')";
const NAME_PART_MESSAGE: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric \
     character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
     '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL_VALUE_MESSAGE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must \
     start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is \
     '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const CONFIG_KEY_MESSAGE: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or \
     'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";

/// What is wrong with a DNS-1035 label.
pub fn dns_1035_label(text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if text.len() > LABEL_LENGTH {
        wrong.push(too_long(LABEL_LENGTH));
    }
    if !is_label(text) || !text.starts_with(|c: char| c.is_ascii_lowercase()) {
        wrong.push(LABEL_1035_MESSAGE.to_owned());
    }
    wrong
}

/// What is wrong with a path segment: a name of the most liberal kind.
pub fn path_segment(text: &str, prefix: bool) -> Vec<String> {
    if !prefix && (text == "." || text == "..") {
        return vec![format!("may not be '{text}'")];
    }
    ['/', '%'].iter().filter(|&&c| text.contains(c)).map(|c| format!("may not contain '{c}'")).collect()
}

/// Whether a text has the form of a qualified name's last part (and of a label value that is not empty).
fn is_name_part(text: &str) -> bool {
    let bytes = text.as_bytes();
    match (bytes.first(), bytes.last()) {
        (Some(first), Some(last)) => {
            first.is_ascii_alphanumeric()
                && last.is_ascii_alphanumeric()
                && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
        }
        _ => false,
    }
}

/// What is wrong with a label key, an annotation key or a finalizer: `name` or `example.com/name`.
pub fn qualified_name(text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let parts: Vec<&str> = text.split('/').collect();
    let name = match parts.as_slice() {
        [name] => name,
        [prefix, name] => {
            if prefix.is_empty() {
                wrong.push("prefix part must be non-empty".to_owned());
            } else {
                wrong.extend(dns_subdomain(prefix).into_iter().map(|message| format!("prefix part {message}")));
            }
            name
        }
        _ => {
            return vec![format!(
                "a qualified name {NAME_PART_MESSAGE} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            )];
        }
    };
    if name.is_empty() {
        wrong.push("name part must be non-empty".to_owned());
    } else if name.len() > LABEL_LENGTH {
        wrong.push(format!("name part {}", too_long(LABEL_LENGTH)));
    }
    if !is_name_part(name) {
        wrong.push(format!("name part {NAME_PART_MESSAGE}"));
    }
    wrong
}

/// What is wrong with a label value.
pub fn label_value(text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if text.len() > LABEL_LENGTH {
        wrong.push(too_long(LABEL_LENGTH));
    }
    if !text.is_empty() && !is_name_part(text) {
        wrong.push(LABEL_VALUE_MESSAGE.to_owned());
    }
    wrong
}

/// What is wrong with a key of a `ConfigMap` or Secret.
pub fn config_key(text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if text.len() > SUBDOMAIN_LENGTH {
        wrong.push(too_long(SUBDOMAIN_LENGTH));
    }
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) {
        wrong.push(CONFIG_KEY_MESSAGE.to_owned());
    }
    if text == "." {
        wrong.push("must not be '.'".to_owned());
    } else if text == ".." {
        wrong.push("must not be '..'".to_owned());
    } else if text.starts_with("..") {
        wrong.push("must not start with '..'".to_owned());
    }
    wrong
}

/// What is wrong with the name of a port.
pub fn port_name(text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if text.len() > 15 {
        wrong.push(too_long(15));
    }
    if !text.bytes().all(|byte| is_lower(byte) || byte == b'-') || text.is_empty() {
        wrong.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens ('-')".to_owned());
    }
    if !text.bytes().any(|byte| byte.is_ascii_lowercase()) {
        wrong.push("must contain at least one letter (a-z)".to_owned());
    }
    if text.contains("--") {
        wrong.push("must not contain consecutive hyphens".to_owned());
    }
    if text.starts_with('-') || text.ends_with('-') {
        wrong.push("must not begin or end with a hyphen".to_owned());
    }
    wrong
}

/// What is wrong with a port number.
pub fn port_number(port: i64) -> Option<&'static str> {
    (!(1..=65535).contains(&port)).then_some("must be between 1 and 65535, inclusive")
}

/// What is wrong with an IP address; `legacy` ones (with leading zeros, or IPv4 in IPv6) are refused.
pub fn ip_address(text: &str) -> Option<&'static str> {
    let parsed: Result<std::net::IpAddr, _> = text.parse();
    match parsed {
        Ok(std::net::IpAddr::V6(address)) if address.to_ipv4_mapped().is_some() => {
            Some("must not be an IPv4-mapped IPv6 address")
        }
        Ok(_) => None,
        Err(_) => Some("must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"),
    }
}

impl NameRule {
    /// What is wrong with a name; a `prefix` (for `generateName`) may end in what a name may not.
    pub fn check(self, name: &str, prefix: bool) -> Vec<String> {
        // A trailing dash will be followed by something.
        let masked = if prefix && name.len() > 1 && name.ends_with('-') {
            format!("{}a", &name[..name.len() - 1])
        } else {
            name.to_owned()
        };
        match self {
            Self::DnsSubdomain => dns_subdomain(&masked),
            Self::DnsLabel => dns_label(&masked),
            Self::Dns1035Label => dns_1035_label(&masked),
            Self::PathSegment => path_segment(name, prefix),
        }
    }
}

/// Checks a map of labels.
pub fn check_labels<'a>(labels: impl Iterator<Item = (&'a str, &'a str)>, path: &Path, errors: &mut Errors) {
    for (key, value) in labels {
        for message in qualified_name(key) {
            errors.invalid(path, key, &message);
        }
        for message in label_value(value) {
            errors.invalid(path, value, &message);
        }
    }
}

/// Longest name of a field manager.
const MANAGER_LENGTH: usize = 128;

/// Checks the name of a field manager: not too long, and printable.
pub fn check_manager(manager: &str, path: &Path, errors: &mut Errors) {
    if manager.len() > MANAGER_LENGTH {
        errors.too_long(path, MANAGER_LENGTH);
    }
    for (at, wrong) in manager.char_indices().filter(|(_, c)| !is_printable(*c)) {
        errors.invalid(path, manager, &format!("invalid character U+{:04X} (at position {at})", u32::from(wrong)));
    }
}

/// The field manager a client is that names none: its user agent up to the version.
pub fn manager_of_agent(agent: &str) -> String {
    let mut manager = String::new();
    for c in agent.split('/').next().unwrap_or_default().chars().filter(|c| is_printable(*c)) {
        if manager.len() + c.len_utf8() > MANAGER_LENGTH {
            break;
        }
        manager.push(c);
    }
    manager
}

/// Whether a character leaves a mark on paper; of spaces only the plain one counts.
fn is_printable(c: char) -> bool {
    let formats = matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    let private = matches!(c, '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..='\u{10ffff}');
    c == ' ' || !(c.is_control() || c.is_whitespace() || formats || private)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_names_pass() {
        for name in ["a", "a-b", "0", "a.b-c.d"] {
            assert_eq!(dns_subdomain(name), Vec::<String>::new(), "{name}");
        }
        for name in ["a", "example.com/a", "A_b.c"] {
            assert_eq!(qualified_name(name), Vec::<String>::new(), "{name}");
        }
        assert_eq!(NameRule::DnsSubdomain.check("web-", true), Vec::<String>::new());
        assert!(label_value("").is_empty());
        assert!(port_name("http-1").is_empty());
    }

    #[test]
    fn bad_names_are_told_apart() {
        assert_eq!(dns_1035_label("1a"), [LABEL_1035_MESSAGE]);
        assert_eq!(qualified_name("/a"), ["prefix part must be non-empty"]);
        assert_eq!(
            qualified_name("a/"),
            ["name part must be non-empty".to_owned(), format!("name part {NAME_PART_MESSAGE}")]
        );
        assert!(qualified_name("a/b/c")[0].starts_with("a qualified name must consist of"));
        assert_eq!(config_key(".."), ["must not be '..'"]);
        assert_eq!(path_segment("a/b", false), ["may not contain '/'"]);
        assert_eq!(port_name("8"), ["must contain at least one letter (a-z)"]);
    }
}
