//! What is written comes back, and nothing that is read does harm.

use std::collections::BTreeMap;
use std::io::{Cursor, Read, Seek};

use bolt::{MAX_KEY, ReadError, Reader, WriteError, Writer};
use proptest::prelude::*;

type Contents = BTreeMap<Vec<u8>, BTreeMap<Vec<u8>, Vec<u8>>>;

fn write(contents: &Contents) -> Vec<u8> {
    let mut writer = Writer::new(Cursor::new(Vec::new())).unwrap();
    // The order of buckets does not matter.
    for (name, entries) in contents.iter().rev() {
        writer.bucket(name).unwrap();
        for (key, value) in entries {
            writer.put(key, value).unwrap();
        }
    }
    let (out, size) = writer.finish().unwrap();
    let bytes = out.into_inner();
    assert_eq!(bytes.len() as u64, size);
    assert_eq!(size % 4096, 0);
    bytes
}

fn read(source: impl Read + Seek) -> Result<Contents, ReadError> {
    let mut reader = Reader::open(source)?;
    let mut contents = Contents::new();
    for bucket in reader.buckets()? {
        let mut entries = BTreeMap::new();
        let mut walk = reader.walk(&bucket)?;
        while let Some((key, value)) = walk.entry()? {
            entries.insert(key.to_vec(), value.to_vec());
        }
        contents.insert(bucket.name, entries);
    }
    Ok(contents)
}

fn contents() -> impl Strategy<Value = Contents> {
    let key = prop::collection::vec(any::<u8>(), 1..40);
    let value = prop_oneof![
        20 => prop::collection::vec(any::<u8>(), 0..60),
        1 => (any::<u8>(), 4000..20_000_usize).prop_map(|(byte, length)| vec![byte; length]),
    ];
    let entries = prop::collection::btree_map(key.clone(), value, 0..300);
    prop::collection::btree_map(key, entries, 0..5)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_comes_back(contents in contents()) {
        prop_assert_eq!(read(Cursor::new(write(&contents))).unwrap(), contents);
    }

    #[test]
    fn damage_is_survived(contents in contents(), damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20)) {
        let mut bytes = write(&contents);
        for (at, byte) in damage {
            // Most of a page is data: half of the damage goes to the headers of pages and elements.
            let at = at.index(bytes.len());
            let at = if byte % 2 == 0 { at } else { at / 4096 * 4096 + at % 64 };
            bytes[at] = byte;
        }
        drop(read(Cursor::new(bytes)));
    }

    #[test]
    fn noise_is_survived(bytes in prop::collection::vec(any::<u8>(), 0..20_000)) {
        prop_assert!(matches!(read(Cursor::new(bytes)), Err(ReadError::NotADatabase)));
    }

    #[test]
    fn a_file_cut_off_is_refused(contents in contents(), at in any::<prop::sample::Index>()) {
        let mut bytes = write(&contents);
        bytes.truncate(at.index(bytes.len()));
        prop_assert!(read(Cursor::new(bytes)).is_err());
    }
}

#[test]
fn trees_of_several_levels_come_back() {
    let long = |index: u32| {
        let mut key = index.to_be_bytes().to_vec();
        key.resize(MAX_KEY, b'x');
        key
    };
    let contents = Contents::from([
        (b"key".to_vec(), (0..40_000_u32).map(|index| (index.to_be_bytes().to_vec(), vec![7; 50])).collect()),
        (b"long".to_vec(), (0..40).map(|index| (long(index), vec![])).collect()),
        (b"empty".to_vec(), BTreeMap::new()),
    ]);
    let bytes = write(&contents);
    assert!(read(Cursor::new(&bytes)).unwrap() == contents);
    // What follows the last page is somebody else's.
    let mut longer = bytes;
    longer.extend_from_slice(&[9; 32]);
    assert!(read(Cursor::new(&longer)).unwrap() == contents);
    // One meta is enough.
    longer[..4096].fill(0);
    assert!(read(Cursor::new(&longer)).unwrap() == contents);
    longer[..8192].fill(0);
    assert!(matches!(read(Cursor::new(&longer)), Err(ReadError::NotADatabase)));
}

#[test]
fn a_tree_that_goes_in_circles_is_refused() {
    let entries = (0..10_000_u32).map(|index| (index.to_be_bytes().to_vec(), vec![7; 50])).collect();
    let bytes = write(&Contents::from([(b"key".to_vec(), entries)]));
    // The branch page that names the most children, its last child replaced by itself and by its first.
    let page = (3..bytes.len() / 4096).find(|page| bytes[page * 4096 + 8] == 1).unwrap();
    let count = usize::from(u16::from_le_bytes([bytes[page * 4096 + 10], bytes[page * 4096 + 11]]));
    let last = page * 4096 + 16 + (count - 1) * 16 + 8;
    let first = u64::from_le_bytes(*bytes[page * 4096 + 24..].first_chunk().unwrap());
    for child in [page as u64, first, 0, 2, u64::MAX] {
        let mut damaged = bytes.clone();
        damaged[last..last + 8].copy_from_slice(&child.to_le_bytes());
        assert!(matches!(read(Cursor::new(damaged)), Err(ReadError::Damaged { .. })), "{child}");
    }
}

#[test]
fn disorder_is_refused() {
    let mut writer = Writer::new(Cursor::new(Vec::new())).unwrap();
    assert!(matches!(writer.put(b"a", b""), Err(WriteError::NoBucket)));
    writer.bucket(b"one").unwrap();
    writer.put(b"b", b"").unwrap();
    assert!(matches!(writer.put(b"a", b""), Err(WriteError::Order)));
    assert!(matches!(writer.put(b"b", b""), Err(WriteError::Order)));
    assert!(matches!(writer.put(b"", b""), Err(WriteError::Key(0))));
    assert!(matches!(writer.put(&vec![0; MAX_KEY + 1], b""), Err(WriteError::Key(_))));
    assert!(matches!(writer.bucket(b"one"), Err(WriteError::Twice)));
}
