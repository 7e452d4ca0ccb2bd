//! Rights that plugins ask about, beyond those of the request itself.

use admission::Question;
use apiserver_core::authorize::{Attributes, authorize};
use apiserver_core::user::User;

use crate::app::App;

/// Whether a user may do something.
#[expect(clippy::unused_async, reason = "an authorizer may have to ask elsewhere")]
pub(super) async fn may(_app: &App, user: &User, question: &Question) -> bool {
    let Question { verb, group, version, plural, name, .. } = question;
    authorize(user, &Attributes::Path { verb, path: &format!("/apis/{group}/{version}/{plural}/{name}") }).is_ok()
}
