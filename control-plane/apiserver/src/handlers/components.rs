//! GET of component statuses: how the parts this server depends on are, asked at this moment.

mod probe;

use std::sync::Arc;

use apiserver_core::options::ListOptions;
use apiserver_core::{Object, Status, engine};
use bytes::Bytes;
use http::StatusCode;

use super::{list, list_metadata, object};
use crate::app::App;
use crate::call::Call;
use crate::health;
use crate::http::respond::Answer;

/// The name of the store among the parts.
const STORE: &str = "etcd-0";
/// The parts on this machine that are asked over HTTPS, with their ports.
const ASKED: [(&str, u16); 2] = [("controller-manager", 10257), ("scheduler", 10259)];

/// Answers for one part, or for all.
pub(super) async fn serve(app: &Arc<App>, call: &Call) -> Result<Answer, Status> {
    let name = call.target.name.as_str();
    let is_wanted = |part: &str| name.is_empty() || name == part;
    let asked = ASKED.into_iter().filter(|(part, _)| is_wanted(part)).map(|(part, port)| async move {
        match probe::ask(port).await {
            Ok(said) => engine::component_status(part, true, &said, ""),
            Err(why) => engine::component_status(part, false, &why, ""),
        }
    });
    let kept = async { if is_wanted(STORE) { Some(store(app).await) } else { None } };
    let (mut parts, kept) = futures::join!(futures::future::join_all(asked), kept);
    parts.extend(kept);
    parts.sort_by(|one, other| one.name().cmp(&other.name()));
    if name.is_empty() {
        let options = ListOptions::parse(&call.row, &call.query)?;
        let selected = parts.iter().filter(|part| {
            // The name is the only field a selector can ask for.
            options.selection.labels.matches(|key| part.label(key))
                && options.selection.fields.matches(|_| part.name().unwrap_or_default())
        });
        let bodies: Vec<Bytes> = selected.map(|part| part.to_bytes().into()).collect();
        return list::encoded(call, &list_metadata(0, None, None), &bodies);
    }
    let part = parts.iter().find(|part| part.name() == Some(name));
    let part = part.ok_or_else(|| Status::not_found(&call.row, name))?;
    object(call, StatusCode::OK, part.to_bytes().into())
}

async fn store(app: &App) -> Object {
    if health::store_is_well(app).await {
        engine::component_status(STORE, true, "ok", "")
    } else {
        engine::component_status(STORE, false, "", "the store does not answer")
    }
}
