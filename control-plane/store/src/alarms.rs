//! Alarms, the quota and the room on the disk: what writes are refused for.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use proto::etcdserverpb::request_op::Request;
use proto::etcdserverpb::{AlarmType, RequestOp, TxnRequest};
use store_core::{Fault, Refusal, View, record};

/// What a put takes besides its key and value.
const PUT_OVERHEAD: u64 = 256;
/// An alarm for want of space ends when so much may be written to the disk at least: several of the largest requests.
const CLEAR_ROOM: u64 = 16 << 20;
/// What a lease takes.
pub const LEASE_COST: u64 = 64;

/// An alarm for want of space ends when so much of the quota is used at most: the next few writes must not raise it again.
const LOW_WATER_PERCENT: u64 = 90;

/// Which alarms are raised, and how full the store and its disk are.
#[derive(Debug)]
pub struct Alarms {
    member: u64,
    no_space: AtomicBool,
    own_no_space: AtomicBool,
    /// Members whose state is not to be trusted; 0 is everybody's.
    corrupt: Mutex<BTreeSet<u64>>,
    used: AtomicU64,
    /// Bytes that may still be written to the disk.
    room: AtomicU64,
}

impl Alarms {
    /// The alarms as this member sees them. Nothing is measured yet, so nothing is refused.
    pub fn new(member: u64) -> Self {
        Self {
            member,
            no_space: AtomicBool::default(),
            own_no_space: AtomicBool::default(),
            corrupt: Mutex::default(),
            used: AtomicU64::default(),
            room: AtomicU64::new(u64::MAX),
        }
    }

    /// Reads which alarms are raised.
    pub fn load(&self, view: &dyn View) -> Result<(), Fault> {
        let raised = record::alarms(view)?;
        let has = |alarm: AlarmType| raised.iter().any(|(_, one)| *one == alarm as i32);
        self.no_space.store(has(AlarmType::Nospace), Ordering::Release);
        self.own_no_space.store(raised.contains(&(self.member, AlarmType::Nospace as i32)), Ordering::Release);
        let corrupt = raised.iter().filter(|(_, alarm)| *alarm == AlarmType::Corrupt as i32);
        *self.corrupt_members() = corrupt.map(|(member, _)| *member).collect();
        Ok(())
    }

    /// Notes how many bytes are in use, and how many may still be written to the disk.
    pub fn measured(&self, used: u64, room: u64) {
        self.used.store(used, Ordering::Relaxed);
        self.room.store(room, Ordering::Relaxed);
    }

    /// Whether this member has raised NOSPACE.
    pub fn own_no_space(&self) -> bool {
        self.own_no_space.load(Ordering::Acquire)
    }

    /// Whether this member's alarm for want of space is raised and its cause is gone: deletions and compaction, or an
    /// operator who made room on the disk, have brought it well below the quota.
    pub fn has_space_again(&self, quota: Option<u64>) -> bool {
        self.own_no_space()
            && self.room.load(Ordering::Relaxed) >= CLEAR_ROOM
            && quota.is_none_or(|quota| self.used.load(Ordering::Relaxed) <= quota / 100 * LOW_WATER_PERCENT)
    }

    /// Whether NOSPACE is raised.
    pub fn no_space(&self) -> bool {
        self.no_space.load(Ordering::Acquire)
    }

    fn corrupt_members(&self) -> MutexGuard<'_, BTreeSet<u64>> {
        self.corrupt.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether CORRUPT is raised for a member.
    pub fn is_corrupt(&self, member: u64) -> bool {
        self.corrupt_members().contains(&member)
    }

    /// Whether CORRUPT is raised for this member, or for nobody in particular.
    pub fn own_corrupt(&self) -> bool {
        self.is_corrupt(self.member) || self.is_corrupt(0)
    }

    /// Refuses everything about keys while the data cannot be trusted.
    pub fn check_corrupt(&self) -> Result<(), Refusal> {
        if self.own_corrupt() { Err(Refusal::Corrupt) } else { Ok(()) }
    }

    /// Refuses a write of `cost` bytes when there is no space; `Ok(false)` when it does not fit into the quota or onto the
    /// disk and the alarm must be raised.
    pub fn check_space(&self, cost: u64, quota: Option<u64>) -> Result<bool, Refusal> {
        self.check_corrupt()?;
        if cost == 0 {
            return Ok(true);
        }
        if self.no_space() {
            return Err(Refusal::NoSpace);
        }
        let fits = cost <= self.room.load(Ordering::Relaxed);
        Ok(fits && quota.is_none_or(|quota| self.used.load(Ordering::Relaxed).saturating_add(cost) <= quota))
    }
}

/// The cost of a put.
pub fn put_cost(key: usize, value: usize) -> u64 {
    PUT_OVERHEAD + key as u64 + value as u64
}

/// The cost of a transaction: its dearer branch.
pub fn txn_cost(request: &TxnRequest) -> u64 {
    branch_cost(&request.success).max(branch_cost(&request.failure))
}

fn branch_cost(ops: &[RequestOp]) -> u64 {
    ops.iter()
        .map(|op| match &op.request {
            Some(Request::RequestPut(request)) => put_cost(request.key.len(), request.value.len()),
            Some(Request::RequestTxn(request)) => txn_cost(request),
            Some(Request::RequestRange(_) | Request::RequestDeleteRange(_)) | None => 0,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::etcdserverpb::PutRequest;

    #[test]
    fn a_transaction_costs_as_much_as_its_dearer_branch() {
        let put = |value: &'static str| RequestOp {
            request: Some(Request::RequestPut(PutRequest {
                key: "k".into(),
                value: value.into(),
                ..PutRequest::default()
            })),
        };
        let nested = TxnRequest { compare: vec![], success: vec![put("12345")], failure: vec![] };
        let request = TxnRequest {
            compare: vec![],
            success: vec![put("1")],
            failure: vec![put("1"), RequestOp { request: Some(Request::RequestTxn(nested)) }],
        };
        assert_eq!(txn_cost(&request), 258 + 262);
    }

    #[test]
    fn space_is_refused_only_to_those_who_take_some() {
        let alarms = Alarms::new(1);
        alarms.measured(1000, u64::MAX);
        assert_eq!(alarms.check_space(10, Some(1010)), Ok(true));
        assert_eq!(alarms.check_space(11, Some(1010)), Ok(false));
        assert_eq!(alarms.check_space(11, None), Ok(true));
        alarms.measured(0, 10);
        assert_eq!(alarms.check_space(10, None), Ok(true));
        assert_eq!(alarms.check_space(11, None), Ok(false));
        alarms.no_space.store(true, Ordering::Release);
        assert_eq!(alarms.check_space(0, Some(1)), Ok(true));
        assert_eq!(alarms.check_space(1, None), Err(Refusal::NoSpace));
        alarms.corrupt_members().insert(1);
        assert_eq!(alarms.check_space(0, None), Err(Refusal::Corrupt));
    }

    #[test]
    fn an_alarm_ends_well_below_what_raised_it() {
        let alarms = Alarms::new(1);
        alarms.measured(0, u64::MAX);
        assert!(!alarms.has_space_again(Some(1000)), "there is no alarm");
        alarms.own_no_space.store(true, Ordering::Release);
        assert!(alarms.has_space_again(Some(1000)));
        alarms.measured(901, u64::MAX);
        assert!(!alarms.has_space_again(Some(1000)));
        assert!(alarms.has_space_again(None));
        alarms.measured(900, CLEAR_ROOM - 1);
        assert!(!alarms.has_space_again(Some(1000)));
    }
}
