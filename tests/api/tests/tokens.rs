//! Tokens of service accounts: how one gets them, what they are good for, and all the ways to forge one.

use std::time::{Duration, SystemTime};

use authentication::jose::{Algorithm, encode};
use authentication::key::SigningKey;
use ring::rand::SystemRandom;
use serde_json::{Map, Value, json};
use tests_api::rig::{Answer, Cluster, Options, StoreKind};
use tests_api::stage::eventually;
use tests_api::{on_every_store, pod, with_every_kubectl};

const ISSUER: &str = "https://kubernetes.default.svc";
const ACCOUNTS: &str = "/api/v1/namespaces/default/serviceaccounts";
const REVIEWS: &str = "/apis/authentication.k8s.io/v1/tokenreviews";

on_every_store!(a_token_logs_in_until_its_account_is_gone, a_token_ends_with_its_object, secrets_hold_tokens);
with_every_kubectl!(kubectl_makes_tokens);

/// Makes an account.
async fn account(cluster: &Cluster, name: &str) -> Value {
    let made = cluster.admin().post(ACCOUNTS, &json!({ "metadata": { "name": name } })).await;
    assert_eq!(made.code, 201, "{}", made.text());
    made.json()
}

async fn request(cluster: &Cluster, name: &str, spec: Value) -> Answer {
    cluster.admin().post(&format!("{ACCOUNTS}/{name}/token"), &json!({ "spec": spec })).await
}

async fn token(cluster: &Cluster, name: &str, spec: Value) -> String {
    let made = request(cluster, name, spec).await;
    assert_eq!(made.code, 201, "{}", made.text());
    made.json()["status"]["token"].as_str().expect("a token").to_owned()
}

/// Asks for what only few may have. The answer tells who the server takes one for, or that it takes one for nobody.
async fn ask(cluster: &Cluster, token: &str) -> Answer {
    let authorization = format!("Bearer {token}");
    cluster
        .client(None)
        .send("GET", "/api/v1/namespaces/kube-system/secrets", &[("authorization", &authorization)], "")
        .await
}

async fn review(cluster: &Cluster, token: &str, audiences: &[&str]) -> Value {
    let answer = cluster.admin().post(REVIEWS, &json!({ "spec": { "token": token, "audiences": audiences } })).await;
    assert_eq!(answer.code, 201, "{}", answer.text());
    answer.json()["status"].clone()
}

async fn a_token_logs_in_until_its_account_is_gone(cluster: Cluster) {
    let made = account(&cluster, "robot").await;
    let good = token(&cluster, "robot", json!({})).await;
    let answer = ask(&cluster, &good).await;
    assert_eq!(answer.code, 403, "{}", answer.text());
    assert!(answer.text().contains("system:serviceaccount:default:robot"), "{}", answer.text());
    let status = review(&cluster, &good, &[]).await;
    assert_eq!((&status["authenticated"], &status["audiences"]), (&json!(true), &json!([ISSUER])));
    let user = &status["user"];
    assert_eq!(
        (&user["uid"], &user["groups"]),
        (
            &made["metadata"]["uid"],
            &json!(["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"])
        )
    );
    let id = user["extra"]["authentication.kubernetes.io/credential-id"][0].as_str().unwrap_or_default();
    assert!(id.starts_with("JTI="), "{user}");
    // For somebody else it is no token of this server's, and for them it is.
    let vault = token(&cluster, "robot", json!({ "audiences": ["vault"] })).await;
    assert_eq!(ask(&cluster, &vault).await.code, 401);
    assert_eq!(review(&cluster, &vault, &[]).await["authenticated"], json!(null));
    let status = review(&cluster, &vault, &["vault", "other"]).await;
    assert_eq!((&status["authenticated"], &status["audiences"]), (&json!(true), &json!(["vault"])));
    assert_eq!(cluster.admin().delete(&format!("{ACCOUNTS}/robot")).await.code, 200);
    eventually("the token to end with its account", async || (ask(&cluster, &good).await.code == 401).then_some(()))
        .await;
    let status = review(&cluster, &good, &[]).await;
    assert_eq!(status["error"], "[invalid bearer token, serviceaccounts \"robot\" not found]");
    let refused = cluster.admin().post(REVIEWS, &json!({ "spec": {} })).await;
    assert_eq!(
        (refused.code, refused.json()["message"].clone()),
        (400, json!("token is required for TokenReview in authentication"))
    );
    let nobodys = review(&cluster, "nobody-knows", &[]).await;
    assert_eq!((&nobodys["error"], &nobodys["user"]), (&json!("invalid bearer token"), &json!({})));
}

async fn a_token_ends_with_its_object(cluster: Cluster) {
    account(&cluster, "robot").await;
    let admin = cluster.admin();
    let mut object = pod("p");
    object["spec"]["serviceAccountName"] = json!("robot");
    object["spec"]["automountServiceAccountToken"] = json!(false);
    let made = admin.post("/api/v1/namespaces/default/pods", &object).await;
    assert_eq!(made.code, 201, "{}", made.text());
    let uid = made.json()["metadata"]["uid"].clone();
    let bound =
        |uid: &Value| json!({ "boundObjectRef": { "apiVersion": "v1", "kind": "Pod", "name": "p", "uid": uid } });
    let good = token(&cluster, "robot", bound(&uid)).await;
    let status = review(&cluster, &good, &[]).await;
    let extra = &status["user"]["extra"];
    assert_eq!(extra["authentication.kubernetes.io/pod-name"], json!(["p"]), "{status}");
    assert_eq!(extra["authentication.kubernetes.io/pod-uid"], json!([uid]), "{status}");
    let other = request(&cluster, "robot", bound(&json!("other"))).await;
    assert_eq!(other.code, 409, "{}", other.text());
    let absent = json!({ "boundObjectRef": { "apiVersion": "v1", "kind": "Secret", "name": "none" } });
    let absent = request(&cluster, "robot", absent).await;
    assert_eq!((absent.code, absent.json()["message"].clone()), (404, json!("secrets \"none\" not found")));
    account(&cluster, "stranger").await;
    assert_eq!(request(&cluster, "stranger", bound(&uid)).await.code, 400);
    let path = "/api/v1/namespaces/default/pods/p?gracePeriodSeconds=0";
    assert_eq!(admin.delete(path).await.code, 200);
    eventually("the token to end with its pod", async || (ask(&cluster, &good).await.code == 401).then_some(())).await;
}

async fn secrets_hold_tokens(cluster: Cluster) {
    let made = account(&cluster, "robot").await;
    let (admin, signer) = (cluster.admin(), signer(&cluster));
    let legacy = json!({
        "iss": "kubernetes/serviceaccount", "sub": "system:serviceaccount:default:robot",
        "kubernetes.io/serviceaccount/namespace": "default", "kubernetes.io/serviceaccount/secret.name": "old",
        "kubernetes.io/serviceaccount/service-account.name": "robot",
        "kubernetes.io/serviceaccount/service-account.uid": made["metadata"]["uid"],
    });
    let legacy = signer.sign(legacy.as_object().unwrap(), &SystemRandom::new()).expect("a token");
    assert_eq!(ask(&cluster, &legacy).await.code, 401, "no secret holds it");
    let secrets = "/api/v1/namespaces/default/secrets";
    let secret = json!({
        "metadata": { "name": "old", "annotations": { "kubernetes.io/service-account.name": "robot" } },
        "type": "kubernetes.io/service-account-token", "stringData": { "token": legacy },
    });
    let stored = admin.post(secrets, &secret).await;
    assert_eq!(stored.code, 201, "{}", stored.text());
    assert_eq!(ask(&cluster, &legacy).await.code, 403);
    let labels = admin.get(&format!("{secrets}/old")).await.json()["metadata"]["labels"].clone();
    let day = labels["kubernetes.io/legacy-token-last-used"].as_str().unwrap_or_default().to_owned();
    assert_eq!(day.len(), "2027-01-15".len(), "{labels}");
    let invalid = json!({ "metadata": { "labels": { "kubernetes.io/legacy-token-invalid-since": day } } });
    assert_eq!(admin.patch(&format!("{secrets}/old"), "application/merge-patch+json", &invalid).await.code, 200);
    eventually("the token to be turned off", async || (ask(&cluster, &legacy).await.code == 401).then_some(())).await;
}

async fn kubectl_makes_tokens(cluster: Cluster) {
    account(&cluster, "robot").await;
    let made = cluster.kubectl(&["create", "token", "robot", "--duration", "20m", "--audience", "vault"]).await;
    let status = review(&cluster, made.trim(), &["vault"]).await;
    assert_eq!(status["user"]["username"], "system:serviceaccount:default:robot", "{status}");
    let secret = json!({ "metadata": { "name": "s" } });
    assert_eq!(cluster.admin().post("/api/v1/namespaces/default/secrets", &secret).await.code, 201);
    let args = ["create", "token", "robot", "--bound-object-kind", "Secret", "--bound-object-name", "s"];
    let bound = cluster.kubectl(&args).await;
    assert_eq!(ask(&cluster, bound.trim()).await.code, 403);
    let refused = cluster.kubectl_fails(&["create", "token", "robot", "--duration", "1m"]).await;
    assert!(refused.contains("may not specify a duration less than 10 minutes"), "{refused}");
    let me = cluster.kubectl(&["auth", "whoami"]).await;
    assert!(me.contains("kubernetes-admin") && me.contains("system:masters"), "{me}");
}

fn signer(cluster: &Cluster) -> SigningKey {
    let key = std::fs::read(cluster.credentials.path("service-account.key")).expect("the key of the cluster");
    SigningKey::read(&key, &SystemRandom::new()).expect("a key")
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_is_forged_is_believed() {
    // Nor is whoever shows it taken for somebody who showed nothing.
    let options = Options { store: StoreKind::Orlop, flags: vec!["--anonymous-auth=true".to_owned()] };
    let cluster = Cluster::start(options).await;
    let uid = account(&cluster, "robot").await["metadata"]["uid"].clone();
    let (signer, random) = (signer(&cluster), SystemRandom::new());
    let claims = |change: &dyn Fn(&mut Map<String, Value>)| {
        let claims = json!({
            "iss": ISSUER, "aud": [ISSUER], "sub": "system:serviceaccount:default:robot", "iat": now(), "nbf": now(),
            "exp": now() + 600, "jti": "x",
            "kubernetes.io": { "namespace": "default", "serviceaccount": { "name": "robot", "uid": uid } },
        });
        let mut claims = claims.as_object().expect("claims").clone();
        change(&mut claims);
        claims
    };
    let sign = |change: &dyn Fn(&mut Map<String, Value>)| signer.sign(&claims(change), &random).expect("a token");
    let good = sign(&|_| ());
    assert_eq!(ask(&cluster, &good).await.code, 403);
    let anonymous = cluster.client(None).get("/api/v1/namespaces/kube-system/secrets").await;
    assert_eq!(anonymous.code, 403);
    assert!(anonymous.text().contains("system:anonymous"), "{}", anonymous.text());

    let set = |name: &'static str, value: Value| {
        sign(&move |claims: &mut Map<String, Value>| {
            claims.insert(name.to_owned(), value.clone());
        })
    };
    let kubernetes = |name: &str, uid: &str| {
        set("kubernetes.io", json!({ "namespace": "default", "serviceaccount": { "name": name, "uid": uid } }))
    };
    let pem = std::fs::read(cluster.credentials.path("service-account.pub")).expect("the public key");
    let id = signer.public().id();
    let body = encode(Value::Object(claims(&|_| ())).to_string());
    let with_header = |header: Value, signature: &dyn Fn(&str) -> Vec<u8>| {
        let signed = format!("{}.{body}", encode(header.to_string()));
        format!("{signed}.{}", encode(signature(&signed)))
    };
    let secret = |pem: &[u8]| ring::hmac::Key::new(ring::hmac::HMAC_SHA256, pem);
    let hmac = |text: &str| ring::hmac::sign(&secret(&pem), text.as_bytes()).as_ref().to_vec();
    let mine = SigningKey::read(
        include_bytes!("../../../control-plane/apiserver/authentication/tests/keys/p256.pem"),
        &random,
    );
    let mine = mine.expect("a key");
    let own = mine.sign(&claims(&|_| ()), &random).expect("a token");
    let own_body = own.split_once('.').expect("a header").1;
    let own_key = authentication::key::key_set(std::slice::from_ref(mine.public()))["keys"][0].clone();
    let (signed, signature) = good.rsplit_once('.').expect("a signature");
    let forged = [
        ("expired", set("exp", json!(now() - 120))),
        ("not yet valid", set("nbf", json!(now() + 3600))),
        ("from the future", set("iat", json!(now() + 3600))),
        ("for others", set("aud", json!(["vault"]))),
        ("of another issuer", set("iss", json!("https://evil.test"))),
        ("of no issuer", set("iss", json!(null))),
        ("an end that is no time", set("exp", json!("never"))),
        ("another account's", kubernetes("default", "x")),
        ("of an account that is gone", kubernetes("gone", "x")),
        ("without an account", set("kubernetes.io", json!(null))),
        ("alg none", with_header(json!({ "alg": "none", "kid": id }), &|_| Vec::new())),
        ("alg None", with_header(json!({ "alg": "None" }), &|_| Vec::new())),
        ("the public key as a secret", with_header(json!({ "alg": "HS256", "kid": id }), &hmac)),
        ("a wrong algorithm", with_header(json!({ "alg": "RS256", "kid": id }), &hmac)),
        ("a path as a key", with_header(json!({ "alg": "HS256", "kid": "../../../dev/null" }), &hmac)),
        ("another key", own.clone()),
        (
            "a key in the header",
            format!("{}.{own_body}", encode(json!({ "alg": "ES256", "jwk": own_key, "kid": id }).to_string())),
        ),
        (
            "a key elsewhere",
            format!(
                "{}.{own_body}",
                encode(
                    json!({ "alg": "ES256", "x5u": "https://evil.test/k", "jku": "https://evil.test/k" }).to_string()
                )
            ),
        ),
        (
            "critical extensions",
            with_header(json!({ "alg": "ES256", "kid": id, "crit": ["b64"], "b64": false }), &hmac),
        ),
        ("no signature", format!("{signed}.")),
        ("two signatures", format!("{good}.{signature}")),
        ("padding", format!("{good}=")),
        ("zeros", format!("{signed}.{}", encode([0; 64]))),
        ("huge", format!("{}.{}.{signature}", encode(r#"{"alg":"ES256"}"#), "e".repeat(60_000))),
        ("deep", format!("{}.{}.{signature}", encode(r#"{"alg":"ES256"}"#), encode("[".repeat(20_000)))),
        ("no token at all", "x".to_owned()),
    ];
    for (what, token) in forged {
        let answer = ask(&cluster, &token).await;
        assert_eq!(answer.code, 401, "{what}: {}", answer.text());
        assert_eq!(answer.json()["message"], "Unauthorized", "{what}");
        assert_ne!(review(&cluster, &token, &[]).await["authenticated"], json!(true), "{what}");
    }
    assert_eq!(ask(&cluster, &good).await.code, 403);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_can_check_tokens_and_keys_are_rotated() {
    let mut cluster = Cluster::start(StoreKind::Orlop).await;
    account(&cluster, "robot").await;
    let old = token(&cluster, "robot", json!({})).await;
    let configuration = cluster.admin().get("/.well-known/openid-configuration").await;
    assert_eq!(configuration.header("cache-control"), "public, max-age=3600");
    assert_eq!(configuration.header("content-type"), "application/json");
    let text = configuration.json();
    assert_eq!((&text["issuer"], &text["id_token_signing_alg_values_supported"]), (&json!(ISSUER), &json!(["ES256"])));
    assert!(text["jwks_uri"].as_str().is_some_and(|uri| uri.ends_with("/openid/v1/jwks")), "{text}");
    let keys = cluster.admin().get("/openid/v1/jwks").await;
    assert_eq!(keys.header("content-type"), "application/jwk-set+json");
    let set = authentication::key::read_key_set(&keys.json()).expect("a set");
    let parsed = authentication::jose::Token::parse(&old).expect("a token");
    let key = set.iter().find(|key| key.id == parsed.key_id).expect("the key of the token");
    assert!(parsed.is_signed_by(&key.key));

    // A new key and a new issuer sign; what the old ones signed is still good.
    let keys = "../../control-plane/apiserver/authentication/tests/keys";
    let fresh = std::fs::canonicalize(format!(
        "{}/{keys}/rsa.pem",
        std::env::var("CARGO_MANIFEST_DIR").expect("cargo runs the test")
    ));
    let fresh = fresh.expect("the key").display().to_string();
    let public = cluster.credentials.path("service-account.pub");
    cluster
        .restart_server_with(&[
            &format!("--service-account-signing-key-file={fresh}"),
            &format!("--service-account-key-file={fresh}"),
            &format!("--service-account-key-file={public}"),
            "--service-account-issuer=https://new.test",
            &format!("--service-account-issuer={ISSUER}"),
            "--service-account-max-token-expiration=2h",
        ])
        .await;
    let new = request(&cluster, "robot", json!({ "expirationSeconds": 9000 })).await;
    assert!(new.header("warning").contains("requested expiration of 9000 seconds shortened to 7200 seconds"));
    let new = new.json()["status"]["token"].as_str().expect("a token").to_owned();
    let parsed = authentication::jose::Token::parse(&new).expect("a token");
    assert_eq!((parsed.issuer(), parsed.algorithm().map(Algorithm::name)), ("https://new.test", Some("RS256")));
    for token in [&old, &new] {
        assert_eq!(ask(&cluster, token).await.code, 403);
    }
    let keys = cluster.admin().get("/openid/v1/jwks").await.json();
    assert_eq!(keys["keys"].as_array().map(Vec::len), Some(2));
    let page = cluster.admin().get("/metrics").await.text();
    for line in [
        "authentication_token_cache_request_total{status=\"miss\"}",
        "authenticated_user_requests{username=\"other\"}",
        "authentication_attempts{result=\"success\"}",
    ] {
        assert!(page.contains(line), "{line} is missing");
    }
}
