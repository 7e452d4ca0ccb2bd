//! Builds Orlop's kernel, its root image and its boot media.
//!
//! Read [`media`] for the order of the steps, [`kernel`] for how a kernel comes out of `kernel-config/`, [`root`] for what is
//! in a node's root, and `image/artefacts.lock` for everything that is not built here.

mod arch;
mod artefacts;
mod cache;
mod cmdline;
mod command;
mod cpio;
mod digest;
mod elf;
mod fat;
mod initramfs;
mod iso;
mod kernel;
mod media;
mod moment;
mod options;
mod outputs;
mod root;
mod uki;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser as _;

use crate::artefacts::{ArtefactError, Artefacts, Lock, LockError};
use crate::cache::{Cache, CacheError};
use crate::kernel::{Kernel, KernelError, Recipe};
use crate::media::{Build, MediaError};
use crate::options::{Command, KernelChoice, MediaChoice, Options};
use crate::outputs::Record;

/// What the command asked for could not be done.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("no `kernel-config` folder here or above: run this inside the project, or say where it is with --project")]
    NoProject,
    #[error("read {path}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("write {path}")]
    Write { path: PathBuf, source: std::io::Error },
    #[error("use {path}")]
    Lock { path: PathBuf, source: LockError },
    #[error(transparent)]
    Cache(#[from] CacheError),
    #[error(transparent)]
    Artefact(#[from] ArtefactError),
    #[error(transparent)]
    Kernel(#[from] KernelError),
    #[error(transparent)]
    Media(#[from] MediaError),
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("image: {}", chain::Chain(&failure));
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), Failure> {
    let project = project(options.project.as_deref())?;
    let lock_file = project.join("image/artefacts.lock");
    let text = fs::read_to_string(&lock_file).map_err(|source| Failure::Read { path: lock_file.clone(), source })?;
    let lock_failed = |source| Failure::Lock { path: lock_file.clone(), source };
    let lock = Lock::parse(&text).map_err(lock_failed)?;
    let cache = Cache::of_user()?;
    let artefacts = Artefacts::new(lock, cache.clone());
    let recipe = |choice: &KernelChoice| {
        let folder = project.join("kernel-config");
        Recipe::read(&folder, &choice.profile, choice.arch, &artefacts, &cache, choice.jobs())
    };
    match &options.command {
        Command::Artefacts { update: false } => {
            let pinned = artefacts.lock().artefacts.iter();
            let names: Vec<_> = pinned.map(|artefact| format!("{}/{}", artefact.name, artefact.suite)).collect();
            artefacts.fetch(&names)?;
            println!("all {} artefacts are in the cache", names.len());
        }
        Command::Tool { package, program, into, named } => {
            println!("{}", artefacts.tool(package, program, into, named.as_deref())?.display());
        }
        Command::Artefacts { update: true } => {
            let newest = artefacts.newest()?;
            let updated = artefacts::repin(&text, &newest).map_err(lock_failed)?;
            for (old, new) in artefacts.lock().artefacts.iter().zip(&newest).filter(|(old, new)| old != new) {
                println!("{}: {} -> {}", old.name, old.version, new.version);
            }
            fs::write(&lock_file, updated).map_err(|source| Failure::Write { path: lock_file, source })?;
        }
        Command::Kernel { kernel, key: true, check: _ } => println!("{}", recipe(kernel)?.key()),
        Command::Kernel { kernel, check: true, key: false } => {
            println!("all {} requests are met", recipe(kernel)?.check()?);
        }
        Command::Kernel { kernel, check: false, key: false } => report(&recipe(kernel)?.build()?),
        Command::Root(choice) | Command::Initramfs(choice) => {
            let programs = choice.programs();
            show(&choice.out, &Build::new(choice.kernel.arch, &artefacts, &choice.out)?.initramfs(&programs)?);
        }
        Command::Uki(choice) => {
            let kernel = recipe(&choice.kernel)?.build()?;
            let mut build = Build::new(choice.kernel.arch, &artefacts, &choice.out)?;
            show(&choice.out, &unified(&mut build, &kernel, choice)?);
        }
        Command::Iso(choice) | Command::All(choice) => {
            let kernel = recipe(&choice.kernel)?.build()?;
            let mut build = Build::new(choice.kernel.arch, &artefacts, &choice.out)?;
            let [kernel, line, root, initramfs, uki] = unified(&mut build, &kernel, choice)?;
            let iso = build.iso(&kernel, &initramfs, &uki)?;
            show(&choice.out, &[kernel, line, root, initramfs, uki, iso]);
        }
    }
    Ok(())
}

fn unified(build: &mut Build<'_>, kernel: &Kernel, choice: &MediaChoice) -> Result<[Record; 5], MediaError> {
    let [kernel, line] = build.kernel(kernel)?;
    let [root, initramfs] = build.initramfs(&choice.programs())?;
    let uki = build.uki(&kernel, &initramfs)?;
    Ok([kernel, line, root, initramfs, uki])
}

/// The project's folder: the one given, or the nearest above the current one that has a kernel config.
fn project(given: Option<&Path>) -> Result<PathBuf, Failure> {
    let here = match given {
        Some(folder) => return Ok(folder.to_owned()),
        None => std::env::current_dir().map_err(|source| Failure::Read { path: ".".into(), source })?,
    };
    let found = here.ancestors().find(|folder| folder.join("kernel-config/profiles.toml").exists());
    found.map(Path::to_owned).ok_or(Failure::NoProject)
}

fn report(kernel: &Kernel) {
    println!("{}", kernel.image.display());
    println!("config {}", kernel.config.display());
    println!(
        "compiled in {} s of processor time, {} s on the clock",
        kernel.cost.cpu_seconds, kernel.cost.wall_seconds
    );
}

fn show(out: &Path, records: &[Record]) {
    for record in records {
        println!("{:>9.2} MB  {}", record.size as f64 / 1e6, out.join(&record.name).display());
    }
}
