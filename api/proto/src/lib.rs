//! Generated messages and services: etcd's v3 protocol, the store's own, the machine API, gRPC health, key management services.
//! Only the [codec] is written by hand.

pub mod codec;

/// Every file of the protocols as a `google.protobuf.FileDescriptorSet`: what a test compares a table of methods with.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// A key with its history, and what happened to it.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
pub mod mvccpb {
    tonic::include_proto!("mvccpb");
}

/// Users, roles and permissions of etcd's v3 protocol.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
pub mod authpb {
    tonic::include_proto!("authpb");
}

/// A lease as etcd writes it to its disk.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
pub mod leasepb {
    tonic::include_proto!("leasepb");
}

/// etcd's v3 protocol, typed: what a client uses.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
pub mod etcdserverpb {
    tonic::include_proto!("etcdserverpb");
}

/// etcd's v3 protocol with keys, values and events as encoded bytes: what a server uses that stores them encoded.
///
/// On the wire it is the same as [`etcdserverpb`]. Requests are the types of that module.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
pub mod raw {
    include!(concat!(env!("OUT_DIR"), "/raw/etcdserverpb.rs"));
}

/// etcd's locks.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
pub mod v3lockpb {
    tonic::include_proto!("v3lockpb");
}

/// etcd's elections.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
pub mod v3electionpb {
    tonic::include_proto!("v3electionpb");
}

/// The health service every gRPC prober knows.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
pub mod health {
    tonic::include_proto!("grpc.health.v1");
}

/// A key management service as Kubernetes calls it: version 2 of the protocol.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
pub mod kms {
    tonic::include_proto!("v2");
}

/// What the store writes to its own disk: log entries and state records.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
pub mod store {
    tonic::include_proto!("store");
}

/// What members of a store say to each other.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
pub mod peer {
    tonic::include_proto!("peer");
}

/// The machine API: what an operator sees and orders.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
pub mod machine {
    tonic::include_proto!("orlop.machine.v1alpha1");
}
