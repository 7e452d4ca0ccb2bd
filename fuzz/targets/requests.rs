//! Requests of clients: checked at the door, and then applied to a state, which holds together afterwards.

#![no_main]

use fuzz::{Memory, pieces};
use libfuzzer_sys::fuzz_target;
use prost::Message;
use proto::store::Command;
use proto::store::command::Op;
use store_core::apply::apply;
use store_core::record::State;
use store_core::{Overlay, check, scrub};

fn is_let_in(op: &Op) -> bool {
    match op {
        Op::Put(request) => check::put(request).is_ok(),
        Op::DeleteRange(request) => check::delete_range(request).is_ok(),
        Op::Txn(request) => check::txn(request, 128).is_ok(),
        _ => true,
    }
}

fuzz_target!(|data: &[u8]| {
    let (mut memory, mut state) = (Memory::default(), State::EMPTY);
    for piece in pieces(data) {
        let Ok(command) = Command::decode(piece) else { continue };
        if !command.op.as_ref().is_some_and(is_let_in) {
            continue;
        }
        let mut overlay = Overlay::new(&memory);
        if apply(&mut overlay, &mut state, &command).is_err() {
            return;
        }
        let writes = overlay.into_writes();
        memory.absorb(writes);
    }
    if let Err(damage) = scrub::sum(&memory, &mut |_| true) {
        panic!("the state does not hold together: {damage}");
    }
});
