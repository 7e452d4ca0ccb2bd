//! Tokens with which a client continues a paged list: upstream's form, so that tokens survive a change of server.

use base64::Engine as _;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

use crate::status::Status;

/// Where a paged list goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Continuation {
    /// The revision of the whole list; `None` to continue at the newest state, inconsistently.
    pub revision: Option<i64>,
    /// The first key to send, complete, `/registry/…`.
    pub start: String,
}

#[derive(Serialize, Deserialize)]
struct Token {
    v: String,
    rv: i64,
    start: String,
}

const VERSION: &str = "meta.k8s.io/v1";

impl Continuation {
    /// A list that was sent up to `last` (its key), read at `revision`, goes on right after it.
    pub fn after(last: &str, revision: i64) -> Self {
        Self { revision: Some(revision), start: format!("{last}\0") }
    }

    /// The token to send. `prefix` is the list's key prefix, with which `start` begins.
    pub fn encode(&self, prefix: &str) -> String {
        let start = self.start.strip_prefix(prefix).unwrap_or(&self.start).to_owned();
        let token = Token { v: VERSION.into(), rv: self.revision.unwrap_or(-1), start };
        // Three strings and a number cannot fail to serialize.
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(&token).unwrap_or_default())
    }

    /// Reads a token that belongs to a list under `prefix`.
    ///
    /// # Errors
    ///
    /// 400 for anything we or upstream would not have made, among it starts that lead out of the prefix.
    pub fn decode(token: &str, prefix: &str) -> Result<Self, Status> {
        let bad = |why: &str| Status::bad_request(format!("invalid continue token: continue key is not valid{why}"));
        let bytes = URL_SAFE_NO_PAD
            .decode(token)
            .or_else(|_| URL_SAFE.decode(token))
            .map_err(|error| bad(&format!(": {error}")))?;
        let token: Token = serde_json::from_slice(&bytes).map_err(|error| bad(&format!(": {error}")))?;
        if token.v != VERSION {
            return Err(bad(&format!(": server does not recognize this encoded version {}", token.v)));
        }
        if token.rv == 0 {
            return Err(bad(": incorrect encoded start resourceVersion (version meta.k8s.io/v1)"));
        }
        if token.start.is_empty() {
            return Err(bad(": encoded start key empty (version meta.k8s.io/v1)"));
        }
        // What is not as short as can be may lead somewhere else.
        let path = token.start.strip_prefix('/').unwrap_or(&token.start);
        if path.split('/').any(|step| matches!(step, "" | "." | "..")) {
            return Err(bad(&format!(": {}", token.start)));
        }
        let start = format!("{prefix}{path}");
        Ok(Self { revision: (token.rv > 0).then_some(token.rv), start })
    }
}

/// `metadata.remainingItemCount`: what is left after this page; never said when a selector hides items.
pub fn remaining_items(left: usize, selective: bool) -> Option<i64> {
    (left > 0 && !selective).then_some(left as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_round_trips_and_stays_inside_its_prefix() {
        let prefix = "/registry/pods/";
        let here = Continuation::after("/registry/pods/default/a", 42);
        assert_eq!(Continuation::decode(&here.encode(prefix), prefix), Ok(here));
        let newest = Continuation { revision: None, start: "/registry/pods/default/a\0".into() };
        assert_eq!(Continuation::decode(&newest.encode(prefix), prefix), Ok(newest));
        let refused = |text: &str| Continuation::decode(&URL_SAFE_NO_PAD.encode(text), prefix).unwrap_err().message;
        for (token, why) in [
            (r#"{"v":"meta.k8s.io/v1","rv":1,"start":"../secrets/x"}"#, ": ../secrets/x"),
            (r#"{"v":"meta.k8s.io/v1","rv":1,"start":"a//b"}"#, ": a//b"),
            (r#"{"v":"meta.k8s.io/v1","rv":1,"start":""}"#, ": encoded start key empty (version meta.k8s.io/v1)"),
            (
                r#"{"v":"meta.k8s.io/v1","rv":0,"start":"a"}"#,
                ": incorrect encoded start resourceVersion (version meta.k8s.io/v1)",
            ),
            (r#"{"v":"v9","rv":1,"start":"a"}"#, ": server does not recognize this encoded version v9"),
        ] {
            assert_eq!(refused(token), format!("invalid continue token: continue key is not valid{why}"));
        }
        assert!(Continuation::decode("%%%", prefix).is_err());
    }

    #[test]
    fn the_token_is_upstreams() {
        let token = Continuation::after("/registry/pods/default/a", 42).encode("/registry/pods/");
        assert_eq!(
            URL_SAFE_NO_PAD.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok()),
            Some(r#"{"v":"meta.k8s.io/v1","rv":42,"start":"default/a\u0000"}"#.into())
        );
    }
}
