//! Flags, with their URLs, durations and lists.

#![no_main]

use clap::Parser;
use libfuzzer_sys::fuzz_target;
use store::config::Config;
use store::flags::Flags;

fuzz_target!(|text: &str| {
    let args = std::iter::once("store").chain(text.split('\n'));
    if let Ok(flags) = Flags::try_parse_from(args) {
        drop(Config::check(flags));
    }
});
