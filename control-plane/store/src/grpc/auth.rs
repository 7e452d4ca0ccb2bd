//! Users and roles.

use proto::authpb::{Permission, User, permission};
use proto::etcdserverpb::auth_server::Auth;
use proto::etcdserverpb::{
    AuthDisableRequest, AuthDisableResponse, AuthEnableRequest, AuthEnableResponse, AuthRoleAddRequest,
    AuthRoleAddResponse, AuthRoleDeleteRequest, AuthRoleDeleteResponse, AuthRoleGetRequest, AuthRoleGetResponse,
    AuthRoleGrantPermissionRequest, AuthRoleGrantPermissionResponse, AuthRoleListRequest, AuthRoleListResponse,
    AuthRoleRevokePermissionRequest, AuthRoleRevokePermissionResponse, AuthStatusRequest, AuthStatusResponse,
    AuthUserAddRequest, AuthUserAddResponse, AuthUserChangePasswordRequest, AuthUserChangePasswordResponse,
    AuthUserDeleteRequest, AuthUserDeleteResponse, AuthUserGetRequest, AuthUserGetResponse, AuthUserGrantRoleRequest,
    AuthUserGrantRoleResponse, AuthUserListRequest, AuthUserListResponse, AuthUserRevokeRoleRequest,
    AuthUserRevokeRoleResponse, AuthenticateRequest, AuthenticateResponse, ResponseHeader,
};
use proto::store::auth_change::Change;
use proto::store::command::Op;
use proto::store::{AuthChange, PasswordChange, TokenGrant};
use store_core::apply::Reply;
use store_core::auth::{self, Caller, ROOT, Rights, has_role};
use store_core::record::State;
use store_core::{Failure, Refusal, View};
use tonic::{Request, Response, Status};

use super::{Service, failed, mismatched, refused};
use crate::access::NewToken;

/// How often an authentication is begun again because users or roles changed meanwhile.
const TRIES: usize = 8;

/// The longest password bcrypt looks at in whole.
const MAX_PASSWORD: usize = 72;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl Service {
    /// Makes a change on behalf of whoever asked for it.
    async fn change<T>(&self, request: &Request<T>, change: Change) -> Result<Option<ResponseHeader>, Status> {
        let node = &self.0;
        let caller = self.caller(request).await?;
        let op = Op::Auth(AuthChange { change: Some(change) });
        match node.propose_as(op, caller).await.map_err(refused)? {
            Reply::Auth(header) => {
                let mut header = Some(header);
                node.complete(&mut header);
                Ok(header)
            }
            other => Err(mismatched(&other)),
        }
    }

    /// Reads users and roles as they are now, with the rights of whoever asks.
    async fn look<T, R>(
        &self,
        request: &Request<T>,
        look: impl FnOnce(&dyn View, &Rights, Option<&Caller>) -> Result<R, Failure>,
    ) -> Result<(Option<ResponseHeader>, R), Status> {
        let node = &self.0;
        node.barrier().await.map_err(refused)?;
        let caller = self.caller(request).await?;
        let (state, found) = node
            .database
            .read(|view| {
                let state = State::load(view)?;
                let rights = Rights::load(view, &state, caller.as_ref())?;
                look(view, &rights, caller.as_ref()).map(|found| (state, found))
            })
            .map_err(failed)?;
        Ok((Some(node.header(state.revision)), found))
    }

    /// Who has this password, and the state of users and roles it was checked against.
    async fn check_password(&self, name: &str, password: &str) -> Result<Caller, Status> {
        let node = &self.0;
        let read = |view: &dyn View| {
            let state = State::load(view)?;
            if !state.auth.enabled {
                return Err(Failure::Refused(Refusal::AuthNotEnabled));
            }
            Ok((state.auth.revision, auth::user(view, name)?.ok_or(Refusal::AuthFailed)?))
        };
        let (revision, user) = node.database.read(read).map_err(failed)?;
        if user.options.is_some_and(|options| options.no_password) {
            return Err(refused(Refusal::NoPasswordUser));
        }
        if !node.access.matches(password.to_owned(), user.password.to_vec()).await.map_err(refused)? {
            return Err(refused(Refusal::AuthFailed));
        }
        Ok(Caller { user: name.to_owned(), revision })
    }

    /// Hashes a new password, which takes time that only those get who may set one.
    async fn hash<T>(&self, request: &Request<T>, password: String) -> Result<tonic::codegen::Bytes, Status> {
        self.look(request, |_, rights, _| Ok(rights.admin()?)).await?;
        if password.len() > MAX_PASSWORD {
            return Err(Status::unknown(format!("bcrypt: password length exceeds {MAX_PASSWORD} bytes")));
        }
        let hashed = self.0.access.hash(password).await.map_err(refused)?;
        let hashed = hashed.ok_or_else(|| Status::internal("etcdserver: the password could not be hashed"))?;
        Ok(hashed.into_bytes().into())
    }
}

#[tonic::async_trait]
impl Auth for Service {
    async fn auth_enable(&self, request: Request<AuthEnableRequest>) -> Result<Response<AuthEnableResponse>, Status> {
        let header = self.change(&request, Change::Enable(AuthEnableRequest {})).await?;
        tracing::info!("authentication is on");
        Ok(Response::new(AuthEnableResponse { header }))
    }

    async fn auth_disable(
        &self,
        request: Request<AuthDisableRequest>,
    ) -> Result<Response<AuthDisableResponse>, Status> {
        let header = self.change(&request, Change::Disable(AuthDisableRequest {})).await?;
        tracing::info!("authentication is off");
        Ok(Response::new(AuthDisableResponse { header }))
    }

    async fn auth_status(&self, request: Request<AuthStatusRequest>) -> Result<Response<AuthStatusResponse>, Status> {
        let look = |view: &dyn View, rights: &Rights, _: Option<&Caller>| {
            rights.admin()?;
            Ok(State::load(view)?.auth)
        };
        let (header, standing) = self.look(&request, look).await?;
        let (enabled, auth_revision) = (standing.enabled, standing.revision);
        Ok(Response::new(AuthStatusResponse { header, enabled, auth_revision }))
    }

    async fn authenticate(
        &self,
        request: Request<AuthenticateRequest>,
    ) -> Result<Response<AuthenticateResponse>, Status> {
        let (node, request) = (&self.0, request.into_inner());
        node.barrier().await.map_err(refused)?;
        for _ in 0..TRIES {
            let caller = self.check_password(&request.name, &request.password).await?;
            let token = match node.access.new_token(&caller).map_err(refused)? {
                NewToken::Signed(token) => {
                    let header = Some(node.header(node.revision()));
                    return Ok(Response::new(AuthenticateResponse { header, token }));
                }
                NewToken::Random(token) => token,
            };
            let (user, auth_revision) = (caller.user, caller.revision);
            let change = Change::Token(TokenGrant { user, token: token.clone(), auth_revision });
            match node.propose(Op::Auth(AuthChange { change: Some(change) })).await {
                Ok(Reply::Auth(header)) => {
                    let mut header = Some(header);
                    node.complete(&mut header);
                    return Ok(Response::new(AuthenticateResponse { header, token }));
                }
                Ok(other) => return Err(mismatched(&other)),
                Err(Refusal::AuthOldRevision) => {}
                Err(refusal) => return Err(refused(refusal)),
            }
        }
        Err(refused(Refusal::AuthOldRevision))
    }

    async fn user_add(
        &self,
        mut request: Request<AuthUserAddRequest>,
    ) -> Result<Response<AuthUserAddResponse>, Status> {
        let asked = std::mem::take(request.get_mut());
        let mut user = User { name: asked.name.into(), options: asked.options, ..User::default() };
        if !user.options.is_some_and(|options| options.no_password) {
            user.password = self.hash(&request, asked.password).await?;
        }
        let header = self.change(&request, Change::UserAdd(user)).await?;
        Ok(Response::new(AuthUserAddResponse { header }))
    }

    async fn user_get(&self, request: Request<AuthUserGetRequest>) -> Result<Response<AuthUserGetResponse>, Status> {
        let name = &request.get_ref().name;
        let look = |view: &dyn View, rights: &Rights, caller: Option<&Caller>| {
            // Everybody may look at himself.
            if caller.is_none_or(|caller| caller.user != *name) {
                rights.admin()?;
            }
            Ok(auth::user(view, name)?.ok_or(Refusal::UserNotFound)?.roles)
        };
        let (header, roles) = self.look(&request, look).await?;
        Ok(Response::new(AuthUserGetResponse { header, roles }))
    }

    async fn user_list(&self, request: Request<AuthUserListRequest>) -> Result<Response<AuthUserListResponse>, Status> {
        let look = |view: &dyn View, rights: &Rights, _: Option<&Caller>| {
            rights.admin()?;
            Ok(auth::users(view)?.iter().map(|user| text(&user.name)).collect())
        };
        let (header, users) = self.look(&request, look).await?;
        Ok(Response::new(AuthUserListResponse { header, users }))
    }

    async fn user_delete(
        &self,
        request: Request<AuthUserDeleteRequest>,
    ) -> Result<Response<AuthUserDeleteResponse>, Status> {
        let header = self.change(&request, Change::UserDelete(request.get_ref().clone())).await?;
        Ok(Response::new(AuthUserDeleteResponse { header }))
    }

    async fn user_change_password(
        &self,
        mut request: Request<AuthUserChangePasswordRequest>,
    ) -> Result<Response<AuthUserChangePasswordResponse>, Status> {
        let asked = std::mem::take(request.get_mut());
        let hash = self.hash(&request, asked.password).await?;
        let change = Change::UserChangePassword(PasswordChange { user: asked.name, hash });
        let header = self.change(&request, change).await?;
        Ok(Response::new(AuthUserChangePasswordResponse { header }))
    }

    async fn user_grant_role(
        &self,
        request: Request<AuthUserGrantRoleRequest>,
    ) -> Result<Response<AuthUserGrantRoleResponse>, Status> {
        let header = self.change(&request, Change::UserGrantRole(request.get_ref().clone())).await?;
        Ok(Response::new(AuthUserGrantRoleResponse { header }))
    }

    async fn user_revoke_role(
        &self,
        request: Request<AuthUserRevokeRoleRequest>,
    ) -> Result<Response<AuthUserRevokeRoleResponse>, Status> {
        let header = self.change(&request, Change::UserRevokeRole(request.get_ref().clone())).await?;
        Ok(Response::new(AuthUserRevokeRoleResponse { header }))
    }

    async fn role_add(&self, request: Request<AuthRoleAddRequest>) -> Result<Response<AuthRoleAddResponse>, Status> {
        let header = self.change(&request, Change::RoleAdd(request.get_ref().clone())).await?;
        Ok(Response::new(AuthRoleAddResponse { header }))
    }

    async fn role_get(&self, request: Request<AuthRoleGetRequest>) -> Result<Response<AuthRoleGetResponse>, Status> {
        let name = &request.get_ref().role;
        let look = |view: &dyn View, rights: &Rights, caller: Option<&Caller>| {
            if let Err(refusal) = rights.admin() {
                // Everybody may look at the roles he has.
                let user = caller.map(|caller| auth::user(view, &caller.user)).transpose()?.flatten();
                if !user.is_some_and(|user| has_role(&user, name)) {
                    return Err(refusal.into());
                }
            }
            Ok(auth::role(view, name)?.ok_or(Refusal::RoleNotFound)?.key_permission)
        };
        let (header, mut perm) = self.look(&request, look).await?;
        if name == ROOT {
            let perm_type = permission::Type::Readwrite.into();
            perm = vec![Permission { perm_type, key: tonic::codegen::Bytes::new(), range_end: vec![0].into() }];
        }
        Ok(Response::new(AuthRoleGetResponse { header, perm }))
    }

    async fn role_list(&self, request: Request<AuthRoleListRequest>) -> Result<Response<AuthRoleListResponse>, Status> {
        let look = |view: &dyn View, rights: &Rights, _: Option<&Caller>| {
            rights.admin()?;
            Ok(auth::roles(view)?.iter().map(|role| text(&role.name)).collect())
        };
        let (header, roles) = self.look(&request, look).await?;
        Ok(Response::new(AuthRoleListResponse { header, roles }))
    }

    async fn role_delete(
        &self,
        request: Request<AuthRoleDeleteRequest>,
    ) -> Result<Response<AuthRoleDeleteResponse>, Status> {
        let header = self.change(&request, Change::RoleDelete(request.get_ref().clone())).await?;
        Ok(Response::new(AuthRoleDeleteResponse { header }))
    }

    async fn role_grant_permission(
        &self,
        request: Request<AuthRoleGrantPermissionRequest>,
    ) -> Result<Response<AuthRoleGrantPermissionResponse>, Status> {
        let header = self.change(&request, Change::RoleGrantPermission(request.get_ref().clone())).await?;
        Ok(Response::new(AuthRoleGrantPermissionResponse { header }))
    }

    async fn role_revoke_permission(
        &self,
        request: Request<AuthRoleRevokePermissionRequest>,
    ) -> Result<Response<AuthRoleRevokePermissionResponse>, Status> {
        let header = self.change(&request, Change::RoleRevokePermission(request.get_ref().clone())).await?;
        Ok(Response::new(AuthRoleRevokePermissionResponse { header }))
    }
}
