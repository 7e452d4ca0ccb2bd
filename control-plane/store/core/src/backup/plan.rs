//! Which objects lead to a point in time, and where a chain can be continued.

use std::collections::BTreeMap;

use super::name::{ChainName, ObjectName, SegmentName, SnapshotName};
use super::record::Digest;
use super::{LogPlace, Moment};
use crate::Revision;

/// The objects of one chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// Its name.
    pub name: ChainName,
    /// Its snapshots, oldest first.
    pub snapshots: Vec<SnapshotName>,
    /// Its segments, by their first entries.
    pub segments: Vec<SegmentName>,
}

/// What is to be restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// All there is.
    Latest,
    /// Everything that happened before the next revision.
    Revision(Revision),
    /// Everything that had been applied by then.
    Time(Moment),
}

/// The way to a point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The chain it goes along.
    pub chain: ChainName,
    /// Where it begins.
    pub snapshot: SnapshotName,
    /// What is replayed behind that, in order. The last ones may lie behind the point.
    pub segments: Vec<SegmentName>,
    /// How the way ends.
    pub end: End,
}

/// What comes behind the last segment of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Nothing: the backup ends there.
    Newest,
    /// Entries that no object holds, and then more: an object is missing.
    Missing {
        /// The first entry that is missing.
        from: u64,
        /// The last one.
        to: u64,
    },
    /// Another chain, which began then: what happened in between is not known.
    Gap(Moment),
}

/// There is no way to a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoRoute {
    /// There is no snapshot to begin with.
    #[error("there is no backup of this cluster")]
    Empty,
    /// The backup begins later.
    #[error("the backup begins later, at revision {revision} on {}", time.rfc3339())]
    TooEarly {
        /// Where its first snapshot stands.
        revision: Revision,
        /// When that was taken.
        time: Moment,
    },
}

/// Where a chain ends, for whoever continues it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tip {
    /// The last entry that is backed up.
    pub place: LogPlace,
    /// The digest behind it.
    pub digest: Digest,
    /// When it had been applied.
    pub time: Moment,
    /// The segment it is in; `None` when there is only a snapshot.
    pub segment: Option<SegmentName>,
}

/// Sorts names of the form `<chain>/<object>` into chains, oldest first. What is no such name is passed over.
pub fn chains<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<Chain> {
    let mut found = BTreeMap::<ChainName, (Vec<SnapshotName>, Vec<SegmentName>)>::new();
    for name in names {
        let Some((chain, object)) = name.split_once('/') else { continue };
        let (Some(chain), Some(object)) = (ChainName::parse(chain), ObjectName::parse(object)) else { continue };
        let (snapshots, segments) = found.entry(chain).or_default();
        match object {
            ObjectName::Snapshot(name) => snapshots.push(name),
            ObjectName::Segment(name) => segments.push(name),
        }
    }
    let chain = |(name, (mut snapshots, mut segments)): (_, (Vec<SnapshotName>, Vec<SegmentName>))| {
        snapshots.sort_by_key(|name| (name.place.index, name.time));
        segments.sort_by_key(|name| (name.first, name.last.index));
        Chain { name, snapshots, segments }
    };
    found.into_iter().map(chain).collect()
}

impl Chain {
    /// Where it ends; `None` when nothing of it is of use.
    #[must_use]
    pub fn tip(&self) -> Option<Tip> {
        let snapshot = self.snapshots.last()?;
        let newest = self.segments.iter().max_by_key(|segment| segment.last.index);
        Some(match newest {
            Some(segment) => {
                Tip { place: segment.last, digest: segment.digest, time: segment.time, segment: Some(*segment) }
            }
            None => Tip {
                place: snapshot.place,
                digest: Digest::seed(self.name.as_str()),
                time: snapshot.time,
                segment: None,
            },
        })
    }

    /// The segments behind a snapshot, each going on where the one before ends or earlier; and what is behind them.
    #[must_use]
    pub fn follow(&self, snapshot: &SnapshotName) -> (Vec<SegmentName>, End) {
        let mut at = snapshot.place.index;
        let mut way = Vec::new();
        let mut rest = self.segments.iter().peekable();
        loop {
            // Two leaders may have written the same entries: the one that goes further is taken.
            let mut best: Option<&SegmentName> = None;
            while let Some(segment) = rest.next_if(|segment| segment.first <= at + 1) {
                if segment.last.index > at && best.is_none_or(|best| best.last.index < segment.last.index) {
                    best = Some(segment);
                }
            }
            match (best, rest.peek()) {
                (Some(segment), _) => {
                    at = segment.last.index;
                    way.push(*segment);
                }
                (None, Some(next)) => return (way, End::Missing { from: at + 1, to: next.first - 1 }),
                (None, None) => return (way, End::Newest),
            }
        }
    }
}

/// The latest moment that any object of these tells of.
#[must_use]
pub fn newest_moment(chains: &[Chain]) -> Option<Moment> {
    let moments = |chain: &Chain| {
        let snapshots = chain.snapshots.iter().map(|snapshot| snapshot.time);
        snapshots.chain(chain.segments.iter().map(|segment| segment.time)).chain(chain.name.began()).max()
    };
    chains.iter().filter_map(moments).max()
}

/// Finds the way to a point: from the newest snapshot in front of it.
pub fn route(chains: &[Chain], point: Point) -> Result<Route, NoRoute> {
    let before = |snapshot: &&SnapshotName| match point {
        Point::Latest => true,
        Point::Revision(revision) => snapshot.revision <= revision,
        Point::Time(time) => snapshot.time <= time,
    };
    let found = chains.iter().enumerate().rev().find_map(|(position, chain)| {
        let snapshot = chain.snapshots.iter().rfind(before)?;
        Some((position, chain, *snapshot))
    });
    let Some((position, chain, snapshot)) = found else {
        let first = chains.iter().find_map(|chain| chain.snapshots.first()).ok_or(NoRoute::Empty)?;
        return Err(NoRoute::TooEarly { revision: first.revision, time: first.time });
    };
    let (segments, end) = chain.follow(&snapshot);
    let next = chains[position + 1..].iter().find_map(|chain| chain.snapshots.first());
    let end = match (end, next) {
        (End::Newest, Some(next)) => End::Gap(next.time),
        (end, _) => end,
    };
    Ok(Route { chain: chain.name.clone(), snapshot, segments, end })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn snapshot(index: u64) -> SnapshotName {
        let place = LogPlace { index, term: 1 };
        SnapshotName { place, revision: Revision(index as i64 * 10), time: Moment(index as i64 * 1000) }
    }

    pub(in super::super) fn segment(first: u64, last: u64) -> SegmentName {
        let (place, time) = (LogPlace { index: last, term: 1 }, Moment(last as i64 * 1000));
        let digest = Digest::seed(&format!("{last}"));
        SegmentName { first, last: place, revision: Some(Revision(last as i64 * 10)), time, digest }
    }

    pub(in super::super) fn chain(began: i64, snapshots: &[u64], segments: &[(u64, u64)]) -> Chain {
        let name = ChainName::new(Moment(began), 7);
        let names: Vec<_> = snapshots
            .iter()
            .map(|index| format!("{name}/{}", snapshot(*index)))
            .chain(segments.iter().map(|(first, last)| format!("{name}/{}", segment(*first, *last))))
            .collect();
        let mut found = chains(names.iter().map(String::as_str).chain(["notes", "a/b", "c/snapshot-1.db"]));
        assert_eq!(found.len(), 1);
        found.remove(0)
    }

    fn ways(route: &Route) -> (u64, Vec<(u64, u64)>, End) {
        let segments = route.segments.iter().map(|segment| (segment.first, segment.last.index)).collect();
        (route.snapshot.place.index, segments, route.end)
    }

    #[test]
    fn a_way_begins_at_the_newest_snapshot_in_front_of_the_point() {
        let chains = [chain(0, &[1, 10], &[(2, 5), (6, 12), (13, 20)])];
        let way = |point| route(&chains, point).map(|route| ways(&route));
        assert_eq!(way(Point::Latest), Ok((10, vec![(6, 12), (13, 20)], End::Newest)));
        assert_eq!(way(Point::Revision(Revision(100))).unwrap().0, 10);
        assert_eq!(way(Point::Revision(Revision(99))).unwrap(), (1, vec![(2, 5), (6, 12), (13, 20)], End::Newest));
        assert_eq!(way(Point::Time(Moment(9_999))).unwrap().0, 1);
        let early = NoRoute::TooEarly { revision: Revision(10), time: Moment(1000) };
        assert_eq!(way(Point::Time(Moment(999))), Err(early));
        assert_eq!(route(&[], Point::Latest), Err(NoRoute::Empty));
    }

    #[test]
    fn what_two_leaders_wrote_is_taken_once_and_what_is_missing_is_noticed() {
        let double = chain(0, &[1], &[(2, 5), (2, 9), (6, 8), (10, 12)]);
        assert_eq!(ways(&route(&[double], Point::Latest).unwrap()), (1, vec![(2, 9), (10, 12)], End::Newest));
        let lacking = chain(0, &[1], &[(2, 5), (8, 9)]);
        let (_, way, end) = ways(&route(&[lacking], Point::Latest).unwrap());
        assert_eq!((way, end), (vec![(2, 5)], End::Missing { from: 6, to: 7 }));
    }

    #[test]
    fn behind_a_gap_another_chain_begins() {
        let chains = [chain(0, &[1], &[(2, 5)]), chain(50_000, &[50], &[(51, 60)])];
        assert_eq!(ways(&route(&chains, Point::Latest).unwrap()), (50, vec![(51, 60)], End::Newest));
        let way = ways(&route(&chains, Point::Time(Moment(49_999))).unwrap());
        assert_eq!(way, (1, vec![(2, 5)], End::Gap(Moment(50_000))));
    }

    #[test]
    fn a_chain_is_continued_behind_its_last_segment() {
        let tip = chain(0, &[1, 10], &[(2, 5), (6, 8)]).tip().unwrap();
        assert_eq!(
            (tip.place.index, tip.segment),
            (8, Some(segment(6, 8))),
            "not behind a snapshot that came too early"
        );
        let bare = chain(0, &[1, 10], &[]);
        let tip = bare.tip().unwrap();
        assert_eq!((tip.place.index, tip.digest), (10, Digest::seed(bare.name.as_str())));
        assert_eq!(chain(0, &[], &[(2, 5)]).tip(), None);
    }
}
