//! The ConfigMap in every namespace from which pods learn whom to trust when they call the API server.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// The name of the ConfigMap.
pub const NAME: &str = "kube-root-ca.crt";

/// The key that holds the certificates.
pub const KEY: &str = "ca.crt";

const DESCRIPTION: &str = "kubernetes.io/description";
const DESCRIPTION_TEXT: &str = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal \
     endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across \
     distributions of Kubernetes clusters.";

/// What to do about a namespace's ConfigMap.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// It is right, or the namespace is being deleted.
    Nothing,
    /// It is missing.
    Create(ConfigMap),
    /// Somebody changed it; its labels and foreign annotations stay.
    Update(ConfigMap),
}

/// The bundle that the ConfigMap publishes; `None` when it does not have the right form.
#[must_use]
pub fn published(found: &ConfigMap) -> Option<&str> {
    let bundle = found.data.as_ref().filter(|data| data.len() == 1).and_then(|data| data.get(KEY))?;
    let described = found
        .metadata
        .annotations
        .as_ref()
        .and_then(|annotations| annotations.get(DESCRIPTION))
        .is_some_and(|text| text == DESCRIPTION_TEXT);
    (described && found.binary_data.as_ref().is_none_or(BTreeMap::is_empty)).then_some(bundle)
}

/// Compares what is there with what should be.
#[must_use]
pub fn decide(namespace: &str, namespace_is_active: bool, found: Option<&ConfigMap>, bundle: &str) -> Step {
    if !namespace_is_active {
        return Step::Nothing;
    }
    let Some(found) = found else {
        let metadata =
            ObjectMeta { name: Some(NAME.to_owned()), namespace: Some(namespace.to_owned()), ..ObjectMeta::default() };
        return Step::Create(filled(ConfigMap { metadata, ..ConfigMap::default() }, bundle));
    };
    if published(found) == Some(bundle) || found.metadata.deletion_timestamp.is_some() {
        // One that is being deleted is made anew when it is gone.
        Step::Nothing
    } else {
        Step::Update(filled(found.clone(), bundle))
    }
}

fn filled(mut map: ConfigMap, bundle: &str) -> ConfigMap {
    map.data = Some(BTreeMap::from([(KEY.to_owned(), bundle.to_owned())]));
    map.binary_data = None;
    map.metadata
        .annotations
        .get_or_insert_with(BTreeMap::new)
        .insert(DESCRIPTION.to_owned(), DESCRIPTION_TEXT.to_owned());
    map
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::ByteString;

    fn fresh() -> ConfigMap {
        match decide("shop", true, None, "PEM") {
            Step::Create(map) => map,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_missing_map_is_created_and_then_left_alone() {
        let map = fresh();
        assert_eq!(map.metadata.name.as_deref(), Some("kube-root-ca.crt"));
        assert_eq!(map.data.as_ref().and_then(|data| data.get("ca.crt")).map(String::as_str), Some("PEM"));
        assert_eq!(decide("shop", true, Some(&map), "PEM"), Step::Nothing);
    }

    #[test]
    fn what_somebody_changed_is_put_right_and_the_rest_is_kept() {
        let mut cases = Vec::new();
        let mut map = fresh();
        map.data.as_mut().unwrap().insert("ca.crt".into(), "evil".into());
        cases.push(map);
        let mut map = fresh();
        map.data.as_mut().unwrap().insert("more".into(), "x".into());
        cases.push(map);
        let mut map = fresh();
        map.binary_data = Some(BTreeMap::from([("b".into(), ByteString(vec![1]))]));
        cases.push(map);
        let mut map = fresh();
        map.metadata.annotations = None;
        cases.push(map);
        let mut map = fresh();
        map.data = None;
        cases.push(map);
        for mut map in cases {
            map.metadata.labels = Some(BTreeMap::from([("mine".into(), "yes".into())]));
            let Step::Update(fixed) = decide("shop", true, Some(&map), "PEM") else { panic!("{map:?} was accepted") };
            assert_eq!(published(&map).filter(|text| *text == "PEM"), None);
            assert_eq!(published(&fixed), Some("PEM"));
            assert_eq!(fixed.metadata.labels, map.metadata.labels);
        }
    }

    #[test]
    fn a_new_bundle_is_published() {
        assert!(matches!(decide("shop", true, Some(&fresh()), "NEW"), Step::Update(_)));
    }

    #[test]
    fn a_namespace_on_its_way_out_is_left_alone() {
        assert_eq!(decide("shop", false, None, "PEM"), Step::Nothing);
    }
}
