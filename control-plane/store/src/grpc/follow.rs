//! A watcher within the server: what recipes wait with.

use std::collections::VecDeque;
use std::sync::Arc;

use prost::Message as _;
use proto::mvccpb::Event;
use store_core::watch::{Message, Spec};
use store_core::{KeyRange, Refusal, Revision};
use tokio::sync::mpsc;

use super::watch::{Guard, next_stream};
use crate::node::Node;
use crate::watches::{Notice, STREAM_QUEUE};

/// Follows what happens to a range from a revision on.
pub(super) struct Follow {
    messages: mpsc::Receiver<Message>,
    /// What was heard and not yet asked for, each with the revision the store had come to.
    heard: VecDeque<(Revision, Event)>,
    _guard: Guard,
}

impl Follow {
    /// Begins.
    pub(super) async fn start(node: &Arc<Node>, keys: KeyRange, from: Revision) -> Result<Self, Refusal> {
        let stream = next_stream();
        let (queue, messages) = mpsc::channel(STREAM_QUEUE);
        let place = queue.clone().reserve_owned().await.map_err(|_| Refusal::Stopped)?;
        let guard = Guard { stream, inbox: node.watches.clone() };
        let spec = Spec {
            keys,
            start: Some(from),
            puts: true,
            deletions: true,
            previous: false,
            progress: false,
            fragment: false,
        };
        for notice in [Notice::Open { stream, queue }, Notice::Create { stream, id: 0, spec: Ok(spec), place }] {
            node.watches.send(notice).await.map_err(|_| Refusal::Stopped)?;
        }
        Ok(Self { messages, heard: VecDeque::new(), _guard: guard })
    }

    /// The next event; `None` when what happened in between cannot be told any more, and must be looked up.
    pub(super) async fn next(&mut self) -> Result<Option<(Revision, Event)>, Refusal> {
        loop {
            if let Some(next) = self.heard.pop_front() {
                return Ok(Some(next));
            }
            match self.messages.recv().await {
                Some(Message::Events { revision, events, .. }) => {
                    for encoded in events {
                        let Ok(event) = Event::decode(encoded) else { return Err(Refusal::Corrupt) };
                        self.heard.push_back((revision, event));
                    }
                }
                Some(Message::Created { invalid: None, .. } | Message::Progress { .. }) => {}
                Some(Message::Created { invalid: Some(_), .. } | Message::Canceled { .. }) => return Ok(None),
                None => return Err(Refusal::Stopped),
            }
        }
    }
}
