//! Snapshots: saved by etcd's own tools, restored by etcd's and by ours, in every direction.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use proto::etcdserverpb::request_op::Request;
use proto::etcdserverpb::{
    CompactionRequest, DeleteRangeRequest, HashKvRequest, LeaseGrantRequest, LeaseLeasesRequest, LeaseRevokeRequest,
    LeaseTimeToLiveRequest, PutRequest, RequestOp, SnapshotRequest, TxnRequest,
};
use proto::mvccpb::{Event, KeyValue};
use tests_store::etcdctl::{Etcdctl, NEW, OLD};
use tests_store::{Client, Kind, Server, conformance, program, range_of_prefix, run, run_with, within};

const BOTH: [Kind; 2] = [Kind::Etcd, Kind::Ours];

/// Ends with success, or the test fails with what it printed.
fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (out, problems) = texts(&output);
    assert!(output.status.success(), "{command:?}: {out}{problems}");
    out
}

/// Fails; what it says of it.
fn fail(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (out, problems) = texts(&output);
    assert!(!output.status.success(), "{command:?}: {out}");
    problems
}

fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

fn save_with(program: &'static str, server: &Server, name: &str) -> PathBuf {
    let path = server.file(name);
    succeed(Etcdctl::of(program, server).command().args(["snapshot", "save"]).arg(&path));
    path
}

fn save(server: &Server) -> PathBuf {
    save_with(NEW, server, "snapshot.db")
}

/// The program that restores for this kind of server.
fn tool(kind: Kind) -> Command {
    match kind {
        Kind::Etcd | Kind::Old => Command::new("etcdutl"),
        Kind::Ours => Command::new(program("store")),
    }
}

fn restore(kind: Kind, snapshot: &Path, data: &Path, peer: &str, extra: &[&str]) -> Command {
    let mut command = tool(kind);
    command.args(["snapshot", "restore"]).arg(snapshot).arg("--data-dir").arg(data).args(["--name", "default"]);
    command.arg(format!("--initial-cluster=default={peer}")).arg(format!("--initial-advertise-peer-urls={peer}"));
    command.args(["--initial-cluster-token", "restored"]).args(extra);
    command
}

/// A server of this kind on what a snapshot holds.
async fn restored(kind: Kind, snapshot: &Path, extra: &[&str]) -> Server {
    let prepare = |data: &Path, peer: &str| drop(succeed(&mut restore(kind, snapshot, data, peer, extra)));
    Server::start_from(kind, &[], prepare).await
}

fn put_op(key: &'static str, value: &'static str) -> RequestOp {
    let put = PutRequest { key: key.into(), value: value.into(), ..PutRequest::default() };
    RequestOp { request: Some(Request::RequestPut(put)) }
}

async fn put_leased(client: &mut Client, key: &'static str, lease: i64) {
    client
        .put_request(PutRequest { key: key.into(), value: "v".into(), lease, ..PutRequest::default() })
        .await
        .unwrap();
}

/// A history with everything there is: several changes in one revision, deletions, new lives, leases, large values, keys
/// with zero bytes, and a compaction in the middle.
async fn fill(client: &mut Client) {
    for id in [7, 8, 9] {
        client.lease.lease_grant(LeaseGrantRequest { ttl: 3600, id }).await.unwrap();
    }
    for round in 0..3 {
        for index in 0..40 {
            client.put(&format!("p/{index:02}"), &format!("{round}/{index}")).await;
        }
    }
    client.put("p/large", &"x".repeat(300_000)).await;
    client.put("p/large", &"x".repeat(3000)).await;
    client.put("p/\0zero\0", "0").await;
    client.delete("p/03").await;
    put_leased(client, "p/leased", 7).await;
    put_leased(client, "p/moved", 7).await;
    put_leased(client, "p/moved", 8).await;
    put_leased(client, "p/gone", 9).await;
    client.lease.lease_revoke(LeaseRevokeRequest { id: 9 }).await.unwrap();
    let delete = DeleteRangeRequest { key: "p/1".into(), range_end: "p/2".into(), prev_kv: false };
    let delete = RequestOp { request: Some(Request::RequestDeleteRange(delete)) };
    let ops = vec![put_op("p/30", "txn"), delete, put_op("p/new", "txn")];
    client.txn(TxnRequest { success: ops, ..TxnRequest::default() }).await.unwrap();
    client.kv.compact(CompactionRequest { revision: 100, physical: true }).await.unwrap();
    client.put("p/03", "again").await;
    client.delete("p/new").await;
}

/// All a client can see of a history.
#[derive(Debug, PartialEq)]
struct Picture {
    revision: i64,
    compacted: i64,
    hash: u32,
    now: Vec<KeyValue>,
    earlier: Vec<Vec<KeyValue>>,
    events: Vec<Event>,
    leases: Vec<(i64, i64, Vec<String>)>,
}

/// Values that are not for reading.
fn shortened(mut kv: KeyValue) -> KeyValue {
    if kv.value.len() > 100 {
        kv.value = format!("{} bytes", kv.value.len()).into();
    }
    kv
}

async fn picture(server: &Server) -> Picture {
    let mut client = server.client().await;
    let now = client.range(range_of_prefix("")).await.unwrap();
    let revision = now.header.unwrap().revision;
    let now = now.kvs.into_iter().map(shortened).collect();
    let hash = client.maintenance.hash_kv(HashKvRequest { revision }).await.unwrap().into_inner();
    let compacted = hash.compact_revision.max(1);
    let mut earlier = Vec::new();
    for at in [compacted, compacted + 5, compacted + 20].into_iter().filter(|at| *at <= revision) {
        let mut request = range_of_prefix("p/");
        request.revision = at;
        earlier.push(client.range(request).await.unwrap().kvs.into_iter().map(shortened).collect());
    }
    let mut events = Vec::new();
    let mut watcher = client.watch_prefix("p/", compacted).await;
    // The last change is one of these keys.
    while events.last().and_then(|event: &Event| event.kv.as_ref()).is_none_or(|kv| kv.mod_revision < revision) {
        let response = watcher.next().await;
        assert!(!response.canceled, "{response:?}");
        events.extend(response.events);
    }
    for event in &mut events {
        event.kv = event.kv.take().map(shortened);
        event.prev_kv = event.prev_kv.take().map(shortened);
    }
    let mut leases = Vec::new();
    let mut ids: Vec<_> = client
        .lease
        .lease_leases(LeaseLeasesRequest {})
        .await
        .unwrap()
        .into_inner()
        .leases
        .iter()
        .map(|l| l.id)
        .collect();
    ids.sort_unstable();
    for id in ids {
        let request = LeaseTimeToLiveRequest { id, keys: true };
        let lease = client.lease.lease_time_to_live(request).await.unwrap().into_inner();
        let mut keys: Vec<_> = lease.keys.iter().map(|key| String::from_utf8_lossy(key).into_owned()).collect();
        keys.sort();
        assert!(lease.ttl > 3000, "{lease:?}");
        leases.push((id, lease.granted_ttl, keys));
    }
    Picture { revision, compacted, hash: hash.hash, now, earlier, events, leases }
}

conformance!(what_is_saved_can_be_looked_at, async |server| {
    fill(&mut server.client().await).await;
    let path = save(&server);
    let revision = picture(&server).await.revision;
    assert_eq!(fs::metadata(&path).unwrap().len() % 512, 32, "the checksum is at the end");
    for format in ["json", "simple", "fields"] {
        let status = |kind| succeed(tool(kind).args(["snapshot", "status"]).arg(&path).args(["-w", format]));
        let (etcds, ours) = BOTH.map(status).into();
        assert_eq!(etcds, ours, "both tools find the same");
        assert!(etcds.contains(&revision.to_string()), "{etcds}");
    }
});

conformance!(ours_saves_what_etcdctl_saves, async |server| {
    fill(&mut server.client().await).await;
    let path = server.file("ours.db");
    let mut save = Command::new(program("store"));
    save.args(["snapshot", "save"]).arg(&path).arg(format!("--endpoints={}", server.endpoint()));
    let refused = fail(save.arg(format!("--cacert={}", server.file("foreign-ca.crt").display())));
    assert!(refused.contains("connect to") && !path.exists(), "{refused}");
    save.arg(format!("--cacert={}", server.file("ca.crt").display()));
    save.arg(format!("--cert={}", server.file("client.crt").display()));
    let told = succeed(save.arg(format!("--key={}", server.file("client.key").display())));
    assert!(told.contains("Snapshot saved at"), "{told}");
    let status = |path: &Path| succeed(tool(Kind::Etcd).args(["snapshot", "status", "-w", "json"]).arg(path));
    assert_eq!(status(&path), status(&save_with(NEW, &server, "theirs.db")));
});

conformance!(an_old_etcdctl_saves_too, async |server| {
    fill(&mut server.client().await).await;
    let path = save_with(OLD, &server, "old.db");
    let status = |kind| succeed(tool(kind).args(["snapshot", "status", "-w", "json"]).arg(&path));
    assert_eq!(status(Kind::Etcd), status(Kind::Ours));
});

conformance!(a_snapshot_is_restored_by_both, async |server| {
    fill(&mut server.client().await).await;
    let expected = picture(&server).await;
    assert_eq!((expected.compacted, expected.leases.len()), (100, 2));
    assert_eq!(expected.leases[1], (8, 3600, vec!["p/moved".to_owned()]));
    let path = save(&server);
    for kind in BOTH {
        let mut copy = restored(kind, &path, &[]).await;
        assert_eq!(picture(&copy).await, expected, "restored as {kind:?}");
        // It is a member as any other: it takes writes and keeps them.
        let revision = copy.client().await.put("p/after", "1").await;
        assert_eq!(revision, expected.revision + 1);
        copy.kill();
        copy.restart().await;
        let mut client = copy.client().await;
        assert_eq!(client.value("p/after").await.as_deref(), Some("1"));
        let ids = |header: proto::etcdserverpb::ResponseHeader| (header.cluster_id, header.member_id);
        let first = server.client().await.get("a").await.unwrap().header.unwrap();
        let second = client.get("a").await.unwrap().header.unwrap();
        assert!(ids(first).0 != ids(second).0 && ids(first).1 != ids(second).1, "it is another cluster");
    }
});

#[test]
fn a_migration_and_back_changes_nothing() {
    run(Kind::Etcd, async |server: Server| {
        fill(&mut server.client().await).await;
        let expected = picture(&server).await;
        let ours = restored(Kind::Ours, &save(&server), &[]).await;
        assert_eq!(picture(&ours).await, expected);
        let etcd = restored(Kind::Etcd, &save(&ours), &[]).await;
        assert_eq!(picture(&etcd).await, expected);
        // Both go on from there in the same way.
        for server in [&ours, &etcd] {
            let mut client = server.client().await;
            client.put("p/05", "later").await;
            client.delete("p/leased").await;
            client.kv.compact(CompactionRequest { revision: expected.revision + 1, physical: true }).await.unwrap();
        }
        assert_eq!(picture(&ours).await, picture(&etcd).await);
    });
}

#[test]
fn a_snapshot_of_etcd_3_4_is_restored() {
    run_with(Kind::Old, &[], async |server: Server| {
        fill(&mut server.client().await).await;
        let expected = picture(&server).await;
        let ours = restored(Kind::Ours, &save(&server), &[]).await;
        assert_eq!(picture(&ours).await, expected);
    });
}

#[test]
fn an_empty_store_is_restored() {
    for kind in BOTH {
        run(kind, async |server: Server| {
            let path = save(&server);
            for kind in BOTH {
                let copy = restored(kind, &path, &[]).await;
                let mut client = copy.client().await;
                assert_eq!(client.range(range_of_prefix("")).await.unwrap().header.unwrap().revision, 1);
                assert_eq!(client.put("p/a", "1").await, 2);
            }
        });
    }
}

#[test]
fn a_bumped_revision_ends_old_watches() {
    let mut pictures = Vec::new();
    run(Kind::Etcd, async |server: Server| {
        fill(&mut server.client().await).await;
        let before = picture(&server).await.revision;
        let path = save(&server);
        for kind in BOTH {
            let copy = restored(kind, &path, &["--bump-revision", "1000000", "--mark-compacted"]).await;
            let mut client = copy.client().await;
            let now = client.get("p/30").await.unwrap();
            assert_eq!(now.header.unwrap().revision, before + 1_000_000, "{kind:?}");
            assert_eq!(now.kvs[0].value, "txn");
            let mut watcher = client.watch(range_watch(before + 1)).await;
            let created = watcher.next().await;
            let ended = if created.canceled { created } else { watcher.next().await };
            assert!(ended.canceled, "{ended:?}");
            assert_eq!(ended.compact_revision, before + 1_000_000);
            assert_eq!(client.put("p/new", "1").await, before + 1_000_001);
            pictures.push(picture(&copy).await);
            if kind == Kind::Ours {
                // And so it goes on into the next etcd.
                let etcd = restored(Kind::Etcd, &save(&copy), &[]).await;
                pictures.push(picture(&etcd).await);
            }
        }
    });
    assert!(pictures.windows(2).all(|pair| pair[0] == pair[1]), "{pictures:#?}");
}

fn range_watch(start_revision: i64) -> proto::etcdserverpb::WatchCreateRequest {
    let range = range_of_prefix("p/");
    proto::etcdserverpb::WatchCreateRequest {
        key: range.key,
        range_end: range.range_end,
        start_revision,
        ..Default::default()
    }
}

conformance!(a_damaged_snapshot_is_refused, async |server| {
    fill(&mut server.client().await).await;
    let path = save(&server);
    let whole = fs::read(&path).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("data");
    let kind = server.kind();
    let peer = "https://127.0.0.1:1";
    let refused = |bytes: &[u8], extra: &[&str]| {
        fs::write(&path, bytes).unwrap();
        let said = fail(&mut restore(kind, &path, &target, peer, extra));
        // etcd's leaves what it has copied.
        drop(fs::remove_dir_all(&target));
        said
    };
    let mut changed = whole.clone();
    changed[20_000] ^= 1;
    let said = refused(&changed, &[]);
    assert!(said.contains("expected sha256"), "{said}");
    let said = refused(&whole[..whole.len() - 32], &[]);
    assert!(said.contains("snapshot missing hash but --skip-hash-check=false"), "{said}");
    let said = refused(&whole[..8192 + 32], &[]);
    assert!(said.contains("expected sha256"), "{said}");
    if kind == Kind::Ours {
        // etcd takes a file that is cut off, and falls over it later.
        let said = refused(&whole[..8192], &["--skip-hash-check"]);
        assert!(said.contains("the file is cut off"), "{said}");
        let said = refused(&[7; 8192], &["--skip-hash-check"]);
        assert!(said.contains("not a bbolt database"), "{said}");
    }
    fs::write(&path, &whole[..whole.len() - 32]).unwrap();
    succeed(&mut restore(kind, &path, &target, peer, &["--skip-hash-check"]));
    fs::write(&path, &whole).unwrap();
    let said = fail(&mut restore(kind, &path, &target, peer, &[]));
    assert!(said.contains("not empty or could not be read"), "{said}");
    let mut other = tool(kind);
    other.args(["snapshot", "restore"]).arg(&path).arg("--data-dir").arg(target.with_extension("x"));
    let said = fail(other.args(["--name", "other"]));
    assert!(said.contains("couldn't find local name"), "{said}");
});

conformance!(a_snapshot_is_one_moment_of_a_busy_store, async |server| {
    let mut client = server.client().await;
    let mut writer = server.client().await;
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    // Two keys that are equal in every revision.
    let writing = tokio::spawn(async move {
        for index in 0_u64.. {
            if stopped.try_recv().is_ok() {
                return index;
            }
            let value = tonic::codegen::Bytes::from(index.to_string());
            let put = |key: &'static str| RequestOp {
                request: Some(Request::RequestPut(PutRequest {
                    key: key.into(),
                    value: value.clone(),
                    ..Default::default()
                })),
            };
            writer.txn(TxnRequest { success: vec![put("p/a"), put("p/b")], ..TxnRequest::default() }).await.unwrap();
        }
        unreachable!("numbers do not end")
    });
    within("some writes", async {
        while client.get("p/a").await.unwrap().kvs.first().is_none_or(|kv| kv.version < 200) {}
    })
    .await;
    let path = save(&server);
    stop.send(()).unwrap();
    assert!(within("the end of the writer", writing).await.unwrap() >= 200);
    for kind in BOTH {
        let copy = restored(kind, &path, &[]).await;
        let pairs = copy.client().await.range(range_of_prefix("p/")).await.unwrap();
        let revision = pairs.header.unwrap().revision;
        assert!(pairs.kvs.len() == 2 && pairs.kvs[0].value == pairs.kvs[1].value);
        assert!(pairs.kvs.iter().all(|kv| kv.mod_revision == revision && kv.version == revision - 1));
    }
});

/// Everything below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

#[test]
fn a_client_that_goes_away_leaves_nothing_behind() {
    run(Kind::Ours, async |mut server: Server| {
        let mut client = server.client().await;
        for index in 0..40 {
            client.put(&format!("p/{index}"), &"x".repeat(500_000)).await;
        }
        // More clients than may be served at once are told to come back.
        let mut streams = Vec::new();
        let refused = loop {
            match client.maintenance.snapshot(SnapshotRequest {}).await {
                Ok(stream) => streams.push(stream.into_inner()),
                Err(status) => break status,
            }
            assert!(streams.len() < 10, "all are served");
        };
        assert_eq!(refused.message(), "etcdserver: too many requests");
        let first = within("a message", streams[0].message()).await.unwrap().unwrap();
        assert!(first.remaining_bytes > 19_000_000 && !first.blob.is_empty());
        drop(streams);
        within("room for the next one", async {
            while client.maintenance.snapshot(SnapshotRequest {}).await.is_err() {
                tokio::task::yield_now().await;
            }
        })
        .await;
        let held = client.maintenance.snapshot(SnapshotRequest {}).await;
        server.kill();
        drop(held);
        let mentions = |path: &PathBuf| path.to_string_lossy().contains("snapshot");
        assert_eq!(files(&server.data()).into_iter().filter(mentions).collect::<Vec<_>>(), Vec::<PathBuf>::new());
    });
}

/// A file of several levels, written by ours alone: etcd's tool checks every page of it.
#[test]
fn etcds_tool_finds_no_fault_in_a_large_file() {
    use bolt::Writer;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large.db");
    let mut writer = Writer::new(fs::File::create_new(&path).unwrap()).unwrap();
    writer.bucket(b"key").unwrap();
    for index in 0..60_000_i64 {
        let mut key = index.to_be_bytes().to_vec();
        key.push(b'_');
        key.extend_from_slice(&[0; 8]);
        writer
            .put(&key, &vec![7; usize::try_from(index % 97).unwrap() * if index % 5000 == 0 { 1000 } else { 1 }])
            .unwrap();
    }
    for name in ["alarm", "lease", "meta"] {
        writer.bucket(name.as_bytes()).unwrap();
    }
    writer.finish().unwrap();
    let status = |kind| succeed(tool(kind).args(["snapshot", "status", "-w", "json"]).arg(&path));
    let (etcds, ours) = BOTH.map(status).into();
    assert_eq!(etcds, ours);
    assert!(etcds.contains("\"revision\":59999"), "{etcds}");
}

/// Users come along: whoever could log in before can log in afterwards, and may do the same.
#[test]
fn users_and_roles_are_restored() {
    // The name in the certificate does not count.
    let anybody = &["--client-cert-auth=false"];
    for kind in BOTH {
        run_with(kind, anybody, async |server: Server| {
            let as_user = |server: &Server, user: Option<&str>, arguments: &[&str]| {
                let mut command = Etcdctl::of(NEW, server).command();
                command.args(user.map(|user| format!("--user={user}"))).args(arguments);
                command
            };
            let setup: [&[&str]; 9] = [
                &["put", "open/a", "1"],
                &["user", "add", "root:first"],
                &["role", "add", "root"],
                &["user", "grant-role", "root", "root"],
                &["user", "add", "bob:second"],
                &["role", "add", "reader"],
                &["role", "grant-permission", "reader", "--prefix=true", "read", "open/"],
                &["user", "grant-role", "bob", "reader"],
                &["auth", "enable"],
            ];
            for arguments in setup {
                succeed(&mut as_user(&server, None, arguments));
            }
            let root = Some("root:first");
            let status = succeed(&mut as_user(&server, root, &["auth", "status"]));
            let path = server.file("auth.db");
            succeed(as_user(&server, root, &["snapshot", "save"]).arg(&path));
            for kind in BOTH {
                let prepare = |data: &Path, peer: &str| drop(succeed(&mut restore(kind, &path, data, peer, &[])));
                let copy = Server::start_from(kind, anybody, prepare).await;
                assert_eq!(succeed(&mut as_user(&copy, root, &["auth", "status"])), status, "restored as {kind:?}");
                assert_eq!(succeed(&mut as_user(&copy, Some("bob:second"), &["get", "open/a"])), "open/a\n1\n");
                let said = fail(&mut as_user(&copy, Some("bob:second"), &["put", "open/a", "2"]));
                assert!(said.contains("permission denied"), "{said}");
                let said = fail(&mut as_user(&copy, Some("bob:first"), &["get", "open/a"]));
                assert!(said.contains("authentication failed"), "{said}");
                fail(&mut as_user(&copy, None, &["get", "open/a"]));
            }
        });
    }
}

/// The snapshots in a folder, oldest first.
fn snapshots(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> = files(folder);
    found.retain(|path| path.extension().is_some_and(|extension| extension == "db"));
    found.sort();
    found
}

#[test]
fn snapshots_are_made_from_time_to_time() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("snapshots");
    let place = format!("--snapshot-dir={}", target.display());
    run_with(Kind::Ours, &[&place, "--snapshot-interval=1s", "--snapshot-retention=2"], async |server: Server| {
        fill(&mut server.client().await).await;
        let expected = picture(&server).await;
        let latest = format!("-r{}.db", expected.revision);
        let mut seen = Vec::new();
        let whole = |path: &PathBuf| path.to_string_lossy().ends_with(&latest);
        within("a third snapshot, with all that was written", async {
            while seen.len() < 3 || !seen.iter().any(whole) {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                if target.exists() {
                    let fresh: Vec<_> = snapshots(&target).into_iter().filter(|path| !seen.contains(path)).collect();
                    seen.extend(fresh);
                }
            }
        })
        .await;
        let path = folder.path().join("kept");
        fs::copy(snapshots(&target).last().unwrap(), &path).unwrap();
        assert!(snapshots(&target).len() <= 3, "older ones go once a newer one is proven");
        let said = succeed(tool(Kind::Ours).args(["snapshot", "verify"]).arg(&path));
        assert!(said.contains(&format!("revision {}, compacted 100", expected.revision)), "{said}");
        assert!(said.contains(&format!("hash {}", expected.hash)), "{said}");
        for kind in BOTH {
            assert_eq!(picture(&restored(kind, &path, &[]).await).await, expected);
        }
        let mut changed = fs::read(&path).unwrap();
        changed[30_000] ^= 1;
        fs::write(&path, changed).unwrap();
        fail(tool(Kind::Ours).args(["snapshot", "verify"]).arg(&path));
    });
}
