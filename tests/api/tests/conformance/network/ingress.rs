//! Ingresses as objects.

use serde_json::json;
use tests_api::behaviours;
use tests_api::stage::{Endpoints, Stage};

behaviours!(ingresses);

async fn ingresses(stage: Stage) {
    let rule = json!({ "spec": { "rules": [{ "host": "web.example.com", "http": { "paths": [{
        "path": "/", "pathType": "ImplementationSpecific",
        "backend": { "service": { "name": "web", "port": { "number": 80 } } },
    }] } }] } });
    let status = json!({ "status": { "loadBalancer": { "ingress": [{ "ip": "192.0.2.9" }] } } });
    Endpoints::of(&stage, "Ingress").await.change(rule).part("status", status).work().await;
}
