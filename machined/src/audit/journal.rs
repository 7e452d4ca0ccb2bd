//! The files of the audit log: where a chain goes on after a crash, how it grows, and what is let go of.
//!
//! ```text
//! state/audit/00000000000000000001.log     records 1 to 3120, one a line
//!             00000000000000003121.log     the next; its first record holds the hash of record 3120
//! ```

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use ledger::{Event, Head, recover};
use machined_core::audit::{SEGMENT, SEGMENTS, file_name, first_of};
use rustix::fs::{FallocateFlags, fallocate};

/// More bytes than are ever written at once: 257 records of at most 3 KiB.
const BATCH: usize = 1 << 20;

/// The chain and its newest file.
#[derive(Debug)]
pub(super) struct Journal {
    folder: PathBuf,
    boot: String,
    head: Head,
    /// `None` until it was opened, and after a failure: then it is opened anew before the next record.
    file: Option<Segment>,
}

#[derive(Debug)]
struct Segment {
    file: File,
    size: u64,
}

impl Journal {
    pub(super) fn new(folder: PathBuf, boot: String) -> Self {
        Self { folder, boot, head: Head::default(), file: None }
    }

    /// The number of the last record that is on disk.
    pub(super) fn last(&self) -> u64 {
        self.head.seq
    }

    /// Finds the end of the chain, cuts off what a crash has left behind it, and says what was found wrong.
    pub(super) fn open(&mut self) -> io::Result<Vec<String>> {
        durable::folder(self.folder.parent().unwrap_or(Path::new("/")))?;
        match DirBuilder::new().mode(0o700).create(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => durable::folder(&self.folder)?,
        }
        let mut notes = Vec::new();
        // The newest file may have been begun and hold nothing yet.
        for (first, path) in segments(&self.folder)?.into_iter().rev() {
            let contents = fs::read(&path)?;
            let found = recover(&contents);
            if let Some(broken) = &found.broken {
                notes.push(format!("the audit log was damaged or changed: {broken}"));
            }
            let file = OpenOptions::new().append(true).open(&path)?;
            let torn = contents.len() - found.keep;
            let Some(head) = found.head else {
                // A file that was just begun, unless there is more in it than can be written at once.
                if torn > BATCH {
                    notes.push(format!("a file of the audit log holds no record any more: from {first} on"));
                    fs::rename(&path, path.with_extension("damaged"))?;
                } else {
                    fs::remove_file(&path)?;
                }
                continue;
            };
            file.set_len(found.keep as u64)?;
            file.sync_all()?;
            self.head = head;
            self.file = Some(Segment { file, size: found.keep as u64 });
            if torn > 0 {
                let detail = format!("{torn} bytes of a record that was not finished were cut off");
                self.append_at_last_time(Event::local("audit", "cut-off", detail), &contents[..found.keep])?;
            }
            return Ok(notes);
        }
        Ok(notes)
    }

    /// The clock may not be set yet: the time of the last record is as good.
    fn append_at_last_time(&mut self, event: Event, contents: &[u8]) -> io::Result<()> {
        let line = contents.strip_suffix(b"\n").and_then(|lines| lines.rsplit(|byte| *byte == b'\n').next());
        let time_ms = line.and_then(|line| ledger::read(line).ok()).map_or(0, |(record, _)| record.time_ms);
        self.append(time_ms, vec![event]).map(drop)
    }

    /// Appends events and flushes them; returns the number of the last.
    ///
    /// # Guarantees
    ///
    /// After an error none of them counts: what reached the file is cut off before anything else is written.
    pub(super) fn append(&mut self, now_ms: u64, events: Vec<Event>) -> io::Result<u64> {
        if self.file.is_none() {
            self.reopen()?;
        }
        let mut head = self.head;
        let mut text = String::new();
        for event in events {
            let (line, next) = head.seal(now_ms, &self.boot, event);
            text.push_str(&line);
            text.push('\n');
            head = next;
        }
        let mut segment = match self.file.take() {
            Some(segment) if segment.size < SEGMENT => segment,
            Some(_) | None => self.begin()?,
        };
        // On an error the file is not put back: it is opened anew, from what is on disk.
        segment.file.write_all(text.as_bytes())?;
        segment.file.sync_data()?;
        segment.size += text.len() as u64;
        self.file = Some(segment);
        self.head = head;
        Ok(head.seq)
    }

    /// Goes on after a failure: cuts the newest file back to the last record that is known to be on disk.
    fn reopen(&mut self) -> io::Result<()> {
        let known = self.head;
        if known == Head::default() {
            return self.open().map(drop);
        }
        for (first, path) in segments(&self.folder)?.into_iter().rev() {
            if first > known.seq {
                fs::remove_file(&path)?;
                continue;
            }
            let contents = fs::read(&path)?;
            let end = end_of(&contents, known).ok_or_else(|| io::Error::other("its last record is gone"))?;
            let file = OpenOptions::new().append(true).open(&path)?;
            file.set_len(end as u64)?;
            file.sync_all()?;
            self.file = Some(Segment { file, size: end as u64 });
            return Ok(());
        }
        Err(io::Error::other("its files are gone"))
    }

    /// Begins the next file, and lets go of the oldest if there are too many.
    fn begin(&self) -> io::Result<Segment> {
        let path = self.folder.join(file_name(self.head.seq + 1));
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path)?;
        file.set_len(0)?;
        // Its room is taken now: what else fills the disk does not stop the log before this file is full.
        match fallocate(&file, FallocateFlags::KEEP_SIZE, 0, SEGMENT) {
            Err(rustix::io::Errno::OPNOTSUPP) | Ok(()) => {}
            Err(error) => return Err(error.into()),
        }
        File::open(&self.folder)?.sync_all()?;
        let all = segments(&self.folder)?;
        for (_, old) in all.iter().take(all.len().saturating_sub(SEGMENTS)) {
            fs::remove_file(old)?;
        }
        Ok(Segment { file, size: 0 })
    }
}

/// The byte after the record that `head` names.
fn end_of(contents: &[u8], head: Head) -> Option<usize> {
    let mut at = 0;
    for line in contents.split_inclusive(|byte| *byte == b'\n') {
        at += line.len();
        let whole = line.strip_suffix(b"\n").and_then(|line| ledger::read(line).ok());
        if whole.is_some_and(|(record, hash)| record.seq == head.seq && hash == head.hash) {
            return Some(at);
        }
    }
    None
}

/// The files, the oldest first, each with the number of its first record.
pub(super) fn segments(folder: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if let Some(first) = path.file_name().and_then(|name| name.to_str()).and_then(first_of) {
            found.push((first, path));
        }
    }
    found.sort_unstable();
    Ok(found)
}
