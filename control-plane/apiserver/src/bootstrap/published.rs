//! What a server tells others in config maps: whose certificates it takes, and since when it tracks the tokens that have no end.

use std::collections::BTreeSet;
use std::sync::Arc;

use apiserver_core::Object;
use serde_json::{Map, Value, json};

use super::{BootstrapError, adjust, ensure};
use crate::app::App;
use crate::authentication::options::FrontProxyOptions;
use crate::hooks::Hook;

const NAMESPACE: &str = "kube-system";
const AUTHENTICATION: &str = "extension-apiserver-authentication";
const CLIENT_CA: &str = "client-ca-file";
const PROXY_CA: &str = "requestheader-client-ca-file";
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
    let mut certificates = vec![(CLIENT_CA, joined(&[&own]))];
    let mut lists = Vec::new();
    if let Some(proxy) = &app.options.authentication.front_proxy {
        let Ok(authority) = tokio::fs::read_to_string(&proxy.authority).await else { return Ok(()) };
        certificates.push((PROXY_CA, joined(&[&authority])));
        lists = header_lists(proxy);
    }
    // What is there and what this server adds to it.
    let wanted = |old: &Object| -> Vec<(&'static str, String)> {
        let known = |name: &str| old.text(&["data", name]).unwrap_or_default().to_owned();
        let certificates = certificates.iter().map(|(name, own)| (*name, joined(&[&known(name), own])));
        certificates.chain(lists.iter().map(|(name, own)| (*name, united(&known(name), own)))).collect()
    };
    let right = |old: &Object| wanted(old).iter().all(|(name, text)| old.text(&["data", name]) == Some(text.as_str()));
    let data: Map<String, Value> =
        wanted(&Object::default()).into_iter().map(|(name, text)| (name.to_owned(), text.into())).collect();
    let fresh = json!({ "metadata": { "name": AUTHENTICATION }, "data": data });
    ensure(app, Some(row), Some(NAMESPACE), fresh).await?;
    let cached = app.cache(row).and_then(|cache| cache.get(&row.key(Some(NAMESPACE), AUTHENTICATION)));
    if cached.and_then(|cached| cached.tree().ok()).is_some_and(|known| right(&known)) {
        return Ok(());
    }
    adjust(app, row, Some(NAMESPACE), AUTHENTICATION, |old, _| {
        let mut new = old.clone();
        for (name, text) in wanted(old) {
            new.set(&["data", name], text);
        }
        (!right(old)).then_some(new)
    })
    .await
}

/// The names of front proxies and of the headers they use.
fn header_lists(proxy: &FrontProxyOptions) -> Vec<(&'static str, Vec<String>)> {
    let names = &proxy.written;
    vec![
        ("requestheader-allowed-names", proxy.allowed.clone()),
        ("requestheader-extra-headers-prefix", names.extra.clone()),
        ("requestheader-group-headers", names.group.clone()),
        ("requestheader-uid-headers", names.uid.clone()),
        ("requestheader-username-headers", names.user.clone()),
    ]
}

/// A list in JSON, and what is not in it yet.
fn united(known: &str, own: &[String]) -> String {
    let mut all: Vec<String> = serde_json::from_str(known).unwrap_or_default();
    for one in own {
        if !all.contains(one) {
            all.push(one.clone());
        }
    }
    json!(all).to_string()
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
    fn lists_are_united() {
        let own = ["a".to_owned(), "c".to_owned()];
        assert_eq!(united(r#"["a","b"]"#, &own), r#"["a","b","c"]"#);
        assert_eq!(united("", &own), r#"["a","c"]"#);
    }

    #[test]
    fn certificates_are_joined_once_each() {
        let block = |body: &str| format!("-----BEGIN CERTIFICATE-----\n{body}\n{END}\n");
        let (a, b) = (block("AAAA"), block("BBBB"));
        assert_eq!(joined(&[&a]), a);
        assert_eq!(joined(&[&format!("words\n{a}{b}"), &a]), format!("{a}{b}"));
        assert_eq!(joined(&["", "no certificate", "-----BEGIN CERTIFICATE-----\ncut"]), "");
    }
}
