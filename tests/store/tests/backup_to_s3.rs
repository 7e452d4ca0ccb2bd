//! Backups in an object store that takes the protocol at its word.

use std::time::{Duration, Instant};

use tests_store::backup::{Backup, backed_up, picture};
use tests_store::metrics::figure;
use tests_store::object_store::{KEY, ObjectStore, REGION, SECRET, TOKEN};
use tests_store::{Client, DEADLINE, Kind, Server};

const FAST: &str = "--backup-interval=100ms";

/// A store, and a backup in it.
async fn bucket(prefix: &str) -> (ObjectStore, Backup) {
    let store = ObjectStore::start().await;
    let (url, endpoint) = (format!("s3://bucket{prefix}"), store.endpoint());
    let backup = Backup::elsewhere(
        &url,
        &[
            ("AWS_ACCESS_KEY_ID", KEY),
            ("AWS_SECRET_ACCESS_KEY", SECRET),
            ("AWS_SESSION_TOKEN", TOKEN),
            ("AWS_ENDPOINT_URL", &endpoint),
        ],
    );
    (store, backup)
}

/// A server that backs up there; its credentials are in a file.
async fn server(store: &ObjectStore, backup: &Backup, extra: &[&str]) -> Server {
    let file = backup.scratch("credentials");
    let text = format!(
        "[default]\naws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\naws_session_token = {TOKEN}\n"
    );
    std::fs::write(&file, text).expect("write the credentials");
    let credentials = format!("--backup-s3-credentials-file={}", file.display());
    let (endpoint, region) =
        (format!("--backup-s3-endpoint={}", store.endpoint()), format!("--backup-s3-region={REGION}"));
    let flags = [&backup.flag()[..], FAST, &endpoint, &region, &credentials];
    Server::start_with(Kind::Ours, &[&flags[..], extra].concat()).await
}

async fn fill(client: &mut Client, count: usize) {
    for index in 0..count {
        client.put(&format!("k/{}", index % 50), &format!("{index}/").repeat(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_holds_a_backup_as_a_folder_does() {
    for prefix in ["", "/some/where"] {
        let (store, backup) = bucket(prefix).await;
        let server = server(&store, &backup, &["--backup-snapshot-interval=1s", "--backup-retention=2s"]).await;
        let mut client = server.client().await;
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(4) {
            fill(&mut client, 20).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        backed_up(&server).await;
        assert!(store.keys().iter().all(|key| key.starts_with(prefix.trim_start_matches('/'))));
        assert!(store.keys().len() > 7, "there are several pages");
        let removed = figure(&server.file(""), &server.endpoint(), "orlop_store_backup_removed_objects_total");
        assert!(removed > Some(0.0), "{removed:?}");
        backup.run(&["verify"]);
        let copy = backup.restored(&[]).await;
        assert_eq!(picture(&mut copy.client().await).await, picture(&mut client).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_large_goes_up_in_parts() {
    let (store, backup) = bucket("").await;
    let server = server(&store, &backup, &["--backup-snapshot-interval=3s"]).await;
    let mut client = server.client().await;
    let value = "0123456789abcdef".repeat(50_000);
    for index in 0..50 {
        client.put(&format!("large/{index}"), &value).await;
    }
    let deadline = Instant::now() + DEADLINE;
    let snapshots = || store.keys().iter().filter(|key| key.contains("snapshot-")).count();
    while snapshots() < 2 {
        assert!(Instant::now() < deadline, "no second snapshot: {}", server.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    backed_up(&server).await;
    let proven = backup.run(&["verify"]);
    assert!(proven.contains(", 1, "), "{proven}");
    assert_eq!(store.open_uploads(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_fails_for_a_while_delays_the_backup() {
    let (store, backup) = bucket("").await;
    let server = server(&store, &backup, &[]).await;
    let mut client = server.client().await;
    fill(&mut client, 50).await;
    backed_up(&server).await;
    // Once so little that sending again helps, once so much that the round fails.
    for failures in [2, 10] {
        let before = store.requests();
        store.fail(failures);
        fill(&mut client, 50).await;
        backed_up(&server).await;
        assert!(store.requests() > before + failures, "the failures were met");
    }
    let failed = figure(&server.file(""), &server.endpoint(), "orlop_store_backup_failures_total");
    assert!(failed >= Some(1.0), "{failed:?}");
    backup.run(&["verify"]);
    let copy = backup.restored(&[]).await;
    assert_eq!(picture(&mut copy.client().await).await, picture(&mut client).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_secret_is_refused_and_told() {
    let (store, backup) = bucket("").await;
    let endpoint = store.endpoint();
    let wrong = Backup::elsewhere(
        "s3://bucket",
        &[
            ("AWS_ACCESS_KEY_ID", KEY),
            ("AWS_SECRET_ACCESS_KEY", "guessed"),
            ("AWS_SESSION_TOKEN", TOKEN),
            ("AWS_ENDPOINT_URL", &endpoint),
        ],
    );
    let problem = wrong.fail(&["list"]);
    assert!(problem.contains("403") && problem.contains("SignatureDoesNotMatch"), "{problem}");
    assert!(backup.fail(&["list"]).contains("there is no backup"));
    let elsewhere = Backup::elsewhere(
        "s3://other",
        &[
            ("AWS_ACCESS_KEY_ID", KEY),
            ("AWS_SECRET_ACCESS_KEY", SECRET),
            ("AWS_SESSION_TOKEN", TOKEN),
            ("AWS_ENDPOINT_URL", &endpoint),
        ],
    );
    assert!(elsewhere.fail(&["list"]).contains("NoSuchBucket"));
}
