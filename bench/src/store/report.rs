//! Ours beside etcd's, load by load.

use std::time::Duration;

use crate::Table;
use crate::outcome::Outcome;

/// Both outcomes of a load.
#[derive(Debug, Clone)]
pub struct Pair {
    /// What was asked.
    pub load: String,
    /// Ours.
    pub ours: Outcome,
    /// etcd's.
    pub etcd: Outcome,
    /// How many times as fast ours is meant to be.
    pub goal: f64,
}

fn millis(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64() * 1000.0)
}

fn figures(outcome: &Outcome) -> String {
    format!(
        "{:.0}/s, p50 {} p99 {} ms, {:.3} CPU s and {:.0} log flushes per 1000",
        outcome.rate(),
        millis(outcome.p50),
        millis(outcome.p99),
        outcome.cpu_per_thousand(),
        outcome.log_syncs as f64 * 1000.0 / outcome.operations.max(1) as f64,
    )
}

impl Pair {
    /// How many times as fast as etcd ours is.
    pub fn ratio(&self) -> f64 {
        self.ours.rate() / self.etcd.rate().max(f64::EPSILON)
    }

    /// Adds the rows of this load.
    pub fn tell(&self, table: &mut Table) {
        let verdict = if self.ratio() >= self.goal { "" } else { "  MISSED" };
        let cpu = self.ours.cpu_per_thousand() / self.etcd.cpu_per_thousand().max(f64::EPSILON);
        let beside = format!("goal {:.1}x{verdict}; CPU {cpu:.2}x", self.goal);
        table.row(self.load.clone(), format!("{:.2}x", self.ratio()), beside);
        table.row("", "ours", figures(&self.ours));
        table.row("", "etcd", figures(&self.etcd));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missed_goal_is_named() {
        let outcome = |operations| Outcome { operations, elapsed: Duration::from_secs(1), ..Outcome::default() };
        let pair = |goal| Pair { load: "puts".into(), ours: outcome(300), etcd: outcome(200), goal };
        let told = |goal| {
            let mut table = Table::default();
            pair(goal).tell(&mut table);
            table.to_string()
        };
        assert!(told(1.5).contains("1.50x") && !told(1.5).contains("MISSED"));
        assert!(told(2.0).contains("MISSED"));
    }
}
