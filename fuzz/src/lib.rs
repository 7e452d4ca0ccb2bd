//! What the fuzz targets share. Each target feeds one decoder of bytes that we did not write: it may refuse them, and must
//! neither panic nor take memory or time out of proportion.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;
use store_core::overlay::Write;
use store_core::{Cursor, Fault, Space, View};

/// A state in memory.
#[derive(Debug, Default)]
pub struct Memory(BTreeMap<(Space, Bytes), Bytes>);

impl Memory {
    /// Takes writes over.
    pub fn absorb(&mut self, writes: Vec<Write>) {
        for write in writes {
            match write.value {
                Some(value) => self.0.insert((write.space, write.key), value),
                None => self.0.remove(&(write.space, write.key)),
            };
        }
    }
}

struct Walk<'a> {
    memory: &'a Memory,
    space: Space,
    at: Option<(&'a Bytes, &'a Bytes)>,
    upper: Option<Vec<u8>>,
}

impl<'a> Walk<'a> {
    fn find(&self, lower: Bound<(Space, Bytes)>) -> Option<(&'a Bytes, &'a Bytes)> {
        let mut found = self.memory.0.range((lower, Bound::Unbounded)).map(|((space, key), value)| (space, key, value));
        let (space, key, value) = found.next()?;
        let inside = *space == self.space && self.upper.as_deref().is_none_or(|upper| key.as_ref() < upper);
        inside.then_some((key, value))
    }
}

impl Cursor for Walk<'_> {
    fn entry(&self) -> Option<(&[u8], &[u8])> {
        self.at.map(|(key, value)| (key.as_ref(), value.as_ref()))
    }

    fn next(&mut self) -> Result<(), Fault> {
        if let Some((key, _)) = self.at {
            self.at = self.find(Bound::Excluded((self.space, key.clone())));
        }
        Ok(())
    }

    fn seek(&mut self, key: &[u8]) -> Result<(), Fault> {
        self.at = self.find(Bound::Included((self.space, Bytes::copy_from_slice(key))));
        Ok(())
    }
}

impl View for Memory {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, Fault> {
        Ok(self.0.get(&(space, Bytes::copy_from_slice(key))).cloned())
    }

    fn cursor<'a>(&'a self, space: Space, lower: &[u8], upper: Option<&[u8]>) -> Result<Box<dyn Cursor + 'a>, Fault> {
        let mut walk = Walk { memory: self, space, at: None, upper: upper.map(<[u8]>::to_vec) };
        walk.seek(lower)?;
        Ok(Box::new(walk))
    }
}

/// Cuts bytes into pieces: each begins with its length in two bytes.
pub fn pieces(mut data: &[u8]) -> Vec<Bytes> {
    let mut pieces = Vec::new();
    while let Some(([high, low], rest)) = data.split_first_chunk::<2>() {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
        pieces.push(Bytes::copy_from_slice(&rest[..length]));
        data = &rest[length..];
    }
    pieces
}
