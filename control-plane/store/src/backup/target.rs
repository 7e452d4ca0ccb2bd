//! Where backups lie: a [`folder`] or an [S3](s3) bucket.
//!
//! Objects have names with slashes and are never changed: they are there wholly or not at all, and a name is given once.

pub mod folder;
pub mod s3;

use std::fs::File;
use std::io::{self, Read};
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::watch;

/// An operation on a target failed.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct TargetError {
    what: String,
    #[source]
    source: io::Error,
}

impl TargetError {
    /// `what` says what was tried, on which object.
    pub fn new(what: impl Into<String>, source: io::Error) -> Self {
        Self { what: what.into(), source }
    }

    /// Whether the object is not there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }
}

/// What is put.
pub enum Contents<'a> {
    /// From memory.
    Bytes(Bytes),
    /// A whole file of this size.
    File(&'a mut File, u64),
}

impl Contents<'_> {
    /// Its bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File(_, size) => *size,
        }
    }
}

/// An object that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its name.
    pub name: String,
    /// Its bytes.
    pub size: u64,
}

/// What a target needs to talk over the network from threads that may block.
#[derive(Debug, Clone)]
pub struct Network {
    runtime: Handle,
    stopping: watch::Receiver<bool>,
}

impl Network {
    /// On this runtime, whose own threads must not use it, until `stopping` turns true or its sender is gone.
    #[must_use]
    pub fn new(runtime: Handle, stopping: watch::Receiver<bool>) -> Self {
        Self { runtime, stopping }
    }

    /// Waits for a future, but not for longer than `at_most` and not beyond the end of the program.
    pub fn within<T>(&self, at_most: Duration, future: impl Future<Output = T>) -> io::Result<T> {
        let mut stopping = self.stopping.clone();
        self.runtime.block_on(async {
            tokio::select! {
                outcome = future => Ok(outcome),
                () = tokio::time::sleep(at_most) => Err(io::Error::new(io::ErrorKind::TimedOut, "no answer came in time")),
                _ = stopping.wait_for(|stopping| *stopping) => {
                    Err(io::Error::new(io::ErrorKind::Interrupted, "the program is stopping"))
                }
            }
        })
    }
}

/// A place for objects. Calls block the thread, take bounded memory and end in bounded time, whatever the other side does.
pub trait Target: Send + Sync {
    /// Stores an object, wholly and durably or not at all. `false`: there was one of this name, which stays as it is.
    fn put(&self, name: &str, contents: Contents<'_>) -> Result<bool, TargetError>;

    /// Reads an object as it comes.
    fn get(&self, name: &str) -> Result<Box<dyn Read + Send>, TargetError>;

    /// Every object below a folder, in the order of their names; all objects for an empty folder.
    fn list(&self, folder: &str) -> Result<Vec<Object>, TargetError>;

    /// Removes an object; one that is not there is gone already.
    fn delete(&self, name: &str) -> Result<(), TargetError>;

    /// Clears away what an interrupted [`put`](Self::put) left long ago.
    fn tidy(&self) -> Result<(), TargetError>;
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// What every target must do.
    pub(in super::super) fn suite(target: &dyn Target, large: usize) {
        let put = |name: &str, text: &'static str| target.put(name, Contents::Bytes(Bytes::from(text))).unwrap();
        let get = |name: &str| {
            let mut text = Vec::new();
            target.get(name).unwrap().read_to_end(&mut text).unwrap();
            text
        };
        let list = |folder: &str| -> Vec<_> {
            target.list(folder).unwrap().into_iter().map(|object| (object.name, object.size)).collect()
        };
        assert_eq!(list(""), []);
        assert_eq!(list("a"), []);
        assert!(put("a/1/x", "one") && put("a/2/y", "") && put("ab/1/x", "other"));
        assert!(!put("a/1/x", "changed"), "a name is given once");
        assert_eq!(get("a/1/x"), b"one");
        assert_eq!(get("a/2/y"), b"");
        assert_eq!(list("a"), [("a/1/x".to_owned(), 3), ("a/2/y".to_owned(), 0)]);
        assert_eq!(list("").len(), 3);

        let bytes: Vec<u8> = (0..large).map(|at| (at % 251) as u8).collect();
        let mut file = tempfile::tempfile().unwrap();
        io::Write::write_all(&mut file, &bytes).unwrap();
        for expected in [true, false] {
            let contents = Contents::File(&mut file, bytes.len() as u64);
            assert_eq!(target.put("a/large +&=%/z", contents).unwrap(), expected);
        }
        assert!(get("a/large +&=%/z") == bytes);

        assert!(target.get("a/1/nothing").err().unwrap().is_not_found());
        target.tidy().unwrap();
        for _ in 0..2 {
            target.delete("a/1/x").unwrap();
        }
        assert!(target.get("a/1/x").err().unwrap().is_not_found());
        assert_eq!(list("a").len(), 2);
    }
}
