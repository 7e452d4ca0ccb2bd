//! Services that claim addresses of the outside.

use apiserver_core::{Object, Status};

use crate::attributes::Attributes;
use crate::facts::Facts;
use crate::plugin::Plugin;

/// Refuses new ones; what is there may stay or go.
#[derive(Debug)]
pub(super) struct DenyServiceExternalIps;

impl Plugin for DenyServiceExternalIps {
    fn name(&self) -> &'static str {
        "DenyServiceExternalIPs"
    }

    fn concerns(&self, attributes: &Attributes<'_>) -> bool {
        attributes.writes("", "services")
    }

    fn validate(&self, attributes: &Attributes<'_>, service: Option<&Object>, _: &dyn Facts) -> Result<(), Status> {
        let claimed = service.map_or(&[][..], |service| service.list(&["spec", "externalIPs"]));
        let had = attributes.old.map_or(&[][..], |old| old.list(&["spec", "externalIPs"]));
        if claimed.iter().all(|address| had.contains(address)) {
            return Ok(());
        }
        Err(attributes.forbidden(service, "Use of external IPs is denied by admission control."))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{World, create, update};

    #[test]
    fn addresses_stay_and_go_but_do_not_come() {
        let service = |all: &[&str]| json!({ "metadata": { "name": "a" }, "spec": { "externalIPs": all } });
        let change = |old: &[&str], new: &[&str]| {
            update("", "services", None, service(old)).validate(
                &DenyServiceExternalIps,
                service(new),
                &World::default(),
            )
        };
        assert_eq!(change(&["1.1.1.1", "2.2.2.2"], &["2.2.2.2"]), Ok(()));
        assert!(change(&["1.1.1.1"], &["2.2.2.2"]).is_err());
        assert_eq!(
            create("", "services").validate(&DenyServiceExternalIps, service(&["1.1.1.1"]), &World::default()),
            Err("services \"a\" is forbidden: Use of external IPs is denied by admission control.".into())
        );
    }
}
