//! The entries of a segment, and the digest that ties each to all before it.

use std::fmt;

use bytes::Bytes;
use proto::store::BackupRecord;
use sha2::{Digest as _, Sha256};

use super::{LogPlace, Moment};

/// One entry of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Which one it is.
    pub place: LogPlace,
    /// When it had been applied.
    pub time: Moment,
    /// The encoded command; `None` for entries that change nothing of what is backed up.
    pub command: Option<Bytes>,
}

impl Record {
    /// As it stands in a segment, where its place gives the index.
    #[must_use]
    pub fn message(&self) -> BackupRecord {
        BackupRecord { term: self.place.term, time: self.time.0, command: self.command.clone() }
    }

    /// The record with this index.
    #[must_use]
    pub fn of(message: BackupRecord, index: u64) -> Self {
        let place = LogPlace { index, term: message.term };
        Self { place, time: Moment(message.time), command: message.command }
    }
}

/// Stands for a chain's entries up to one of them: equal only if all of them are. How they are cut into segments, and when
/// they were applied, makes no difference.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Digest([u8; 16]);

impl Digest {
    /// Where a chain begins.
    #[must_use]
    pub fn seed(chain: &str) -> Self {
        Self::of(&[chain.as_bytes()])
    }

    /// Behind one more entry.
    #[must_use]
    pub fn roll(self, record: &Record) -> Self {
        let LogPlace { index, term } = record.place;
        let (kind, command) = match &record.command {
            None => (0, &[][..]),
            Some(command) => (1, &command[..]),
        };
        Self::of(&[&self.0, &index.to_be_bytes(), &term.to_be_bytes(), &[kind], command])
    }

    fn of(parts: &[&[u8]]) -> Self {
        let mut sum = Sha256::new();
        for part in parts {
            sum.update(part);
        }
        let mut half = [0; 16];
        half.copy_from_slice(&sum.finalize()[..16]);
        Self(half)
    }

    /// Reads 32 hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let number = u128::from_str_radix(text, 16).ok()?;
        (text.len() == 32).then_some(Self(number.to_be_bytes()))
    }

    /// Reads it from a message.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// As it stands in a message.
    #[must_use]
    pub fn to_bytes(self) -> Bytes {
        Bytes::copy_from_slice(&self.0)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_depends_on_every_entry_and_not_on_times() {
        let record = |index, term, time, command: Option<&'static str>| Record {
            place: LogPlace { index, term },
            time: Moment(time),
            command: command.map(Into::into),
        };
        let seed = Digest::seed("chain");
        let one = seed.roll(&record(1, 1, 5, Some("a")));
        assert_eq!(one, seed.roll(&record(1, 1, 6, Some("a"))));
        for other in [
            record(2, 1, 5, Some("a")),
            record(1, 2, 5, Some("a")),
            record(1, 1, 5, Some("b")),
            record(1, 1, 5, Some("")),
            record(1, 1, 5, None),
        ] {
            assert_ne!(one, seed.roll(&other), "{other:?}");
            assert_eq!(Record::of(other.message(), other.place.index), other);
        }
        assert_ne!(one, Digest::seed("other").roll(&record(1, 1, 5, Some("a"))));
        assert_eq!(Digest::parse(&one.to_string()), Some(one));
        assert_eq!(Digest::from_bytes(&one.to_bytes()), Some(one));
        assert!(Digest::parse("00").is_none() && Digest::from_bytes(b"x").is_none());
    }
}
