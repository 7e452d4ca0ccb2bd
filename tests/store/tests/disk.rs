//! Members whose disk does not answer, or fails: the others go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use proto::etcdserverpb::HashKvRequest;
use tests_disk::Disk;
use tests_store::{Cluster, Kind, run_prepared};

/// Longest wait for what a cluster must do.
const DEADLINE: Duration = Duration::from_secs(30);

/// Three members, each on a disk of its own.
async fn cluster() -> (Cluster, Vec<Disk>) {
    let mut cluster = Cluster::prepare(Kind::Ours, 3, &[]);
    let disks = (0..3).map(|index| cluster.mount(index)).collect();
    for index in 0..3 {
        cluster.spawn(index);
    }
    for index in 0..3 {
        cluster.wait_until_ready(index).await;
    }
    (cluster, disks)
}

/// A client that writes as fast as it is answered, and notes the longest time without an answer.
struct Writer {
    written: Arc<AtomicU64>,
    longest: Arc<AtomicU64>,
}

impl Writer {
    async fn start(cluster: &Cluster, index: usize) -> Self {
        let mut client = cluster.client(index).await;
        let (written, longest) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let (count, gap) = (Arc::clone(&written), Arc::clone(&longest));
        tokio::spawn(async move {
            let mut last = Instant::now();
            loop {
                let value = count.load(Ordering::SeqCst).to_string();
                let request = proto::etcdserverpb::PutRequest {
                    key: format!("w{index}").into(),
                    value: value.into(),
                    ..Default::default()
                };
                match client.kv.put(request).await {
                    Ok(_) => {
                        count.fetch_add(1, Ordering::SeqCst);
                        gap.fetch_max(last.elapsed().as_millis() as u64, Ordering::SeqCst);
                        last = Instant::now();
                    }
                    Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
                }
            }
        });
        Self { written, longest }
    }

    /// Waits until that many more were written.
    async fn goes_on(&self, more: u64) {
        let goal = self.written.load(Ordering::SeqCst) + more;
        let deadline = Instant::now() + DEADLINE;
        while self.written.load(Ordering::SeqCst) < goal {
            assert!(Instant::now() < deadline, "nothing is written");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn leader_is_not(cluster: &Cluster, old: usize) -> usize {
    let deadline = Instant::now() + DEADLINE;
    let id = cluster.id(old).await;
    loop {
        for index in (0..3).filter(|index| *index != old) {
            if let Some(status) = cluster.status(index).await
                && status.leader != 0
                && status.leader != id
            {
                return index;
            }
        }
        assert!(Instant::now() < deadline, "member {old} still leads");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn all_are_equal(cluster: &Cluster) {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let mut hashes = Vec::new();
        for index in 0..3 {
            let mut client = cluster.client(index).await;
            // Serves as a barrier: the member has applied what was written before.
            client.get("barrier").await.expect("a read");
            let hash = client.maintenance.hash_kv(HashKvRequest { revision: 0 }).await.expect("a hash").into_inner();
            hashes.push((hash.hash, hash.hash_revision));
        }
        if hashes.iter().all(|hash| *hash == hashes[0]) {
            return;
        }
        assert!(Instant::now() < deadline, "{hashes:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[test]
fn a_leader_whose_disk_stalls_lets_another_one_lead() {
    run_prepared(async {
        let (cluster, disks) = cluster().await;
        let leader = cluster.leader().await;
        let writer = Writer::start(&cluster, (leader + 1) % 3).await;
        writer.goes_on(50).await;
        let stalled = Instant::now();
        disks[leader].hold_flushes();
        leader_is_not(&cluster, leader).await;
        eprintln!("another one led after {:?}", stalled.elapsed());
        writer.goes_on(100).await;
        let longest = writer.longest.load(Ordering::SeqCst);
        eprintln!("the longest time without a write: {longest} ms");
        assert!(longest < 3000, "writes stood still for {longest} ms");
        disks[leader].resume_flushes();
        writer.goes_on(50).await;
        drop(writer);
        cluster.leader().await;
    });
}

#[test]
fn a_follower_whose_disk_stalls_holds_nobody_up() {
    run_prepared(async {
        let (cluster, disks) = cluster().await;
        let leader = cluster.leader().await;
        let follower = (leader + 1) % 3;
        let writer = Writer::start(&cluster, leader).await;
        writer.goes_on(50).await;
        disks[follower].hold_flushes();
        writer.goes_on(200).await;
        assert_eq!(cluster.leader().await, leader);
        disks[follower].resume_flushes();
        writer.goes_on(50).await;
    });
}

#[test]
fn a_member_whose_disk_fails_ends_and_the_others_go_on() {
    run_prepared(async {
        let (mut cluster, disks) = cluster().await;
        let leader = cluster.leader().await;
        let other = (leader + 1) % 3;
        cluster.client(other).await.put("before", "1").await;
        disks[leader].refuse_flushes();
        // Whoever is asked to write learns that it cannot.
        let mut client = cluster.client(other).await;
        let started = Instant::now();
        loop {
            let request = proto::etcdserverpb::PutRequest { key: "after".into(), ..Default::default() };
            if client.kv.put(request).await.is_ok() {
                break;
            }
            assert!(started.elapsed() < DEADLINE, "nothing is written");
        }
        assert_ne!(cluster.ended(leader).await, Some(0), "{}", cluster.log(leader));
        client.put("more", "1").await;
        cluster.mount(leader);
        cluster.restart(leader).await;
        assert_eq!(cluster.client(leader).await.value("before").await.as_deref(), Some("1"));
        all_are_equal(&cluster).await;
    });
}
