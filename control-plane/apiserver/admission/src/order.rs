//! Which plugins there are, in which order they are asked, and which of them are on.

/// Every plugin with its place, and whether it is on unless it is turned off. Upstream's order.
pub const ORDER: [(&str, bool); 41] = [
    ("AlwaysAdmit", false),
    ("NamespaceAutoProvision", false),
    ("NamespaceLifecycle", true),
    ("NamespaceExists", false),
    ("LimitPodHardAntiAffinityTopology", false),
    ("LimitRanger", true),
    ("ServiceAccount", true),
    ("NodeRestriction", false),
    ("TaintNodesByCondition", true),
    ("AlwaysPullImages", false),
    ("ImagePolicyWebhook", false),
    ("PodSecurity", true),
    ("PodNodeSelector", false),
    ("Priority", true),
    ("DefaultTolerationSeconds", true),
    ("PodTolerationRestriction", false),
    ("EventRateLimit", false),
    ("ExtendedResourceToleration", false),
    ("DefaultStorageClass", true),
    ("StorageObjectInUseProtection", true),
    ("PodGroupProtection", false),
    ("OwnerReferencesPermissionEnforcement", false),
    ("PersistentVolumeClaimResize", true),
    ("RuntimeClass", true),
    ("CertificateApproval", true),
    ("CertificateSigning", true),
    ("ClusterTrustBundleAttest", true),
    ("CertificateSubjectRestriction", true),
    ("DefaultIngressClass", true),
    ("DenyServiceExternalIPs", false),
    ("PodTopologyLabels", true),
    ("NodeDeclaredFeatureValidator", true),
    ("PodGroupWorkloadExists", false),
    ("JobValidation", false),
    ("PodResizeValidator", true),
    // Whatever changes objects stands above here, whatever comes from outside below.
    ("MutatingAdmissionPolicy", true),
    ("MutatingAdmissionWebhook", true),
    ("ValidatingAdmissionPolicy", true),
    ("ValidatingAdmissionWebhook", true),
    ("ResourceQuota", true),
    ("AlwaysDeny", false),
];

/// What is wrong with the lists of plugins to turn on and off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unknown {
    /// No plugin of that name.
    Name(String),
    /// Turned on and off.
    Both(String),
}

impl std::fmt::Display for Unknown {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name(name) => write!(out, "{name:?} is no admission plugin"),
            Self::Both(name) => write!(out, "{name:?} is both enabled and disabled"),
        }
    }
}

impl std::error::Error for Unknown {}

/// The names of the plugins that are on, in order.
///
/// # Errors
///
/// For a name that is no plugin's, or that is in both lists.
pub fn enabled(on: &[String], off: &[String]) -> Result<Vec<&'static str>, Unknown> {
    for name in on.iter().chain(off) {
        if !ORDER.iter().any(|(known, _)| known == name) {
            return Err(Unknown::Name(name.clone()));
        }
    }
    if let Some(both) = on.iter().find(|name| off.contains(name)) {
        return Err(Unknown::Both(both.clone()));
    }
    let is = |list: &[String], name: &str| list.iter().any(|one| one == name);
    let chosen = ORDER.iter().filter(|(name, by_default)| (*by_default || is(on, name)) && !is(off, name));
    Ok(chosen.map(|(name, _)| *name).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn plugins_are_turned_on_and_off_and_keep_their_places() {
        let by_default = enabled(&[], &[]).unwrap();
        assert_eq!(by_default.len(), 24);
        assert_eq!((by_default[0], by_default[23]), ("NamespaceLifecycle", "ResourceQuota"));
        let chosen = enabled(&names(&["NodeRestriction"]), &names(&["LimitRanger"])).unwrap();
        assert_eq!(chosen[..3], ["NamespaceLifecycle", "ServiceAccount", "NodeRestriction"]);
        assert_eq!(enabled(&names(&["Nonsense"]), &[]), Err(Unknown::Name("Nonsense".into())));
        let both = names(&["PodSecurity"]);
        assert_eq!(enabled(&both, &both), Err(Unknown::Both("PodSecurity".into())));
    }
}
