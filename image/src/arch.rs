//! The processors an image can be built for.

use std::fmt;
use std::str::FromStr;

/// An architecture, and the names other parts of the world have for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arch {
    X86_64,
}

impl Arch {
    /// `ARCH=` of the kernel's make.
    pub(crate) fn kernel(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
        }
    }

    /// The folder of libraries in the distribution.
    pub(crate) fn multiarch(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64-linux-gnu",
        }
    }

    /// What UEFI starts from a removable medium when nobody has chosen anything.
    pub(crate) fn removable_loader(self) -> &'static str {
        match self {
            Self::X86_64 => "BOOTX64.EFI",
        }
    }

    /// systemd's PE stub.
    pub(crate) fn efi_stub(self) -> &'static str {
        match self {
            Self::X86_64 => "usr/lib/systemd/boot/efi/linuxx64.efi.stub",
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kernel())
    }
}

impl FromStr for Arch {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "x86_64" | "amd64" => Ok(Self::X86_64),
            other => Err(format!("images can be built for x86_64, not yet for `{other}`")),
        }
    }
}
