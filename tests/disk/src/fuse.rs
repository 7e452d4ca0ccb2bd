//! The disk as the kernel asks for it.

use std::ffi::OsStr;
use std::sync::PoisonError;
use std::time::{Duration, SystemTime};

use fuser::{
    BsdFileFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, LockOwner,
    OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen,
    ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};

use crate::file::File;
use crate::tree::{Node, Number, Refusal, Tree};
use crate::{Disk, Flush, Flushes, Inner, Standing};

/// All changes come through the kernel, so what it knows stays true.
const KNOWN_FOR: Duration = Duration::from_hours(1);
/// What the disk says it has.
const BYTES: u64 = 512 << 20;
const BLOCK: u32 = 4096;
/// `fallocate`: the file stays as long as it is; a hole is made.
const KEEP_SIZE: i32 = 1;
const PUNCH_HOLE: i32 = 2;

/// Answers the kernel, one request after the other.
pub(crate) struct Driver(pub(crate) Disk);

/// A refusal as programs are told of it.
pub(crate) fn code(refusal: Refusal) -> Errno {
    match refusal {
        Refusal::Missing => Errno::ENOENT,
        Refusal::Exists => Errno::EEXIST,
        Refusal::NotEmpty => Errno::ENOTEMPTY,
        Refusal::NotAFolder => Errno::ENOTDIR,
        Refusal::IsAFolder => Errno::EISDIR,
    }
}

impl Driver {
    /// Waits while the disk stands still, then looks at it or changes it. A change is a point.
    fn with<T>(&self, is_point: bool, work: impl FnOnce(&mut Inner) -> Result<T, Refusal>) -> Result<T, Errno> {
        let mut inner = self.0.inner();
        if is_point {
            inner.points += 1;
            if inner.stop_at == Some(inner.points) {
                (inner.standing, inner.stop_at) = (Standing::Stands, None);
                self.0.0.changed.notify_all();
            }
        }
        let waiting = self.0.0.changed.wait_while(inner, |inner| inner.standing == Standing::Stands);
        let mut inner = waiting.unwrap_or_else(PoisonError::into_inner);
        if inner.standing == Standing::Gone {
            return Err(Errno::EIO);
        }
        work(&mut inner).map_err(code)
    }

    fn look<T>(&self, work: impl FnOnce(&Tree) -> Result<T, Refusal>) -> Result<T, Errno> {
        self.with(false, |inner| work(&inner.tree))
    }

    fn change<T>(&self, work: impl FnOnce(&mut Tree) -> Result<T, Refusal>) -> Result<T, Errno> {
        self.with(true, |inner| work(&mut inner.tree))
    }

    fn flush_soon(&self, flush: Flush, reply: ReplyEmpty) {
        let mut reply = Some(reply);
        let flushed = self.with(true, |inner| match inner.flushes {
            Flushes::Done => inner.flush(flush).map(|()| true),
            Flushes::Refused => Ok(false),
            Flushes::Held => {
                inner.held.extend(reply.take().map(|reply| (flush, reply)));
                Ok(true)
            }
        });
        // None: it is held.
        let Some(reply) = reply else { return };
        match flushed {
            Ok(true) => reply.ok(),
            Ok(false) => reply.error(Errno::EIO),
            Err(error) => reply.error(error),
        }
    }
}

fn attributes(tree: &Tree, number: Number) -> Result<FileAttr, Refusal> {
    // The kernel counts a file's links down itself, and refuses to give a file without any another one.
    let (kind, perm, size, links) = match tree.node(number)? {
        Node::File(file) => (FileType::RegularFile, 0o600, file.len() as u64, tree.links(number)),
        Node::Folder(_) => (FileType::Directory, 0o700, 0, 1),
    };
    let time = SystemTime::UNIX_EPOCH;
    Ok(FileAttr {
        ino: INodeNo(number),
        size,
        blocks: size.div_ceil(512),
        atime: time,
        mtime: time,
        ctime: time,
        crtime: time,
        kind,
        perm,
        nlink: links as u32,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: BLOCK,
        flags: 0,
    })
}

fn entry(reply: ReplyEntry, found: Result<FileAttr, Errno>) {
    match found {
        Ok(attributes) => reply.entry(&KNOWN_FOR, &attributes, Generation(0)),
        Err(error) => reply.error(error),
    }
}

fn done(reply: ReplyEmpty, outcome: Result<(), Errno>) {
    match outcome {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(error),
    }
}

impl Filesystem for Driver {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        entry(reply, self.look(|tree| attributes(tree, tree.find(parent.0, name)?)));
    }

    fn getattr(&self, _: &Request, number: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.look(|tree| attributes(tree, number.0)) {
            Ok(attributes) => reply.attr(&KNOWN_FOR, &attributes),
            Err(error) => reply.error(error),
        }
    }

    fn setattr(
        &self,
        _: &Request,
        number: INodeNo,
        _: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let changed = self.with(size.is_some(), |inner| {
            if let Some(size) = size {
                inner.tree.file(number.0)?.resize(size as usize);
            }
            attributes(&inner.tree, number.0)
        });
        match changed {
            Ok(attributes) => reply.attr(&KNOWN_FOR, &attributes),
            Err(error) => reply.error(error),
        }
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, name: &OsStr, _: u32, _: u32, reply: ReplyEntry) {
        let made = self.change(|tree| {
            let number = tree.add(parent.0, name, Node::Folder(std::collections::BTreeMap::new()))?;
            attributes(tree, number)
        });
        entry(reply, made);
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        done(reply, self.change(|tree| tree.unlink(parent.0, name)));
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        done(reply, self.change(|tree| tree.unlink(parent.0, name)));
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        _: RenameFlags,
        reply: ReplyEmpty,
    ) {
        done(reply, self.change(|tree| tree.rename((parent.0, name), (new_parent.0, new_name))));
    }

    fn link(&self, _: &Request, number: INodeNo, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let linked = self.change(|tree| {
            tree.link(number.0, parent.0, name)?;
            attributes(tree, number.0)
        });
        entry(reply, linked);
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::FOPEN_KEEP_CACHE);
    }

    fn create(&self, _: &Request, parent: INodeNo, name: &OsStr, _: u32, _: u32, _: i32, reply: ReplyCreate) {
        let made = self.change(|tree| {
            let number = tree.add(parent.0, name, Node::File(File::default()))?;
            attributes(tree, number)
        });
        match made {
            Ok(attributes) => {
                let flags = FopenFlags::FOPEN_KEEP_CACHE;
                reply.created(&KNOWN_FOR, &attributes, Generation(0), FileHandle(0), flags);
            }
            Err(error) => reply.error(error),
        }
    }

    fn read(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let read =
            self.with(false, |inner| Ok(inner.tree.file(number.0)?.read(offset as usize, size as usize).to_vec()));
        match read {
            Ok(bytes) => reply.data(&bytes),
            Err(error) => reply.error(error),
        }
    }

    fn write(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let written = self.change(|tree| {
            tree.file(number.0)?.write(offset as usize, data);
            Ok(())
        });
        match written {
            Ok(()) => reply.written(data.len() as u32),
            Err(error) => reply.error(error),
        }
    }

    fn fsync(&self, _: &Request, number: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.flush_soon(Flush::File(number.0), reply);
    }

    fn fsyncdir(&self, _: &Request, number: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.flush_soon(Flush::Folder(number.0), reply);
    }

    fn fallocate(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let outcome = self.change(|tree| {
            let file = tree.file(number.0)?;
            let end = (offset + length) as usize;
            if mode & PUNCH_HOLE != 0 {
                let inside = file.read(offset as usize, length as usize).len();
                file.write(offset as usize, &vec![0; inside]);
            } else if mode & KEEP_SIZE == 0 && file.len() < end {
                file.resize(end);
            }
            Ok(())
        });
        done(reply, outcome);
    }

    fn opendir(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::empty());
    }

    /// The place in a folder is the number of the last file that was shown: numbers grow, and files that come or go
    /// meanwhile do not move the others.
    fn readdir(&self, _: &Request, number: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let listed = self.look(|tree| {
            let mut listed = Vec::new();
            for (name, number) in tree.names(number.0)? {
                if *number > offset {
                    let kind = match tree.node(*number)? {
                        Node::File(_) => FileType::RegularFile,
                        Node::Folder(_) => FileType::Directory,
                    };
                    listed.push((*number, kind, name.clone()));
                }
            }
            listed.sort_unstable_by_key(|(number, ..)| *number);
            Ok(listed)
        });
        match listed {
            Ok(listed) => {
                for (number, kind, name) in listed {
                    if reply.add(INodeNo(number), number, kind, name) {
                        break;
                    }
                }
                reply.ok();
            }
            Err(error) => reply.error(error),
        }
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        match self.look(|tree| Ok(tree.bytes())) {
            Ok(used) => {
                let (total, free) = (BYTES / u64::from(BLOCK), BYTES.saturating_sub(used) / u64::from(BLOCK));
                reply.statfs(total, free, free, 1 << 20, 1 << 20, BLOCK, 255, BLOCK);
            }
            Err(error) => reply.error(error),
        }
    }
}
