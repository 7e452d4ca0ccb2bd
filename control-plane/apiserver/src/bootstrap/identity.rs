//! Each server keeps a Lease alive that says it is there, and removes those of servers that are long gone.

use std::sync::{Arc, OnceLock};

use apiserver_core::{Object, Resource, time};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{BootstrapError, adjust, ensure};
use crate::app::App;
use crate::hooks::Hook;
use crate::writes::{self, Writer};

const NAMESPACE: &str = "kube-system";
const LABEL: (&str, &str) = ("apiserver.kubernetes.io/identity", "kube-apiserver");
/// How long a server that is silent counts as there, in seconds.
const DURATION: i64 = 3600;

/// The name of this machine's server, the same after each start.
fn name(hostname: &str) -> String {
    let mut input = Vec::new();
    for part in [hostname, LABEL.1] {
        input.extend_from_slice(&(part.len() as u16).to_be_bytes());
        input.extend_from_slice(part.as_bytes());
    }
    let hash = Sha256::digest(&input);
    format!("apiserver-{}", base32(&hash[..16]))
}

/// Base 32 in lower case, without padding.
fn base32(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let bit = |at: usize| bytes.get(at / 8).map_or(0, |byte| byte >> (7 - at % 8) & 1);
    (0..(bytes.len() * 8).div_ceil(5))
        .map(|digit| (0..5).fold(0, |value, at| value << 1 | bit(digit * 5 + at)))
        .map(|value| char::from(DIGITS[usize::from(value)]))
        .collect()
}

/// Makes the lease of this server, or renews it, and removes the expired ones of others.
pub(super) async fn keep(app: &Arc<App>) -> Result<(), BootstrapError> {
    static HOLDER: OnceLock<String> = OnceLock::new();
    let Some(row) = app.registry.lookup("coordination.k8s.io", "v1", "leases") else { return Ok(()) };
    let system = rustix::system::uname();
    let hostname = system.nodename().to_string_lossy();
    let name = name(&hostname);
    let holder = HOLDER.get_or_init(|| format!("{name}_{}", writes::uuid()));
    let labels = json!({ (LABEL.0): LABEL.1, "kubernetes.io/hostname": hostname });
    let spec =
        |now| json!({ "holderIdentity": holder, "leaseDurationSeconds": DURATION, "renewTime": time::micros(now) });
    if app.cache(row).is_some_and(|cache| cache.get(&row.key(Some(NAMESPACE), &name)).is_some()) {
        adjust(app, row, Some(NAMESPACE), &name, |old, now| {
            let mut new = old.clone();
            new.set(&["metadata", "labels"], labels.clone());
            new.set(&["spec"], spec(now));
            Some(new)
        })
        .await?;
    } else {
        let lease = json!({ "metadata": { "name": name, "labels": labels }, "spec": spec(jiff::Timestamp::now()) });
        ensure(app, Some(row), Some(NAMESPACE), lease).await?;
    }
    app.hooks.done(Hook::Identity);
    collect(app, row).await?;
    app.hooks.done(Hook::IdentityCollector);
    Ok(())
}

/// Removes the leases of servers that are long gone.
async fn collect(app: &Arc<App>, row: &Arc<Resource>) -> Result<(), BootstrapError> {
    let Some(cache) = app.cache(row) else { return Ok(()) };
    let prefix = row.key_prefix(Some(NAMESPACE));
    let user = writes::own_user();
    let writer = Writer { app, row, user: &user, dry_run: false, manager: None, admitted: None };
    for cached in cache.snapshot().range(&prefix, &prefix) {
        let now = jiff::Timestamp::now();
        let gone = |lease: &Object| lease.label(LABEL.0) == Some(LABEL.1) && is_expired(lease, now);
        if cached.label(LABEL.0) != Some(LABEL.1) || !cached.tree().is_ok_and(|lease| gone(&lease)) {
            continue;
        }
        let failed = |source| BootstrapError::Object { what: format!("collect the lease {}", cached.key), source };
        // Its server may be back by now.
        if let Some(live) = writer.live(&cached.key, "get").await.map_err(failed)?
            && gone(&live.object)
        {
            tracing::info!(key = %cached.key, "the lease of a server that is gone is removed");
            writer.delete(&cached.key, &live).await.map_err(failed)?;
        }
    }
    Ok(())
}

/// Whether nobody renewed a lease in its time. One that was never renewed, or does not say for how long it holds, is nobody's.
fn is_expired(lease: &Object, now: jiff::Timestamp) -> bool {
    let renewed = lease.text(&["spec", "renewTime"]).and_then(time::parse);
    let duration = lease.at(&["spec", "leaseDurationSeconds"]).and_then(Value::as_i64);
    match (renewed, duration) {
        (Some(renewed), Some(duration)) => renewed.as_second().saturating_add(duration) < now.as_second(),
        (None, _) | (_, None) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_upstreams() {
        // RFC 4648's own examples, in lower case and without padding.
        for (bytes, text) in [("", ""), ("f", "my"), ("fo", "mzxq"), ("foob", "mzxw6yq"), ("foobar", "mzxw6ytboi")] {
            assert_eq!(base32(bytes.as_bytes()), text);
        }
        let name = name("node-1");
        assert_eq!((name.len(), name.starts_with("apiserver-")), ("apiserver-".len() + 26, true), "{name}");
    }

    #[test]
    fn a_lease_expires_when_it_is_not_renewed() {
        let now: jiff::Timestamp = "2026-08-01T10:00:00Z".parse().unwrap();
        let expired = |spec: Value| is_expired(&Object::from_value(json!({ "spec": spec })).unwrap(), now);
        let at = |renewed: &str| json!({ "renewTime": renewed, "leaseDurationSeconds": 3600 });
        assert!(expired(at("2026-08-01T08:59:59.000000Z")));
        assert!(!expired(at("2026-08-01T09:00:01.000000Z")));
        assert!(expired(json!({ "renewTime": "2026-08-01T09:59:59.000000Z" })));
        assert!(expired(json!({})));
    }
}
