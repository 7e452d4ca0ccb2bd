//! Waiting for a value, with a deadline.

use std::time::{Duration, Instant};

/// How often a value is looked at: short beside anything a person or a test waits for.
const PERIOD: Duration = Duration::from_millis(50);

/// Asks until there is an answer or the deadline has passed. Asks at least once.
pub fn until<T>(deadline: Instant, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        let now = Instant::now();
        if now >= deadline {
            return None;
        }
        std::thread::sleep(PERIOD.min(deadline - now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asks_once_even_when_the_deadline_has_passed() {
        assert_eq!(until(Instant::now(), || Some(3)), Some(3));
        assert_eq!(until(Instant::now(), || None::<u8>), None);
    }

    #[test]
    fn stops_asking_at_the_first_answer() {
        let mut left = 3;
        let answer = until(Instant::now() + Duration::from_mins(1), || {
            left -= 1;
            (left == 0).then_some("here")
        });
        assert_eq!((answer, left), (Some("here"), 0));
    }
}
