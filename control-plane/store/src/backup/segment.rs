//! A segment as bytes.
//!
//! ```text
//! "orlopseg"  length of the header (4)  header  records, compressed  SHA-256 of all before (32)
//! ```
//!
//! A record is its length as a variable-length number, and its message.

use std::io::{self, Read, Write};

use bytes::{Buf, Bytes};
use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use prost::Message;
use proto::store::{BackupRecord, BackupSegment, LogId};
use sha2::{Digest as _, Sha256};
use store_core::Revision;
use store_core::backup::name::{ChainName, SegmentName};
use store_core::backup::record::{Digest, Record};
use store_core::backup::{LogPlace, Moment};

const MAGIC: &[u8; 8] = b"orlopseg";
const CHECKSUM: usize = 32;
/// The most a segment may have, packed and unpacked: what a reader takes into memory. A writer stays far below it.
const MOST: u64 = 256 << 20;

/// A segment is not what it should be.
#[derive(Debug, thiserror::Error)]
pub enum SegmentError {
    /// It cannot be read.
    #[error("read the segment")]
    Read(#[from] io::Error),
    /// It is not what was written.
    #[error("the segment is damaged: {0}")]
    Damaged(&'static str),
    /// It is whole, but belongs somewhere else.
    #[error("the segment is another one than its name says: {0}")]
    Foreign(&'static str),
}

/// What a segment says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The cluster it comes from.
    pub cluster_id: u64,
    /// The chain it is part of.
    pub chain: ChainName,
    /// The digest in front of its first entry.
    pub previous: Digest,
    /// What its name says.
    pub name: SegmentName,
}

/// Packs records.
pub struct Packer {
    previous: Digest,
    digest: Digest,
    first: u64,
    last: Option<(LogPlace, Moment)>,
    records: DeflateEncoder<Vec<u8>>,
    bytes: usize,
}

impl Packer {
    /// Begins behind `previous`, with the entry `first`.
    #[must_use]
    pub fn new(previous: Digest, first: u64) -> Self {
        let records = DeflateEncoder::new(Vec::new(), Compression::fast());
        Self { previous, digest: previous, first, last: None, records, bytes: 0 }
    }

    /// Appends the next entry.
    pub fn push(&mut self, record: &Record) -> io::Result<()> {
        let message = record.message().encode_length_delimited_to_vec();
        self.records.write_all(&message)?;
        self.digest = self.digest.roll(record);
        self.last = Some((record.place, record.time));
        self.bytes += message.len();
        Ok(())
    }

    /// Bytes of all entries so far.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The segment and its name; `None` when there is nothing in it.
    pub fn finish(
        self,
        cluster_id: u64,
        chain: &ChainName,
        revision: Option<Revision>,
    ) -> io::Result<Option<(SegmentName, Bytes)>> {
        let Some((last, time)) = self.last else { return Ok(None) };
        let name = SegmentName { first: self.first, last, revision, time, digest: self.digest };
        let header = BackupSegment {
            cluster_id,
            chain: chain.to_string(),
            first: self.first,
            last: Some(LogId { term: last.term, index: last.index }),
            previous_digest: self.previous.to_bytes(),
            digest: self.digest.to_bytes(),
            revision: revision.map_or(0, |revision| revision.0),
            time: time.0,
        };
        let header = header.encode_to_vec();
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&(header.len() as u32).to_be_bytes());
        out.extend_from_slice(&header);
        out.extend_from_slice(&self.records.finish()?);
        let checksum = Sha256::digest(&out);
        out.extend_from_slice(&checksum);
        Ok(Some((name, out.into())))
    }
}

/// Reads a segment and checks that it is whole, is what its name says, and holds what its digest says.
pub fn unpack(
    source: &mut dyn Read,
    cluster_id: u64,
    chain: &ChainName,
    name: &SegmentName,
) -> Result<(Header, Vec<Record>), SegmentError> {
    let mut bytes = Vec::new();
    source.take(MOST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST {
        return Err(SegmentError::Damaged("it is larger than any segment"));
    }
    let Some(split) = bytes.len().checked_sub(CHECKSUM) else { return Err(SegmentError::Damaged("it is cut off")) };
    let (body, checksum) = bytes.split_at(split);
    if Sha256::digest(body)[..] != *checksum {
        return Err(SegmentError::Damaged("its checksum is another one"));
    }
    let wrong = || SegmentError::Damaged("its header makes no sense");
    let rest = body.strip_prefix(MAGIC).ok_or_else(wrong)?;
    let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(wrong)?;
    let (header, records) = rest.split_at_checked(u32::from_be_bytes(*length) as usize).ok_or_else(wrong)?;
    let header = read_header(header).ok_or_else(wrong)?;
    for (wrong, what) in [
        (header.cluster_id != cluster_id, "it is of another cluster"),
        (header.chain != *chain, "it is of another chain"),
        (header.name != *name, "it holds other entries"),
    ] {
        if wrong {
            return Err(SegmentError::Foreign(what));
        }
    }
    let records = read_records(records, &header)?;
    Ok((header, records))
}

fn read_header(bytes: &[u8]) -> Option<Header> {
    let message = BackupSegment::decode(bytes).ok()?;
    let last = message.last?;
    let name = SegmentName {
        first: message.first,
        last: LogPlace { index: last.index, term: last.term },
        revision: Some(Revision(message.revision)).filter(|revision| revision.0 != 0),
        time: Moment(message.time),
        digest: Digest::from_bytes(&message.digest)?,
    };
    let previous = Digest::from_bytes(&message.previous_digest)?;
    Some(Header { cluster_id: message.cluster_id, chain: ChainName::parse(&message.chain)?, previous, name })
}

fn read_records(packed: &[u8], header: &Header) -> Result<Vec<Record>, SegmentError> {
    let wrong = || SegmentError::Damaged("its entries make no sense");
    let mut bytes = Vec::new();
    DeflateDecoder::new(packed).take(MOST + 1).read_to_end(&mut bytes).map_err(|_| wrong())?;
    if bytes.len() as u64 > MOST {
        return Err(wrong());
    }
    let mut bytes = Bytes::from(bytes);
    let mut records = Vec::new();
    let mut digest = header.previous;
    let mut index = header.name.first;
    while bytes.has_remaining() {
        let message = BackupRecord::decode_length_delimited(&mut bytes).map_err(|_| wrong())?;
        let record = Record::of(message, index);
        digest = digest.roll(&record);
        index += 1;
        records.push(record);
    }
    let last = records.last().map(|record: &Record| (record.place, record.time));
    if last != Some((header.name.last, header.name.time)) || digest != header.name.digest {
        return Err(SegmentError::Damaged("its entries are others than its header says"));
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(chain: &ChainName) -> (SegmentName, Bytes, Vec<Record>) {
        let mut packer = Packer::new(Digest::seed("before"), 7);
        let records: Vec<_> = (7..20)
            .map(|index| Record {
                place: LogPlace { index, term: 2 },
                time: Moment(index as i64),
                command: (index % 3 != 0).then(|| Bytes::from(vec![b'x'; index as usize])),
            })
            .collect();
        for record in &records {
            packer.push(record).unwrap();
        }
        let (name, bytes) = packer.finish(5, chain, Some(Revision(9))).unwrap().unwrap();
        (name, bytes, records)
    }

    #[test]
    fn a_segment_comes_back_or_is_found_to_be_damaged() {
        let chain = ChainName::new(Moment(1), 2);
        let (name, bytes, records) = packed(&chain);
        assert_eq!((name.first, name.last), (7, LogPlace { index: 19, term: 2 }));
        let (header, found) = unpack(&mut &bytes[..], 5, &chain, &name).unwrap();
        assert_eq!((header.previous, header.name, found), (Digest::seed("before"), name, records));
        for position in 0..bytes.len() {
            let mut damaged = bytes.to_vec();
            damaged[position] ^= 1;
            let error = unpack(&mut &damaged[..], 5, &chain, &name).unwrap_err();
            assert!(matches!(error, SegmentError::Damaged(_)), "{position}: {error}");
            assert!(unpack(&mut &bytes[..position], 5, &chain, &name).is_err(), "cut off at {position}");
        }
        assert!(Packer::new(Digest::seed(""), 1).finish(5, &chain, None).unwrap().is_none());
    }

    #[test]
    fn a_segment_in_the_wrong_place_is_noticed() {
        let chain = ChainName::new(Moment(1), 2);
        let (name, bytes, _) = packed(&chain);
        let other = SegmentName { first: 8, ..name };
        for (cluster, chain, name) in
            [(6, &chain, &name), (5, &ChainName::new(Moment(1), 3), &name), (5, &chain, &other)]
        {
            let error = unpack(&mut &bytes[..], cluster, chain, name).unwrap_err();
            assert!(matches!(error, SegmentError::Foreign(_)), "{error}");
        }
    }
}
