//! Writes that are not in the database yet, laid over it: later commands of one batch see what earlier ones wrote.

use std::collections::{BTreeMap, btree_map};
use std::ops::Bound;

use bytes::Bytes;

use crate::{Cursor, Fault, Space, View};

type Pending = BTreeMap<Bytes, Option<Bytes>>;

/// One change of one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// The space it belongs to.
    pub space: Space,
    /// The record.
    pub key: Bytes,
    /// The new value, or `None` to remove the record.
    pub value: Option<Bytes>,
}

/// A view with pending writes over it.
pub struct Overlay<'a> {
    base: &'a dyn View,
    pending: [Pending; Space::ALL.len()],
}

impl<'a> Overlay<'a> {
    /// Nothing written yet.
    #[must_use]
    pub fn new(base: &'a dyn View) -> Self {
        Self { base, pending: Default::default() }
    }

    /// Sets a record.
    pub fn put(&mut self, space: Space, key: impl Into<Bytes>, value: impl Into<Bytes>) {
        self.pending[space as usize].insert(key.into(), Some(value.into()));
    }

    /// Removes a record.
    pub fn remove(&mut self, space: Space, key: impl Into<Bytes>) {
        self.pending[space as usize].insert(key.into(), None);
    }

    /// The writes so far, each record once.
    #[must_use]
    pub fn into_writes(self) -> Vec<Write> {
        let mut writes = Vec::with_capacity(self.pending.iter().map(BTreeMap::len).sum());
        for (space, pending) in Space::ALL.into_iter().zip(self.pending) {
            writes.extend(pending.into_iter().map(|(key, value)| Write { space, key, value }));
        }
        writes
    }
}

impl View for Overlay<'_> {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, Fault> {
        match self.pending[space as usize].get(key) {
            Some(value) => Ok(value.clone()),
            None => self.base.get(space, key),
        }
    }

    fn cursor<'b>(&'b self, space: Space, lower: &[u8], upper: Option<&[u8]>) -> Result<Box<dyn Cursor + 'b>, Fault> {
        let base = self.base.cursor(space, lower, upper)?;
        let pending = &self.pending[space as usize];
        if pending.is_empty() {
            return Ok(base);
        }
        let mut merged = Merged {
            base,
            pending,
            rest: btree_map::Range::default(),
            head: None,
            upper: upper.map(<[u8]>::to_vec),
            on: On::End,
        };
        merged.rewind(lower);
        merged.settle()?;
        Ok(Box::new(merged))
    }
}

/// Which side the merged cursor stands on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum On {
    Base,
    Pending,
    End,
}

struct Merged<'a> {
    base: Box<dyn Cursor + 'a>,
    pending: &'a Pending,
    rest: btree_map::Range<'a, Bytes, Option<Bytes>>,
    head: Option<(&'a Bytes, &'a Option<Bytes>)>,
    upper: Option<Vec<u8>>,
    on: On,
}

impl Merged<'_> {
    fn rewind(&mut self, lower: &[u8]) {
        let upper = match self.upper.as_deref() {
            Some(upper) if upper <= lower => {
                (self.rest, self.head) = (btree_map::Range::default(), None);
                return;
            }
            Some(upper) => Bound::Excluded(upper),
            None => Bound::Unbounded,
        };
        self.rest = self.pending.range::<[u8], _>((Bound::Included(lower), upper));
        self.head = self.rest.next();
    }

    /// Chooses the side whose entry comes first; a pending write hides the base's entry of the same key.
    fn settle(&mut self) -> Result<(), Fault> {
        loop {
            let base = self.base.entry().map(|(key, _)| key);
            self.on = match (base, self.head) {
                (None, None) => On::End,
                (Some(_), None) => On::Base,
                (None, Some((_, Some(_)))) => On::Pending,
                (None, Some((_, None))) => {
                    self.head = self.rest.next();
                    continue;
                }
                (Some(base), Some((pending, _))) if base < pending.as_ref() => On::Base,
                (Some(base), Some((pending, value))) => {
                    if base == pending.as_ref() {
                        self.base.next()?;
                    }
                    if value.is_none() {
                        self.head = self.rest.next();
                        continue;
                    }
                    On::Pending
                }
            };
            return Ok(());
        }
    }
}

impl Cursor for Merged<'_> {
    fn entry(&self) -> Option<(&[u8], &[u8])> {
        match self.on {
            On::Base => self.base.entry(),
            On::Pending => self.head.and_then(|(key, value)| Some((key.as_ref(), value.as_ref()?.as_ref()))),
            On::End => None,
        }
    }

    fn next(&mut self) -> Result<(), Fault> {
        match self.on {
            On::Base => self.base.next()?,
            On::Pending => self.head = self.rest.next(),
            On::End => return Ok(()),
        }
        self.settle()
    }

    fn seek(&mut self, key: &[u8]) -> Result<(), Fault> {
        self.base.seek(key)?;
        self.rewind(key);
        self.settle()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Memory;

    fn walk(view: &dyn View, lower: &[u8], upper: Option<&[u8]>) -> Vec<(String, String)> {
        let mut cursor = view.cursor(Space::Kv, lower, upper).unwrap();
        let mut found = Vec::new();
        while let Some((key, value)) = cursor.entry() {
            found.push((String::from_utf8_lossy(key).into_owned(), String::from_utf8_lossy(value).into_owned()));
            cursor.next().unwrap();
        }
        found
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn pending_writes_hide_remove_and_add() {
        let mut memory = Memory::default();
        let mut first = Overlay::new(&memory);
        for key in ["a", "b", "c", "d"] {
            first.put(Space::Kv, key, "old");
        }
        let writes = first.into_writes();
        memory.absorb(writes);
        let mut overlay = Overlay::new(&memory);
        overlay.remove(Space::Kv, "a");
        overlay.put(Space::Kv, "b", "new");
        overlay.put(Space::Kv, "bb", "new");
        overlay.remove(Space::Kv, "d");
        overlay.put(Space::Kv, "e", "new");
        assert_eq!(walk(&overlay, b"", None), pairs(&[("b", "new"), ("bb", "new"), ("c", "old"), ("e", "new")]));
        assert_eq!(walk(&overlay, b"b", Some(b"c")), pairs(&[("b", "new"), ("bb", "new")]));
        assert_eq!(walk(&overlay, b"x", Some(b"b")), pairs(&[]));
        assert_eq!(overlay.get(Space::Kv, b"a").unwrap(), None);
        let mut cursor = overlay.cursor(Space::Kv, b"", None).unwrap();
        cursor.seek(b"bc").unwrap();
        assert_eq!(cursor.entry().map(|(key, _)| key.to_vec()), Some(b"c".to_vec()));
    }
}
