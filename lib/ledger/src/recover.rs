//! What a file of records holds after a crash.

use crate::{Broken, Head, Verifier, read};

/// What was found in a file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recovered {
    /// Its last whole record, if it has one.
    pub head: Option<Head>,
    /// Bytes up to the end of that record. What follows was never acknowledged: it is to be cut off.
    pub keep: usize,
    /// The first record before the end that is not good: no crash does that.
    pub broken: Option<Broken>,
}

/// Looks at a whole file.
///
/// A crash leaves whole records and, after them, pieces of those that were being written. So what follows the last whole
/// record is cut off, while a bad record *before* a whole one was damaged or changed by somebody and is left alone.
#[must_use]
pub fn recover(file: &[u8]) -> Recovered {
    let mut found = Recovered::default();
    let mut verifier = Verifier::default();
    let mut doubt = None;
    let mut at = 0;
    while let Some(length) = file[at..].iter().position(|byte| *byte == b'\n') {
        let line = &file[at..at + length];
        at += length + 1;
        if doubt.is_none() {
            doubt = verifier.check(line).err();
        }
        if let Ok((record, hash)) = read(line) {
            found.head = Some(Head { seq: record.seq, hash });
            found.keep = at;
            found.broken.clone_from(&doubt);
        }
    }
    found
}
