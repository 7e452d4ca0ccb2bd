//! The format of before: one line of text, with a part of what there is to say.

use crate::event::Event;

impl Event {
    /// The event on one line of text, without the line's end.
    pub fn to_text(&self) -> String {
        let named = !self.user.username.is_empty();
        let user = if named { self.user.username.as_str() } else { "<none>" };
        let groups =
            if named && !self.user.groups.is_empty() { listed(&self.user.groups) } else { "<none>".to_owned() };
        let (as_user, as_groups) = match &self.impersonated_user {
            Some(other) if other.groups.is_empty() => (other.username.as_str(), "<lookup>".to_owned()),
            Some(other) => (other.username.as_str(), listed(&other.groups)),
            None => ("<self>", "<lookup>".to_owned()),
        };
        let namespace =
            self.object_ref.as_ref().map(|object| object.namespace.as_str()).filter(|name| !name.is_empty());
        let response = self.response_status.as_ref().map_or("<deferred>".to_owned(), |status| status.code.to_string());
        format!(
            "{} AUDIT: id={:?} stage=\"{:?}\" ip={:?} method={:?} user={user:?} groups={groups:?} as={as_user:?} \
             asgroups={as_groups:?} user-agent={:?} namespace={:?} uri={:?} response=\"{response}\"",
            self.request_received_timestamp,
            self.audit_id,
            self.stage,
            self.source_ips.first().map_or("<unknown>", String::as_str),
            self.verb,
            self.user_agent,
            namespace.unwrap_or("<none>"),
            self.request_uri,
        )
    }
}

fn listed(names: &[String]) -> String {
    names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use crate::event::tests::sample;
    use crate::event::{ObjectReference, ResponseStatus, Stage, UserInfo};

    #[test]
    fn a_line_says_what_it_always_said() {
        let mut event = sample();
        assert_eq!(
            event.to_text(),
            "2026-01-02T03:04:05.67Z AUDIT: id=\"id-1\" stage=\"RequestReceived\" ip=\"192.0.2.1\" method=\"get\" user=\"u\" \
             groups=\"\\\"g\\\",\\\"h\\\"\" as=\"<self>\" asgroups=\"<lookup>\" user-agent=\"\" namespace=\"<none>\" \
             uri=\"/api/v1/namespaces/n/secrets/s\" response=\"<deferred>\""
        );
        event.user = UserInfo::default();
        event.source_ips.clear();
        event.stage = Stage::ResponseComplete;
        event.impersonated_user =
            Some(UserInfo { username: "v".into(), groups: vec!["x".into()], ..UserInfo::default() });
        event.object_ref = Some(ObjectReference { namespace: "n".into(), ..ObjectReference::default() });
        event.response_status = Some(ResponseStatus { code: 404, ..ResponseStatus::default() });
        event.user_agent = "kubectl".into();
        assert_eq!(
            event.to_text(),
            "2026-01-02T03:04:05.67Z AUDIT: id=\"id-1\" stage=\"ResponseComplete\" ip=\"<unknown>\" method=\"get\" \
             user=\"<none>\" groups=\"<none>\" as=\"v\" asgroups=\"\\\"x\\\"\" user-agent=\"kubectl\" namespace=\"n\" \
             uri=\"/api/v1/namespaces/n/secrets/s\" response=\"404\""
        );
    }
}
