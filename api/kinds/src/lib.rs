//! Schemas of the Kubernetes kinds this project serves, and the rows of their resources: types, texts, merge rules, names and
//! columns, as data made at build time.
//!
//! Views of the same data: [`definitions_json`], the full `OpenAPI` v3 definitions with their texts, for documents that are made
//! once; [`schemas`], the bare structure, for decoding and merging; [`resources`], what is served under which name.

mod resources;
mod schema;
pub mod wire;

use std::io::Read as _;
use std::sync::OnceLock;

pub use resources::{Column, Resource, SelectableField, Subresource, resources};
pub use schema::{Either, Field, ListRule, Schema, Schemas, Struct};

/// All definitions: one JSON object from name to `OpenAPI` v3 schema, references written as `#/components/schemas/<name>`.
///
/// The program carries them compressed, and each call unpacks more than a megabyte: ask once, keep what is needed.
pub fn definitions_json() -> String {
    let packed: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/definitions.json.gz"));
    let mut text = String::new();
    flate2::read::GzDecoder::new(packed).read_to_string(&mut text).expect("a test unpacks what the build packed");
    text
}

/// The structure of all definitions, parsed at first use.
pub fn schemas() -> &'static Schemas {
    static SCHEMAS: OnceLock<Schemas> = OnceLock::new();
    SCHEMAS.get_or_init(|| Schemas::parse(&definitions_json()).expect("a test parses what the build wrote"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_build_wrote_parses_and_knows_the_pod() {
        let pod = schemas().get("io.k8s.api.core.v1.Pod").map(|pod| pod.fields.contains_key("spec"));
        assert_eq!(pod, Some(true));
    }

    #[test]
    fn ports_merge_by_one_key_and_apply_by_two() {
        let container = schemas().get("io.k8s.api.core.v1.Container").expect("there is one");
        let ports = &container.fields["ports"];
        assert!(ports.list.merge);
        assert_eq!(ports.list.merge_key.as_deref(), Some("containerPort"));
        assert_eq!(ports.list.map_keys, ["containerPort", "protocol"]);
    }

    #[test]
    fn scalars_have_their_own_types() {
        let port = schemas().get("io.k8s.api.core.v1.ServicePort").expect("there is one");
        assert_eq!(port.fields["targetPort"].schema, Schema::IntOrString);
        assert_eq!(port.fields["port"].schema, Schema::Int32);
        let secret = schemas().get("io.k8s.api.core.v1.Secret").expect("there is one");
        assert_eq!(secret.fields["data"].schema, Schema::Map(Box::new(Schema::Bytes)));
        let resources = schemas().get("io.k8s.api.core.v1.ResourceRequirements").expect("there is one");
        assert_eq!(resources.fields["limits"].schema, Schema::Map(Box::new(Schema::Quantity)));
        let meta = schemas().get("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta").expect("there is one");
        assert_eq!(meta.fields["creationTimestamp"].schema, Schema::Time);
        assert!(meta.fields["finalizers"].list.merge);
        let name = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps";
        let recursive = schemas().get(name).expect("there is one");
        assert_eq!(recursive.fields["not"].schema, Schema::Struct(name.to_owned()));
        assert_eq!(recursive.fields["default"].schema, Schema::Any);
        let Schema::Either(either) = &recursive.fields["additionalProperties"].schema else { panic!("of one form") };
        assert_eq!((either.definition.as_str(), &either.other), (name, &Schema::Flag));
    }
}
