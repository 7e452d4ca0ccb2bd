//! The rules.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::time::Duration;

use super::replay::{Change, Replay};
use super::{Asked, Operation, Told, Watched};

/// A rule that was broken, with everything that is needed to see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation(String);

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the rules are held against.
struct Checker<'a> {
    operations: &'a [Operation],
    replay: Replay<'a>,
    /// Which write made which change.
    effects: BTreeMap<usize, i64>,
    violations: Vec<Violation>,
}

pub(super) fn check(operations: &[Operation], observed: &[Change], watched: &[Watched]) -> Vec<Violation> {
    let mut checker =
        Checker { operations, replay: Replay::new(observed), effects: BTreeMap::new(), violations: Vec::new() };
    checker.order(observed);
    checker.writes();
    checker.explain(observed);
    checker.reads();
    checker.real_time();
    for watcher in watched {
        checker.watcher(observed, watcher);
    }
    checker.violations
}

impl Checker<'_> {
    fn broken(&mut self, rule: &str, what: impl fmt::Debug) {
        self.violations.push(Violation(format!("{rule}: {what:?}")));
    }

    /// One change a revision, in order: all our writes are of one key.
    fn order(&mut self, observed: &[Change]) {
        for pair in observed.windows(2) {
            if pair[0].revision >= pair[1].revision {
                self.broken("the observer saw changes out of order or twice", pair);
            }
        }
    }

    /// An acknowledged write is at its revision, and is the only one there.
    fn writes(&mut self) {
        let mut owners: HashMap<i64, usize> = HashMap::new();
        for (index, operation) in self.operations.iter().enumerate() {
            let Told::Written(revision) = operation.told else { continue };
            self.effects.insert(index, revision);
            if let Some(other) = owners.insert(revision, index) {
                self.broken("two writes were told the same revision", (&self.operations[other], operation));
            }
            let (key, value) = match &operation.asked {
                Asked::Put { key, value } | Asked::Swap { key, value, .. } => (key, Some(value)),
                Asked::Delete { key } => (key, None),
                Asked::Get { .. } => {
                    self.broken("a read was told that it wrote", operation);
                    continue;
                }
            };
            let change = self.replay.at(revision);
            if change.is_none_or(|change| change.key != *key || change.value.as_ref() != value) {
                self.broken("an acknowledged write is lost or another one", (operation, change));
            }
            let before = self.replay.state(key, revision - 1);
            let fits = match &operation.asked {
                Asked::Swap { expected, .. } => before.map_or(0, |(_, changed)| changed) == *expected,
                Asked::Delete { .. } => before.is_some(),
                Asked::Put { .. } | Asked::Get { .. } => true,
            };
            if !fits {
                self.broken("a write was done although its condition was not met", (operation, before));
            }
        }
    }

    /// Every change was asked for: by the write that was told its revision, or by one that was told nothing.
    fn explain(&mut self, observed: &[Change]) {
        let acknowledged: HashMap<i64, usize> =
            self.effects.iter().map(|(index, revision)| (*revision, *index)).collect();
        let mut by_value: HashMap<&str, usize> = HashMap::new();
        let mut deletions: HashMap<&str, Vec<usize>> = HashMap::new();
        for (index, operation) in self.operations.iter().enumerate() {
            if operation.told != Told::Nothing {
                continue;
            }
            match &operation.asked {
                Asked::Put { value, .. } | Asked::Swap { value, .. } => drop(by_value.insert(value, index)),
                Asked::Delete { key } => deletions.entry(key).or_default().push(index),
                Asked::Get { .. } => {}
            }
        }
        for change in observed {
            if acknowledged.contains_key(&change.revision) {
                continue;
            }
            let cause = match &change.value {
                Some(value) => by_value.remove(value.as_str()),
                // Any of those that were asked for would do; the earliest leaves the most for the rest.
                None => {
                    deletions.get_mut(change.key.as_str()).and_then(|open| (!open.is_empty()).then(|| open.remove(0)))
                }
            };
            match cause {
                Some(index) if change.value.is_some() => drop(self.effects.insert(index, change.revision)),
                // Which of several deletions it was is not known, so its time proves nothing.
                Some(_) => {}
                None => self.broken("a change that nobody asked for, or that was done twice", change),
            }
        }
    }

    /// What was read is what was there.
    fn reads(&mut self) {
        for operation in self.operations {
            let Told::Found { revision, state } = &operation.told else { continue };
            match &operation.asked {
                Asked::Get { key, .. } | Asked::Swap { key, .. } => {
                    let there = self.replay.state(key, *revision);
                    let told = state.as_ref().map(|(value, changed)| (value.as_str(), *changed));
                    if there != told {
                        self.broken("a read shows what was not there", (operation, there));
                    }
                    if let Asked::Swap { expected, .. } = &operation.asked
                        && there.map_or(0, |(_, changed)| changed) == *expected
                    {
                        self.broken("a write was not done although its condition was met", operation);
                    }
                }
                Asked::Delete { key } => {
                    if let Some(there) = self.replay.state(key, *revision) {
                        self.broken("a deletion did not see its key", (operation, there));
                    }
                }
                Asked::Put { .. } => self.broken("a put was told that it did not write", operation),
            }
        }
    }

    /// What was answered before something was asked has happened before it.
    fn real_time(&mut self) {
        let mut answered: Vec<(Duration, i64)> = self.operations.iter().filter_map(known_at_end).collect();
        answered.sort_unstable();
        let mut highest = i64::MIN;
        for (_, revision) in &mut answered {
            highest = highest.max(*revision);
            *revision = highest;
        }
        let known_before = |begun: Duration| {
            let count = answered.partition_point(|(ended, _)| *ended < begun);
            count.checked_sub(1).map(|last| answered[last].1)
        };
        let mut broken = Vec::new();
        for (index, operation) in self.operations.iter().enumerate() {
            let Some(known) = known_before(operation.begun) else { continue };
            if let Some(revision) = self.effects.get(&index)
                && *revision <= known
            {
                broken.push(("a write happened before it was asked for", operation, known));
            }
            let older_will_do = matches!(operation.asked, Asked::Get { serializable: true, .. });
            if let Told::Found { revision, .. } = operation.told
                && !older_will_do
                && revision < known
            {
                broken.push(("a stale read", operation, known));
            }
        }
        for (rule, operation, known) in broken {
            self.broken(rule, (operation, format!("revision {known} was known before")));
        }
    }

    /// A watcher is told everything from its start on, up to where it got, once and in order.
    fn watcher(&mut self, observed: &[Change], watched: &Watched) {
        let expected = observed.iter().filter(|change| change.revision >= watched.start);
        let differs = expected.zip(&watched.changes).find(|(expected, told)| expected != told);
        if let Some(difference) = differs {
            self.broken("a watcher was told something else than what happened", (watched.start, difference));
        }
        let last = observed.last().map_or(0, |change| change.revision);
        if let Some(unknown) = watched.changes.iter().find(|change| change.revision > last) {
            self.broken("a watcher was told of what the observer did not see", unknown);
        }
    }
}

/// The revision that is known to have happened once this was answered.
fn known_at_end(operation: &Operation) -> Option<(Duration, i64)> {
    match operation.told {
        Told::Written(revision) | Told::Found { revision, .. } => Some((operation.ended, revision)),
        Told::Nothing => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "k";

    fn operation(asked: Asked, told: Told, begun: u64, ended: u64) -> Operation {
        Operation { asked, told, begun: Duration::from_millis(begun), ended: Duration::from_millis(ended) }
    }

    fn put(value: &str, told: Told, begun: u64, ended: u64) -> Operation {
        operation(Asked::Put { key: KEY.into(), value: value.into() }, told, begun, ended)
    }

    fn get(revision: i64, state: Option<(&str, i64)>, begun: u64, ended: u64) -> Operation {
        let state = state.map(|(value, changed)| (value.to_owned(), changed));
        let asked = Asked::Get { key: KEY.into(), serializable: false };
        operation(asked, Told::Found { revision, state }, begun, ended)
    }

    fn change(revision: i64, value: Option<&str>) -> Change {
        Change { revision, key: KEY.into(), value: value.map(str::to_owned) }
    }

    fn found(operations: &[Operation], observed: &[Change]) -> Vec<String> {
        check(operations, observed, &[]).iter().map(ToString::to_string).collect()
    }

    fn assert_broken(operations: &[Operation], observed: &[Change], rule: &str) {
        let found = found(operations, observed);
        assert!(found.iter().any(|violation| violation.starts_with(rule)), "{rule} is not in {found:#?}");
    }

    #[test]
    fn a_history_that_one_order_explains_is_fine() {
        let operations = [
            put("a", Told::Written(2), 0, 10),
            put("b", Told::Nothing, 5, 50),
            put("c", Told::Nothing, 5, 50),
            get(2, Some(("a", 2)), 11, 20),
            get(3, Some(("b", 3)), 12, 60),
            operation(Asked::Swap { key: KEY.into(), expected: 3, value: "d".into() }, Told::Written(4), 61, 70),
            operation(Asked::Delete { key: KEY.into() }, Told::Written(5), 71, 80),
            operation(Asked::Delete { key: KEY.into() }, Told::Found { revision: 5, state: None }, 81, 90),
        ];
        let observed = [change(2, Some("a")), change(3, Some("b")), change(4, Some("d")), change(5, None)];
        let watched = [
            Watched { start: 3, changes: observed[1..].to_vec() },
            Watched { start: 1, changes: observed[..2].to_vec() },
        ];
        assert_eq!(check(&operations, &observed, &watched), []);
    }

    #[test]
    fn a_lost_write_is_found() {
        assert_broken(&[put("a", Told::Written(2), 0, 1)], &[], "an acknowledged write is lost");
        let both = [put("a", Told::Written(2), 0, 1), put("b", Told::Written(2), 0, 1)];
        assert_broken(&both, &[change(2, Some("a"))], "two writes were told the same revision");
    }

    #[test]
    fn a_write_that_is_done_twice_is_found() {
        let observed = [change(2, Some("a")), change(3, Some("a"))];
        assert_broken(&[put("a", Told::Nothing, 0, 1)], &observed, "a change that nobody asked for");
        assert_broken(&[], &[change(2, None)], "a change that nobody asked for");
    }

    #[test]
    fn a_stale_read_is_found() {
        let operations =
            [put("a", Told::Written(2), 0, 10), put("b", Told::Written(3), 11, 20), get(2, Some(("a", 2)), 21, 30)];
        let observed = [change(2, Some("a")), change(3, Some("b"))];
        assert_broken(&operations, &observed, "a stale read");
        let mut serializable = operations.clone();
        serializable[2].asked = Asked::Get { key: KEY.into(), serializable: true };
        assert!(found(&serializable, &observed).is_empty());
        let wrong = [operations[0].clone(), operations[1].clone(), get(3, Some(("a", 2)), 21, 30)];
        assert_broken(&wrong, &observed, "a read shows what was not there");
    }

    #[test]
    fn an_effect_before_its_cause_is_found() {
        // "b" was asked for after the revision behind it was known.
        let operations = [put("a", Told::Written(3), 0, 10), put("b", Told::Nothing, 11, 20)];
        let observed = [change(2, Some("b")), change(3, Some("a"))];
        assert_broken(&operations, &observed, "a write happened before it was asked for");
    }

    #[test]
    fn a_broken_condition_is_found() {
        let swap =
            |expected, told| operation(Asked::Swap { key: KEY.into(), expected, value: "s".into() }, told, 0, 10);
        let observed = [change(2, Some("a")), change(3, Some("s"))];
        let first = put("a", Told::Written(2), 0, 1);
        assert!(found(&[first.clone(), swap(2, Told::Written(3))], &observed).is_empty());
        let rule = "a write was done although its condition was not met";
        assert_broken(&[first.clone(), swap(0, Told::Written(3))], &observed, rule);
        let refused = swap(2, Told::Found { revision: 2, state: Some(("a".into(), 2)) });
        let rule = "a write was not done although its condition was met";
        assert_broken(&[first, refused], &observed[..1], rule);
    }

    #[test]
    fn a_watcher_with_a_gap_is_found() {
        let observed = [change(2, Some("a")), change(3, Some("b")), change(4, Some("c"))];
        let operations = ["a", "b", "c"].map(|value| put(value, Told::Nothing, 0, 10));
        let told =
            |changes: &[&Change]| Watched { start: 2, changes: changes.iter().map(|one| (*one).clone()).collect() };
        assert_eq!(check(&operations, &observed, &[told(&[&observed[0], &observed[1]])]), []);
        for wrong in [
            told(&[&observed[0], &observed[2]]),
            told(&[&observed[0], &observed[0]]),
            told(&[&observed[0], &observed[1], &observed[2], &change(5, None)]),
        ] {
            assert_eq!(check(&operations, &observed, &[wrong]).len(), 1);
        }
    }
}
