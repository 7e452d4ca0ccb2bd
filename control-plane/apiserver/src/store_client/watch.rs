//! One watch of the store over a prefix.

use std::time::Duration;

use bytes::Bytes;
use proto::etcdserverpb::maintenance_client::MaintenanceClient;
use proto::etcdserverpb::watch_client::WatchClient;
use proto::etcdserverpb::watch_request::RequestUnion;
use proto::etcdserverpb::{StatusRequest, WatchCreateRequest, WatchProgressRequest, WatchRequest, WatchResponse};
use proto::mvccpb::event::EventType;
use proto::mvccpb::{Event, KeyValue};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Status, Streaming};

use super::kv::MAX_ANSWER;
use super::{StoreClient, prefix_end};

/// How long a member may take to open a watch before the next one is asked.
const OPEN: Duration = Duration::from_secs(5);

/// How long a member may take to say how large it is: whoever reads metrics waits for it.
const SIZE: Duration = Duration::from_secs(1);

/// Why a watch ended or could not begin.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WatchError {
    /// History from the start revision on is gone.
    #[error("the revision {compacted} was compacted")]
    Compacted {
        /// The oldest revision that is left.
        compacted: i64,
    },
    /// The connection or the member failed, or took the watch away.
    #[error("the watch of the store broke")]
    Lost(#[source] Box<Status>),
    /// The store sent an event that lacks what it must have.
    #[error("the store sent a broken event: {0}")]
    Broken(&'static str),
}

/// One change of one key.
#[derive(Debug)]
pub(crate) struct StoreEvent {
    /// The key with its new value; only key and revision of a deletion.
    pub(crate) kv: KeyValue,
    /// Whether the key was deleted.
    pub(crate) deleted: bool,
}

/// What the stream brought.
#[derive(Debug)]
pub(crate) enum WatchStep {
    /// Changes, in order.
    Events(Vec<StoreEvent>),
    /// Everything up to this revision has been seen.
    Progress {
        /// The revision.
        revision: i64,
    },
}

/// An open watch.
pub(crate) struct StoreWatch {
    answers: Streaming<WatchResponse>,
    requests: mpsc::Sender<WatchRequest>,
    /// Whether the member's progress notifications can be relied on.
    pub(crate) reports_progress: bool,
}

impl StoreClient {
    /// How large the store's data are, in bytes; nothing if it does not say so in time.
    pub(crate) async fn size(&self) -> Option<i64> {
        let (_, channel) = self.watch_channel();
        let mut client = MaintenanceClient::new(channel);
        let answer = tokio::time::timeout(SIZE, client.status(StatusRequest {})).await.ok()?.ok()?;
        Some(answer.into_inner().db_size)
    }

    /// Watches `prefix` from `revision` on, at the preferred member; a failure makes the next one preferred.
    pub(crate) async fn watch(&self, prefix: &str, revision: i64) -> Result<StoreWatch, WatchError> {
        let (index, channel) = self.watch_channel();
        let opened = tokio::time::timeout(OPEN, async {
            let status = MaintenanceClient::new(channel.clone()).status(StatusRequest {}).await?.into_inner();
            // Room for the create request and a few progress requests; more of those would change nothing.
            let (requests, queue) = mpsc::channel(4);
            let create = WatchCreateRequest {
                key: Bytes::copy_from_slice(prefix.as_bytes()),
                range_end: prefix_end(prefix.as_bytes()).into(),
                start_revision: revision,
                progress_notify: true,
                ..WatchCreateRequest::default()
            };
            let create = WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
            let _ = requests.try_send(create);
            let mut call = Request::new(ReceiverStream::new(queue));
            // A member cut off from its leader must end the watch instead of staying silent.
            call.metadata_mut().insert("hasleader", tonic::metadata::MetadataValue::from_static("true"));
            let mut client = WatchClient::new(channel).max_decoding_message_size(MAX_ANSWER);
            let answers = client.watch(call).await?.into_inner();
            let reports_progress = progress_is_sound(&status.version);
            Ok::<_, Status>(StoreWatch { answers, requests, reports_progress })
        })
        .await
        .unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer in time")));
        opened.map_err(|status| {
            self.turn_from(index);
            WatchError::Lost(Box::new(status))
        })
    }
}

impl StoreWatch {
    /// The next step. Cancel safe.
    pub(crate) async fn next(&mut self) -> Result<WatchStep, WatchError> {
        loop {
            let answer = match self.answers.message().await {
                Ok(Some(answer)) => answer,
                Ok(None) => return Err(WatchError::Lost(Box::new(Status::unavailable("the stream ended")))),
                Err(status) => return Err(WatchError::Lost(Box::new(status))),
            };
            if answer.canceled {
                if answer.compact_revision > 0 {
                    return Err(WatchError::Compacted { compacted: answer.compact_revision });
                }
                return Err(WatchError::Lost(Box::new(Status::cancelled(answer.cancel_reason))));
            }
            if answer.created {
                continue;
            }
            if !answer.events.is_empty() {
                return answer.events.into_iter().map(read_event).collect::<Result<_, _>>().map(WatchStep::Events);
            }
            if let Some(header) = answer.header {
                return Ok(WatchStep::Progress { revision: header.revision });
            }
        }
    }

    /// Asks for a progress notification; a request that finds others waiting is dropped.
    pub(crate) fn request_progress(&self) {
        let progress = RequestUnion::ProgressRequest(WatchProgressRequest {});
        let _ = self.requests.try_send(WatchRequest { request_union: Some(progress) });
    }
}

fn read_event(event: Event) -> Result<StoreEvent, WatchError> {
    let deleted = event.r#type == EventType::Delete as i32;
    let kv = event.kv.ok_or(WatchError::Broken("no key"))?;
    if kv.mod_revision <= 0 {
        return Err(WatchError::Broken("no revision"));
    }
    Ok(StoreEvent { kv, deleted })
}

/// Whether a store of this version orders progress notifications behind the events they cover. etcd learned it in
/// 3.4.31 and 3.5.13.
fn progress_is_sound(version: &str) -> bool {
    let mut numbers = version.split(['.', '-', '+']).map(|part| part.parse::<u32>().ok());
    match (numbers.next().flatten(), numbers.next().flatten(), numbers.next().flatten()) {
        (Some(3), Some(4), Some(patch)) => patch >= 31,
        (Some(3), Some(5), Some(patch)) => patch >= 13,
        (Some(3), Some(minor), _) => minor > 5,
        (Some(major), _, _) => major > 3,
        (None, _, _) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_trusted_from_the_versions_that_order_it() {
        for sound in ["3.4.31", "3.5.13", "3.6.0", "3.7.0-orlop.1", "4.0.0"] {
            assert!(progress_is_sound(sound), "{sound}");
        }
        for unsound in ["3.4.23", "3.5.0", "3.5.12", "3.3.99", "", "new"] {
            assert!(!progress_is_sound(unsound), "{unsound}");
        }
    }

    #[test]
    fn an_event_without_a_revision_breaks_the_watch() {
        let event = Event { kv: Some(KeyValue::default()), ..Event::default() };
        assert!(matches!(read_event(event), Err(WatchError::Broken(_))));
        assert!(matches!(read_event(Event::default()), Err(WatchError::Broken(_))));
    }
}
