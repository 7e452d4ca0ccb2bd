//! Kubernetes' functions and policies.

mod functions;
mod policies;

use std::sync::Arc;

use serde_json::{Value as Json, json};

use crate::policy::Inputs;
use crate::{Authorizer, Check, Decision, Target};

/// Lets anybody get, and service accounts do all.
#[derive(Debug)]
struct Rules;

impl Authorizer for Rules {
    fn check(&self, check: &Check) -> Decision {
        let allowed = check.verb == "get" || check.service_account.is_some();
        let error = matches!(&check.target, Target::Path(path) if path == "/broken").then(|| "broken".to_owned());
        Decision { allowed: allowed && error.is_none(), reason: format!("asked for {}", check.verb), error }
    }
}

fn deployments() -> Target {
    Target::Resource {
        group: "apps".into(),
        resource: "deployments".into(),
        subresource: String::new(),
        namespace: "default".into(),
        name: "web".into(),
        field_selector: None,
        label_selector: None,
    }
}

fn inputs<'a>(object: &'a Json, request: &'a Json, params: Option<&'a Json>) -> Inputs<'a> {
    Inputs {
        object: Some(object),
        old_object: None,
        namespace: None,
        request,
        params,
        authorizer: Arc::new(Rules),
        request_resource: deployments(),
        interrupt: None,
    }
}

fn deployment() -> Json {
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default", "labels": {"app": "web"}},
        "spec": {"replicas": 7, "template": {"spec": {"containers": [
            {"name": "a", "image": "registry/a:1", "resources": {"limits": {"cpu": "500m", "memory": "1Gi"}}},
        ]}}},
    })
}
