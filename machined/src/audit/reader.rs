//! Reads the audit log while it grows.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::path::PathBuf;

use super::journal::segments;

/// Lines that are read at once.
const CHUNK: usize = 256;

/// A place in the log. Blocks while it reads.
#[derive(Debug)]
pub(crate) struct Reader {
    folder: PathBuf,
    /// Number of the next record that is wanted.
    next: u64,
    /// The file that was read last: number of its first record, and the byte that comes next.
    at: Option<(u64, u64)>,
}

impl Reader {
    pub(super) fn new(folder: PathBuf, first: u64) -> Self {
        Self { folder, next: first.max(1), at: None }
    }

    /// The next lines as they are in the files, up to record `last`. None means that there is none yet.
    ///
    /// Lines that are no records are returned, too: whoever checks the chain must see them.
    pub(crate) fn lines(&mut self, last: u64) -> io::Result<Vec<Vec<u8>>> {
        let mut lines = Vec::new();
        while lines.is_empty() && self.next <= last {
            let files = segments(&self.folder)?;
            let current = match self.at {
                Some((first, offset)) => files.iter().find(|(file, _)| *file == first).map(|file| (file, offset)),
                // The file that holds the record, or the oldest one.
                None => files.iter().rfind(|(first, _)| *first <= self.next).or(files.first()).map(|file| (file, 0)),
            };
            let Some(((first, path), offset)) = current else {
                // The file was let go of while it was read: go on with the oldest that is kept.
                let Some((oldest, _)) = files.first().filter(|_| self.at.take().is_some()) else { break };
                self.next = self.next.max(*oldest);
                continue;
            };
            let mut file = BufReader::new(File::open(path)?);
            let mut at = file.seek(SeekFrom::Start(offset))?;
            while lines.len() < CHUNK && self.next <= last {
                let mut line = Vec::new();
                let length = file.read_until(b'\n', &mut line)?;
                if line.pop() != Some(b'\n') {
                    break;
                }
                at += length as u64;
                match ledger::read(&line) {
                    Ok((record, _)) if record.seq < self.next => continue,
                    Ok((record, _)) => self.next = record.seq + 1,
                    Err(_) => {}
                }
                lines.push(line);
            }
            self.at = Some((*first, at));
            if lines.is_empty() {
                let Some((next, _)) = files.iter().find(|(file, _)| file > first) else { break };
                self.at = Some((*next, 0));
            }
        }
        Ok(lines)
    }
}
