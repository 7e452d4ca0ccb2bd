//! A short simulation of each size, and every seed that ever found a bug.

use std::time::Duration;

use tests_sim::panics;
use tests_sim::run::{Plan, run};

fn assert_no_violation(seed: u64, members: Option<usize>, minutes: u64) {
    panics::remember();
    let report = run(Plan { seed, members, span: Duration::from_mins(minutes) });
    println!("{report}");
    assert!(report.violations.is_empty(), "{report}");
    assert!(report.answers > 50 * minutes, "only {} answers: nothing is proven", report.answers);
}

#[test]
fn three_members() {
    assert_no_violation(1, Some(3), 20);
}

#[test]
fn five_members() {
    assert_no_violation(2, Some(5), 15);
}

/// A leader that was deposed without noticing it had a lease ended by its successor, which had renewed it.
#[test]
fn a_deposed_leader_ends_no_lease() {
    assert_no_violation(1, Some(5), 20);
}

/// After a change of members, a leader went on to offer a follower entries that were purged, and never the state.
#[test]
fn no_follower_waits_for_purged_entries() {
    assert_no_violation(2013, Some(5), 30);
}
