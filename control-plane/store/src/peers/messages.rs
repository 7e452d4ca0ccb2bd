//! openraft's words as messages and back. What comes from outside is checked here: a malformed message is an error, never
//! a panic.

use std::io;

use openraft::raft::{
    AppendEntriesRequest, StreamAppendError, StreamAppendResult, TransferLeaderError, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use proto::peer::append_answer::Outcome;
use proto::peer::transfer_answer::Refusal as TransferRefusal;
use proto::peer::{self, Matched, Route};
use proto::store;
use store_core::Revision;
use store_core::fingerprint::{Added, Removed, Statement, Sum};

use crate::raft::{Entry, LogId, Types, Vote, codec};

fn missing(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn id_message(id: Option<LogId>) -> Option<store::LogId> {
    id.as_ref().map(codec::log_id_message)
}

fn id(message: Option<store::LogId>) -> Option<LogId> {
    message.map(|id| codec::log_id(id.term, id.index))
}

fn vote(message: Option<store::Vote>) -> io::Result<Vote> {
    message.map(codec::vote).ok_or_else(|| missing("a message without a vote"))
}

/// Log entries for another member.
#[must_use]
pub fn append_request(route: Route, request: &AppendEntriesRequest<Types>) -> peer::AppendRequest {
    peer::AppendRequest {
        route: Some(route),
        vote: Some(codec::vote_message(&request.vote)),
        previous: id_message(request.prev_log_id),
        entries: request.entries.iter().map(codec::encode_entry).collect(),
        committed: id_message(request.leader_commit),
    }
}

/// Log entries from another member. They are consecutive and match their checksums.
pub fn append(message: &peer::AppendRequest) -> io::Result<AppendEntriesRequest<Types>> {
    let prev_log_id = id(message.previous);
    let mut next = prev_log_id.map_or(0, |id| id.index.saturating_add(1));
    let mut entries: Vec<Entry> = Vec::with_capacity(message.entries.len());
    for bytes in &message.entries {
        entries.push(codec::decode_entry(bytes, next)?);
        next = next.saturating_add(1);
    }
    Ok(AppendEntriesRequest { vote: vote(message.vote)?, prev_log_id, entries, leader_commit: id(message.committed) })
}

/// What became of log entries.
#[must_use]
pub fn append_answer(result: &StreamAppendResult<Types>) -> peer::AppendAnswer {
    let outcome = match result {
        Ok(matched) => Outcome::Matched(Matched { id: id_message(*matched) }),
        Err(StreamAppendError::Conflict(at)) => Outcome::Conflict(codec::log_id_message(at)),
        Err(StreamAppendError::HigherVote(vote)) => Outcome::HigherVote(codec::vote_message(vote)),
    };
    peer::AppendAnswer { outcome: Some(outcome) }
}

/// What became of log entries at another member.
pub fn append_result(answer: peer::AppendAnswer) -> io::Result<StreamAppendResult<Types>> {
    Ok(match answer.outcome.ok_or_else(|| missing("an answer without an outcome"))? {
        Outcome::Matched(matched) => Ok(id(matched.id)),
        Outcome::Conflict(at) => Err(StreamAppendError::Conflict(codec::log_id(at.term, at.index))),
        Outcome::HigherVote(vote) => Err(StreamAppendError::HigherVote(codec::vote(vote))),
    })
}

/// A request for a vote.
#[must_use]
pub fn vote_request(route: Route, request: &VoteRequest<Types>, pre_vote: bool) -> peer::VoteRequest {
    peer::VoteRequest {
        route: Some(route),
        vote: Some(codec::vote_message(&request.vote)),
        last: id_message(request.last_log_id),
        transfer: request.leadership_transfer,
        pre_vote,
    }
}

/// Another member's request for a vote.
pub fn vote_asked(message: &peer::VoteRequest) -> io::Result<VoteRequest<Types>> {
    let mut request = VoteRequest::new(vote(message.vote)?, id(message.last));
    request.leadership_transfer = message.transfer;
    Ok(request)
}

/// The answer to a request for a vote.
#[must_use]
pub fn vote_answer(response: &VoteResponse<Types>) -> peer::VoteAnswer {
    peer::VoteAnswer {
        vote: Some(codec::vote_message(&response.vote)),
        last: id_message(response.last_log_id),
        granted: response.vote_granted,
    }
}

/// Another member's answer to a request for a vote.
pub fn vote_given(answer: &peer::VoteAnswer) -> io::Result<VoteResponse<Types>> {
    Ok(VoteResponse::new(vote(answer.vote)?, id(answer.last), answer.granted))
}

/// A leader's wish to be followed by another.
#[must_use]
pub fn transfer_request(route: Route, request: &TransferLeaderRequest<Types>) -> peer::TransferRequest {
    peer::TransferRequest {
        route: Some(route),
        leader: Some(codec::vote_message(request.from_leader())),
        target: *request.to_node_id(),
        last: id_message(request.last_log_id().copied()),
    }
}

/// Another leader's wish.
pub fn transfer_asked(message: &peer::TransferRequest) -> io::Result<TransferLeaderRequest<Types>> {
    Ok(TransferLeaderRequest::new(vote(message.leader)?, message.target, id(message.last)))
}

/// The answer to a leader's wish.
#[must_use]
pub fn transfer_answer(response: &TransferLeaderResponse<Types>) -> peer::TransferAnswer {
    let refusal = match response {
        Ok(()) => None,
        Err(TransferLeaderError::VoteChanged { actual, .. }) => {
            Some(TransferRefusal::VoteChanged(codec::vote_message(actual)))
        }
        Err(TransferLeaderError::LogNotFlushed { actual, .. }) => {
            Some(TransferRefusal::NotFlushed(Matched { id: id_message(*actual) }))
        }
    };
    peer::TransferAnswer { refusal }
}

/// Another member's answer to `request`.
pub fn transfer_response(
    request: &TransferLeaderRequest<Types>,
    answer: peer::TransferAnswer,
) -> TransferLeaderResponse<Types> {
    match answer.refusal {
        None => Ok(()),
        Some(TransferRefusal::VoteChanged(actual)) => {
            Err(TransferLeaderError::VoteChanged { expected: *request.from_leader(), actual: codec::vote(actual) })
        }
        Some(TransferRefusal::NotFlushed(actual)) => {
            Err(TransferLeaderError::LogNotFlushed { expected: request.last_log_id().copied(), actual: id(actual.id) })
        }
    }
}

/// What a member says of its state.
#[must_use]
pub fn fingerprint_answer(statement: Option<&Statement>) -> peer::FingerprintAnswer {
    let bytes = |sum: Sum| sum.0.to_be_bytes().to_vec().into();
    let Some(statement) = statement else { return peer::FingerprintAnswer::default() };
    peer::FingerprintAnswer {
        settled: true,
        removed_revision: statement.removed.revision.0,
        removed_sum: bytes(statement.removed.sum),
        added: statement
            .added
            .iter()
            .map(|added| peer::AddedSum { index: added.index, sum: bytes(added.sum) })
            .collect(),
    }
}

/// What another member says of its state; `None` when that changes right now.
pub fn statement(member: u64, answer: &peer::FingerprintAnswer) -> io::Result<Option<Statement>> {
    if !answer.settled {
        return Ok(None);
    }
    let sum = |bytes: &[u8]| {
        let bytes = bytes.try_into().map_err(|_| missing("a sum of another length"))?;
        Ok::<_, io::Error>(Sum(u128::from_be_bytes(bytes)))
    };
    let added = answer.added.iter().map(|added| Ok(Added { index: added.index, sum: sum(&added.sum)? }));
    Ok(Some(Statement {
        member,
        removed: Removed { revision: Revision(answer.removed_revision), sum: sum(&answer.removed_sum)? },
        added: added.collect::<io::Result<_>>()?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::Proposal;
    use crate::raft::codec::log_id;
    use openraft::EntryPayload;

    fn entry(index: u64) -> Entry {
        Entry { log_id: log_id(2, index), payload: EntryPayload::Normal(Proposal("x".into())) }
    }

    #[test]
    fn entries_arrive_as_they_were_or_not_at_all() {
        let request = AppendEntriesRequest {
            vote: Vote::new_committed(3, 7),
            prev_log_id: Some(log_id(1, 4)),
            entries: vec![entry(5), entry(6)],
            leader_commit: None,
        };
        let message = append_request(Route::default(), &request);
        let back = append(&message).unwrap();
        assert_eq!((back.vote, back.prev_log_id, back.entries), (request.vote, request.prev_log_id, request.entries));
        let mut gap = message.clone();
        gap.entries.remove(0);
        assert!(append(&gap).is_err());
        let mut voteless = message.clone();
        voteless.vote = None;
        assert!(append(&voteless).is_err());
        let mut damaged = message;
        damaged.entries[1] = damaged.entries[1].slice(1..);
        assert!(append(&damaged).is_err());
    }

    #[test]
    fn statements_come_back_as_they_went() {
        let said = Statement {
            member: 7,
            removed: Removed { revision: Revision(-1), sum: Sum(3) },
            added: vec![Added { index: 4, sum: Sum(u128::MAX) }],
        };
        let mut answer = fingerprint_answer(Some(&said));
        assert_eq!(statement(7, &answer).unwrap(), Some(said));
        assert_eq!(statement(7, &fingerprint_answer(None)).unwrap(), None);
        answer.added[0].sum = "short".into();
        assert!(statement(7, &answer).is_err());
    }

    #[test]
    fn outcomes_come_back_as_they_went() {
        for result in [
            Ok(None),
            Ok(Some(log_id(1, 2))),
            Err(StreamAppendError::Conflict(log_id(3, 4))),
            Err(StreamAppendError::HigherVote(Vote::new(5, 6))),
        ] {
            assert_eq!(append_result(append_answer(&result)).unwrap(), result);
        }
        assert!(append_result(peer::AppendAnswer::default()).is_err());
        let mut asked = VoteRequest::<Types>::new(Vote::new(5, 6), None);
        asked.leadership_transfer = true;
        assert_eq!(vote_asked(&vote_request(Route::default(), &asked, false)).unwrap(), asked);
        let given = VoteResponse::<Types>::new(Vote::new(5, 6), Some(log_id(1, 2)), true);
        assert_eq!(vote_given(&vote_answer(&given)).unwrap(), given);
        let transfer = TransferLeaderRequest::<Types>::new(Vote::new_committed(5, 6), 9, Some(log_id(1, 2)));
        assert_eq!(transfer_asked(&transfer_request(Route::default(), &transfer)).unwrap(), transfer);
        for response in [
            Ok(()),
            Err(TransferLeaderError::VoteChanged { expected: *transfer.from_leader(), actual: Vote::new(8, 1) }),
            Err(TransferLeaderError::LogNotFlushed { expected: transfer.last_log_id().copied(), actual: None }),
        ] {
            assert_eq!(transfer_response(&transfer, transfer_answer(&response)), response);
        }
    }
}
