//! The list of behaviours (`tests/api/conformance.txt`).

use std::collections::BTreeMap;

/// How far a behaviour holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State<'a> {
    /// Whole: this test shows it.
    Green(&'a str),
    /// The part that an API server shows by itself: this test shows it.
    Part(&'a str),
    /// It waits for this.
    Waits(&'a str),
}

/// One behaviour of upstream's.
#[derive(Debug)]
pub struct Entry<'a> {
    /// Upstream's file below `test/e2e`.
    pub file: &'a str,
    /// What a cluster needs for it: `a` an API server, `b` controllers as well, `h` also nodes that report, `c` nodes that run.
    pub class: char,
    /// Upstream's name.
    pub name: &'a str,
    /// How far it holds here.
    pub state: State<'a>,
}

/// How many behaviours a file has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Count {
    /// Of class `a`.
    pub needs_a_server: usize,
    /// Of any class that hold whole.
    pub green: usize,
    /// Of any class that hold as far as an API server goes.
    pub part: usize,
}

/// The whole list.
#[derive(Debug, Default)]
pub struct List<'a> {
    /// What it says of each file.
    pub counts: BTreeMap<&'a str, Count>,
    /// What it says of each behaviour.
    pub entries: Vec<Entry<'a>>,
}

impl<'a> List<'a> {
    /// Reads a list. A line from the left margin is a file and its counts; below it stand its behaviours.
    ///
    /// # Errors
    ///
    /// The first line that is none of these.
    pub fn parse(text: &'a str) -> Result<Self, String> {
        let mut list = Self::default();
        let mut file = "";
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            if let Some(entry) = line.strip_prefix("  ") {
                list.entries.push(Self::entry(file, entry).ok_or_else(|| format!("no behaviour: {line}"))?);
            } else {
                let count;
                (file, count) = Self::head(line).ok_or_else(|| format!("no file: {line}"))?;
                if list.counts.insert(file, count).is_some() {
                    return Err(format!("a second time: {line}"));
                }
            }
        }
        Ok(list)
    }

    fn head(line: &'a str) -> Option<(&'a str, Count)> {
        let mut words = line.split_whitespace();
        let file = words.next()?;
        let mut number = |label: &str| words.next()?.strip_prefix(label)?.strip_prefix('=')?.parse().ok();
        let count = Count { needs_a_server: number("a")?, green: number("green")?, part: number("part")? };
        words.next().is_none().then_some((file, count))
    }

    fn entry(file: &'a str, line: &'a str) -> Option<Entry<'a>> {
        let mut columns = line.split(" | ").map(str::trim);
        let (class, name, state, what) = (columns.next()?, columns.next()?, columns.next()?, columns.next()?);
        let state = match state {
            "green" => State::Green(what),
            "part" => State::Part(what),
            "waits" => State::Waits(what),
            _ => return None,
        };
        let class = class.chars().next().filter(|class| "abhc".contains(*class))?;
        (!file.is_empty() && columns.next().is_none()).then_some(Entry { file, class, name, state })
    }

    /// What the entries amount to, file by file.
    pub fn counted(&self) -> BTreeMap<&'a str, Count> {
        let mut counts = BTreeMap::<&str, Count>::new();
        for entry in &self.entries {
            let count = counts.entry(entry.file).or_default();
            count.needs_a_server += usize::from(entry.class == 'a');
            match entry.state {
                State::Green(_) => count.green += 1,
                State::Part(_) => count.part += 1,
                State::Waits(_) => {}
            }
        }
        counts
    }

    /// The tests that are said to show something.
    pub fn tests(&self) -> impl Iterator<Item = &'a str> {
        self.entries.iter().filter_map(|entry| match entry.state {
            State::Green(test) | State::Part(test) => Some(test),
            State::Waits(_) => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# note\n\na/b.go a=1 green=1 part=1\n  a | one | green | a::b::one\n  h | two | part | a::b::two\nc.go a=1 green=0 part=0\n  a | three | waits | rain\n";

    #[test]
    fn counts_are_what_the_entries_amount_to() {
        let list = List::parse(TEXT).unwrap();
        assert_eq!(list.counts, list.counted());
        assert_eq!(list.tests().collect::<Vec<_>>(), ["a::b::one", "a::b::two"]);
        for (from, to) in [("green=1", "green=2"), ("  h | two | part | a::b::two\n", ""), ("a | three", "b | three")] {
            let text = TEXT.replace(from, to);
            let list = List::parse(&text).unwrap();
            assert_ne!(list.counts, list.counted(), "{to}");
        }
    }

    #[test]
    fn a_line_that_says_nothing_is_refused() {
        for wrong in [
            "  a | before any file | green | a::b",
            "a.go a=1 green=0",
            "a.go a=1 green=0 part=0 more",
            "a.go a=1 green=0 part=0\n  x | class | green | a::b",
            "a.go a=1 green=0 part=0\n  a | state | blue | a::b",
            "a.go a=1 green=0 part=0\n  a | too few | green",
            "a.go a=1 green=0 part=0\na.go a=1 green=0 part=0",
        ] {
            assert!(List::parse(wrong).is_err(), "{wrong}");
        }
    }
}
