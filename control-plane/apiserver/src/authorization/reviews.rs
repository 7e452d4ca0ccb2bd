//! Answers to questions about who may do what.

use apiserver_core::Object;
use authorization::review::Question;

use crate::app::App;
use crate::call::Call;

/// The group of the questions.
pub(crate) const GROUP: &str = "authorization.k8s.io";

/// The answer to a question that makes sense.
pub(crate) fn answer(app: &App, call: &Call, mut question: Object) -> Object {
    let about_oneself = call.row.kind.starts_with("Self");
    let status = if call.row.kind == "SelfSubjectRulesReview" {
        let namespace = question.text(&["spec", "namespace"]).unwrap_or_default();
        app.authorization.rights(&call.user, namespace).status()
    } else {
        let asked = Question::read(&question, about_oneself.then_some(&call.user));
        asked.status(&app.authorization.decide(&asked.attributes()))
    };
    question.set(&["status"], status);
    question
}
