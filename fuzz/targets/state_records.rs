//! Records of the state, as they are found on the disk or come in a member's snapshot.

#![no_main]

use bytes::Bytes;
use fuzz::{Memory, pieces};
use libfuzzer_sys::fuzz_target;
use store_core::hash::{hash_all, hash_kv};
use store_core::overlay::Write;
use store_core::record::State;
use store_core::{Revision, Space, compaction, scrub};

fuzz_target!(|data: &[u8]| {
    let mut memory = Memory::default();
    for pair in pieces(data).chunks_exact(2) {
        let Some((space, key)) = pair[0].split_first() else { continue };
        let space = Space::ALL[usize::from(*space) % Space::ALL.len()];
        let (key, value) = (Bytes::copy_from_slice(key), Some(pair[1].clone()));
        memory.absorb(vec![Write { space, key, value }]);
    }
    drop(scrub::sum(&memory, &mut |_| true));
    let state = State::load(&memory).unwrap_or(State::EMPTY);
    drop(hash_kv(&memory, &state, 0));
    drop(hash_all(&memory, &state));
    drop(compaction::step(&memory, Revision(1000), 10));
});
