//! From programs to boot media, step by step. Each step makes sure of the ones before it and does nothing if its own inputs are
//! unchanged.
//!
//! ```text
//! kernel ───────────────┬──────────> uki ──> iso
//! programs ─> root ─> initramfs ─────┘
//! ```

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::arch::Arch;
use crate::artefacts::{ArtefactError, Artefacts};
use crate::cmdline;
use crate::digest::{Digest, Key};
use crate::fat;
use crate::initramfs::{self, InitramfsError};
use crate::iso::{self, IsoError};
use crate::kernel::{self, Kernel, KernelError};
use crate::outputs::{OutputError, Outputs, Record};
use crate::root::{self, Root, RootError};
use crate::uki::{self, UkiError};

/// Names of the finished files.
pub(crate) const KERNEL: &str = "vmlinuz";
pub(crate) const CMDLINE: &str = "cmdline";
pub(crate) const ROOT: &str = "root.squashfs";
pub(crate) const INITRAMFS: &str = "initramfs.zst";
pub(crate) const UKI: &str = "orlop.efi";
pub(crate) const ISO: &str = "orlop.iso";

/// Packages of the boot loaders.
const BIOS: [&str; 2] = ["isolinux", "syslinux-common"];
const UEFI: [&str; 1] = ["systemd-boot-efi"];

/// The FAT image's serial number; any will do, as long as it is the same each time.
const FAT_ID: u32 = 0x6f72_6c70;

/// An image could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MediaError {
    #[error(transparent)]
    Kernel(#[from] KernelError),
    #[error(transparent)]
    Root(#[from] RootError),
    #[error(transparent)]
    Initramfs(#[from] InitramfsError),
    #[error("make the unified kernel image")]
    Uki(#[from] UkiError),
    #[error("make the FAT image for UEFI")]
    Fat(#[source] io::Error),
    #[error(transparent)]
    Iso(#[from] IsoError),
    #[error(transparent)]
    Artefact(#[from] ArtefactError),
    #[error(transparent)]
    Output(#[from] OutputError),
    #[error("use {path}")]
    File { path: PathBuf, source: io::Error },
}

/// A build of one output folder.
pub(crate) struct Build<'a> {
    arch: Arch,
    artefacts: &'a Artefacts,
    outputs: Outputs,
    /// Removed at the end, whatever the end is.
    scratch: tempfile::TempDir,
}

impl<'a> Build<'a> {
    pub(crate) fn new(arch: Arch, artefacts: &'a Artefacts, out: &Path) -> Result<Self, MediaError> {
        let outputs = Outputs::open(out)?;
        let scratch = tempfile::tempdir().map_err(|source| MediaError::File { path: std::env::temp_dir(), source })?;
        Ok(Self { arch, artefacts, outputs, scratch })
    }

    /// The kernel and the command line that goes with it.
    pub(crate) fn kernel(&mut self, kernel: &Kernel) -> Result<[Record; 2], MediaError> {
        let copied = self.outputs.ensure(KERNEL, kernel.key, |path| copy(&kernel.image, path))?;
        let line = cmdline::default_line();
        let key = Key::new("cmdline", 1).with(&line).finish();
        let line = self.outputs.ensure(CMDLINE, key, |path| write(path, format!("{line}\n").as_bytes()))?;
        Ok([copied, line])
    }

    /// The root image, and the initramfs that carries it.
    pub(crate) fn initramfs(&mut self, programs: &Path) -> Result<[Record; 2], MediaError> {
        let folder = self.folder("root")?;
        let root = Root::collect(self.arch, programs, self.artefacts, &folder)?;
        let squashfs =
            self.outputs.ensure(ROOT, root.key(), |path| root.pack(&folder, path).map_err(MediaError::from))?;
        let epoch = self.artefacts.lock().epoch;
        let key = Key::new("initramfs", initramfs::RECIPE)
            .with(&squashfs.sha256.to_string())
            .with(&Digest::of(&root.init).to_string())
            .with(&epoch.to_string())
            .finish();
        let image = self.outputs.read(ROOT)?;
        let packed =
            self.outputs.ensure(INITRAMFS, key, |path| write(path, &initramfs::build(&root.init, &image, epoch)?))?;
        Ok([squashfs, packed])
    }

    /// The unified kernel image, from the kernel and the initramfs in the output folder.
    pub(crate) fn uki(&mut self, kernel: &Record, initramfs: &Record) -> Result<Record, MediaError> {
        let stub = self.artefacts.pinned(UEFI[0])?.sha256;
        let (line, os_release) = (cmdline::default_line(), root::os_release());
        let key = Key::new("uki", uki::RECIPE)
            .with(&stub.to_string())
            .with(&kernel.sha256.to_string())
            .with(&initramfs.sha256.to_string())
            .with(&line)
            .with(&os_release)
            .finish();
        let (kernel, initramfs) = (self.outputs.read(KERNEL)?, self.outputs.read(INITRAMFS)?);
        let release =
            kernel::release(&kernel).ok_or_else(|| KernelError::NotAKernel { path: self.outputs.path(KERNEL) })?;
        let folder = self.folder("uefi")?;
        let (artefacts, arch) = (self.artefacts, self.arch);
        self.outputs.ensure(UKI, key, |path| {
            artefacts.unpack(&UEFI, &folder)?;
            let stub = read(&folder.join(arch.efi_stub()))?;
            let sections: [(&str, &[u8]); 5] = [
                (".osrel", os_release.as_bytes()),
                (".cmdline", line.as_bytes()),
                (".uname", release.as_bytes()),
                (".initrd", &initramfs),
                // Last: the largest address is where a kernel may grow.
                (".linux", &kernel),
            ];
            write(path, &uki::build(&stub, &sections)?)
        })
    }

    /// The ISO, from everything else in the output folder.
    pub(crate) fn iso(&mut self, kernel: &Record, initramfs: &Record, uki: &Record) -> Result<Record, MediaError> {
        let mut key = Key::new("iso", iso::RECIPE).with(&fat::RECIPE.to_string()).with(&cmdline::default_line());
        for name in BIOS {
            key = key.with(&self.artefacts.pinned(name)?.sha256.to_string());
        }
        for record in [kernel, initramfs, uki] {
            key = key.with(&record.sha256.to_string());
        }
        let epoch = self.artefacts.lock().epoch;
        let key = key.with(&epoch.to_string()).finish();
        let contents = [KERNEL, INITRAMFS, UKI].map(|name| self.outputs.read(name));
        let [kernel, initramfs, uki] = contents;
        let (kernel, initramfs, uki) = (kernel?, initramfs?, uki?);
        let folder = self.folder("bios")?;
        let (artefacts, arch) = (self.artefacts, self.arch);
        self.outputs.ensure(ISO, key, |path| {
            artefacts.unpack(&BIOS, &folder)?;
            let loader = format!("EFI/BOOT/{}", arch.removable_loader());
            let efi = fat::build(*b"ORLOP      ", FAT_ID, &[(&loader, &uki)]).map_err(MediaError::Fat)?;
            let parts = iso::Parts {
                kernel: &kernel,
                initramfs: &initramfs,
                cmdline: &cmdline::default_line(),
                efi: &efi,
                isolinux: &read(&folder.join("usr/lib/ISOLINUX/isolinux.bin"))?,
                ldlinux: &read(&folder.join("usr/lib/syslinux/modules/bios/ldlinux.c32"))?,
                mbr: &read(&folder.join("usr/lib/ISOLINUX/isohdpfx.bin"))?,
                epoch,
            };
            iso::build(&parts, &folder, path).map_err(MediaError::from)
        })
    }

    /// An empty folder for one step.
    fn folder(&self, name: &str) -> Result<PathBuf, MediaError> {
        let path = self.scratch.path().join(name);
        match fs::create_dir_all(&path) {
            Ok(()) => Ok(path),
            Err(source) => Err(MediaError::File { path, source }),
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, MediaError> {
    fs::read(path).map_err(|source| MediaError::File { path: path.to_owned(), source })
}

fn write(path: &Path, contents: &[u8]) -> Result<(), MediaError> {
    fs::write(path, contents).map_err(|source| MediaError::File { path: path.to_owned(), source })
}

fn copy(from: &Path, to: &Path) -> Result<(), MediaError> {
    fs::copy(from, to).map(|_| ()).map_err(|source| MediaError::File { path: from.to_owned(), source })
}
