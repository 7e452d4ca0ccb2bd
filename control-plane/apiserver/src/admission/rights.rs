//! Rights that plugins ask about, beyond those of the request itself.

use admission::Question;
use apiserver_core::user::User;
use authorization::attributes::Objects;
use authorization::{Attributes, Target};

use crate::app::App;

/// Whether a user may do something.
pub(super) fn may(app: &App, user: &User, question: &Question) -> bool {
    let target = Target::Resource(Objects {
        group: &question.group,
        version: &question.version,
        resource: &question.plural,
        subresource: question.subresource,
        namespace: &question.namespace,
        name: &question.name,
        selectors: None,
    });
    app.authorization.decide(&Attributes { user, verb: question.verb, target }).is_allowed()
}
