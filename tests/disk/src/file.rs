//! The bytes of one file: as programs see them, and as they are found after a power cut.

/// What a disk writes at once.
const PAGE: usize = 4096;

/// A file. What was changed since it was last flushed is remembered, so that it can be taken back.
#[derive(Debug, Default)]
pub(crate) struct File {
    bytes: Vec<u8>,
    unflushed: Vec<Edit>,
}

/// One change of a file.
#[derive(Debug)]
struct Edit {
    at: usize,
    /// What was there before, as far as the file went.
    old: Vec<u8>,
    /// What is there now; empty when only the length changed.
    new: Vec<u8>,
    old_len: usize,
    new_len: usize,
}

impl File {
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn read(&self, at: usize, len: usize) -> &[u8] {
        let end = at.saturating_add(len).min(self.bytes.len());
        self.bytes.get(at..end).unwrap_or_default()
    }

    pub(crate) fn write(&mut self, at: usize, new: &[u8]) {
        let old_len = self.bytes.len();
        let old = self.read(at, new.len()).to_vec();
        put(&mut self.bytes, at, new);
        self.unflushed.push(Edit { at, old, new: new.to_vec(), old_len, new_len: self.bytes.len() });
    }

    pub(crate) fn resize(&mut self, new_len: usize) {
        let old_len = self.bytes.len();
        let old = self.read(new_len, usize::MAX).to_vec();
        self.bytes.resize(new_len, 0);
        self.unflushed.push(Edit { at: new_len, old, new: Vec::new(), old_len, new_len });
    }

    /// Everything so far survives a power cut.
    pub(crate) fn flush(&mut self) {
        self.unflushed.clear();
    }

    /// Takes back what was not flushed, but for what `keep` says: a disk writes in any order, and a page at a time.
    pub(crate) fn cut_power(&mut self, keep: &mut dyn FnMut() -> bool) {
        let edits = std::mem::take(&mut self.unflushed);
        for edit in edits.iter().rev() {
            self.bytes.resize(edit.old_len, 0);
            put(&mut self.bytes, edit.at, &edit.old);
        }
        for edit in edits {
            if edit.new.is_empty() {
                if keep() {
                    self.bytes.resize(edit.new_len, 0);
                }
                continue;
            }
            for (page, piece) in edit.new.chunks(PAGE).enumerate() {
                if keep() {
                    put(&mut self.bytes, edit.at + page * PAGE, piece);
                }
            }
        }
    }
}

fn put(bytes: &mut Vec<u8>, at: usize, new: &[u8]) {
    let end = at + new.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[at..end].copy_from_slice(new);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_flushed_is_taken_back() {
        let mut file = File::default();
        file.write(0, b"flushed");
        file.flush();
        file.write(3, b"XXXXXXXX");
        file.resize(2);
        file.write(20, b"far");
        file.resize(1);
        assert_eq!(file.read(0, 99), b"f");
        file.cut_power(&mut || false);
        assert_eq!(file.read(0, 99), b"flushed");
    }

    #[test]
    fn what_was_not_flushed_may_be_kept_in_part() {
        let mut file = File::default();
        file.write(0, &[1; 2 * PAGE]);
        let mut coins = [false, true].into_iter();
        file.cut_power(&mut || coins.next().unwrap());
        assert_eq!((file.len(), file.read(0, 1), file.read(PAGE, 1)), (2 * PAGE, &[0][..], &[1][..]));
    }
}
