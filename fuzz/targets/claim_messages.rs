//! First contact: what a stranger sends before anything is known about him, and what is typed as a code.

#![no_main]

use claim::{Claimant, Code, EXCHANGE, Side, answer};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let code = Code::from_random([7; 8]);
    let (message, proof) = data.split_at(data.len().min(EXCHANGE));
    if let Ok((session, ours)) = answer(&code, [1; 32], message) {
        assert_eq!(ours.len(), EXCHANGE);
        assert!(session.check(Side::Claimant, &[], proof).is_err(), "nobody knew the code");
    }
    let (claimant, _) = Claimant::begin(&code, [1; 32]);
    if let Ok(session) = claimant.finish(message) {
        assert!(session.check(Side::Machine, &[], proof).is_err(), "no machine knew the code");
    }
    if let Some(code) = std::str::from_utf8(data).ok().and_then(|text| text.parse::<Code>().ok()) {
        assert_eq!(code.to_string().parse(), Ok(code));
    }
});
