//! When which entry had been applied, as a member has seen it.

use std::collections::VecDeque;

use super::Moment;
use crate::Revision;

/// Looks that are remembered. At five a second: almost two hours of a target that cannot be reached. Entries older than that
/// get the time of the oldest look.
const MOST: usize = 32_768;

/// One look at the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// The last entry that had been applied.
    pub index: u64,
    /// Where the state stood behind it.
    pub revision: Revision,
    /// When this was.
    pub time: Moment,
}

/// The looks so far, at rising entries and never falling times.
#[derive(Debug, Default)]
pub struct Marks(VecDeque<Mark>);

impl Marks {
    /// Remembers a look, if anything has been applied since the last one. A clock that was set back stands still here.
    pub fn push(&mut self, mark: Mark) {
        let time = match self.0.back() {
            Some(last) if last.index >= mark.index => return,
            Some(last) => last.time.max(mark.time),
            None => mark.time,
        };
        if self.0.len() == MOST {
            self.0.pop_front();
        }
        self.0.push_back(Mark { time, ..mark });
    }

    /// The first look that found the entry applied.
    #[must_use]
    pub fn of(&self, index: u64) -> Option<Mark> {
        let at = self.0.partition_point(|mark| mark.index < index);
        self.0.get(at).copied()
    }

    /// The last look.
    #[must_use]
    pub fn newest(&self) -> Option<Mark> {
        self.0.back().copied()
    }

    /// Forgets looks at entries up to `index`, except the last one.
    pub fn forget(&mut self, index: u64) {
        while self.0.len() > 1 && self.0.front().is_some_and(|mark| mark.index <= index) {
            self.0.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(index: u64, time: i64) -> Mark {
        Mark { index, revision: Revision(index as i64 + 1), time: Moment(time) }
    }

    #[test]
    fn an_entry_was_applied_before_the_first_look_that_found_it() {
        let mut marks = Marks::default();
        assert_eq!(marks.of(1), None);
        for (index, time) in [(5, 100), (5, 200), (9, 300), (12, 250), (20, 400)] {
            marks.push(mark(index, time));
        }
        let times: Vec<_> = [1, 5, 6, 9, 10, 12, 20].map(|index| marks.of(index).unwrap().time.0).into();
        assert_eq!(times, [100, 100, 300, 300, 300, 300, 400], "the clock that was set back stood still");
        assert_eq!(marks.of(21), None);
        marks.forget(9);
        assert_eq!(marks.of(1), Some(mark(12, 300)));
        marks.forget(100);
        assert_eq!(marks.newest(), Some(mark(20, 400)));
    }

    #[test]
    fn the_number_of_looks_is_bounded() {
        let mut marks = Marks::default();
        for index in 0..MOST as u64 + 10 {
            marks.push(mark(index, index as i64));
        }
        assert_eq!(marks.0.len(), MOST);
        assert_eq!(marks.of(0).unwrap().index, 10);
    }
}
