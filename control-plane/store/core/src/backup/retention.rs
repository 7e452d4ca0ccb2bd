//! What of a backup may go.

use std::time::Duration;

use super::Moment;
use super::plan::Chain;

/// From when on everything is kept. `began` is what the clock said when the process began, `lasted` how long that is ago.
///
/// Removing cannot be undone, so a clock that was set forward by mistake must not make everything old at once: it counts as
/// if it had gone on evenly. One that was set back is believed.
#[must_use]
pub fn cutoff(began: Moment, lasted: Duration, now: Moment, retention: Duration) -> Moment {
    let millis = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    let now = now.0.min(began.0.saturating_add(millis(lasted)));
    Moment(now.saturating_sub(millis(retention)))
}

/// The objects that no point from `cutoff` on needs, in the order in which they are to be removed: whatever is left when
/// that is interrupted can still be restored. Names are `<chain>/<object>`.
#[must_use]
pub fn expired(chains: &[Chain], cutoff: Moment) -> Vec<String> {
    // Every restore of `cutoff` or later begins here or behind it.
    let kept = chains.iter().enumerate().rev().find_map(|(position, chain)| {
        let snapshot = chain.snapshots.iter().rfind(|snapshot| snapshot.time <= cutoff)?;
        Some((position, snapshot.place.index))
    });
    let Some((position, index)) = kept else { return Vec::new() };
    let mut gone = Vec::new();
    for (at, chain) in chains.iter().enumerate().take(position + 1) {
        let older = at < position;
        let newest = chain.segments.iter().map(|segment| segment.last.index).max();
        let snapshots = chain.snapshots.iter().filter(|snapshot| older || snapshot.place.index < index);
        // Whoever continues a chain looks for its last segment.
        let segments = chain
            .segments
            .iter()
            .filter(|segment| older || (segment.last.index <= index && Some(segment.last.index) != newest));
        gone.extend(snapshots.map(|name| format!("{}/{name}", chain.name)));
        gone.extend(segments.map(|name| format!("{}/{name}", chain.name)));
    }
    gone
}

#[cfg(test)]
mod tests {
    use super::super::plan::tests::chain;
    use super::super::plan::{Point, route};
    use super::*;

    #[test]
    fn a_clock_that_jumps_makes_nothing_old() {
        let cut = |lasted, now| {
            let lasted = Duration::from_secs(lasted);
            cutoff(Moment(1_000_000), lasted, Moment(now), Duration::from_mins(10)).0
        };
        assert_eq!(cut(100, 1_100_000), 500_000);
        assert_eq!(cut(100, 9_999_999_999), 500_000, "it was set forward");
        assert_eq!(cut(100, 700_000), 100_000, "it was set back");
        assert_eq!(cut(0, 0), -600_000);
    }

    #[test]
    fn nothing_goes_that_a_kept_point_needs() {
        let chains = [
            chain(0, &[1, 4], &[(2, 5), (6, 8)]),
            chain(20_000, &[20, 30, 40], &[(21, 25), (26, 30), (31, 45), (46, 50)]),
        ];
        for cutoff in 0..60_000 {
            let cutoff = Moment(cutoff);
            let gone = expired(&chains, cutoff);
            for time in (cutoff.0..60_000).step_by(250) {
                let Ok(route) = route(&chains, Point::Time(Moment(time))) else { continue };
                let segments = route.segments.iter().map(ToString::to_string);
                let needed = std::iter::once(route.snapshot.to_string()).chain(segments);
                for name in needed {
                    assert!(!gone.contains(&format!("{}/{name}", route.chain)), "{name} is needed for {time}");
                }
            }
        }
    }

    #[test]
    fn what_is_too_old_goes() {
        let chains = [
            chain(0, &[1, 4], &[(2, 5), (6, 8)]),
            chain(20_000, &[20, 30, 40], &[(21, 25), (26, 30), (31, 45), (46, 50)]),
        ];
        let count = |cutoff| expired(&chains, Moment(cutoff)).len();
        assert_eq!((count(999), count(3_999), count(4_000)), (0, 0, 1));
        assert_eq!((count(19_999), count(20_000), count(30_000), count(40_000)), (1, 4, 7, 8));
        let all = expired(&chains[..1], Moment(90_000));
        // The first segment goes on behind the last snapshot.
        assert_eq!(all.len(), 1, "the last snapshot and all behind it stay: {all:?}");
    }
}
