//! Users, roles and what they may do; all of it is part of the replicated state.
//!
//! A request is judged twice by the same rules: when it comes in, to know who asks, and at the moment it reads or is
//! applied, against the users and roles of that very state ([`Rights`]). A change of users or roles in between is noticed by
//! the [`Standing`]'s revision. [`change`] applies such changes, [`tokens`] is the table of tokens each member keeps.

pub mod change;
pub mod rights;
pub mod tokens;

use bytes::Bytes;
use prost::Message;
use proto::authpb::{Role, User};

use crate::interval::prefix_end;
use crate::{Fault, Space, View};

pub use rights::Rights;

/// The user who may do everything once he has the role of the same name, and that role.
pub const ROOT: &str = "root";

const USERS: &[u8] = b"auth/user/";
const ROLES: &[u8] = b"auth/role/";

/// Whether users are asked who they are, and how often users and roles changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Whether anything is checked at all.
    pub enabled: bool,
    /// Moves by one with each change of users, roles or permissions.
    pub revision: u64,
}

impl Standing {
    /// Where every store begins.
    pub const FIRST: Self = Self { enabled: false, revision: 1 };
}

/// Someone whose credentials were checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The name.
    pub user: String,
    /// The users and roles the credentials were checked against.
    pub revision: u64,
}

impl Caller {
    /// Who stands in a command.
    #[must_use]
    pub fn of(command: &proto::store::Command) -> Option<Self> {
        let caller = command.caller.as_ref()?;
        Some(Self { user: caller.user.clone(), revision: caller.auth_revision })
    }

    /// As it stands in a command.
    #[must_use]
    pub fn message(&self) -> proto::store::Caller {
        proto::store::Caller { user: self.user.clone(), auth_revision: self.revision }
    }
}

fn keyed(prefix: &[u8], name: &str) -> Vec<u8> {
    [prefix, name.as_bytes()].concat()
}

/// The key in `meta` of a user.
#[must_use]
pub fn user_key(name: &str) -> Vec<u8> {
    keyed(USERS, name)
}

/// The key in `meta` of a role.
#[must_use]
pub fn role_key(name: &str) -> Vec<u8> {
    keyed(ROLES, name)
}

fn load<T: Message + Default>(view: &dyn View, key: &[u8]) -> Result<Option<T>, Fault> {
    view.get(Space::Meta, key)?.map(decode).transpose()
}

fn decode<T: Message + Default>(bytes: Bytes) -> Result<T, Fault> {
    T::decode(bytes).map_err(|error| Fault::Decode(Space::Meta, error))
}

fn all<T: Message + Default>(view: &dyn View, prefix: &[u8]) -> Result<Vec<T>, Fault> {
    let upper = prefix_end(prefix);
    let mut cursor = view.cursor(Space::Meta, prefix, upper.as_deref())?;
    let mut found = Vec::new();
    while let Some((_, value)) = cursor.entry() {
        found.push(decode(Bytes::copy_from_slice(value))?);
        cursor.next()?;
    }
    Ok(found)
}

/// Looks up a user.
pub fn user(view: &dyn View, name: &str) -> Result<Option<User>, Fault> {
    load(view, &user_key(name))
}

/// Looks up a role.
pub fn role(view: &dyn View, name: &str) -> Result<Option<Role>, Fault> {
    load(view, &role_key(name))
}

/// Every user, by name.
pub fn users(view: &dyn View) -> Result<Vec<User>, Fault> {
    all(view, USERS)
}

/// Every role, by name.
pub fn roles(view: &dyn View) -> Result<Vec<Role>, Fault> {
    all(view, ROLES)
}

/// Whether a user has a role.
#[must_use]
pub fn has_role(user: &User, role: &str) -> bool {
    user.roles.iter().any(|one| one == role)
}
