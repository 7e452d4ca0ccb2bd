//! The services, as etcd defines them.

mod auth;
mod cluster;
mod election;
mod follow;
mod health;
mod kv;
mod lease;
mod lock;
mod maintenance;
mod queue;
pub(crate) mod range;
mod watch;

use std::sync::Arc;

use proto::etcdserverpb::auth_server::AuthServer;
use proto::etcdserverpb::cluster_server::ClusterServer;
use proto::etcdserverpb::lease_server::LeaseServer;
use proto::etcdserverpb::maintenance_server::MaintenanceServer;
use proto::health::health_server::HealthServer;
use proto::raw::kv_server::KvServer;
use proto::raw::watch_server::WatchServer;
use proto::v3electionpb::election_server::ElectionServer;
use proto::v3lockpb::lock_server::LockServer;
use store_core::apply::Reply;
use store_core::auth::{Caller, Rights};
use store_core::record::State;
use store_core::{Code, Failure, Fault, Refusal, View};
use tonic::service::Routes;
use tonic::{Request, Status};

use crate::access::Credentials;
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
        .add_service(AuthServer::new(service.clone()))
        .add_service(LockServer::new(service.clone()))
        .add_service(ElectionServer::new(service.clone()).max_decoding_message_size(limit))
        .add_service(HealthServer::new(service))
        .prepare()
}

/// The node, as what the services are implemented for.
#[derive(Clone)]
struct Service(Arc<Node>);

/// Turns a refusal into what goes over the wire: the one place where it happens.
pub(crate) fn refused(refusal: Refusal) -> Status {
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
        Code::PermissionDenied => tonic::Code::PermissionDenied,
        Code::Unauthenticated => tonic::Code::Unauthenticated,
        Code::Unknown => tonic::Code::Unknown,
    };
    Status::new(code, refusal.to_string())
}

impl Service {
    /// Who sent a request; `None` when nobody is asked, or shows nothing.
    async fn caller<T>(&self, request: &Request<T>) -> Result<Option<Caller>, Status> {
        if !self.0.access.enabled() {
            return Ok(None);
        }
        self.0.access.caller(&self.0, &Credentials::of(request)).await.map_err(refused)
    }

    /// Refuses a request whose sender does not have the rights it takes; `judge` says which those are.
    async fn demand<T>(
        &self,
        request: &Request<T>,
        judge: impl FnOnce(&Rights) -> Result<(), Refusal>,
    ) -> Result<(), Status> {
        let caller = self.caller(request).await?;
        self.judge(caller.as_ref(), judge)
    }

    /// Refuses a caller who does not have the rights it takes.
    fn judge(&self, caller: Option<&Caller>, judge: impl FnOnce(&Rights) -> Result<(), Refusal>) -> Result<(), Status> {
        let read = |view: &dyn View| {
            let rights = Rights::load(view, &State::load(view)?, caller)?;
            judge(&rights).map_err(Failure::from)
        };
        self.0.database.read(read).map_err(failed)
    }
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

/// Runs something that may wait for the disk away from the tasks that serve connections.
async fn blocking<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> Result<T, Status> {
    tokio::task::spawn_blocking(run).await.map_err(|error| {
        tracing::error!(%error, "a request was dropped");
        Status::internal("etcdserver: the request was dropped")
    })
}
