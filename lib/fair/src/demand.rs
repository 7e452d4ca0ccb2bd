//! How many seats a level could have used: over a period, and smoothed over many.

use crate::moment::Moment;

/// How slowly a demand that went down is forgotten: half of it in five minutes of ten-second periods.
const MEMORY: f64 = 0.977;

/// The seats wanted, followed over time.
#[derive(Debug, Clone, Copy, Default)]
pub struct Demand {
    at: Moment,
    wanted: f64,
    seconds: f64,
    sum: f64,
    squares: f64,
    most: f64,
}

/// What a demand was in a period.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Observed {
    /// Length of the period in seconds.
    pub seconds: f64,
    /// Mean over time.
    pub average: f64,
    /// Standard deviation over time.
    pub deviation: f64,
    /// The most at any moment.
    pub most: f64,
}

impl Demand {
    /// From `now` on, `wanted` seats could be used.
    pub fn set(&mut self, now: Moment, wanted: u64) {
        self.advance(now);
        self.wanted = wanted as f64;
        self.most = self.most.max(self.wanted);
    }

    /// Ends the period, tells what it was, and begins the next.
    pub fn take(&mut self, now: Moment) -> Observed {
        self.advance(now);
        let mut observed = Observed { seconds: self.seconds, most: self.most, ..Observed::default() };
        if self.seconds > 0.0 {
            observed.average = self.sum / self.seconds;
            let variance = self.squares / self.seconds - observed.average * observed.average;
            observed.deviation = variance.max(0.0).sqrt();
        }
        *self = Self { at: self.at, wanted: self.wanted, most: self.wanted, ..Self::default() };
        observed
    }

    fn advance(&mut self, now: Moment) {
        let seconds = now.since(self.at).as_secs_f64();
        self.at = self.at.max(now);
        self.seconds += seconds;
        self.sum += self.wanted * seconds;
        self.squares += self.wanted * self.wanted * seconds;
    }
}

/// A demand as borrowing sees it: up at once, down slowly.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Smoothed {
    /// The last period.
    pub last: Observed,
    /// The smoothed demand.
    pub seats: f64,
}

impl Smoothed {
    /// Takes in a period. One without length says nothing but the most.
    pub fn update(&mut self, observed: Observed) {
        self.last.most = observed.most;
        if observed.seconds <= 0.0 {
            return;
        }
        self.last = observed;
        let envelope = observed.average + observed.deviation;
        self.seats = envelope.max(MEMORY * self.seats + (1.0 - MEMORY) * envelope);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn at(seconds: u64) -> Moment {
        Moment::after(Duration::from_secs(seconds))
    }

    #[test]
    fn a_period_is_weighed_by_time() {
        let mut demand = Demand::default();
        demand.set(at(0), 4);
        demand.set(at(3), 0);
        let observed = demand.take(at(4));
        assert_eq!((observed.seconds, observed.average, observed.most), (4.0, 3.0, 4.0));
        assert!((observed.deviation - 3.0_f64.sqrt()).abs() < 1e-9);
        assert_eq!(demand.take(at(5)), Observed { seconds: 1.0, ..Observed::default() });
    }

    #[test]
    fn a_demand_comes_up_at_once_and_goes_down_slowly() {
        let mut smoothed = Smoothed::default();
        smoothed.update(Observed { seconds: 10.0, average: 8.0, deviation: 2.0, most: 12.0 });
        assert!((smoothed.seats - 10.0).abs() < 1e-9);
        for _ in 0..30 {
            smoothed.update(Observed { seconds: 10.0, ..Observed::default() });
        }
        assert!((4.8..5.2).contains(&smoothed.seats), "{}", smoothed.seats);
    }
}
