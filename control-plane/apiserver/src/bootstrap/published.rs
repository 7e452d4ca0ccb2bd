//! What a server tells others in config maps: whose certificates it takes, and since when it tracks the tokens that have no end.

use std::collections::BTreeSet;
use std::sync::Arc;

use apiserver_core::Object;
use serde_json::json;

use super::{BootstrapError, adjust, ensure};
use crate::app::App;
use crate::hooks::Hook;

const NAMESPACE: &str = "kube-system";
const AUTHENTICATION: &str = "extension-apiserver-authentication";
const CLIENT_CA: [&str; 2] = ["data", "client-ca-file"];
const TRACKING: &str = "kube-apiserver-legacy-service-account-token-tracking";
const END: &str = "-----END CERTIFICATE-----";

/// Makes both what they should be.
pub(super) async fn keep(app: &Arc<App>) -> Result<(), BootstrapError> {
    authentication(app).await?;
    app.hooks.done(Hook::ClusterAuthentication);
    tracking(app).await?;
    app.hooks.done(Hook::TokenTracking);
    Ok(())
}

/// Publishes the authorities of clients. Those of other servers stay.
async fn authentication(app: &Arc<App>) -> Result<(), BootstrapError> {
    let Some(row) = app.core_row("configmaps") else { return Ok(()) };
    // A file that cannot be read now was read at the start, and what was published then stays.
    let Ok(own) = tokio::fs::read_to_string(&app.options.client_ca).await else { return Ok(()) };
    let own = joined(&[&own]);
    let fresh = json!({ "metadata": { "name": AUTHENTICATION }, "data": { (CLIENT_CA[1]): own } });
    ensure(app, Some(row), Some(NAMESPACE), fresh).await?;
    let wanted = |old: &Object| joined(&[old.text(&CLIENT_CA).unwrap_or_default(), &own]);
    let right = |old: &Object| old.text(&CLIENT_CA) == Some(wanted(old).as_str());
    let cached = app.cache(row).and_then(|cache| cache.get(&row.key(Some(NAMESPACE), AUTHENTICATION)));
    if cached.and_then(|cached| cached.tree().ok()).is_some_and(|known| right(&known)) {
        return Ok(());
    }
    adjust(app, row, Some(NAMESPACE), AUTHENTICATION, |old, _| {
        let mut new = old.clone();
        new.set(&CLIENT_CA, wanted(old));
        (!right(old)).then_some(new)
    })
    .await
}

/// The certificates of all texts, each once.
fn joined(texts: &[&str]) -> String {
    let mut seen = BTreeSet::new();
    texts
        .iter()
        .flat_map(|text| text.split_inclusive(END))
        .filter_map(|block| Some(block[block.find("-----BEGIN CERTIFICATE-----")?..].to_owned() + "\n"))
        .filter(|block| block.trim_end().ends_with(END) && seen.insert(block.clone()))
        .collect()
}

/// Notes the day the first server began to track.
async fn tracking(app: &Arc<App>) -> Result<(), BootstrapError> {
    let today = jiff::Timestamp::now().strftime("%Y-%m-%d").to_string();
    let map = json!({ "metadata": { "name": TRACKING }, "data": { "since": today } });
    ensure(app, app.core_row("configmaps"), Some(NAMESPACE), map).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_are_joined_once_each() {
        let block = |body: &str| format!("-----BEGIN CERTIFICATE-----\n{body}\n{END}\n");
        let (a, b) = (block("AAAA"), block("BBBB"));
        assert_eq!(joined(&[&a]), a);
        assert_eq!(joined(&[&format!("words\n{a}{b}"), &a]), format!("{a}{b}"));
        assert_eq!(joined(&["", "no certificate", "-----BEGIN CERTIFICATE-----\ncut"]), "");
    }
}
