//! Members that hear of each other in one direction only: writes go on, and what was acknowledged stays.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use proto::etcdserverpb::{HashKvRequest, PutRequest};
use tests_store::network::Network;
use tests_store::{Client, Cluster, Kind, run_prepared};

/// Longest wait for a write to be taken by some member.
const DEADLINE: Duration = Duration::from_secs(30);
/// What one member may take for one write before the next is asked: the time of an election. Of the slowest writes this is
/// nearly all: one try at a member that is about to lead, and one at the member that nobody hears.
const PATIENCE: Duration = Duration::from_secs(1);

/// Writes that were acknowledged.
struct Writes {
    clients: Vec<Client>,
    acknowledged: BTreeMap<String, i64>,
    longest: Duration,
}

impl Writes {
    async fn new(cluster: &Cluster) -> Self {
        let mut clients = Vec::new();
        for index in 0..cluster.size() {
            clients.push(cluster.client(index).await);
        }
        Self { clients, acknowledged: BTreeMap::new(), longest: Duration::ZERO }
    }

    /// Writes some keys, each at whichever member takes it.
    async fn some(&mut self, name: &str, count: usize) {
        for number in 0..count {
            let key = format!("{name}/{number}");
            let started = Instant::now();
            let mut tries = Vec::new();
            loop {
                let began = Instant::now();
                let request = PutRequest { key: key.clone().into(), value: "v".into(), ..PutRequest::default() };
                let mut client = self.clients[0].clone();
                if let Ok(Ok(answer)) = tokio::time::timeout(PATIENCE, client.kv.put(request)).await {
                    self.acknowledged.insert(key.clone(), answer.into_inner().header.expect("a header").revision);
                    break;
                }
                tries.push(began.elapsed());
                self.clients.rotate_left(1);
                assert!(started.elapsed() < DEADLINE, "{name}: nothing is written");
            }
            if !tries.is_empty() {
                eprintln!("{key}: {:?} after {tries:?}", started.elapsed());
            }
            self.longest = self.longest.max(started.elapsed());
        }
    }

    /// Every member has everything, in the same way.
    async fn check(&mut self, cluster: &Cluster) {
        let mut hashes = Vec::new();
        for index in 0..cluster.size() {
            let mut client = cluster.client(index).await;
            let started = Instant::now();
            // A read that waits for everything before it; the member may still be catching up.
            while tokio::time::timeout(PATIENCE, client.kv.range(tests_store::range_of_prefix("none")))
                .await
                .is_ok_and(|answer| answer.is_ok())
                .eq(&false)
            {
                assert!(started.elapsed() < DEADLINE, "member {index} does not come back");
            }
            for (key, revision) in &self.acknowledged {
                let found = client.get(key).await.expect("a read");
                let found = found.kvs.first().map(|kv| kv.mod_revision);
                // A write that was tried twice may have been done twice.
                assert!(found >= Some(*revision), "{key} at member {index}: {found:?}, acknowledged at {revision}");
            }
            let hash = client.maintenance.hash_kv(HashKvRequest { revision: 0 }).await.expect("a hash").into_inner();
            hashes.push((hash.hash, hash.hash_revision));
        }
        assert!(hashes.iter().all(|hash| *hash == hashes[0]), "{hashes:?}");
    }
}

#[test]
fn a_network_that_drops_one_direction_stops_nobody() {
    run_prepared(async {
        let mut cluster = Cluster::prepare_in(Some(Network::new(3)), Kind::Ours, 3, &[]);
        for index in 0..3 {
            cluster.spawn(index);
        }
        for index in 0..3 {
            cluster.wait_until_ready(index).await;
        }
        let mut writes = Writes::new(&cluster).await;
        writes.some("before", 20).await;
        for (name, from_leader) in [("leader is not heard", true), ("leader does not hear", false)] {
            let leader = cluster.leader().await;
            let other = (leader + 1) % 3;
            let (from, to) = if from_leader { (leader, other) } else { (other, leader) };
            let network = cluster.network().expect("it has a network");
            network.drop_packets(from, to);
            writes.some(&format!("{name}, by one"), 30).await;
            let third = (leader + 2) % 3;
            let (from, to) = if from_leader { (leader, third) } else { (third, leader) };
            network.drop_packets(from, to);
            writes.some(&format!("{name}, by both"), 30).await;
            for index in [other, third] {
                let (from, to) = if from_leader { (leader, index) } else { (index, leader) };
                network.let_through(from, to);
            }
            writes.some(&format!("{name} no more"), 20).await;
        }
        writes.check(&cluster).await;
        eprintln!("{} writes, the longest took {:?}", writes.acknowledged.len(), writes.longest);
    });
}
