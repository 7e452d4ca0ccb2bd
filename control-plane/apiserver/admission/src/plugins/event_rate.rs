//! How many events come in: buckets for all, for each namespace, each user and each thing events are about.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use apiserver_core::{Object, Status};
use serde_json::Value;

use crate::attributes::Attributes;
use crate::facts::Facts;
use crate::plugin::Plugin;
use crate::pods::items;

/// Keys a limit remembers unless it says how many; upstream's.
const CACHE: usize = 4096;

/// Refuses events beyond the limits.
#[derive(Debug)]
pub(super) struct EventRateLimit {
    limits: Vec<Limit>,
}

/// One limit.
#[derive(Debug)]
struct Limit {
    kind: Kind,
    per_second: f64,
    burst: f64,
    remembered: usize,
    buckets: Mutex<HashMap<String, Bucket>>,
}

/// What a limit counts apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Server,
    Namespace,
    User,
    SourceAndObject,
}

impl Kind {
    const ALL: [(&'static str, Self); 4] = [
        ("Server", Self::Server),
        ("Namespace", Self::Namespace),
        ("User", Self::User),
        ("SourceAndObject", Self::SourceAndObject),
    ];

    fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }
}

/// Tokens left, and when they were counted.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: jiff::Timestamp,
}

impl EventRateLimit {
    /// Reads the limits.
    pub(super) fn configured(configuration: &Value) -> Result<Self, String> {
        let limits = items(configuration, "limits");
        if limits.is_empty() {
            return Err("limits: Invalid value: \"[]\": must not be empty".to_owned());
        }
        limits
            .iter()
            .enumerate()
            .map(|(index, limit)| read(limit, index))
            .collect::<Result<_, _>>()
            .map(|limits| Self { limits })
    }
}

fn read(limit: &Value, index: usize) -> Result<Limit, String> {
    let kind = limit.get("type").and_then(Value::as_str).unwrap_or_default();
    let found = Kind::ALL.iter().find(|(name, _)| *name == kind);
    let (_, kind) = *found.ok_or_else(|| format!("limits[{index}].type: Unsupported value: {kind:?}"))?;
    let positive = |member: &str| {
        let value = limit.get(member).and_then(Value::as_f64).unwrap_or(0.0);
        if value > 0.0 {
            Ok(value)
        } else {
            Err(format!("limits[{index}].{member}: Invalid value: {value}: must be positive"))
        }
    };
    let remembered = match limit.get("cacheSize").and_then(Value::as_i64) {
        None | Some(0) => CACHE,
        Some(size) => usize::try_from(size).map_err(|_| format!("limits[{index}].cacheSize: must not be negative"))?,
    };
    Ok(Limit { kind, per_second: positive("qps")?, burst: positive("burst")?, remembered, buckets: Mutex::default() })
}

impl Limit {
    fn key(&self, attributes: &Attributes<'_>, event: &Object) -> String {
        match self.kind {
            Kind::Server => String::new(),
            Kind::Namespace => attributes.namespace.unwrap_or_default().to_owned(),
            Kind::User => attributes.user.name.clone(),
            Kind::SourceAndObject => {
                let source = ["component", "host"].map(|member| ["source", member]);
                let object =
                    ["kind", "namespace", "name", "uid", "apiVersion"].map(|member| ["involvedObject", member]);
                let parts: Vec<&str> =
                    source.iter().chain(&object).map(|path| event.text(path).unwrap_or_default()).collect();
                parts.concat()
            }
        }
    }

    /// Takes a token for a key, if there is one.
    fn take(&self, key: &str, now: jiff::Timestamp) -> bool {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= self.remembered && !buckets.contains_key(key) {
            // Whoever was quiet the longest starts anew.
            if let Some(oldest) = buckets.iter().min_by_key(|(_, bucket)| bucket.at).map(|(key, _)| key.clone()) {
                buckets.remove(&oldest);
            }
        }
        let bucket = buckets.entry(key.to_owned()).or_insert(Bucket { tokens: self.burst, at: now });
        let passed = now.duration_since(bucket.at).as_secs_f64().max(0.0);
        bucket.tokens = (bucket.tokens + passed * self.per_second).min(self.burst);
        bucket.at = now.max(bucket.at);
        let taken = bucket.tokens >= 1.0;
        if taken {
            bucket.tokens -= 1.0;
        }
        taken
    }
}

impl Plugin for EventRateLimit {
    fn name(&self) -> &'static str {
        "EventRateLimit"
    }

    fn concerns(&self, attributes: &Attributes<'_>) -> bool {
        attributes.writes("", "events") && !attributes.dry_run
    }

    fn validate(&self, attributes: &Attributes<'_>, event: Option<&Object>, facts: &dyn Facts) -> Result<(), Status> {
        let Some(event) = event else { return Ok(()) };
        let now = facts.now();
        let refusals: Vec<String> = self
            .limits
            .iter()
            .filter_map(|limit| {
                let key = limit.key(attributes, event);
                let refused = !limit.take(&key, now);
                refused.then(|| format!("limit reached on type {} for key {key}", limit.kind.name()))
            })
            .collect();
        match refusals.as_slice() {
            [] => Ok(()),
            [only] => Err(Status::too_many_requests(only.as_str(), 1)),
            many => Err(Status::too_many_requests(format!("[{}]", many.join(", ")), 1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{World, create};

    #[test]
    fn a_bucket_empties_and_fills() {
        let limit = read(&json!({ "type": "Namespace", "qps": 1, "burst": 2, "cacheSize": 2 }), 0).unwrap();
        let at = |second: i64| jiff::Timestamp::from_second(second).unwrap();
        assert_eq!([limit.take("a", at(0)), limit.take("a", at(0)), limit.take("a", at(0))], [true, true, false]);
        assert!(limit.take("a", at(1)) && !limit.take("a", at(1)));
        assert!(limit.take("b", at(2)) && limit.take("c", at(3)));
        assert_eq!(limit.buckets.lock().unwrap().len(), 2);
    }

    #[test]
    fn events_beyond_a_limit_come_back_later() {
        let plugin =
            EventRateLimit::configured(&json!({ "limits": [{ "type": "User", "qps": 1, "burst": 1 }] })).unwrap();
        let event = || create("", "events").validate(&plugin, json!({}), &World::default());
        assert_eq!(event(), Ok(()));
        assert_eq!(event(), Err("limit reached on type User for key ann".into()));
        for bad in [json!({}), json!({ "limits": [{ "type": "x" }] }), json!({ "limits": [{ "type": "User" }] })] {
            assert!(EventRateLimit::configured(&bad).is_err());
        }
    }
}
