//! The client of the store: plain etcd v3 over mutual TLS, to several endpoints.
//!
//! A call waits out a short absence of the store and moves on to the next endpoint when one does not answer. Writes are
//! retried too: each carries a comparison, so a second try of a write that took effect finds its own value and says so
//! (see [`Change`]).

mod connection;
mod kv;
mod lease;
mod watch;

pub(crate) use connection::{StoreClient, StoreError};
pub(crate) use kv::{Change, Claim, Commit, Put};
pub(crate) use lease::LeasePool;
pub(crate) use watch::{StoreEvent, StoreWatch, WatchError, WatchStep};

/// The first key behind every key that begins with `prefix`.
pub(crate) fn prefix_end(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return end;
        }
    }
    // Only 0xff bytes, or nothing: "from here to the last key" in etcd's spelling.
    vec![0]
}

#[cfg(test)]
mod tests {
    use super::prefix_end;

    #[test]
    fn the_end_of_a_prefix_lies_just_behind_it() {
        assert_eq!(prefix_end(b"/registry/pods/"), b"/registry/pods0");
        assert_eq!(prefix_end(b"a\xff\xff"), b"b");
        assert_eq!(prefix_end(b"\xff"), b"\0");
    }
}
