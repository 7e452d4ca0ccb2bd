//! How large the built image is, beside its budgets.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use bench::{Table, megabytes, verdict};
use clap::Parser;

/// Prints the sizes of the built image.
#[derive(Parser)]
struct Options {
    /// The folder of the built image.
    #[arg(long, default_value = "out/image")]
    image: PathBuf,
    /// The folder of the built programs; by default the one this program was started from.
    #[arg(long)]
    programs: Option<PathBuf>,
}

const MEGABYTE: u64 = 1_000_000;

fn main() -> ExitCode {
    let options = Options::parse();
    let beside = || Some(std::env::current_exe().ok()?.parent()?.to_path_buf());
    let programs = options.programs.or_else(beside).unwrap_or_default();
    let files = [
        ("kernel", options.image.join("vmlinuz"), None),
        ("initramfs, with the root image", options.image.join("initramfs.zst"), None),
        ("root image", options.image.join("root.squashfs"), Some(40 * MEGABYTE)),
        ("unified kernel image", options.image.join("orlop.efi"), None),
        ("ISO", options.image.join("orlop.iso"), Some(96 * MEGABYTE)),
        ("program `init`", programs.join("init"), None),
        ("program `orlop`, every service", programs.join("orlop"), None),
    ];
    let mut table = Table::default();
    let mut over = false;
    for (name, path, budget) in files {
        let bytes = match fs::metadata(&path) {
            Ok(metadata) => metadata.len(),
            Err(error) => {
                eprintln!("bench size: {}: {error}; build it with `./just image`", path.display());
                return ExitCode::FAILURE;
            }
        };
        over |= budget.is_some_and(|budget| bytes > budget);
        table.row(name, megabytes(bytes), budget.map_or_else(String::new, |budget| verdict(bytes, budget)));
    }
    print!("{table}");
    if over { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
