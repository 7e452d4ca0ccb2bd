//! What a record says.

use serde::{Deserialize, Serialize};

use crate::Hash;

/// Letters of a text that are kept. A caller chooses some of them, and must not be able to push older records out.
const LONGEST: usize = 256;
/// Roles of a caller that are kept.
const MOST_ROLES: usize = 8;

/// One record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Record {
    /// Its number; the first is 1, and none is left out.
    pub seq: u64,
    /// When, in milliseconds since 1970 by the machine's clock.
    pub time_ms: u64,
    /// The id of the boot.
    pub boot: String,
    /// What happened.
    pub event: Event,
    /// The hash of the record before.
    pub previous: Hash,
}

/// A call or a local trigger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Event {
    /// Who; absent for someone without a certificate and for the machine itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub who: Option<Who>,
    /// From where: an address, or which part of the machine.
    pub from: String,
    /// Which method, or which trigger.
    pub what: String,
    /// What became of it.
    pub outcome: Outcome,
    /// More, in words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// A caller with a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Who {
    /// Common name.
    pub name: String,
    /// Organizations, as the certificate has them.
    pub roles: Vec<String>,
    /// Serial number, hexadecimal.
    pub serial: String,
    /// SHA-256 of the certificate, hexadecimal.
    pub fingerprint: String,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// A call was let through; what it does begins after this record is on disk.
    Allowed,
    /// A call was refused.
    Refused,
    /// A call that acts did what it was to do.
    Done,
    /// A call that acts did not do it.
    Failed,
    /// Something happened on the machine itself.
    Happened,
}

impl Outcome {
    /// The word in the record.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Refused => "refused",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Happened => "happened",
        }
    }
}

impl Event {
    /// Something that happened on the machine itself.
    #[must_use]
    pub fn local(from: &str, what: &str, detail: impl Into<String>) -> Self {
        Self {
            who: None,
            from: from.to_owned(),
            what: what.to_owned(),
            outcome: Outcome::Happened,
            detail: detail.into(),
        }
    }

    /// The same with every text cut to what is kept, and without control characters: records are shown on terminals.
    pub(crate) fn bounded(mut self) -> Self {
        if let Some(who) = &mut self.who {
            who.roles.truncate(MOST_ROLES);
            let texts = [&mut who.name, &mut who.serial, &mut who.fingerprint];
            texts.into_iter().chain(&mut who.roles).for_each(bound);
        }
        [&mut self.from, &mut self.what, &mut self.detail].into_iter().for_each(bound);
        self
    }
}

fn bound(text: &mut String) {
    if text.len() > LONGEST || text.chars().any(char::is_control) {
        *text = text.chars().filter(|letter| !letter.is_control()).take(LONGEST).collect();
    }
}
