//! What people do with kubectl, with an older and with the newest one. The store behind the server makes no difference to it.

mod every_kind;

use serde_json::Value;
use tests_api::rig::Cluster;
use tests_api::with_every_kubectl;
use tokio::io::{AsyncBufReadExt as _, BufReader};

with_every_kubectl!(
    objects_are_made_shown_changed_and_deleted,
    apply_creates_and_changes,
    get_follows_changes,
    the_api_explains_itself,
    workloads_are_shown_in_their_columns,
    nodes_are_described_and_cordoned,
    objects_are_edited_compared_and_waited_for,
    sets_follow_their_load,
    the_systems_own_kinds_are_shown,
    certificates_are_approved_by_hand,
    pods_are_resized_debugged_and_asked_for_their_logs,
);

async fn objects_are_made_shown_changed_and_deleted(cluster: Cluster) {
    let run = async |args: &[&str]| cluster.kubectl(args).await;
    assert_eq!(run(&["create", "ns", "demo"]).await, "namespace/demo created\n");
    assert_eq!(
        run(&["-n", "demo", "create", "configmap", "settings", "--from-literal=a=1"]).await,
        "configmap/settings created\n"
    );
    let shown = run(&["-n", "demo", "get", "configmap", "settings"]).await;
    assert!(shown.starts_with("NAME       DATA   AGE\nsettings   1      "), "{shown}");
    let wide = run(&["get", "ns", "-o", "wide"]).await;
    assert!(wide.starts_with("NAME              STATUS   AGE\n"), "{wide}");
    assert!(wide.contains("demo              Active   "), "{wide}");
    let yaml = run(&["-n", "demo", "get", "configmap", "settings", "-o", "yaml"]).await;
    assert!(yaml.starts_with("apiVersion: v1\ndata:\n  a: \"1\"\nkind: ConfigMap\n"), "{yaml}");
    run(&["-n", "demo", "label", "configmap", "settings", "color=red"]).await;
    run(&["-n", "demo", "annotate", "configmap", "settings", "note=hello"]).await;
    for (kind, patch) in [
        ("merge", r#"{"data":{"b":"2"}}"#),
        ("strategic", r#"{"data":{"c":"3"}}"#),
        ("json", r#"[{"op":"add","path":"/data/d","value":"4"}]"#),
    ] {
        let said = run(&["-n", "demo", "patch", "configmap", "settings", "--type", kind, "-p", patch]).await;
        assert_eq!(said, "configmap/settings patched\n", "{kind}");
    }
    let same =
        run(&["-n", "demo", "patch", "configmap", "settings", "--type", "merge", "-p", r#"{"data":{"b":"2"}}"#]).await;
    assert_eq!(same, "configmap/settings patched (no change)\n");
    let json: Value = serde_json::from_str(&run(&["-n", "demo", "get", "cm", "settings", "-o", "json"]).await).unwrap();
    assert_eq!(json["data"].as_object().unwrap().len(), 4);
    assert_eq!(json["metadata"]["labels"]["color"], "red");
    assert_eq!(json["metadata"]["annotations"]["note"], "hello");
    // What `edit` does: read, change, replace.
    let edited = yaml_of(&cluster, "settings").await.replace("a: \"1\"", "a: edited");
    let said = cluster.kubectl_input(&["-n", "demo", "replace", "-f", "-"], &edited).await;
    assert_eq!(said, "configmap/settings replaced\n");
    let value = run(&["-n", "demo", "get", "cm", "settings", "-o", "jsonpath={.data.a}"]).await;
    assert_eq!(value, "edited");
    assert_eq!(run(&["-n", "demo", "get", "cm", "-l", "color=red", "-o", "name"]).await, "configmap/settings\n");
    let described = run(&["-n", "demo", "describe", "cm", "settings"]).await;
    assert!(described.contains("Name:         settings"), "{described}");
    let said = run(&["-n", "demo", "delete", "configmap", "settings"]).await;
    assert!(said.starts_with("configmap \"settings\" deleted"), "{said}");
    let gone = cluster.kubectl_fails(&["-n", "demo", "get", "cm", "settings"]).await;
    assert_eq!(gone, "Error from server (NotFound): configmaps \"settings\" not found\n");
    let missing = cluster.kubectl_fails(&["-n", "nope", "create", "configmap", "x"]).await;
    assert_eq!(missing, "error: failed to create configmap: namespaces \"nope\" not found\n");
    let said = run(&["delete", "ns", "demo", "--wait=false"]).await;
    assert!(said.starts_with("namespace \"demo\" deleted"), "{said}");
    let raw = run(&["get", "--raw", "/readyz?verbose"]).await;
    assert!(raw.contains("readyz check passed"), "{raw}");
    let version = run(&["version"]).await;
    assert!(version.contains("Server Version: v1.37.0"), "{version}");
}

async fn yaml_of(cluster: &Cluster, name: &str) -> String {
    cluster.kubectl(&["-n", "demo", "get", "cm", name, "-o", "yaml"]).await
}

async fn apply_creates_and_changes(cluster: Cluster) {
    let manifest = |image: &str, label: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata:\n  name: web\n  labels:\n    {label}: \"1\"\nspec:\n  containers:\n  - name: main\n    image: {image}\n    ports:\n    - containerPort: 80\n---\napiVersion: v1\nkind: Service\nmetadata:\n  name: web\nspec:\n  selector:\n    {label}: \"1\"\n  ports:\n  - port: 80\n"
        )
    };
    let apply = async |text: String| cluster.kubectl_input(&["apply", "-f", "-"], &text).await;
    assert_eq!(apply(manifest("example.test/web:1", "one")).await, "pod/web created\nservice/web created\n");
    assert_eq!(apply(manifest("example.test/web:1", "one")).await, "pod/web unchanged\nservice/web unchanged\n");
    assert_eq!(apply(manifest("example.test/web:2", "two")).await, "pod/web configured\nservice/web configured\n");
    let pod: Value = serde_json::from_str(&cluster.kubectl(&["get", "pod", "web", "-o", "json"]).await).unwrap();
    assert_eq!(pod["spec"]["containers"][0]["image"], "example.test/web:2");
    assert_eq!(pod["metadata"]["labels"], serde_json::json!({ "two": "1" }));
    let dry =
        cluster.kubectl_input(&["apply", "--dry-run=server", "-f", "-"], &manifest("example.test/web:3", "two")).await;
    assert_eq!(dry, "pod/web configured (server dry run)\nservice/web unchanged (server dry run)\n");
    let wrong = manifest("x", "one").replace("name: web", "name: odd").replace("containerPort", "containerPrt");
    let wrong = cluster.kubectl_with(&["apply", "-f", "-"], &wrong).await;
    assert!(!wrong.status.success());
    let complaint = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(complaint.contains("unknown field \"spec.containers[0].ports[0].containerPrt\""), "{complaint}");
    let deleted =
        cluster.kubectl_input(&["delete", "--force", "--grace-period=0", "-f", "-"], &manifest("x", "one")).await;
    assert!(deleted.contains("service \"web\" ") && deleted.contains("deleted"), "{deleted}");
}

async fn get_follows_changes(cluster: Cluster) {
    let mut child = cluster.kubectl_command(&["get", "configmap", "-w", "--output-watch-events"]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    cluster.kubectl(&["create", "configmap", "first", "--from-literal=a=1"]).await;
    let mut next = async || {
        let line = tokio::time::timeout(std::time::Duration::from_secs(30), lines.next_line()).await;
        line.expect("kubectl prints a line").unwrap().expect("kubectl goes on")
    };
    let head = next().await;
    assert!(head.starts_with("EVENT   "), "{head}");
    assert!(next().await.starts_with("ADDED   "));
    cluster.kubectl(&["label", "configmap", "first", "x=y"]).await;
    assert!(next().await.starts_with("MODIFIED   first "));
    cluster.kubectl(&["delete", "configmap", "first"]).await;
    assert!(next().await.starts_with("DELETED    first "));
    child.kill().await.unwrap();
}

async fn the_api_explains_itself(cluster: Cluster) {
    let resources = cluster.kubectl(&["api-resources"]).await;
    for line in ["configmaps ", "namespaces ", "leases "] {
        assert!(resources.lines().any(|one| one.starts_with(line)), "{line} is missing in {resources}");
    }
    let versions = cluster.kubectl(&["api-versions"]).await;
    assert!(versions.contains("coordination.k8s.io/v1\n") && versions.contains("v1\n"), "{versions}");
    let explained = cluster.kubectl(&["explain", "pod.spec.containers.image"]).await;
    assert!(explained.contains("KIND:       Pod") && explained.contains("FIELD: image <string>"), "{explained}");
}

async fn workloads_are_shown_in_their_columns(cluster: Cluster) {
    let pod = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: p\nspec:\n  containers:\n  - {name: main, image: example.test/a}\n";
    cluster.kubectl_input(&["create", "-f", "-"], pod).await;
    let shown = cluster.kubectl(&["get", "pods"]).await;
    assert!(
        shown.starts_with("NAME   READY   STATUS    RESTARTS   AGE\np      0/1     Pending   0          "),
        "{shown}"
    );
    let wide = cluster.kubectl(&["get", "pods", "-o", "wide"]).await;
    assert!(wide.lines().next().unwrap().ends_with("IP       NODE     NOMINATED NODE   READINESS GATES"), "{wide}");
    let services = cluster.kubectl(&["get", "svc"]).await;
    assert!(services.starts_with("NAME         TYPE        CLUSTER-IP   EXTERNAL-IP   PORT(S)   AGE\nkubernetes   ClusterIP   10.96.0.1    <none>        443/TCP   "), "{services}");
    let described = cluster.kubectl(&["describe", "svc", "kubernetes"]).await;
    assert!(described.contains("IP:                10.96.0.1") || described.contains("IP:"), "{described}");
    cluster.kubectl(&["run", "q", "--image=example.test/q", "--restart=Never"]).await;
    let all = cluster.kubectl(&["get", "pods", "-A", "--no-headers"]).await;
    assert_eq!(all.lines().count(), 2, "{all}");
}

async fn nodes_are_described_and_cordoned(cluster: Cluster) {
    let node =
        "apiVersion: v1\nkind: Node\nmetadata:\n  name: n1\n  labels:\n    node-role.kubernetes.io/worker: \"\"\n";
    cluster.kubectl_input(&["create", "-f", "-"], node).await;
    let ready =
        r#"{"status":{"conditions":[{"type":"Ready","status":"True"}],"nodeInfo":{"kubeletVersion":"v1.37.0"}}}"#;
    cluster.kubectl(&["patch", "node", "n1", "--subresource=status", "--type=merge", "-p", ready]).await;
    let shown = cluster.kubectl(&["get", "nodes"]).await;
    assert!(shown.starts_with("NAME   STATUS   ROLES    AGE"), "{shown}");
    assert!(shown.contains("\nn1     Ready    worker   "), "{shown}");
    assert_eq!(cluster.kubectl(&["cordon", "n1"]).await, "node/n1 cordoned\n");
    let shown = cluster.kubectl(&["get", "nodes"]).await;
    assert!(shown.contains("Ready,SchedulingDisabled"), "{shown}");
    assert_eq!(cluster.kubectl(&["uncordon", "n1"]).await, "node/n1 uncordoned\n");
    assert_eq!(cluster.kubectl(&["taint", "node", "n1", "a=b:NoSchedule"]).await, "node/n1 tainted\n");
    let described = cluster.kubectl(&["describe", "node", "n1"]).await;
    for line in ["Name:               n1", "Taints:             a=b:NoSchedule", "Unschedulable:      false"] {
        assert!(described.contains(line), "{line} is missing in {described}");
    }
    let pod = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: p\nspec:\n  containers:\n  - {name: main, image: example.test/a}\n";
    cluster.kubectl_input(&["create", "-f", "-"], pod).await;
    let described = cluster.kubectl(&["describe", "pod", "p"]).await;
    assert!(described.starts_with("Name: ") && described.contains("Pending"), "{described}");
    assert!(cluster.kubectl(&["delete", "node", "n1"]).await.starts_with("node \"n1\" deleted"));
}

async fn objects_are_edited_compared_and_waited_for(cluster: Cluster) {
    cluster.kubectl(&["create", "configmap", "c", "--from-literal=a=before"]).await;
    let output = cluster
        .kubectl_command(&["edit", "configmap", "c"])
        .env("KUBE_EDITOR", "sed -i s/before/after/")
        .output()
        .await
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "configmap/c edited\n");
    assert_eq!(cluster.kubectl(&["get", "cm", "c", "-o", "jsonpath={.data.a}"]).await, "after");
    let manifest = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: c\ndata:\n  a: other\n";
    let diff = cluster.kubectl_with(&["diff", "-f", "-"], manifest).await;
    let shown = String::from_utf8_lossy(&diff.stdout).into_owned();
    assert_eq!(diff.status.code(), Some(1), "{shown}{}", String::from_utf8_lossy(&diff.stderr));
    assert!(shown.contains("-  a: after\n+  a: other\n"), "{shown}");
    for name in ["d", "e", "f"] {
        cluster.kubectl(&["create", "configmap", name, "--from-literal=a=1"]).await;
    }
    let paged = cluster.kubectl(&["get", "cm", "--chunk-size=1", "-o", "name"]).await;
    assert_eq!(paged, "configmap/c\nconfigmap/d\nconfigmap/e\nconfigmap/f\n");
    let columns = ["get", "cm", "--sort-by=.metadata.name", "-o", "custom-columns=N:.metadata.name"];
    assert_eq!(cluster.kubectl(&columns).await, "N\nc\nd\ne\nf\n");
    let waiting =
        tokio::spawn(cluster.kubectl_command(&["wait", "--for=delete", "configmap/f", "--timeout=50s"]).output());
    assert!(cluster.kubectl(&["delete", "cm", "f"]).await.contains("deleted"));
    assert!(waiting.await.unwrap().unwrap().status.success());
    let all = cluster.kubectl(&["delete", "cm", "--all"]).await;
    assert_eq!(all.lines().count(), 3, "{all}");
}

async fn sets_follow_their_load(cluster: Cluster) {
    let run = async |args: &[&str]| cluster.kubectl(args).await;
    run(&["create", "deployment", "web", "--image=example.test/web:1"]).await;
    let said = run(&["autoscale", "deployment", "web", "--min=2", "--max=5", "--cpu-percent=60"]).await;
    assert!(said.contains("horizontalpodautoscaler.autoscaling/web autoscaled\n"), "{said}");
    for resource in ["hpa", "horizontalpodautoscalers.v1.autoscaling", "horizontalpodautoscalers.v2.autoscaling"] {
        let shown = run(&["get", resource]).await;
        let rows: Vec<Vec<&str>> = shown.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(rows[0], ["NAME", "REFERENCE", "TARGETS", "MINPODS", "MAXPODS", "REPLICAS", "AGE"], "{resource}");
        assert_eq!(rows[1][..2], ["web", "Deployment/web"], "{resource}");
        assert!(rows[1].ends_with(&["2", "5", "0", rows[1].last().unwrap()]), "{resource}: {shown}");
    }
    let percent = run(&[
        "get",
        "horizontalpodautoscalers.v1.autoscaling",
        "web",
        "-o",
        "jsonpath={.spec.targetCPUUtilizationPercentage}",
    ])
    .await;
    assert_eq!(percent, "60");
    let text = run(&["explain", "hpa.spec.targetCPUUtilizationPercentage", "--api-version=autoscaling/v1"]).await;
    assert!(text.contains("FIELD: targetCPUUtilizationPercentage <integer>"), "{text}");
}

async fn the_systems_own_kinds_are_shown(cluster: Cluster) {
    let run = async |args: &[&str]| cluster.kubectl(args).await;
    let first = async |args: &[&str]| -> (Vec<String>, Vec<String>) {
        let shown = run(args).await;
        let mut rows = shown
            .lines()
            .filter(|line| !line.starts_with("Warning"))
            .map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
        (rows.next().unwrap_or_default(), rows.next().unwrap_or_default())
    };
    for (resource, head, row) in [
        ("servicecidrs", "NAME CIDRS AGE", "kubernetes 10.96.0.0/12"),
        ("ip", "NAME PARENTREF AGE", "10.96.0.1 services/default/kubernetes"),
        ("apiservices", "NAME SERVICE AVAILABLE AGE", "v1. Local True"),
        (
            "prioritylevelconfigurations",
            "NAME TYPE NOMINALCONCURRENCYSHARES QUEUES HANDSIZE QUEUELENGTHLIMIT AGE",
            "catch-all Limited 5 <none> <none> <none>",
        ),
        (
            "flowschemas",
            "NAME PRIORITYLEVEL MATCHINGPRECEDENCE DISTINGUISHERMETHOD AGE MISSINGPL",
            "catch-all catch-all 10000 ByUser",
        ),
        ("cs", "NAME STATUS MESSAGE ERROR", "controller-manager "),
    ] {
        let (heading, cells) = first(&["get", resource]).await;
        assert_eq!(heading.join(" "), head, "{resource}");
        assert!(cells.join(" ").starts_with(row), "{resource}: {cells:?}");
    }
    let resources = run(&["api-resources", "--no-headers"]).await;
    for line in [
        "certificatesigningrequests csr certificates.k8s.io/v1 false CertificateSigningRequest",
        "componentstatuses cs v1 false ComponentStatus",
        "customresourcedefinitions crd,crds apiextensions.k8s.io/v1 false CustomResourceDefinition",
        "ipaddresses ip networking.k8s.io/v1 false IPAddress",
        "tokenreviews authentication.k8s.io/v1 false TokenReview",
        "bindings v1 true Binding",
    ] {
        let found = resources.lines().any(|one| one.split_whitespace().collect::<Vec<_>>().join(" ") == line);
        assert!(found, "{line} is missing in {resources}");
    }
    for kind in [
        "resourceslices.spec.devices",
        "flowschemas.spec.rules",
        "validatingadmissionpolicies.spec.validations",
        "storageversionmigrations.spec",
    ] {
        let text = run(&["explain", kind]).await;
        assert!(text.contains("DESCRIPTION:") && text.contains("FIELDS:"), "{kind}: {text}");
    }
}

async fn certificates_are_approved_by_hand(cluster: Cluster) {
    let run = async |args: &[&str]| cluster.kubectl(args).await;
    let manifest = format!(
        "apiVersion: certificates.k8s.io/v1\nkind: CertificateSigningRequest\nmetadata:\n  name: {{}}\nspec:\n  request: {}\n  \
         signerName: kubernetes.io/kube-apiserver-client\n  expirationSeconds: 86400\n  usages: [client auth]\n",
        tests_api::samples::SIGNING_REQUEST
    );
    for name in ["ann", "bob"] {
        cluster.kubectl_input(&["apply", "-f", "-"], &manifest.replace("{}", name)).await;
    }
    let said = run(&["certificate", "approve", "ann"]).await;
    assert_eq!(said, "certificatesigningrequest.certificates.k8s.io/ann approved\n");
    run(&["certificate", "deny", "bob"]).await;
    let shown = run(&["get", "csr"]).await;
    let rows: Vec<Vec<&str>> = shown.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["NAME", "AGE", "SIGNERNAME", "REQUESTOR", "REQUESTEDDURATION", "CONDITION"]);
    assert_eq!(rows[1][2..], ["kubernetes.io/kube-apiserver-client", "kubernetes-admin", "24h", "Approved"]);
    assert_eq!(rows[2][5], "Denied");
    let said = run(&["describe", "csr", "ann"]).await;
    assert!(said.contains("Requesting User:     kubernetes-admin"), "{said}");
}

async fn pods_are_resized_debugged_and_asked_for_their_logs(cluster: Cluster) {
    let pod = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: p\nspec:\n  containers:\n  - name: main\n    image: example.test/a\n    resources: {requests: {cpu: 100m}}\n";
    cluster.kubectl_input(&["create", "-f", "-"], pod).await;
    let patch = r#"{"spec":{"containers":[{"name":"main","resources":{"requests":{"cpu":"250m"}}}]}}"#;
    let said = cluster.kubectl(&["patch", "pod", "p", "--subresource=resize", "-p", patch]).await;
    assert_eq!(said, "pod/p patched\n");
    let cpu =
        cluster.kubectl(&["get", "pod", "p", "-o", "jsonpath={.spec.containers[0].resources.requests.cpu}"]).await;
    assert_eq!(cpu, "250m");
    let removed = r#"[{"op":"remove","path":"/spec/containers/0/resources/requests"}]"#;
    let said =
        cluster.kubectl_fails(&["patch", "pod", "p", "--subresource=resize", "--type=json", "-p", removed]).await;
    assert!(said.contains("resource requests cannot be removed"), "{said}");

    let debug = ["debug", "p", "--image=example.test/sh", "--container=debugger", "--target=main", "--profile=general"];
    cluster.kubectl(&debug).await;
    let path = "jsonpath={.spec.ephemeralContainers[0].name} {.spec.ephemeralContainers[0].targetContainerName}";
    assert_eq!(cluster.kubectl(&["get", "pod", "p", "-o", path]).await, "debugger main");

    assert_eq!(cluster.kubectl(&["logs", "p", "-c", "main"]).await, "");
    let said = cluster.kubectl_fails(&["logs", "p", "-c", "nobody"]).await;
    assert!(said.contains("container nobody is not valid for pod p"), "{said}");
    let said = cluster.kubectl_fails(&["exec", "p", "-c", "main", "--", "true"]).await;
    assert!(said.contains("pod p does not have a host assigned"), "{said}");
    let said =
        cluster.kubectl_fails(&["get", "--raw", "/api/v1/namespaces/default/services/kubernetes:nope/proxy/x"]).await;
    assert!(said.contains("no service port \"nope\" found for service \"kubernetes\""), "{said}");
    let said = cluster.kubectl_fails(&["get", "--raw", "/api/v1/namespaces/default/pods/p/proxy/"]).await;
    assert!(said.contains("address not allowed"), "{said}");
}
