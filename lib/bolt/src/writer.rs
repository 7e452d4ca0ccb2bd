//! Makes a file in one pass: leaves are written as they fill, branches as their children do, the metas last.

use std::io::{self, Seek, SeekFrom, Write};

use crate::page::{BRANCH, BUCKET, ELEMENT, FREE_LIST, HEADER, Header, LEAF, Meta};
use crate::{MAX_KEY, MAX_VALUE};

const PAGE: usize = 4096;
const FREE_LIST_PAGE: u64 = 2;
const FIRST_PAGE: u64 = 3;
/// The file is as a database after its second transaction: both metas say the same.
const TRANSACTION: u64 = 2;

/// A file could not be made.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The file could not be written.
    #[error("write the file")]
    Io(#[from] io::Error),
    /// Keys of a bucket must come in ascending order, each once.
    #[error("a key does not come behind the one before it")]
    Order,
    /// A key must have 1 to [`MAX_KEY`] bytes.
    #[error("a key of {0} bytes cannot be stored")]
    Key(usize),
    /// A value must have at most [`MAX_VALUE`] bytes.
    #[error("a value of {0} bytes cannot be stored")]
    Value(usize),
    /// A bucket of that name is there already.
    #[error("a bucket is there twice")]
    Twice,
    /// [`Writer::put`] before [`Writer::bucket`].
    #[error("an entry outside of a bucket")]
    NoBucket,
}

/// Writes a database: a bucket, its entries in order, the next bucket.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
    /// The number of the next page.
    next: u64,
    current: Option<(Vec<u8>, Tree)>,
    /// Finished buckets: name and root page.
    buckets: Vec<(Vec<u8>, u64)>,
}

impl<W: Write + Seek> Writer<W> {
    /// Begins a file at the start of `out`.
    pub fn new(mut out: W) -> Result<Self, WriteError> {
        out.seek(SeekFrom::Start(0))?;
        // The metas come last: a file that was not finished is no database.
        out.write_all(&[0; 2 * PAGE])?;
        let mut free_list = Vec::with_capacity(PAGE);
        Header { id: FREE_LIST_PAGE, flags: FREE_LIST, count: 0, overflow: 0 }.write(&mut free_list)?;
        free_list.resize(PAGE, 0);
        out.write_all(&free_list)?;
        Ok(Self { out, next: FIRST_PAGE, current: None, buckets: Vec::new() })
    }

    /// Begins a bucket, in any order of names; the one before is complete.
    pub fn bucket(&mut self, name: &[u8]) -> Result<(), WriteError> {
        check(name, &[])?;
        self.end_bucket()?;
        if self.buckets.iter().any(|(other, _)| other == name) {
            return Err(WriteError::Twice);
        }
        self.current = Some((name.to_vec(), Tree::default()));
        Ok(())
    }

    /// Adds an entry to the bucket that was begun last.
    pub fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), WriteError> {
        check(key, value)?;
        let (_, tree) = self.current.as_mut().ok_or(WriteError::NoBucket)?;
        tree.add(0, key, value, &mut Pages { out: &mut self.out, next: &mut self.next })
    }

    /// Writes what is left; returns the file and its size, a multiple of the page size. The caller flushes it to disk.
    pub fn finish(mut self) -> Result<(W, u64), WriteError> {
        self.end_bucket()?;
        self.buckets.sort();
        let mut pages = Pages { out: &mut self.out, next: &mut self.next };
        let mut names = Tree::default();
        for (name, root) in &self.buckets {
            let mut header = root.to_le_bytes().to_vec();
            header.extend_from_slice(&[0; 8]); // the sequence
            names.add(BUCKET, name, &header, &mut pages)?;
        }
        let root = names.finish(&mut pages)?;
        let meta = |transaction| Meta {
            page_size: PAGE as u32,
            root,
            free_list: FREE_LIST_PAGE,
            pages: self.next,
            transaction,
        };
        self.out.seek(SeekFrom::Start(0))?;
        self.out.write_all(&meta(TRANSACTION).encode(0)?)?;
        self.out.write_all(&meta(TRANSACTION - 1).encode(1)?)?;
        self.out.flush()?;
        Ok((self.out, self.next * PAGE as u64))
    }

    fn end_bucket(&mut self) -> Result<(), WriteError> {
        let Some((name, tree)) = self.current.take() else { return Ok(()) };
        let root = tree.finish(&mut Pages { out: &mut self.out, next: &mut self.next })?;
        self.buckets.push((name, root));
        Ok(())
    }
}

fn check(key: &[u8], value: &[u8]) -> Result<(), WriteError> {
    if key.is_empty() || key.len() > MAX_KEY {
        return Err(WriteError::Key(key.len()));
    }
    if value.len() > MAX_VALUE {
        return Err(WriteError::Value(value.len()));
    }
    Ok(())
}

/// Where pages go.
struct Pages<'a, W> {
    out: &'a mut W,
    next: &'a mut u64,
}

impl<W: Write> Pages<'_, W> {
    /// Writes a page of elements; its number.
    fn write(&mut self, flags: u16, headers: &[[u8; ELEMENT]], data: &[u8]) -> Result<u64, WriteError> {
        let bytes = HEADER + headers.len() * ELEMENT + data.len();
        let pages = bytes.div_ceil(PAGE);
        let id = *self.next;
        Header { id, flags, count: headers.len() as u16, overflow: pages as u32 - 1 }.write(self.out)?;
        self.out.write_all(headers.as_flattened())?;
        self.out.write_all(data)?;
        self.out.write_all(&[0; PAGE][..pages * PAGE - bytes])?;
        *self.next += pages as u64;
        Ok(id)
    }
}

/// The tree of one bucket under way: one page of each level.
#[derive(Debug, Default)]
struct Tree {
    last: Vec<u8>,
    leaf: Leaf,
    /// Level 0 names leaves, level 1 names pages of level 0, and so on.
    branches: Vec<Branch>,
}

#[derive(Debug, Default)]
struct Leaf {
    /// The flags, the length of the key and that of the value.
    elements: Vec<(u32, u32, u32)>,
    data: Vec<u8>,
}

#[derive(Debug, Default)]
struct Branch {
    /// The first key below each child, and the child's page.
    children: Vec<(Vec<u8>, u64)>,
    bytes: usize,
    /// Whether a page of this level is written already.
    written: bool,
}

impl Tree {
    fn add(
        &mut self,
        flags: u32,
        key: &[u8],
        value: &[u8],
        pages: &mut Pages<'_, impl Write>,
    ) -> Result<(), WriteError> {
        if key <= self.last.as_slice() {
            return Err(WriteError::Order); // no key is empty, so the first one always passes
        }
        if self.leaf.bytes() + ELEMENT + key.len() + value.len() > PAGE && !self.leaf.elements.is_empty() {
            self.write_leaf(pages)?;
        }
        self.leaf.elements.push((flags, key.len() as u32, value.len() as u32));
        self.leaf.data.extend_from_slice(key);
        self.leaf.data.extend_from_slice(value);
        self.last.clear();
        self.last.extend_from_slice(key);
        Ok(())
    }

    fn write_leaf(&mut self, pages: &mut Pages<'_, impl Write>) -> Result<(), WriteError> {
        let leaf = std::mem::take(&mut self.leaf);
        let first = leaf.elements.first().map_or(0, |(_, key, _)| *key as usize);
        let id = pages.write(LEAF, &leaf.headers(), &leaf.data)?;
        self.child(0, leaf.data[..first].to_vec(), id, pages)
    }

    /// Names a finished page in the level above it.
    fn child(
        &mut self,
        level: usize,
        first: Vec<u8>,
        id: u64,
        pages: &mut Pages<'_, impl Write>,
    ) -> Result<(), WriteError> {
        if self.branches.len() == level {
            self.branches.push(Branch::default());
        }
        let branch = &self.branches[level];
        // Two children at least, however long their keys are: else the tree would not get narrower.
        if HEADER + branch.bytes + ELEMENT + first.len() > PAGE && branch.children.len() > 1 {
            self.write_branch(level, pages)?;
        }
        let branch = &mut self.branches[level];
        branch.bytes += ELEMENT + first.len();
        branch.children.push((first, id));
        Ok(())
    }

    fn write_branch(&mut self, level: usize, pages: &mut Pages<'_, impl Write>) -> Result<(), WriteError> {
        let branch = &mut self.branches[level];
        branch.written = true;
        branch.bytes = 0;
        let mut children = std::mem::take(&mut branch.children);
        let mut headers = Vec::with_capacity(children.len());
        let mut data = Vec::new();
        for (index, (key, id)) in children.iter().enumerate() {
            let mut header = [0; ELEMENT];
            header[..4].copy_from_slice(&position(children.len(), index, data.len()));
            header[4..8].copy_from_slice(&(key.len() as u32).to_le_bytes());
            header[8..].copy_from_slice(&id.to_le_bytes());
            headers.push(header);
            data.extend_from_slice(key);
        }
        let id = pages.write(BRANCH, &headers, &data)?;
        let first = children.swap_remove(0).0;
        self.child(level + 1, first, id, pages)
    }

    /// Writes what is left of every level; the root's page.
    fn finish(mut self, pages: &mut Pages<'_, impl Write>) -> Result<u64, WriteError> {
        if !self.leaf.elements.is_empty() || self.branches.is_empty() {
            self.write_leaf(pages)?;
        }
        let mut level = 0;
        loop {
            let branch = &self.branches[level];
            if let [(_, only)] = branch.children.as_slice()
                && !branch.written
            {
                return Ok(*only);
            }
            self.write_branch(level, pages)?;
            level += 1;
        }
    }
}

impl Leaf {
    fn bytes(&self) -> usize {
        HEADER + self.elements.len() * ELEMENT + self.data.len()
    }

    fn headers(&self) -> Vec<[u8; ELEMENT]> {
        let mut before = 0;
        let mut headers = Vec::with_capacity(self.elements.len());
        for (index, (flags, key, value)) in self.elements.iter().enumerate() {
            let mut header = [0; ELEMENT];
            header[..4].copy_from_slice(&flags.to_le_bytes());
            header[4..8].copy_from_slice(&position(self.elements.len(), index, before));
            header[8..12].copy_from_slice(&key.to_le_bytes());
            header[12..].copy_from_slice(&value.to_le_bytes());
            headers.push(header);
            before += (key + value) as usize;
        }
        headers
    }
}

/// Where an element's bytes begin, counted from its header: behind the headers that follow, and the bytes `before` its own.
fn position(count: usize, index: usize, before: usize) -> [u8; 4] {
    (((count - index) * ELEMENT + before) as u32).to_le_bytes()
}
