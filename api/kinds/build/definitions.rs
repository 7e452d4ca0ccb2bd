//! The schemas of the kinds, as k8s-openapi's types describe themselves.

use std::collections::BTreeMap;

use k8s_openapi::Resource;
use k8s_openapi::api::admissionregistration::v1 as admissionregistration;
use k8s_openapi::api::apps::v1 as apps;
use k8s_openapi::api::authentication::v1 as authentication;
use k8s_openapi::api::authorization::v1 as authorization;
use k8s_openapi::api::autoscaling::v1 as autoscaling_v1;
use k8s_openapi::api::autoscaling::v2 as autoscaling_v2;
use k8s_openapi::api::batch::v1 as batch;
use k8s_openapi::api::certificates::v1 as certificates;
use k8s_openapi::api::coordination::v1 as coordination;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::discovery::v1 as discovery;
use k8s_openapi::api::events::v1 as events;
use k8s_openapi::api::flowcontrol::v1 as flowcontrol;
use k8s_openapi::api::networking::v1 as networking;
use k8s_openapi::api::node::v1 as node;
use k8s_openapi::api::policy::v1 as policy;
use k8s_openapi::api::rbac::v1 as rbac;
use k8s_openapi::api::resource::v1 as resource;
use k8s_openapi::api::scheduling::v1 as scheduling;
use k8s_openapi::api::storage::v1 as storage;
use k8s_openapi::api::storagemigration::v1 as storagemigration;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1 as apiextensions;
use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1 as apiregistration;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Value, json};

const REF: &str = "#/components/schemas/";
const EXTENSIONS: &str = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.";

/// A definition that is a kind.
pub(crate) struct Kind {
    /// Full name.
    pub(crate) definition: String,
    /// API group.
    pub(crate) group: &'static str,
    /// API version.
    pub(crate) version: &'static str,
    /// The kind.
    pub(crate) name: &'static str,
    listed: bool,
}

/// Calls a method for types of one module after another.
macro_rules! each {
    ($builder:ident.$method:ident: $($module:ident { $($kind:ident)* })*) => {
        $($($builder.$method::<$module::$kind>();)*)*
    };
}

/// All definitions by name, and which of them are kinds.
pub(crate) fn generate() -> (BTreeMap<String, Value>, Vec<Kind>) {
    let mut builder = Builder { generator: SchemaSettings::openapi3().into_generator(), kinds: Vec::new() };
    each!(builder.kind:
        core { Binding }
        autoscaling_v1 { Scale }
        authentication { SelfSubjectReview TokenReview }
        authorization { LocalSubjectAccessReview SelfSubjectAccessReview SelfSubjectRulesReview SubjectAccessReview }
        policy { Eviction }
        meta { APIGroup APIGroupList APIResourceList APIVersions Status }
    );
    each!(builder.kind_with_list:
        core {
            ComponentStatus ConfigMap Endpoints Event LimitRange Namespace Node PersistentVolume PersistentVolumeClaim Pod PodTemplate
            ReplicationController ResourceQuota Secret Service ServiceAccount
        }
        admissionregistration {
            MutatingAdmissionPolicy MutatingAdmissionPolicyBinding MutatingWebhookConfiguration ValidatingAdmissionPolicy
            ValidatingAdmissionPolicyBinding ValidatingWebhookConfiguration
        }
        apiextensions { CustomResourceDefinition }
        apiregistration { APIService }
        apps { ControllerRevision DaemonSet Deployment ReplicaSet StatefulSet }
        autoscaling_v1 { HorizontalPodAutoscaler }
        autoscaling_v2 { HorizontalPodAutoscaler }
        batch { CronJob Job }
        certificates { CertificateSigningRequest ClusterTrustBundle PodCertificateRequest }
        coordination { Lease }
        discovery { EndpointSlice }
        events { Event }
        flowcontrol { FlowSchema PriorityLevelConfiguration }
        networking { IPAddress Ingress IngressClass NetworkPolicy ServiceCIDR }
        node { RuntimeClass }
        policy { PodDisruptionBudget }
        rbac { ClusterRole ClusterRoleBinding Role RoleBinding }
        resource { DeviceClass DeviceTaintRule ResourceClaim ResourceClaimTemplate ResourceSlice }
        scheduling { PriorityClass }
        storage { CSIDriver CSINode CSIStorageCapacity StorageClass VolumeAttachment VolumeAttributesClass }
        storagemigration { StorageVersionMigration }
    );
    each!(builder.plain: meta { DeleteOptions ListMeta });
    let definitions = builder.take_definitions();
    (definitions, builder.kinds)
}

struct Builder {
    generator: SchemaGenerator,
    kinds: Vec<Kind>,
}

impl Builder {
    fn plain<T: JsonSchema>(&mut self) {
        self.generator.subschema_for::<T>();
    }

    fn kind<T: JsonSchema + Resource>(&mut self) {
        self.add::<T>(false);
    }

    fn kind_with_list<T: JsonSchema + Resource>(&mut self) {
        self.add::<T>(true);
    }

    fn add<T: JsonSchema + Resource>(&mut self, listed: bool) {
        self.generator.subschema_for::<T>();
        self.kinds.push(Kind {
            definition: T::schema_name().into_owned(),
            group: T::GROUP,
            version: T::VERSION,
            name: T::KIND,
            listed,
        });
    }

    fn take_definitions(&mut self) -> BTreeMap<String, Value> {
        let mut definitions: BTreeMap<String, Value> = self.generator.take_definitions(true).into_iter().collect();
        for kind in &self.kinds {
            let definition = definitions.get_mut(&kind.definition).expect("just generated");
            definition["x-kubernetes-group-version-kind"] =
                json!([{ "group": kind.group, "version": kind.version, "kind": kind.name }]);
            // The crate calls metadata required because its structs have it by value; the API does not.
            if let Some(required) = definition.get_mut("required").and_then(Value::as_array_mut) {
                required.retain(|field| field != "metadata");
                if required.is_empty() {
                    definition.as_object_mut().expect("a schema is an object").remove("required");
                }
            }
            if kind.listed {
                definitions.insert(format!("{}List", kind.definition), list_definition(kind));
            }
        }
        let scalars = [
            ("io.k8s.apimachinery.pkg.util.intstr.IntOrString", "integer", Some("int-or-string")),
            ("io.k8s.apimachinery.pkg.api.resource.Quantity", "number", None),
        ];
        for (name, other, format) in scalars {
            if let Some(Value::Object(schema)) = definitions.get_mut(name) {
                schema.remove("x-kubernetes-int-or-string");
                schema.insert("oneOf".into(), json!([{ "type": "string" }, { "type": other }]));
                if let Some(format) = format {
                    schema.insert("format".into(), format.into());
                }
            }
        }
        // Any value, or one of two forms: a document cannot say which, and upstream's say nothing.
        for short in ["JSON", "JSONSchemaPropsOrArray", "JSONSchemaPropsOrBool", "JSONSchemaPropsOrStringArray"] {
            if let Some(Value::Object(schema)) = definitions.get_mut(&format!("{EXTENSIONS}{short}")) {
                schema.retain(|word, _| word == "description");
            }
        }
        definitions
    }
}

/// Lists are generic in the crate, and have no schema there.
fn list_definition(kind: &Kind) -> Value {
    let meta = format!("{REF}io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta");
    let name = kind.name;
    json!({
        "description": format!("{name}List is a list of {name} objects."),
        "type": "object",
        "required": ["items"],
        "properties": {
            "apiVersion": { "type": "string", "description": "APIVersion defines the versioned schema of this representation of an object. Servers should convert recognized schemas to the latest internal value, and may reject unrecognized values. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources" },
            "kind": { "type": "string", "description": "Kind is a string value representing the REST resource this object represents. Servers may infer this from the endpoint the client submits requests to. Cannot be updated. In CamelCase. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds" },
            "metadata": { "allOf": [{ "$ref": meta }], "description": "Standard list metadata. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds" },
            "items": { "type": "array", "description": format!("The {name} objects."), "items": { "allOf": [{ "$ref": format!("{REF}{}", kind.definition) }] } },
        },
        "x-kubernetes-group-version-kind": [{ "group": kind.group, "version": kind.version, "kind": format!("{name}List") }],
    })
}
