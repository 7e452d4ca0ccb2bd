//! Members.

use proto::etcdserverpb::cluster_server::Cluster;
use proto::etcdserverpb::{
    Member, MemberAddRequest, MemberAddResponse, MemberListRequest, MemberListResponse, MemberPromoteRequest,
    MemberPromoteResponse, MemberRemoveRequest, MemberRemoveResponse, MemberUpdateRequest, MemberUpdateResponse,
    ResponseHeader,
};
use store_core::auth::Rights;
use store_core::{Fault, members};
use tonic::{Request, Response, Status};

use super::{Service, broken, refused};
use crate::node::Node;
use crate::node::members::Change;

/// Every member: where the log says it is, and what it published of itself when it started.
pub(super) fn list(node: &Node) -> Result<Vec<Member>, Fault> {
    let standing = node.standing();
    node.database.read(|view| {
        let members = standing.members.into_iter().map(|(id, member)| {
            let published = members::record(view, id)?.filter(|record| record.started);
            let (name, client_ur_ls) = match published {
                Some(record) => (record.name, record.client_urls),
                // The first members of older clusters said it in the log.
                None if !member.client_urls.is_empty() => (member.name, member.client_urls),
                None => (String::new(), Vec::new()),
            };
            let is_learner = !standing.voters.contains(&id);
            Ok(Member { id, name, peer_ur_ls: member.peer_urls, client_ur_ls, is_learner })
        });
        members.collect()
    })
}

impl Service {
    /// Changes members; whom it was about, and what answers say.
    async fn change_members(&self, change: Change) -> Result<(u64, Option<ResponseHeader>, Vec<Member>), Status> {
        let node = &self.0;
        let id = node.change_members(change).await.map_err(refused)?;
        // As with etcd, what is about members has no revision.
        let header = Some(node.header(store_core::Revision(0)));
        Ok((id, header, list(node).map_err(|fault| broken(&fault))?))
    }
}

#[tonic::async_trait]
impl Cluster for Service {
    async fn member_add(&self, request: Request<MemberAddRequest>) -> Result<Response<MemberAddResponse>, Status> {
        self.demand(&request, Rights::admin).await?;
        let request = request.into_inner();
        let change = Change::Add { peer_urls: request.peer_ur_ls, learner: request.is_learner };
        let (id, header, members) = self.change_members(change).await?;
        let member = members.iter().find(|member| member.id == id).cloned();
        Ok(Response::new(MemberAddResponse { header, member, members }))
    }

    async fn member_remove(
        &self,
        request: Request<MemberRemoveRequest>,
    ) -> Result<Response<MemberRemoveResponse>, Status> {
        self.demand(&request, Rights::admin).await?;
        let (_, header, members) = self.change_members(Change::Remove(request.into_inner().id)).await?;
        Ok(Response::new(MemberRemoveResponse { header, members }))
    }

    async fn member_update(
        &self,
        request: Request<MemberUpdateRequest>,
    ) -> Result<Response<MemberUpdateResponse>, Status> {
        self.demand(&request, Rights::admin).await?;
        let request = request.into_inner();
        let change = Change::Update { id: request.id, peer_urls: request.peer_ur_ls };
        let (_, header, members) = self.change_members(change).await?;
        Ok(Response::new(MemberUpdateResponse { header, members }))
    }

    async fn member_list(&self, request: Request<MemberListRequest>) -> Result<Response<MemberListResponse>, Status> {
        self.demand(&request, Rights::member).await?;
        let node = &self.0;
        if request.into_inner().linearizable {
            node.barrier().await.map_err(refused)?;
        }
        // As with etcd, what is about members has no revision.
        let header = Some(node.header(store_core::Revision(0)));
        let members = list(node).map_err(|fault| broken(&fault))?;
        Ok(Response::new(MemberListResponse { header, members }))
    }

    async fn member_promote(
        &self,
        request: Request<MemberPromoteRequest>,
    ) -> Result<Response<MemberPromoteResponse>, Status> {
        self.demand(&request, Rights::admin).await?;
        let (_, header, members) = self.change_members(Change::Promote(request.into_inner().id)).await?;
        Ok(Response::new(MemberPromoteResponse { header, members }))
    }
}
