//! Parameters of the kernel that a pod asks for.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{list, text};
use crate::field::{Errors, Path};

/// The longest name.
const LENGTH: usize = 253;
/// What names look like, for those who are told.
const PATTERN: &str = r"^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";

/// Checks the parameters of a pod's spec: their names, and that none is one of a namespace which the pod shares with its host.
pub(super) fn validate(spec: &Value, path: &Path, errors: &mut Errors) {
    let path = path.child("securityContext").child("sysctls");
    let shares = |member: &str| spec.get(member).and_then(Value::as_bool).unwrap_or(false);
    let mut seen = BTreeSet::new();
    let sysctls = spec.get("securityContext").map_or(&[][..], |context| list(context, "sysctls"));
    for (index, sysctl) in sysctls.iter().enumerate() {
        let path = path.index(index).child("name");
        let name = text(sysctl, "name");
        if name.is_empty() {
            errors.required(&path, "");
        } else if !is_valid(name) {
            errors.invalid(&path, name, &format!("must have at most {LENGTH} characters and match regex {PATTERN}"));
        } else if !seen.insert(name) {
            errors.duplicate(&path, name);
        }
        let name = dotted(name);
        if shares("hostNetwork") && name.starts_with("net.") {
            errors.invalid(&path, name.as_str(), "may not be specified when 'hostNetwork' is true");
        } else if shares("hostIPC") && is_of_ipc(&name) {
            errors.invalid(&path, name.as_str(), "may not be specified when 'hostIPC' is true");
        }
    }
}

fn is_valid(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
    let outer = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let segment = |segment: &str| {
        let bytes = segment.as_bytes();
        outer(bytes.first()) && outer(bytes.last()) && bytes.iter().all(|byte| inner(*byte))
    };
    name.len() <= LENGTH && name.split(['.', '/']).all(segment)
}

/// A name with dots between its parts. Where the first separator is a slash, slashes are dots and dots slashes.
fn dotted(name: &str) -> String {
    let swap = |letter| match letter {
        '.' => '/',
        '/' => '.',
        other => other,
    };
    match name.find(['.', '/']) {
        Some(first) if name.as_bytes()[first] == b'/' => name.chars().map(swap).collect(),
        _ => name.to_owned(),
    }
}

fn is_of_ipc(name: &str) -> bool {
    name == "kernel.sem" || ["kernel.shm", "kernel.msg", "fs.mqueue."].iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn errors(spec: &Value) -> Vec<String> {
        let mut errors = Errors::new();
        validate(spec, &Path::new("spec"), &mut errors);
        errors.as_slice().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn names_are_names_of_parameters() {
        let set = |names: &[&str]| {
            let sysctls: Vec<_> = names.iter().map(|name| json!({ "name": name, "value": "1" })).collect();
            json!({ "securityContext": { "sysctls": sysctls } })
        };
        assert_eq!(
            errors(&set(&["kernel.shmmax", "safe-and-unsafe", "net/ipv4/ip_forward", "a/b.c"])),
            Vec::<String>::new()
        );
        let wrong = errors(&set(&["foo-", "bar..", "", "a", "a"]));
        let field = |index: u32| format!("spec.securityContext.sysctls[{index}].name");
        assert_eq!(
            wrong,
            [
                format!(
                    "{}: Invalid value: \"foo-\": must have at most 253 characters and match regex {PATTERN}",
                    field(0)
                ),
                format!(
                    "{}: Invalid value: \"bar..\": must have at most 253 characters and match regex {PATTERN}",
                    field(1)
                ),
                format!("{}: Required value", field(2)),
                format!("{}: Duplicate value: \"a\"", field(4)),
            ]
        );
    }

    #[test]
    fn what_belongs_to_the_host_is_not_the_pods() {
        let spec = |member: &str, name: &str| json!({ member: true, "securityContext": { "sysctls": [{ "name": name, "value": "1" }] } });
        for (member, name, refused) in [
            ("hostNetwork", "net.ipv4.ip_forward", true),
            ("hostNetwork", "net/ipv4/ip_forward", true),
            ("hostNetwork", "kernel.shmmax", false),
            ("hostIPC", "kernel.shmmax", true),
            ("hostIPC", "net.ipv4.ip_forward", false),
        ] {
            assert_eq!(errors(&spec(member, name)).len(), usize::from(refused), "{member} {name}");
        }
    }
}
