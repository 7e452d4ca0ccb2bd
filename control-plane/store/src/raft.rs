//! Replication, behind three small modules: the [log](log), the [state machine](machine) and the [network](network).
//!
//! openraft's types stay in here and in [`crate::node`].

pub mod codec;
pub mod log;
pub mod machine;
pub mod network;

use std::fmt;

use bytes::Bytes;
use proto::store::Node;
use store_core::apply::Reply;

openraft::declare_raft_types!(
    /// The types the log is made of: commands go in encoded, replies come out; one leader per term, as etcd's clients
    /// expect of `raft_term`.
    pub Types:
        D = Proposal,
        R = Reply,
        NodeId = u64,
        Node = Node,
        LeaderId = openraft::impls::leader_id_std::LeaderId<u64, u64>,
);

/// The log id of [`Types`].
pub type LogId = openraft::type_config::alias::LogIdOf<Types>;
/// The vote of [`Types`].
pub type Vote = openraft::type_config::alias::VoteOf<Types>;
/// The entry of [`Types`].
pub type Entry = openraft::type_config::alias::EntryOf<Types>;
/// The payload of [`Entry`].
pub type Payload = openraft::type_config::alias::PayloadOf<Types>;
/// The membership of [`Types`].
pub type Membership = openraft::Membership<u64, Node>;
/// The membership with the entry that brought it.
pub type StoredMembership = openraft::type_config::alias::StoredMembershipOf<Types>;
/// The handle to the replicated log.
pub type Raft = openraft::Raft<Types, machine::Machine>;

/// An encoded [`proto::store::Command`]. Cloning shares the bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Proposal(pub Bytes);

impl fmt::Debug for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proposal({} bytes)", self.0.len())
    }
}

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}
