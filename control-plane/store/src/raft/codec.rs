//! Log entries, votes and memberships as bytes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;

use bytes::{BufMut, Bytes, BytesMut};
use openraft::EntryPayload;
use openraft::vote::leader_id_std::CommittedLeaderId;
use prost::Message;
use proto::store;
use proto::store::log_entry::Payload as Stored;

use super::{Entry, LogId, Membership, Proposal, StoredMembership, Vote};

const CHECKSUM: usize = 4;

fn corrupt(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Makes a log id.
#[must_use]
pub fn log_id(term: u64, index: u64) -> LogId {
    // With one leader per term, a term says which leader it was.
    LogId::new(CommittedLeaderId::new(term), index)
}

/// The message form of a log id.
#[must_use]
pub fn log_id_message(id: &LogId) -> store::LogId {
    store::LogId { term: id.leader_id.term, index: id.index }
}

/// Encodes a log id.
#[must_use]
pub fn encode_log_id(id: &LogId) -> Vec<u8> {
    log_id_message(id).encode_to_vec()
}

/// Decodes a log id.
pub fn decode_log_id(bytes: &[u8]) -> io::Result<LogId> {
    let id = store::LogId::decode(bytes).map_err(io::Error::other)?;
    Ok(log_id(id.term, id.index))
}

/// The message form of a vote.
#[must_use]
pub fn vote_message(vote: &Vote) -> store::Vote {
    store::Vote { term: vote.leader_id.term, node: vote.leader_id.voted_for, committed: vote.committed }
}

/// A vote from its message form.
#[must_use]
pub fn vote(message: store::Vote) -> Vote {
    let store::Vote { term, node, committed } = message;
    if committed { Vote::new_committed(term, node) } else { Vote::new(term, node) }
}

/// Encodes a vote.
#[must_use]
pub fn encode_vote(vote: &Vote) -> Vec<u8> {
    vote_message(vote).encode_to_vec()
}

/// Decodes a vote.
pub fn decode_vote(bytes: &[u8]) -> io::Result<Vote> {
    store::Vote::decode(bytes).map(vote).map_err(io::Error::other)
}

fn membership_message(membership: &Membership) -> store::Membership {
    let configs = membership.get_joint_config().iter();
    store::Membership {
        configs: configs.map(|ids| store::Voters { ids: ids.iter().copied().collect() }).collect(),
        nodes: membership.nodes().map(|(id, node)| (*id, node.clone())).collect::<HashMap<_, _>>(),
    }
}

fn membership(message: store::Membership) -> io::Result<Membership> {
    let configs = message.configs.into_iter().map(|voters| voters.ids.into_iter().collect::<BTreeSet<_>>()).collect();
    let nodes: BTreeMap<u64, store::Node> = message.nodes.into_iter().collect();
    Membership::new(configs, nodes).map_err(io::Error::other)
}

/// The message form of a membership with the entry that brought it.
#[must_use]
pub fn stored_membership_message(stored: &StoredMembership) -> store::StoredMembership {
    store::StoredMembership {
        log_id: stored.log_id().as_ref().map(log_id_message),
        membership: Some(membership_message(stored.membership())),
    }
}

/// Encodes a membership with the entry that brought it.
#[must_use]
pub fn encode_stored_membership(stored: &StoredMembership) -> Vec<u8> {
    stored_membership_message(stored).encode_to_vec()
}

/// Decodes a membership with the entry that brought it.
pub fn decode_stored_membership(bytes: &[u8]) -> io::Result<StoredMembership> {
    stored_membership(store::StoredMembership::decode(bytes).map_err(io::Error::other)?)
}

/// A membership with the entry that brought it, from its message form.
pub fn stored_membership(message: store::StoredMembership) -> io::Result<StoredMembership> {
    let id = message.log_id.map(|id| log_id(id.term, id.index));
    Ok(StoredMembership::new(id, membership(message.membership.unwrap_or_default())?))
}

/// Encodes an entry with a checksum in front.
#[must_use]
pub fn encode_entry(entry: &Entry) -> Bytes {
    let payload = match &entry.payload {
        EntryPayload::Blank => None,
        EntryPayload::Normal(proposal) => Some(Stored::Command(proposal.0.clone())),
        EntryPayload::Membership(membership) => Some(Stored::Membership(membership_message(membership))),
    };
    let message = store::LogEntry { id: Some(log_id_message(&entry.log_id)), payload };
    let mut out = BytesMut::with_capacity(CHECKSUM + message.encoded_len());
    out.put_u32(0);
    message.encode_raw(&mut out);
    let checksum = crc32c::crc32c(&out[CHECKSUM..]);
    out[..CHECKSUM].copy_from_slice(&checksum.to_be_bytes());
    out.freeze()
}

/// Decodes the entry that must be the one at `index`.
pub fn decode_entry(bytes: &Bytes, index: u64) -> io::Result<Entry> {
    let entry = decode_any_entry(bytes)?;
    if entry.log_id.index == index { Ok(entry) } else { Err(corrupt("a log entry lies in the wrong place")) }
}

/// Decodes an entry and checks its checksum.
pub fn decode_any_entry(bytes: &Bytes) -> io::Result<Entry> {
    let (checksum, message) = bytes.split_first_chunk::<CHECKSUM>().ok_or_else(|| corrupt("a log entry is cut off"))?;
    if crc32c::crc32c(message) != u32::from_be_bytes(*checksum) {
        return Err(corrupt("a log entry does not match its checksum"));
    }
    let message = store::LogEntry::decode(bytes.slice(CHECKSUM..)).map_err(io::Error::other)?;
    let id = message.id.ok_or_else(|| corrupt("a log entry without an id"))?;
    let payload = match message.payload {
        None => EntryPayload::Blank,
        Some(Stored::Command(bytes)) => EntryPayload::Normal(Proposal(bytes)),
        Some(Stored::Membership(message)) => EntryPayload::Membership(membership(message)?),
    };
    Ok(Entry { log_id: log_id(id.term, id.index), payload })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_back_or_are_refused() {
        let peer_urls = vec!["http://a".into()];
        let node = store::Node { name: "n".into(), peer_urls, ..store::Node::default() };
        let nodes = BTreeMap::from([(7, node.clone()), (8, node)]);
        let membership = Membership::new(vec![BTreeSet::from([7, 8]), BTreeSet::from([7])], nodes).unwrap();
        let payloads = [
            EntryPayload::Blank,
            EntryPayload::Normal(Proposal(Bytes::from_static(b"command"))),
            EntryPayload::Membership(membership.clone()),
        ];
        for payload in payloads {
            let entry = Entry { log_id: log_id(3, 9), payload };
            let bytes = encode_entry(&entry);
            assert_eq!(decode_entry(&bytes, 9).unwrap(), entry);
            assert!(decode_entry(&bytes, 8).is_err());
            for position in 0..bytes.len() {
                let mut damaged = bytes.to_vec();
                damaged[position] ^= 1;
                assert!(decode_entry(&damaged.into(), 9).is_err());
            }
            assert!(decode_entry(&bytes.slice(..3), 9).is_err());
        }
        let stored = StoredMembership::new(Some(log_id(1, 2)), membership);
        assert_eq!(decode_stored_membership(&encode_stored_membership(&stored)).unwrap(), stored);
        for vote in [Vote::new(4, 7), Vote::new_committed(4, 7)] {
            assert_eq!(decode_vote(&encode_vote(&vote)).unwrap(), vote);
        }
    }
}
