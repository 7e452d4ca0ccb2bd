//! Configurations of encryption at rest: what is taken can be written and read with.

#![no_main]

use std::time::Duration;

use encryption::{Configuration, Encryption};
use libfuzzer_sys::fuzz_target;

const PLAIN: &[u8] = b"{}";

fuzz_target!(|text: &str| {
    let Ok(configuration) = Configuration::read(text) else { return };
    let Ok(encryption) = Encryption::new(configuration) else { return };
    let transformer = encryption.of_resource("", "secrets");
    // A key service that never answered is the one reason not to write.
    if let Ok(stored) = transformer.seal(PLAIN, b"key", &mut |bytes| bytes.fill(1), Duration::ZERO) {
        assert_eq!(transformer.open(&stored, b"key").expect("it was just written").plain, PLAIN);
    }
});
