//! A fingerprint of the state: the sum of the hashes of its records. A record that comes adds to it and one that goes takes
//! its share away, so that it costs as much as the change and nothing for the rest; members that applied the same entries and
//! removed the same history have the same one, whatever the order was in which their disks got there.
//!
//! Two threads change the state: one applies the log, the other removes what was compacted. Each keeps its own sum,
//! [`Added`] and [`Removed`], written together with what it counts; the fingerprint is the difference.

use std::hash::Hasher;

use siphasher::sip128::{Hasher128, SipHasher13};

use crate::overlay::Write;
use crate::{Fault, Revision, Space, View, compaction};

const ADDED: &[u8] = b"sum/added";
const REMOVED: &[u8] = b"sum/removed";

/// A sum of hashes. Addition wraps, so the order does not matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, PartialOrd, Ord)]
pub struct Sum(pub u128);

impl Sum {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self(self.0.wrapping_add(other.0))
    }

    /// Without the other.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self(self.0.wrapping_sub(other.0))
    }
}

/// The share of some bytes, which are told apart from any others by their lengths.
pub(crate) fn hash(parts: &[&[u8]]) -> Sum {
    // Nobody has to be kept from finding collisions: who writes to one member writes to all. The keys are part of what is
    // on the disk and never change.
    let mut hasher = SipHasher13::new_with_keys(0x6f72_6c6f_7020_7374, 0x6f72_6520_7375_6d00);
    for part in parts {
        hasher.write(&(part.len() as u64).to_be_bytes());
        hasher.write(part);
    }
    Sum(hasher.finish128().as_u128())
}

/// The share of a record.
#[must_use]
pub fn of_record(space: Space, key: &[u8], value: &[u8]) -> Sum {
    hash(&[space.name().as_bytes(), key, value])
}

/// Whether a record counts. Of [`Space::Cur`] everything is said in [`Space::Kv`], too; most of [`Space::Meta`] is a
/// member's own affair.
#[must_use]
pub fn counts(space: Space, key: &[u8]) -> bool {
    match space {
        Space::Kv | Space::Rev | Space::Lease | Space::LeaseKey => true,
        Space::Cur => false,
        Space::Meta => key.starts_with(b"alarm/") || key.starts_with(b"auth/"),
    }
}

/// By how much writes change the fingerprint; `view` is the state before them.
pub fn difference(view: &dyn View, writes: &[Write]) -> Result<Sum, Fault> {
    let mut sum = Sum::default();
    for write in writes.iter().filter(|write| counts(write.space, &write.key)) {
        if let Some(value) = &write.value {
            sum = sum.plus(of_record(write.space, &write.key, value));
        }
        // A version and a change are written once, at a revision of their own: there is nothing to look for.
        if !matches!(write.space, Space::Kv | Space::Rev)
            && let Some(old) = view.get(write.space, &write.key)?
        {
            sum = sum.minus(of_record(write.space, &write.key, &old));
        }
    }
    Ok(sum)
}

/// The sum of what was added, up to an entry of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Added {
    /// The entry.
    pub index: u64,
    /// The sum.
    pub sum: Sum,
}

impl Added {
    /// Reads it; nothing was added to a state that has none.
    pub fn load(view: &dyn View) -> Result<Option<Self>, Fault> {
        let Some((index, sum)) = load(view, ADDED)? else { return Ok(None) };
        Ok(Some(Self { index, sum }))
    }

    /// The record to write: its key in `meta` and its value.
    #[must_use]
    pub fn record(self) -> (&'static [u8], Vec<u8>) {
        (ADDED, encode(self.index, self.sum))
    }
}

/// The sum of what was removed, up to a compacted revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Removed {
    /// The revision.
    pub revision: Revision,
    /// The sum.
    pub sum: Sum,
}

impl Removed {
    /// Reads it.
    pub fn load(view: &dyn View) -> Result<Option<Self>, Fault> {
        let Some((revision, sum)) = load(view, REMOVED)? else { return Ok(None) };
        Ok(Some(Self { revision: Revision(revision as i64), sum }))
    }

    /// The record to write: its key in `meta` and its value.
    #[must_use]
    pub fn record(self) -> (&'static [u8], Vec<u8>) {
        (REMOVED, encode(self.revision.0 as u64, self.sum))
    }
}

fn encode(at: u64, sum: Sum) -> Vec<u8> {
    [&at.to_be_bytes()[..], &sum.0.to_be_bytes()].concat()
}

fn load(view: &dyn View, key: &[u8]) -> Result<Option<(u64, Sum)>, Fault> {
    let Some(bytes) = view.get(Space::Meta, key)? else { return Ok(None) };
    let wrong = Fault::Corrupt("malformed record of a sum");
    let Some((at, sum)) = bytes.split_first_chunk() else { return Err(wrong) };
    let Ok(sum) = sum.try_into() else { return Err(wrong) };
    Ok(Some((u64::from_be_bytes(*at), Sum(u128::from_be_bytes(sum)))))
}

/// Both sums as they were kept along with a state whose last applied entry is `applied`; `None` when they were not, by a
/// program that did not know of them.
pub fn kept(view: &dyn View, applied: u64) -> Result<Option<(Added, Removed)>, Fault> {
    let removed = compaction::removed(view)?;
    let nothing = Removed { revision: removed, sum: Sum::default() };
    match (Added::load(view)?, Removed::load(view)?) {
        (None, None) if applied == 0 => Ok(Some((Added::default(), nothing))),
        (Some(added), None) if removed == Revision::NEVER => Ok((added.index == applied).then_some((added, nothing))),
        (Some(added), Some(kept)) => Ok((added.index == applied && kept.revision == removed).then_some((added, kept))),
        (None | Some(_), None) | (None, Some(_)) => Ok(None),
    }
}

/// What a member says of its state, for comparison with others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Who says it.
    pub member: u64,
    /// Up to where history is removed; no removal was under way.
    pub removed: Removed,
    /// The sums at the last entries of the log, in their order.
    pub added: Vec<Added>,
}

/// What a comparison shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Those that could be compared have the same state.
    Equal,
    /// These have another state than the majority of the voters.
    Wrong(Vec<u64>),
    /// They differ, and nobody has a majority.
    Unclear,
}

/// Compares what members say, at the last entry that two or more know of.
#[must_use]
pub fn judge(statements: &[Statement], voters: usize) -> Verdict {
    let mut verdict = Verdict::Equal;
    for first in statements {
        let peers: Vec<_> =
            statements.iter().filter(|other| other.removed.revision == first.removed.revision).collect();
        let known = |index: u64| {
            let at = |statement: &&Statement| {
                let added = statement.added.iter().find(|added| added.index == index)?;
                Some((statement.member, added.sum.minus(statement.removed.sum)))
            };
            peers.iter().filter_map(at).collect::<Vec<_>>()
        };
        // The more can be compared the better; of those entries the last.
        let best = first.added.iter().map(|added| known(added.index)).rev().max_by_key(Vec::len);
        let found = best.unwrap_or_default();
        let Some(own) = found.iter().find(|(member, _)| *member == first.member).map(|(_, sum)| *sum) else { continue };
        if found.iter().all(|(_, sum)| *sum == own) {
            continue;
        }
        let agree = |sum: Sum| found.iter().filter(|(_, other)| *other == sum).count();
        match found.iter().find(|(_, sum)| agree(*sum) * 2 > voters) {
            Some((_, right)) => {
                let wrong = found.iter().filter(|(_, sum)| sum != right).map(|(member, _)| *member);
                return Verdict::Wrong(wrong.collect());
            }
            None => verdict = Verdict::Unclear,
        }
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(member: u64, removed: i64, sums: &[(u64, u128)]) -> Statement {
        Statement {
            member,
            removed: Removed { revision: Revision(removed), sum: Sum(0) },
            added: sums.iter().map(|(index, sum)| Added { index: *index, sum: Sum(*sum) }).collect(),
        }
    }

    #[test]
    fn the_order_of_records_does_not_matter() {
        let (a, b) = (of_record(Space::Kv, b"a", b"1"), of_record(Space::Kv, b"b", b"2"));
        assert_eq!(a.plus(b), b.plus(a));
        assert_eq!(a.plus(b).minus(a), b);
        assert_ne!(of_record(Space::Kv, b"a", b"bc"), of_record(Space::Kv, b"ab", b"c"));
        assert_ne!(of_record(Space::Rev, b"a", b"1"), a);
    }

    #[test]
    fn the_minority_is_wrong() {
        let same = [(5, 50), (7, 70)];
        let three = [says(1, 3, &same), says(2, 3, &[(6, 60), (7, 71)]), says(3, 3, &[(4, 40), (7, 70)])];
        assert_eq!(judge(&three, 3), Verdict::Wrong(vec![2]));
        assert_eq!(judge(&three[..2], 3), Verdict::Unclear);
        assert_eq!(judge(&[says(1, 3, &same), says(2, 3, &same)], 3), Verdict::Equal);
    }

    #[test]
    fn only_what_is_comparable_is_compared() {
        let elsewhere = [says(1, 3, &[(7, 70)]), says(2, 4, &[(7, 71)]), says(3, 3, &[(8, 80)])];
        assert_eq!(judge(&elsewhere, 3), Verdict::Equal);
        assert_eq!(judge(&[], 3), Verdict::Equal);
    }
}
