//! Reads: the keys of a range at a revision.

use std::cmp::Ordering;

use bytes::Bytes;
use prost::Message;
use proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use proto::etcdserverpb::{RangeRequest, ResponseHeader};
use proto::mvccpb::KeyValue;
use proto::raw;

use crate::encoding::{behind_group, cur_bounds, group_key, kv_bounds, kv_key, push_inverted, split_kv};
use crate::interval::End;
use crate::record::{Current, State, Version, decode_pair, pair_of};
use crate::{Failure, Fault, KeyRange, Refusal, Revision, Space, View, check};

/// What is passed step by step of versions that are not wanted before a seek jumps over the rest of them: a seek costs as much.
const PATIENCE: usize = 4096;
/// What a step costs, in bytes that are read, besides the bytes of the version it steps to.
const STEP: usize = 512;
/// By how much what is passed may outweigh what is found before the keys are looked up instead.
const SLACK: usize = 64 << 10;
/// Keys that are looked up together.
const TOGETHER: usize = 64;

/// A moment reads are made at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct At {
    revision: Revision,
    /// Whether it is the newest revision the view holds, so that `cur` may answer.
    newest: bool,
}

impl At {
    /// The newest revision of the view.
    #[must_use]
    pub const fn newest(state: &State) -> Self {
        Self { revision: state.revision, newest: true }
    }

    /// The revision a request asks for: 0 or less is the newest.
    ///
    /// Refuses what was compacted and what has not happened. Both are judged by what went through the log, never by what
    /// is physically there, so that every member gives the same answer.
    pub fn requested(revision: i64, state: &State) -> Result<Self, Refusal> {
        let revision = Revision(revision);
        if revision.0 <= 0 {
            return Ok(Self::newest(state));
        }
        if revision > state.revision {
            return Err(Refusal::FutureRevision);
        }
        if revision < state.compacted {
            return Err(Refusal::Compacted);
        }
        Ok(Self { revision, newest: revision == state.revision })
    }

    /// The revision.
    #[must_use]
    pub const fn revision(self) -> Revision {
        self.revision
    }
}

/// Answers a range from a view that stands at `state`. The header has only the revision.
pub fn range(view: &dyn View, state: &State, request: &RangeRequest) -> Result<raw::RangeResponse, Failure> {
    let at = At::requested(request.revision, state)?;
    let mut answer = range_at(view, at, request)?;
    answer.header = Some(ResponseHeader { revision: state.revision.0, ..ResponseHeader::default() });
    Ok(answer)
}

/// Answers a range at a moment; the header is left out.
pub fn range_at(view: &dyn View, at: At, request: &RangeRequest) -> Result<raw::RangeResponse, Fault> {
    let keys = KeyRange::new(request.key.clone(), &request.range_end);
    if request.count_only {
        return Ok(raw::RangeResponse { count: count(view, at, &keys)?, ..raw::RangeResponse::default() });
    }
    if !is_in_key_order(request) {
        return sorted_or_filtered(view, at, &keys, request);
    }
    let page = page(view, at, &keys, limit(request), usize::MAX, request.keys_only)?;
    let rest = match &page.next {
        Some(next) => count(view, at, next)?,
        None => 0,
    };
    Ok(raw::RangeResponse { header: None, count: page.pairs.len() as i64 + rest, more: rest > 0, kvs: page.pairs })
}

/// Whether the answer is pairs as they lie, in key order, so that it can be made [`page`] by page.
#[must_use]
pub fn is_in_key_order(request: &RangeRequest) -> bool {
    // Upwards is how keys lie: that is no sorting.
    let sorted = request.sort_order() == SortOrder::Descend || request.sort_target() != SortTarget::Key;
    !request.count_only && !sorted && !check::filtered(request)
}

/// How many pairs are asked for at most: 0 or less is all.
#[must_use]
pub fn limit(request: &RangeRequest) -> usize {
    usize::try_from(request.limit).ok().filter(|limit| *limit > 0).unwrap_or(usize::MAX)
}

/// A part of a range, in key order.
#[derive(Debug)]
pub struct Page {
    /// The encoded pairs.
    pub pairs: Vec<Bytes>,
    /// What of the range lies behind the last pair; `None` when the range is exhausted.
    pub next: Option<KeyRange>,
}

/// Reads at most `limit` pairs, stopping early once they are `max_bytes` together.
pub fn page(
    view: &dyn View,
    at: At,
    keys: &KeyRange,
    limit: usize,
    max_bytes: usize,
    keys_only: bool,
) -> Result<Page, Fault> {
    let mut pairs = Vec::new();
    let mut bytes = 0;
    // Takes a pair; whether there is room for another one.
    let mut take = |pair: Bytes| {
        bytes += pair.len();
        pairs.push(pair);
        pairs.len() < limit && bytes < max_bytes
    };
    if keys_only && at.newest {
        each_current(view, keys, |key, value| {
            let key = Bytes::copy_from_slice(key);
            let pair = Current::decode(Bytes::copy_from_slice(value))?.pair_without_value(key);
            Ok(take(pair.encode_to_vec().into()))
        })?;
    } else {
        each_pair(view, keys, at, |pair| {
            Ok(take(if keys_only { without_value(decode_pair(pair.share())?) } else { pair.share() }))
        })?;
    }
    let full = pairs.len() >= limit || bytes >= max_bytes;
    let next = match pairs.last().filter(|_| full && !matches!(keys.end, End::Single)) {
        Some(last) => {
            let mut start = decode_pair(last.clone())?.key.to_vec();
            start.push(0);
            Some(KeyRange { start: start.into(), end: keys.end.clone() })
        }
        None => None,
    };
    Ok(Page { pairs, next })
}

fn without_value(pair: KeyValue) -> Bytes {
    KeyValue { value: Bytes::new(), ..pair }.encode_to_vec().into()
}

/// How many keys of the range exist at a moment.
pub fn count(view: &dyn View, at: At, keys: &KeyRange) -> Result<i64, Fault> {
    let mut count = 0;
    let kept = view.visit_live(at.revision, keys, &mut |_| {
        count += 1;
        true
    });
    if kept {
        return Ok(count);
    }
    if at.newest {
        each_current(view, keys, |_, _| {
            count += 1;
            Ok(true)
        })?;
    } else {
        each_pair(view, keys, at, |_| {
            count += 1;
            Ok(true)
        })?;
    }
    Ok(count)
}

/// The encoded pair of the live version of a key.
pub fn live(view: &dyn View, key: &[u8], current: &Current) -> Result<Bytes, Fault> {
    live_pair(view.get(Space::Kv, &kv_key(key, current.place.revision))?)
}

/// The encoded pair of a version that must be there and alive.
fn live_pair(version: Option<Bytes>) -> Result<Bytes, Fault> {
    let value = version.ok_or(Fault::Corrupt("a live key without its version"))?;
    match Version::decode(&value)?.pair {
        Some(_) => Ok(pair_of(&value)),
        None => Err(Fault::Corrupt("a live key whose version is a deletion")),
    }
}

/// Visits the live keys of a range in `cur` until `visit` says no.
pub fn each_current(
    view: &dyn View,
    keys: &KeyRange,
    mut visit: impl FnMut(&[u8], &[u8]) -> Result<bool, Fault>,
) -> Result<(), Fault> {
    if matches!(keys.end, End::Single) {
        if let Some(value) = view.get(Space::Cur, &keys.start)? {
            visit(&keys.start, &value)?;
        }
        return Ok(());
    }
    if keys.is_empty() {
        return Ok(());
    }
    let (lower, upper) = cur_bounds(keys);
    let mut cursor = view.cursor(Space::Cur, &lower, upper.as_deref())?;
    while let Some((key, value)) = cursor.entry() {
        if !visit(key, value)? {
            break;
        }
        cursor.next()?;
    }
    Ok(())
}

/// An encoded pair that is visited.
#[derive(Debug, Clone, Copy)]
pub enum Found<'a> {
    /// It is held in memory and can be shared.
    Held(&'a Bytes),
    /// It is gone with the next step.
    Passing(&'a [u8]),
}

impl Found<'_> {
    /// The pair for longer than the visit.
    #[must_use]
    pub fn share(self) -> Bytes {
        match self {
            Self::Held(pair) => pair.clone(),
            Self::Passing(pair) => Bytes::copy_from_slice(pair),
        }
    }
}

/// Visits the pairs of a range as they were at a moment, in key order, until `visit` says no.
pub fn each_pair(
    view: &dyn View,
    keys: &KeyRange,
    at: At,
    mut visit: impl FnMut(Found<'_>) -> Result<bool, Fault>,
) -> Result<(), Fault> {
    let mut outcome = Ok(true);
    let held = view.visit_live(at.revision, keys, &mut |pair| {
        outcome = visit(Found::Held(pair));
        matches!(outcome, Ok(true))
    });
    if held {
        return outcome.map(drop);
    }
    if at.newest && matches!(keys.end, End::Single) {
        if let Some(current) = Current::load(view, &keys.start)? {
            visit(Found::Held(&live(view, &keys.start, &current)?))?;
        }
        return Ok(());
    }
    match walk(view, keys, at, |pair| visit(Found::Passing(pair)))? {
        Walked::Through => Ok(()),
        Walked::UpTo(rest) => look_up(view, &rest, |pair| visit(Found::Held(pair))),
    }
}

/// How far a walk went.
enum Walked {
    Through,
    /// There are so many old versions in the way that the rest is better looked up.
    UpTo(KeyRange),
}

/// The same, through the versions of all keys.
fn walk(
    view: &dyn View,
    keys: &KeyRange,
    at: At,
    mut visit: impl FnMut(&[u8]) -> Result<bool, Fault>,
) -> Result<Walked, Fault> {
    if keys.is_empty() {
        return Ok(Walked::Through);
    }
    let revision = at.revision;
    let (lower, upper) = kv_bounds(keys);
    let mut cursor = view.cursor(Space::Kv, &lower, upper.as_deref())?;
    let mut group = Vec::new();
    let mut target = Vec::new();
    let (mut found, mut in_the_way) = (0, 0);
    'keys: while let Some((key, value)) = cursor.entry() {
        let (prefix, main) = split_kv(key)?;
        group.clear();
        group.extend_from_slice(prefix);
        let mut passed = 0;
        if main <= revision {
            found += STEP + value.len();
            if let Some(pair) = Version::decode(value)?.pair
                && !visit(pair)?
            {
                return Ok(Walked::Through);
            }
            // The newest version at or below the revision is found (or the key was deleted): on to the next key.
            while passed < PATIENCE {
                cursor.next()?;
                match cursor.entry() {
                    Some((key, version)) if key.starts_with(&group) => passed += STEP + version.len(),
                    _ => {
                        in_the_way += passed;
                        continue 'keys;
                    }
                }
            }
            in_the_way += passed + PATIENCE;
            if at.newest && in_the_way > found + SLACK {
                let mut start = group_key(&group);
                start.push(0);
                return Ok(Walked::UpTo(KeyRange { start: start.into(), end: keys.end.clone() }));
            }
            cursor.seek(&behind_group(&group))?;
        } else {
            while passed < PATIENCE {
                cursor.next()?;
                let Some((key, version)) = cursor.entry() else { return Ok(Walked::Through) };
                if !key.starts_with(&group) || split_kv(key)?.1 <= revision {
                    continue 'keys;
                }
                passed += STEP + version.len();
            }
            target.clear();
            target.extend_from_slice(&group);
            push_inverted(&mut target, revision);
            cursor.seek(&target)?;
        }
    }
    Ok(Walked::Through)
}

/// The same for the newest revision: from the live keys to the one version of each.
fn look_up(
    view: &dyn View,
    keys: &KeyRange,
    mut visit: impl FnMut(&Bytes) -> Result<bool, Fault>,
) -> Result<(), Fault> {
    let mut wanted = Vec::with_capacity(TOGETHER);
    let mut goes_on = true;
    let mut fetch = |wanted: &mut Vec<Vec<u8>>| {
        for value in view.get_many(Space::Kv, wanted)? {
            goes_on = goes_on && visit(&live_pair(value)?)?;
        }
        wanted.clear();
        Ok::<_, Fault>(goes_on)
    };
    each_current(view, keys, |key, value| {
        let current = Current::decode(Bytes::copy_from_slice(value))?;
        wanted.push(kv_key(key, current.place.revision));
        if wanted.len() < TOGETHER { Ok(true) } else { fetch(&mut wanted) }
    })?;
    fetch(&mut wanted).map(drop)
}

/// The long way: everything is read, filtered, sorted and then cut.
fn sorted_or_filtered(
    view: &dyn View,
    at: At,
    keys: &KeyRange,
    request: &RangeRequest,
) -> Result<raw::RangeResponse, Fault> {
    let mut found = Vec::new();
    let mut count = 0;
    each_pair(view, keys, at, |pair| {
        count += 1;
        let pair = pair.share();
        let decoded = decode_pair(pair.clone())?;
        if passes(&decoded, request) {
            found.push((pair, decoded));
        }
        Ok(true)
    })?;
    let order = match (request.sort_order(), request.sort_target()) {
        (SortOrder::None | SortOrder::Ascend, SortTarget::Key) => None,
        (SortOrder::None | SortOrder::Ascend, target) => Some((false, target)),
        (SortOrder::Descend, target) => Some((true, target)),
    };
    if let Some((descending, target)) = order {
        found.sort_by(|(_, a), (_, b)| {
            let order = by_target(a, b, target);
            if descending { order.reverse() } else { order }
        });
    }
    let limit = limit(request);
    let more = found.len() > limit;
    found.truncate(limit);
    let kvs = found
        .into_iter()
        .map(|(pair, decoded)| if request.keys_only { without_value(decoded) } else { pair })
        .collect();
    Ok(raw::RangeResponse { header: None, kvs, more, count })
}

fn passes(pair: &KeyValue, request: &RangeRequest) -> bool {
    let below = |bound: i64, revision: i64| bound != 0 && revision > bound;
    let above = |bound: i64, revision: i64| bound != 0 && revision < bound;
    !(below(request.max_mod_revision, pair.mod_revision)
        || above(request.min_mod_revision, pair.mod_revision)
        || below(request.max_create_revision, pair.create_revision)
        || above(request.min_create_revision, pair.create_revision))
}

fn by_target(a: &KeyValue, b: &KeyValue, target: SortTarget) -> Ordering {
    match target {
        SortTarget::Key => a.key.cmp(&b.key),
        SortTarget::Version => a.version.cmp(&b.version),
        SortTarget::Create => a.create_revision.cmp(&b.create_revision),
        SortTarget::Mod => a.mod_revision.cmp(&b.mod_revision),
        SortTarget::Value => a.value.cmp(&b.value),
    }
}

#[cfg(test)]
mod tests;
