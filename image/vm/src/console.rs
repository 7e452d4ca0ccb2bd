//! What a machine's serial console says, as steps of its start: bytes in, steps out. No I/O and no clock.
//!
//! Init prints `[ <seconds since kernel start>] orlop: <text>`; everything else on the line is the kernel's or the
//! firmware's. The firmware and the boot loader paint with escape sequences, which are dropped.

use std::collections::VecDeque;
use std::time::Duration;

/// Lines kept for [`Console::tail`]: enough to see a panic with its call trace.
const KEPT_LINES: usize = 60;
/// A longer line is cut: a guest that never ends a line must not fill the host's memory.
const LONGEST_LINE: usize = 2048;

/// A step of a machine's life that its console tells about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The kernel prints its first line.
    Kernel,
    /// The initramfs stage of init runs: the kernel has done its part.
    Initramfs,
    /// Init runs from the root image.
    Init,
    /// A service was started.
    Starting(String),
    /// A service says that it serves.
    Ready(String),
    /// A service ended; `why` is init's word.
    Exited {
        /// The service.
        service: String,
        /// How it ended, for example `signal 9`.
        why: String,
    },
    /// The machine goes down; the text is `<mode> (<reason>)`.
    Shutdown(String),
    /// The kernel gave up.
    Panic(String),
}

/// A step and when it was made, counted from the start of the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamped {
    /// What happened.
    pub step: Step,
    /// Time since the start of the kernel, as the line says; `None` for a line without a stamp.
    pub at: Option<Duration>,
}

/// Follows a console from its first byte.
#[derive(Debug, Default)]
pub struct Console {
    partial: Vec<u8>,
    tail: VecDeque<String>,
}

impl Console {
    /// Takes the next bytes and returns the steps that whole lines in them tell of, in order.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<Stamped> {
        let mut steps = Vec::new();
        for &byte in bytes {
            if byte == b'\n' || self.partial.len() == LONGEST_LINE {
                let line = clean(&std::mem::take(&mut self.partial));
                if let Some(step) = read_line(&line) {
                    steps.push(step);
                }
                if !line.is_empty() {
                    if self.tail.len() == KEPT_LINES {
                        self.tail.pop_front();
                    }
                    self.tail.push_back(line);
                }
            }
            if byte != b'\n' {
                self.partial.push(byte);
            }
        }
        steps
    }

    /// The last `lines` lines, with one that has not ended yet.
    pub fn tail(&self, lines: usize) -> Vec<String> {
        let mut all: Vec<_> = self.tail.iter().cloned().collect();
        let partial = clean(&self.partial);
        if !partial.is_empty() {
            all.push(partial);
        }
        all.split_off(all.len().saturating_sub(lines))
    }
}

/// Text without carriage returns, control characters and escape sequences.
fn clean(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            // An escape sequence: `ESC [ parameters letter`, or ESC and one more character.
            '\u{1b}' => {
                if characters.next() == Some('[') {
                    for parameter in characters.by_ref() {
                        if ('@'..='~').contains(&parameter) {
                            break;
                        }
                    }
                }
            }
            '\t' => out.push(' '),
            control if control.is_control() => {}
            other => out.push(other),
        }
    }
    out.trim_end().to_owned()
}

fn read_line(line: &str) -> Option<Stamped> {
    let (at, text) = stamp(line);
    let step = match text.find("orlop: ") {
        Some(0) => our_step(&text["orlop: ".len()..]),
        // Behind something else: a message that went through the kernel's log has two stamps.
        Some(start) if stamp(text).1.starts_with("orlop: ") => our_step(&text[start + "orlop: ".len()..]),
        Some(_) | None => kernel_step(text),
    }?;
    Some(Stamped { step, at })
}

/// Parts `[   12.345678] text` (also `[   12.345678][    T1] text`) in its time and its text.
fn stamp(line: &str) -> (Option<Duration>, &str) {
    let parsed = line.strip_prefix('[').and_then(|rest| {
        let (seconds, text) = rest.split_once(']')?;
        // Not `from_secs_f64` on anything: a foreign line may hold `inf`.
        let seconds: f64 = seconds.trim().parse().ok()?;
        Some((Duration::try_from_secs_f64(seconds).ok()?, text.trim_start()))
    });
    match parsed {
        Some((at, text)) => (Some(at), text),
        None => (None, line),
    }
}

fn kernel_step(text: &str) -> Option<Step> {
    if text.starts_with("Linux version ") {
        return Some(Step::Kernel);
    }
    let start = text.find("Kernel panic - not syncing")?;
    Some(Step::Panic(text[start..].to_owned()))
}

fn our_step(text: &str) -> Option<Step> {
    if let Some(mode) = text.strip_prefix("shutdown: ") {
        return Some(Step::Shutdown(mode.to_owned()));
    }
    match text.strip_prefix("boot: ") {
        Some("initramfs") => return Some(Step::Initramfs),
        Some("init") => return Some(Step::Init),
        Some(_) | None => {}
    }
    let (service, what) = text.strip_prefix("service ")?.split_once(": ")?;
    let service = service.to_owned();
    match what {
        "starting" => Some(Step::Starting(service)),
        "ready" => Some(Step::Ready(service)),
        _ => {
            let why = what.strip_prefix("exited (")?;
            let why = why.rfind(')').map_or(why, |end| &why[..end]).to_owned();
            Some(Step::Exited { service, why })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(text: &str) -> Vec<Step> {
        Console::default().feed(text.as_bytes()).into_iter().map(|stamped| stamped.step).collect()
    }

    #[test]
    fn a_boot_is_read_in_order_with_its_times() {
        let mut console = Console::default();
        let mut found =
            console.feed(b"\x1b[2J\x1b[1;1HSeaBIOS\r\n[    0.000000] Linux version 6.12.1 (gcc)\r\n[    1.5");
        found.extend(console.feed(b"00] orlop: boot: initramfs\r\n[    1.750] orlop: boot: init\r\n"));
        found.extend(
            console
                .feed(b"[    2.000] orlop: service machined: starting\n[    3.250] orlop: service machined: ready\n"),
        );
        let expected = [
            (Step::Kernel, 0),
            (Step::Initramfs, 1500),
            (Step::Init, 1750),
            (Step::Starting("machined".into()), 2000),
            (Step::Ready("machined".into()), 3250),
        ];
        let found: Vec<_> = found.into_iter().map(|stamped| (stamped.step, stamped.at.unwrap().as_millis())).collect();
        assert_eq!(found, expected);
        assert_eq!(console.tail(9)[0], "SeaBIOS");
    }

    #[test]
    fn ends_and_shutdown_carry_their_reasons() {
        assert_eq!(
            steps(
                "[ 9.1] orlop: service store: exited (signal 9 (SIGKILL))\n[ 9.2] orlop: shutdown: power-off (machine API: admin)\n"
            ),
            [
                Step::Exited { service: "store".into(), why: "signal 9 (SIGKILL)".into() },
                Step::Shutdown("power-off (machine API: admin)".into()),
            ]
        );
    }

    #[test]
    fn a_panic_is_seen_wherever_it_stands() {
        assert_eq!(
            steps("[    3.1] ---[ end Kernel panic - not syncing: VFS: no root ]---\n"),
            [Step::Panic("Kernel panic - not syncing: VFS: no root ]---".into())]
        );
    }

    #[test]
    fn other_text_is_no_step() {
        assert_eq!(
            steps("orlop says service x: ready\n[ inf] orlop: service : odd\n[ -1] hello\nservice a: ready\n"),
            []
        );
    }

    #[test]
    fn a_line_that_went_through_the_kernel_log_is_read_too() {
        let stamped = Console::default().feed(b"[    4.000000] [    3.990] orlop: boot: init\n");
        assert_eq!(stamped[0].step, Step::Init);
    }

    #[test]
    fn memory_is_bounded_whatever_the_guest_sends() {
        let mut console = Console::default();
        console.feed(&vec![b'x'; LONGEST_LINE * (KEPT_LINES + 10)]);
        assert_eq!(console.tail(1000).len(), KEPT_LINES + 1);
        assert!(console.tail(1000).iter().all(|line| line.len() <= LONGEST_LINE));
    }

    #[test]
    fn the_tail_shows_a_line_that_never_ended() {
        let mut console = Console::default();
        console.feed(b"one\ntwo\nhang");
        assert_eq!(console.tail(2), ["two", "hang"]);
    }
}
