//! The hybrid ISO: a CD and a USB stick, for BIOS and for UEFI.
//!
//! ```text
//! MBR (isohdpfx.bin) + GPT ── as a stick: BIOS starts the MBR, UEFI the partition that is efi.img
//! El Torito catalogue ─────── as a CD:    BIOS starts isolinux.bin, UEFI the FAT image efi.img
//! boot/vmlinuz, boot/initrd.img, isolinux/…    what isolinux loads
//! boot/efi.img: EFI/BOOT/BOOTX64.EFI           the unified kernel image
//! ```

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::command::{CommandError, XORRISO};
use crate::moment;

/// Raised when the ISO changes for the same parts.
pub(crate) const RECIPE: u32 = 2;

const LIMIT: Duration = Duration::from_mins(5);

/// The volume's name, by which the medium is recognised.
pub(crate) const VOLUME: &str = "ORLOP";

/// What goes onto the ISO.
pub(crate) struct Parts<'a> {
    pub(crate) kernel: &'a [u8],
    pub(crate) initramfs: &'a [u8],
    pub(crate) cmdline: &'a str,
    /// The FAT image that UEFI boots.
    pub(crate) efi: &'a [u8],
    pub(crate) isolinux: &'a [u8],
    pub(crate) ldlinux: &'a [u8],
    /// The boot code of the MBR.
    pub(crate) mbr: &'a [u8],
    pub(crate) epoch: u64,
}

/// The ISO could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IsoError {
    #[error("lay out the ISO at {path}")]
    Write { path: PathBuf, source: io::Error },
    #[error("write the ISO")]
    Xorriso(#[source] CommandError),
}

/// Makes the ISO at `image`. `scratch` is an empty folder.
pub(crate) fn build(parts: &Parts<'_>, scratch: &Path, image: &Path) -> Result<(), IsoError> {
    let folder = scratch.join("iso");
    let mbr = scratch.join("mbr.bin");
    let write = |path: PathBuf, contents: &[u8]| {
        let written = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&path, contents));
        written.map_err(|source| IsoError::Write { path, source })
    };
    for (path, contents) in [
        ("boot/efi.img", parts.efi),
        ("boot/initrd.img", parts.initramfs),
        ("boot/vmlinuz", parts.kernel),
        ("isolinux/isolinux.bin", parts.isolinux),
        ("isolinux/isolinux.cfg", menu(parts.cmdline).as_bytes()),
        ("isolinux/ldlinux.c32", parts.ldlinux),
    ] {
        write(folder.join(path), contents)?;
    }
    write(mbr.clone(), parts.mbr)?;
    let run = XORRISO
        .within(LIMIT)
        // The identifiers of the volume and of its GPT are derived from this; the files' times are not.
        .env("SOURCE_DATE_EPOCH", parts.epoch.to_string())
        .args(["-no_rc", "-as", "mkisofs", "-quiet", "-V", VOLUME, "-J", "-r"])
        .arg(format!("--modification-date={}", moment::iso9660(parts.epoch)))
        .arg("--set_all_file_dates")
        .arg(moment::iso9660(parts.epoch))
        .args(["-b", "isolinux/isolinux.bin", "-c", "isolinux/boot.cat"])
        .args(["-no-emul-boot", "-boot-load-size", "4", "-boot-info-table"])
        .args(["-eltorito-alt-boot", "-e", "boot/efi.img", "-no-emul-boot", "-isohybrid-gpt-basdat"])
        .arg("-isohybrid-mbr")
        .arg(&mbr)
        .arg("-o")
        .arg(image)
        .arg(&folder);
    run.output().map_err(IsoError::Xorriso)?;
    Ok(())
}

/// isolinux starts the one kernel at once: there is nobody to ask.
fn menu(cmdline: &str) -> String {
    format!(
        "DEFAULT orlop\nPROMPT 0\nTIMEOUT 1\nLABEL orlop\n  KERNEL /boot/vmlinuz\n  INITRD /boot/initrd.img\n  APPEND {cmdline}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Something xorriso takes for isolinux.bin: large enough, with the signature that the MBR looks for.
    fn isolinux() -> Vec<u8> {
        let mut bytes = vec![0; 8192];
        bytes[0x40..0x44].copy_from_slice(&0x7078_c0fb_u32.to_le_bytes());
        bytes
    }

    fn make(scratch: &Path, name: &str) -> Vec<u8> {
        let isolinux = isolinux();
        let efi = crate::fat::build(*b"ORLOP      ", 1, &[("EFI/BOOT/BOOTX64.EFI", b"MZ")]).unwrap();
        let parts = Parts {
            kernel: b"kernel",
            initramfs: b"initramfs",
            cmdline: "quiet",
            efi: &efi,
            isolinux: &isolinux,
            ldlinux: b"ldlinux",
            mbr: &[0x90; 432],
            epoch: 1_700_000_000,
        };
        let folder = scratch.join(name);
        let image = scratch.join(format!("{name}.iso"));
        build(&parts, &folder, &image).unwrap();
        fs::read(image).unwrap()
    }

    #[test]
    fn two_builds_are_one_iso() {
        let scratch = tempfile::tempdir().unwrap();
        assert!(make(scratch.path(), "one") == make(scratch.path(), "two"));
    }

    #[test]
    fn it_starts_under_both_firmwares_as_cd_and_as_stick() {
        let scratch = tempfile::tempdir().unwrap();
        let image = make(scratch.path(), "image");
        assert_eq!(&image[510..512], b"\x55\xaa", "an MBR");
        assert_eq!(&image[512..520], b"EFI PART", "a GPT");
        let report = XORRISO.within(LIMIT).args(["-no_rc", "-indev"]).arg(scratch.path().join("image.iso"));
        let report = report.args(["-report_el_torito", "plain", "-lsl", "/boot", "--"]).output().unwrap();
        let report = String::from_utf8(report).unwrap();
        let boot_image = |platform: &str| {
            report.lines().any(|line| {
                line.starts_with("El Torito boot img") && line.split_whitespace().any(|word| word == platform)
            })
        };
        assert!(boot_image("BIOS") && boot_image("UEFI"), "{report}");
        for path in ["/isolinux/isolinux.bin", "/boot/efi.img"] {
            assert!(
                report.lines().any(|line| line.starts_with("El Torito img path") && line.ends_with(path)),
                "{report}"
            );
        }
        for name in ["'vmlinuz'", "'initrd.img'"] {
            let line = report.lines().find(|line| line.ends_with(name));
            // Not the day of the build.
            assert!(line.is_some_and(|line| line.contains("Nov 14  2023")), "{report}");
        }
    }
}
