//! The records of etcd's buckets, as a restore takes them over: what it accepts is a state that holds together.

#![no_main]

use fuzz::{Memory, pieces};
use libfuzzer_sys::fuzz_target;
use store_core::{Overlay, auth, foreign, scrub};

fuzz_target!(|data: &[u8]| {
    let Some((kind, data)) = data.split_first() else { return };
    let mut memory = Memory::default();
    let mut standing = auth::Standing::FIRST;
    let mut last = None;
    for pair in pieces(data).chunks_exact(2) {
        let mut overlay = Overlay::new(&memory);
        let (key, value) = (&pair[0], &pair[1]);
        let taken = match kind % 8 {
            0..3 => foreign::take_change(&mut overlay, key, value).is_ok_and(|place| {
                // Its reader says that they come in order.
                last.is_none_or(|last| last < place) && last.replace(place) < Some(place)
            }),
            3 => foreign::take_lease(&mut overlay, key, value).is_ok(),
            4 => foreign::take_user(&mut overlay, key, value).is_ok(),
            5 => foreign::take_role(&mut overlay, key, value).is_ok(),
            6 => foreign::take_auth(&mut standing, key, value).is_ok(),
            _ => foreign::read_alarm(key).is_ok() | foreign::read_compacted(value).is_ok(),
        };
        if !taken {
            continue;
        }
        let writes = overlay.into_writes();
        memory.absorb(writes);
    }
    if let Err(damage) = scrub::sum(&memory, &mut |_| true) {
        panic!("what was taken over does not hold together: {damage}");
    }
});
