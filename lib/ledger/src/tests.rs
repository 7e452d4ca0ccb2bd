use proptest::prelude::*;

use super::*;

fn event(what: &str) -> Event {
    let who = Who {
        name: "ann".into(),
        roles: vec!["orlop:operator".into()],
        serial: "4f".into(),
        fingerprint: "00ff".into(),
    };
    Event {
        who: Some(who),
        from: "192.0.2.1:50".into(),
        what: what.into(),
        outcome: Outcome::Allowed,
        detail: String::new(),
    }
}

fn chain(length: u64) -> Vec<String> {
    let mut head = Head::default();
    (1..=length)
        .map(|number| {
            let (line, next) = head.seal(1_000 + number, "boot", event(&format!("Method{number}")));
            head = next;
            line
        })
        .collect()
}

fn check(lines: &[String]) -> Result<Option<Head>, Broken> {
    let mut verifier = Verifier::default();
    lines.iter().try_for_each(|line| verifier.check(line.as_bytes()).map(drop))?;
    Ok(verifier.head())
}

fn file(lines: &[String]) -> Vec<u8> {
    lines.iter().flat_map(|line| [line.as_bytes(), b"\n"].concat()).collect()
}

/// Writes a line anew after its text was changed, as somebody would who knows how records are made.
fn forge(line: &str, from: &str, to: &str) -> String {
    let json = line[Hash::TEXT + 1..].replace(from, to);
    assert_ne!(json, line[Hash::TEXT + 1..]);
    format!("{} {json}", Hash::of(json.as_bytes()))
}

#[test]
fn a_chain_is_good_from_any_of_its_records_on() {
    let lines = chain(5);
    let head = check(&lines).unwrap().unwrap();
    assert_eq!(head.seq, 5);
    for start in 1..5 {
        assert_eq!(check(&lines[start..]), Ok(Some(head)));
    }
    assert_eq!(check(&[]), Ok(None));
    let (record, hash) = read(lines[1].as_bytes()).unwrap();
    assert_eq!((record.seq, record.event, hash.to_string().len()), (2, event("Method2"), Hash::TEXT));
}

#[test]
fn the_first_bad_record_is_named() {
    let lines = chain(5);
    let with = |change: &dyn Fn(&mut Vec<String>)| {
        let mut lines = lines.clone();
        change(&mut lines);
        check(&lines).unwrap_err()
    };
    let changed = with(&|lines| lines[2] = lines[2].replace("Method3", "Method9"));
    assert_eq!(changed, Broken { seq: 3, fault: Fault::Changed });
    let removed = with(&|lines| drop(lines.remove(2)));
    assert_eq!(removed, Broken { seq: 4, fault: Fault::Order { expected: 3, found: 4 } });
    let doubled = with(&|lines| lines.insert(2, lines[1].clone()));
    assert_eq!(doubled, Broken { seq: 2, fault: Fault::Order { expected: 3, found: 2 } });
    let rubbish = with(&|lines| lines[0] = "rubbish".into());
    assert_eq!(rubbish, Broken { seq: 1, fault: Fault::Shape });
    // A record that was replaced by a well-made one is given away by the one after it.
    let forged = with(&|lines| lines[2] = forge(&lines[2], "ann", "bob"));
    assert_eq!(forged, Broken { seq: 4, fault: Fault::Link });
    let begun_anew = with(&|lines| {
        lines[0] = forge(&lines[0], &Hash::default().to_string(), &Hash::of(b"x").to_string());
    });
    assert_eq!(begun_anew, Broken { seq: 1, fault: Fault::Link });
    assert_eq!(
        with(&|lines| lines[4] = forge(&lines[4], "\"seq\":5", "\"sequence\":5")).to_string().split(':').next(),
        Some("record 5 is bad")
    );
}

#[test]
fn who_kept_the_head_sees_that_the_newest_are_missing() {
    let lines = chain(5);
    let kept = check(&lines[..4]).unwrap().unwrap();
    let mut verifier = Verifier::after(kept);
    assert!(verifier.check(lines[4].as_bytes()).is_ok());
    // The last two were taken away, and the machine went on.
    let before = check(&lines[..3]).unwrap().unwrap();
    let other = [before.seal(9, "boot", event("Other")).0];
    let mut verifier = Verifier::after(kept);
    assert!(matches!(verifier.check(other[0].as_bytes()), Err(Broken { seq: 4, fault: Fault::Order { .. } })));
}

#[test]
fn what_a_caller_chooses_is_bounded_and_printable() {
    let mut long = event(&"x".repeat(10_000));
    long.detail = "a\nb\x1b[31m".into();
    let (line, _) = Head::default().seal(1, "boot", long);
    assert!(line.len() < 1_000 && !line.contains('\n'));
    let (record, _) = read(line.as_bytes()).unwrap();
    assert_eq!((record.event.what.len(), record.event.detail.as_str()), (256, "ab[31m"));
}

#[test]
fn hashes_have_one_text_each() {
    let text = Hash::of(b"x").to_string();
    assert_eq!(text.parse(), Ok(Hash::of(b"x")));
    for wrong in [text.to_uppercase(), text[1..].to_owned(), format!("{text}00"), String::new(), "é".repeat(32)] {
        assert!(wrong.parse::<Hash>().is_err(), "{wrong}");
    }
}

#[test]
fn after_a_crash_the_torn_end_is_told_from_damage() {
    let lines = chain(4);
    let whole = file(&lines);
    let full = recover(&whole);
    assert_eq!((full.head.unwrap().seq, full.keep, full.broken), (4, whole.len(), None));
    let three = file(&lines[..3]).len();
    for cut in three..whole.len() {
        let found = recover(&whole[..cut]);
        assert_eq!((found.head.unwrap().seq, found.keep, found.broken), (3, three, None), "cut at {cut}");
    }
    // Blocks that were never written read as zeros, and may come before one that was.
    let mut zeros = whole.clone();
    zeros[three + 10..].fill(0);
    zeros.extend(b"\n\0\0");
    assert_eq!(recover(&zeros).keep, three);
    let mut damaged = whole.clone();
    damaged[file(&lines[..1]).len() + 100] ^= 1;
    let found = recover(&damaged);
    assert_eq!((found.head.unwrap().seq, found.keep), (4, whole.len()), "nothing is cut off");
    assert_eq!(found.broken, Some(Broken { seq: 2, fault: Fault::Changed }));
    assert_eq!(recover(b""), Recovered::default());
    assert_eq!(recover(b"\n\n\xff"), Recovered::default());
}

proptest! {
    #[test]
    fn any_bit_that_flips_is_found(length in 1_u64..6, place in any::<prop::sample::Index>(), bit in 0_u8..8) {
        let lines = chain(length);
        let head = check(&lines).unwrap();
        let mut bytes = file(&lines);
        let place = place.index(bytes.len());
        bytes[place] ^= 1 << bit;
        let mut verifier = Verifier::default();
        let good = bytes
            .strip_suffix(b"\n")
            .unwrap_or(&bytes)
            .split(|byte| *byte == b'\n')
            .all(|line| verifier.check(line).is_ok());
        prop_assert!(!good || verifier.head() != head);
    }

    #[test]
    fn bytes_of_any_kind_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let found = recover(&bytes);
        prop_assert!(found.keep <= bytes.len());
        let _ = read(&bytes);
    }
}
