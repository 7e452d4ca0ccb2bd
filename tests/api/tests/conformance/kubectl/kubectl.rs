//! What people do with kubectl.

use serde_json::{Value, json};
use tests_api::behaviours;
use tests_api::stage::{Kind, Stage};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpStream, UnixStream};

behaviours!(
    api_versions_has_v1,
    cluster_info_names_the_control_plane,
    diff_finds_a_difference,
    run_makes_a_pod,
    a_dry_run_changes_nothing,
    version_says_it_all,
    proxy_takes_a_free_port,
    proxy_takes_a_socket,
    describe_says_what_matters,
    label_updates_a_label,
    patch_adds_annotations,
    replace_updates_an_image,
);

const IMAGE: &str = "example.test/main:1";
const OTHER: &str = "example.test/other:2";

async fn kubectl(stage: &Stage, args: &[&str]) -> String {
    let args: Vec<&str> = ["--namespace", &stage.namespace].into_iter().chain(args.iter().copied()).collect();
    stage.cluster.kubectl(&args).await
}

async fn running(stage: &Stage, name: &str) -> Kind {
    kubectl(stage, &["run", name, "--image", IMAGE, "--restart=Never"]).await;
    stage.sampled("Pod").await
}

fn image(pod: &Value) -> &Value {
    &pod["spec"]["containers"][0]["image"]
}

async fn api_versions_has_v1(stage: Stage) {
    let versions = kubectl(&stage, &["api-versions"]).await;
    assert!(versions.lines().any(|version| version == "v1"), "{versions}");
    assert!(versions.lines().any(|version| version == "apps/v1"), "{versions}");
}

async fn cluster_info_names_the_control_plane(stage: Stage) {
    let info = kubectl(&stage, &["cluster-info"]).await;
    assert!(info.contains("Kubernetes control plane") && info.contains("is running at"), "{info}");
    assert!(info.contains(&stage.cluster.url()), "{info}");
}

async fn diff_finds_a_difference(stage: Stage) {
    let deployments = stage.sampled("Deployment").await;
    let mut deployment = deployments.sample("web");
    deployment["spec"]["template"]["spec"]["containers"][0]["image"] = json!(IMAGE);
    deployments.create(&deployment).await;
    deployment["spec"]["template"]["spec"]["containers"][0]["image"] = json!(OTHER);
    let args = ["--namespace", &stage.namespace, "diff", "-f", "-"];
    let output = stage.cluster.kubectl_with(&args, &deployment.to_string()).await;
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}{}", String::from_utf8_lossy(&output.stderr));
    for (sign, image) in [('-', IMAGE), ('+', OTHER)] {
        assert!(
            said.lines().any(|line| line.starts_with(sign) && line.ends_with(&format!("image: {image}"))),
            "{said}"
        );
    }
}

async fn run_makes_a_pod(stage: Stage) {
    let pod = running(&stage, "web").await.get("web").await;
    assert_eq!((image(&pod), &pod["spec"]["restartPolicy"]), (&json!(IMAGE), &json!("Never")));
    assert_eq!(pod["spec"]["containers"].as_array().unwrap().len(), 1);
}

async fn a_dry_run_changes_nothing(stage: Stage) {
    let pods = running(&stage, "web").await;
    let before = pods.get("web").await;
    let patch = json!({ "spec": { "containers": [{ "name": "web", "image": OTHER }] } }).to_string();
    kubectl(&stage, &["patch", "pod", "web", "-p", &patch, "--dry-run=server"]).await;
    assert_eq!(pods.get("web").await, before);
    kubectl(&stage, &["patch", "pod", "web", "-p", &patch]).await;
    assert_eq!(image(&pods.get("web").await), OTHER);
}

async fn version_says_it_all(stage: Stage) {
    let version = kubectl(&stage, &["version"]).await;
    for line in ["Client Version: v1.", "Server Version: v1."] {
        assert!(version.lines().any(|found| found.starts_with(line)), "{version}");
    }
    // What kubectl thinks of a server of another release stands on its standard error.
    let version = stage.cluster.kubectl_with(&["version", "-o", "json"], "").await;
    let version: Value = serde_json::from_slice(&version.stdout).unwrap();
    for field in
        ["major", "minor", "gitVersion", "gitCommit", "gitTreeState", "buildDate", "goVersion", "compiler", "platform"]
    {
        assert!(version["serverVersion"][field].is_string(), "{field}: {version}");
    }
}

/// Asks for the versions of the core group without TLS or a certificate.
async fn versions(mut connection: impl AsyncRead + AsyncWrite + Unpin) -> Value {
    connection.write_all(b"GET /api/ HTTP/1.0\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer}"));
    serde_json::from_str::<Value>(body).unwrap()["versions"].clone()
}

async fn proxy_takes_a_free_port(stage: Stage) {
    let mut proxy = stage.cluster.kubectl_command(&["proxy", "--port=0"]).spawn().unwrap();
    let mut lines = BufReader::new(proxy.stdout.take().unwrap()).lines();
    let line = lines.next_line().await.unwrap().unwrap();
    let address = line.strip_prefix("Starting to serve on ").unwrap_or_else(|| panic!("{line}"));
    assert_eq!(versions(TcpStream::connect(address).await.unwrap()).await, json!(["v1"]));
    proxy.kill().await.unwrap();
}

async fn proxy_takes_a_socket(stage: Stage) {
    let socket = stage.cluster.folder().join(&stage.namespace);
    let flag = format!("--unix-socket={}", socket.display());
    let mut proxy = stage.cluster.kubectl_command(&["proxy", &flag]).spawn().unwrap();
    let mut lines = BufReader::new(proxy.stdout.take().unwrap()).lines();
    let line = lines.next_line().await.unwrap().unwrap();
    assert!(line.starts_with("Starting to serve on "), "{line}");
    assert_eq!(versions(UnixStream::connect(&socket).await.unwrap()).await, json!(["v1"]));
    proxy.kill().await.unwrap();
}

async fn describe_says_what_matters(stage: Stage) {
    let controllers = stage.sampled("ReplicationController").await;
    controllers.create(&controllers.sample("web")).await;
    let pods = stage.sampled("Pod").await;
    let mut pod = pods.sample("web-1");
    pod["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "v1", "kind": "ReplicationController", "name": "web", "controller": true,
        "uid": controllers.get("web").await["metadata"]["uid"],
    }]);
    pods.create(&pod).await;
    let services = stage.sampled("Service").await;
    let service = services.create(&services.sample("web")).await;
    let namespace = stage.namespace.as_str();
    let says = async |args: &[&str], wanted: &[(&str, &str)]| {
        let said = kubectl(&stage, &[&["describe"], args].concat()).await;
        for (label, value) in wanted {
            let line = said.lines().find(|line| line.trim_start().starts_with(&format!("{label}:")));
            let line = line.unwrap_or_else(|| panic!("no {label}: {said}"));
            assert!(line.contains(value), "{label}: {said}");
        }
    };
    says(
        &["pod", "web-1"],
        &[
            ("Name", "web-1"),
            ("Namespace", namespace),
            ("Status", "Pending"),
            ("Controlled By", "ReplicationController/web"),
            ("Image", IMAGE),
        ],
    )
    .await;
    says(
        &["rc", "web"],
        &[
            ("Name", "web"),
            ("Namespace", namespace),
            ("Replicas", "0 current / 1 desired"),
            ("Image", "example.test/c:1"),
        ],
    )
    .await;
    let address = service["spec"]["clusterIP"].as_str().unwrap();
    says(
        &["service", "web"],
        &[("Name", "web"), ("Namespace", namespace), ("Type", "ClusterIP"), ("IP", address), ("Port", "80/TCP")],
    )
    .await;
    says(&["namespace", namespace], &[("Name", namespace), ("Status", "Active")]).await;
}

async fn label_updates_a_label(stage: Stage) {
    let pods = running(&stage, "web").await;
    kubectl(&stage, &["label", "pods", "web", "testing-label=testing-label-value"]).await;
    let shown = kubectl(&stage, &["get", "pod", "web", "-L", "testing-label"]).await;
    assert!(shown.contains("testing-label-value"), "{shown}");
    kubectl(&stage, &["label", "pods", "web", "testing-label-"]).await;
    let shown = kubectl(&stage, &["get", "pod", "web", "-L", "testing-label"]).await;
    assert!(!shown.contains("testing-label-value"), "{shown}");
    assert!(pods.get("web").await["metadata"]["labels"].get("testing-label").is_none());
}

async fn patch_adds_annotations(stage: Stage) {
    let pods = stage.sampled("Pod").await;
    for name in ["web-1", "web-2"] {
        let mut pod = pods.sample(name);
        pod["metadata"]["labels"]["app"] = json!("web");
        pods.create(&pod).await;
        let patch = r#"{ "metadata": { "annotations": { "x": "y" } } }"#;
        kubectl(&stage, &["patch", "pod", name, "-p", patch]).await;
    }
    for pod in pods.list_labelled("app=web").await {
        assert_eq!(pod["metadata"]["annotations"]["x"], "y");
    }
}

async fn replace_updates_an_image(stage: Stage) {
    let pods = running(&stage, "web").await;
    let shown = kubectl(&stage, &["get", "pod", "web", "-o", "json"]).await.replace(IMAGE, OTHER);
    let args = ["--namespace", &stage.namespace, "replace", "-f", "-"];
    assert_eq!(stage.cluster.kubectl_input(&args, &shown).await, "pod/web replaced\n");
    assert_eq!(image(&pods.get("web").await), OTHER);
}
