//! Ranges over keys with many old versions, which are walked through or looked up.

use super::*;
use crate::Overlay;
use crate::apply::apply;
use crate::memory::Memory;
use proto::etcdserverpb::{DeleteRangeRequest, PutRequest};
use proto::store::Command;
use proto::store::command::Op;

const KEYS: usize = 150;
const VERSIONS: usize = 6;

fn key(number: usize) -> String {
    format!("k/{number:03}\0")
}

fn apply_one(memory: &mut Memory, state: &mut State, op: Op) {
    let mut overlay = Overlay::new(&*memory);
    apply(&mut overlay, state, &Command { op: Some(op), ..Command::default() }).unwrap();
    let (key, value) = state.record();
    overlay.put(Space::Meta, key, value);
    let writes = overlay.into_writes();
    memory.absorb(writes);
}

/// Every key six times with so large a value; every tenth is deleted at the end.
fn filled(value: usize) -> (Memory, State) {
    let (mut memory, mut state) = (Memory::default(), State::EMPTY);
    for version in 0..VERSIONS {
        for number in 0..KEYS {
            let value = vec![(version + number) as u8; value].into();
            let put = PutRequest { key: key(number).into(), value, ..PutRequest::default() };
            apply_one(&mut memory, &mut state, Op::Put(put));
        }
    }
    for number in (0..KEYS).step_by(10) {
        let delete = DeleteRangeRequest { key: key(number).into(), ..DeleteRangeRequest::default() };
        apply_one(&mut memory, &mut state, Op::DeleteRange(delete));
    }
    (memory, state)
}

fn keys_of(memory: &Memory, at: At, limit: usize) -> Vec<(Bytes, u8)> {
    let all = KeyRange::new(Bytes::from_static(b"k/"), &Bytes::from_static(b"k0"));
    let page = page(memory, at, &all, limit, usize::MAX, false).unwrap();
    page.pairs.into_iter().map(|pair| decode_pair(pair).unwrap()).map(|pair| (pair.key, pair.value[0])).collect()
}

#[test]
fn what_is_in_the_way_does_not_change_what_is_found() {
    for value in [1, 300, 5000] {
        let (memory, state) = filled(value);
        let lives = (0..KEYS).filter(|number| number % 10 != 0);
        let wanted: Vec<_> = lives.map(|number| (Bytes::from(key(number)), (VERSIONS - 1 + number) as u8)).collect();
        assert_eq!(keys_of(&memory, At::newest(&state), usize::MAX), wanted, "values of {value} bytes");
        for limit in [1, 63, 64, 65, 100, 135, 136] {
            assert_eq!(keys_of(&memory, At::newest(&state), limit), wanted[..limit.min(wanted.len())], "{limit}");
        }
        // As it was when every key had been written twice: nothing was deleted then.
        let then = At::requested(2 * KEYS as i64 + 1, &state).unwrap();
        let wanted: Vec<_> = (0..KEYS).map(|number| (Bytes::from(key(number)), (1 + number) as u8)).collect();
        assert_eq!(keys_of(&memory, then, usize::MAX), wanted, "values of {value} bytes");
    }
}

#[test]
fn large_old_versions_are_not_walked_through() {
    let (memory, state) = filled(5000);
    let all = KeyRange::new(Bytes::from_static(b"k/"), &Bytes::from_static(b"k0"));
    let walked = walk(&memory, &all, At::newest(&state), |_| Ok(true)).unwrap();
    assert!(matches!(walked, Walked::UpTo(rest) if rest.start < key(KEYS / 2).as_bytes()));
    let (memory, state) = filled(1);
    let walked = walk(&memory, &all, At::newest(&state), |_| Ok(true)).unwrap();
    assert!(matches!(walked, Walked::Through));
}
