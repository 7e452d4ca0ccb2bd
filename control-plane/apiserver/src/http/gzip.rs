//! A stream that begins compressed and goes on stored, as one member of gzip: what is sent at first is large and worth its
//! compressor, what trickles in behind is not, and thousands of idle streams must not hold a compressor each.

use bytes::{Bytes, BytesMut};
use flate2::{Compress, Compression, Crc, FlushCompress};

/// What every member begins with: deflate, no name, no time, an unknown system.
const HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
/// An empty stored block. Decoders give out what they have when they meet one.
const FLUSH: [u8; 5] = [0, 0, 0, 0xff, 0xff];
/// The same as the last block.
const LAST: [u8; 5] = [1, 0, 0, 0xff, 0xff];
/// Longest stored block.
const STORED: usize = u16::MAX as usize;

/// Writes one member of gzip.
pub(crate) struct GzipMember {
    /// While it compresses.
    compressor: Option<Compress>,
    crc: Crc,
    begun: bool,
}

impl GzipMember {
    /// A member that begins compressed.
    pub(crate) fn new() -> Self {
        Self { compressor: Some(Compress::new(Compression::fast(), false)), crc: Crc::new(), begun: false }
    }

    /// Takes in bytes. While `more` is to be compressed the answer may be empty; after that, what was taken in so far can be
    /// decoded from what was answered so far, and the compressor is gone.
    pub(crate) fn write(&mut self, bytes: &[u8], more: bool) -> Bytes {
        self.crc.update(bytes);
        let mut out = Vec::with_capacity(bytes.len() / 4 + 64);
        if !std::mem::replace(&mut self.begun, true) {
            out.extend_from_slice(&HEAD);
        }
        if let Some(compressor) = &mut self.compressor {
            let flush = if more { FlushCompress::None } else { FlushCompress::Sync };
            if !deflate(compressor, bytes, flush, &mut out) {
                return Bytes::new();
            }
            if !more {
                self.compressor = None;
            }
        } else {
            for block in bytes.chunks(STORED) {
                let length = block.len() as u16;
                out.push(0);
                out.extend_from_slice(&length.to_le_bytes());
                out.extend_from_slice(&(!length).to_le_bytes());
                out.extend_from_slice(block);
            }
            out.extend_from_slice(&FLUSH);
        }
        out.into()
    }

    /// The end of the member. Nothing may be written behind it.
    pub(crate) fn end(mut self) -> Bytes {
        let mut out = BytesMut::from(self.write(b"", false).as_ref());
        out.extend_from_slice(&LAST);
        out.extend_from_slice(&self.crc.sum().to_le_bytes());
        out.extend_from_slice(&self.crc.amount().to_le_bytes());
        out.freeze()
    }
}

/// Compresses all of `bytes`; false if the compressor refuses, which it has no reason to.
fn deflate(compressor: &mut Compress, bytes: &[u8], flush: FlushCompress, out: &mut Vec<u8>) -> bool {
    let before = compressor.total_in();
    loop {
        let taken = (compressor.total_in() - before) as usize;
        if compressor.compress_vec(&bytes[taken..], out, flush).is_err() {
            return false;
        }
        let taken = (compressor.total_in() - before) as usize;
        // Room that is left over tells that nothing more wants to be written.
        if taken == bytes.len() && out.len() < out.capacity() {
            return true;
        }
        out.reserve(1 << 10);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    fn unpacked(packed: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        // A decoder of one member: what follows it would be left over.
        let mut decoder = flate2::bufread::GzDecoder::new(packed);
        decoder.read_to_end(&mut out).unwrap();
        assert!(decoder.into_inner().is_empty(), "a second member");
        out
    }

    /// What a decoder gives out before the end has come.
    fn so_far(packed: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut decoder = flate2::Decompress::new(false);
        out.reserve(1 << 20);
        decoder.decompress_vec(&packed[HEAD.len()..], &mut out, flate2::FlushDecompress::Sync).unwrap();
        out
    }

    #[test]
    fn what_was_written_can_be_read_at_once_and_is_one_member() {
        let list = "an object like all the others, ".repeat(20_000).into_bytes();
        let large = vec![b'x'; STORED + 7];
        let mut member = GzipMember::new();
        let mut packed = Vec::new();
        let mut whole = Vec::new();
        for (bytes, more) in [(&list[..70_000], true), (&list[70_000..], false), (b"one event", false), (&large, false)]
        {
            packed.extend_from_slice(&member.write(bytes, more));
            whole.extend_from_slice(bytes);
            if !more {
                assert!(so_far(&packed) == whole, "{} of {}", so_far(&packed).len(), whole.len());
            }
        }
        assert!(packed.len() < list.len() / 10 + large.len() + 100, "{}", packed.len());
        packed.extend_from_slice(&member.end());
        assert!(unpacked(&packed) == whole);
    }

    #[test]
    fn a_member_that_ends_early_is_whole() {
        assert_eq!(unpacked(&GzipMember::new().end()), b"");
        let mut member = GzipMember::new();
        let mut packed = member.write(b"abc", true).to_vec();
        packed.extend_from_slice(&member.end());
        assert_eq!(unpacked(&packed), b"abc");
    }
}
