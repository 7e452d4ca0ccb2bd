//! `AuthenticationConfiguration`: whose tokens are taken besides our own, and where nobody need say who they are.
//!
//! The file is read as written, then checked as a whole: every bad field is named at once, in upstream's words.

mod check;
mod written;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use apiserver_core::field::Errors;

use crate::jose::Algorithm;

/// The configuration, checked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Configuration {
    /// The issuers, in the order they are asked.
    pub issuers: Vec<Issuer>,
    /// Where requests without credentials are let in; `None` leaves it to the command line.
    pub anonymous: Option<Anonymous>,
}

/// Where requests without credentials are let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Anonymous {
    /// Nowhere.
    Nowhere,
    /// Everywhere.
    Everywhere,
    /// At these paths.
    At(Vec<String>),
}

impl Anonymous {
    /// Whether a path is one of them.
    pub fn lets_in(&self, path: &str) -> bool {
        match self {
            Self::Nowhere => false,
            Self::Everywhere => true,
            Self::At(paths) => paths.iter().any(|one| one == path),
        }
    }
}

/// Whose tokens are taken, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer {
    /// `iss` of its tokens.
    pub url: String,
    /// Where its document of discovery is, if not below its URL.
    pub discovery_url: Option<String>,
    /// The authorities its server's certificate must lead to, in PEM; those of the machine if there are none.
    pub authority: Option<String>,
    /// `aud` must have one of them.
    pub audiences: Vec<String>,
    /// How its tokens may be signed.
    pub algorithms: Vec<Algorithm>,
    /// Claims that must have a value.
    pub required: BTreeMap<String, String>,
    /// Which claim is the name of the user.
    pub user: Claim,
    /// Which claim has the groups of the user.
    pub groups: Option<Claim>,
    /// Which claim is the uid of the user.
    pub uid: Option<String>,
}

/// A claim, and what is put before its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Its name.
    pub name: String,
    /// What is put before.
    pub prefix: String,
}

/// What is wrong with a file.
#[derive(Debug)]
pub enum Bad {
    /// It is no configuration.
    Unreadable(String),
    /// Fields of it make no sense.
    Fields(Errors),
}

impl std::fmt::Display for Bad {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unreadable(why) => f.write_str(why),
            Self::Fields(errors) => {
                let all: Vec<String> = errors.as_slice().iter().map(ToString::to_string).collect();
                if let [one] = all.as_slice() { f.write_str(one) } else { write!(f, "[{}]", all.join(", ")) }
            }
        }
    }
}

impl std::error::Error for Bad {}

impl Configuration {
    /// Reads and checks a file of YAML or JSON. `own` are the issuers of this server, which nobody else may be.
    ///
    /// # Errors
    ///
    /// When it is no such file, or says what makes no sense.
    pub fn read(text: &[u8], own: &[String]) -> Result<Self, Bad> {
        let written = written::read(text).map_err(Bad::Unreadable)?;
        let mut errors = Errors::new();
        let checked = check::check(written, own, &mut errors);
        if errors.is_empty() { Ok(checked) } else { Err(Bad::Fields(errors)) }
    }
}
