//! Who else may say who somebody is: front proxies, files, bootstrap tokens, providers of tokens and webhooks.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use authentication::key::{SigningKey, key_set};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use serde_json::{Value, json};
use tests_api::rig::{Answer, Client, Cluster, Login, Options, Responder, StoreKind};
use tests_api::stage::eventually;

const REVIEWS: &str = "/apis/authentication.k8s.io/v1/tokenreviews";
/// What few may read. The answer to others tells who the server takes them for.
const GUARDED: &str = "/api/v1/namespaces/kube-system/secrets";

async fn cluster(flags: &[&str]) -> Cluster {
    let flags = flags.iter().map(|&flag| flag.to_owned()).collect();
    Cluster::start(Options { store: StoreKind::Orlop, flags }).await
}

async fn ask(client: &Client, headers: &[(&str, &str)]) -> Answer {
    client.send("GET", GUARDED, headers, "").await
}

async fn bearer(cluster: &Cluster, token: &str) -> Answer {
    ask(&cluster.client(None), &[("authorization", &format!("Bearer {token}"))]).await
}

async fn review(cluster: &Cluster, token: &str) -> Value {
    let answer = cluster.admin().post(REVIEWS, &json!({ "spec": { "token": token } })).await;
    assert_eq!(answer.code, 201, "{}", answer.text());
    answer.json()["status"].clone()
}

fn assert_is(answer: &Answer, user: &str) {
    assert_eq!(answer.code, 403, "{}", answer.text());
    let message = answer.json()["message"].as_str().unwrap_or_default().to_owned();
    assert!(message.contains(&format!("User \"{user}\"")), "{message}");
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}

fn write(cluster: &Cluster, name: &str, text: &str) -> String {
    let path = cluster.folder().join(name);
    std::fs::write(&path, text).expect("write a file");
    path.display().to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_front_proxy_is_believed_and_nobody_else() {
    let mut cluster = cluster(&[]).await;
    let (authority, [proxy, other]) = cluster.credentials.front_proxies(["front-proxy", "other"]);
    cluster
        .restart_server_with(&[
            "--anonymous-auth=true",
            &format!("--requestheader-client-ca-file={authority}"),
            "--requestheader-allowed-names=front-proxy",
            "--requestheader-username-headers=X-Remote-User,X-User",
            "--requestheader-uid-headers=X-Remote-Uid",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        ])
        .await;
    let client = |login: Option<&Login>| cluster.client(login);
    let ann = [("x-remote-user", "ann"), ("x-remote-group", "dev")];
    assert_is(&ask(&client(Some(&proxy)), &ann).await, "ann");
    assert_is(&ask(&client(Some(&proxy)), &[("x-user", "bob")]).await, "bob");
    let master = [("x-remote-user", "ann"), ("x-remote-group", "system:masters")];
    assert_eq!(ask(&client(Some(&proxy)), &master).await.code, 200);
    let me = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview" }).to_string();
    let headers = [
        ("content-type", "application/json"),
        ("x-remote-user", "ann"),
        ("x-remote-uid", "7"),
        ("x-remote-group", "system:masters"),
        ("x-remote-group", "dev"),
        ("x-remote-extra-acme.com%2fproject", "some"),
    ];
    let me =
        client(Some(&proxy)).send("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", &headers, &me).await;
    let user = me.json()["status"]["userInfo"].clone();
    assert_eq!(
        user,
        json!({
            "username": "ann", "uid": "7", "groups": ["system:masters", "dev", "system:authenticated"],
            "extra": { "acme.com/project": ["some"] },
        })
    );
    // A proxy without headers is nobody; one of another name, a client and a stranger are not believed.
    assert_eq!(ask(&client(Some(&proxy)), &[]).await.code, 401);
    assert_eq!(ask(&client(Some(&other)), &master).await.code, 401);
    let plain = cluster.credentials.user("plain", None);
    assert_is(&ask(&client(Some(&plain)), &master).await, "plain");
    assert_eq!(ask(&client(Some(&cluster.credentials.stranger("front-proxy"))), &master).await.code, 401);
    assert_is(&ask(&client(None), &master).await, "system:anonymous");
    let with_token = [("authorization", "Bearer x"), ("x-remote-user", "ann")];
    assert_eq!(ask(&client(None), &with_token).await.code, 401);
    let path = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication";
    let published = cluster.admin().get(path).await.json()["data"].clone();
    assert_eq!(published["requestheader-allowed-names"], r#"["front-proxy"]"#, "{published}");
    assert_eq!(published["requestheader-username-headers"], r#"["X-Remote-User","X-User"]"#);
    assert!(published["requestheader-client-ca-file"].as_str().is_some_and(|pem| pem.contains("BEGIN CERTIFICATE")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_of_files_and_of_bootstrap_secrets_log_in() {
    let mut cluster = cluster(&[]).await;
    let file = write(&cluster, "tokens.csv", "s3cret,ann,1,\"dev,ops\"\n");
    let flags = [&*format!("--token-auth-file={file}"), "--enable-bootstrap-token-auth", "--anonymous-auth=true"];
    cluster.restart_server_with(&flags).await;
    assert_is(&bearer(&cluster, "s3cret").await, "ann");
    let status = review(&cluster, "s3cret").await;
    assert_eq!(
        status["user"],
        json!({ "username": "ann", "uid": "1", "groups": ["dev", "ops", "system:authenticated"] })
    );
    assert_eq!(bearer(&cluster, "s3cre").await.code, 401);

    let token = "abcdef.0123456789abcdef";
    assert_eq!(bearer(&cluster, token).await.code, 401);
    let secret = json!({
        "metadata": { "name": "bootstrap-token-abcdef" }, "type": "bootstrap.kubernetes.io/token",
        "stringData": {
            "token-id": "abcdef", "token-secret": "0123456789abcdef", "usage-bootstrap-authentication": "true",
            "auth-extra-groups": "system:bootstrappers:workers",
        },
    });
    let secrets = "/api/v1/namespaces/kube-system/secrets";
    let made = cluster.admin().post(secrets, &secret).await;
    assert_eq!(made.code, 201, "{}", made.text());
    assert_is(&bearer(&cluster, token).await, "system:bootstrap:abcdef");
    let groups = review(&cluster, token).await["user"]["groups"].clone();
    assert_eq!(groups, json!(["system:bootstrappers", "system:bootstrappers:workers", "system:authenticated"]));
    assert_eq!(bearer(&cluster, "abcdef.0123456789abcdeg").await.code, 401);
    let expired = json!({ "stringData": { "expiration": "2020-01-01T00:00:00Z" } });
    let path = format!("{secrets}/bootstrap-token-abcdef");
    assert_eq!(cluster.admin().patch(&path, "application/merge-patch+json", &expired).await.code, 200);
    eventually("the token to expire", async || (bearer(&cluster, token).await.code == 401).then_some(())).await;
}

/// A provider of tokens: its documents, which may change.
struct Provider {
    key: SigningKey,
    documents: Arc<Mutex<Vec<(String, String)>>>,
    server: Responder,
}

fn key(name: &str) -> SigningKey {
    let folder = std::env::var("CARGO_MANIFEST_DIR").expect("cargo runs the test");
    let path = format!("{folder}/../../control-plane/apiserver/authentication/tests/keys/{name}.pem");
    SigningKey::read(&std::fs::read(path).expect("a key"), &SystemRandom::new()).expect("a key")
}

impl Provider {
    async fn start(cluster: &Cluster) -> Self {
        let documents: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
        let shown = Arc::clone(&documents);
        let answer = move |path: &str, _: &[u8]| {
            let shown = shown.lock().expect("the documents");
            shown.iter().find(|(at, _)| at == path).map(|(_, text)| text.clone())
        };
        let server = Responder::start(&cluster.credentials, answer).await;
        let provider = Self { key: key("rsa"), documents, server };
        provider.shows(&provider.key);
        provider
    }

    /// Shows one key as the issuer's.
    fn shows(&self, key: &SigningKey) {
        let url = self.server.url();
        let discovery = json!({ "issuer": url, "jwks_uri": format!("{url}/keys") }).to_string();
        let keys = key_set(std::slice::from_ref(key.public())).to_string();
        *self.documents.lock().expect("the documents") =
            vec![("/.well-known/openid-configuration".to_owned(), discovery), ("/keys".to_owned(), keys)];
    }

    fn token(&self, key: &SigningKey, change: impl FnOnce(&mut Value)) -> String {
        let mut claims = json!({
            "iss": self.server.url(), "aud": "kubernetes", "exp": now() + 600, "sub": "7", "email": "ann@acme.test",
            "groups": ["dev", "ops"], "hd": "acme",
        });
        change(&mut claims);
        key.sign(claims.as_object().expect("claims"), &SystemRandom::new()).expect("a token")
    }

    fn configuration(&self, cluster: &Cluster, prefix: &str) -> String {
        let authority = std::fs::read_to_string(cluster.credentials.path("client-ca.crt")).expect("an authority");
        json!({
            "apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthenticationConfiguration",
            "anonymous": { "enabled": true, "conditions": [{ "path": "/livez" }] },
            "jwt": [{
                "issuer": { "url": self.server.url(), "audiences": ["kubernetes"], "certificateAuthority": authority },
                "claimValidationRules": [{ "claim": "hd", "requiredValue": "acme" }],
                "claimMappings": {
                    "username": { "claim": "email", "prefix": prefix }, "groups": { "claim": "groups", "prefix": prefix },
                    "uid": { "claim": "sub" },
                },
            }],
        })
        .to_string()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn providers_say_who_somebody_is() {
    let mut cluster = cluster(&[]).await;
    let provider = Provider::start(&cluster).await;
    let file = write(&cluster, "authentication.json", &provider.configuration(&cluster, "one:"));
    cluster.restart_server_with(&[&format!("--authentication-config={file}")]).await;
    let good = provider.token(&provider.key, |_| ());
    assert_is(&bearer(&cluster, &good).await, "one:ann@acme.test");
    let user = review(&cluster, &good).await["user"].clone();
    let groups = json!(["one:dev", "one:ops", "system:authenticated"]);
    assert_eq!(user, json!({ "username": "one:ann@acme.test", "uid": "7", "groups": groups }));
    for (what, bad) in [
        ("for others", provider.token(&provider.key, |claims| claims["aud"] = json!(["x"]))),
        ("expired", provider.token(&provider.key, |claims| claims["exp"] = json!(now() - 5))),
        ("without an end", provider.token(&provider.key, |claims| claims["exp"] = json!(null))),
        ("of another issuer", provider.token(&provider.key, |claims| claims["iss"] = json!("https://other.test"))),
        ("of another domain", provider.token(&provider.key, |claims| claims["hd"] = json!("evil"))),
        ("not verified", provider.token(&provider.key, |claims| claims["email_verified"] = json!(false))),
        ("forged", provider.token(&key("p256"), |_| ())),
    ] {
        assert_eq!(bearer(&cluster, &bad).await.code, 401, "{what}");
    }
    // Only at the paths of the file nobody need say who they are.
    assert_ne!(cluster.client(None).get("/livez").await.code, 401);
    assert_eq!(cluster.client(None).get("/readyz").await.code, 401);

    // The provider signs with another key, and shows it.
    let fresh = key("p384");
    let signed = provider.token(&fresh, |_| ());
    provider.shows(&fresh);
    eventually("the new key to be known", async || (bearer(&cluster, &signed).await.code == 403).then_some(())).await;

    // The file changes; one that makes no sense changes nothing.
    write(&cluster, "authentication.json", &provider.configuration(&cluster, "two:"));
    let two = async || bearer(&cluster, &signed).await.text().contains("two:ann@acme.test").then_some(());
    eventually("the changed file to count", two).await;
    write(&cluster, "authentication.json", "{}");
    eventually("the broken file to be seen", async || {
        let page = cluster.admin().get("/metrics").await.text();
        page.contains("automatic_reloads_total{status=\"failure\"} 1").then_some(())
    })
    .await;
    assert_is(&bearer(&cluster, &signed).await, "two:ann@acme.test");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_may_be_named_by_flags() {
    let mut cluster = cluster(&[]).await;
    let provider = Provider::start(&cluster).await;
    let url = provider.server.url();
    let authority = cluster.credentials.path("client-ca.crt");
    cluster
        .restart_server_with(&[
            &format!("--oidc-issuer-url={url}"),
            "--oidc-client-id=kubernetes",
            &format!("--oidc-ca-file={authority}"),
            "--oidc-groups-claim=groups",
            "--oidc-required-claim=hd=acme",
        ])
        .await;
    assert_is(&bearer(&cluster, &provider.token(&provider.key, |_| ())).await, &format!("{url}#7"));
    // Flags allow RS256 alone, unless they say more.
    assert_eq!(bearer(&cluster, &provider.token(&key("p256"), |_| ())).await.code, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_says_whose_a_token_is() {
    let mut cluster = cluster(&[]).await;
    let answer = |_: &str, body: &[u8]| {
        let review: Value = serde_json::from_slice(body).ok()?;
        assert_eq!(
            (&review["apiVersion"], &review["kind"]),
            (&json!("authentication.k8s.io/v1"), &json!("TokenReview"))
        );
        let status = match review["spec"]["token"].as_str()? {
            "good" => json!({ "authenticated": true, "user": { "username": "ann", "groups": ["dev"] } }),
            "elsewhere" => json!({ "authenticated": true, "audiences": ["x"], "user": { "username": "ann" } }),
            "nameless" => json!({ "authenticated": true }),
            _ => json!({ "authenticated": false, "error": "never heard of it" }),
        };
        Some(json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "status": status }).to_string())
    };
    let hook = Responder::start(&cluster.credentials, answer).await;
    let authority = STANDARD.encode(std::fs::read(cluster.credentials.path("client-ca.crt")).expect("an authority"));
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{ "name": "hook", "cluster": { "server": format!("{}/review", hook.url()), "certificate-authority-data": authority } }],
        "users": [{ "name": "server", "user": {} }],
        "contexts": [{ "name": "c", "context": { "cluster": "hook", "user": "server" } }],
    });
    let file = write(&cluster, "webhook.kubeconfig", &kubeconfig.to_string());
    let flags = [
        &*format!("--authentication-token-webhook-config-file={file}"),
        "--authentication-token-webhook-version=v1",
        "--authentication-token-webhook-cache-ttl=10s",
    ];
    cluster.restart_server_with(&flags).await;
    assert_is(&bearer(&cluster, "good").await, "ann");
    for bad in ["bad", "elsewhere", "nameless"] {
        assert_eq!(bearer(&cluster, bad).await.code, 401, "{bad}");
    }
    assert_eq!(review(&cluster, "bad").await["error"], "[invalid bearer token, never heard of it]");
}
