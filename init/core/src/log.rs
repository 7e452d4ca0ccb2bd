//! Logs in memory: bytes become lines, lines go into a ring of bounded size.

use std::collections::VecDeque;

use supervision::LogLine;

use crate::ids::Uptime;

/// The longest line in bytes; a longer one is cut into several, so that one writer cannot fill the memory without a
/// newline.
pub const LINE_LIMIT: usize = 4096;

/// What a line costs in the ring besides its text. Without it a flood of empty lines would cost nothing and never be
/// dropped.
const LINE_OVERHEAD: usize = 48;

/// Counts lines from the first one of a ring; it grows for ever and is never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct LineNumber(u64);

/// Makes text safe for a terminal and at most `limit` bytes long: control characters become spaces.
#[must_use]
pub fn printable(text: &str, limit: usize) -> String {
    let mut clean = String::with_capacity(text.len().min(limit));
    for character in text.chars().map(|c| if c.is_control() { ' ' } else { c }) {
        if clean.len() + character.len_utf8() > limit {
            break;
        }
        clean.push(character);
    }
    clean
}

/// Cuts a stream of bytes into lines of text.
#[derive(Debug, Default)]
pub struct Splitter {
    rest: Vec<u8>,
}

impl Splitter {
    /// Takes the next bytes and gives each line that they complete to `line`.
    pub fn feed(&mut self, mut bytes: &[u8], mut line: impl FnMut(String)) {
        while let Some(end) = bytes.iter().position(|&byte| byte == b'\n') {
            self.take(&bytes[..end], &mut line);
            self.flush(&mut line);
            bytes = &bytes[end + 1..];
        }
        self.take(bytes, &mut line);
    }

    /// The stream has ended: gives what is left, if anything, as the last line.
    pub fn finish(&mut self, mut line: impl FnMut(String)) {
        if !self.rest.is_empty() {
            self.flush(&mut line);
        }
    }

    /// Keeps bytes without a newline, cutting a line whenever the limit is reached.
    fn take(&mut self, mut bytes: &[u8], line: &mut impl FnMut(String)) {
        while self.rest.len() + bytes.len() > LINE_LIMIT {
            let (head, tail) = bytes.split_at(LINE_LIMIT - self.rest.len());
            self.rest.extend_from_slice(head);
            self.flush(line);
            bytes = tail;
        }
        self.rest.extend_from_slice(bytes);
    }

    fn flush(&mut self, line: &mut impl FnMut(String)) {
        let text = self.rest.strip_suffix(b"\r").unwrap_or(&self.rest);
        // Replacement characters may be longer than what they replace, so the bound is applied to the result.
        line(printable(&String::from_utf8_lossy(text), LINE_LIMIT));
        self.rest.clear();
    }
}

/// The newest lines of a log, bounded in bytes.
#[derive(Debug)]
pub struct Ring {
    lines: VecDeque<LogLine>,
    /// Number of the first line in `lines`.
    first: LineNumber,
    bytes: usize,
    capacity: usize,
}

impl Ring {
    /// An empty ring that holds about `capacity` bytes (at least one line).
    #[must_use]
    pub const fn new(capacity: usize) -> Self {
        Self { lines: VecDeque::new(), first: LineNumber(0), bytes: 0, capacity }
    }

    /// Appends a line and drops the oldest ones that no longer fit.
    pub fn push(&mut self, at: Uptime, text: String) {
        self.bytes += cost(&text);
        self.lines.push_back(LogLine { uptime_ms: at.as_millis(), text });
        while self.bytes > self.capacity && self.lines.len() > 1 {
            if let Some(dropped) = self.lines.pop_front() {
                self.bytes -= cost(&dropped.text);
                self.first.0 += 1;
            }
        }
    }

    /// The number that the next line will have.
    #[must_use]
    pub fn end(&self) -> LineNumber {
        LineNumber(self.first.0 + self.lines.len() as u64)
    }

    /// Where to start reading for the newest `count` lines; `None` means all.
    #[must_use]
    pub fn tail(&self, count: Option<u32>) -> LineNumber {
        let skip = count.map_or(0, |count| self.lines.len().saturating_sub(count as usize));
        LineNumber(self.first.0 + skip as u64)
    }

    /// The line at `at`, or the oldest one that is left after it; with its number and how many lines between were lost.
    #[must_use]
    pub fn read(&self, at: LineNumber) -> Option<Read<'_>> {
        let number = at.max(self.first);
        let line = self.lines.get(usize::try_from(number.0 - self.first.0).ok()?)?;
        Some(Read { line, next: LineNumber(number.0 + 1), lost: number.0 - at.0 })
    }
}

/// One line read from a [`Ring`].
#[derive(Debug, PartialEq, Eq)]
pub struct Read<'a> {
    /// The line.
    pub line: &'a LogLine,
    /// Where to read on.
    pub next: LineNumber,
    /// Lines that were dropped before they could be read.
    pub lost: u64,
}

fn cost(text: &str) -> usize {
    text.len() + LINE_OVERHEAD
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(chunks: &[&[u8]]) -> Vec<String> {
        let (mut splitter, mut lines) = (Splitter::default(), Vec::new());
        for chunk in chunks {
            splitter.feed(chunk, |line| lines.push(line));
        }
        splitter.finish(|line| lines.push(line));
        lines
    }

    fn read_all(ring: &Ring, mut at: LineNumber) -> Vec<&str> {
        let mut texts = Vec::new();
        while let Some(read) = ring.read(at) {
            texts.push(read.line.text.as_str());
            at = read.next;
        }
        texts
    }

    #[test]
    fn lines_are_found_across_chunks() {
        assert_eq!(split(&[b"one\ntw", b"o\r\n", b"\nthr", b"ee"]), ["one", "two", "", "three"]);
        assert!(split(&[]).is_empty());
    }

    #[test]
    fn a_line_without_end_is_cut() {
        let lines = split(&[&[b'x'; LINE_LIMIT - 1], b"xxyy\nz"]);
        assert_eq!(lines.iter().map(String::len).collect::<Vec<_>>(), [LINE_LIMIT, 3, 1]);
        assert!(split(&[&[0xff; 3 * LINE_LIMIT]]).iter().all(|line| line.len() <= LINE_LIMIT));
    }

    #[test]
    fn control_characters_do_not_reach_a_terminal() {
        assert_eq!(split(&[b"\x1b[31mred\x07\n"]), [" [31mred "]);
    }

    #[test]
    fn the_ring_drops_the_oldest_and_says_how_many_were_lost() {
        let mut ring = Ring::new(3 * (1 + LINE_OVERHEAD));
        for (at, text) in ["a", "b", "c", "d", "e"].into_iter().enumerate() {
            ring.push(Uptime::from_millis(at as u64), text.into());
        }
        assert_eq!(read_all(&ring, LineNumber(0)), ["c", "d", "e"]);
        let first = ring.read(LineNumber(0)).expect("a line");
        assert_eq!((first.lost, first.line.uptime_ms), (2, 2));
        assert_eq!(read_all(&ring, ring.tail(Some(2))), ["d", "e"]);
        assert_eq!(read_all(&ring, ring.tail(None)), ["c", "d", "e"]);
        assert_eq!(ring.read(ring.end()), None);
        ring.push(Uptime::from_millis(9), "x".repeat(LINE_LIMIT));
        assert_eq!(ring.lines.len(), 1, "the newest line always stays");
    }
}
