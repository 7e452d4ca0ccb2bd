//! The ServiceAccount that every namespace has.

use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// The account that a pod gets when it names none.
pub const NAME: &str = "default";

/// Whether the namespace lacks its account. One that is being deleted gets none: the API server would refuse it.
#[must_use]
pub const fn is_missing(namespace_is_active: bool, account_exists: bool) -> bool {
    namespace_is_active && !account_exists
}

/// The account to create in `namespace`.
#[must_use]
pub fn desired(namespace: &str) -> ServiceAccount {
    ServiceAccount {
        metadata: ObjectMeta {
            name: Some(NAME.to_owned()),
            namespace: Some(namespace.to_owned()),
            ..ObjectMeta::default()
        },
        ..ServiceAccount::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_active_namespace_without_an_account_gets_one() {
        assert!(is_missing(true, false));
        assert!(!is_missing(true, true));
        assert!(!is_missing(false, false));
        let account = desired("shop");
        assert_eq!(account.metadata.name.as_deref(), Some("default"));
        assert_eq!(account.metadata.namespace.as_deref(), Some("shop"));
    }
}
