//! Objects in protobuf, read by a decoder of another make: messages generated from upstream's own definitions.

use k8s_pb::api;
use k8s_pb::apimachinery::pkg::apis::meta::v1 as meta;
use k8s_pb::apimachinery::pkg::runtime::Unknown;
use prost::Message;

/// The media type.
pub const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";

const MAGIC: &[u8] = b"k8s\0";

/// Takes an object out of its envelope: version, kind, message.
pub fn open(body: &[u8]) -> (String, String, Vec<u8>) {
    let rest = body.strip_prefix(MAGIC).unwrap_or_else(|| panic!("no envelope: {}", String::from_utf8_lossy(body)));
    let unknown = Unknown::decode(rest).expect("an envelope");
    assert_eq!((unknown.content_encoding(), unknown.content_type()), ("", ""));
    let of = unknown.type_meta.expect("a type");
    (of.api_version().to_owned(), of.kind().to_owned(), unknown.raw.unwrap_or_default())
}

/// The message in an envelope, as one of a kind.
pub fn read<M: Message + Default>(body: &[u8], api_version: &str, kind: &str) -> M {
    let (version, found, raw) = open(body);
    assert_eq!((version.as_str(), found.as_str()), (api_version, kind));
    M::decode(raw.as_slice()).expect("a message of its kind")
}

/// Puts a message into an envelope.
fn wrap(api_version: &str, kind: &str, raw: Vec<u8>) -> Vec<u8> {
    let of = k8s_pb::apimachinery::pkg::runtime::TypeMeta {
        api_version: Some(api_version.to_owned()),
        kind: Some(kind.to_owned()),
    };
    let unknown = Unknown { type_meta: Some(of), raw: Some(raw), ..Unknown::default() };
    [MAGIC, &unknown.encode_to_vec()].concat()
}

/// The frames of a watch: type, and object in its envelope.
pub fn frames(mut body: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut frames = Vec::new();
    while let Some((length, rest)) = body.split_first_chunk::<4>() {
        let (frame, rest) = rest.split_at(u32::from_be_bytes(*length) as usize);
        frames.push(event(frame));
        body = rest;
    }
    assert!(body.is_empty(), "half a frame");
    frames
}

/// One event of a watch.
pub fn event(frame: &[u8]) -> (String, Vec<u8>) {
    let event = meta::WatchEvent::decode(frame).expect("an event");
    (event.r#type().to_owned(), event.object.and_then(|object| object.raw).expect("an object"))
}

fn again<M: Message + Default>(raw: &[u8]) -> Vec<u8> {
    M::decode(raw).expect("a message of its kind").encode_to_vec()
}

/// Decodes an object by its kind's message and encodes it again. What the message does not know is lost on the way.
pub fn through_their_types(body: &[u8]) -> Vec<u8> {
    let (version, kind, raw) = open(body);
    let raw = raw.as_slice();
    let made = match (version.as_str(), kind.as_str()) {
        ("v1", "ConfigMap") => again::<api::core::v1::ConfigMap>(raw),
        ("v1", "Endpoints") => again::<api::core::v1::Endpoints>(raw),
        ("v1", "Event") => again::<api::core::v1::Event>(raw),
        ("v1", "LimitRange") => again::<api::core::v1::LimitRange>(raw),
        ("v1", "Namespace") => again::<api::core::v1::Namespace>(raw),
        ("v1", "Node") => again::<api::core::v1::Node>(raw),
        ("v1", "PersistentVolume") => again::<api::core::v1::PersistentVolume>(raw),
        ("v1", "PersistentVolumeClaim") => again::<api::core::v1::PersistentVolumeClaim>(raw),
        ("v1", "Pod") => again::<api::core::v1::Pod>(raw),
        ("v1", "PodTemplate") => again::<api::core::v1::PodTemplate>(raw),
        ("v1", "ReplicationController") => again::<api::core::v1::ReplicationController>(raw),
        ("v1", "ResourceQuota") => again::<api::core::v1::ResourceQuota>(raw),
        ("v1", "Secret") => again::<api::core::v1::Secret>(raw),
        ("v1", "Service") => again::<api::core::v1::Service>(raw),
        ("v1", "ServiceAccount") => again::<api::core::v1::ServiceAccount>(raw),
        ("apps/v1", "ControllerRevision") => again::<api::apps::v1::ControllerRevision>(raw),
        ("apps/v1", "DaemonSet") => again::<api::apps::v1::DaemonSet>(raw),
        ("apps/v1", "Deployment") => again::<api::apps::v1::Deployment>(raw),
        ("apps/v1", "ReplicaSet") => again::<api::apps::v1::ReplicaSet>(raw),
        ("apps/v1", "StatefulSet") => again::<api::apps::v1::StatefulSet>(raw),
        ("autoscaling/v1", "HorizontalPodAutoscaler") => again::<api::autoscaling::v1::HorizontalPodAutoscaler>(raw),
        ("autoscaling/v2", "HorizontalPodAutoscaler") => again::<api::autoscaling::v2::HorizontalPodAutoscaler>(raw),
        ("batch/v1", "CronJob") => again::<api::batch::v1::CronJob>(raw),
        ("batch/v1", "Job") => again::<api::batch::v1::Job>(raw),
        ("coordination.k8s.io/v1", "Lease") => again::<api::coordination::v1::Lease>(raw),
        ("discovery.k8s.io/v1", "EndpointSlice") => again::<api::discovery::v1::EndpointSlice>(raw),
        ("events.k8s.io/v1", "Event") => again::<api::events::v1::Event>(raw),
        ("networking.k8s.io/v1", "Ingress") => again::<api::networking::v1::Ingress>(raw),
        ("networking.k8s.io/v1", "IngressClass") => again::<api::networking::v1::IngressClass>(raw),
        ("networking.k8s.io/v1", "NetworkPolicy") => again::<api::networking::v1::NetworkPolicy>(raw),
        ("node.k8s.io/v1", "RuntimeClass") => again::<api::node::v1::RuntimeClass>(raw),
        ("policy/v1", "PodDisruptionBudget") => again::<api::policy::v1::PodDisruptionBudget>(raw),
        ("rbac.authorization.k8s.io/v1", "ClusterRole") => again::<api::rbac::v1::ClusterRole>(raw),
        ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding") => again::<api::rbac::v1::ClusterRoleBinding>(raw),
        ("rbac.authorization.k8s.io/v1", "Role") => again::<api::rbac::v1::Role>(raw),
        ("rbac.authorization.k8s.io/v1", "RoleBinding") => again::<api::rbac::v1::RoleBinding>(raw),
        ("scheduling.k8s.io/v1", "PriorityClass") => again::<api::scheduling::v1::PriorityClass>(raw),
        ("storage.k8s.io/v1", "CSIDriver") => again::<api::storage::v1::CSIDriver>(raw),
        ("storage.k8s.io/v1", "CSINode") => again::<api::storage::v1::CSINode>(raw),
        ("storage.k8s.io/v1", "CSIStorageCapacity") => again::<api::storage::v1::CSIStorageCapacity>(raw),
        ("storage.k8s.io/v1", "StorageClass") => again::<api::storage::v1::StorageClass>(raw),
        ("storage.k8s.io/v1", "VolumeAttachment") => again::<api::storage::v1::VolumeAttachment>(raw),
        ("storage.k8s.io/v1", "VolumeAttributesClass") => again::<api::storage::v1::VolumeAttributesClass>(raw),
        ("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration") => {
            again::<api::admissionregistration::v1::MutatingWebhookConfiguration>(raw)
        }
        ("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy") => {
            again::<api::admissionregistration::v1::ValidatingAdmissionPolicy>(raw)
        }
        ("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicyBinding") => {
            again::<api::admissionregistration::v1::ValidatingAdmissionPolicyBinding>(raw)
        }
        ("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration") => {
            again::<api::admissionregistration::v1::ValidatingWebhookConfiguration>(raw)
        }
        ("apiextensions.k8s.io/v1", "CustomResourceDefinition") => {
            again::<k8s_pb::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition>(raw)
        }
        ("apiregistration.k8s.io/v1", "APIService") => {
            again::<k8s_pb::kube_aggregator::pkg::apis::apiregistration::v1::APIService>(raw)
        }
        ("certificates.k8s.io/v1", "CertificateSigningRequest") => {
            again::<api::certificates::v1::CertificateSigningRequest>(raw)
        }
        ("flowcontrol.apiserver.k8s.io/v1", "FlowSchema") => again::<api::flowcontrol::v1::FlowSchema>(raw),
        ("flowcontrol.apiserver.k8s.io/v1", "PriorityLevelConfiguration") => {
            again::<api::flowcontrol::v1::PriorityLevelConfiguration>(raw)
        }
        ("networking.k8s.io/v1", "IPAddress") => again::<api::networking::v1::IPAddress>(raw),
        ("networking.k8s.io/v1", "ServiceCIDR") => again::<api::networking::v1::ServiceCIDR>(raw),
        ("resource.k8s.io/v1", "DeviceClass") => again::<api::resource::v1::DeviceClass>(raw),
        ("resource.k8s.io/v1", "ResourceClaim") => again::<api::resource::v1::ResourceClaim>(raw),
        ("resource.k8s.io/v1", "ResourceClaimTemplate") => again::<api::resource::v1::ResourceClaimTemplate>(raw),
        ("resource.k8s.io/v1", "ResourceSlice") => again::<api::resource::v1::ResourceSlice>(raw),
        // Those that the generated definitions are too old for.
        (
            "admissionregistration.k8s.io/v1"
            | "certificates.k8s.io/v1"
            | "resource.k8s.io/v1"
            | "storagemigration.k8s.io/v1",
            _,
        ) => raw.to_vec(),
        (version, kind) => panic!("no message is known for {kind} of {version}"),
    };
    wrap(&version, &kind, made)
}
