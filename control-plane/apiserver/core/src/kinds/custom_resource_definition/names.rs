//! What a resource and its kind are called, and who may use the groups of the community.

use serde_json::{Map, Value};

use crate::field::{Errors, Path};
use crate::kinds::tree::{at, text, texts};
use crate::names::dns_1035_label;
use crate::object::Object;

const APPROVED: &str = "api-approved.kubernetes.io";
const PROPOSAL: &str = "see https://github.com/kubernetes/enhancements/pull/1111";

/// Fills in the names that follow from the kind.
pub(super) fn default(spec: &mut Map<String, Value>) {
    let Some(names) = spec.get_mut("names").and_then(Value::as_object_mut) else { return };
    let kind = names.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
    if !kind.is_empty() {
        for (name, value) in [("singular", kind.to_lowercase()), ("listKind", format!("{kind}List"))] {
            crate::kinds::tree::or_set(names, name, value);
        }
    }
}

/// Names that must be there in what is wished for.
pub(super) fn require(names: &Value, path: &Path, errors: &mut Errors) {
    for name in ["plural", "singular", "kind", "listKind"] {
        if text(names, name).is_empty() {
            errors.required(&path.child(name), "");
        }
    }
}

/// Checks the names that are there.
pub(super) fn validate(names: &Value, path: &Path, errors: &mut Errors) {
    for name in ["plural", "singular"] {
        check(text(names, name), &path.child(name), errors);
    }
    for name in ["kind", "listKind"] {
        let value = text(names, name);
        let wrong = dns_1035_label(&value.to_lowercase());
        if !value.is_empty() && !wrong.is_empty() {
            let why = format!("may have mixed case, but should otherwise match: {}", wrong.join(","));
            errors.invalid(&path.child(name), value, &why);
        }
    }
    check_all(names, "shortNames", path, errors);
    let (kind, list_kind) = (text(names, "kind"), text(names, "listKind"));
    if !kind.is_empty() && kind == list_kind {
        errors.invalid(&path.child("listKind"), list_kind, "kind and listKind may not be the same");
    }
    check_all(names, "categories", path, errors);
}

fn check_all(names: &Value, name: &str, path: &Path, errors: &mut Errors) {
    for (index, value) in texts(names, name).enumerate() {
        let wrong = dns_1035_label(value);
        if !wrong.is_empty() {
            errors.invalid(&path.child(name).index(index), value, &wrong.join(","));
        }
    }
}

fn check(value: &str, path: &Path, errors: &mut Errors) {
    let wrong = dns_1035_label(value);
    if !value.is_empty() && !wrong.is_empty() {
        errors.invalid(path, value, &wrong.join(","));
    }
}

/// Whether the owners of the group have agreed.
#[derive(PartialEq, Eq)]
enum Approval {
    Given,
    Bypassed,
    Missing,
    Nonsense,
}

fn approval(object: &Object) -> Approval {
    match object.text(&["metadata", "annotations", APPROVED]).unwrap_or_default() {
        "" => Approval::Missing,
        said if said.starts_with("unapproved") => Approval::Bypassed,
        said if is_address(said) => Approval::Given,
        _ => Approval::Nonsense,
    }
}

/// Whether a text is a URL with a scheme and a host.
fn is_address(text: &str) -> bool {
    text.split_once("://").is_some_and(|(scheme, rest)| {
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let mut letters = scheme.chars();
        let fits = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
        letters.next().is_some_and(|c| c.is_ascii_alphabetic())
            && letters.all(fits)
            && !host.is_empty()
            && !text.contains(|c: char| c.is_ascii_control() || c == ' ')
    })
}

/// Refuses groups of the community without a word of theirs. What was so before may stay.
pub(super) fn validate_approval(new: &Object, old: Option<&Object>, errors: &mut Errors) {
    let group = text(at(new, &["spec"]), "group");
    let within = |domain: &str| group == domain || group.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
    if !(within("k8s.io") || within("kubernetes.io")) {
        return;
    }
    let now = approval(new);
    if old.is_some_and(|old| approval(old) == now) {
        return;
    }
    let path = Path::new("metadata.annotations").key(APPROVED);
    match now {
        Approval::Given | Approval::Bypassed => {}
        Approval::Missing => {
            errors.required(&path, &format!("protected groups must have approval annotation {APPROVED:?}, {PROPOSAL}"));
        }
        Approval::Nonsense => {
            let said = new.text(&["metadata", "annotations", APPROVED]).unwrap_or_default();
            let why = format!(
                "protected groups must have approval annotation {APPROVED:?} with either a URL or a reason starting with \
                 \"unapproved\", {PROPOSAL}"
            );
            errors.invalid(&path, said, &why);
        }
    }
}
