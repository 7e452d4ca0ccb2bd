//! An object's protobuf message: made when somebody first wants it, then kept beside the JSON while there is room for it.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

/// Bytes all kept messages of this process may take together: the messages of about 150,000 pods. What does not fit is made
/// anew for each reader, which costs time instead of memory.
const ROOM: usize = 256 << 20;

static TAKEN: AtomicUsize = AtomicUsize::new(0);

/// The place of one message.
#[derive(Debug, Default)]
pub(super) struct Kept(OnceLock<Bytes>);

impl Kept {
    /// The message, from `make` if it is not here.
    pub(super) fn get_or_make(&self, make: impl FnOnce() -> Vec<u8>) -> Bytes {
        if let Some(kept) = self.0.get() {
            return kept.clone();
        }
        let made = Bytes::from(make().into_boxed_slice());
        let fits = TAKEN.fetch_add(made.len(), Ordering::Relaxed) + made.len() <= ROOM;
        // Of two that make it at once one is first.
        if !(fits && self.0.set(made.clone()).is_ok()) {
            TAKEN.fetch_sub(made.len(), Ordering::Relaxed);
        }
        made
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if let Some(kept) = self.0.get() {
            TAKEN.fetch_sub(kept.len(), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_made_once_and_its_room_given_back() {
        let kept = Kept::default();
        let first = kept.get_or_make(|| vec![7; 5]);
        let second = kept.get_or_make(|| panic!("made twice"));
        assert_eq!(first.as_ptr(), second.as_ptr());
        // Larger than all there is: made for its reader alone.
        let large = Kept::default();
        assert_eq!(large.get_or_make(|| vec![0; ROOM + 1]).len(), ROOM + 1);
        assert!(large.0.get().is_none());
    }
}
