//! Who called what: on record, in a chain, whatever happens to the machine.

use std::fs;
use std::time::{Duration, Instant};

use ledger::{Outcome, Record, Verifier};
use machined_core::roles::Role;
use proto::machine::{AuditRequest, RebootRequest, ServiceRestartRequest, StatusRequest, VersionRequest};
use tonic::Code;

use crate::client::connect;
use crate::node::Node;

/// All records, after checking the chain.
async fn records(node: &Node) -> Vec<Record> {
    let mut reader = connect(node, Some(&node.credentials(Role::Reader))).await.unwrap();
    let mut lines = reader.audit(AuditRequest::default()).await.unwrap().into_inner();
    let (mut verifier, mut found) = (Verifier::default(), Vec::new());
    while let Some(record) = lines.message().await.unwrap() {
        found.push(verifier.check(&record.line).unwrap());
    }
    found
}

/// The same without what PID 1 did by itself, which comes at a time of its own.
async fn calls(node: &Node) -> Vec<Record> {
    records(node).await.into_iter().filter(|record| record.event.from != "init").collect()
}

#[tokio::test]
async fn what_the_machine_did_by_itself_is_on_record_once() {
    let mut node = Node::start().await;
    for _ in 0..2 {
        let deadline = Instant::now() + Duration::from_mins(1);
        let found = loop {
            let all = records(&node).await;
            let found: Vec<_> = all.into_iter().filter(|record| record.event.from == "init").collect();
            if found.len() > 1 {
                break found;
            }
            assert!(Instant::now() < deadline, "{found:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        let told: Vec<_> = found.iter().map(|record| record.event.detail.as_str()).collect();
        assert_eq!(
            told,
            ["1500 ms: service store: exited (killed by signal 9)", "1500 ms: service store: restart by order",]
        );
        // The next machined of this boot hears the same lines again.
        node = node.restart().await;
    }
}

#[tokio::test]
async fn every_call_is_on_record_with_who_and_what_became_of_it() {
    let node = Node::start().await;
    let credentials = node.credentials(Role::Operator);
    let mut operator = connect(&node, Some(&credentials)).await.unwrap();
    operator.service_restart(ServiceRestartRequest { service: "store".into() }).await.unwrap();
    let mut reader = connect(&node, Some(&node.credentials(Role::Reader))).await.unwrap();
    assert_eq!(reader.reboot(RebootRequest::default()).await.unwrap_err().code(), Code::PermissionDenied);
    operator.version(VersionRequest {}).await.unwrap();

    let all = calls(&node).await;
    let calls: Vec<_> = all.iter().map(|record| (record.event.what.as_str(), record.event.outcome)).collect();
    assert_eq!(
        calls,
        [
            ("start", Outcome::Happened),
            ("ServiceRestart", Outcome::Allowed),
            ("ServiceRestart", Outcome::Done),
            ("Reboot", Outcome::Refused),
            ("Version", Outcome::Allowed),
            ("Audit", Outcome::Allowed),
        ]
    );
    let who = all[1].event.who.as_ref().unwrap();
    let peer = pki::Peer::from_pem(&credentials.cert_pem).unwrap();
    assert_eq!((who.name.as_str(), who.roles.as_slice()), ("tester", &["orlop:operator".to_owned()][..]));
    assert_eq!((&who.serial, &who.fingerprint), (&peer.serial, &peer.fingerprint));
    assert!(all[1].event.from.starts_with("127.0.0.1:"));
    assert_eq!(all[2].event.detail, format!("call {}, restart of store", all[1].seq));
    assert!(all.iter().all(|record| record.boot == all[0].boot && record.boot.len() == 36));
}

#[tokio::test]
async fn the_chain_goes_on_after_a_kill_and_a_torn_record() {
    let mut node = Node::start().await;
    for round in 0..3_u64 {
        let mut reader = connect(&node, Some(&node.credentials(Role::Reader))).await.unwrap();
        for _ in 0..10 {
            reader.version(VersionRequest {}).await.unwrap();
        }
        node.kill().await;
        let log = node.path("state/audit/00000000000000000001.log");
        if round == 1 {
            let mut torn = fs::read(&log).unwrap();
            torn.extend(b"0123456789abcdef {\"seq\":");
            fs::write(&log, torn).unwrap();
        }
        node = node.start_again().await;
        let all = records(&node).await;
        let versions = all.iter().filter(|record| record.event.what == "Version").count() as u64;
        assert_eq!(versions, (round + 1) * 10, "what was answered is on record");
        assert_eq!(all.iter().filter(|record| record.event.what == "cut-off").count() as u64, u64::from(round >= 1));
    }
}

#[tokio::test]
async fn what_cannot_be_recorded_is_not_done() {
    let mut node = Node::start().await;
    node.kill().await;
    // Where the log should be there is something that it cannot be written to.
    let folder = node.path("state/audit");
    fs::remove_dir_all(&folder).unwrap();
    fs::write(&folder, "").unwrap();
    let node = node.start_again().await;
    let orders = node.pid1.orders();
    let mut operator = connect(&node, Some(&node.credentials(Role::Operator))).await.unwrap();
    let refused = operator.reboot(RebootRequest::default()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "{refused}");
    assert_eq!(node.pid1.orders(), orders, "it never reached PID 1");
    let status = operator.status(StatusRequest {}).await.unwrap().into_inner();
    assert!(status.conditions[0].message.starts_with("the audit log cannot be written"), "{:?}", status.conditions);

    let mut broken = connect(&node, Some(&node.credentials(Role::BreakGlass))).await.unwrap();
    broken.reboot(RebootRequest::default()).await.unwrap();
    assert_eq!(node.pid1.orders().len(), orders.len() + 1);

    fs::remove_file(&folder).unwrap();
    operator.reboot(RebootRequest::default()).await.unwrap();
    let all = calls(&node).await;
    assert_eq!(all[0].event.what, "records-lost");
    assert!(all.iter().any(|record| record.event.what == "Reboot"));
}

#[tokio::test]
async fn the_log_can_be_followed() {
    let node = Node::start().await;
    let mut reader = connect(&node, Some(&node.credentials(Role::Reader))).await.unwrap();
    let request = AuditRequest { from: 0, tail: Some(1), follow: true };
    let mut lines = reader.audit(request).await.unwrap().into_inner();
    let mut next = async || {
        let line = tokio::time::timeout(Duration::from_secs(30), lines.message()).await.expect("it comes");
        ledger::read(&line.unwrap().unwrap().line).unwrap().0
    };
    let mut seen = vec![next().await];
    reader.version(VersionRequest {}).await.unwrap();
    while seen.last().is_some_and(|record| record.event.what != "Version") {
        seen.push(next().await);
    }
    assert!(seen.windows(2).all(|pair| pair[1].seq == pair[0].seq + 1));
    assert!(seen[0].seq > 1, "the newest only");
}
