//! POST of a question: who am I, may somebody do something.

use std::sync::Arc;

use apiserver_core::Status;
use apiserver_core::decode::decode_object;
use apiserver_core::engine;
use apiserver_core::options::{Write, WriteOptions};
use authentication::review;
use http::StatusCode;

use crate::app::App;
use crate::authorization::reviews;
use crate::call::Call;
use crate::http::negotiate::{self, Allowed};
use crate::http::respond::{self, Answer};

/// Answers with the question and its answer. Nothing is stored, and of nothing there are tables.
pub(super) async fn answer(app: &Arc<App>, call: &Call) -> Result<Answer, Status> {
    let form = negotiate::answer(&call.headers, &call.query, Allowed::Plain)?;
    let options = WriteOptions::parse(Write::Create, &call.query)?;
    let (format, body) = call.text(call.definition()).await?;
    let decoded = decode_object(&call.row, None, format, &body, options.field_validation)?;
    call.warn(decoded.warnings);
    let answered = if call.row.kind == "TokenReview" {
        let question = review::question(&decoded.object, &app.authentication.audiences)?;
        let judged = app.authentication.token(app, &question.token, &question.audiences).await;
        review::answered(decoded.object, judged.map(|(identity, _)| identity))
    } else if call.row.group == reviews::GROUP {
        engine::check_question(&call.row, call.namespace(), &decoded.object)?;
        reviews::answer(app, call, decoded.object)
    } else {
        engine::answer(&call.row, call.namespace(), decoded.object, &call.user)?
    };
    Ok(respond::json(StatusCode::CREATED, call.definition(), answered.to_bytes().into(), form))
}
