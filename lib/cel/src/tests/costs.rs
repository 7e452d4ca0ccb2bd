//! What expressions cost, by cel-go's figures, and that those that would cost too much end.

use std::time::{Duration, Instant};

use super::run;

#[test]
fn costs_are_those_of_upstream() {
    for (text, wanted) in [
        ("1", 0),
        ("count", 1),
        ("object.metadata.name", 3),
        ("has(object.metadata.name)", 2),
        ("object.spec.containers[0].name", 5),
        ("count + 1", 2),
        ("count == 1", 2),
        ("object.metadata.name == 'web'", 4),
        ("[1, 2, 3]", 0),
        ("[count, 2]", 11),
        ("{'a': count}", 31),
        ("count > 1 && count < 9", 4),
        ("count > 9 && count < 9", 2),
        ("true ? count : 1", 1),
        ("names.all(n, true)", 1 + 3 * 3 + 1),
        ("names.exists(n, n == 'zzz')", 1 + 3 * 6 + 1),
        ("names.map(n, n)", 1 + 3 * 13 + 1),
        ("names.filter(n, true)", 1 + 3 * 13 + 1),
        ("'a' in names", 4),
        ("count in [1, 2, 3]", 1),
        ("'abcdefghijk'.startsWith('a')", 2),
        ("'abcdefghijk'.contains('a')", 2),
        ("'abcdefghijk'.matches('[a-z]')", 4),
        ("'abcdefghijk' + 'abcdefghijk'", 3),
        ("'abc'.size()", 1),
    ] {
        let (value, cost) = run(text, 1_000_000);
        assert!(value.is_ok(), "{text}: {value:?}");
        assert_eq!(cost, wanted, "{text}");
    }
}

#[test]
fn bombs_end() {
    const OVER: &str = "operation cancelled: actual cost limit exceeded";
    let nested = "[0,1,2,3,4,5,6,7,8,9].all(x, ".repeat(12) + "true" + &")".repeat(12);
    let doubling = (0..200).fold("'0123456789abcdef'".to_owned(), |text, _| format!("cel.bind(s, {text}, s + s)"));
    let lists = (0..60).fold("[0, 1]".to_owned(), |text, _| format!("cel.bind(s, {text}, s.map(x, s))"));
    let (shown, same) = (format!("'%s'.format([{lists}])"), format!("{lists} == {lists}"));
    let replacing = (0..60).fold("'aaaaaaaa'".to_owned(), |text, _| format!("cel.bind(s, {text}, s.replace('a', s))"));
    for text in [nested, doubling, shown, same, replacing] {
        let begun = Instant::now();
        assert_eq!(run(&text, 1_000_000).0, Err(OVER.to_owned()));
        assert!(begun.elapsed() < Duration::from_secs(40), "{:?}", begun.elapsed());
    }
    // A pattern that would be very large once expanded is no pattern.
    let (value, _) = run("'a'.matches(names.map(n, '(((a{0,99}){0,99}){0,99}){0,99}')[0])", 1_000_000);
    assert!(value.is_err_and(|error| error.starts_with("error parsing regexp:")));
}
