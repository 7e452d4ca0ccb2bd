//! Records as they lie on disk, and the messages made from them.

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};
use proto::mvccpb::KeyValue;
use proto::store;

use crate::auth::Standing;
use crate::encoding::{Place, kv_key, lease_key, rev_key};
use crate::{Fault, LeaseId, Revision, Space, View};

const STATE: &[u8] = b"state";
const ALARM: &[u8] = b"alarm/";
const LIVE: u8 = 0;
const TOMBSTONE: u8 = 1;
const KV_HEADER: usize = 5;

/// Where the state stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// The newest revision.
    pub revision: Revision,
    /// Reads below it are refused.
    pub compacted: Revision,
    /// Whether users are asked who they are, and how often users and roles changed.
    pub auth: Standing,
}

impl State {
    /// The state of an empty store.
    pub const EMPTY: Self = Self { revision: Revision::FIRST, compacted: Revision::NEVER, auth: Standing::FIRST };

    /// Reads it; an empty database is an empty store.
    pub fn load(view: &dyn View) -> Result<Self, Fault> {
        let Some(bytes) = view.get(Space::Meta, STATE)? else { return Ok(Self::EMPTY) };
        let state = store::State::decode(bytes).map_err(|error| Fault::Decode(Space::Meta, error))?;
        Ok(Self {
            revision: Revision(state.revision),
            compacted: Revision(state.compact_revision),
            auth: Standing { enabled: state.auth_enabled, revision: state.auth_revision.max(1) },
        })
    }

    /// The record to write: its key in `meta` and its value.
    #[must_use]
    pub fn record(&self) -> (&'static [u8], Vec<u8>) {
        let state = store::State {
            revision: self.revision.0,
            compact_revision: self.compacted.0,
            auth_enabled: self.auth.enabled,
            // As a store that never changed it has it.
            auth_revision: if self.auth.revision == 1 { 0 } else { self.auth.revision },
        };
        (STATE, state.encode_to_vec())
    }
}

/// The live version of a key, without its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Current {
    /// Where it was written.
    pub place: Place,
    /// When this life of the key began.
    pub created: Revision,
    /// Puts in this life.
    pub version: i64,
    /// The lease it is attached to.
    pub lease: LeaseId,
}

impl Current {
    /// Looks up a key; `None` when it does not exist.
    pub fn load(view: &dyn View, key: &[u8]) -> Result<Option<Self>, Fault> {
        view.get(Space::Cur, key)?.map(Self::decode).transpose()
    }

    /// Reads a record.
    pub fn decode(bytes: Bytes) -> Result<Self, Fault> {
        let record = store::Current::decode(bytes).map_err(|error| Fault::Decode(Space::Cur, error))?;
        Ok(Self {
            place: Place { revision: Revision(record.mod_revision), sub: record.sub },
            created: Revision(record.create_revision),
            version: record.version,
            lease: LeaseId(record.lease),
        })
    }

    /// The record to write.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        store::Current {
            mod_revision: self.place.revision.0,
            sub: self.place.sub,
            create_revision: self.created.0,
            version: self.version,
            lease: self.lease.0,
        }
        .encode_to_vec()
    }

    /// The pair as an answer without values shows it.
    #[must_use]
    pub fn pair_without_value(&self, key: Bytes) -> KeyValue {
        KeyValue {
            key,
            create_revision: self.created.0,
            mod_revision: self.place.revision.0,
            version: self.version,
            value: Bytes::new(),
            lease: self.lease.0,
        }
    }
}

/// One version in `kv`.
#[derive(Debug, Clone, Copy)]
pub struct Version<'a> {
    /// Its place within its revision.
    pub sub: u32,
    /// The encoded pair; `None` for a deletion.
    pub pair: Option<&'a [u8]>,
}

impl<'a> Version<'a> {
    /// Reads a record.
    pub fn decode(value: &'a [u8]) -> Result<Self, Fault> {
        let wrong = Fault::Corrupt("malformed value in kv");
        let Some((header, pair)) = value.split_first_chunk::<KV_HEADER>() else { return Err(wrong) };
        let [flag, sub @ ..] = *header;
        let pair = match flag {
            LIVE => Some(pair),
            TOMBSTONE => None,
            _ => return Err(wrong),
        };
        Ok(Self { sub: u32::from_be_bytes(sub), pair })
    }
}

/// The value of a live version in `kv`.
#[must_use]
pub fn live_version(sub: u32, pair: &KeyValue) -> Bytes {
    let mut out = BytesMut::with_capacity(KV_HEADER + pair.encoded_len());
    out.put_u8(LIVE);
    out.put_u32(sub);
    pair.encode_raw(&mut out);
    out.freeze()
}

/// The same, from a pair that is encoded already.
#[must_use]
pub fn live_version_of(sub: u32, pair: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(KV_HEADER + pair.len());
    out.put_u8(LIVE);
    out.put_u32(sub);
    out.put_slice(pair);
    out.freeze()
}

/// The value of a deletion in `kv`.
#[must_use]
pub fn tombstone(sub: u32) -> Bytes {
    let mut out = BytesMut::with_capacity(KV_HEADER);
    out.put_u8(TOMBSTONE);
    out.put_u32(sub);
    out.freeze()
}

/// The encoded pair within a value of `kv` that [`live_version`] made.
#[must_use]
pub fn pair_of(value: &Bytes) -> Bytes {
    value.slice(KV_HEADER..)
}

/// The encoded pair `key` had at exactly `revision`; `None` when it was compacted or was a deletion.
pub fn pair_at(view: &dyn View, key: &[u8], revision: Revision) -> Result<Option<Bytes>, Fault> {
    let Some(value) = view.get(Space::Kv, &kv_key(key, revision))? else { return Ok(None) };
    Ok(Version::decode(&value)?.pair.is_some().then(|| pair_of(&value)))
}

/// Decodes a pair.
pub fn decode_pair(bytes: Bytes) -> Result<KeyValue, Fault> {
    KeyValue::decode(bytes).map_err(|error| Fault::Decode(Space::Kv, error))
}

/// One change in `rev`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The key that changed.
    pub key: Bytes,
    /// The version it replaced or removed.
    pub previous: Option<Place>,
}

impl Change {
    /// Reads a record.
    pub fn decode(bytes: Bytes) -> Result<Self, Fault> {
        let record = store::Change::decode(bytes).map_err(|error| Fault::Decode(Space::Rev, error))?;
        let previous = Place { revision: Revision(record.previous_revision), sub: record.previous_sub };
        Ok(Self { key: record.key, previous: (previous.revision.0 > 0).then_some(previous) })
    }

    /// The record to write.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        store::Change {
            key: self.key.clone(),
            previous_revision: self.previous.map_or(0, |place| place.revision.0),
            previous_sub: self.previous.map_or(0, |place| place.sub),
        }
        .encode_to_vec()
    }
}

/// A lease as it is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseRecord {
    /// Seconds it was granted for.
    pub ttl: i64,
    /// Seconds that were left when that was last written down.
    pub remaining: i64,
}

impl LeaseRecord {
    /// Looks up a lease.
    pub fn load(view: &dyn View, id: LeaseId) -> Result<Option<Self>, Fault> {
        view.get(Space::Lease, &lease_key(id))?.map(Self::decode).transpose()
    }

    /// Reads a record.
    pub fn decode(bytes: Bytes) -> Result<Self, Fault> {
        let record = store::LeaseRecord::decode(bytes).map_err(|error| Fault::Decode(Space::Lease, error))?;
        Ok(Self { ttl: record.ttl, remaining: if record.remaining > 0 { record.remaining } else { record.ttl } })
    }

    /// The record to write.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        store::LeaseRecord { ttl: self.ttl, remaining: if self.remaining == self.ttl { 0 } else { self.remaining } }
            .encode_to_vec()
    }
}

/// The key in `meta` of an alarm of a member.
#[must_use]
pub fn alarm_key(member: u64, alarm: i32) -> Vec<u8> {
    let mut key = ALARM.to_vec();
    key.extend_from_slice(&alarm.to_be_bytes());
    key.extend_from_slice(&member.to_be_bytes());
    key
}

/// Every alarm that is raised, as (member, alarm).
pub fn alarms(view: &dyn View) -> Result<Vec<(u64, i32)>, Fault> {
    let mut upper = ALARM.to_vec();
    upper.extend_from_slice(&[u8::MAX; 13]);
    let mut cursor = view.cursor(Space::Meta, ALARM, Some(&upper))?;
    let mut found = Vec::new();
    while let Some((key, _)) = cursor.entry() {
        let rest = key.get(ALARM.len()..).unwrap_or_default();
        let parts = rest.split_first_chunk::<4>().and_then(|(alarm, member)| Some((alarm, member.try_into().ok()?)));
        let (alarm, member): (&[u8; 4], [u8; 8]) = parts.ok_or(Fault::Corrupt("malformed alarm"))?;
        found.push((u64::from_be_bytes(member), i32::from_be_bytes(*alarm)));
        cursor.next()?;
    }
    Ok(found)
}

/// What happened to one key, with its message made once for all who watch it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The key.
    pub key: Bytes,
    /// When it happened.
    pub place: Place,
    /// Whether it is a deletion.
    pub deletion: bool,
    /// The version before; `None` for a creation.
    pub previous: Option<Place>,
    /// The encoded `mvccpb.Event` without the previous pair.
    pub encoded: Bytes,
}

impl Event {
    /// The event of a put, from its encoded pair.
    #[must_use]
    pub fn put(key: Bytes, place: Place, previous: Option<Place>, pair: &[u8]) -> Self {
        let mut encoded = BytesMut::with_capacity(pair.len() + 6);
        push_field(2, pair, &mut encoded);
        Self { key, place, deletion: false, previous, encoded: encoded.freeze() }
    }

    /// The event of a deletion.
    #[must_use]
    pub fn delete(key: Bytes, place: Place, previous: Option<Place>) -> Self {
        let pair = KeyValue { key: key.clone(), mod_revision: place.revision.0, ..KeyValue::default() }.encode_to_vec();
        let mut encoded = BytesMut::with_capacity(pair.len() + 8);
        encode_key(1, WireType::Varint, &mut encoded);
        encode_varint(1, &mut encoded);
        push_field(2, &pair, &mut encoded);
        Self { key, place, deletion: true, previous, encoded: encoded.freeze() }
    }

    /// The encoded event with the pair before the change, if that is still known.
    pub fn with_previous(&self, view: &dyn View) -> Result<Bytes, Fault> {
        let Some(previous) = self.previous else { return Ok(self.encoded.clone()) };
        let Some(pair) = pair_at(view, &self.key, previous.revision)? else { return Ok(self.encoded.clone()) };
        let mut encoded = BytesMut::with_capacity(self.encoded.len() + pair.len() + 6);
        encoded.extend_from_slice(&self.encoded);
        push_field(3, &pair, &mut encoded);
        Ok(encoded.freeze())
    }

    /// The records that keep this change: key and value in `rev`.
    #[must_use]
    pub fn record(&self) -> (Vec<u8>, Vec<u8>) {
        let change = Change { key: self.key.clone(), previous: self.previous };
        (rev_key(self.place, self.deletion), change.encode())
    }
}

fn push_field(tag: u32, bytes: &[u8], out: &mut BytesMut) {
    encode_key(tag, WireType::LengthDelimited, out);
    encode_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Overlay;
    use crate::memory::Memory;
    use proto::mvccpb;

    #[test]
    fn events_are_the_messages_clients_expect() {
        let place = Place { revision: Revision(7), sub: 0 };
        let pair =
            KeyValue { key: "k".into(), create_revision: 7, mod_revision: 7, version: 1, value: "v".into(), lease: 0 };
        let event = Event::put("k".into(), place, None, &pair.encode_to_vec());
        let decoded = mvccpb::Event::decode(event.encoded).unwrap();
        assert_eq!(decoded, mvccpb::Event { r#type: 0, kv: Some(pair), prev_kv: None });

        let old = KeyValue {
            key: "k".into(),
            create_revision: 3,
            mod_revision: 5,
            version: 2,
            value: "old".into(),
            lease: 0,
        };
        let memory = Memory::default();
        let mut overlay = Overlay::new(&memory);
        overlay.put(Space::Kv, kv_key(b"k", Revision(5)), live_version(0, &old));
        let event = Event::delete("k".into(), place, Some(Place { revision: Revision(5), sub: 0 }));
        let decoded = mvccpb::Event::decode(event.with_previous(&overlay).unwrap()).unwrap();
        assert_eq!(decoded.r#type, 1);
        assert_eq!(decoded.kv.unwrap(), KeyValue { key: "k".into(), mod_revision: 7, ..KeyValue::default() });
        assert_eq!(decoded.prev_kv.unwrap(), old);
    }

    #[test]
    fn records_come_back_as_they_went() {
        let current = Current {
            place: Place { revision: Revision(9), sub: 4 },
            created: Revision(2),
            version: 3,
            lease: LeaseId(11),
        };
        assert_eq!(Current::decode(current.encode().into()).unwrap(), current);
        let change = Change { key: "x".into(), previous: None };
        assert_eq!(Change::decode(change.encode().into()).unwrap(), change);
        for remaining in [3, 60] {
            let lease = LeaseRecord { ttl: 60, remaining };
            assert_eq!(LeaseRecord::decode(lease.encode().into()).unwrap(), lease);
        }
        assert!(Version::decode(&tombstone(1)).unwrap().pair.is_none());
        assert!(Version::decode(b"\x07\0\0\0\0").is_err());
    }
}
