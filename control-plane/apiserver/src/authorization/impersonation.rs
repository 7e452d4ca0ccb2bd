//! Acting as somebody else.

use apiserver_core::Status;
use apiserver_core::user::User;
use authorization::Attributes;
use authorization::impersonation::{Check, Mode, read};
use http::HeaderMap;

use super::Asked;
use crate::app::App;

/// The user a request acts as: who is behind it or, if the headers say so and it may be, somebody else.
pub(crate) fn impersonated(app: &App, user: User, headers: &HeaderMap, asked: &Asked) -> Result<User, Status> {
    let Some(wanted) = read(headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())))? else {
        return Ok(user);
    };
    let mut first = None;
    for mode in Mode::all(&user, &wanted, asked.verb()) {
        match passes(app, &user, &mode, asked) {
            Ok(()) => {
                tracing::debug!(user = %user.name, acts_as = %mode.user.name, groups = ?mode.user.groups, "impersonation");
                return Ok(mode.user);
            }
            Err(status) => first = first.or(Some(status)),
        }
    }
    Err(first.unwrap_or_else(Status::unauthorized))
}

fn passes(app: &App, user: &User, mode: &Mode, asked: &Asked) -> Result<(), Status> {
    let requester = mode.requester.as_ref().unwrap_or(user);
    for step in &mode.steps {
        if step.all.as_ref().is_some_and(|check| pass(app, requester, check, asked).is_ok()) {
            continue;
        }
        for check in &step.each {
            pass(app, requester, check, asked)?;
        }
    }
    Ok(())
}

fn pass(app: &App, requester: &User, check: &Check, asked: &Asked) -> Result<(), Status> {
    let ask = |attributes: Attributes<'_>| {
        let verdict = app.authorization.decide(&attributes);
        if verdict.is_allowed() { Ok(()) } else { Err(attributes.refusal(&verdict.reason)) }
    };
    match check {
        Check::Request(verb) => ask(asked.under(verb, requester)),
        Check::Subject(subject) => ask(subject.attributes(requester)),
        Check::Never(subject, why) => Err(subject.attributes(requester).refusal(why)),
    }
}
