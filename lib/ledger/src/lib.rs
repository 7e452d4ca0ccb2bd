//! An audit log that shows when it was tampered with: each record holds the hash of the one before it.
//!
//! A record is one line: its own hash, a space, and JSON. The hash in front tells a line that was torn by a power cut from
//! one that is whole; the hash inside ([`Record::previous`]) ties the line to all lines before it. Nothing here does
//! I/O: the machine writes the lines, and whoever reads them checks them with [`Verifier`].
//!
//! What a chain cannot show by itself is that its newest records are missing. Whoever keeps a [`Head`] elsewhere can.

mod hash;
mod record;
mod recover;
#[cfg(test)]
mod tests;

pub use hash::{Hash, NoHash};
pub use record::{Event, Outcome, Record, Who};
pub use recover::{Recovered, recover};

/// Where a chain ends: the number and the hash of its last record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Head {
    /// Number of the last record; 0 before the first.
    pub seq: u64,
    /// Its hash; all zero before the first.
    pub hash: Hash,
}

impl Head {
    /// Makes the next record: its line without a line end, and where the chain ends then.
    ///
    /// `time_ms` is the time in milliseconds since 1970, `boot` the id of this boot.
    #[must_use]
    pub fn seal(&self, time_ms: u64, boot: &str, event: Event) -> (String, Head) {
        let record =
            Record { seq: self.seq + 1, time_ms, boot: boot.to_owned(), event: event.bounded(), previous: self.hash };
        // Numbers, strings and lists of them: there is nothing in it that JSON cannot hold.
        let json = serde_json::to_string(&record).unwrap_or_default();
        let hash = Hash::of(json.as_bytes());
        (format!("{hash} {json}"), Head { seq: record.seq, hash })
    }
}

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It does not begin with a hash and a space.
    #[error("it is not a record")]
    Shape,
    /// Its own hash is that of another text: it was changed or torn.
    #[error("it was changed: its hash is that of another text")]
    Changed,
    /// The text is what was hashed, and yet no record.
    #[error("it cannot be read: {0}")]
    Unreadable(String),
    /// Records are missing, doubled or in another order.
    #[error("it has the number {found} where {expected} should be")]
    Order {
        /// The number after the one before.
        expected: u64,
        /// Its number.
        found: u64,
    },
    /// The record before it is not the one that it followed when it was written.
    #[error("it followed a record with another hash: a record before it was replaced")]
    Link,
}

/// The first bad record of a chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("record {seq} is bad: {fault}")]
pub struct Broken {
    /// The number that the record has or should have.
    pub seq: u64,
    /// What is wrong with it.
    pub fault: Fault,
}

/// Reads one line (without its end) for itself.
pub fn read(line: &[u8]) -> Result<(Record, Hash), Fault> {
    let (hash, json) = line.split_at_checked(Hash::TEXT).ok_or(Fault::Shape)?;
    let hash = std::str::from_utf8(hash).ok().and_then(|hash| hash.parse::<Hash>().ok()).ok_or(Fault::Shape)?;
    let json = json.strip_prefix(b" ").ok_or(Fault::Shape)?;
    if Hash::of(json) != hash {
        return Err(Fault::Changed);
    }
    let record = serde_json::from_slice(json).map_err(|error| Fault::Unreadable(error.to_string()))?;
    Ok((record, hash))
}

/// Checks a chain line by line.
///
/// The first line is taken for what it says about the one before it, because older records are let go of in time. A chain
/// that begins with record 1 must also begin with nothing before it.
#[derive(Debug, Clone, Default)]
pub struct Verifier(Option<Head>);

impl Verifier {
    /// Checks that the first line follows `head`.
    #[must_use]
    pub fn after(head: Head) -> Self {
        Self(Some(head))
    }

    /// Checks the next line.
    pub fn check(&mut self, line: &[u8]) -> Result<Record, Broken> {
        let expected = self.0.map_or(1, |head| head.seq + 1);
        let (record, hash) = read(line).map_err(|fault| Broken { seq: expected, fault })?;
        let broken = |fault| Err(Broken { seq: record.seq, fault });
        let before = self.0.or((record.seq == 1).then(Head::default));
        if let Some(before) = before {
            if record.seq != expected {
                return broken(Fault::Order { expected, found: record.seq });
            }
            if record.previous != before.hash {
                return broken(Fault::Link);
            }
        }
        self.0 = Some(Head { seq: record.seq, hash });
        Ok(record)
    }

    /// The last record that was found good.
    #[must_use]
    pub fn head(&self) -> Option<Head> {
        self.0
    }
}
