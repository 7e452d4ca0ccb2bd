//! Tokens that let a machine join: each is a secret of the system, which says what it is good for, and for how long.

use apiserver_core::Object;
use apiserver_core::user::User;
use subtle::ConstantTimeEq as _;

/// Where the secrets are.
pub const NAMESPACE: &str = "kube-system";
/// The group of all who come with such a token.
const GROUP: &str = "system:bootstrappers";
const TYPE: &str = "bootstrap.kubernetes.io/token";

/// A token, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootstrapToken<'a> {
    id: &'a str,
    secret: &'a str,
}

impl<'a> BootstrapToken<'a> {
    /// Reads a token; `None` for what has not its form.
    pub fn parse(token: &'a str) -> Option<Self> {
        let (id, secret) = token.split_once('.')?;
        let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        (id.len() == 6 && secret.len() == 16 && plain(id) && plain(secret)).then_some(Self { id, secret })
    }

    /// The name of its secret.
    pub fn secret_name(&self) -> String {
        format!("bootstrap-token-{}", self.id)
    }

    /// Whose it is, with its secret as that is now.
    ///
    /// # Errors
    ///
    /// Why the secret says no, for the log.
    pub fn user(&self, secret: &Object, now: jiff::Timestamp) -> Result<User, &'static str> {
        let data = |name: &str| secret.text(&["data", name]).map(decoded).unwrap_or_default();
        if secret.text(&["metadata", "deletionTimestamp"]).is_some() {
            return Err("the secret is being deleted");
        }
        if secret.text(&["type"]) != Some(TYPE) {
            return Err("the secret is of another type");
        }
        let held = data("token-secret");
        if held.is_empty() || !bool::from(held.as_slice().ct_eq(self.secret.as_bytes())) {
            return Err("the secret holds another token");
        }
        if data("token-id") != self.id.as_bytes() {
            return Err("the secret is for another token");
        }
        let expiration = data("expiration");
        if !expiration.is_empty() {
            let end = std::str::from_utf8(&expiration).ok().and_then(|end| end.parse::<jiff::Timestamp>().ok());
            // An end that cannot be read has passed.
            if end.is_none_or(|end| end <= now) {
                return Err("the token has expired");
            }
        }
        if data("usage-bootstrap-authentication") != b"true" {
            return Err("the token is not for authentication");
        }
        let extra = data("auth-extra-groups");
        let extra = std::str::from_utf8(&extra).map_err(|_| "the groups of the token are no text")?;
        let mut groups = vec![GROUP.to_owned()];
        for group in extra.split(',').filter(|_| !extra.is_empty()) {
            if !is_group(group) {
                return Err("a group of the token is not one of bootstrappers");
            }
            groups.push(group.to_owned());
        }
        groups.sort();
        groups.dedup();
        Ok(User { name: format!("system:bootstrap:{}", self.id), groups, ..User::default() })
    }
}

/// Whether a token may put its bearer into a group: never into one that means more than to join.
fn is_group(group: &str) -> bool {
    group.strip_prefix("system:bootstrappers:").is_some_and(|rest| {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b':' | b'-');
        let last = rest.bytes().last();
        rest.len() <= 256
            && rest.bytes().all(allowed)
            && last.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    })
}

fn decoded(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde_json::{Value, json};

    use super::*;

    fn secret(change: impl FnOnce(&mut Value)) -> Object {
        let mut data = json!({
            "token-id": "abcdef", "token-secret": "0123456789abcdef", "usage-bootstrap-authentication": "true",
            "expiration": "2027-01-15T08:00:01Z", "auth-extra-groups": "system:bootstrappers:workers",
        });
        change(&mut data);
        let data = data.as_object().expect("data").iter();
        let data: Value =
            data.map(|(key, value)| (key.clone(), STANDARD.encode(value.as_str().expect("text")))).collect();
        Object::from_value(json!({ "metadata": { "name": "x" }, "type": TYPE, "data": data })).expect("an object")
    }

    fn judge(secret: &Object) -> Result<User, &'static str> {
        let now = jiff::Timestamp::from_second(1_800_000_000).expect("a time");
        BootstrapToken::parse("abcdef.0123456789abcdef").expect("a token").user(secret, now)
    }

    #[test]
    fn a_secret_lets_a_machine_in() {
        let user = judge(&secret(|_| ())).expect("a user");
        assert_eq!(user.name, "system:bootstrap:abcdef");
        assert_eq!(user.groups, [GROUP, "system:bootstrappers:workers"]);
        assert!(judge(&secret(|data| data["expiration"] = "".into())).is_ok());
    }

    #[test]
    fn a_secret_says_no() {
        for (name, value) in [
            ("token-secret", "0123456789abcdee"),
            ("token-secret", ""),
            ("token-id", "abcdeg"),
            ("expiration", "2027-01-15T08:00:00Z"),
            ("expiration", "tomorrow"),
            ("usage-bootstrap-authentication", "yes"),
            ("auth-extra-groups", "system:masters"),
            ("auth-extra-groups", "system:bootstrappers:a,system:masters"),
            ("auth-extra-groups", "system:bootstrappers:"),
            ("auth-extra-groups", "system:bootstrappers:a-"),
        ] {
            assert!(judge(&secret(|data| data[name] = value.into())).is_err(), "{name}={value}");
        }
        let mut other = secret(|_| ());
        other.set(&["type"], "Opaque");
        assert!(judge(&other).is_err());
        let mut going = secret(|_| ());
        going.set(&["metadata", "deletionTimestamp"], "2027-01-15T08:00:00Z");
        assert!(judge(&going).is_err());
    }

    #[test]
    fn only_the_form_of_a_token_leads_to_a_secret() {
        for text in [
            "",
            "abcdef",
            "abcdef.0123456789abcde",
            "ABCDEF.0123456789abcdef",
            "../../.0123456789abcdef",
            "abcdef.0123456789abcdef\n",
        ] {
            assert_eq!(BootstrapToken::parse(text), None, "{text:?}");
        }
        assert_eq!(
            BootstrapToken::parse("abcdef.0123456789abcdef").expect("a token").secret_name(),
            "bootstrap-token-abcdef"
        );
    }
}
