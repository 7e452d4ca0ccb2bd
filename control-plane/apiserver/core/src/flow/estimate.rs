//! What a request costs: seats while it runs, and after it for the watchers it wakes.

use std::time::Duration;

use fair::{Bounds, Discipline, SeatTime, Width};

/// Seats a list takes at most.
const MOST_FOR_A_LIST: u64 = 100;
/// Seats a change takes at most.
const MOST_FOR_A_CHANGE: u64 = 10;
/// Bytes in memory that take a seat.
const BYTES: u64 = 100_000;
/// What a list of the cache has in memory at most: it is sent piece by piece.
const STREAMED: u64 = 1_000_000;
/// Watchers that take a seat.
const WATCHERS: usize = 10;
/// How long watchers are served for one event.
const EVENT: Duration = Duration::from_millis(5);
/// The part of a level that one request may take.
const PART: f64 = 0.15;

/// What a list is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listing {
    /// Objects of the resource.
    pub objects: u64,
    /// The bytes of all of them.
    pub bytes: u64,
    /// How many are asked for at most.
    pub limit: Option<u64>,
    /// Whether it selects one object by its name.
    pub single: bool,
    /// Whether the answer comes from the cache.
    pub cached: bool,
    /// Whether it selects some by labels or fields.
    pub selective: bool,
}

/// The seats one request may take in a level with queues; none where only the kinds of requests bound it.
pub fn most_seats(discipline: Discipline, bounds: Bounds) -> Option<u64> {
    let Discipline::Queue { hand, .. } = discipline else { return None };
    let part = (bounds.nominal as f64 * PART).ceil() as u64;
    Some(part.min(bounds.nominal / (hand as u64).max(1)).max(1))
}

/// The cost of a list.
pub fn list(listing: Listing, most: Option<u64>) -> Width {
    let limited = listing.limit.unwrap_or(u64::MAX).min(listing.objects);
    let loaded = if listing.single {
        1
    } else if listing.cached || !listing.selective {
        limited
    } else {
        limited.max(listing.objects / 2)
    };
    let mut bytes = loaded.saturating_mul(listing.bytes / listing.objects.max(1));
    if listing.cached {
        bytes = bytes.min(STREAMED);
    }
    let most = most.unwrap_or(MOST_FOR_A_LIST).min(MOST_FOR_A_LIST);
    Width { initial: bytes.div_ceil(BYTES).clamp(1, most.max(1)), ..Width::ONE }
}

/// The cost of a change that `watchers` are told of. The work for many is made as narrow as the level wants it, and as much longer.
pub fn mutation(watchers: usize, most: Option<u64>) -> Width {
    if watchers < WATCHERS {
        return Width::ONE;
    }
    let seats = watchers.div_ceil(WATCHERS) as u64;
    let last = seats.min(most.unwrap_or(MOST_FOR_A_CHANGE)).clamp(1, MOST_FOR_A_CHANGE);
    Width { initial: 1, last, lingering: SeatTime::of(seats, EVENT).per(last) }
}
