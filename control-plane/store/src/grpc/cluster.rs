//! Members.

use proto::etcdserverpb::cluster_server::Cluster;
use proto::etcdserverpb::{
    Member, MemberAddRequest, MemberAddResponse, MemberListRequest, MemberListResponse, MemberPromoteRequest,
    MemberPromoteResponse, MemberRemoveRequest, MemberRemoveResponse, MemberUpdateRequest, MemberUpdateResponse,
};
use store_core::auth::Rights;
use tonic::{Request, Response, Status};

use super::{Service, not_yet, refused};
use crate::node::Node;

/// Every member; what this one says of itself is what it was started with.
pub(super) fn members(node: &Node) -> Vec<Member> {
    let standing = node.standing();
    let members = standing.members.into_iter();
    members
        .map(|(id, member)| {
            let me = id == node.identity.member_id;
            Member {
                id,
                name: if me { node.config.name.clone() } else { member.name },
                peer_ur_ls: if me { node.config.peer_urls.clone() } else { member.peer_urls },
                client_ur_ls: if me { node.config.advertised.clone() } else { member.client_urls },
                is_learner: !standing.voters.contains(&id),
            }
        })
        .collect()
}

#[tonic::async_trait]
impl Cluster for Service {
    async fn member_add(&self, request: Request<MemberAddRequest>) -> Result<Response<MemberAddResponse>, Status> {
        self.demand(&request, Rights::admin).await?;
        Err(not_yet("adding a member"))
    }

    async fn member_remove(
        &self,
        request: Request<MemberRemoveRequest>,
    ) -> Result<Response<MemberRemoveResponse>, Status> {
        self.demand(&request, Rights::admin).await?;
        Err(not_yet("removing a member"))
    }

    async fn member_update(
        &self,
        request: Request<MemberUpdateRequest>,
    ) -> Result<Response<MemberUpdateResponse>, Status> {
        self.demand(&request, Rights::admin).await?;
        Err(not_yet("updating a member"))
    }

    async fn member_list(&self, request: Request<MemberListRequest>) -> Result<Response<MemberListResponse>, Status> {
        self.demand(&request, Rights::member).await?;
        let node = &self.0;
        if request.into_inner().linearizable {
            node.barrier().await.map_err(refused)?;
        }
        // As with etcd, what is about members has no revision.
        let header = Some(node.header(store_core::Revision(0)));
        Ok(Response::new(MemberListResponse { header, members: members(node) }))
    }

    async fn member_promote(
        &self,
        request: Request<MemberPromoteRequest>,
    ) -> Result<Response<MemberPromoteResponse>, Status> {
        self.demand(&request, Rights::admin).await?;
        Err(not_yet("promoting a member"))
    }
}
