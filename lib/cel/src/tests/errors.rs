//! What is wrong with expressions, in cel-go's words.

use super::{environment, run};
use crate::{Environment, Macros, standard};

#[track_caller]
fn wrong(text: &str, wanted: &str) {
    let issues = environment().check(text).expect_err(text);
    assert_eq!(issues.to_string(), wanted);
}

/// The first line, without the text and the mark.
#[track_caller]
fn says(text: &str, wanted: &str) {
    let issues = environment().check(text).expect_err(text).to_string();
    assert_eq!(issues.lines().next(), Some(wanted), "{text}");
}

#[test]
fn places_are_shown() {
    wrong("1 + x", "ERROR: <input>:1:5: undeclared reference to 'x' (in container '')\n | 1 + x\n | ....^");
    wrong(
        "count == 1 &&\n  y.z",
        "ERROR: <input>:2:3: undeclared reference to 'y' (in container '')\n |   y.z\n | ..^",
    );
    wrong(
        "'ü' + x + y",
        "ERROR: <input>:1:7: undeclared reference to 'x' (in container '')\n | 'ü' + x + y\n | .．....^\n\
         ERROR: <input>:1:11: undeclared reference to 'y' (in container '')\n | 'ü' + x + y\n | .．........^",
    );
}

#[test]
fn types_must_fit() {
    for (text, wanted) in [
        ("1 + 'a'", "ERROR: <input>:1:3: found no matching overload for '_+_' applied to '(int, string)'"),
        (
            "count.startsWith('a')",
            "ERROR: <input>:1:17: found no matching overload for 'startsWith' applied to 'int.(string)'",
        ),
        ("count && true", "ERROR: <input>:1:7: found no matching overload for '_&&_' applied to '(int, bool)'"),
        ("nowhere(1)", "ERROR: <input>:1:8: undeclared reference to 'nowhere' (in container '')"),
        ("count.field", "ERROR: <input>:1:6: type 'int' does not support field selection"),
        (
            "count.all(x, true)",
            "ERROR: <input>:1:1: expression of type 'int' cannot be range of a comprehension (must be list, map, or dynamic)",
        ),
        ("[1, 'a']", "ERROR: <input>:1:5: expected type 'int' but found 'string'"),
        ("{'a': 1, 'b': true}", "ERROR: <input>:1:15: expected type 'int' but found 'bool'"),
        ("names.all(n, 1)", "ERROR: <input>:1:10: found no matching overload for '_&&_' applied to '(bool, int)'"),
        (
            "true ? 1 : 'a'",
            "ERROR: <input>:1:6: found no matching overload for '_?_:_' applied to '(bool, int, string)'",
        ),
        (
            "names + labels",
            "ERROR: <input>:1:7: found no matching overload for '_+_' applied to '(list(string), map(string, string))'",
        ),
        ("duration('a')", "ERROR: <input>:1:10: invalid duration argument"),
        ("'a'.matches('(')", "ERROR: <input>:1:13: invalid matches argument"),
        ("Thing{a: 1}", "ERROR: <input>:1:6: undeclared reference to 'Thing' (in container '')"),
    ] {
        says(text, wanted);
    }
    assert!(environment().check("object.a.b.all(x, x.y + 1 == object.c)").is_ok());
    assert_eq!(environment().check("[1, 2].map(x, [x])").expect("right").output().to_string(), "list(list(int))");
    assert_eq!(environment().check("labels[?'a']").expect("right").output().to_string(), "optional_type(string)");
    assert_eq!(environment().check("[]").expect("right").output().to_string(), "list(dyn)");
}

#[test]
fn text_must_be_an_expression() {
    const BEGINNINGS: &str = "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, \
                              STRING, BYTES, IDENTIFIER}";
    says("1 +", &format!("ERROR: <input>:1:4: Syntax error: mismatched input '<EOF>' expecting {BEGINNINGS}"));
    says("", &format!("ERROR: <input>:1:1: Syntax error: mismatched input '<EOF>' expecting {BEGINNINGS}"));
    for (text, wanted) in [
        ("1 $ + 2", "ERROR: <input>:1:3: Syntax error: token recognition error at: '$'"),
        ("(1", "ERROR: <input>:1:3: Syntax error: missing ')' at '<EOF>'"),
        ("1 2", "ERROR: <input>:1:3: Syntax error: extraneous input '2' expecting <EOF>"),
        ("'abc", "ERROR: <input>:1:1: Syntax error: token recognition error at: ''abc'"),
        ("99999999999999999999", "ERROR: <input>:1:1: invalid int literal"),
        ("for", "ERROR: <input>:1:1: reserved identifier: for"),
        ("has(a)", "ERROR: <input>:1:4: invalid argument to has() macro"),
        ("[1].all(a.b, true)", "ERROR: <input>:1:10: argument must be a simple name"),
    ] {
        says(text, wanted);
    }
    let plain = Environment::new(Macros::default()).with(standard());
    let issues = plain.check("{'a': 1}.?a").expect_err("it is not in this environment").to_string();
    assert!(issues.starts_with("ERROR: <input>:1:9: unsupported syntax '.?'"), "{issues}");
}

#[test]
fn what_is_too_deep_or_long_is_refused() {
    for text in [
        "(".repeat(10_000),
        "[".repeat(300) + &"]".repeat(300),
        "!(".repeat(300) + "true" + &")".repeat(300),
        "object".to_owned() + &".a".repeat(20_000),
        "1".to_owned() + &"+1".repeat(20_000),
        "names".to_owned() + &".map(x, x".repeat(300),
        "true?1:".repeat(5_000) + "1",
    ] {
        let issues = environment().check(&text).expect_err("it is too deep").to_string();
        assert_eq!(issues, "ERROR: <input>:-1:0: expression recursion limit exceeded: 250");
    }
    let long = format!("'{}'", "a".repeat(100_000));
    assert_eq!(
        environment().check(&long).expect_err("it is too long").to_string(),
        "ERROR: <input>:-1:0: expression code point size exceeds limit: size: 100002, limit 100000"
    );
    // Many terms of a logical operator are no depth.
    assert_eq!(run(&("true".to_owned() + &" && true".repeat(3_000)), 10_000).0, Ok("true".to_owned()));
    let deep = "[".repeat(240) + &"]".repeat(240);
    assert!(environment().compile(&deep).is_ok());
}
