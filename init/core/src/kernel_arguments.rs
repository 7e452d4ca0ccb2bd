//! The kernel arguments that are ours: `orlop.<key>=<value>`, and the kernel's `panic=` where we follow it.
//!
//! [`KEYS`] is the one list of known keys. PID 1 acts on some of them; other programs read the rest from the command line
//! themselves, and PID 1 only tells the operator about keys that nobody knows.

use std::time::Duration;

use crate::console::Level;

/// A key that some part of the system understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// The word after `orlop.`.
    pub name: &'static str,
    /// What it does, for a person.
    pub meaning: &'static str,
}

/// All known keys.
pub const KEYS: [Key; 2] = [
    Key { name: "disk", meaning: "read by machined: name of the disk that may be formatted, without /dev/" },
    Key { name: "log", meaning: "what the console shows and services log: off, error, warn, info, debug or trace" },
];

/// How long a message stays on the console before a machine that cannot boot starts again.
const DEFAULT_PANIC_DELAY: Duration = Duration::from_secs(10);

/// The longest delay: a larger number in `panic=` is more likely a slip than a wish.
const PANIC_DELAY_LIMIT: Duration = Duration::from_hours(1);

/// What to do when the machine cannot boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PanicPolicy {
    /// Show the message, wait, start again.
    RebootAfter(Duration),
    /// Stay as it is, with the message on the console (`panic=0`).
    Halt,
}

/// What the command line says, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelArguments {
    /// What the console shows.
    pub log: Level,
    /// What to do when the machine cannot boot.
    pub panic: PanicPolicy,
    /// One sentence for each argument of ours that is unknown or malformed. Those arguments have no effect.
    pub problems: Vec<String>,
}

impl KernelArguments {
    /// Reads the content of `/proc/cmdline`. The last of several arguments with the same key wins, as in the kernel.
    #[must_use]
    pub fn parse(command_line: &str) -> Self {
        let mut found =
            Self { log: Level::default(), panic: PanicPolicy::RebootAfter(DEFAULT_PANIC_DELAY), problems: Vec::new() };
        for argument in split(command_line) {
            let (key, value) = match argument.split_once('=') {
                Some((key, value)) => (key, Some(value)),
                None => (argument.as_str(), None),
            };
            if key == "panic" {
                // The kernel itself complains about a malformed one.
                if let Some(seconds) = value.and_then(|value| value.parse::<i64>().ok()) {
                    found.panic = panic_policy(seconds);
                }
            } else if let Some(name) = key.strip_prefix("orlop.") {
                found.take(name, value);
            }
        }
        found
    }

    fn take(&mut self, name: &str, value: Option<&str>) {
        let shown = crate::log::printable(name, 64);
        if !KEYS.iter().any(|key| key.name == name) {
            self.problems.push(format!("kernel argument orlop.{shown} is unknown and ignored"));
            return;
        }
        let Some(value) = value else {
            self.problems.push(format!("kernel argument orlop.{shown} has no value and is ignored"));
            return;
        };
        if name == "log" {
            match value.parse() {
                Ok(level) => self.log = level,
                Err(error) => {
                    let value = crate::log::printable(value, 64);
                    self.problems.push(format!("kernel argument orlop.log is ignored: {value:?} {error}"));
                }
            }
        }
    }
}

fn panic_policy(seconds: i64) -> PanicPolicy {
    match u64::try_from(seconds) {
        Ok(0) => PanicPolicy::Halt,
        Ok(seconds) => PanicPolicy::RebootAfter(Duration::from_secs(seconds).min(PANIC_DELAY_LIMIT)),
        Err(_) => PanicPolicy::RebootAfter(Duration::ZERO),
    }
}

/// Splits at white space outside double quotes and removes the quotes, as the kernel does. What follows a lone `--` is not
/// for the kernel, but for PID 1's own command line, and is left out.
fn split(command_line: &str) -> Vec<String> {
    let mut arguments = Vec::new();
    let (mut word, mut quoted, mut begun) = (String::new(), false, false);
    for character in command_line.chars().chain(std::iter::once(' ')) {
        match character {
            '"' => (quoted, begun) = (!quoted, true),
            white if white.is_ascii_whitespace() && !quoted => {
                if std::mem::take(&mut begun) {
                    arguments.push(std::mem::take(&mut word));
                }
            }
            other => {
                begun = true;
                word.push(other);
            }
        }
    }
    // An unclosed quote swallowed the end mark: the rest is one argument.
    if begun {
        arguments.push(word.trim_end().to_owned());
    }
    if let Some(end) = arguments.iter().position(|argument| argument == "--") {
        arguments.truncate(end);
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_arguments_are_left_alone() {
        let parsed = KernelArguments::parse("console=ttyS0 quiet root=/dev/vda1 panic=oops orlop\n");
        assert_eq!(parsed.problems, Vec::<String>::new());
        assert_eq!(parsed.log, Level::Info);
        assert_eq!(parsed.panic, PanicPolicy::RebootAfter(DEFAULT_PANIC_DELAY));
    }

    #[test]
    fn the_last_good_value_wins_and_bad_ones_are_named() {
        let parsed = KernelArguments::parse(
            "orlop.disk=vda orlop.log=warn orlop.log=\"debug\" orlop.log=loud orlop.log orlop.lgo=1 orlop.=2",
        );
        assert_eq!(parsed.log, Level::Debug);
        assert_eq!(
            parsed.problems,
            [
                "kernel argument orlop.log is ignored: \"loud\" is none of off, error, warn, info, debug, trace",
                "kernel argument orlop.log has no value and is ignored",
                "kernel argument orlop.lgo is unknown and ignored",
                "kernel argument orlop. is unknown and ignored",
            ]
        );
    }

    #[test]
    fn the_kernels_panic_argument_is_followed() {
        let policy = |text| KernelArguments::parse(text).panic;
        assert_eq!(policy("panic=0"), PanicPolicy::Halt);
        assert_eq!(policy("panic=-1"), PanicPolicy::RebootAfter(Duration::ZERO));
        assert_eq!(policy("panic=30"), PanicPolicy::RebootAfter(Duration::from_secs(30)));
        assert_eq!(policy("panic=99999999"), PanicPolicy::RebootAfter(PANIC_DELAY_LIMIT));
    }

    #[test]
    fn quotes_and_the_end_of_the_kernels_part() {
        assert_eq!(split("a \"b c\"d  e=\"f g\" -- orlop.x=1"), ["a", "b cd", "e=f g"]);
        assert_eq!(split("a \"b c"), ["a", "b c"]);
        assert_eq!(split(" \n"), Vec::<String>::new());
    }
}
