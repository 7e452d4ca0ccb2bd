//! Alarms and the quota: what writes are refused for.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use proto::etcdserverpb::request_op::Request;
use proto::etcdserverpb::{AlarmType, RequestOp, TxnRequest};
use store_core::{Fault, Refusal, View, record};

/// What a put takes besides its key and value.
const PUT_OVERHEAD: u64 = 256;
/// What a lease takes.
pub const LEASE_COST: u64 = 64;

/// Which alarms are raised, and how full the store is.
#[derive(Debug, Default)]
pub struct Alarms {
    no_space: AtomicBool,
    corrupt: AtomicBool,
    used: AtomicU64,
}

impl Alarms {
    /// Reads which alarms are raised.
    pub fn load(&self, view: &dyn View) -> Result<(), Fault> {
        let raised = record::alarms(view)?;
        let has = |alarm: AlarmType| raised.iter().any(|(_, one)| *one == alarm as i32);
        self.no_space.store(has(AlarmType::Nospace), Ordering::Release);
        self.corrupt.store(has(AlarmType::Corrupt), Ordering::Release);
        Ok(())
    }

    /// Notes how many bytes are in use.
    pub fn measured(&self, used: u64) {
        self.used.store(used, Ordering::Relaxed);
    }

    /// Whether NOSPACE is raised.
    pub fn no_space(&self) -> bool {
        self.no_space.load(Ordering::Acquire)
    }

    /// Whether CORRUPT is raised.
    pub fn corrupt(&self) -> bool {
        self.corrupt.load(Ordering::Acquire)
    }

    /// Refuses everything about keys while the data cannot be trusted.
    pub fn check_corrupt(&self) -> Result<(), Refusal> {
        if self.corrupt() { Err(Refusal::Corrupt) } else { Ok(()) }
    }

    /// Refuses a write of `cost` bytes when there is no space; `Ok(false)` when it does not fit and the alarm must be raised.
    pub fn check_space(&self, cost: u64, quota: Option<u64>) -> Result<bool, Refusal> {
        self.check_corrupt()?;
        if cost == 0 {
            return Ok(true);
        }
        if self.no_space() {
            return Err(Refusal::NoSpace);
        }
        Ok(quota.is_none_or(|quota| self.used.load(Ordering::Relaxed).saturating_add(cost) <= quota))
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
        let alarms = Alarms::default();
        alarms.measured(1000);
        assert_eq!(alarms.check_space(10, Some(1010)), Ok(true));
        assert_eq!(alarms.check_space(11, Some(1010)), Ok(false));
        assert_eq!(alarms.check_space(11, None), Ok(true));
        alarms.no_space.store(true, Ordering::Release);
        assert_eq!(alarms.check_space(0, Some(1)), Ok(true));
        assert_eq!(alarms.check_space(1, None), Err(Refusal::NoSpace));
        alarms.corrupt.store(true, Ordering::Release);
        assert_eq!(alarms.check_space(0, None), Err(Refusal::Corrupt));
    }
}
