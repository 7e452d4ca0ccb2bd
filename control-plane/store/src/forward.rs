//! Writes of a member that does not lead.
//!
//! The command goes to the leader with a number of its own; the answer is found here, when this member applies the command
//! itself. So the client sees its own write at once on the member it wrote to, and no answer has to cross the network.
//!
//! A command is bound to the term it was sent in: no other leader takes it. Once an entry of a later term is applied here,
//! a command that was not applied before it never will be, and may be sent again without being done twice.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;
use proto::peer::{ForwardAnswer, ForwardRequest, Forwarded};
use store_core::apply::Reply;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use crate::leadership::Leader;
use crate::peers::BATCH_BYTES;
use crate::peers::links::{Links, Purpose};

/// Commands that may wait to be sent. Beyond it clients are told to come back.
const QUEUE: usize = 4096;
/// Commands in one message.
const BATCH: usize = 256;
/// Messages that may wait for the network.
const STREAM: usize = 4;

/// What became of a forwarded command.
#[derive(Debug, PartialEq)]
pub enum Fate {
    /// It was applied here.
    Applied(Reply),
    /// It was not done and will not be: it may be sent again.
    Dropped,
    /// It was perhaps done: the state came from elsewhere, with or without it.
    Unknown,
}

/// A command on its way.
struct Outgoing {
    leader: Leader,
    request: u64,
    command: Bytes,
}

struct Waiting {
    term: u64,
    tell: oneshot::Sender<Fate>,
}

#[derive(Default)]
struct Desk {
    waiting: HashMap<u64, Waiting>,
    /// The term of the newest entry that was applied here.
    applied: u64,
}

/// The commands that are under way.
pub struct Forwarder {
    member: u64,
    next: AtomicU64,
    desk: Mutex<Desk>,
    queue: mpsc::Sender<Outgoing>,
}

/// Takes a command off the list when nobody waits for it any more.
pub struct Ticket {
    forwarder: Arc<Forwarder>,
    request: u64,
    told: oneshot::Receiver<Fate>,
}

impl Ticket {
    /// The number the command must carry.
    pub fn request(&self) -> u64 {
        self.request
    }

    /// Waits for the command's fate.
    pub async fn fate(&mut self) -> Fate {
        (&mut self.told).await.unwrap_or(Fate::Unknown)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.forwarder.desk().waiting.remove(&self.request);
    }
}

impl Forwarder {
    /// Starts sending what `member` has for the leader.
    pub fn start(member: u64, links: Arc<Links>) -> Arc<Self> {
        let (queue, outgoing) = mpsc::channel(QUEUE);
        // Random, so that what an earlier run of this member sent is not taken for an answer.
        let next = AtomicU64::new(rand::random());
        let forwarder = Arc::new(Self { member, next, desk: Mutex::default(), queue });
        tokio::spawn(send_all(Arc::downgrade(&forwarder), links, outgoing));
        forwarder
    }

    /// Whose commands these are.
    pub fn member(&self) -> u64 {
        self.member
    }

    fn desk(&self) -> std::sync::MutexGuard<'_, Desk> {
        // A panic while it was held cannot leave it half changed: every change is a single insertion or removal.
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to wait for a command that goes to this leader. Must come before the command is sent.
    pub fn expect(self: &Arc<Self>, leader: Leader) -> Ticket {
        let request = self.next.fetch_add(1, Ordering::Relaxed);
        let (tell, told) = oneshot::channel();
        let mut desk = self.desk();
        if leader.term < desk.applied {
            drop(tell.send(Fate::Dropped));
        } else {
            desk.waiting.insert(request, Waiting { term: leader.term, tell });
        }
        Ticket { forwarder: Arc::clone(self), request, told }
    }

    /// Sends a command to this leader; `false` when too many wait already.
    pub fn send(&self, leader: Leader, request: u64, command: Bytes) -> bool {
        self.queue.try_send(Outgoing { leader, request, command }).is_ok()
    }

    /// This member applied commands it had sent, and everything up to an entry of `term`.
    pub fn applied(&self, answers: Vec<(u64, Reply)>, term: u64) {
        let mut desk = self.desk();
        for (request, reply) in answers {
            if let Some(one) = desk.waiting.remove(&request) {
                // Whoever is gone does not mind; so below.
                drop(one.tell.send(Fate::Applied(reply)));
            }
        }
        if term > desk.applied {
            desk.applied = term;
            for (_, one) in desk.waiting.extract_if(|_, one| one.term < term) {
                drop(one.tell.send(Fate::Dropped));
            }
        }
    }

    /// The state was replaced as a whole, up to an entry of `term`: what it holds of the commands cannot be known.
    pub fn replaced(&self, term: u64) {
        let mut desk = self.desk();
        desk.applied = desk.applied.max(term);
        for (_, one) in desk.waiting.drain() {
            drop(one.tell.send(Fate::Unknown));
        }
    }

    /// The leader did not take a command.
    fn not_taken(&self, request: u64) {
        if let Some(one) = self.desk().waiting.remove(&request) {
            drop(one.tell.send(Fate::Dropped));
        }
    }
}

/// A stream to a leader.
struct Stream {
    leader: Leader,
    messages: mpsc::Sender<ForwardRequest>,
}

/// Sends commands until the forwarder is gone.
async fn send_all(forwarder: Weak<Forwarder>, links: Arc<Links>, mut queue: mpsc::Receiver<Outgoing>) {
    let mut batch = Vec::with_capacity(BATCH);
    let mut stream: Option<Stream> = None;
    while queue.recv_many(&mut batch, BATCH).await > 0 {
        let mut rest = batch.drain(..).peekable();
        while let Some(first) = rest.next() {
            let leader = first.leader;
            let mut bytes = first.command.len();
            let mut commands = vec![first];
            while let Some(next) = rest.next_if(|next| next.leader == leader && bytes < BATCH_BYTES) {
                bytes += next.command.len();
                commands.push(next);
            }
            if stream.as_ref().is_none_or(|stream| stream.leader != leader || stream.messages.is_closed()) {
                stream = open(&forwarder, &links, leader).await;
            }
            let requests: Vec<_> = commands.iter().map(|command| command.request).collect();
            let commands = commands.into_iter();
            let commands = commands.map(|one| Forwarded { request: one.request, command: one.command }).collect();
            let message = ForwardRequest { route: Some(links.route(leader.id)), term: leader.term, commands };
            let sent = match &stream {
                // Whoever does not read for so long does not lead any more either.
                Some(stream) => stream.messages.send_timeout(message, links.patience()).await.is_ok(),
                None => false,
            };
            if !sent {
                // None of them left this member.
                stream = None;
                let Some(forwarder) = forwarder.upgrade() else { return };
                for request in requests {
                    forwarder.not_taken(request);
                }
            }
        }
    }
}

async fn open(forwarder: &Weak<Forwarder>, links: &Arc<Links>, leader: Leader) -> Option<Stream> {
    let (messages, outgoing) = mpsc::channel(STREAM);
    let mut client = links.client(leader.id, Purpose::Log);
    let opened = client.forward(ReceiverStream::new(outgoing));
    match tokio::time::timeout(links.patience(), opened).await {
        Ok(Ok(answers)) => {
            tokio::spawn(hear(forwarder.clone(), answers.into_inner()));
            Some(Stream { leader, messages })
        }
        Ok(Err(error)) => {
            tracing::debug!(%error, leader = format_args!("{:x}", leader.id), "writes could not be forwarded");
            None
        }
        Err(_elapsed) => None,
    }
}

/// Hears what the leader did not take.
async fn hear(forwarder: Weak<Forwarder>, mut answers: Streaming<ForwardAnswer>) {
    while let Ok(Some(answer)) = answers.message().await {
        let Some(forwarder) = forwarder.upgrade() else { return };
        for request in answer.not_taken {
            forwarder.not_taken(request);
        }
    }
    // Dropping the answers ends the stream; commands that were on it are waited for until their fate is known.
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forwarder() -> (Arc<Forwarder>, mpsc::Receiver<Outgoing>) {
        let (queue, outgoing) = mpsc::channel(2);
        (Arc::new(Forwarder { member: 1, next: AtomicU64::new(10), desk: Mutex::default(), queue }), outgoing)
    }

    const LEADER: Leader = Leader { id: 2, term: 5 };

    #[tokio::test]
    async fn an_answer_is_found_when_the_command_is_applied() {
        let (forwarder, _outgoing) = forwarder();
        let (mut one, mut other) = (forwarder.expect(LEADER), forwarder.expect(LEADER));
        forwarder.applied(vec![(one.request(), Reply::Done), (99, Reply::Done)], 5);
        assert_eq!(one.fate().await, Fate::Applied(Reply::Done));
        forwarder.not_taken(other.request());
        assert_eq!(other.fate().await, Fate::Dropped);
    }

    #[tokio::test]
    async fn a_later_term_ends_what_was_not_applied() {
        let (forwarder, _outgoing) = forwarder();
        let (mut old, mut new) = (forwarder.expect(LEADER), forwarder.expect(Leader { id: 3, term: 6 }));
        forwarder.applied(vec![], 6);
        assert_eq!(old.fate().await, Fate::Dropped);
        assert_eq!(forwarder.expect(LEADER).fate().await, Fate::Dropped);
        forwarder.replaced(7);
        assert_eq!(new.fate().await, Fate::Unknown);
    }

    #[test]
    fn nobody_waits_for_a_ticket_that_is_gone() {
        let (forwarder, _outgoing) = forwarder();
        drop(forwarder.expect(LEADER));
        assert!(forwarder.desk().waiting.is_empty());
        for (request, taken) in [(1, true), (2, true), (3, false)] {
            assert_eq!(forwarder.send(LEADER, request, Bytes::new()), taken);
        }
    }
}
