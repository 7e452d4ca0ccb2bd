//! Runs the image in a virtual machine: what `just up`, `down`, `console` and `kubeconfig` call.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use chain::Chain;
use clap::{Args, Parser, Subcommand, ValueEnum};
use image_vm::accelerator;
use image_vm::arguments::{Accelerator, Ports, files};
use image_vm::bring_up::{self, bring_up};
use image_vm::folder::{self, Folder};
use image_vm::launch::{self, Life, Record, Vm};
use image_vm::machine_api::{self, MachineApi};
use image_vm::operator;
use image_vm::progress::Display;
use image_vm::setup::{self, Boot, Disks, Image, Network, Setup};

/// The machine's own ladder ends after 60 seconds; then the plug is pulled.
const SHUTDOWN: Duration = Duration::from_secs(75);
/// A machine that runs answers within this time, or it is stopped without being asked.
const REACH: Duration = Duration::from_secs(5);

#[derive(Parser)]
#[command(name = "vm", about = "Runs the Orlop image in a virtual machine", version)]
struct Options {
    /// The machine's folder
    #[arg(long, global = true, default_value = "out/cluster")]
    folder: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start the machine, or find the one that runs, and wait until Kubernetes answers
    Up(Up),
    /// Stop the machine
    Down {
        /// Forget the machine's disk and identity too
        #[arg(long)]
        wipe: bool,
    },
    /// Show the machine's console and go on with it; input goes to the machine
    Console,
    /// Write a fresh kubeconfig and print its path
    Kubeconfig,
    /// Say whether the machine runs; the exit code is 0 when it does
    Running,
}

#[derive(Args)]
struct Up {
    /// Number of machines; more than one has to wait for clusters of several members
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1))]
    nodes: u32,
    /// Processors of each machine
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
    cpus: u32,
    /// Memory of each machine in MiB
    #[arg(long, default_value_t = 2048, value_parser = clap::value_parser!(u32).range(512..=1_048_576))]
    memory: u32,
    /// Boot from the ISO instead of loading the kernel directly
    #[arg(long)]
    iso: bool,
    /// The firmware that boots the ISO
    #[arg(long, value_enum, default_value = "uefi", requires = "iso")]
    firmware: Firmware,
    /// The processor architecture
    #[arg(long, value_enum, default_value = "x86-64")]
    arch: ArchName,
    /// Name of the machine and of its cluster
    #[arg(long, default_value = "orlop", value_parser = host_name)]
    name: String,
    /// What executes the machine
    #[arg(long, value_enum, default_value = "auto")]
    accelerator: AcceleratorName,
    /// Further kernel arguments
    #[arg(long, default_value = "", conflicts_with = "iso")]
    append: String,
    /// Seconds until a machine that is not up counts as failed
    #[arg(long, default_value_t = 600)]
    timeout: u64,
    /// The folder of the built image
    #[arg(long, default_value = "out/image")]
    image: PathBuf,
}

#[derive(Clone, Copy, ValueEnum)]
enum Firmware {
    Bios,
    Uefi,
}

#[derive(Clone, Copy, ValueEnum)]
enum ArchName {
    #[value(name = "x86-64", alias = "x86_64", alias = "amd64")]
    X86_64,
}

#[derive(Clone, Copy, ValueEnum)]
enum AcceleratorName {
    /// KVM when it truly works, else an emulated processor
    Auto,
    Kvm,
    Tcg,
}

/// A label of the domain name system: it becomes the machine's host name.
fn host_name(text: &str) -> Result<String, String> {
    let fits = (1..=63).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-');
    if fits {
        Ok(text.to_owned())
    } else {
        Err("a name has lower-case letters, digits and inner dashes, at most 63".into())
    }
}

/// What may go wrong on the way.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Launch(#[from] launch::Error),
    #[error(transparent)]
    Setup(#[from] setup::Error),
    #[error(transparent)]
    BringUp(#[from] bring_up::Error),
    #[error(transparent)]
    Operator(#[from] operator::Error),
    #[error(transparent)]
    Machine(#[from] machine_api::Error),
    #[error("use {}", path.display())]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("no machine runs: start one with `./just up`")]
    NotRunning,
    #[error("the machine has not handed out the operator's certificate yet")]
    NoCredentials,
}

fn main() -> ExitCode {
    let options = Options::parse();
    match run(&options) {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("vm: {}", Chain(&failure));
            if matches!(failure, Failure::BringUp(_)) {
                eprintln!(
                    "\nThe machine is left as it is: `./just console` shows its console, `./just down` stops it."
                );
            }
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<ExitCode, Failure> {
    let folder =
        Folder::create(&options.folder).map_err(|source| Failure::File { path: options.folder.clone(), source })?;
    match &options.command {
        Command::Up(order) => up(&folder, order)?,
        Command::Down { wipe } => down(&folder, *wipe)?,
        Command::Console => console(&folder)?,
        Command::Kubeconfig => {
            let record = Record::running(&folder)?.ok_or(Failure::NotRunning)?;
            let machine = connect(&folder, &record)?;
            write_kubeconfig(&folder, &machine.kubeconfig(record.kubernetes_port)?)?;
            println!("{}", folder.kubeconfig().display());
        }
        Command::Running => {
            return Ok(if Record::running(&folder)?.is_some() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn up(folder: &Folder, order: &Up) -> Result<(), Failure> {
    let mut vm = start_or_find(folder.clone(), order)?;
    let mut display = Display::stderr();
    let up = bring_up(&mut vm, Duration::from_secs(order.timeout), &mut display);
    // Also for a machine that did not come up: its API says more than its console.
    if let (Some(ports), Some(credentials)) = (vm.ports(), operator::credentials(folder)?) {
        operator::write_orlopconfig(folder, &order.name, ports.machine, &credentials)?;
    }
    let access = up?;
    write_kubeconfig(folder, &access.kubeconfig)?;
    explain(folder);
    Ok(())
}

/// The machine that runs, or a new one. Two calls at the same time start one machine.
fn start_or_find(folder: Folder, order: &Up) -> Result<Vm, Failure> {
    let _lock = folder.lock().map_err(|source| Failure::File { path: folder.path().into(), source })?;
    if let Some(record) = Record::running(&folder)? {
        eprintln!("The machine runs already (process {}).", record.process.pid());
        return Ok(Vm::attach(folder, &record));
    }
    let image = Image::built(&order.image)?;
    let accelerator = match order.accelerator {
        AcceleratorName::Auto => accelerator::detect(&accelerator::cache()),
        AcceleratorName::Kvm => Accelerator::Kvm,
        AcceleratorName::Tcg => Accelerator::Tcg,
    };
    let ArchName::X86_64 = order.arch;
    let last = Record::last(&folder)?;
    let setup = Setup {
        name: order.name.clone(),
        cpus: order.cpus,
        memory: order.memory,
        accelerator,
        boot: match (order.iso, order.firmware) {
            (false, _) => Boot::Direct,
            (true, Firmware::Bios) => Boot::IsoBios,
            (true, Firmware::Uefi) => Boot::IsoUefi,
        },
        arguments: order.append.clone(),
        disks: Disks::Own,
        network: last.map_or(Network::Free, |last| {
            Network::Preferred(Ports { machine: last.machine_port, kubernetes: last.kubernetes_port })
        }),
        date: None,
        reboots: true,
    };
    let machine = setup.prepare(&folder, &image)?;
    let vm = Vm::start(&machine, folder.clone(), Life::Detached)?;
    eprintln!(
        "Starting a machine on {accelerator}: {} processors, {} MiB, process {}.",
        order.cpus,
        order.memory,
        vm.process().pid()
    );
    if let Some(ports) = machine.network {
        let record =
            Record { process: vm.process().clone(), machine_port: ports.machine, kubernetes_port: ports.kubernetes };
        record.write(&folder)?;
    }
    Ok(vm)
}

fn explain(folder: &Folder) {
    let kubeconfig = shown(&folder.kubeconfig());
    println!("Kubernetes is ready.\n");
    println!("  kubectl --kubeconfig {kubeconfig} get namespaces");
    println!("  ./just orlopctl services      what runs in the machine");
    println!("  ./just console                its console (leave with Ctrl-C)");
    println!("  ./just down                   stop it; with --wipe, forget it too");
}

/// A path as a person in the current folder would type it.
fn shown(path: &Path) -> String {
    let here = std::env::current_dir().and_then(std::fs::canonicalize);
    let relative = here.ok().and_then(|here| path.strip_prefix(here).ok().map(Path::to_path_buf));
    relative.unwrap_or_else(|| path.to_path_buf()).display().to_string()
}

fn write_kubeconfig(folder: &Folder, text: &str) -> Result<(), Failure> {
    let path = folder.kubeconfig();
    durable::write(&path, text.as_bytes(), 0o600).map_err(|source| Failure::File { path, source })
}

fn connect(folder: &Folder, record: &Record) -> Result<MachineApi, Failure> {
    let credentials = operator::credentials(folder)?.ok_or(Failure::NoCredentials)?;
    Ok(MachineApi::connect(record.machine_port, &credentials, REACH)?)
}

/// Asks the machine to switch itself off; pulls the plug when it does not.
fn down(folder: &Folder, wipe: bool) -> Result<(), Failure> {
    let file = |source| Failure::File { path: folder.path().into(), source };
    let _lock = folder.lock().map_err(file)?;
    match Record::running(folder)? {
        Some(record) => stop(folder, &record)?,
        None => eprintln!("No machine runs."),
    }
    if wipe {
        folder.wipe().map_err(file)?;
        eprintln!("The machine's disk and identity are gone; its configuration is kept.");
    }
    Ok(())
}

fn stop(folder: &Folder, record: &Record) -> Result<(), Failure> {
    let mut vm = Vm::attach(folder.clone(), record);
    let asked = connect(folder, record).and_then(|machine| Ok(machine.shutdown("just down")?));
    match asked {
        Ok(()) => {
            eprintln!("The machine shuts down …");
            match vm.wait_for_end(SHUTDOWN) {
                Ok(_) => {
                    eprintln!("The machine is off.");
                    return Ok(());
                }
                Err(error) => eprintln!("It did not end by itself: {error}"),
            }
        }
        Err(error) => eprintln!("The machine cannot be asked to shut down: {}", Chain(&error)),
    }
    vm.cut_power()?;
    eprintln!("The machine was stopped as by a power cut.");
    Ok(())
}

/// Shows the console from its log, which anyone may read at any time; input goes through the socket, which one may have.
fn console(folder: &Folder) -> Result<(), Failure> {
    let record = Record::running(folder)?;
    let path = folder.console_log();
    let file = |source| Failure::File { path: path.clone(), source };
    let mut log = File::open(&path).map_err(file)?;
    if record.is_some() && io::stdin().is_terminal() {
        forward_input(folder).map_err(|source| Failure::File { path: folder.path().into(), source })?;
    }
    let mut out = io::stdout();
    let mut buffer = [0; 4096];
    loop {
        let runs = record.as_ref().is_some_and(|record| record.process.runs());
        loop {
            let read = log.read(&mut buffer).map_err(file)?;
            if read == 0 {
                break;
            }
            let written = out.write_all(&buffer[..read]).and_then(|()| out.flush());
            match written {
                // The reader has seen enough, for example `| head`.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
                other => other.map_err(file)?,
            }
        }
        match &record {
            // New bytes come or the machine ends; the wait is short so that both are seen soon.
            Some(record) if runs => drop(record.process.wait(Duration::from_millis(100)).map_err(file)?),
            Some(_) | None => {
                eprintln!("\nThe machine is off.");
                return Ok(());
            }
        }
    }
}

/// Copies what is typed to the machine, in a thread that ends with the program.
fn forward_input(folder: &Folder) -> io::Result<()> {
    let socket = folder::connect(folder.path(), files::CONSOLE_SOCKET)?;
    let mut drain = socket.try_clone()?;
    // What the machine says comes through the log; here it must only not pile up.
    std::thread::spawn(move || io::copy(&mut drain, &mut io::sink()));
    std::thread::spawn(move || io::copy(&mut io::stdin(), &mut &socket));
    Ok(())
}
