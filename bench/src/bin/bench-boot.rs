//! How long a boot takes and how much memory it leaves resident, in a machine of its own.
//!
//! Times count from the start of the kernel. Each is also given as a multiple of what the bare kernel needs to start its
//! first program in the same run: on an emulated processor seconds say little, the multiple says what our part costs.

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use bench::{Table, megabytes, verdict};
use chain::Chain;
use clap::{Parser, ValueEnum};
use image_vm::accelerator;
use image_vm::arguments::Accelerator;
use image_vm::bring_up::{Access, bring_up};
use image_vm::folder::Folder;
use image_vm::launch::{self, Life, Vm};
use image_vm::progress::{Display, Stage};
use image_vm::setup::{Boot, Disks, Image, Network, Setup};

/// Measures boots of the built image.
#[derive(Parser)]
struct Options {
    /// How many boots; the first is on a blank disk, the others find it filled.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=100))]
    runs: u32,
    /// What it boots from.
    #[arg(long, value_enum, default_value = "direct")]
    from: From,
    /// Seconds of idleness before memory is read.
    #[arg(long, default_value_t = 15)]
    settle: u64,
    #[arg(long, default_value_t = 2)]
    cpus: u32,
    #[arg(long, default_value_t = 2048)]
    memory: u32,
    /// The folder of the built image.
    #[arg(long, default_value = "out/image")]
    image: PathBuf,
    /// The machine's folder; emptied first.
    #[arg(long, default_value = "out/bench")]
    folder: PathBuf,
}

#[derive(Clone, Copy, ValueEnum)]
enum From {
    Direct,
    IsoBios,
    IsoUefi,
}

const UP: Duration = Duration::from_mins(5);
const DOWN: Duration = Duration::from_secs(90);

const MEGABYTE: u64 = 1_000_000;
/// Budget for what keeps the machine itself running.
const MACHINE_BUDGET: u64 = 40 * MEGABYTE;
/// Budget for the control plane.
const CONTROL_PLANE_BUDGET: u64 = 100 * MEGABYTE;

fn main() -> ExitCode {
    match measure(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench boot: {}", Chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

fn measure(options: &Options) -> Result<(), Box<dyn Error>> {
    let image = Image::built(&options.image)?;
    let accelerator = accelerator::detect(&accelerator::cache());
    let folder = Folder::create(&options.folder)?;
    folder.wipe()?;
    let setup = Setup {
        name: "bench".into(),
        cpus: options.cpus,
        memory: options.memory,
        accelerator,
        boot: match options.from {
            From::Direct => Boot::Direct,
            From::IsoBios => Boot::IsoBios,
            From::IsoUefi => Boot::IsoUefi,
        },
        arguments: String::new(),
        disks: Disks::Own,
        network: Network::Free,
        date: None,
        reboots: false,
    };
    println!("On {accelerator}, {} processors, {} MiB.", options.cpus, options.memory);
    for run in 1..=options.runs {
        println!("\nBoot {run}, {}:\n", if run == 1 { "blank disk" } else { "disk of an earlier boot" });
        let mut vm = Vm::start(&setup.prepare(&folder, &image)?, folder.clone(), Life::WithOwner)?;
        let access = bring_up(&mut vm, UP, &mut Display::stderr())?;
        print!("{}", times(&vm, accelerator));
        if run == options.runs {
            // Memory of an idle machine: nothing may be asked of it in the meantime.
            let idle = vm.wait_for("idleness", Duration::from_secs(options.settle), |_| None::<()>);
            if !matches!(idle, Err(launch::Error::Late { .. })) {
                idle?;
            }
            print!("\nResident memory, {} s later:\n\n{}", options.settle, memory(&access)?);
        }
        access.machine.shutdown("end of the measurement")?;
        vm.wait_for_end(DOWN)?;
    }
    fs::remove_file(folder.disk())?;
    Ok(())
}

fn times(vm: &Vm, accelerator: Accelerator) -> Table {
    let timeline = vm.timeline();
    let bare = timeline.at(Stage::Initramfs);
    let mut table = Table::default();
    let rows = [
        (Stage::Initramfs, "kernel to its first program", None),
        (Stage::Init, "init from the root image", None),
        (Stage::Machined, "machine API", Some(3)),
        (Stage::Store, "store", None),
        (Stage::ApiServer, "kube-apiserver", None),
        (Stage::ControllerManager, "kube-controller-manager", None),
        (Stage::Ready, "/readyz, asked from the host", Some(5)),
    ];
    for (stage, name, budget) in rows {
        let Some(at) = timeline.at(stage) else { continue };
        let multiple = bare.map_or_else(String::new, |bare| format!("{:.1}×", at.as_secs_f64() / bare.as_secs_f64()));
        // The budgets are for a processor that is not emulated.
        let beside = match (budget, accelerator) {
            (Some(seconds), Accelerator::Kvm) if at > Duration::from_secs(seconds) => {
                format!("{multiple}  OVER {seconds} s")
            }
            (Some(seconds), Accelerator::Kvm) => format!("{multiple}  within {seconds} s"),
            (Some(_), Accelerator::Tcg) | (None, _) => multiple,
        };
        table.row(name, format!("{:.2} s", at.as_secs_f64()), beside);
    }
    table
}

fn memory(access: &Access) -> Result<Table, Box<dyn Error>> {
    let mut table = Table::default();
    let (mut machine, mut control_plane) = (0, 0);
    for service in access.machine.services()? {
        let Some(bytes) = service.memory_bytes else { continue };
        match service.name.as_str() {
            "init" | "machined" | "console" => machine += bytes,
            _ => control_plane += bytes,
        }
        table.row(service.name, megabytes(bytes), "");
    }
    table.row("the machine itself", megabytes(machine), verdict(machine, MACHINE_BUDGET));
    table.row("the control plane", megabytes(control_plane), verdict(control_plane, CONTROL_PLANE_BUDGET));
    Ok(table)
}
