//! The distribution's `etcdctl`, as an operator types it: the reference's and the older one, at both stores.

use std::process::Stdio;
use std::time::{Duration, Instant};

use tests_store::etcdctl::{Etcdctl, NEW, OLD};
use tests_store::{DEADLINE, Kind, run_with};
use tokio::time::sleep;

/// Defines one case for both stores and both tools.
macro_rules! typed {
    ($name:ident, $case:expr) => {
        typed!($name, [], $case);
    };
    // With further flags for the server.
    ($name:ident, [$($flag:expr),*], $case:expr) => {
        mod $name {
            use super::*;

            #[test]
            fn etcd() {
                run_with(Kind::Etcd, &[$($flag),*], async |server| ($case)(Etcdctl::of(NEW, &server)).await);
            }

            #[test]
            fn ours() {
                run_with(Kind::Ours, &[$($flag),*], async |server| ($case)(Etcdctl::of(NEW, &server)).await);
            }

            #[test]
            fn ours_with_an_old_tool() {
                run_with(Kind::Ours, &[$($flag),*], async |server| ($case)(Etcdctl::of(OLD, &server)).await);
            }
        }
    };
}

typed!(put_get_and_del, async |etcdctl: Etcdctl| {
    assert_eq!(etcdctl.run(&["put", "foo", "bar"]), "OK\n");
    assert_eq!(etcdctl.run(&["get", "foo"]), "foo\nbar\n");
    etcdctl.run(&["put", "foo2", "bar2"]);
    assert_eq!(etcdctl.run(&["get", "--prefix", "--keys-only", "foo"]), "foo\n\nfoo2\n\n");
    assert_eq!(etcdctl.run(&["get", "--prefix", "--print-value-only", "--limit=1", "foo"]), "bar\n");
    assert_eq!(etcdctl.run(&["get", "--rev=2", "--prefix", "foo"]), "foo\nbar\n");
    assert_eq!(etcdctl.run(&["del", "--prev-kv", "foo"]), "1\nfoo\nbar\n");
    assert_eq!(etcdctl.run(&["get", "foo"]), "");
});

typed!(txn, async |etcdctl: Etcdctl| {
    etcdctl.run(&["put", "a", "1"]);
    let mut child =
        etcdctl.command().args(["txn"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("etcdctl is there");
    let input = b"value(\"a\") = \"1\"\n\nput a 2\nget a\n\nget b\n\n";
    std::io::Write::write_all(&mut child.stdin.take().expect("a pipe"), input).expect("write");
    let output = child.wait_with_output().expect("etcdctl ends");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.starts_with("SUCCESS"), "{text}");
    assert_eq!(etcdctl.run(&["get", "a"]), "a\n2\n");
});

typed!(watch, async |etcdctl: Etcdctl| {
    let mut watch = etcdctl.start(&["watch", "--prefix", "--rev=1", "w"]);
    etcdctl.run(&["put", "w/a", "1"]);
    etcdctl.run(&["del", "w/a"]);
    let seen: Vec<_> = (0..6).map(|_| watch.line()).collect();
    assert_eq!(seen, ["PUT", "w/a", "1", "DELETE", "w/a", ""]);
});

typed!(lease, async |etcdctl: Etcdctl| {
    let granted = etcdctl.run(&["lease", "grant", "60"]);
    let id = granted.split(' ').nth(1).expect("lease <id> granted").to_owned();
    etcdctl.run(&["put", &format!("--lease={id}"), "l", "v"]);
    let left = etcdctl.run(&["lease", "timetolive", "--keys", &id]);
    assert!(left.contains("granted with TTL(60s)") && left.contains("attached keys([l])"), "{left}");
    assert!(etcdctl.run(&["lease", "list"]).contains(&id));
    let kept = etcdctl.run(&["lease", "keep-alive", "--once", &id]);
    assert!(kept.contains("keepalived with TTL(60)"), "{kept}");
    assert_eq!(etcdctl.run(&["lease", "revoke", &id]), format!("lease {id} revoked\n"));
    assert_eq!(etcdctl.run(&["get", "l"]), "");
});

typed!(endpoint_status_and_health, async |etcdctl: Etcdctl| {
    etcdctl.run(&["put", "foo", "bar"]);
    let status = etcdctl.run(&["endpoint", "status", "--write-out=json"]);
    assert!(status.contains("\"raftTerm\":") && status.contains("\"leader\":"), "{status}");
    let table = etcdctl.run(&["endpoint", "status", "--write-out=table"]);
    assert!(table.contains("IS LEADER") && table.contains("true"), "{table}");
    etcdctl.run(&["endpoint", "health"]);
    assert!(etcdctl.run(&["member", "list"]).contains("started"));
});

typed!(compaction, async |etcdctl: Etcdctl| {
    for value in ["1", "2", "3"] {
        etcdctl.run(&["put", "a", value]);
    }
    assert_eq!(etcdctl.run(&["compact", "3"]), "compacted revision 3\n");
    let (ok, text) = etcdctl.attempt(&["get", "--rev=2", "a"]);
    assert!(!ok && text.contains("required revision has been compacted"), "{text}");
});

/// Runs as a user; whether it succeeded, and what is printed.
fn as_user(etcdctl: &Etcdctl, user: &str, arguments: &[&str]) -> (bool, String) {
    etcdctl.attempt(&[&["--user", user], arguments].concat())
}

typed!(users_and_roles, ["--client-cert-auth=false"], async |etcdctl: Etcdctl| {
    assert_eq!(etcdctl.run(&["user", "add", "root:secret"]), "User root created\n");
    etcdctl.run(&["user", "add", "u:pass"]);
    etcdctl.run(&["user", "add", "n", "--no-password"]);
    assert_eq!(etcdctl.run(&["role", "add", "r"]), "Role r created\n");
    etcdctl.run(&["role", "grant-permission", "r", "--prefix=true", "readwrite", "/u/"]);
    etcdctl.run(&["role", "grant-permission", "r", "read", "/v/"]);
    etcdctl.run(&["user", "grant-role", "u", "r"]);
    // Gives `root` its role first.
    assert_eq!(etcdctl.run(&["auth", "enable"]), "Authentication Enabled\n");
    assert_eq!(as_user(&etcdctl, "root:secret", &["user", "list"]), (true, "n\nroot\nu\n".to_owned()));
    let (_, shown) = as_user(&etcdctl, "root:secret", &["role", "get", "r"]);
    assert!(shown.contains("[/u/, /u0) (prefix /u/)") && shown.contains("/v/"), "{shown}");
    assert_eq!(as_user(&etcdctl, "u:pass", &["put", "/u/a", "1"]), (true, "OK\n".to_owned()));
    assert_eq!(as_user(&etcdctl, "u:pass", &["get", "--prefix", "/u/"]), (true, "/u/a\n1\n".to_owned()));
    for (user, arguments, problem) in [
        ("u:pass", &["put", "/v/", "1"][..], "etcdserver: permission denied"),
        ("u:pass", &["get", "--prefix", ""], "etcdserver: permission denied"),
        ("u:wrong", &["get", "/u/a"], "authentication failed, invalid user ID or password"),
        ("u:pass", &["auth", "disable"], "etcdserver: permission denied"),
    ] {
        let (ok, text) = as_user(&etcdctl, user, arguments);
        assert!(!ok && text.contains(problem), "{arguments:?}: {text}");
    }
    assert!(as_user(&etcdctl, "root:secret", &["user", "revoke-role", "u", "r"]).0);
    assert!(!as_user(&etcdctl, "u:pass", &["get", "/u/a"]).0);
    assert!(as_user(&etcdctl, "root:secret", &["role", "delete", "r"]).0);
    assert!(as_user(&etcdctl, "root:secret", &["user", "delete", "u"]).0);
    assert_eq!(as_user(&etcdctl, "root:secret", &["auth", "disable"]), (true, "Authentication Disabled\n".to_owned()));
    assert_eq!(etcdctl.run(&["get", "/u/a"]), "/u/a\n1\n");
});

typed!(lock, async |etcdctl: Etcdctl| {
    let mut first = etcdctl.start(&["lock", "l"]);
    let held = first.line();
    assert!(held.starts_with("l/"), "{held}");
    let mut second = etcdctl.start(&["lock", "l"]);
    drop(first);
    // Its lease is a minute long; nobody needs to wait for that.
    etcdctl.run(&["lease", "revoke", held.trim_start_matches("l/")]);
    let next = second.line();
    assert!(next.starts_with("l/") && next != held, "{next}");
    assert_eq!(etcdctl.run(&["lock", "m", "echo", "inside"]), "inside\n");
});

typed!(elect, async |etcdctl: Etcdctl| {
    let mut leader = etcdctl.start(&["elect", "e", "the value"]);
    let key = leader.line();
    assert!(key.starts_with("e/"), "{key}");
    assert_eq!(leader.line(), "the value");
    let mut observer = etcdctl.start(&["elect", "--listen", "e"]);
    assert_eq!(observer.line(), key);
    assert_eq!(observer.line(), "the value");
});

typed!(alarms, ["--quota-backend-bytes=16777216"], async |etcdctl: Etcdctl| {
    assert_eq!(etcdctl.run(&["alarm", "list"]), "");
    let large = "x".repeat(100_000);
    let full = (0..1000).map(|_| etcdctl.attempt(&["put", "a", &large])).find(|(ok, _)| !ok).expect("a quota").1;
    assert!(full.contains("etcdserver: mvcc: database space exceeded"), "{full}");
    assert!(etcdctl.run(&["alarm", "list"]).contains("alarm:NOSPACE"));
    let status = etcdctl.run(&["endpoint", "status", "--write-out=json"]);
    let revision =
        status.split("\"revision\":").nth(1).and_then(|rest| rest.split([',', '}']).next()).expect("a revision");
    etcdctl.run(&["compact", "--physical", revision]);
    let given_back = etcdctl.run(&["defrag"]);
    assert!(given_back.contains("Finished defragmenting etcd member"), "{given_back}");
    // Ours gives space back behind its answer, and may have ended the alarm by itself.
    let deadline = Instant::now() + DEADLINE;
    loop {
        etcdctl.run(&["alarm", "disarm"]);
        let (ok, text) = etcdctl.attempt(&["put", "a", "1"]);
        if ok {
            break;
        }
        assert!(text.contains("database space exceeded") && Instant::now() < deadline, "{text}");
        sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(etcdctl.run(&["alarm", "list"]), "");
});

typed!(a_load_of_data_is_within_its_bounds, ["--client-cert-auth=false"], async |etcdctl: Etcdctl| {
    let found = etcdctl.run(&["check", "datascale", "--load=s", "--auto-compact", "--auto-defrag"]);
    assert!(found.contains("PASS: Approximate system memory used"), "{found}");
    assert_eq!(etcdctl.run(&["get", "--prefix", "--keys-only", ""]), "", "it takes away what it put");
});

/// A minute of 150 puts in a second, which the tool itself judges: rate, slowest answer, spread.
#[test]
fn the_check_of_performance_passes() {
    run_with(Kind::Ours, &[], async |server| {
        let found = Etcdctl::of(NEW, &server).run(&["--command-timeout=0", "check", "perf", "--load=s"]);
        assert!(found.contains("PASS\n") || found.ends_with("PASS"), "{found}");
    });
}
