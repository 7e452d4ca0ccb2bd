//! Pages and metas as bytes.

use std::io::{self, Write};

pub(crate) const HEADER: usize = 16;
pub(crate) const ELEMENT: usize = 16;
pub(crate) const BRANCH: u16 = 0x01;
pub(crate) const LEAF: u16 = 0x02;
pub(crate) const META: u16 = 0x04;
pub(crate) const FREE_LIST: u16 = 0x10;
/// The flag of an element that is a bucket.
pub(crate) const BUCKET: u32 = 0x01;
/// The value of such an element begins with its root page and its sequence.
pub(crate) const BUCKET_HEADER: usize = 16;

const MAGIC: u32 = 0xED0C_DAED;
const VERSION: u32 = 2;
/// Magic to checksum, without the page's header.
const META_BYTES: usize = 64;
const CHECKED: usize = 56;

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// A page's header.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Header {
    pub(crate) id: u64,
    pub(crate) flags: u16,
    pub(crate) count: u16,
    /// How many further pages belong to it.
    pub(crate) overflow: u32,
}

impl Header {
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            id: u64_at(bytes, 0)?,
            flags: u16_at(bytes, 8)?,
            count: u16_at(bytes, 10)?,
            overflow: u32_at(bytes, 12)?,
        })
    }

    pub(crate) fn write(self, out: &mut impl Write) -> io::Result<()> {
        out.write_all(&self.id.to_le_bytes())?;
        out.write_all(&self.flags.to_le_bytes())?;
        out.write_all(&self.count.to_le_bytes())?;
        out.write_all(&self.overflow.to_le_bytes())
    }
}

/// What a meta page says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) page_size: u32,
    /// The root page of the tree of buckets.
    pub(crate) root: u64,
    pub(crate) free_list: u64,
    /// The number of pages.
    pub(crate) pages: u64,
    pub(crate) transaction: u64,
}

impl Meta {
    /// Reads the meta behind a page's header; `None` when it is not one or its checksum is wrong.
    pub(crate) fn parse(page: &[u8]) -> Option<Self> {
        let bytes: &[u8; META_BYTES] = page.get(HEADER..)?.first_chunk()?;
        let known = u32_at(bytes, 0)? == MAGIC && u32_at(bytes, 4)? == VERSION;
        let meta = Self {
            page_size: u32_at(bytes, 8)?,
            root: u64_at(bytes, 16)?,
            free_list: u64_at(bytes, 32)?,
            pages: u64_at(bytes, 40)?,
            transaction: u64_at(bytes, 48)?,
        };
        let whole = fnv(bytes.get(..CHECKED)?) == u64_at(bytes, CHECKED)?;
        let sized = meta.page_size.is_power_of_two() && (1024..=65_536).contains(&meta.page_size);
        (known && whole && sized).then_some(meta)
    }

    /// The whole page.
    pub(crate) fn encode(&self, id: u64) -> io::Result<Vec<u8>> {
        let mut page = Vec::with_capacity(self.page_size as usize);
        Header { id, flags: META, count: 0, overflow: 0 }.write(&mut page)?;
        for number in [MAGIC, VERSION, self.page_size, 0] {
            page.extend_from_slice(&number.to_le_bytes());
        }
        for number in [self.root, 0, self.free_list, self.pages, self.transaction] {
            page.extend_from_slice(&number.to_le_bytes());
        }
        let checksum = fnv(&page[HEADER..]);
        page.extend_from_slice(&checksum.to_le_bytes());
        page.resize(self.page_size as usize, 0);
        Ok(page)
    }
}

/// FNV-1a, 64 bits.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_meta_comes_back_and_damage_is_seen() {
        let meta = Meta { page_size: 4096, root: 7, free_list: 2, pages: 9, transaction: 2 };
        let page = meta.encode(0).unwrap();
        assert_eq!(page.len(), 4096);
        assert_eq!(Meta::parse(&page), Some(meta));
        for at in HEADER..HEADER + META_BYTES {
            let mut damaged = page.clone();
            damaged[at] ^= 0x10;
            assert_eq!(Meta::parse(&damaged), None, "{at}");
        }
        assert_eq!(Meta::parse(&page[..70]), None);
    }

    #[test]
    fn the_hash_is_fnv() {
        assert_eq!(fnv(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv(b"a"), 0xaf63_dc4c_8601_ec8c);
    }
}
