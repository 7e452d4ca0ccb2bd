//! Continuous backup: what was live at a moment comes back, whatever happened to the member, the leader or the target.

use std::fs;
use std::time::{Duration, Instant};

use proto::etcdserverpb::request_op::Request;
use proto::etcdserverpb::{
    CompactionRequest, DeleteRangeRequest, LeaseGrantRequest, LeaseRevokeRequest, PutRequest, RequestOp, TxnRequest,
};
use tests_store::backup::{Backup, Picture, backed_up, cluster_backed_up, picture};
use tests_store::dice::Dice;
use tests_store::etcdctl::{Etcdctl, NEW};
use tests_store::metrics::figure;
use tests_store::{Client, Cluster, DEADLINE, Kind, Server, run, run_with};

const FAST: &str = "--backup-interval=100ms";
const MANY_SNAPSHOTS: &str = "--backup-snapshot-interval=1s";

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

fn put_op(key: String, value: String) -> RequestOp {
    let put = PutRequest { key: key.into(), value: value.into(), ..PutRequest::default() };
    RequestOp { request: Some(Request::RequestPut(put)) }
}

/// One change of some kind.
async fn change(client: &mut Client, dice: &mut Dice, leases: &mut Vec<i64>) {
    let key = format!("k/{:02}", dice.below(40));
    let value = format!("{:x}", dice.below(u64::MAX)).repeat(dice.below(20) as usize + 1);
    match dice.below(12) {
        0 => {
            let end = format!("k/{:02}", dice.below(40));
            let range = DeleteRangeRequest { key: key.into(), range_end: end.into(), prev_kv: false };
            client.delete_request(range).await.expect("delete");
        }
        1 => drop(client.delete(&key).await),
        2 => {
            let id = dice.below(1 << 40) as i64 + 1;
            client.lease.lease_grant(LeaseGrantRequest { ttl: 3600, id }).await.expect("grant");
            leases.push(id);
        }
        3 if leases.len() > 2 => {
            let id = leases.swap_remove(dice.below(leases.len() as u64) as usize);
            client.lease.lease_revoke(LeaseRevokeRequest { id }).await.expect("revoke");
        }
        4..7 if !leases.is_empty() => {
            let lease = leases[dice.below(leases.len() as u64) as usize];
            let put = PutRequest { key: key.into(), value: value.into(), lease, ..PutRequest::default() };
            client.put_request(put).await.expect("put");
        }
        7 => {
            let ops = vec![put_op(key, value.clone()), put_op(format!("t/{}", dice.below(9)), value)];
            client.txn(TxnRequest { success: ops, ..TxnRequest::default() }).await.expect("txn");
        }
        _ => drop(client.put(&key, &value).await),
    }
}

#[test]
fn every_revision_can_be_restored() {
    let backup = Backup::in_a_folder();
    run_with(Kind::Ours, &[&backup.flag(), FAST, MANY_SNAPSHOTS], async |server| {
        let mut client = server.client().await;
        let mut dice = Dice::new(11);
        let (mut leases, mut pictures) = (Vec::new(), Vec::<Picture>::new());
        for round in 0..400 {
            change(&mut client, &mut dice, &mut leases).await;
            let seen = picture(&mut client).await;
            // The last moment at a revision is what a restore to it brings.
            pictures.retain(|other| other.revision != seen.revision);
            pictures.push(seen);
            if round % 100 == 99 {
                let revision = pictures[pictures.len() - 20].revision;
                client.kv.compact(CompactionRequest { revision, physical: true }).await.expect("compact");
                tokio::time::sleep(Duration::from_millis(400)).await;
            }
        }
        backed_up(&server).await;
        let status = backup.run(&["status", "-w", "json"]);
        assert!(status.contains("\"missing\":null"), "{status}");
        let first: i64 = status.split("\"fromRevision\":").nth(1).unwrap().split(',').next().unwrap().parse().unwrap();
        pictures.retain(|seen| seen.revision > first);
        let last = pictures.last().unwrap().clone();
        for _ in 0..5 {
            let expected = &pictures[dice.below(pictures.len() as u64) as usize];
            let copy = backup.restored(&["--to-revision", &expected.revision.to_string()]).await;
            assert_eq!(&picture(&mut copy.client().await).await, expected);
        }
        let mut copy = backup.restored(&[]).await;
        let mut other = copy.client().await;
        assert_eq!(picture(&mut other).await, last);
        // It is a member as any other.
        assert_eq!(other.put("after", "1").await, last.revision + 1);
        copy.kill();
        copy.restart().await;
        assert_eq!(copy.client().await.value("after").await.as_deref(), Some("1"));
        let data = backup.scratch("nothing").display().to_string();
        let beyond = (last.revision + 1).to_string();
        let problem = backup.fail(&["restore", "--data-dir", &data, "--to-revision", &beyond]);
        assert!(problem.contains(&format!("the backup ends at revision {}", last.revision)), "{problem}");
        assert!(!backup.scratch("nothing/member").exists());
        let problem = backup.fail(&["restore", "--data-dir", &data, "--to-revision", &(first - 1).to_string()]);
        assert!(problem.contains("the backup begins later"), "{problem}");
        let proven = backup.run(&["verify"]);
        let compared: usize = proven.split(", ").nth(2).unwrap().parse().unwrap();
        assert!(compared >= 2, "{proven}");
        assert_eq!(backup.objects("").iter().filter(|path| !path.to_string_lossy().contains(".partial")).count(), {
            let listed = backup.run(&["list"]);
            listed.lines().count()
        });
    });
}

#[test]
fn a_moment_can_be_restored_and_the_revision_moved() {
    let backup = Backup::in_a_folder();
    run_with(Kind::Ours, &[&backup.flag(), FAST], async |server| {
        let mut client = server.client().await;
        client.put("p/good", "1").await;
        backed_up(&server).await;
        let good = picture(&mut client).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        let now = std::process::Command::new("date").args(["-u", "+%FT%T.%3NZ"]).output().expect("date is there");
        let now = String::from_utf8_lossy(&now.stdout).trim().to_owned();
        tokio::time::sleep(Duration::from_millis(500)).await;
        client.delete("p/good").await;
        client.put("p/bad", "1").await;
        backed_up(&server).await;
        let copy = backup.restored(&["--to-time", &now]).await;
        assert_eq!(picture(&mut copy.client().await).await, good);
        let moved = ["--to-time", &now, "--bump-revision", "1000", "--mark-compacted"];
        let copy = backup.restored(&moved).await;
        let seen = picture(&mut copy.client().await).await;
        assert_eq!((seen.revision, &seen.keys), (good.revision + 1000, &good.keys));
        let data = backup.scratch("early").display().to_string();
        let problem = backup.fail(&["restore", "--data-dir", &data, "--to-time", "2001-01-01T00:00:00Z"]);
        assert!(problem.contains("the backup begins later"), "{problem}");
    });
}

#[test]
fn a_member_that_is_killed_goes_on_with_its_backup() {
    let backup = Backup::in_a_folder();
    run_with(Kind::Ours, &[&backup.flag(), FAST, MANY_SNAPSHOTS], async |mut server: Server| {
        let mut dice = Dice::new(23);
        for round in 0..6 {
            let mut client = server.client().await;
            let until = Instant::now() + Duration::from_millis(150 + dice.below(500));
            while Instant::now() < until {
                client.put(&format!("{round}/{}", dice.below(100)), &"v".repeat(2000)).await;
            }
            server.kill();
            server.restart().await;
        }
        backed_up(&server).await;
        let chains =
            fs::read_dir(fs::read_dir(backup.path()).unwrap().next().unwrap().unwrap().path()).unwrap().count();
        assert_eq!(chains, 1, "nothing was lost, so nothing begins anew");
        backup.run(&["verify"]);
        let copy = backup.restored(&[]).await;
        let (live, copied) = (picture(&mut server.client().await).await, picture(&mut copy.client().await).await);
        assert_eq!(copied, live);
    });
}

#[test]
fn the_store_goes_on_when_its_target_fails() {
    let backup = Backup::in_a_folder();
    // Where the folder is to be, there is a file.
    fs::write(backup.path(), "").unwrap();
    run_with(Kind::Ours, &[&backup.flag(), FAST], async |server| {
        let mut client = server.client().await;
        let failures = || figure(&server.file(""), &server.endpoint(), "orlop_store_backup_failures_total");
        let deadline = Instant::now() + DEADLINE;
        while failures() < Some(1.0) {
            client.put("k", "v").await;
            assert!(Instant::now() < deadline, "no failure is counted");
        }
        assert!(server.log().contains("the backup falls behind"), "{}", server.log());
        let lag = figure(&server.file(""), &server.endpoint(), "orlop_store_backup_lag_seconds");
        assert!(lag > Some(0.0), "{lag:?}");
        fs::remove_file(backup.path()).unwrap();
        backed_up(&server).await;
        let copy = backup.restored(&[]).await;
        assert_eq!(picture(&mut copy.client().await).await, picture(&mut client).await);
    });
}

#[test]
fn what_is_damaged_missing_or_foreign_is_found_and_named() {
    let backup = Backup::in_a_folder();
    run_with(Kind::Ours, &[&backup.flag(), FAST, MANY_SNAPSHOTS], async |server| {
        let mut client = server.client().await;
        let until = Instant::now() + Duration::from_millis(2500);
        while Instant::now() < until {
            client.put("k", "v").await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        backed_up(&server).await;
    });
    backup.run(&["verify"]);
    let segments = backup.objects("segment-");
    assert!(segments.len() > 4, "{segments:?}");
    let victim = &segments[segments.len() / 2];
    let name = victim.file_name().unwrap().to_string_lossy().into_owned();
    let whole = fs::read(victim).unwrap();

    let mut damaged = whole.clone();
    damaged[whole.len() / 2] ^= 1;
    fs::write(victim, &damaged).unwrap();
    let problem = backup.fail(&["verify"]);
    assert!(problem.contains(&name) && problem.contains("damaged"), "{problem}");
    fs::write(victim, &whole[..whole.len() - 1]).unwrap();
    let problem = backup.fail(&["verify"]);
    assert!(problem.contains(&name) && problem.contains("damaged"), "{problem}");

    fs::write(victim, fs::read(&segments[0]).unwrap()).unwrap();
    let problem = backup.fail(&["verify"]);
    assert!(problem.contains(&name) && problem.contains("it holds other entries"), "{problem}");

    fs::remove_file(victim).unwrap();
    let problem = backup.fail(&["verify"]);
    let first: u64 = name.split('-').nth(1).unwrap().parse().unwrap();
    assert!(problem.contains(&format!("the entries {first} to ")) && problem.contains("are missing"), "{problem}");
    assert!(backup.run(&["status"]).contains(&format!("entries {first} to ")));
    fs::write(victim, &whole).unwrap();
    backup.run(&["verify"]);

    let snapshot = backup.objects("snapshot-").pop().unwrap();
    let mut damaged = fs::read(&snapshot).unwrap();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    fs::write(&snapshot, damaged).unwrap();
    let problem = backup.fail(&["verify"]);
    let name = snapshot.file_name().unwrap().to_string_lossy().into_owned();
    assert!(problem.contains(&name) && problem.contains("sha256"), "{problem}");
}

#[test]
fn what_no_restore_needs_any_more_goes() {
    let backup = Backup::in_a_folder();
    run_with(Kind::Ours, &[&backup.flag(), FAST, MANY_SNAPSHOTS, "--backup-retention=2s"], async |server| {
        let mut client = server.client().await;
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(6) {
            client.put("k", "v").await;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        backed_up(&server).await;
        let removed = figure(&server.file(""), &server.endpoint(), "orlop_store_backup_removed_objects_total");
        assert!(removed > Some(4.0), "{removed:?}");
        let snapshots = backup.objects("snapshot-").len();
        assert!((1..=5).contains(&snapshots), "{snapshots} snapshots are kept");
        assert!(!backup.objects("segment-0000000000000002-").iter().any(|path| path.exists()));
        backup.run(&["verify"]);
        let copy = backup.restored(&[]).await;
        assert_eq!(picture(&mut copy.client().await).await, picture(&mut client).await);
    });
}

#[test]
fn a_new_leader_goes_on_with_the_backup() {
    let backup = Backup::in_a_folder();
    runtime().block_on(async {
        let mut cluster = Cluster::start(Kind::Ours, 3, &[&backup.flag(), FAST, MANY_SNAPSHOTS]).await;
        for round in 0..4 {
            let leader = cluster.leader().await;
            let mut client = cluster.client(leader).await;
            for index in 0..150 {
                client.put(&format!("{round}/{index}"), "v").await;
            }
            if round % 2 == 0 {
                // In the middle of it, whatever it is at.
                cluster.kill(leader);
            } else {
                cluster.signal(leader, "TERM");
                cluster.ended(leader).await;
            }
            cluster.leader().await;
            cluster.restart(leader).await;
        }
        cluster_backed_up(&cluster).await;
        let proven = backup.run(&["verify"]);
        assert!(!backup.run(&["status"]).contains("entries "), "nothing is missing");
        let copy = backup.restored(&[]).await;
        let leader = cluster.leader().await;
        let live = picture(&mut cluster.client(leader).await).await;
        assert_eq!(picture(&mut copy.client().await).await, live, "{proven}");
    });
}

/// One restored snapshot, started as all members of a new cluster.
#[test]
fn several_members_restore_the_same_moment() {
    let backup = Backup::in_a_folder();
    run_with(Kind::Ours, &[&backup.flag(), FAST], async |server| {
        let mut client = server.client().await;
        let root = "root";
        client.put("a", "1").await;
        client.lease.lease_grant(LeaseGrantRequest { ttl: 3600, id: 5 }).await.unwrap();
        let put = PutRequest { key: "b".into(), value: "2".into(), lease: 5, ..PutRequest::default() };
        client.put_request(put).await.unwrap();
        for words in [&["user", "add", "root:secret"][..], &["role", "add", root], &["user", "grant-role", root, root]]
        {
            Etcdctl::of(NEW, &server).run(words);
        }
        backed_up(&server).await;
        let expected = picture(&mut client).await;

        let mut cluster = Cluster::prepare(Kind::Ours, 3, &[]);
        let peers: Vec<_> =
            (0..3).map(|index| format!("{}={}", cluster.name(index), cluster.peer_url(index))).collect();
        for index in 0..3 {
            let (data, peers) = (cluster.data(index).display().to_string(), peers.join(","));
            let (name, own) = (cluster.name(index).to_owned(), cluster.peer_url(index));
            let member = ["--name", &name, "--initial-advertise-peer-urls", &own];
            backup.run(&[&["restore", "--data-dir", &data, "--initial-cluster", &peers][..], &member].concat());
        }
        for index in 0..3 {
            cluster.spawn(index);
        }
        for index in 0..3 {
            cluster.wait_until_ready(index).await;
            assert_eq!(picture(&mut cluster.client(index).await).await, expected);
        }
        for index in 0..3 {
            let revision = cluster.client(index).await.put(&format!("new/{index}"), "1").await;
            assert_eq!(revision, expected.revision + 1 + index as i64);
        }
        let leader = cluster.leader().await;
        cluster.kill(leader);
        let other = cluster.leader().await;
        let mut client = cluster.client(other).await;
        assert_eq!(client.put("new/3", "1").await, expected.revision + 4);
        // Users came along.
        let users = client.auth.user_list(proto::etcdserverpb::AuthUserListRequest {}).await.unwrap().into_inner();
        assert_eq!(users.users, [root]);
        cluster.restart(leader).await;
        assert_eq!(cluster.client(leader).await.keys("new/").await.len(), 4);
    });
}

#[test]
fn a_store_that_came_from_etcd_can_be_restored_to_a_point() {
    run(Kind::Etcd, async |etcd: Server| {
        let mut client = etcd.client().await;
        let mut dice = Dice::new(5);
        let mut leases = Vec::new();
        for _ in 0..100 {
            change(&mut client, &mut dice, &mut leases).await;
        }
        let saved = etcd.file("etcd.db").display().to_string();
        Etcdctl::of(NEW, &etcd).run(&["snapshot", "save", &saved]);

        let backup = Backup::in_a_folder();
        let flags = [&backup.flag()[..], FAST, MANY_SNAPSHOTS];
        let ours = Server::start_from(Kind::Ours, &flags, |data, peer| {
            let mut restore = std::process::Command::new(tests_store::program("store"));
            restore.args(["snapshot", "restore", &saved, "--data-dir"]).arg(data);
            restore.arg(format!("--initial-cluster=default={peer}"));
            restore.arg(format!("--initial-advertise-peer-urls={peer}"));
            assert!(restore.output().expect("the store can be run").status.success());
        })
        .await;
        let mut client = ours.client().await;
        let mut pictures = vec![picture(&mut client).await];
        for _ in 0..150 {
            change(&mut client, &mut dice, &mut leases).await;
            let seen = picture(&mut client).await;
            pictures.retain(|other| other.revision != seen.revision);
            pictures.push(seen);
        }
        backed_up(&ours).await;
        backup.run(&["verify"]);
        for expected in [&pictures[pictures.len() / 2], pictures.last().unwrap()] {
            let copy = backup.restored(&["--to-revision", &expected.revision.to_string()]).await;
            assert_eq!(&picture(&mut copy.client().await).await, expected);
        }
        // A restored store has a backup of its own.
        let second = Backup::in_a_folder();
        let copy = backup.restored_with(&[], &[&second.flag(), FAST]).await;
        copy.client().await.put("new", "1").await;
        backed_up(&copy).await;
        second.run(&["verify"]);
    });
}

/// The most memory a process has ever had, in bytes.
fn peak(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) << 10
}

#[test]
fn a_large_history_takes_little_memory() {
    let backup = Backup::in_a_folder();
    run_with(Kind::Ours, &[&backup.flag(), FAST], async |server| {
        let mut client = server.client().await;
        let value = "0123456789abcdef".repeat(50_000);
        for index in 0..400 {
            client.put(&format!("large/{}", index % 10), &value).await;
        }
        backed_up(&server).await;
        let before = peak(server.pid());
        assert!(before < 400 << 20, "the store had {} MiB", before >> 20);
        let data = backup.scratch("restored").display().to_string();
        let mut restore = backup.command(&["restore", "--data-dir", &data]).spawn().expect("the store can be run");
        let mut most = 0;
        while restore.try_wait().unwrap().is_none() {
            most = most.max(peak(restore.id()));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(restore.wait().unwrap().success());
        eprintln!("320 MB of history: the store had {} MiB, the restore {} MiB", before >> 20, most >> 20);
        assert!(most < 240 << 20, "the restore had {} MiB", most >> 20);
    });
}
