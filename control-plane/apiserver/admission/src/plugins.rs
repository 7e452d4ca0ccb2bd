//! The built-in plugins, one file for each idea.

mod always;
mod anti_affinity;
mod certificates;
mod event_rate;
mod extended_resources;
mod external_ips;
mod ingress_class;
mod limit_ranger;
mod namespace;
mod node_restriction;
mod node_selector;
mod node_taint;
mod owner_references;
mod pod_updates;
mod priority;
mod pull_images;
mod runtime_class;
mod service_account;
mod storage;
mod toleration_restriction;
mod toleration_seconds;
mod topology_labels;

use serde_json::Value;

use crate::plugin::Plugin;

/// What the command line says to plugins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Seconds that pods stay on a node that is not ready, unless they say otherwise.
    pub not_ready_seconds: i64,
    /// Seconds that pods stay on a node that is not reachable, unless they say otherwise.
    pub unreachable_seconds: i64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { not_ready_seconds: 300, unreachable_seconds: 300 }
    }
}

/// The plugin of that name; `None` for those that are more than decisions, which the server has itself, and for those it has
/// not. `configuration` is the plugin's part of the admission configuration, or null.
///
/// # Errors
///
/// When the configuration is not one of the plugin's.
pub fn plugin(name: &str, settings: Settings, configuration: &Value) -> Result<Option<Box<dyn Plugin>>, String> {
    Ok(Some(match name {
        "AlwaysAdmit" => Box::new(always::AlwaysAdmit),
        "NamespaceLifecycle" => Box::new(namespace::Lifecycle),
        "NamespaceExists" => Box::new(namespace::Exists),
        "LimitPodHardAntiAffinityTopology" => Box::new(anti_affinity::LimitPodHardAntiAffinityTopology),
        "LimitRanger" => Box::new(limit_ranger::LimitRanger),
        "ServiceAccount" => Box::new(service_account::ServiceAccount),
        "NodeRestriction" => Box::new(node_restriction::NodeRestriction),
        "AlwaysPullImages" => Box::new(pull_images::AlwaysPullImages),
        "PodNodeSelector" => Box::new(node_selector::PodNodeSelector::configured(configuration)?),
        "TaintNodesByCondition" => Box::new(node_taint::TaintNodesByCondition),
        "Priority" => Box::new(priority::Priority),
        "DefaultTolerationSeconds" => Box::new(toleration_seconds::DefaultTolerationSeconds(settings)),
        "PodTolerationRestriction" => {
            Box::new(toleration_restriction::PodTolerationRestriction::configured(configuration)?)
        }
        "EventRateLimit" => Box::new(event_rate::EventRateLimit::configured(configuration)?),
        "ExtendedResourceToleration" => Box::new(extended_resources::ExtendedResourceToleration),
        "DefaultStorageClass" => Box::new(storage::DefaultStorageClass),
        "StorageObjectInUseProtection" => Box::new(storage::StorageObjectInUseProtection),
        "OwnerReferencesPermissionEnforcement" => Box::new(owner_references::OwnerReferencesPermissionEnforcement),
        "DenyServiceExternalIPs" => Box::new(external_ips::DenyServiceExternalIps),
        "PersistentVolumeClaimResize" => Box::new(storage::PersistentVolumeClaimResize),
        "RuntimeClass" => Box::new(runtime_class::RuntimeClass),
        "CertificateApproval" => Box::new(certificates::CertificateApproval),
        "CertificateSigning" => Box::new(certificates::CertificateSigning),
        "ClusterTrustBundleAttest" => Box::new(certificates::ClusterTrustBundleAttest),
        "CertificateSubjectRestriction" => Box::new(certificates::CertificateSubjectRestriction),
        "DefaultIngressClass" => Box::new(ingress_class::DefaultIngressClass),
        "PodTopologyLabels" => Box::new(topology_labels::PodTopologyLabels),
        "NodeDeclaredFeatureValidator" => Box::new(pod_updates::NodeDeclaredFeatureValidator),
        "PodResizeValidator" => Box::new(pod_updates::PodResizeValidator),
        "AlwaysDeny" => Box::new(always::AlwaysDeny),
        _ => return Ok(None),
    }))
}
