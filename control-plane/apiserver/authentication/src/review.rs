//! `TokenReview`: the same judgement as for a request, told to whoever may ask.

use apiserver_core::user::User;
use apiserver_core::{Object, Status};
use serde_json::{Map, Value, json};

use crate::{Identity, Refused, known};

/// What a review asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The token.
    pub token: String,
    /// Who it would have to be for.
    pub audiences: Vec<String>,
}

/// Reads a review. `own` are the audiences of this server, which it means when it names none.
///
/// # Errors
///
/// 400 without a token.
pub fn question(review: &Object, own: &[String]) -> Result<Question, Status> {
    let Some(token) = review.text(&["spec", "token"]) else {
        return Err(Status::bad_request("token is required for TokenReview in authentication"));
    };
    let mut audiences: Vec<String> =
        review.list(&["spec", "audiences"]).iter().filter_map(|one| one.as_str().map(str::to_owned)).collect();
    if audiences.is_empty() {
        audiences = own.to_vec();
    }
    Ok(Question { token: token.to_owned(), audiences })
}

/// The review with its answer.
pub fn answered(mut review: Object, outcome: Result<Identity, Vec<Refused>>) -> Object {
    let status = match outcome {
        Ok(Identity { user, audiences }) => {
            let mut status = json!({ "authenticated": true, "user": user_info(&known(user)) });
            if !audiences.is_empty() {
                status["audiences"] = audiences.into();
            }
            status
        }
        Err(refusals) => json!({ "user": {}, "error": Refused::joined(&refusals) }),
    };
    review.set(&["status"], status);
    review
}

/// A user as reviews show one.
fn user_info(user: &User) -> Value {
    let mut info = Map::new();
    let mut set = |name: &str, value: Value| info.insert(name.to_owned(), value);
    set("username", user.name.clone().into());
    if !user.uid.is_empty() {
        set("uid", user.uid.clone().into());
    }
    if !user.groups.is_empty() {
        set("groups", user.groups.clone().into());
    }
    if !user.extra.is_empty() {
        set("extra", json!(user.extra));
    }
    Value::Object(info)
}
