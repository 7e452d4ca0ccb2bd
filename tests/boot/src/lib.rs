//! The rig of the boot tests: fresh folders, the built image, `kubectl` with a deadline.
//!
//! The tests boot the image that `./just image` has made into `out/image`. What a machine said stays in `out/boot/<test>`
//! for a person to read; its disks are removed when the test has passed.

pub mod partition;

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use chain::Chain;
use image_vm::accelerator;
use image_vm::bring_up::{Access, bring_up};
use image_vm::folder::Folder;
use image_vm::launch::{Life, Vm};
use image_vm::machine_api::MachineApi;
use image_vm::operator;
use image_vm::progress::Display;
use image_vm::setup::{Boot, Disks, Image, Network, Setup};
use image_vm::wait;

/// A machine with an emulated processor on a busy host; four times what a quiet one needs.
pub const BOOT: Duration = Duration::from_mins(5);
/// The machine's own ladder takes at most a minute.
pub const SHUTDOWN: Duration = Duration::from_secs(90);
/// One call of `kubectl`, discovery included.
const KUBECTL: Duration = Duration::from_mins(1);

/// The project's top folder. Asked for when the test runs: checkouts share what was compiled.
pub fn project() -> PathBuf {
    let folder = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo runs the test"));
    folder.ancestors().nth(2).expect("tests/boot lies two folders down").into()
}

/// The image under test.
pub fn image() -> Image {
    Image::built(&project().join("out/image")).unwrap_or_else(|error| panic!("{}", Chain(&error)))
}

/// An empty folder for the machine of one test.
pub fn folder(test: &str) -> Folder {
    let path = project().join("out/boot").join(test);
    match fs::remove_dir_all(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => panic!("{}: {error}", path.display()),
        Ok(()) | Err(_) => {}
    }
    Folder::create(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A machine as `./just up` makes it. It ends with its test, and with its guest's reboot.
pub fn setup(boot: Boot) -> Setup {
    Setup {
        name: "orlop".into(),
        cpus: 2,
        memory: 2048,
        accelerator: accelerator::detect(&accelerator::cache()),
        boot,
        arguments: String::new(),
        disks: Disks::Own,
        network: Network::Free,
        date: None,
        reboots: false,
    }
}

/// Starts a machine.
pub fn start(setup: &Setup, folder: &Folder) -> Vm {
    let machine = setup.prepare(folder, &image()).unwrap_or_else(|error| panic!("{}", Chain(&error)));
    Vm::start(&machine, folder.clone(), Life::WithOwner).unwrap_or_else(|error| panic!("{}", Chain(&error)))
}

/// Follows a machine until Kubernetes answers, telling the test's output how it goes.
pub fn up(vm: &mut Vm) -> Access {
    let mut display = Display::new(io::stderr(), false);
    bring_up(vm, BOOT, &mut display).unwrap_or_else(|error| panic!("{}", Chain(&error)))
}

/// Waits for the machine API alone: for machines whose services do not start.
pub fn machine_api(vm: &mut Vm) -> MachineApi {
    let ports = vm.ports().expect("the machine has a network card");
    let opened = vm.wait_for("the machine API", BOOT, |vm| {
        let credentials = operator::credentials(vm.folder()).unwrap_or_else(|error| panic!("{}", Chain(&error)))?;
        let machine = MachineApi::connect(ports.machine, &credentials, Duration::from_secs(2)).ok()?;
        machine.version().ok().map(|_| machine)
    });
    opened.unwrap_or_else(|error| panic!("{error}"))
}

/// Orders a clean power-off and waits for it; QEMU must end with exit code 0.
pub fn power_off(vm: &mut Vm, access: &Access) {
    access.machine.shutdown("end of the test").unwrap_or_else(|error| panic!("{}", Chain(&error)));
    let status = vm.wait_for_end(SHUTDOWN).unwrap_or_else(|error| panic!("{error}")).expect("QEMU is our child");
    assert!(status.success(), "QEMU ended with {status}; the console's last lines: {:#?}", vm.tail(40));
    assert!(
        vm.console_says("orlop: shutdown: power-off (") && vm.console_says("end of the test"),
        "the console does not say why the machine went down: {:#?}",
        vm.tail(40)
    );
}

/// The test has passed: its disks are of no more use.
pub fn clean(folder: &Folder) {
    for entry in fs::read_dir(folder.path()).expect("the folder is there").flatten() {
        if entry.path().extension().is_some_and(|extension| extension == "raw") {
            fs::remove_file(entry.path()).expect("a disk can be removed");
        }
    }
}

/// Waits for a value that the machine will have sooner or later.
pub fn eventually<T>(what: &str, at_most: Duration, ask: impl FnMut() -> Option<T>) -> T {
    wait::until(Instant::now() + at_most, ask).unwrap_or_else(|| panic!("waited {at_most:?} in vain for {what}"))
}

/// What a program said and how it ended.
#[derive(Debug)]
pub struct Said {
    /// Whether it ended with 0.
    pub success: bool,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

/// `kubectl`, with a kubeconfig and a home of its own.
pub struct Kubectl {
    kubeconfig: PathBuf,
    home: PathBuf,
}

impl Kubectl {
    /// Uses the kubeconfig of an opened machine.
    pub fn new(folder: &Folder, access: &Access) -> Self {
        fs::write(folder.kubeconfig(), &access.kubeconfig).expect("the kubeconfig can be written");
        Self { kubeconfig: folder.kubeconfig(), home: folder.path().into() }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("kubectl");
        command.env("HOME", &self.home).env("KUBECONFIG", &self.kubeconfig).args(arguments).stdin(Stdio::null());
        command
    }

    /// Runs it to its end.
    pub fn run(&self, arguments: &[&str]) -> Said {
        self.run_with(arguments, "")
    }

    /// Runs it with a text on standard input.
    pub fn run_with(&self, arguments: &[&str], input: &str) -> Said {
        // Through files: a pipe that nobody reads would stop it.
        let path = |name: &str| self.home.join(format!("kubectl.{name}"));
        fs::write(path("in"), input).expect("write the input");
        let mut command = self.command(arguments);
        command.stdin(File::open(path("in")).expect("open the input"));
        command.stdout(File::create(path("out")).expect("create the output"));
        command.stderr(File::create(path("err")).expect("create the output"));
        let mut child = command.spawn().unwrap_or_else(|error| panic!("run kubectl: {error}"));
        let status = wait::until(Instant::now() + KUBECTL, || child.try_wait().transpose());
        let Some(status) = status else {
            child.kill().expect("a child can be killed");
            child.wait().expect("a child can be waited for");
            panic!("kubectl {arguments:?} did not end within {KUBECTL:?}: {:?}", fs::read_to_string(path("err")));
        };
        let read = |name| fs::read_to_string(path(name)).expect("the output is text");
        let success = status.expect("a child can be waited for").success();
        let said = Said { success, out: read("out"), err: read("err") };
        let _ = writeln!(io::stderr(), "$ kubectl {}\n{}{}", arguments.join(" "), said.out, said.err);
        said
    }

    /// Runs it and returns what it said; it must work.
    pub fn ok(&self, arguments: &[&str]) -> String {
        self.ok_with(arguments, "")
    }

    /// Runs it with a text on standard input and returns what it said; it must work.
    pub fn ok_with(&self, arguments: &[&str], input: &str) -> String {
        let said = self.run_with(arguments, input);
        assert!(said.success, "kubectl {arguments:?} failed: {}{}", said.out, said.err);
        said.out
    }

    /// Runs it; it must fail. Returns what it said on standard error.
    pub fn refused(&self, arguments: &[&str]) -> String {
        let said = self.run(arguments);
        assert!(!said.success, "kubectl {arguments:?} worked: {}", said.out);
        said.err
    }

    /// Starts it and lets it run.
    pub fn watch(&self, arguments: &[&str]) -> Watch {
        let path = self.home.join("kubectl.watch");
        let mut command = self.command(arguments);
        command.stdout(File::create(&path).expect("create the output"));
        command.stderr(Stdio::inherit());
        Watch { child: command.spawn().unwrap_or_else(|error| panic!("run kubectl: {error}")), path }
    }
}

/// A `kubectl` that goes on until it is dropped.
pub struct Watch {
    child: Child,
    path: PathBuf,
}

impl Watch {
    /// What it has said so far.
    pub fn said(&self) -> String {
        fs::read_to_string(&self.path).unwrap_or_default()
    }

    /// Waits until it has said something that fits.
    pub fn wait_for(&self, what: &str, fits: impl Fn(&str) -> bool) {
        eventually(&format!("{what}; so far: {:?}", self.said()), KUBECTL, || fits(&self.said()).then_some(()));
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
