//! The objects a token speaks of, as far as they matter.

use std::collections::BTreeMap;

/// The kind of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The account itself.
    ServiceAccount,
    /// The pod the token was given to.
    Pod,
    /// The secret the token is in, or lives as long as.
    Secret,
    /// The node the token was given to.
    Node,
}

impl Kind {
    /// The name of its resource.
    pub const fn plural(self) -> &'static str {
        match self {
            Self::ServiceAccount => "serviceaccounts",
            Self::Pod => "pods",
            Self::Secret => "secrets",
            Self::Node => "nodes",
        }
    }
}

/// An object to look up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace; `None` for a node.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// The uid it should have: an object with another one may be newer than what was looked at.
    pub uid: String,
}

/// What is there of an object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Seen {
    /// `metadata.uid`
    pub uid: String,
    /// `metadata.deletionTimestamp`, in seconds since 1970.
    pub deleted: Option<i64>,
    /// `metadata.labels`
    pub labels: BTreeMap<String, String>,
    /// Of a secret: the token in it.
    pub token: Vec<u8>,
    /// Of a service account: the names of its secrets.
    pub secrets: Vec<String>,
}

/// The objects that were found, each kind at most once.
pub type Found = BTreeMap<Kind, Seen>;
