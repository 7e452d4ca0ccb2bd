//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::arch::Arch;

/// Builds Orlop's kernel, root image and boot media.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Options {
    /// The project's folder; found from the current one by default.
    #[arg(long, global = true)]
    pub(crate) project: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Fetch every pinned artefact into the cache.
    Artefacts {
        /// Pin what the mirror offers now instead.
        #[arg(long)]
        update: bool,
    },
    /// Put a program out of a pinned package into a folder, for the tests to run.
    Tool {
        /// The package, as the lock file names it; `package/suite` where several suites have it.
        package: String,
        /// The program's path inside the package.
        program: PathBuf,
        /// Where it goes.
        #[arg(long)]
        into: PathBuf,
        /// What it is called there; otherwise what the package calls it.
        #[arg(long)]
        named: Option<OsString>,
    },
    /// Compile the kernel, once per machine, and say where it is.
    Kernel {
        #[command(flatten)]
        kernel: KernelChoice,
        /// Only configure it, and check that every option asked for is there.
        #[arg(long)]
        check: bool,
        /// Only print the key under which the cache keeps it: `kernel/<key>/bzImage`.
        #[arg(long, conflicts_with = "check")]
        key: bool,
    },
    /// Make the root image, and the initramfs that carries it.
    Root(MediaChoice),
    /// The same as `root`.
    Initramfs(MediaChoice),
    /// Make the unified kernel image too.
    Uki(MediaChoice),
    /// Make the hybrid ISO too.
    Iso(MediaChoice),
    /// Make everything: kernel and initramfs for direct boot, unified kernel image, ISO.
    All(MediaChoice),
}

#[derive(Debug, Args)]
pub(crate) struct KernelChoice {
    /// The architecture to build for.
    #[arg(long, default_value = "x86_64")]
    pub(crate) arch: Arch,
    /// The kernel profile, from `kernel-config/profiles.toml`.
    #[arg(long, default_value = "virt")]
    pub(crate) profile: String,
    /// Compilers at a time; all processors by default.
    #[arg(long)]
    jobs: Option<std::num::NonZeroUsize>,
}

impl KernelChoice {
    pub(crate) fn jobs(&self) -> usize {
        self.jobs.or_else(|| std::thread::available_parallelism().ok()).map_or(2, std::num::NonZero::get)
    }
}

#[derive(Debug, Args)]
pub(crate) struct MediaChoice {
    #[command(flatten)]
    pub(crate) kernel: KernelChoice,
    /// Where the finished files go.
    #[arg(long)]
    pub(crate) out: PathBuf,
    /// The folder with the programs `init` and `orlop`; by default the one this program was started from.
    #[arg(long)]
    programs: Option<PathBuf>,
}

impl MediaChoice {
    pub(crate) fn programs(&self) -> PathBuf {
        let beside = || Some(std::env::current_exe().ok()?.parent()?.to_owned());
        self.programs.clone().or_else(beside).unwrap_or_else(|| PathBuf::from("."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_well_formed() {
        Options::command().debug_assert();
        let options = Options::try_parse_from(["image", "all", "--out", "o", "--arch", "riscv64"]).unwrap_err();
        assert!(options.to_string().contains("images can be built for x86_64, not yet for `riscv64`"), "{options}");
    }
}
