//! A state in memory, for tests.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;

use crate::overlay::Write;
use crate::{Cursor, Fault, Space, View};

#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Memory {
    spaces: BTreeMap<Space, BTreeMap<Bytes, Bytes>>,
}

impl Memory {
    pub(crate) fn absorb(&mut self, writes: Vec<Write>) {
        for write in writes {
            let space = self.spaces.entry(write.space).or_default();
            match write.value {
                Some(value) => space.insert(write.key, value),
                None => space.remove(&write.key),
            };
        }
    }

    pub(crate) fn len(&self, space: Space) -> usize {
        self.spaces.get(&space).map_or(0, BTreeMap::len)
    }

    pub(crate) fn remove(&mut self, space: Space, key: &[u8]) -> bool {
        self.spaces.get_mut(&space).is_some_and(|space| space.remove(key).is_some())
    }
}

struct Walk<'a> {
    map: Option<&'a BTreeMap<Bytes, Bytes>>,
    at: Option<(&'a Bytes, &'a Bytes)>,
    upper: Option<Vec<u8>>,
}

impl<'a> Walk<'a> {
    fn first(&self, lower: Bound<&[u8]>) -> Option<(&'a Bytes, &'a Bytes)> {
        let upper = self.upper.as_deref();
        self.map?
            .range::<[u8], _>((lower, Bound::Unbounded))
            .next()
            .filter(|(key, _)| upper.is_none_or(|upper| key.as_ref() < upper))
    }
}

impl Cursor for Walk<'_> {
    fn entry(&self) -> Option<(&[u8], &[u8])> {
        self.at.map(|(key, value)| (key.as_ref(), value.as_ref()))
    }

    fn next(&mut self) -> Result<(), Fault> {
        if let Some((key, _)) = self.at {
            self.at = self.first(Bound::Excluded(key));
        }
        Ok(())
    }

    fn seek(&mut self, key: &[u8]) -> Result<(), Fault> {
        self.at = self.first(Bound::Included(key));
        Ok(())
    }
}

impl View for Memory {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, Fault> {
        Ok(self.spaces.get(&space).and_then(|space| space.get(key)).cloned())
    }

    fn cursor<'a>(&'a self, space: Space, lower: &[u8], upper: Option<&[u8]>) -> Result<Box<dyn Cursor + 'a>, Fault> {
        let mut walk = Walk { map: self.spaces.get(&space), at: None, upper: upper.map(<[u8]>::to_vec) };
        walk.seek(lower)?;
        Ok(Box::new(walk))
    }
}
