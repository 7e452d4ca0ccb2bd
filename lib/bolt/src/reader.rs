//! Reads a file that somebody else wrote.

use std::io::{self, Read, Seek, SeekFrom};

use crate::page::{BRANCH, BUCKET, BUCKET_HEADER, ELEMENT, HEADER, Header, LEAF, Meta, u32_at, u64_at};
use crate::{MAX_KEY, MAX_VALUE};

/// Trees of real databases have five levels at most.
const MAX_DEPTH: usize = 32;
/// The most buckets; etcd has eleven.
const MAX_BUCKETS: usize = 4096;
/// The most bytes of one leaf with everything that overflows.
const MAX_LEAF: u64 = MAX_VALUE as u64 + (1 << 20);
/// The same of a branch, of which one is held for each level.
const MAX_BRANCH: u64 = 4 << 20;

/// A file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file itself failed.
    #[error("read the file")]
    Io(#[from] io::Error),
    /// It is no database of this format, or its beginning is damaged.
    #[error("not a bbolt database")]
    NotADatabase,
    /// The end of the file is missing.
    #[error("the file is cut off: it says {expected} bytes, and has {found}")]
    CutOff {
        /// What its meta says.
        expected: u64,
        /// What it has.
        found: u64,
    },
    /// A page makes no sense.
    #[error("page {page} is damaged: {what}")]
    Damaged {
        /// Its number; 0 for one inside another.
        page: u64,
        /// What is wrong with it.
        what: &'static str,
    },
}

fn damaged(page: u64, what: &'static str) -> ReadError {
    ReadError::Damaged { page, what }
}

/// A key and its value.
pub type Entry<'a> = (&'a [u8], &'a [u8]);

/// The flags of an element, and the element.
type Element<'a> = (u32, Entry<'a>);

/// An open database.
#[derive(Debug)]
pub struct Reader<R> {
    source: R,
    meta: Meta,
}

/// A bucket of the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// Its name.
    pub name: Vec<u8>,
    root: Root,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Root {
    Page(u64),
    /// A small bucket is a page inside its parent's element.
    Inline(Vec<u8>),
}

impl<R: Read + Seek> Reader<R> {
    /// Looks for the newest meta that is whole. What lies behind the last page is not looked at.
    pub fn open(mut source: R) -> Result<Self, ReadError> {
        let length = source.seek(SeekFrom::End(0))?;
        let first = meta_at(&mut source, 0)?;
        let sizes = match first {
            Some(meta) => meta.page_size.ilog2()..=meta.page_size.ilog2(),
            None => 10..=16,
        };
        let mut metas = first.into_iter().collect::<Vec<_>>();
        for size in sizes {
            metas.extend(meta_at(&mut source, 1 << size)?.filter(|meta| meta.page_size == 1 << size));
        }
        let meta = metas.into_iter().max_by_key(|meta| meta.transaction).ok_or(ReadError::NotADatabase)?;
        let expected = meta.pages.checked_mul(u64::from(meta.page_size)).ok_or(ReadError::NotADatabase)?;
        if expected > length {
            return Err(ReadError::CutOff { expected, found: length });
        }
        Ok(Self { source, meta })
    }

    /// Bytes up to the end of the last page.
    pub fn size(&self) -> u64 {
        self.meta.pages * u64::from(self.meta.page_size)
    }

    /// Every bucket, in order of their names.
    pub fn buckets(&mut self) -> Result<Vec<Bucket>, ReadError> {
        let root = Root::Page(self.meta.root);
        let mut walk = self.start(&root)?;
        let mut buckets = Vec::new();
        while let Some((flags, (key, value))) = walk.step()? {
            if flags & BUCKET == 0 {
                return Err(damaged(0, "an entry outside of a bucket"));
            }
            if buckets.len() == MAX_BUCKETS {
                return Err(damaged(0, "too many buckets"));
            }
            let page = u64_at(value, 0).ok_or(damaged(0, "a bucket without its header"))?;
            let inline = value.get(BUCKET_HEADER..).ok_or(damaged(0, "a bucket without its header"))?;
            let root = if page == 0 { Root::Inline(inline.to_vec()) } else { Root::Page(page) };
            buckets.push(Bucket { name: key.to_vec(), root });
        }
        Ok(buckets)
    }

    /// Walks through the entries of a bucket, in order of their keys.
    pub fn walk(&mut self, bucket: &Bucket) -> Result<Walk<'_, R>, ReadError> {
        self.start(&bucket.root)
    }

    fn start(&mut self, root: &Root) -> Result<Walk<'_, R>, ReadError> {
        let page = match root {
            Root::Page(id) => self.page(*id)?,
            Root::Inline(bytes) => Page::parse(0, bytes.clone())?,
        };
        Ok(Walk { reader: self, path: vec![page], key: Vec::new() })
    }

    fn page(&mut self, id: u64) -> Result<Page, ReadError> {
        if id < 2 || id >= self.meta.pages {
            return Err(damaged(id, "no such page"));
        }
        let size = u64::from(self.meta.page_size);
        self.source.seek(SeekFrom::Start(id * size))?;
        let mut start = [0; HEADER];
        self.source.read_exact(&mut start)?;
        let header = Header::parse(&start).ok_or(damaged(id, "no header"))?;
        if header.id != id {
            return Err(damaged(id, "it says it is another page"));
        }
        let pages = u64::from(header.overflow) + 1;
        let limit = if header.flags == BRANCH { MAX_BRANCH } else { MAX_LEAF };
        if id + pages > self.meta.pages || pages * size > limit {
            return Err(damaged(id, "it is too large"));
        }
        let mut bytes = vec![0; (pages * size) as usize];
        bytes[..HEADER].copy_from_slice(&start);
        self.source.read_exact(&mut bytes[HEADER..])?;
        Page::parse(id, bytes)
    }
}

fn meta_at<R: Read + Seek>(source: &mut R, at: u64) -> Result<Option<Meta>, ReadError> {
    source.seek(SeekFrom::Start(at))?;
    let mut bytes = Vec::with_capacity(128);
    source.take(128).read_to_end(&mut bytes)?;
    Ok(Meta::parse(&bytes))
}

/// One page on the way from the root to an entry.
#[derive(Debug)]
struct Page {
    id: u64,
    branch: bool,
    count: usize,
    /// The next element to look at.
    next: usize,
    bytes: Vec<u8>,
}

impl Page {
    fn parse(id: u64, bytes: Vec<u8>) -> Result<Self, ReadError> {
        let header = Header::parse(&bytes).ok_or(damaged(id, "no header"))?;
        let branch = match header.flags {
            BRANCH => true,
            LEAF => false,
            _ => return Err(damaged(id, "neither a leaf nor a branch")),
        };
        let count = usize::from(header.count);
        if HEADER + count * ELEMENT > bytes.len() {
            return Err(damaged(id, "more elements than it has room for"));
        }
        if branch && count == 0 {
            return Err(damaged(id, "a branch without children"));
        }
        Ok(Self { id, branch, count, next: 0, bytes })
    }

    fn number(&self, element: usize, at: usize) -> Result<usize, ReadError> {
        let number = u32_at(&self.bytes, HEADER + element * ELEMENT + at);
        number.map(|number| number as usize).ok_or(damaged(self.id, "an element without its header"))
    }

    /// The child of a branch.
    fn child(&self, element: usize) -> Result<u64, ReadError> {
        u64_at(&self.bytes, HEADER + element * ELEMENT + 8).ok_or(damaged(self.id, "an element without its header"))
    }

    /// Flags, and where key and value of a leaf's element lie.
    fn entry(&self, element: usize) -> Result<(u32, usize, usize, usize), ReadError> {
        let flags = self.number(element, 0)? as u32;
        let start = HEADER + element * ELEMENT + self.number(element, 4)?;
        let middle = start + self.number(element, 8)?;
        let end = middle + self.number(element, 12)?;
        if middle - start > MAX_KEY || end - middle > MAX_VALUE || end > self.bytes.len() {
            return Err(damaged(self.id, "an element lies outside of it"));
        }
        Ok((flags, start, middle, end))
    }
}

/// A walk through one bucket. Keys ascend strictly, or the walk fails.
#[derive(Debug)]
pub struct Walk<'a, R> {
    reader: &'a mut Reader<R>,
    /// From the root to the leaf under way.
    path: Vec<Page>,
    /// The last key.
    key: Vec<u8>,
}

impl<R: Read + Seek> Walk<'_, R> {
    /// The next entry: its key and its value. `None` behind the last one. A bucket in the bucket is an error: etcd has none.
    pub fn entry(&mut self) -> Result<Option<Entry<'_>>, ReadError> {
        match self.step()? {
            Some((flags, _)) if flags & BUCKET != 0 => Err(damaged(0, "a bucket in a bucket")),
            Some((_, entry)) => Ok(Some(entry)),
            None => Ok(None),
        }
    }

    fn step(&mut self) -> Result<Option<Element<'_>>, ReadError> {
        loop {
            let depth = self.path.len();
            let Some(page) = self.path.last_mut() else { return Ok(None) };
            if page.next == page.count {
                // Only a bucket with nothing in it has a leaf with nothing in it: this also bounds the walk, as every leaf
                // brings it further.
                if page.count == 0 && depth > 1 {
                    return Err(damaged(page.id, "an empty leaf"));
                }
                self.path.pop();
                continue;
            }
            let element = page.next;
            page.next += 1;
            if !page.branch {
                break;
            }
            if depth == MAX_DEPTH {
                return Err(damaged(page.id, "the tree is too deep"));
            }
            let child = page.child(element)?;
            let child = self.reader.page(child)?;
            self.path.push(child);
        }
        let Some(page) = self.path.last() else { return Ok(None) };
        let (flags, start, middle, end) = page.entry(page.next - 1)?;
        let (key, value) = (&page.bytes[start..middle], &page.bytes[middle..end]);
        if key <= self.key.as_slice() {
            return Err(damaged(page.id, "keys are not in order"));
        }
        self.key.clear();
        self.key.extend_from_slice(key);
        Ok(Some((flags, (key, value))))
    }
}
