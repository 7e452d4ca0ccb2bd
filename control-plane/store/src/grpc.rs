//! The services, as etcd defines them.

mod cluster;
mod health;
mod kv;
mod lease;
mod maintenance;
mod watch;

use std::sync::Arc;

use proto::etcdserverpb::cluster_server::ClusterServer;
use proto::etcdserverpb::lease_server::LeaseServer;
use proto::etcdserverpb::maintenance_server::MaintenanceServer;
use proto::health::health_server::HealthServer;
use proto::raw::kv_server::KvServer;
use proto::raw::watch_server::WatchServer;
use store_core::apply::Reply;
use store_core::{Code, Failure, Fault, Refusal};
use tonic::Status;
use tonic::service::Routes;

use crate::node::Node;

/// Every service of a node. What is not here is answered as unimplemented.
pub fn routes(node: &Arc<Node>) -> Routes {
    let limit = node.config.max_message_bytes();
    let service = Service(Arc::clone(node));
    Routes::new(KvServer::new(service.clone()).max_decoding_message_size(limit))
        .add_service(WatchServer::new(service.clone()).max_decoding_message_size(limit))
        .add_service(LeaseServer::new(service.clone()))
        .add_service(ClusterServer::new(service.clone()))
        .add_service(MaintenanceServer::new(service.clone()))
        .add_service(HealthServer::new(service))
        .prepare()
}

/// The node, as what the services are implemented for.
#[derive(Clone)]
struct Service(Arc<Node>);

/// Turns a refusal into what goes over the wire: the one place where it happens.
fn refused(refusal: Refusal) -> Status {
    let code = match refusal.code() {
        Code::InvalidArgument => tonic::Code::InvalidArgument,
        Code::NotFound => tonic::Code::NotFound,
        Code::FailedPrecondition => tonic::Code::FailedPrecondition,
        Code::OutOfRange => tonic::Code::OutOfRange,
        Code::ResourceExhausted => tonic::Code::ResourceExhausted,
        Code::Unavailable => tonic::Code::Unavailable,
        Code::DataLoss => tonic::Code::DataLoss,
        Code::Unimplemented => tonic::Code::Unimplemented,
        Code::Canceled => tonic::Code::Cancelled,
    };
    Status::new(code, refusal.to_string())
}

/// The client learns that its answer could not be made; the log learns why.
fn broken(fault: &Fault) -> Status {
    tracing::error!(error = %chain::Chain(fault), "a request could not be answered");
    Status::internal("etcdserver: the state cannot be read")
}

fn failed(failure: Failure) -> Status {
    match failure {
        Failure::Refused(refusal) => refused(refusal),
        Failure::Fault(fault) => broken(&fault),
    }
}

/// A command was answered with the reply of another one: a bug, told to the client as such.
fn mismatched(reply: &Reply) -> Status {
    tracing::error!(?reply, "a command got another command's reply");
    Status::internal("etcdserver: a command got another command's reply")
}

fn not_yet(what: &str) -> Status {
    Status::unimplemented(format!("{what} is not implemented by this server yet"))
}

/// Runs something that may wait for the disk away from the tasks that serve connections.
async fn blocking<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> Result<T, Status> {
    tokio::task::spawn_blocking(run).await.map_err(|error| {
        tracing::error!(%error, "a request was dropped");
        Status::internal("etcdserver: the request was dropped")
    })
}
