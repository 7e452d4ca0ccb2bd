//! What is counted, in the text form of Prometheus and under the names that dashboards know.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::worker::Counts;

/// All counters of the program.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    queues: Mutex<BTreeMap<&'static str, Arc<Counts>>>,
    leading: AtomicBool,
    lease: String,
}

impl Metrics {
    /// `lease` is the name of the Lease object of the election.
    pub(crate) fn new(lease: String) -> Arc<Self> {
        Arc::new(Self { lease, ..Self::default() })
    }

    /// The counters of a queue; the same ones in every term of leadership.
    pub(crate) fn queue(&self, name: &'static str) -> Arc<Counts> {
        Arc::clone(self.queues.lock().unwrap_or_else(PoisonError::into_inner).entry(name).or_default())
    }

    /// Whether this copy leads.
    pub(crate) fn set_leading(&self, leading: bool) {
        self.leading.store(leading, Ordering::Relaxed);
    }

    /// Everything, as it is scraped.
    pub(crate) fn render(&self) -> String {
        let mut text = String::new();
        // Writing into a String cannot fail.
        let _ = write!(
            text,
            "# TYPE leader_election_master_status gauge\nleader_election_master_status{{name=\"{}\"}} {}\n",
            self.lease,
            u8::from(self.leading.load(Ordering::Relaxed))
        );
        let queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        let mut family = |name: &str, kind: &str, value: fn(&Counts) -> &AtomicU64| {
            let _ = writeln!(text, "# TYPE {name} {kind}");
            for (queue, counts) in queues.iter() {
                let _ = writeln!(text, "{name}{{name=\"{queue}\"}} {}", value(counts).load(Ordering::Relaxed));
            }
        };
        family("workqueue_depth", "gauge", |counts| &counts.depth);
        family("workqueue_adds_total", "counter", |counts| &counts.adds);
        family("workqueue_retries_total", "counter", |counts| &counts.retries);
        family("workqueue_running", "gauge", |counts| &counts.running);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_those_that_dashboards_know() {
        let metrics = Metrics::new("kube-controller-manager".into());
        metrics.queue("namespace").adds.fetch_add(3, Ordering::Relaxed);
        metrics.queue("namespace").depth.store(1, Ordering::Relaxed);
        metrics.set_leading(true);
        let text = metrics.render();
        for line in [
            "leader_election_master_status{name=\"kube-controller-manager\"} 1",
            "workqueue_depth{name=\"namespace\"} 1",
            "workqueue_adds_total{name=\"namespace\"} 3",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }
}
