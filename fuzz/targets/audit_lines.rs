//! The audit log as it is found on a disk after a crash, or after somebody was at it.

#![no_main]

use ledger::{Verifier, read, recover};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let found = recover(data);
    assert!(found.keep <= data.len());
    assert_eq!(recover(&data[..found.keep]), found, "what is kept is found again");
    let mut verifier = Verifier::default();
    for line in data.split(|byte| *byte == b'\n') {
        if verifier.check(line).is_ok() {
            assert!(read(line).is_ok());
        }
    }
});
