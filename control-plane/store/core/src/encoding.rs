//! Keys as they lie on disk.
//!
//! | space | key |
//! |---|---|
//! | `kv` | escaped user key, `00 01`, the inverted revision (8 bytes): versions of a key lie together, newest first |
//! | `rev` | revision (8 bytes), `_`, sub-revision (8 bytes), `t` for a deletion: the key etcd itself uses |
//! | `cur` | user key |
//! | `lease` | lease id (8 bytes) |
//! | `lkey` | lease id (8 bytes), user key |
//!
//! Escaping turns a zero byte into `00 FF`, so the terminator `00 01` keeps the byte order of any two keys.

use crate::{Fault, KeyRange, LeaseId, Revision, interval::End};

const TERMINATOR: [u8; 2] = [0, 1];

/// Writes the escaped form of `key` behind `out`.
fn escape(key: &[u8], out: &mut Vec<u8>) {
    for byte in key {
        out.push(*byte);
        if *byte == 0 {
            out.push(u8::MAX);
        }
    }
}

/// What all versions of `key` begin with in `kv`, and no version of another key does.
#[must_use]
pub fn kv_group(key: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(key.len() + 10);
    escape(key, &mut out);
    out.extend_from_slice(&TERMINATOR);
    out
}

/// The user key of a group.
#[must_use]
pub fn group_key(group: &[u8]) -> Vec<u8> {
    let escaped = group.strip_suffix(&TERMINATOR).unwrap_or(group);
    let mut key = Vec::with_capacity(escaped.len());
    let mut bytes = escaped.iter();
    while let Some(byte) = bytes.next() {
        key.push(*byte);
        if *byte == 0 {
            bytes.next(); // what escapes it
        }
    }
    key
}

/// The key of one version in `kv`.
#[must_use]
pub fn kv_key(key: &[u8], revision: Revision) -> Vec<u8> {
    let mut out = kv_group(key);
    push_inverted(&mut out, revision);
    out
}

/// Appends a revision so that newer ones come first.
pub fn push_inverted(out: &mut Vec<u8>, revision: Revision) {
    out.extend_from_slice(&(!(revision.0 as u64)).to_be_bytes());
}

/// Splits a key of `kv` into the group of its user key (terminator included) and its revision.
pub fn split_kv(key: &[u8]) -> Result<(&[u8], Revision), Fault> {
    let (group, inverted) = key.split_last_chunk::<8>().ok_or(Fault::Corrupt("short key in kv"))?;
    if !group.ends_with(&TERMINATOR) {
        return Err(Fault::Corrupt("key in kv without terminator"));
    }
    Ok((group, Revision(!u64::from_be_bytes(*inverted) as i64)))
}

/// The first key behind every version of a group.
#[must_use]
pub fn behind_group(group: &[u8]) -> Vec<u8> {
    let mut out = group.to_vec();
    if let Some(last) = out.last_mut() {
        *last += 1; // the terminator's 01
    }
    out
}

/// The bounds of all versions of the keys of a range in `kv`.
#[must_use]
pub fn kv_bounds(range: &KeyRange) -> (Vec<u8>, Option<Vec<u8>>) {
    match &range.end {
        End::Single => {
            let group = kv_group(&range.start);
            let behind = behind_group(&group);
            (group, Some(behind))
        }
        End::Before(end) => (escaped(&range.start), Some(escaped(end))),
        End::Open => (escaped(&range.start), None),
    }
}

/// The bounds of the keys of a range in `cur`.
#[must_use]
pub fn cur_bounds(range: &KeyRange) -> (Vec<u8>, Option<Vec<u8>>) {
    let upper = match &range.end {
        End::Single => {
            let mut behind = range.start.to_vec();
            behind.push(0);
            Some(behind)
        }
        End::Before(end) => Some(end.to_vec()),
        End::Open => None,
    };
    (range.start.to_vec(), upper)
}

fn escaped(key: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(key.len() + 2);
    escape(key, &mut out);
    out
}

/// Where a change stands in history: its revision, and its place within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The revision.
    pub revision: Revision,
    /// The order within the revision.
    pub sub: u32,
}

/// The key of a change in `rev`.
#[must_use]
pub fn rev_key(place: Place, deletion: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(18);
    out.extend_from_slice(&place.revision.0.to_be_bytes());
    out.push(b'_');
    out.extend_from_slice(&i64::from(place.sub).to_be_bytes());
    if deletion {
        out.push(b't');
    }
    out
}

/// The first possible key of a revision in `rev`.
#[must_use]
pub fn rev_start(revision: Revision) -> [u8; 8] {
    revision.0.to_be_bytes()
}

/// Splits a key of `rev` into its place and whether it is a deletion.
pub fn split_rev(key: &[u8]) -> Result<(Place, bool), Fault> {
    let wrong = Fault::Corrupt("malformed key in rev");
    let Some((main, rest)) = key.split_first_chunk::<8>() else { return Err(wrong) };
    let Some(([b'_'], rest)) = rest.split_first_chunk::<1>() else { return Err(wrong) };
    let Some((sub, mark)) = rest.split_first_chunk::<8>() else { return Err(wrong) };
    let deletion = match mark {
        [] => false,
        [b't'] => true,
        _ => return Err(wrong),
    };
    let Ok(sub) = u32::try_from(i64::from_be_bytes(*sub)) else { return Err(wrong) };
    Ok((Place { revision: Revision(i64::from_be_bytes(*main)), sub }, deletion))
}

/// The key of a lease.
#[must_use]
pub fn lease_key(id: LeaseId) -> [u8; 8] {
    id.0.to_be_bytes()
}

/// Reads the key of a lease.
pub fn split_lease(key: &[u8]) -> Result<LeaseId, Fault> {
    let bytes: [u8; 8] = key.try_into().map_err(|_| Fault::Corrupt("malformed key in lease"))?;
    Ok(LeaseId(i64::from_be_bytes(bytes)))
}

/// The key of an attachment.
#[must_use]
pub fn lkey(id: LeaseId, key: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(8 + key.len());
    out.extend_from_slice(&lease_key(id));
    out.extend_from_slice(key);
    out
}

/// The user key of an attachment.
pub fn split_lkey(key: &[u8]) -> Result<&[u8], Fault> {
    key.get(8..).filter(|key| !key.is_empty()).ok_or(Fault::Corrupt("malformed key in lkey"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn versions_sort_by_key_and_then_newest_first() {
        let keys: [&[u8]; 7] = [b"\0", b"\0\0", b"\0\x01", b"a", b"a\0", b"a\x01", b"b"];
        let mut encoded: Vec<Vec<u8>> = Vec::new();
        for key in keys {
            for revision in [9, 3, 2] {
                encoded.push(kv_key(key, Revision(revision)));
            }
        }
        assert!(encoded.is_sorted());
        for (index, key) in encoded.iter().enumerate() {
            let (group, revision) = split_kv(key).unwrap();
            assert_eq!(group, kv_group(keys[index / 3]));
            assert_eq!(group_key(group), keys[index / 3]);
            assert_eq!(revision, Revision([9, 3, 2][index % 3]));
        }
    }

    #[test]
    fn bounds_hold_exactly_the_keys_of_a_range() {
        let keys: [&[u8]; 8] = [b"\0", b"a", b"a\0", b"a\0b", b"a\x01", b"ab", b"b", b"\xff"];
        let ends: [&[u8]; 6] = [b"", b"\0", b"a\0", b"a\x01", b"b", b"\xff"];
        for start in keys {
            for end in ends {
                let range = KeyRange::new(Bytes::copy_from_slice(start), &Bytes::copy_from_slice(end));
                let (lower, upper) = kv_bounds(&range);
                let (cur_lower, cur_upper) = cur_bounds(&range);
                for key in keys {
                    let encoded = kv_key(key, Revision(5));
                    let inside = encoded >= lower && upper.as_ref().is_none_or(|upper| encoded < *upper);
                    assert_eq!(inside, range.contains(key), "{key:?} in {range:?}");
                    let inside = key >= &cur_lower[..] && cur_upper.as_ref().is_none_or(|upper| key < &upper[..]);
                    assert_eq!(inside, range.contains(key), "{key:?} in {range:?}");
                }
            }
        }
    }

    #[test]
    fn changes_have_etcds_own_keys() {
        let place = Place { revision: Revision(0x0102), sub: 3 };
        let key = rev_key(place, true);
        assert_eq!(key, b"\0\0\0\0\0\0\x01\x02_\0\0\0\0\0\0\0\x03t");
        assert_eq!(split_rev(&key).unwrap(), (place, true));
        assert_eq!(split_rev(&rev_key(place, false)).unwrap(), (place, false));
        assert!(split_rev(b"\0\0").is_err() && split_rev(&key[..16]).is_err());
    }
}
