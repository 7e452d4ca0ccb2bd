//! Records of the log: from the disk, and entries also from other members.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use store::raft::codec;

fuzz_target!(|data: &[u8]| {
    drop(codec::decode_log_id(data));
    drop(codec::decode_vote(data));
    drop(codec::decode_stored_membership(data));
    drop(codec::decode_any_entry(&Bytes::copy_from_slice(data)));
    // Past the checksum.
    let checked = [&crc32c::crc32c(data).to_be_bytes()[..], data].concat();
    if let Ok(entry) = codec::decode_any_entry(&checked.into()) {
        let again = codec::decode_any_entry(&codec::encode_entry(&entry)).expect("what was decoded can be encoded");
        assert_eq!(again, entry);
    }
});
