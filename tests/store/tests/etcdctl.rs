//! The distribution's `etcdctl`, as an operator types it.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use tests_store::{Server, conformance};

fn etcdctl(server: &Server) -> Command {
    let mut command = Command::new("etcdctl");
    command.env("ETCDCTL_API", "3").arg(format!("--endpoints={}", server.endpoint()));
    command.arg(format!("--cacert={}", server.file("ca.crt").display()));
    command.arg(format!("--cert={}", server.file("client.crt").display()));
    command.arg(format!("--key={}", server.file("client.key").display()));
    command.arg("--command-timeout=10s");
    command
}

fn run(server: &Server, arguments: &[&str]) -> String {
    let output = etcdctl(server).args(arguments).output().expect("etcdctl is there");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{arguments:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// Ends a child that would go on for ever.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

conformance!(put_get_and_del, async |server| {
    assert_eq!(run(&server, &["put", "foo", "bar"]), "OK\n");
    assert_eq!(run(&server, &["get", "foo"]), "foo\nbar\n");
    run(&server, &["put", "foo2", "bar2"]);
    assert_eq!(run(&server, &["get", "--prefix", "--keys-only", "foo"]), "foo\n\nfoo2\n\n");
    assert_eq!(run(&server, &["get", "--prefix", "--print-value-only", "--limit=1", "foo"]), "bar\n");
    assert_eq!(run(&server, &["get", "--rev=2", "--prefix", "foo"]), "foo\nbar\n");
    assert_eq!(run(&server, &["del", "--prev-kv", "foo"]), "1\nfoo\nbar\n");
    assert_eq!(run(&server, &["get", "foo"]), "");
});

conformance!(txn, async |server| {
    run(&server, &["put", "a", "1"]);
    let mut child =
        etcdctl(&server).args(["txn"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("etcdctl is there");
    let input = b"value(\"a\") = \"1\"\n\nput a 2\nget a\n\nget b\n\n";
    std::io::Write::write_all(&mut child.stdin.take().expect("a pipe"), input).expect("write");
    let output = child.wait_with_output().expect("etcdctl ends");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.starts_with("SUCCESS"), "{text}");
    assert_eq!(run(&server, &["get", "a"]), "a\n2\n");
});

conformance!(watch, async |server| {
    let child = etcdctl(&server).args(["watch", "--prefix", "--rev=1", "w"]).stdout(Stdio::piped()).spawn();
    let mut watch = Ended(child.expect("etcdctl is there"));
    run(&server, &["put", "w/a", "1"]);
    run(&server, &["del", "w/a"]);
    let mut lines = BufReader::new(watch.0.stdout.take().expect("a pipe")).lines();
    let seen: Vec<_> = (0..6).map(|_| lines.next().expect("a line").expect("text")).collect();
    assert_eq!(seen, ["PUT", "w/a", "1", "DELETE", "w/a", ""]);
});

conformance!(lease, async |server| {
    let granted = run(&server, &["lease", "grant", "60"]);
    let id = granted.split(' ').nth(1).expect("lease <id> granted").to_owned();
    run(&server, &["put", &format!("--lease={id}"), "l", "v"]);
    let left = run(&server, &["lease", "timetolive", "--keys", &id]);
    assert!(left.contains("granted with TTL(60s)") && left.contains("attached keys([l])"), "{left}");
    assert!(run(&server, &["lease", "list"]).contains(&id));
    let kept = run(&server, &["lease", "keep-alive", "--once", &id]);
    assert!(kept.contains("keepalived with TTL(60)"), "{kept}");
    assert_eq!(run(&server, &["lease", "revoke", &id]), format!("lease {id} revoked\n"));
    assert_eq!(run(&server, &["get", "l"]), "");
});

conformance!(endpoint_status_and_health, async |server| {
    run(&server, &["put", "foo", "bar"]);
    let status = run(&server, &["endpoint", "status", "--write-out=json"]);
    assert!(status.contains("\"raftTerm\":") && status.contains("\"leader\":"), "{status}");
    let table = run(&server, &["endpoint", "status", "--write-out=table"]);
    assert!(table.contains("IS LEADER") && table.contains("true"), "{table}");
    run(&server, &["endpoint", "health"]);
    assert!(run(&server, &["member", "list"]).contains("started"));
});

conformance!(compaction, async |server| {
    for value in ["1", "2", "3"] {
        run(&server, &["put", "a", value]);
    }
    assert_eq!(run(&server, &["compact", "3"]), "compacted revision 3\n");
    let output = etcdctl(&server).args(["get", "--rev=2", "a"]).output().expect("etcdctl is there");
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("required revision has been compacted"), "{text}");
});

/// Runs as a user; what is printed and whether it succeeded.
fn run_as(server: &Server, user: &str, arguments: &[&str]) -> (bool, String) {
    let output = etcdctl(server).args(["--user", user]).args(arguments).output().expect("etcdctl is there");
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

conformance!(users_and_roles, ["--client-cert-auth=false"], async |server| {
    assert_eq!(run(&server, &["user", "add", "root:secret"]), "User root created\n");
    run(&server, &["user", "add", "u:pass"]);
    run(&server, &["user", "add", "n", "--no-password"]);
    assert_eq!(run(&server, &["role", "add", "r"]), "Role r created\n");
    run(&server, &["role", "grant-permission", "r", "--prefix=true", "readwrite", "/u/"]);
    run(&server, &["role", "grant-permission", "r", "read", "/v/"]);
    run(&server, &["user", "grant-role", "u", "r"]);
    // Gives `root` its role first.
    assert_eq!(run(&server, &["auth", "enable"]), "Authentication Enabled\n");
    assert_eq!(run_as(&server, "root:secret", &["user", "list"]), (true, "n\nroot\nu\n".to_owned()));
    let (_, shown) = run_as(&server, "root:secret", &["role", "get", "r"]);
    assert!(shown.contains("[/u/, /u0) (prefix /u/)") && shown.contains("/v/"), "{shown}");
    assert_eq!(run_as(&server, "u:pass", &["put", "/u/a", "1"]), (true, "OK\n".to_owned()));
    assert_eq!(run_as(&server, "u:pass", &["get", "--prefix", "/u/"]), (true, "/u/a\n1\n".to_owned()));
    for (user, arguments, problem) in [
        ("u:pass", &["put", "/v/", "1"][..], "etcdserver: permission denied"),
        ("u:pass", &["get", "--prefix", ""], "etcdserver: permission denied"),
        ("u:wrong", &["get", "/u/a"], "authentication failed, invalid user ID or password"),
        ("u:pass", &["auth", "disable"], "etcdserver: permission denied"),
    ] {
        let (ok, text) = run_as(&server, user, arguments);
        assert!(!ok && text.contains(problem), "{arguments:?}: {text}");
    }
    assert!(run_as(&server, "root:secret", &["user", "revoke-role", "u", "r"]).0);
    assert!(!run_as(&server, "u:pass", &["get", "/u/a"]).0);
    assert!(run_as(&server, "root:secret", &["role", "delete", "r"]).0);
    assert!(run_as(&server, "root:secret", &["user", "delete", "u"]).0);
    assert_eq!(run_as(&server, "root:secret", &["auth", "disable"]), (true, "Authentication Disabled\n".to_owned()));
    assert_eq!(run(&server, &["get", "/u/a"]), "/u/a\n1\n");
});

/// The lines a child prints.
fn lines(child: &mut Child) -> std::io::Lines<BufReader<std::process::ChildStdout>> {
    BufReader::new(child.stdout.take().expect("a pipe")).lines()
}

conformance!(lock, async |server| {
    let spawn = || {
        // No limit of time: whoever holds the lock or waits for it goes on.
        let mut command = etcdctl(&server);
        command.args(["--command-timeout=0", "lock", "l"]).stdout(Stdio::piped());
        Ended(command.spawn().expect("etcdctl is there"))
    };
    let mut first = spawn();
    let held = lines(&mut first.0).next().expect("a line").expect("text");
    assert!(held.starts_with("l/"), "{held}");
    let mut second = spawn();
    drop(first);
    // Its lease is a minute long; nobody needs to wait for that.
    run(&server, &["lease", "revoke", held.trim_start_matches("l/")]);
    let next = lines(&mut second.0).next().expect("a line").expect("text");
    assert!(next.starts_with("l/") && next != held, "{next}");
    assert_eq!(run(&server, &["lock", "m", "echo", "inside"]), "inside\n");
});

conformance!(elect, async |server| {
    let mut leader = etcdctl(&server);
    leader.args(["elect", "e", "the value"]).stdout(Stdio::piped());
    let mut leader = Ended(leader.spawn().expect("etcdctl is there"));
    let mut said = lines(&mut leader.0);
    let key = said.next().expect("a line").expect("text");
    assert!(key.starts_with("e/"), "{key}");
    assert_eq!(said.next().expect("a line").expect("text"), "the value");
    let mut observer = etcdctl(&server);
    observer.args(["elect", "--listen", "e"]).stdout(Stdio::piped());
    let mut observer = Ended(observer.spawn().expect("etcdctl is there"));
    let mut seen = lines(&mut observer.0);
    assert_eq!(seen.next().expect("a line").expect("text"), key);
    assert_eq!(seen.next().expect("a line").expect("text"), "the value");
});
