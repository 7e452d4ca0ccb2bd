//! When to ask those who are turned away to come back.

use std::collections::VecDeque;

/// The longest wait asked for, in seconds; also how far back refusals count.
const LONGEST: u64 = 32;

/// The refusals of the last seconds, and the wait they call for: doubled while many are refused, shortened by one second when
/// few are.
#[derive(Debug, Clone)]
pub struct Pressure {
    /// Refusals by second, the oldest first; the last entry is still being counted.
    history: VecDeque<(u64, u64)>,
    wait: u64,
    raised: u64,
}

impl Default for Pressure {
    fn default() -> Self {
        Self { history: VecDeque::new(), wait: 1, raised: 0 }
    }
}

impl Pressure {
    /// A request is refused in `second`. Returns how many seconds its client is to stay away.
    pub fn refused(&mut self, second: u64) -> u64 {
        match self.history.back_mut() {
            Some((last, count)) if *last >= second => *count += 1,
            _ => {
                self.adjust(second);
                self.history.push_back((second, 1));
                self.history.retain(|(then, _)| second - then <= LONGEST);
            }
        }
        self.wait
    }

    fn adjust(&mut self, second: u64) {
        let recent = |then: u64| second.saturating_sub(then) <= self.wait;
        let refused: u64 = self.history.iter().filter(|(then, _)| recent(*then)).map(|(_, count)| count).sum();
        if second.saturating_sub(self.raised) >= self.wait && refused >= 3 * self.wait {
            self.wait = (self.wait * 2).min(LONGEST);
            self.raised = second;
        } else if refused < self.wait && self.wait > 1 {
            self.wait -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_refusals_send_clients_away_for_longer_and_few_for_shorter() {
        let mut pressure = Pressure::default();
        let mut wait = 0;
        for second in 100..200 {
            for _ in 0..200 {
                wait = pressure.refused(second);
            }
        }
        assert_eq!(wait, LONGEST);
        for second in (0..40).map(|step| 1000 + 40 * step) {
            wait = pressure.refused(second);
        }
        assert_eq!(wait, 1);
    }
}
