//! What authentication counts, under upstream's names.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use authentication::Outcome;
use authentication::service_account::Remarks;

use crate::metrics::{Histogram, head};

/// Upper bounds of the durations of authentication, in seconds; upstream's.
const SECONDS: &[f64] =
    &[0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, 4.096, 8.192, 16.384];
/// The same of the cache.
const CACHE_SECONDS: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// The counts.
#[derive(Default)]
pub(crate) struct AuthenticationMetrics {
    tables: Mutex<Tables>,
    fetches: AtomicI64,
    /// Tokens without an audience.
    legacy: AtomicU64,
    /// Tokens on the way from legacy ones, used after the time they say.
    stale: AtomicU64,
    /// The same, used in their time.
    timely: AtomicU64,
    generated: AtomicU64,
    manual: AtomicU64,
    invalidated: AtomicU64,
}

#[derive(Default)]
struct Tables {
    users: BTreeMap<&'static str, u64>,
    attempts: BTreeMap<&'static str, u64>,
    durations: BTreeMap<&'static str, Distribution>,
    requests: BTreeMap<&'static str, (u64, CacheDistribution)>,
    fetches: BTreeMap<&'static str, u64>,
    /// How often the configuration was taken in, and when last, in seconds since 1970.
    reloads: BTreeMap<&'static str, (u64, f64)>,
}

struct Distribution(Histogram);

impl Default for Distribution {
    fn default() -> Self {
        Self(Histogram::new(SECONDS))
    }
}

struct CacheDistribution(Histogram);

impl Default for CacheDistribution {
    fn default() -> Self {
        Self(Histogram::new(CACHE_SECONDS))
    }
}

/// A judgement that is going on.
pub(super) struct Fetching<'a>(&'a AtomicI64);

impl Drop for Fetching<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl AuthenticationMetrics {
    /// A request was authenticated, or not.
    pub(super) fn attempted(&self, outcome: &Outcome, took: Duration) {
        let mut tables = self.tables();
        let result = match outcome {
            Ok(Some(identity)) => {
                *tables.users.entry(compressed(&identity.user.name)).or_default() += 1;
                "success"
            }
            Ok(None) => "failure",
            Err(_) => "error",
        };
        *tables.attempts.entry(result).or_default() += 1;
        tables.durations.entry(result).or_default().0.observe(took.as_secs_f64());
    }

    /// The cache was asked for a token.
    pub(super) fn cache_asked(&self, hit: bool, took: Duration) {
        let mut tables = self.tables();
        let (count, distribution) = tables.requests.entry(if hit { "hit" } else { "miss" }).or_default();
        *count += 1;
        distribution.0.observe(took.as_secs_f64());
    }

    /// A token that was not in the cache was judged.
    pub(super) fn cache_fetched(&self, good: bool) {
        *self.tables().fetches.entry(if good { "ok" } else { "error" }).or_default() += 1;
    }

    /// A token is being judged.
    pub(super) fn fetching(&self) -> Fetching<'_> {
        self.fetches.fetch_add(1, Ordering::Relaxed);
        Fetching(&self.fetches)
    }

    /// The configuration had changed, and was taken in or not.
    pub(super) fn reloaded(&self, good: bool) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let mut tables = self.tables();
        let (count, last) = tables.reloads.entry(if good { "success" } else { "failure" }).or_default();
        *count += 1;
        *last = now.as_secs_f64();
    }

    /// What a token of a service account showed.
    pub(super) fn remarked(&self, remarks: &Remarks) {
        let count = |counter: &AtomicU64| counter.fetch_add(1, Ordering::Relaxed);
        match remarks.stale {
            Some(true) => count(&self.stale),
            Some(false) => count(&self.timely),
            None => 0,
        };
        if let Some(tracked) = &remarks.tracked {
            count(&self.legacy);
            count(match (tracked.invalid, tracked.generated) {
                (true, _) => &self.invalidated,
                (false, true) => &self.generated,
                (false, false) => &self.manual,
            });
        }
    }

    /// Writes the samples.
    pub(crate) fn write(&self, out: &mut String) {
        let tables = self.tables();
        let counters = |out: &mut String, name: &str, label: &str, help: &str, table: &BTreeMap<&'static str, u64>| {
            head(out, name, "counter", help);
            for (value, count) in table {
                let _ = writeln!(out, "{name}{{{label}=\"{value}\"}} {count}");
            }
        };
        counters(out, "authenticated_user_requests", "username", "Requests by who made them.", &tables.users);
        counters(
            out,
            "authentication_attempts",
            "result",
            "Requests by whether their user is known.",
            &tables.attempts,
        );
        let name = "authentication_duration_seconds";
        head(out, name, "histogram", "How long it took to find out who asks.");
        for (result, durations) in &tables.durations {
            durations.0.write(name, &format!("result=\"{result}\""), out);
        }
        let name = "authentication_token_cache_active_fetch_count";
        head(out, name, "gauge", "Tokens being judged.");
        let _ = writeln!(out, "{name}{{status=\"in_flight\"}} {}", self.fetches.load(Ordering::Relaxed));
        counters(out, "authentication_token_cache_fetch_total", "status", "Tokens judged.", &tables.fetches);
        let name = "authentication_token_cache_request_total";
        head(out, name, "counter", "Tokens looked up.");
        for (status, (count, _)) in &tables.requests {
            let _ = writeln!(out, "{name}{{status=\"{status}\"}} {count}");
        }
        let name = "authentication_token_cache_request_duration_seconds";
        head(out, name, "histogram", "How long it took to look up a token.");
        for (status, (_, durations)) in &tables.requests {
            durations.0.write(name, &format!("status=\"{status}\""), out);
        }
        if !tables.reloads.is_empty() {
            let name = "apiserver_authentication_config_controller_automatic_reloads_total";
            head(out, name, "counter", "Changes of the configuration of authentication.");
            for (status, (count, _)) in &tables.reloads {
                let _ = writeln!(out, "{name}{{status=\"{status}\"}} {count}");
            }
            let name = "apiserver_authentication_config_controller_automatic_reload_last_timestamp_seconds";
            head(out, name, "gauge", "When the configuration of authentication changed last.");
            for (status, (_, last)) in &tables.reloads {
                let _ = writeln!(out, "{name}{{status=\"{status}\"}} {last}");
            }
        }
        for (name, help, count) in [
            ("serviceaccount_legacy_tokens_total", "Tokens without an end that were used.", &self.legacy),
            ("serviceaccount_stale_tokens_total", "Tokens used after the time they say.", &self.stale),
            ("serviceaccount_valid_tokens_total", "Tokens used in the time they say.", &self.timely),
            ("serviceaccount_legacy_auto_token_uses_total", "Tokens that a controller made.", &self.generated),
            ("serviceaccount_legacy_manual_token_uses_total", "Tokens in secrets somebody made.", &self.manual),
            ("serviceaccount_invalid_legacy_auto_token_uses_total", "Tokens that were turned off.", &self.invalidated),
        ] {
            head(out, name, "counter", help);
            let _ = writeln!(out, "{name} {}", count.load(Ordering::Relaxed));
        }
    }

    fn tables(&self) -> std::sync::MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The label of a user: a series for each would have no end.
fn compressed(name: &str) -> &'static str {
    const KNOWN: [&str; 5] = ["admin", "client", "kube_proxy", "kubelet", "system:serviceaccount:kube-system:default"];
    match KNOWN.into_iter().find(|known| *known == name) {
        Some(known) => known,
        None if name.contains('@') => "email_id",
        None => "other",
    }
}

#[cfg(test)]
mod tests {
    use apiserver_core::user::User;
    use authentication::{Identity, Refused};

    use super::*;

    #[test]
    fn attempts_are_counted_by_their_end_and_users_by_a_few_names() {
        let metrics = AuthenticationMetrics::default();
        let named = |name: &str| {
            Ok(Some(Identity { user: User { name: name.into(), ..User::default() }, audiences: Vec::new() }))
        };
        for outcome in [named("ann@example.test"), named("bob"), named("kubelet"), Ok(None), Err(Refused::because("x"))]
        {
            metrics.attempted(&outcome, Duration::from_millis(3));
        }
        let mut page = String::new();
        metrics.write(&mut page);
        for line in [
            "authenticated_user_requests{username=\"email_id\"} 1\n",
            "authenticated_user_requests{username=\"kubelet\"} 1\n",
            "authenticated_user_requests{username=\"other\"} 1\n",
            "authentication_attempts{result=\"success\"} 3\n",
            "authentication_attempts{result=\"failure\"} 1\n",
            "authentication_attempts{result=\"error\"} 1\n",
            "authentication_duration_seconds_bucket{result=\"success\",le=\"0.004\"} 3\n",
        ] {
            assert!(page.contains(line), "{line} is not in {page}");
        }
    }
}
