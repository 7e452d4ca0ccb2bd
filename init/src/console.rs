//! Every console the kernel prints on, written without ever waiting for one.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;

/// The most bytes kept for a console that takes nothing (a serial line held by its other end). Then whole lines are lost and
/// counted; the log ring still has them.
const PENDING_LIMIT: usize = 64 * 1024;

/// Where the kernel lists its consoles.
const ACTIVE: &str = "/sys/class/tty/console/active";

/// All consoles.
#[derive(Debug, Default)]
pub(crate) struct Consoles {
    outputs: Vec<Output>,
}

/// One console with what it has not taken yet.
#[derive(Debug)]
struct Output {
    file: File,
    pending: VecDeque<u8>,
    lost: u64,
}

impl Consoles {
    /// Opens every console that the kernel uses, or `/dev/console` if it does not say which.
    pub(crate) fn of_the_machine() -> Self {
        let names = std::fs::read_to_string(ACTIVE).unwrap_or_default();
        let mut outputs: Vec<Output> =
            names.split_whitespace().filter_map(|name| Output::open(&format!("/dev/{name}")).ok()).collect();
        if outputs.is_empty() {
            outputs.extend(Output::open("/dev/console").ok());
        }
        Self { outputs }
    }

    /// Standard output, for a PID 1 whose machine is a container.
    pub(crate) fn of_a_container() -> Self {
        Self { outputs: Output::open("/proc/self/fd/1").into_iter().collect() }
    }

    /// Writes a line (with its end) to each console, or keeps it until the console takes it.
    pub(crate) fn write(&mut self, line: &str) {
        for output in &mut self.outputs {
            output.write(line);
        }
    }

    /// Writes what is pending to the consoles that take it now.
    pub(crate) fn flush(&mut self) {
        for output in &mut self.outputs {
            output.flush();
        }
    }

    /// Each console with its place, and whether it has something pending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (BorrowedFd<'_>, bool)> {
        self.outputs.iter().map(|output| (output.file.as_fd(), !output.pending.is_empty()))
    }

    /// Waits until everything is written, at most for `limit`.
    pub(crate) fn drain(&mut self, limit: Duration) {
        let deadline = Instant::now() + limit;
        loop {
            self.flush();
            let left = deadline.saturating_duration_since(Instant::now());
            let mut waiting: Vec<PollFd<'_>> = self
                .outputs
                .iter()
                .filter(|output| !output.pending.is_empty())
                .map(|output| PollFd::new(&output.file, PollFlags::OUT))
                .collect();
            if waiting.is_empty() || left.is_zero() {
                return;
            }
            let timeout = Timespec::try_from(left).ok();
            if poll(&mut waiting, timeout.as_ref()).is_err() {
                return;
            }
        }
    }

    /// The files of the consoles, for a thread that waits until their hardware has sent everything.
    pub(crate) fn files(&self) -> Vec<File> {
        self.outputs.iter().filter_map(|output| output.file.try_clone().ok()).collect()
    }
}

impl Output {
    fn open(path: &str) -> io::Result<Self> {
        let flags = OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = OpenOptions::new().write(true).custom_flags(flags.bits().cast_signed()).open(path)?;
        Ok(Self { file, pending: VecDeque::new(), lost: 0 })
    }

    fn write(&mut self, line: &str) {
        if self.pending.len() + line.len() > PENDING_LIMIT {
            self.lost += 1;
            return;
        }
        self.pending.extend(line.as_bytes());
        self.flush();
    }

    fn flush(&mut self) {
        loop {
            let (head, _) = self.pending.as_slices();
            if head.is_empty() {
                let Some(notice) = self.loss() else { return };
                self.pending.extend(notice.as_bytes());
                continue;
            }
            match self.file.write(head) {
                Ok(0) => return,
                Ok(length) => drop(self.pending.drain(..length)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // A console that went away (a hung-up line) takes nothing more; it must not hold anything up.
                Err(_) => return self.pending.clear(),
            }
        }
    }

    fn loss(&mut self) -> Option<String> {
        let lost = std::mem::take(&mut self.lost);
        let text = format!("{lost} lines are not shown: the console was too slow");
        (lost > 0).then(|| init_core::console::line(crate::now(), &text))
    }
}

/// Writes a line past everything else, for the moments when nothing else may work.
pub(crate) fn emergency(text: &str) {
    let line = init_core::console::line(crate::now(), text);
    let mut consoles = Consoles::of_the_machine();
    let shown = !consoles.outputs.is_empty();
    if !shown {
        consoles = Consoles::of_a_container();
    }
    consoles.write(&line);
    consoles.drain(Duration::from_secs(1));
    if let Ok(mut log) = OpenOptions::new().write(true).open("/dev/kmsg") {
        // An error of a user program (`<11>`), which the kernel shows on its consoles; only a debug message (`<15>`) if it
        // stands there already.
        let priority = if shown { "<15>" } else { "<11>" };
        let _ = log.write_all(format!("{priority}orlop: {text}").as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn a_console_that_takes_nothing_loses_whole_lines_and_says_so() {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        rustix::io::ioctl_fionbio(&writer, true).expect("not blocking");
        let file = File::from(std::os::fd::OwnedFd::from(writer));
        let mut consoles = Consoles { outputs: vec![Output { file, pending: VecDeque::new(), lost: 0 }] };
        let line = format!("{}\n", "x".repeat(1023));
        for _ in 0..1000 {
            consoles.write(&line);
        }
        assert!(consoles.iter().all(|(_, pending)| pending));
        assert!(consoles.outputs[0].pending.len() <= PENDING_LIMIT);
        let reading = std::thread::spawn(move || {
            let (mut reader, mut text) = (reader, String::new());
            reader.read_to_string(&mut text).expect("text");
            text
        });
        consoles.drain(Duration::from_secs(10));
        drop(consoles);
        let text = reading.join().expect("the reader");
        let whole = text.lines().filter(|shown| shown.len() == 1023).count();
        let notice = text.lines().last().expect("a line");
        assert_eq!(text.lines().count(), whole + 1, "no line is cut");
        assert!(notice.contains(&format!("{} lines are not shown", 1000 - whole)), "{notice}");
    }
}
