//! Where the claim code is shown: on the consoles and in a file that only root can read. Never in a log, because a log is
//! read by those who may only look.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use machined_core::claim::Occasion;
use rustix::fs::OFlags;

/// Where the kernel lists its consoles.
const ACTIVE: &str = "/sys/class/tty/console/active";

/// The consoles and the file.
#[derive(Debug)]
pub(super) struct Console {
    file: PathBuf,
    consoles: bool,
}

impl Console {
    pub(super) fn new(file: PathBuf, consoles: bool) -> Self {
        Self { file, consoles }
    }

    /// Shows a code.
    pub(super) fn show(&self, code: &str, occasion: Occasion) {
        let folder = self.file.parent().unwrap_or(Path::new("/"));
        let kept =
            fs::create_dir_all(folder).and_then(|()| durable::write(&self.file, format!("{code}\n").as_bytes(), 0o600));
        if let Err(error) = kept {
            tracing::warn!(%error, "the claim code cannot be kept in {}", self.file.display());
        }
        if !self.consoles {
            return;
        }
        let text = match occasion {
            Occasion::First => "this machine is not claimed yet",
            Occasion::Again => "this machine may be claimed again (orlop.claim=again)",
        };
        let line =
            format!("\r\norlop: {text}. Claim code: {code}\r\norlop: orlopctl claim <address> --code {code}\r\n");
        let names = fs::read_to_string(ACTIVE).unwrap_or_else(|_| "console".to_owned());
        let flags = (OFlags::NOCTTY | OFlags::NONBLOCK).bits().cast_signed();
        for name in names.split_ascii_whitespace() {
            let opened = OpenOptions::new().write(true).custom_flags(flags).open(Path::new("/dev").join(name));
            // A console that takes nothing now is shown the code again later.
            if let Err(error) = opened.and_then(|mut console| console.write_all(line.as_bytes())) {
                tracing::info!(%error, "{name} does not show the claim code");
            }
        }
    }

    /// Takes the code away.
    pub(super) fn forget(&self) {
        if let Err(error) = fs::remove_file(&self.file) {
            tracing::info!(%error, "{} cannot be removed", self.file.display());
        }
    }
}
