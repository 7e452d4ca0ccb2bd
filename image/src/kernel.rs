//! The kernel: fragments of `kernel-config/` over the distribution's source, compiled once per machine.
//!
//! ```text
//! fragments ─ merge ─> requests ─┐
//! source's version and digest ───┼─> key ─ in the cache? ─yes─> bzImage, config
//! compiler and linker ───────────┘             │no
//!                     unpack ─ allnoconfig ─ check every request ─ make ─┘
//! ```

mod bzimage;
mod config;
mod make;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub(crate) use bzimage::release;

use crate::arch::Arch;
use crate::artefacts::{ArtefactError, Artefacts};
use crate::cache::{Cache, CacheError, sweep};
use crate::command::{CommandError, GCC, LD, Tool};
use crate::digest::{Digest, Key};
use config::{ConfigError, Merged};

/// The pinned source package.
const SOURCE: &str = "linux-source-6.12";

/// Raised when `make.rs` changes what comes out of the same inputs.
const RECIPE: u32 = 1;

/// A kernel could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KernelError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Artefact(#[from] ArtefactError),
    #[error(transparent)]
    Cache(#[from] CacheError),
    #[error("compile the kernel; the whole log is {log}")]
    Make { log: PathBuf, source: CommandError },
    #[error("ask for the version of the compiler")]
    Compiler(#[source] CommandError),
    #[error("use {path}")]
    File { path: PathBuf, source: io::Error },
    #[error("{path} is not a kernel image")]
    NotAKernel { path: PathBuf },
    #[error("the record {path} of a kernel build does not parse")]
    Record { path: PathBuf, source: toml::de::Error },
}

/// A compiled kernel in the cache.
#[derive(Debug, Clone)]
pub(crate) struct Kernel {
    pub(crate) image: PathBuf,
    pub(crate) config: PathBuf,
    pub(crate) key: Digest,
    pub(crate) cost: Cost,
}

/// What a kernel's compilation took, kept beside it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cost {
    pub(crate) cpu_seconds: u64,
    pub(crate) wall_seconds: u64,
}

/// Everything a kernel depends on.
pub(crate) struct Recipe<'a> {
    merged: Merged,
    arch: Arch,
    artefacts: &'a Artefacts,
    cache: &'a Cache,
    jobs: usize,
    key: Digest,
}

impl<'a> Recipe<'a> {
    /// Reads the profile's fragments from `folder` and works out the key. Needs neither the source nor the network.
    pub(crate) fn read(
        folder: &Path,
        profile: &str,
        arch: Arch,
        artefacts: &'a Artefacts,
        cache: &'a Cache,
        jobs: usize,
    ) -> Result<Self, KernelError> {
        let merged = Merged::read(folder, profile)?;
        let source = artefacts.pinned(SOURCE)?;
        let key = Key::new("kernel", RECIPE)
            .with(arch.kernel())
            .with(&source.version)
            .with(&source.sha256.to_string())
            .with(&artefacts.lock().epoch.to_string())
            .with(&merged.text())
            .with(&first_line(GCC)?)
            .with(&first_line(LD)?)
            .finish();
        Ok(Self { merged, arch, artefacts, cache, jobs, key })
    }

    /// What the kernel depends on, and the folder of the cache that holds it.
    pub(crate) fn key(&self) -> Digest {
        self.key
    }

    /// The kernel, from the cache or compiled now (minutes).
    pub(crate) fn build(&self) -> Result<Kernel, KernelError> {
        if let Some(kernel) = self.cached()? {
            return Ok(kernel);
        }
        let room = self.cache.room("kernel")?;
        let _held = self.cache.exclusive("kernel")?;
        // Another process may have compiled it while this one waited.
        if let Some(kernel) = self.cached()? {
            return Ok(kernel);
        }
        sweep(&room, "build-")?;
        let scratch = room.join(format!("build-{}", std::process::id()));
        let made = self.make(&scratch, &room);
        sweep(&room, "build-")?;
        made?;
        self.cached()?.ok_or_else(|| KernelError::NotAKernel { path: self.home(&room) })
    }

    /// Unpacks and configures, checks that every requested option is in the final config, and stops there.
    pub(crate) fn check(&self) -> Result<usize, KernelError> {
        let room = self.cache.room("kernel")?;
        let _held = self.cache.exclusive("kernel")?;
        sweep(&room, "build-")?;
        let scratch = room.join(format!("build-{}", std::process::id()));
        let log = room.join("failed.log");
        let checked = self.configure(&scratch, &log);
        sweep(&room, "build-")?;
        checked?;
        fs::remove_file(&log).map_err(|source| KernelError::File { path: log, source })?;
        Ok(self.merged.len())
    }

    fn configure(&self, scratch: &Path, log: &Path) -> Result<make::Tree, KernelError> {
        fs::create_dir_all(scratch).map_err(|source| KernelError::File { path: scratch.to_owned(), source })?;
        self.artefacts.unpack(&[SOURCE], scratch)?;
        let made = |source| KernelError::Make { log: log.to_owned(), source };
        let tree = make::Tree::unpack(scratch, SOURCE, self.arch, self.artefacts.lock().epoch, log).map_err(made)?;
        let write = |path: PathBuf, text: &str| {
            fs::write(&path, text).map(|()| path.clone()).map_err(|source| KernelError::File { path, source })
        };
        let requests = write(scratch.join("requests.config"), &self.merged.text())?;
        tree.configure(&requests).map_err(made)?;
        let path = tree.config();
        let config = fs::read_to_string(&path).map_err(|source| KernelError::File { path, source })?;
        self.merged.check(&config)?;
        Ok(tree)
    }

    fn make(&self, scratch: &Path, room: &Path) -> Result<(), KernelError> {
        let log = room.join("failed.log");
        let before = make::cpu_seconds();
        let start = std::time::Instant::now();
        println!("compiling the kernel {} (once per machine, about 12 minutes of processor time)", self.short());
        let tree = self.configure(scratch, &log)?;
        tree.compile(self.jobs).map_err(|source| KernelError::Make { log: log.clone(), source })?;
        let cost =
            Cost { cpu_seconds: make::cpu_seconds().saturating_sub(before), wall_seconds: start.elapsed().as_secs() };
        let result = scratch.join("result");
        let publish = || {
            fs::create_dir(&result)?;
            fs::copy(tree.image(), result.join("bzImage"))?;
            fs::copy(tree.config(), result.join("config"))?;
            fs::write(result.join("cost.toml"), toml::to_string(&cost).map_err(io::Error::other)?)?;
            fs::remove_file(&log)?;
            fs::rename(&result, self.home(room))
        };
        publish().map_err(|source| KernelError::File { path: self.home(room), source })
    }

    fn cached(&self) -> Result<Option<Kernel>, KernelError> {
        let home = self.home(&self.cache.room("kernel")?);
        let path = home.join("cost.toml");
        let cost = match fs::read_to_string(&path) {
            Ok(text) => toml::from_str(&text).map_err(|source| KernelError::Record { path, source })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(KernelError::File { path, source }),
        };
        Ok(Some(Kernel { image: home.join("bzImage"), config: home.join("config"), key: self.key, cost }))
    }

    fn home(&self, room: &Path) -> PathBuf {
        room.join(self.key.to_string())
    }

    fn short(&self) -> String {
        self.key.to_string().chars().take(12).collect()
    }
}

fn first_line(tool: Tool) -> Result<String, KernelError> {
    let output = tool.within(Duration::from_secs(30)).arg("--version").output().map_err(KernelError::Compiler)?;
    Ok(String::from_utf8_lossy(&output).lines().next().unwrap_or_default().to_owned())
}
