use apiserver_core::Status;
use apiserver_core::user::{AUTHENTICATED, MASTERS, User};

use super::*;
use crate::attributes::Target;

fn wanted(headers: &[(&str, &str)]) -> Result<Option<Wanted>, Status> {
    read(headers.iter().map(|(name, value)| (*name, value.as_bytes())))
}

fn modes(requester: &User, headers: &[(&str, &str)]) -> Vec<Mode> {
    Mode::all(requester, &wanted(headers).unwrap().unwrap(), "list")
}

/// What a mode asks, in order: `verb group/resource/subresource namespace/name`.
fn asked(mode: &Mode) -> Vec<String> {
    let user = User::default();
    let one = |check: &Check| match check {
        Check::Request(verb) => verb.clone(),
        Check::Never(_, why) => format!("never: {why}"),
        Check::Subject(subject) => {
            let attributes = subject.attributes(&user);
            let Target::Resource(objects) = attributes.target else { panic!("a path") };
            let slash = if objects.subresource.is_empty() { "" } else { "/" };
            let what = format!("{}/{}{slash}{}", objects.group, objects.resource, objects.subresource);
            format!("{} {what} {}/{}", attributes.verb, objects.namespace, objects.name)
        }
    };
    mode.steps
        .iter()
        .flat_map(|step| step.all.iter().map(|check| format!("all? {}", one(check))).chain(step.each.iter().map(one)))
        .collect()
}

#[test]
fn headers_name_who_is_wanted() {
    assert_eq!(wanted(&[("authorization", "x"), ("impersonate-other", "y")]), Ok(None));
    assert_eq!(wanted(&[("impersonate-user", "")]), Ok(None));
    let bob = wanted(&[
        ("impersonate-user", "bob"),
        ("impersonate-user", "root"),
        ("impersonate-group", "dev"),
        ("impersonate-group", "ops"),
        ("impersonate-uid", "7"),
        ("impersonate-extra-acme.io%2fscope", "a"),
        ("impersonate-extra-acme.io%2fscope", "b"),
        ("impersonate-extra-%zz", "c"),
    ]);
    let bob = bob.unwrap().unwrap();
    assert_eq!((bob.name.as_str(), bob.uid.as_str(), bob.groups.len()), ("bob", "7", 2));
    assert_eq!(bob.extra["acme.io/scope"], ["a", "b"]);
    assert_eq!(bob.extra["%zz"], ["c"]);
}

#[test]
fn nothing_is_taken_on_without_a_user() {
    for (headers, shown) in [
        (
            vec![("impersonate-group", MASTERS)],
            "&user.DefaultInfo{Name:\"\", UID:\"\", Groups:[]string{\"system:masters\"}, Extra:map[string][]string(nil)}",
        ),
        (
            vec![("impersonate-uid", "7")],
            "&user.DefaultInfo{Name:\"\", UID:\"7\", Groups:[]string(nil), Extra:map[string][]string(nil)}",
        ),
        (
            vec![("impersonate-user", ""), ("impersonate-extra-a", "b")],
            "&user.DefaultInfo{Name:\"\", UID:\"\", Groups:[]string(nil), Extra:map[string][]string{\"a\":[]string{\"b\"}}}",
        ),
    ] {
        let refused = wanted(&headers).unwrap_err();
        assert_eq!(refused.code, 400);
        assert_eq!(refused.message, format!("requested {shown} without impersonating a user name"));
    }
    assert_eq!(read([("impersonate-user", &b"\xff"[..])].into_iter()).unwrap_err().code, 400);
}

#[test]
fn each_part_of_a_user_is_asked_about() {
    let headers = [
        ("impersonate-user", "bob"),
        ("impersonate-group", "dev"),
        ("impersonate-uid", "7"),
        ("impersonate-extra-acme.io%2fscope", "a"),
    ];
    let modes = modes(&User::default(), &headers);
    assert_eq!(
        modes.iter().map(asked).collect::<Vec<_>>(),
        [
            vec![
                "impersonate-on:user-info:list",
                "impersonate:user-info authentication.k8s.io/users /bob",
                "impersonate:user-info authentication.k8s.io/uids /7",
                "impersonate:user-info authentication.k8s.io/groups /dev",
                "impersonate:user-info authentication.k8s.io/userextras/acme.io/scope /a",
            ],
            vec![
                "impersonate /users /bob",
                "impersonate authentication.k8s.io/uids /7",
                "impersonate /groups /dev",
                "impersonate authentication.k8s.io/userextras/acme.io/scope /a",
            ],
        ]
    );
    assert_eq!(modes[1].user.groups, ["dev", AUTHENTICATED]);
}

#[test]
fn accounts_and_nodes_have_ways_of_their_own() {
    let account = modes(&User::default(), &[("impersonate-user", "system:serviceaccount:n:robot")]);
    assert_eq!(
        account.iter().map(asked).collect::<Vec<_>>(),
        [
            vec![
                "impersonate-on:serviceaccount:list",
                "impersonate:serviceaccount authentication.k8s.io/serviceaccounts n/robot"
            ],
            vec!["impersonate /serviceaccounts n/robot"],
        ]
    );
    assert_eq!(account[1].user.groups, ["system:serviceaccounts", "system:serviceaccounts:n", AUTHENTICATED]);
    let with_groups =
        modes(&User::default(), &[("impersonate-user", "system:serviceaccount:n:robot"), ("impersonate-group", "g")]);
    assert_eq!(
        (with_groups.len(), with_groups[0].user.groups.as_slice()),
        (1, &["g".to_owned(), AUTHENTICATED.to_owned()][..])
    );

    let agent = User {
        name: "system:serviceaccount:n:agent".into(),
        extra: [("authentication.kubernetes.io/node-name".into(), vec!["one".into()])].into(),
        ..User::default()
    };
    let node = modes(&agent, &[("impersonate-user", "system:node:one")]);
    assert_eq!(
        node.iter().map(asked).collect::<Vec<_>>(),
        [
            vec!["impersonate-on:associated-node:list", "impersonate:associated-node authentication.k8s.io/nodes /*"],
            vec!["impersonate-on:arbitrary-node:list", "impersonate:arbitrary-node authentication.k8s.io/nodes /one"],
            vec!["impersonate /users /system:node:one"],
        ]
    );
    assert_eq!(node[0].user.groups, ["system:nodes", AUTHENTICATED]);
    assert!(
        node[0]
            .requester
            .as_ref()
            .is_some_and(|user| !user.extra.contains_key("authentication.kubernetes.io/node-name"))
    );
    assert_eq!(node[2].user.groups, [AUTHENTICATED]);
    assert_eq!(modes(&agent, &[("impersonate-user", "system:node:two")]).len(), 2);
}

#[test]
fn who_is_nobody_stays_nobody() {
    let groups = |headers: &[(&str, &str)]| modes(&User::default(), headers).pop().unwrap().user.groups;
    assert_eq!(groups(&[("impersonate-user", "system:anonymous")]), ["system:unauthenticated"]);
    assert_eq!(
        groups(&[("impersonate-user", "bob"), ("impersonate-group", "system:unauthenticated")]),
        ["system:unauthenticated"]
    );
    assert_eq!(groups(&[("impersonate-user", "bob"), ("impersonate-group", AUTHENTICATED)]), [AUTHENTICATED]);
}

#[test]
fn the_narrower_ways_lead_to_no_master() {
    let ways = modes(
        &User::default(),
        &[("impersonate-user", "bob"), ("impersonate-group", MASTERS), ("impersonate-extra-x", "y")],
    );
    let narrow = asked(&ways[0]);
    assert!(narrow.contains(&"never: impersonating the system:masters group is not allowed".to_owned()), "{narrow:?}");
    assert!(narrow.iter().any(|one| one.contains("must be a domain-prefixed path")), "{narrow:?}");
    assert!(!asked(&ways[1]).iter().any(|one| one.starts_with("never")));
    let many: Vec<_> = std::iter::once(("impersonate-user", "bob"))
        .chain(["a", "b", "c", "d"].map(|group| ("impersonate-group", group)))
        .collect();
    assert!(
        asked(&modes(&User::default(), &many)[0])
            .contains(&"all? impersonate:user-info authentication.k8s.io/groups /*".to_owned())
    );
}
