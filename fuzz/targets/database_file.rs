//! etcd's database file, as a restore reads it.

#![no_main]

use std::io::Cursor;

use bolt::Reader;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(mut reader) = Reader::open(Cursor::new(data)) else { return };
    let Ok(buckets) = reader.buckets() else { return };
    for bucket in buckets {
        let Ok(mut walk) = reader.walk(&bucket) else { continue };
        while let Ok(Some(_)) = walk.entry() {}
    }
});
