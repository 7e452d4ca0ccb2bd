//! Options of requests: query parameters, and the body of a delete.

use crate::decode::FieldValidation;
use crate::resource::Resource;
use crate::selector::Selection;
use crate::status::Status;

/// Which state a list or watch asks for. See upstream's table of `resourceVersion` semantics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum VersionMatch {
    /// Not said.
    #[default]
    Unset,
    /// This version or a newer one.
    NotOlderThan,
    /// Exactly this version.
    Exact,
}

/// Options of list, watch and deletecollection.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListOptions {
    /// Which objects.
    pub selection: Selection,
    /// GET of the collection with `watch=true`.
    pub watch: bool,
    /// Whether the client knows bookmarks.
    pub allow_watch_bookmarks: bool,
    /// A streaming list.
    pub send_initial_events: Option<bool>,
    /// `None`: unset, the newest state. `Some(0)`: any state.
    pub resource_version: Option<u64>,
    /// How to read it.
    pub version_match: VersionMatch,
    /// When the client wants the watch to end.
    pub timeout_seconds: Option<u64>,
    /// At most so many items; `None` for all.
    pub limit: Option<usize>,
    /// Where to go on. Read it with [`crate::continuation::Continuation::decode`].
    pub continue_token: Option<String>,
}

impl ListOptions {
    /// Reads decoded query parameters and checks them against each other.
    ///
    /// # Errors
    ///
    /// 400 and 422 as upstream.
    pub fn parse(resource: &Resource, query: &[(String, String)]) -> Result<Self, Status> {
        let _ = (resource, query);
        Ok(Self::default())
    }
}

/// Options of get.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GetOptions {
    /// As in [`ListOptions`].
    pub resource_version: Option<u64>,
}

impl GetOptions {
    /// Reads decoded query parameters.
    ///
    /// # Errors
    ///
    /// 400 as upstream.
    pub fn parse(query: &[(String, String)]) -> Result<Self, Status> {
        let _ = query;
        Ok(Self::default())
    }
}

/// Options of create, update and patch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WriteOptions {
    /// `dryRun=All`: everything but the write.
    pub dry_run: bool,
    /// Who writes, for managed fields.
    pub field_manager: Option<String>,
    /// What to do about unknown fields.
    pub field_validation: FieldValidation,
    /// Apply patches only.
    pub force: Option<bool>,
}

/// Which write the options belong to: the kind's name is part of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Write {
    /// POST
    Create,
    /// PUT
    Update,
    /// PATCH
    Patch,
}

impl WriteOptions {
    /// Reads decoded query parameters.
    ///
    /// # Errors
    ///
    /// 400 and 422 as upstream.
    pub fn parse(write: Write, query: &[(String, String)]) -> Result<Self, Status> {
        let _ = (write, query);
        Ok(Self::default())
    }
}

/// What happens to dependents of a deleted object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    /// They stay.
    Orphan,
    /// They go afterwards.
    Background,
    /// They go first.
    Foreground,
}

/// Options of delete and deletecollection.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeleteOptions {
    /// `None`: the kind's own.
    pub grace_period_seconds: Option<i64>,
    /// Only if the object has this uid.
    pub precondition_uid: Option<String>,
    /// Only if the object has this version.
    pub precondition_resource_version: Option<String>,
    /// The old form of propagation.
    pub orphan_dependents: Option<bool>,
    /// What happens to dependents.
    pub propagation: Option<Propagation>,
    /// Everything but the write.
    pub dry_run: bool,
}

impl DeleteOptions {
    /// Reads the body (empty for none; a `DeleteOptions` in JSON) or, without one, decoded query parameters.
    ///
    /// # Errors
    ///
    /// 400 and 422 as upstream.
    pub fn parse(body: &[u8], query: &[(String, String)]) -> Result<Self, Status> {
        let _ = (body, query);
        Ok(Self::default())
    }
}

/// Options of the Table form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IncludeObject {
    /// Rows carry no object.
    None,
    /// Rows carry metadata only.
    #[default]
    Metadata,
    /// Rows carry the whole object.
    Object,
}

impl IncludeObject {
    /// Reads decoded query parameters.
    ///
    /// # Errors
    ///
    /// 400 as upstream.
    pub fn parse(query: &[(String, String)]) -> Result<Self, Status> {
        let _ = query;
        Ok(Self::default())
    }
}
