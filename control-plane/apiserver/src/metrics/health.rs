//! How often each check of health passed, for `/metrics/slis`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};

use super::head;

#[derive(Debug, Default, Clone, Copy)]
struct Checked {
    passed: bool,
    passes: u64,
    failures: u64,
}

/// The checks that were made.
#[derive(Debug, Default)]
pub(crate) struct HealthMetrics(Mutex<BTreeMap<(&'static str, &'static str), Checked>>);

impl HealthMetrics {
    /// A check of an endpoint passed or not.
    pub(crate) fn checked(&self, endpoint: &'static str, name: &'static str, passed: bool) {
        let mut checks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let checked = checks.entry((name, endpoint)).or_default();
        checked.passed = passed;
        *(if passed { &mut checked.passes } else { &mut checked.failures }) += 1;
    }

    /// The page.
    pub(crate) fn render(&self) -> String {
        let checks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut out = String::new();
        head(&mut out, "kubernetes_healthcheck", "gauge", "Whether a check passed when it was last made.");
        for ((name, endpoint), checked) in checks.iter() {
            let passed = u8::from(checked.passed);
            let _ = writeln!(out, "kubernetes_healthcheck{{name=\"{name}\",type=\"{endpoint}\"}} {passed}");
        }
        head(&mut out, "kubernetes_healthchecks_total", "counter", "Checks by their outcome.");
        for ((name, endpoint), checked) in checks.iter() {
            for (status, count) in [("error", checked.failures), ("success", checked.passes)] {
                if count > 0 {
                    let labels = format!("name=\"{name}\",status=\"{status}\",type=\"{endpoint}\"");
                    let _ = writeln!(out, "kubernetes_healthchecks_total{{{labels}}} {count}");
                }
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_are_counted_by_outcome() {
        let health = HealthMetrics::default();
        health.checked("readyz", "ping", true);
        health.checked("readyz", "etcd", true);
        health.checked("readyz", "etcd", false);
        let page = health.render();
        for line in [
            "kubernetes_healthcheck{name=\"etcd\",type=\"readyz\"} 0\n",
            "kubernetes_healthcheck{name=\"ping\",type=\"readyz\"} 1\n",
            "kubernetes_healthchecks_total{name=\"etcd\",status=\"error\",type=\"readyz\"} 1\n",
            "kubernetes_healthchecks_total{name=\"etcd\",status=\"success\",type=\"readyz\"} 1\n",
        ] {
            assert!(page.contains(line), "{page}");
        }
        assert!(!page.contains("name=\"ping\",status=\"error\""));
    }
}
