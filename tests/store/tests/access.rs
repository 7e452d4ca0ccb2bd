//! Who is let in: mutual TLS, foreign certificates, garbage on the port; status and health.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use proto::etcdserverpb::StatusRequest;
use tests_store::{Client, Kind, Server, conformance};

fn curl(server: &Server, path: &str, identity: Option<&str>) -> (bool, String) {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--max-time", "10", "--cacert"]).arg(server.file("ca.crt"));
    if let Some(identity) = identity {
        command.arg("--cert").arg(server.file(&format!("{identity}.crt")));
        command.arg("--key").arg(server.file(&format!("{identity}.key")));
    }
    let output = command.arg(format!("{}{path}", server.endpoint())).output().expect("curl is there");
    (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
}

conformance!(a_foreign_certificate_is_refused, async |server| {
    let refused = match Client::connect(&server, "foreign").await {
        Err(_) => true,
        Ok(mut client) => client.get("a").await.is_err(),
    };
    assert!(refused, "a certificate of another authority was let in");
    assert!(!curl(&server, "/health", None).0, "a client without a certificate was let in");
    assert_eq!(server.client().await.value("a").await, None);
});

conformance!(garbage_does_no_harm, async |server| {
    let mut client = server.client().await;
    client.put("a", "1").await;
    let samples: [&[u8]; 4] =
        [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff\xff", &[0; 4096], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"];
    for garbage in samples {
        for _ in 0..20 {
            let mut stream = TcpStream::connect(("127.0.0.1", server.port())).expect("connect");
            stream.set_read_timeout(Some(Duration::from_millis(20))).expect("a timeout");
            // The server may hang up in the middle of it.
            let _ = stream.write_all(garbage);
            let _ = stream.read(&mut [0; 64]);
        }
    }
    assert_eq!(client.value("a").await.as_deref(), Some("1"));
});

conformance!(status_tells_version_and_size, async |server| {
    let mut client = server.client().await;
    client.put("a", "1").await;
    let status = client.maintenance.status(StatusRequest {}).await.unwrap().into_inner();
    let parts: Vec<_> = status.version.split('.').collect();
    assert_eq!(parts.len(), 3, "{}", status.version);
    assert!(parts.iter().all(|part| part.parse::<u32>().is_ok()), "{}", status.version);
    if server.kind() == Kind::Ours {
        // Below 3.5.13 a real kube-apiserver does without consistent reads from its cache.
        assert!(status.version.starts_with("3.7."), "{}", status.version);
    }
    assert_eq!(status.leader, status.header.as_ref().unwrap().member_id);
    assert!(status.raft_index > 0 && status.raft_term > 0 && status.db_size >= 0);
    assert!(status.errors.is_empty());
});

conformance!(health_is_told_over_http, async |server| {
    let (ok, body) = curl(&server, "/health", Some("client"));
    assert!(ok && body.contains("\"health\":\"true\""), "{body}");
    let (ok, body) = curl(&server, "/version", Some("client"));
    assert!(ok && body.contains("\"etcdserver\":\""), "{body}");
    let (ok, body) = curl(&server, "/metrics", Some("client"));
    assert!(ok && body.contains("etcd_server_has_leader 1"), "{body}");
});
