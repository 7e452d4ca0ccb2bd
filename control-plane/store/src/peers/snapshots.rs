//! The whole state on its way from one member to another: a checkpoint's files, each with its size and hash.
//!
//! The receiver keeps what it has under its hash until the state is whole. When the transfer breaks off and begins again,
//! usually with a newer checkpoint, most files are the same and are not sent twice.

pub mod listing;
pub mod receiving;
pub mod sending;

use std::time::Duration;

/// Bytes in one message. Larger: fewer messages, but a longer wait for others on the disk.
const CHUNK: usize = 512 << 10;
/// Messages that may wait for the network.
const CHUNKS: usize = 4;
/// Files of one state. RocksDB makes files of tens of megabytes, so this is terabytes.
const MAX_FILES: usize = 100_000;
/// Whoever does nothing for so long is counted as gone.
const SILENCE: Duration = Duration::from_secs(30);
/// How long it may take to put the last file and the state in place.
const INSTALL: Duration = Duration::from_mins(2);
