//! One order of events explains everything that clients were told ([`tests_store::history`]): no acknowledged write is
//! lost, no read is stale, nothing is done twice.

use std::sync::Arc;

use proto::etcdserverpb::kv_client::KvClient;
use tests_store::history::{Asked, History, Told, ask};

use super::Client;

/// In front of every key.
pub const PREFIX: &str = "history/";
/// The value of the last write, which every watcher waits for.
pub const END: &str = "end";
/// Few keys: clients get in each other's way.
const KEYS: u64 = 6;

/// Writes and reads until told to finish.
pub async fn work(mut client: Client, number: u64, history: Arc<History>) {
    let mut last = [0; KEYS as usize];
    let mut count = 0;
    while !client.is_done() {
        let which = client.dice.below(KEYS);
        let key = format!("{PREFIX}{which}");
        count += 1;
        let value = format!("{number}-{count}");
        let expected = last[which as usize];
        let asked = match client.dice.below(12) {
            0..3 => Asked::Put { key, value },
            3..6 => Asked::Swap { key, expected, value },
            6 => Asked::Delete { key },
            7 => Asked::Get { key, serializable: true },
            _ => Asked::Get { key, serializable: false },
        };
        match put_question(&mut client, &history, asked).await {
            Told::Written(revision) => last[which as usize] = revision,
            Told::Found { state, .. } => last[which as usize] = state.map_or(0, |(_, changed)| changed),
            Told::Nothing => {}
        }
        if client.dice.below(20) == 0 {
            client.place = client.dice.below(client.doors.count().max(1) as u64) as usize;
        }
        client.pause(2000).await;
    }
}

/// The last write of all; its revision.
pub async fn finish(mut client: Client, history: Arc<History>) -> i64 {
    for attempt in 0.. {
        // Values are unique: what was perhaps done is another write.
        let (key, value) = (format!("{PREFIX}{END}"), format!("{END}-{attempt}"));
        if let Told::Written(revision) = put_question(&mut client, &history, Asked::Put { key, value }).await {
            return revision;
        }
    }
    0
}

async fn put_question(client: &mut Client, history: &History, asked: Asked) -> Told {
    let question = asked.clone();
    let answer = async {
        let answer = client.ask(|routes| async move { ask(&mut KvClient::new(routes), &question).await }).await;
        answer.unwrap_or(Told::Nothing)
    };
    history.record(asked, answer).await
}
