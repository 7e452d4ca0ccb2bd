//! Changes of users, roles and tokens, with etcd's rules and in its order of checks.

use prost::Message;
use proto::authpb::{Permission, Role, User};
use proto::etcdserverpb::{
    AuthRoleGrantPermissionRequest, AuthRoleRevokePermissionRequest, AuthUserGrantRoleRequest,
    AuthUserRevokeRoleRequest,
};
use proto::store::auth_change::Change;
use proto::store::{AuthChange, PasswordChange, TokenGrant};

use super::tokens::TokenChange;
use super::{ROOT, Rights, Standing, has_role, role, role_key, user, user_key, users};
use crate::record::State;
use crate::{Failure, KeyRange, Overlay, Refusal, Space};

/// Whether a caller may make a change. A token is asked for by somebody who is nobody yet: his password was checked.
pub(super) fn judge(rights: &Rights, change: &AuthChange) -> Result<(), Refusal> {
    match change.change {
        Some(Change::Token(_)) | None => Ok(()),
        Some(
            Change::Enable(_)
            | Change::Disable(_)
            | Change::UserAdd(_)
            | Change::UserDelete(_)
            | Change::UserChangePassword(_)
            | Change::UserGrantRole(_)
            | Change::UserRevokeRole(_)
            | Change::RoleAdd(_)
            | Change::RoleDelete(_)
            | Change::RoleGrantPermission(_)
            | Change::RoleRevokePermission(_),
        ) => rights.admin(),
    }
}

/// Applies a change; what became of tokens.
pub fn apply(overlay: &mut Overlay, state: &mut State, change: &AuthChange) -> Result<Vec<TokenChange>, Failure> {
    let standing = &mut state.auth;
    match &change.change {
        Some(Change::Enable(_)) => enable(overlay, standing),
        Some(Change::Disable(_)) => Ok(disable(standing)),
        Some(Change::UserAdd(request)) => user_add(overlay, standing, request),
        Some(Change::UserDelete(request)) => user_delete(overlay, standing, &request.name),
        Some(Change::UserChangePassword(request)) => user_change_password(overlay, standing, request),
        Some(Change::UserGrantRole(request)) => user_grant_role(overlay, standing, request),
        Some(Change::UserRevokeRole(request)) => user_revoke_role(overlay, standing, request),
        Some(Change::RoleAdd(request)) => role_add(overlay, standing, &request.name),
        Some(Change::RoleDelete(request)) => role_delete(overlay, standing, &request.role),
        Some(Change::RoleGrantPermission(request)) => role_grant_permission(overlay, standing, request),
        Some(Change::RoleRevokePermission(request)) => role_revoke_permission(overlay, standing, request),
        Some(Change::Token(request)) => token(standing, request),
        None => Ok(Vec::new()),
    }
}

fn moved(standing: &mut Standing) {
    standing.revision += 1;
}

fn revoked(user: &str) -> TokenChange {
    TokenChange::Revoked { user: user.to_owned() }
}

fn put_user(overlay: &mut Overlay, name: &str, user: &User) {
    overlay.put(Space::Meta, user_key(name), user.encode_to_vec());
}

fn put_role(overlay: &mut Overlay, name: &str, role: &Role) {
    overlay.put(Space::Meta, role_key(name), role.encode_to_vec());
}

fn enable(overlay: &Overlay, standing: &mut Standing) -> Result<Vec<TokenChange>, Failure> {
    if standing.enabled {
        return Ok(Vec::new());
    }
    let root = user(overlay, ROOT)?.ok_or(Refusal::RootUserNotExist)?;
    if !has_role(&root, ROOT) {
        return Err(Refusal::RootRoleNotExist.into());
    }
    standing.enabled = true;
    Ok(Vec::new())
}

fn disable(standing: &mut Standing) -> Vec<TokenChange> {
    if !standing.enabled {
        return Vec::new();
    }
    standing.enabled = false;
    moved(standing);
    vec![TokenChange::AllRevoked]
}

fn user_add(overlay: &mut Overlay, standing: &mut Standing, new: &User) -> Result<Vec<TokenChange>, Failure> {
    let name = std::str::from_utf8(&new.name).map_err(|_| Refusal::UserEmpty)?;
    if name.is_empty() {
        return Err(Refusal::UserEmpty.into());
    }
    if user(overlay, name)?.is_some() {
        return Err(Refusal::UserAlreadyExist.into());
    }
    put_user(overlay, name, new);
    moved(standing);
    Ok(Vec::new())
}

fn user_delete(overlay: &mut Overlay, standing: &mut Standing, name: &str) -> Result<Vec<TokenChange>, Failure> {
    if standing.enabled && name == ROOT {
        return Err(Refusal::InvalidAuthManagement.into());
    }
    if user(overlay, name)?.is_none() {
        return Err(Refusal::UserNotFound.into());
    }
    overlay.remove(Space::Meta, user_key(name));
    moved(standing);
    Ok(vec![revoked(name)])
}

fn user_change_password(
    overlay: &mut Overlay,
    standing: &mut Standing,
    request: &PasswordChange,
) -> Result<Vec<TokenChange>, Failure> {
    let mut changed = user(overlay, &request.user)?.ok_or(Refusal::UserNotFound)?;
    if !changed.options.as_ref().is_some_and(|options| options.no_password) {
        changed.password = request.hash.clone();
    }
    put_user(overlay, &request.user, &changed);
    moved(standing);
    Ok(vec![revoked(&request.user)])
}

fn user_grant_role(
    overlay: &mut Overlay,
    standing: &mut Standing,
    request: &AuthUserGrantRoleRequest,
) -> Result<Vec<TokenChange>, Failure> {
    let mut changed = user(overlay, &request.user)?.ok_or(Refusal::UserNotFound)?;
    if request.role != ROOT && role(overlay, &request.role)?.is_none() {
        return Err(Refusal::RoleNotFound.into());
    }
    if has_role(&changed, &request.role) {
        return Ok(Vec::new());
    }
    changed.roles.push(request.role.clone());
    changed.roles.sort();
    put_user(overlay, &request.user, &changed);
    moved(standing);
    Ok(Vec::new())
}

fn user_revoke_role(
    overlay: &mut Overlay,
    standing: &mut Standing,
    request: &AuthUserRevokeRoleRequest,
) -> Result<Vec<TokenChange>, Failure> {
    if standing.enabled && request.name == ROOT && request.role == ROOT {
        return Err(Refusal::InvalidAuthManagement.into());
    }
    let mut changed = user(overlay, &request.name)?.ok_or(Refusal::UserNotFound)?;
    if !has_role(&changed, &request.role) {
        return Err(Refusal::RoleNotGranted.into());
    }
    changed.roles.retain(|role| *role != request.role);
    put_user(overlay, &request.name, &changed);
    moved(standing);
    Ok(Vec::new())
}

fn role_add(overlay: &mut Overlay, standing: &mut Standing, name: &str) -> Result<Vec<TokenChange>, Failure> {
    if name.is_empty() {
        return Err(Refusal::RoleEmpty.into());
    }
    if role(overlay, name)?.is_some() {
        return Err(Refusal::RoleAlreadyExist.into());
    }
    put_role(overlay, name, &Role { name: name.to_owned().into(), key_permission: Vec::new() });
    moved(standing);
    Ok(Vec::new())
}

fn role_delete(overlay: &mut Overlay, standing: &mut Standing, name: &str) -> Result<Vec<TokenChange>, Failure> {
    if standing.enabled && name == ROOT {
        return Err(Refusal::InvalidAuthManagement.into());
    }
    if role(overlay, name)?.is_none() {
        return Err(Refusal::RoleNotFound.into());
    }
    overlay.remove(Space::Meta, role_key(name));
    let mut changes = Vec::new();
    for mut one in users(overlay)? {
        if has_role(&one, name) {
            one.roles.retain(|role| role != name);
            let user = String::from_utf8_lossy(&one.name).into_owned();
            put_user(overlay, &user, &one);
            changes.push(TokenChange::Revoked { user });
        }
    }
    moved(standing);
    Ok(changes)
}

fn role_grant_permission(
    overlay: &mut Overlay,
    standing: &mut Standing,
    request: &AuthRoleGrantPermissionRequest,
) -> Result<Vec<TokenChange>, Failure> {
    let new = request.perm.as_ref().ok_or(Refusal::PermissionNotGiven)?;
    if new.key.is_empty() || KeyRange::new(new.key.clone(), &new.range_end).is_empty() {
        return Err(Refusal::InvalidAuthManagement.into());
    }
    let mut changed = role(overlay, &request.name)?.ok_or(Refusal::RoleNotFound)?;
    let same = |one: &&mut Permission| one.key == new.key && one.range_end == new.range_end;
    if let Some(old) = changed.key_permission.iter_mut().find(same) {
        old.perm_type = new.perm_type;
    } else {
        changed.key_permission.push(new.clone());
        changed.key_permission.sort_by(|left, right| left.key.cmp(&right.key));
    }
    put_role(overlay, &request.name, &changed);
    moved(standing);
    Ok(Vec::new())
}

fn role_revoke_permission(
    overlay: &mut Overlay,
    standing: &mut Standing,
    request: &AuthRoleRevokePermissionRequest,
) -> Result<Vec<TokenChange>, Failure> {
    let mut changed = role(overlay, &request.role)?.ok_or(Refusal::RoleNotFound)?;
    let before = changed.key_permission.len();
    changed.key_permission.retain(|one| one.key != request.key || one.range_end != request.range_end);
    if changed.key_permission.len() == before {
        return Err(Refusal::PermissionNotGranted.into());
    }
    put_role(overlay, &request.role, &changed);
    moved(standing);
    Ok(Vec::new())
}

fn token(standing: &Standing, request: &TokenGrant) -> Result<Vec<TokenChange>, Failure> {
    if !standing.enabled {
        return Err(Refusal::AuthNotEnabled.into());
    }
    if request.auth_revision != standing.revision {
        return Err(Refusal::AuthOldRevision.into());
    }
    Ok(vec![TokenChange::Granted { user: request.user.clone(), token: request.token.clone() }])
}

#[cfg(test)]
mod tests;
