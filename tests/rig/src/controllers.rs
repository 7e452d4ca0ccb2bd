//! What a cluster's controllers do that the API server alone is never seen without: every namespace has the account that pods
//! run as, and storage that nobody uses may go.

use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

use crate::https::Client;

/// How long to wait before asking again a server that does not answer.
const PAUSE: std::time::Duration = std::time::Duration::from_millis(50);
/// Where protected storage is.
const STORAGE: [&str; 3] =
    ["/api/v1/persistentvolumeclaims", "/api/v1/persistentvolumes", "/apis/storage.k8s.io/v1/volumeattributesclasses"];

/// The controllers of a cluster, in a runtime of their own: a test may leave its own one idle. Dropping them ends them.
pub(crate) struct Controllers(Option<Runtime>);

impl Drop for Controllers {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Makes what a fresh cluster has, then keeps at it.
pub(crate) async fn start(client: &Client) -> Controllers {
    account(client, "default").await;
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("start a runtime");
    for path in ["/api/v1/namespaces"].into_iter().chain(STORAGE) {
        runtime.spawn(follow(client.clone(), path));
    }
    Controllers(Some(runtime))
}

/// Looks at every object of a path, now and whenever one changes.
async fn follow(client: Client, path: &'static str) {
    loop {
        let _ = round(&client, path).await;
        tokio::time::sleep(PAUSE).await;
    }
}

async fn round(client: &Client, path: &'static str) -> std::io::Result<()> {
    let listed = client.try_send("GET", path, &[], "").await?;
    let list: Value = serde_json::from_slice(&listed.body).map_err(std::io::Error::other)?;
    for object in list["items"].as_array().into_iter().flatten() {
        look(client, path, object).await;
    }
    let version = list["metadata"]["resourceVersion"].as_str().unwrap_or_default();
    let mut connection = client.connect(false).await?;
    let mut body =
        connection.open("GET", &format!("{path}?watch=1&resourceVersion={version}"), &[], "").await?.into_body();
    let mut read = Vec::new();
    while let Some(frame) = body.frame().await {
        read.extend_from_slice(&frame.map_err(std::io::Error::other)?.into_data().unwrap_or_default());
        while let Some(end) = read.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = read.drain(..=end).collect();
            let event: Value = serde_json::from_slice(&line).map_err(std::io::Error::other)?;
            if event["type"] != "DELETED" {
                look(client, path, &event["object"]).await;
            }
        }
    }
    Ok(())
}

async fn look(client: &Client, path: &str, object: &Value) {
    let deleting = !object["metadata"]["deletionTimestamp"].is_null();
    match (path, deleting) {
        ("/api/v1/namespaces", false) => account(client, text(object, "name")).await,
        ("/api/v1/namespaces", true) | (_, false) => {}
        (_, true) => release(client, path, object).await,
    }
}

fn text<'a>(object: &'a Value, member: &str) -> &'a str {
    object["metadata"][member].as_str().unwrap_or_default()
}

async fn account(client: &Client, namespace: &str) {
    let account = json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": "default" } });
    let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts");
    let _ = client.try_send("POST", &path, &[("content-type", "application/json")], account.to_string()).await;
}

/// Takes away the finalizer that keeps storage which is used: nothing uses any here.
async fn release(client: &Client, path: &str, object: &Value) {
    let kept: Vec<&Value> = object["metadata"]["finalizers"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|one| !one.as_str().unwrap_or_default().ends_with("-protection"))
        .collect();
    let (head, plural) = path.rsplit_once('/').unwrap_or_default();
    let namespace = text(object, "namespace");
    let middle = if namespace.is_empty() { String::new() } else { format!("/namespaces/{namespace}") };
    let path = format!("{head}{middle}/{plural}/{}", text(object, "name"));
    let patch = json!({ "metadata": { "finalizers": kept, "uid": text(object, "uid") } });
    let _ =
        client.try_send("PATCH", &path, &[("content-type", "application/merge-patch+json")], patch.to_string()).await;
}
