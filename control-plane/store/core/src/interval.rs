//! Ranges of keys as requests write them.

use bytes::Bytes;

/// Where a range ends.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum End {
    /// Right behind its first key: a single key.
    Single,
    /// At this key, which is not part of it.
    Before(Bytes),
    /// Nowhere.
    Open,
}

/// A key or a range of keys.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KeyRange {
    /// The first key.
    pub start: Bytes,
    /// The end.
    pub end: End,
}

impl KeyRange {
    /// Reads `key` and `range_end` as etcd does: no end = one key, an end of one zero byte = everything from `key` on.
    #[must_use]
    pub fn new(key: Bytes, range_end: &Bytes) -> Self {
        let end = match range_end.as_ref() {
            [] => End::Single,
            [0] => End::Open,
            _ => End::Before(range_end.clone()),
        };
        Self { start: key, end }
    }

    /// One key.
    #[must_use]
    pub const fn single(key: Bytes) -> Self {
        Self { start: key, end: End::Single }
    }

    /// Whether `key` lies in it.
    #[must_use]
    pub fn contains(&self, key: &[u8]) -> bool {
        match &self.end {
            End::Single => key == self.start.as_ref(),
            End::Before(end) => key >= self.start.as_ref() && key < end.as_ref(),
            End::Open => key >= self.start.as_ref(),
        }
    }

    /// Whether no key can lie in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(&self.end, End::Before(end) if *end <= self.start)
    }

    /// The prefix all of its keys, and no others, begin with; `None` when it is no such range.
    #[must_use]
    pub fn prefix(&self) -> Option<Bytes> {
        match &self.end {
            End::Single => None,
            End::Open => matches!(self.start.as_ref(), [] | [0]).then(Bytes::new),
            End::Before(end) => (prefix_end(&self.start).as_deref() == Some(end.as_ref())).then(|| self.start.clone()),
        }
    }
}

/// The first key behind all that begin with `prefix`; `None` when there is none.
#[must_use]
pub fn prefix_end(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(key: &'static [u8], end: &'static [u8]) -> KeyRange {
        KeyRange::new(Bytes::from_static(key), &Bytes::from_static(end))
    }

    #[test]
    fn ends_mean_what_etcd_says() {
        assert!(range(b"a", b"").contains(b"a") && !range(b"a", b"").contains(b"aa"));
        assert!(range(b"b", b"\0").contains(b"zzz") && !range(b"b", b"\0").contains(b"a"));
        assert!(range(b"\0", b"\0").contains(b"\0"));
        assert!(range(b"a", b"c").contains(b"b") && !range(b"a", b"c").contains(b"c"));
        assert!(range(b"b", b"a").is_empty() && range(b"b", b"b").is_empty() && !range(b"b", b"").is_empty());
    }

    #[test]
    fn prefixes_are_recognised() {
        assert_eq!(range(b"/pods/", b"/pods0").prefix().as_deref(), Some(b"/pods/".as_ref()));
        assert_eq!(range(b"a\xff", b"b").prefix().as_deref(), Some(b"a\xff".as_ref()));
        assert_eq!(range(b"\0", b"\0").prefix().as_deref(), Some(b"".as_ref()));
        assert_eq!(range(b"a", b"c").prefix(), None);
        assert_eq!(range(b"a", b"").prefix(), None);
        assert_eq!(prefix_end(b"\xff\xff"), None);
    }
}
