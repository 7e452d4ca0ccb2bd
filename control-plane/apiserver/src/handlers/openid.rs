//! What others need to check tokens of service accounts: where the keys are, and the keys.

use bytes::Bytes;
use http::header::CACHE_CONTROL;
use http::{HeaderValue, StatusCode};

use crate::app::App;
use crate::http::respond::{self, Answer};

/// The document at a path; `None` when there is none.
pub(super) fn serve(app: &App, path: &str) -> Option<Answer> {
    let documents = app.authentication.service_accounts.as_ref()?.documents.as_ref()?;
    match path {
        "/.well-known/openid-configuration" => Some(document("application/json", &documents.configuration)),
        "/openid/v1/jwks" => Some(document("application/jwk-set+json", &documents.keys)),
        _ => None,
    }
}

fn document(media_type: &'static str, bytes: &Bytes) -> Answer {
    let mut answer = respond::bytes(StatusCode::OK, media_type, bytes.clone(), false);
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600"));
    answer
}
