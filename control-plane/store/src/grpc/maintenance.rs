//! Looking after a member.

use std::sync::Arc;

use proto::etcdserverpb::alarm_request::AlarmAction;
use proto::etcdserverpb::downgrade_request::DowngradeAction;
use proto::etcdserverpb::maintenance_server::Maintenance;
use proto::etcdserverpb::{
    AlarmMember, AlarmRequest, AlarmResponse, DefragmentRequest, DefragmentResponse, DowngradeInfo, DowngradeRequest,
    DowngradeResponse, HashKvRequest, HashKvResponse, HashRequest, HashResponse, MoveLeaderRequest, MoveLeaderResponse,
    SnapshotRequest, SnapshotResponse, StatusRequest, StatusResponse,
};
use proto::store::command::Op;
use store_core::apply::Reply;
use store_core::auth::Rights;
use store_core::hash::{hash_all, hash_kv};
use store_core::record::{State, alarms};
use store_core::{Refusal, Revision};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::{Service, blocking, broken, failed, mismatched, refused};
use crate::snapshot::stream;
use crate::{STORAGE_VERSION, VERSION};

fn unmeasured(error: &std::io::Error) -> Status {
    tracing::error!(%error, "the size of the state could not be measured");
    Status::internal("etcdserver: the size of the state could not be measured")
}

/// Whether a text is `major.minor` or `major.minor.patch`.
fn is_version(text: &str) -> bool {
    let parts: Vec<_> = text.split('.').collect();
    matches!(parts.len(), 2 | 3) && parts.iter().all(|part| part.parse::<u32>().is_ok())
}

#[tonic::async_trait]
impl Maintenance for Service {
    async fn alarm(&self, request: Request<AlarmRequest>) -> Result<Response<AlarmResponse>, Status> {
        // Everybody who is somebody may ask; to raise and to clear is for administrators.
        let asks = request.get_ref().action() == AlarmAction::Get;
        self.demand(&request, if asks { Rights::member } else { Rights::admin }).await?;
        let (node, request) = (&self.0, request.into_inner());
        match node.propose(Op::Alarm(request)).await.map_err(refused)? {
            Reply::Alarm(mut answer) => {
                if request.action() != AlarmAction::Get {
                    tracing::info!(?request, "alarms were changed");
                }
                node.complete(&mut answer.header);
                Ok(Response::new(answer))
            }
            other => Err(mismatched(&other)),
        }
    }

    async fn status(&self, request: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        self.demand(&request, Rights::member).await?;
        let node = &self.0;
        let standing = node.standing();
        let (all, in_use) = node.database.size().map_err(|error| unmeasured(&error))?;
        let mut errors = Vec::new();
        if standing.leader.is_none() {
            errors.push(Refusal::NoLeader.to_string());
        }
        let raised = node.database.read(alarms).map_err(|fault| broken(&fault))?;
        for (member_id, alarm) in raised {
            let name = AlarmMember { member_id, alarm }.alarm().as_str_name();
            errors.push(format!("memberID:{member_id} alarm:{name} "));
        }
        Ok(Response::new(StatusResponse {
            header: Some(node.header(node.revision())),
            version: VERSION.to_owned(),
            db_size: all as i64,
            leader: standing.leader.unwrap_or(0),
            raft_index: standing.committed,
            raft_term: standing.term,
            raft_applied_index: standing.applied,
            errors,
            db_size_in_use: in_use as i64,
            is_learner: !standing.voters.contains(&node.identity.member_id),
            storage_version: STORAGE_VERSION.to_owned(),
            db_size_quota: node.config.quota.unwrap_or(0) as i64,
            downgrade_info: Some(DowngradeInfo::default()),
        }))
    }

    async fn defragment(&self, request: Request<DefragmentRequest>) -> Result<Response<DefragmentResponse>, Status> {
        self.demand(&request, Rights::admin).await?;
        // Space is given back all the time; this asks for all of it now.
        self.0.defragment().await.map_err(|error| {
            tracing::error!(%error, "space could not be given back");
            Status::internal("etcdserver: space could not be given back")
        })?;
        Ok(Response::new(DefragmentResponse { header: Some(self.0.header(Revision(0))) }))
    }

    async fn hash(&self, request: Request<HashRequest>) -> Result<Response<HashResponse>, Status> {
        self.demand(&request, Rights::admin).await?;
        let node = Arc::clone(&self.0);
        let database = Arc::clone(&node.database);
        let read = move || {
            database.read(|view| {
                let state = State::load(view)?;
                hash_all(view, &state).map(|hash| (hash, state.revision))
            })
        };
        let (hash, revision) = blocking(read).await?.map_err(failed)?;
        Ok(Response::new(HashResponse { header: Some(node.header(revision)), hash }))
    }

    async fn hash_kv(&self, request: Request<HashKvRequest>) -> Result<Response<HashKvResponse>, Status> {
        self.demand(&request, Rights::admin).await?;
        let (node, revision) = (Arc::clone(&self.0), request.into_inner().revision);
        let database = Arc::clone(&node.database);
        let read = move || {
            database.read(|view| {
                let state = State::load(view)?;
                hash_kv(view, &state, revision).map(|hash| (hash, state))
            })
        };
        let (hash, state) = blocking(read).await?.map_err(failed)?;
        Ok(Response::new(HashKvResponse {
            header: Some(node.header(state.revision)),
            hash: hash.hash,
            compact_revision: hash.compacted.0,
            hash_revision: hash.revision.0,
        }))
    }

    type SnapshotStream = ReceiverStream<Result<SnapshotResponse, Status>>;

    async fn snapshot(&self, request: Request<SnapshotRequest>) -> Result<Response<Self::SnapshotStream>, Status> {
        self.demand(&request, Rights::admin).await?;
        let node = &self.0;
        let place = Arc::clone(&node.snapshots).try_acquire_owned().map_err(|_| refused(Refusal::TooManyRequests))?;
        let folder = node.config.data_dir.join("member");
        Ok(Response::new(ReceiverStream::new(stream::start(Arc::clone(&node.database), &folder, place))))
    }

    async fn move_leader(&self, request: Request<MoveLeaderRequest>) -> Result<Response<MoveLeaderResponse>, Status> {
        self.demand(&request, Rights::admin).await?;
        self.0.move_leader(request.into_inner().target_id).await.map_err(refused)?;
        Ok(Response::new(MoveLeaderResponse { header: Some(self.0.header(Revision(0))) }))
    }

    async fn downgrade(&self, request: Request<DowngradeRequest>) -> Result<Response<DowngradeResponse>, Status> {
        self.demand(&request, Rights::admin).await?;
        let request = request.into_inner();
        // What is on disk is not etcd's, so there is no older release that could read it: none is a target, and none is
        // under way.
        Err(refused(match DowngradeAction::try_from(request.action) {
            Ok(DowngradeAction::Validate | DowngradeAction::Enable) if !is_version(&request.version) => {
                Refusal::WrongVersionFormat
            }
            Ok(DowngradeAction::Validate | DowngradeAction::Enable) => Refusal::InvalidDowngradeTarget,
            Ok(DowngradeAction::Cancel) => Refusal::NoInflightDowngrade,
            Err(_) => Refusal::UnknownMethod,
        }))
    }
}
