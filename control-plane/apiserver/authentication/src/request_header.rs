//! The user a front proxy names in headers. Whether the connection is the proxy's was decided before; without that, headers say nothing.

use std::collections::BTreeMap;

use apiserver_core::user::User;

/// The headers that are looked at, all in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Names {
    /// Name of the user; the first of these that holds something counts.
    pub user: Vec<String>,
    /// Uid of the user, likewise.
    pub uid: Vec<String>,
    /// Groups: all values of all of these.
    pub group: Vec<String>,
    /// What stands before the name of anything else that is known of the user.
    pub extra: Vec<String>,
}

impl Names {
    /// The headers every client of this kind agrees on. They are taken out of each request, whoever sent them.
    pub fn standard() -> Self {
        let one = |name: &str| vec![name.to_owned()];
        Self {
            user: one("x-remote-user"),
            uid: one("x-remote-uid"),
            group: one("x-remote-group"),
            extra: one("x-remote-extra-"),
        }
    }

    /// The user some headers name; names of headers are in lower case.
    pub fn user(&self, headers: &[(&str, &str)]) -> Option<User> {
        let values = |name: &str| {
            let name = name.to_owned();
            headers.iter().filter(move |(one, _)| *one == name).map(|(_, value)| *value)
        };
        let first = |names: &[String]| names.iter().flat_map(|name| values(name)).find(|value| !value.is_empty());
        let name = first(&self.user)?.to_owned();
        let mut extra: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for prefix in &self.extra {
            for (header, value) in headers {
                if let Some(key) = header.strip_prefix(prefix.as_str()) {
                    extra.entry(unescaped(key)).or_default().push((*value).to_owned());
                }
            }
        }
        let groups = self.group.iter().flat_map(|name| values(name)).map(str::to_owned).collect();
        Some(User { name, groups, uid: first(&self.uid).unwrap_or_default().to_owned(), extra })
    }

    /// Whether a header, in lower case, is one of these.
    pub fn contain(&self, header: &str) -> bool {
        [&self.user, &self.uid, &self.group].iter().any(|names| names.iter().any(|name| name == header))
            || self.extra.iter().any(|prefix| header.starts_with(prefix.as_str()))
    }
}

/// Undoes the escapes of a path; a name that is not escaped well stays as it is.
fn unescaped(key: &str) -> String {
    let mut out = Vec::with_capacity(key.len());
    let mut bytes = key.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
        match (digit(bytes.next()), digit(bytes.next())) {
            (Some(high), Some(low)) => out.push((high * 16 + low) as u8),
            _ => return key.to_owned(),
        }
    }
    String::from_utf8(out).unwrap_or_else(|_| key.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_name_a_user() {
        let headers = [
            ("x-remote-user", ""),
            ("x-remote-user", "ann"),
            ("x-remote-user", "bob"),
            ("x-remote-group", "dev"),
            ("x-remote-group", "ops"),
            ("x-remote-uid", "7"),
            ("x-remote-extra-acme.com%2fproject", "some"),
            ("x-remote-extra-acme.com%2fproject", "more"),
            ("x-remote-extra-bad%zz", "kept"),
            ("x-other", "no"),
        ];
        let user = Names::standard().user(&headers).expect("a user");
        assert_eq!((user.name.as_str(), user.uid.as_str()), ("ann", "7"));
        assert_eq!(user.groups, ["dev", "ops"]);
        assert_eq!(user.extra["acme.com/project"], ["some", "more"]);
        assert_eq!(user.extra["bad%zz"], ["kept"]);
        assert_eq!(Names::standard().user(&[("x-remote-group", "system:masters")]), None);
        assert_eq!(Names::default().user(&headers), None);
    }

    #[test]
    fn headers_of_proxies_are_known() {
        let names = Names::standard();
        for name in ["x-remote-user", "x-remote-uid", "x-remote-group", "x-remote-extra-", "x-remote-extra-a"] {
            assert!(names.contain(name), "{name}");
        }
        assert!(!names.contain("x-remote-users") && !names.contain("authorization"));
    }
}
