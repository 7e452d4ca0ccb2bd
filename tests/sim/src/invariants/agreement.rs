//! In the end all members hold the same, down to the hash of their whole history.

use std::time::Duration;

use proto::etcdserverpb::HashKvRequest;
use proto::etcdserverpb::maintenance_client::MaintenanceClient;
use tonic::service::Routes;

use super::Client;
use crate::network::Place;
use crate::world::World;

/// Compares the hashes of these members at a revision, which each reaches within `at_most`.
pub fn demand(world: &mut World, client: &Client, places: &[Place], revision: i64, at_most: Duration) {
    let mut hashes = Vec::new();
    for place in places.iter().copied() {
        let doors = client.doors.clone();
        let asking = world.spawn(async move {
            loop {
                let request = HashKvRequest { revision };
                let asked = |routes: Routes| async move { MaintenanceClient::new(routes).hash_kv(request).await };
                if let Some(Ok(answer)) = doors.ask(place, Duration::from_secs(5), asked).await {
                    let answer = answer.into_inner();
                    return (answer.hash, answer.compact_revision);
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        match world.wait(asking, at_most) {
            Some(hash) => hashes.push((place, hash)),
            None => client.findings.add(format!("member {place} has no hash at revision {revision} after {at_most:?}")),
        }
    }
    if hashes.iter().any(|(_, hash)| *hash != hashes[0].1) {
        client.findings.add(format!("members differ at revision {revision}: {hashes:x?}"));
    }
}
