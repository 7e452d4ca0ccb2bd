//! Reads `/dev/kmsg`: what is kept, then what comes.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;

use machined_core::kmsg::{self, Record};
use tokio::io::unix::AsyncFd;

/// The kernel cuts records off below this.
const LONGEST: usize = 8192;

/// The kernel's log, from its oldest record on.
pub(super) struct KernelLog {
    file: AsyncFd<File>,
    follow: bool,
}

impl KernelLog {
    /// Opens the log. With `follow` it never ends.
    #[expect(deprecated, reason = "its successor is unsafe for types that change their descriptor; `File` never does")]
    pub(super) fn open(follow: bool) -> io::Result<Self> {
        let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        let file = OpenOptions::new().read(true).custom_flags(nonblocking).open("/dev/kmsg")?;
        Ok(Self { file: AsyncFd::new(file)?, follow })
    }

    /// The next record; `None` at the end.
    pub(super) async fn next(&mut self) -> io::Result<Option<Record>> {
        let mut buffer = [0; LONGEST];
        loop {
            match self.file.get_ref().read(&mut buffer) {
                Ok(0) => return Ok(None),
                Ok(length) => {
                    if let Some(record) = kmsg::parse(&buffer[..length]) {
                        return Ok(Some(record));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if !self.follow {
                        return Ok(None);
                    }
                    self.file.readable().await?.clear_ready();
                }
                // The kernel has overwritten records that were not read yet; the next read goes on with the oldest.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}
