//! Who is wanted, as the headers of a request say.

use std::collections::BTreeMap;

use apiserver_core::Status;
use apiserver_core::user::User;

const USER: &str = "impersonate-user";
const UID: &str = "impersonate-uid";
const GROUP: &str = "impersonate-group";
const EXTRA: &str = "impersonate-extra-";

/// The user as the headers name it: nothing is added to it yet.
pub type Wanted = User;

/// Reads the headers, whose names are in lower case; `None` if nobody is to be impersonated.
///
/// # Errors
///
/// 400 when something is wanted but no user, or when a value is no text.
pub fn read<'a>(headers: impl Iterator<Item = (&'a str, &'a [u8])>) -> Result<Option<Wanted>, Status> {
    let mut wanted = Wanted::default();
    let mut more = false;
    let mut extra: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in headers {
        let key = name.strip_prefix(EXTRA);
        if !matches!(name, USER | UID | GROUP) && key.is_none() {
            continue;
        }
        let value = str::from_utf8(value)
            .map_err(|_| Status::bad_request(format!("the value of the header {name} is no text")))?
            .to_owned();
        // Of a header that comes twice and may be there once, the first counts.
        match name {
            USER if wanted.name.is_empty() => wanted.name = value,
            UID if wanted.uid.is_empty() => wanted.uid = value,
            GROUP => {
                more = true;
                wanted.groups.push(value);
            }
            _ => {
                if let Some(key) = key {
                    more = true;
                    extra.entry(unescaped(key)).or_default().push(value);
                }
            }
        }
    }
    wanted.extra = extra;
    if !wanted.name.is_empty() {
        return Ok(Some(wanted));
    }
    if more || !wanted.uid.is_empty() {
        return Err(Status::bad_request(format!("requested {} without impersonating a user name", shown(&wanted))));
    }
    Ok(None)
}

/// The key of an extra, which may be percent-encoded; one that is so wrongly is taken as it is.
fn unescaped(key: &str) -> String {
    let bytes = key.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] == b'%' {
            let digits = key.get(at + 1..at + 3).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
            let Some(byte) = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) else {
                return key.to_owned();
            };
            out.push(byte);
            at += 3;
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8(out).unwrap_or_else(|_| key.to_owned())
}

/// As Go prints it.
fn shown(user: &User) -> String {
    let list = |texts: &[String]| {
        let texts: Vec<String> = texts.iter().map(|text| format!("{text:?}")).collect();
        format!("[]string{{{}}}", texts.join(", "))
    };
    let groups = if user.groups.is_empty() { "[]string(nil)".to_owned() } else { list(&user.groups) };
    let extra = if user.extra.is_empty() {
        "map[string][]string(nil)".to_owned()
    } else {
        let members: Vec<String> = user.extra.iter().map(|(key, values)| format!("{key:?}:{}", list(values))).collect();
        format!("map[string][]string{{{}}}", members.join(", "))
    };
    format!("&user.DefaultInfo{{Name:{:?}, UID:{:?}, Groups:{groups}, Extra:{extra}}}", user.name, user.uid)
}
