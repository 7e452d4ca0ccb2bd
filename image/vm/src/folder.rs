//! The folder of a machine: everything that belongs to it and to nobody else.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use crate::arguments::files;

/// Bytes of the state disk, as the machine sees it. The file is sparse: it takes what was written.
pub const DISK_BYTES: u64 = 8 << 30;

/// Paths of a machine's files.
#[derive(Debug, Clone)]
pub struct Folder(PathBuf);

impl Folder {
    /// Makes the folder, readable by its owner only, when it is not there.
    pub fn create(path: &Path) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        Ok(Self(fs::canonicalize(path)?))
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The machine's configuration.
    pub fn config(&self) -> PathBuf {
        self.0.join("machine-config.yaml")
    }

    /// The machine's disk.
    pub fn disk(&self) -> PathBuf {
        self.0.join("disk.raw")
    }

    /// The operator's private key.
    pub fn operator_key(&self) -> PathBuf {
        self.0.join("operator.key")
    }

    /// The operator's certificate request.
    pub fn operator_request(&self) -> PathBuf {
        self.0.join("operator.csr")
    }

    /// What the machine has given the operator.
    pub fn operator_bundle(&self) -> PathBuf {
        self.0.join(files::OPERATOR_BUNDLE)
    }

    /// The configuration of `orlopctl`.
    pub fn orlopconfig(&self) -> PathBuf {
        self.0.join("orlopconfig")
    }

    /// The configuration of `kubectl`.
    pub fn kubeconfig(&self) -> PathBuf {
        self.0.join("kubeconfig")
    }

    /// The serial console since the start of QEMU.
    pub fn console_log(&self) -> PathBuf {
        self.0.join(files::CONSOLE_LOG)
    }

    /// What QEMU itself had to say.
    pub fn qemu_log(&self) -> PathBuf {
        self.0.join("qemu.log")
    }

    /// Which machine runs.
    pub fn record(&self) -> PathBuf {
        self.0.join("running.json")
    }

    /// This machine's copy of the firmware's variables.
    pub fn firmware_variables(&self) -> PathBuf {
        self.0.join("firmware-variables.fd")
    }

    /// Holds off everyone else who would start or stop this machine, until the file is dropped.
    pub fn lock(&self) -> io::Result<File> {
        let file = File::options().create(true).truncate(false).write(true).open(self.0.join("lock"))?;
        file.lock()?;
        Ok(file)
    }

    /// Makes the disk when it is not there.
    pub fn create_disk(&self) -> io::Result<PathBuf> {
        let path = self.disk();
        if !path.exists() {
            File::create_new(&path)?.set_len(DISK_BYTES)?;
        }
        Ok(path)
    }

    /// Takes away what an earlier run left: sockets, the operator's bundle, the record. Keeps the last console.
    pub fn clear_run(&self) -> io::Result<()> {
        match fs::rename(self.console_log(), self.0.join("console.previous.log")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        for name in [files::CONSOLE_SOCKET, files::CONTROL_SOCKET, files::OPERATOR_BUNDLE] {
            remove(&self.0.join(name))?;
        }
        remove(&self.record())
    }

    /// Takes away the machine: its disk, its identity and everything made from them. The configuration stays.
    pub fn wipe(&self) -> io::Result<()> {
        self.clear_run()?;
        for path in [
            self.disk(),
            self.operator_key(),
            self.operator_request(),
            self.orlopconfig(),
            self.kubeconfig(),
            self.firmware_variables(),
        ] {
            remove(&path)?;
        }
        Ok(())
    }
}

/// Removes a file; one that is not there is fine.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Connects to the socket `name` in `folder`, however long the folder's path is: a socket's own may have 107 bytes.
pub fn connect(folder: &Path, name: &str) -> io::Result<UnixStream> {
    let folder = File::open(folder)?;
    UnixStream::connect(format!("/proc/self/fd/{}/{name}", folder.as_raw_fd()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixListener;

    fn scratch(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("folder-{name}-{}", std::process::id()))
    }

    #[test]
    fn a_deep_folder_still_has_sockets() {
        let top = scratch("deep");
        let deep = top.join("x".repeat(120));
        let folder = Folder::create(&deep).unwrap();
        let handle = File::open(folder.path()).unwrap();
        let _listener = UnixListener::bind(format!("/proc/self/fd/{}/s", handle.as_raw_fd())).unwrap();
        connect(folder.path(), "s").unwrap();
        assert_eq!(fs::metadata(&deep).unwrap().permissions().mode() & 0o077, 0);
        fs::remove_dir_all(top).unwrap();
    }

    #[test]
    fn a_wipe_keeps_the_configuration_and_nothing_of_the_identity() {
        let top = scratch("wipe");
        let folder = Folder::create(&top).unwrap();
        folder.create_disk().unwrap();
        assert_eq!(fs::metadata(folder.disk()).unwrap().len(), DISK_BYTES);
        for path in [folder.config(), folder.operator_key(), folder.kubeconfig(), folder.console_log()] {
            fs::write(path, "x").unwrap();
        }
        folder.wipe().unwrap();
        folder.wipe().unwrap();
        assert!(folder.config().exists());
        for path in [folder.disk(), folder.operator_key(), folder.kubeconfig(), folder.console_log()] {
            assert!(!path.exists(), "{}", path.display());
        }
        fs::remove_dir_all(top).unwrap();
    }
}
