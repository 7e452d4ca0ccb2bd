//! How decisions read the state: sorted spaces of byte strings, at one moment.

use bytes::Bytes;

use crate::{KeyRange, Revision};

/// The parts of the state; each is a sorted map of its own (a column family in the database).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Space {
    /// Every version of every key, newest first within a key: what reads are answered from.
    Kv,
    /// Every change by revision, in etcd's own key form: watches catch up from it, compaction walks it.
    Rev,
    /// The live version of each key, without its value: looked up by every write.
    Cur,
    /// Leases by id.
    Lease,
    /// The keys attached to each lease.
    LeaseKey,
    /// Where the state stands, alarms, and what the program keeps beside them.
    Meta,
}

impl Space {
    /// Every space, in the order of their declaration.
    pub const ALL: [Self; 6] = [Self::Kv, Self::Rev, Self::Cur, Self::Lease, Self::LeaseKey, Self::Meta];

    /// The name it has on disk.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kv => "kv",
            Self::Rev => "rev",
            Self::Cur => "cur",
            Self::Lease => "lease",
            Self::LeaseKey => "lkey",
            Self::Meta => "meta",
        }
    }
}

/// The state could not be read or does not make sense. Never the client's fault.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The database failed.
    #[error("read {0:?}")]
    Read(Space, #[source] Box<dyn std::error::Error + Send + Sync>),
    /// A record is there but cannot be understood, or one that must be there is missing.
    #[error("corrupt state: {0}")]
    Corrupt(&'static str),
    /// A record cannot be decoded.
    #[error("decode a record of {0:?}")]
    Decode(Space, #[source] prost::DecodeError),
}

/// The state at one moment: what is read through one view belongs together.
pub trait View {
    /// The value of one key.
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, Fault>;

    /// The values of several keys, which are in order; as many as there are keys.
    fn get_many(&self, space: Space, keys: &[Vec<u8>]) -> Result<Vec<Option<Bytes>>, Fault> {
        keys.iter().map(|key| self.get(space, key)).collect()
    }

    /// A cursor over `lower..upper`, on the first entry. No `upper`: to the end of the space.
    fn cursor<'a>(&'a self, space: Space, lower: &[u8], upper: Option<&[u8]>) -> Result<Box<dyn Cursor + 'a>, Fault>;

    /// Visits the encoded live pairs of a range as they were at `revision`, in key order, until `visit` says no. `false`,
    /// and no visit, when this view does not have them at hand: then they are found with a cursor.
    fn visit_live(&self, _revision: Revision, _keys: &KeyRange, _visit: &mut dyn FnMut(&Bytes) -> bool) -> bool {
        false
    }
}

/// A walk through a part of one space, in key order.
pub trait Cursor {
    /// The entry it stands on; `None` behind the last one.
    fn entry(&self) -> Option<(&[u8], &[u8])>;

    /// Steps to the next entry. Behind the last one it stays there.
    fn next(&mut self) -> Result<(), Fault>;

    /// Jumps to the first entry at or behind `key`, which must not lie before the one it stands on.
    fn seek(&mut self, key: &[u8]) -> Result<(), Fault>;
}
