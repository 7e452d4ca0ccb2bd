//! Once the fault has ended, every member serves again.

use std::time::Duration;

use proto::etcdserverpb::PutRequest;
use proto::etcdserverpb::kv_client::KvClient;
use tonic::service::Routes;

use super::Client;
use crate::network::Place;
use crate::world::World;

/// Demands that each of these members takes a write within a time that has room for restarts, elections and snapshots.
pub fn demand(world: &mut World, client: &Client, places: &[Place], at_most: Duration) {
    let since = world.now;
    for place in places.iter().copied() {
        let (doors, number) = (client.doors.clone(), place);
        let probe = world.spawn(async move {
            loop {
                let put = PutRequest {
                    key: format!("probe/{number}").into(),
                    value: "there".into(),
                    ..PutRequest::default()
                };
                let asked = |routes: Routes| async move { KvClient::new(routes).put(put).await };
                if let Some(Ok(_)) = doors.ask(place, Duration::from_secs(5), asked).await {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        let left = (since + at_most).saturating_sub(world.now);
        if world.wait(probe, left).is_none() {
            let standing = world.members[place].node().map(|node| node.standing());
            let what =
                format!("member {place} takes no write {at_most:?} after the last fault; it stands at {standing:?}");
            client.findings.add(what);
        }
    }
}
