//! A started QEMU: its console, its end.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::arguments::{Machine, Ports, files};
use crate::console::{Console, Stamped};
use crate::folder::Folder;
use crate::process::Process;
use crate::progress::{Stage, Timeline};
use crate::qmp::Control;
use crate::wait;

/// QEMU opens its sockets before the guest runs; on a busy host that takes a second or two.
const OPENING: Duration = Duration::from_secs(30);
/// Steps kept: a service that crashes in a loop makes more without end.
const KEPT_STEPS: usize = 4096;
/// QEMU ends at once when told to.
const QUITTING: Duration = Duration::from_secs(10);

/// Why a machine could not be started or waited for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of the machine's folder could not be used.
    #[error("use the machine's folder {folder}")]
    Folder {
        /// The folder.
        folder: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// QEMU is not there or cannot be run.
    #[error("run {program}")]
    Run {
        /// The program.
        program: &'static str,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// QEMU ended instead of starting the machine.
    #[error("QEMU did not start the machine ({status}): {said}")]
    Refused {
        /// How it ended.
        status: ExitStatus,
        /// What it said.
        said: String,
    },
    /// The machine ended while something was waited for.
    #[error("the machine ended while waiting for {what}{}", tail(console))]
    Ended {
        /// What was waited for.
        what: String,
        /// The last lines of its console.
        console: Vec<String>,
    },
    /// Time was over.
    #[error("waited {} s in vain for {what}{}", waited.as_secs(), tail(console))]
    Late {
        /// What was waited for.
        what: String,
        /// For how long.
        waited: Duration,
        /// The last lines of the console.
        console: Vec<String>,
    },
}

fn tail(console: &[String]) -> String {
    let mut text = "; the console's last lines:".to_owned();
    for line in console {
        text.push_str("\n    ");
        text.push_str(line);
    }
    text
}

/// What is kept on disk about a machine that outlives the program that started it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    /// QEMU.
    pub process: Process,
    /// Port of the machine API on the loopback.
    pub machine_port: u16,
    /// Port of kube-apiserver on the loopback.
    pub kubernetes_port: u16,
}

impl Record {
    /// Writes it down.
    pub fn write(&self, folder: &Folder) -> Result<(), Error> {
        let text = serde_json::to_vec(self).map_err(|error| folder_error(folder, error.into()))?;
        durable::write(&folder.record(), &text, 0o600).map_err(|source| folder_error(folder, source))
    }

    /// The machine that runs in this folder. A record whose process has ended is as good as none.
    pub fn running(folder: &Folder) -> Result<Option<Self>, Error> {
        Ok(Self::last(folder)?.filter(|record| record.process.runs()))
    }

    /// The machine that was last started in this folder, whether it still runs or not.
    pub fn last(folder: &Folder) -> Result<Option<Self>, Error> {
        match fs::read(folder.record()) {
            // A record that cannot be read was written by another version: its machine is unknown, not an error.
            Ok(text) => Ok(serde_json::from_slice(&text).ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(folder_error(folder, source)),
        }
    }
}

fn folder_error(folder: &Folder, source: io::Error) -> Error {
    Error::Folder { folder: folder.path().display().to_string(), source }
}

/// Whose child QEMU is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// It ends with the value that stands for it: tests and measurements.
    WithOwner,
    /// It goes on after the program that started it has ended.
    Detached,
}

/// A running machine.
pub struct Vm {
    folder: Folder,
    /// Present when QEMU is our child.
    child: Option<Child>,
    process: Process,
    life: Life,
    ports: Option<Ports>,
    log: Option<File>,
    console: Console,
    timeline: Timeline,
    steps: VecDeque<Stamped>,
    started: Instant,
    kernel_started: Option<Instant>,
}

impl Vm {
    /// Starts a machine whose files are in `folder`. Returns when QEMU runs it, which says nothing about the guest.
    pub fn start(machine: &Machine, folder: Folder, life: Life) -> Result<Self, Error> {
        folder.clear_run().map_err(|source| folder_error(&folder, source))?;
        let log = File::create(folder.qemu_log()).map_err(|source| folder_error(&folder, source))?;
        let mut command = Command::new(machine.program());
        command.args(machine.arguments()).current_dir(folder.path());
        let out = log.try_clone().map_err(|source| folder_error(&folder, source))?;
        command.stdin(Stdio::null()).stdout(out).stderr(log);
        if life == Life::Detached {
            // Out of the terminal's foreground group: Ctrl-C while waiting leaves the machine alone.
            command.process_group(0);
        }
        let started = Instant::now();
        let mut child = command.spawn().map_err(|source| Error::Run { program: machine.program(), source })?;
        let process = match Process::of(child.id()) {
            Ok(process) => process,
            Err(source) => {
                // Nothing more is known about it than that it is our child: it must not be left behind.
                let _ = child.kill();
                let _ = child.wait();
                return Err(folder_error(&folder, source));
            }
        };
        let mut vm = Self {
            folder,
            child: Some(child),
            process,
            life,
            ports: machine.network,
            log: None,
            console: Console::default(),
            timeline: Timeline::default(),
            steps: VecDeque::new(),
            started,
            kernel_started: None,
        };
        match vm.wait_until_open() {
            Ok(()) => Ok(vm),
            Err(error) => {
                vm.kill();
                Err(error)
            }
        }
    }

    /// Takes up a machine that an earlier program has started, with its console from the beginning.
    pub fn attach(folder: Folder, record: &Record) -> Self {
        Self {
            folder,
            child: None,
            process: record.process.clone(),
            life: Life::Detached,
            ports: Some(Ports { machine: record.machine_port, kubernetes: record.kubernetes_port }),
            log: None,
            console: Console::default(),
            timeline: Timeline::default(),
            steps: VecDeque::new(),
            started: Instant::now(),
            kernel_started: None,
        }
    }

    fn wait_until_open(&mut self) -> Result<(), Error> {
        let deadline = Instant::now() + OPENING;
        let open = wait::until(deadline, || {
            if let Some(status) = self.exit_status() {
                return Some(Err(status));
            }
            Control::connect(self.folder.path(), files::CONTROL_SOCKET).is_ok().then_some(Ok(()))
        });
        match open {
            Some(Ok(())) => Ok(()),
            Some(Err(status)) => {
                let said = fs::read_to_string(self.folder.qemu_log()).unwrap_or_default();
                Err(Error::Refused { status, said: said.trim().to_owned() })
            }
            None => Err(Error::Late { what: "QEMU's control socket".into(), waited: OPENING, console: Vec::new() }),
        }
    }

    /// The machine's folder.
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// QEMU's process.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// The forwarded ports of a machine with a network card.
    pub fn ports(&self) -> Option<Ports> {
        self.ports
    }

    /// Time since QEMU was started.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// How far this boot has come.
    pub fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    /// The steps read so far, over all boots of this run.
    pub fn steps(&self) -> impl DoubleEndedIterator<Item = &Stamped> + ExactSizeIterator {
        self.steps.iter()
    }

    /// The last lines of the console.
    pub fn tail(&self, lines: usize) -> Vec<String> {
        self.console.tail(lines)
    }

    /// Time since the start of the kernel, as seen from the host. `None` until a line with a time was read.
    ///
    /// The start is worked out from when lines come and what time they say; the line that came fastest counts.
    pub fn since_kernel_start(&self) -> Option<Duration> {
        self.kernel_started.map(|started| started.elapsed())
    }

    /// Records that a stage was seen from the host, now.
    pub fn reach(&mut self, stage: Stage) -> Option<Stage> {
        let at = self.since_kernel_start();
        self.timeline.reach(stage, at)
    }

    /// Reads what the console has said since the last call; the stages that were reached.
    pub fn read_console(&mut self) -> Result<Vec<Stage>, Error> {
        let mut reached = Vec::new();
        if self.log.is_none() {
            match File::open(self.folder.console_log()) {
                Ok(log) => self.log = Some(log),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(folder_error(&self.folder, source)),
            }
        }
        let Some(log) = &mut self.log else { return Ok(reached) };
        let mut buffer = [0; 16 * 1024];
        loop {
            let read = log.read(&mut buffer).map_err(|source| folder_error(&self.folder, source))?;
            if read == 0 {
                return Ok(reached);
            }
            let now = Instant::now();
            for stamped in self.console.feed(&buffer[..read]) {
                if self.timeline.begins_again(&stamped.step) {
                    self.kernel_started = None;
                }
                if let Some(started) = stamped.at.and_then(|at| now.checked_sub(at)) {
                    self.kernel_started = Some(self.kernel_started.map_or(started, |known| known.min(started)));
                }
                reached.extend(self.timeline.observe(&stamped));
                if self.steps.len() == KEPT_STEPS {
                    self.steps.pop_front();
                }
                self.steps.push_back(stamped);
            }
        }
    }

    /// Waits for an answer while the machine runs.
    pub fn wait_for<T>(
        &mut self,
        what: &str,
        at_most: Duration,
        mut ask: impl FnMut(&mut Self) -> Option<T>,
    ) -> Result<T, Error> {
        let deadline = Instant::now() + at_most;
        loop {
            // Whether it runs is asked before its console is read: the last lines of a machine that ended count.
            let runs = self.runs();
            self.read_console()?;
            if let Some(answer) = ask(self) {
                return Ok(answer);
            }
            if !runs {
                return Err(Error::Ended { what: what.to_owned(), console: self.tail(40) });
            }
            if Instant::now() >= deadline {
                return Err(Error::Late { what: what.to_owned(), waited: at_most, console: self.tail(40) });
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until this boot has reached a stage.
    pub fn wait_for_stage(&mut self, stage: Stage, at_most: Duration) -> Result<(), Error> {
        self.wait_for(stage.name(), at_most, |vm| vm.timeline.has(stage).then_some(()))
    }

    /// Waits until the console has said a text, at any time since QEMU was started.
    pub fn wait_for_text(&mut self, text: &str, at_most: Duration) -> Result<(), Error> {
        self.wait_for(&format!("{text:?} on the console"), at_most, |vm| vm.console_says(text).then_some(()))
    }

    /// Whether the console has said a text, at any time since QEMU was started.
    pub fn console_says(&self, text: &str) -> bool {
        fs::read(self.folder.console_log()).is_ok_and(|log| String::from_utf8_lossy(&log).contains(text))
    }

    /// Waits for the end of QEMU. For a child the answer is its exit status; a machine that was attached has none.
    pub fn wait_for_end(&mut self, at_most: Duration) -> Result<Option<ExitStatus>, Error> {
        let folder = self.folder.clone();
        let ended = self.process.wait(at_most).map_err(|source| folder_error(&folder, source))?;
        self.read_console()?;
        if !ended {
            return Err(Error::Late { what: "the end of the machine".into(), waited: at_most, console: self.tail(40) });
        }
        match &mut self.child {
            Some(child) => child.wait().map(Some).map_err(|source| folder_error(&folder, source)),
            None => Ok(None),
        }
    }

    /// Ends QEMU at once, as a power cut would: first by word, then by force.
    pub fn cut_power(&mut self) -> Result<(), Error> {
        let folder = self.folder.clone();
        if self.runs() {
            if let Ok(mut control) = Control::connect(folder.path(), files::CONTROL_SOCKET) {
                // QEMU may end before it has answered.
                let _ = control.execute("quit");
                if self.wait_for_end(QUITTING).is_ok() {
                    return Ok(());
                }
            }
            self.process.kill().map_err(|source| folder_error(&folder, source))?;
        }
        self.wait_for_end(QUITTING).map(drop)
    }

    /// Whether QEMU runs.
    pub fn runs(&mut self) -> bool {
        self.exit_status().is_none() && self.process.runs()
    }

    fn exit_status(&mut self) -> Option<ExitStatus> {
        self.child.as_mut().and_then(|child| child.try_wait().ok().flatten())
    }

    fn kill(&mut self) {
        let _ = self.process.kill();
        if let Some(child) = &mut self.child {
            let _ = child.wait();
        }
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        if self.life == Life::WithOwner {
            self.kill();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::{Accelerator, Arch, Medium};

    fn folder(name: &str) -> Folder {
        Folder::create(&std::env::temp_dir().join(format!("launch-{name}-{}", std::process::id()))).unwrap()
    }

    /// A machine with nothing to boot: SeaBIOS says so and waits.
    fn machine(iso: &str) -> Machine {
        Machine {
            name: "test".into(),
            arch: Arch::X86_64,
            accelerator: Accelerator::Tcg,
            cpus: 1,
            memory: 64,
            medium: Medium::IsoBios(iso.into()),
            disks: Vec::new(),
            network: None,
            config: None,
            operator_request: None,
            date: None,
            reboots: false,
        }
    }

    #[test]
    fn a_machine_ends_with_its_owner() {
        let folder = folder("owner");
        fs::write(folder.path().join("empty.iso"), vec![0; 1 << 16]).unwrap();
        let mut vm = Vm::start(&machine("empty.iso"), folder.clone(), Life::WithOwner).unwrap();
        let process = vm.process().clone();
        assert!(vm.runs());
        drop(vm);
        assert!(!process.runs());
        fs::remove_dir_all(folder.path()).unwrap();
    }

    #[test]
    fn a_detached_machine_is_found_again_and_stopped() {
        let folder = folder("detached");
        fs::write(folder.path().join("empty.iso"), vec![0; 1 << 16]).unwrap();
        let vm = Vm::start(&machine("empty.iso"), folder.clone(), Life::Detached).unwrap();
        let record = Record { process: vm.process().clone(), machine_port: 1, kubernetes_port: 2 };
        record.write(&folder).unwrap();
        // Kept, not dropped: a child that nobody reaps would stay as a zombie of the test.
        let found = Record::running(&folder).unwrap().expect("it runs");
        let mut attached = Vm::attach(folder.clone(), &found);
        attached.cut_power().unwrap();
        assert!(Record::running(&folder).unwrap().is_none());
        drop(vm);
        fs::remove_dir_all(folder.path()).unwrap();
    }

    #[test]
    fn what_qemu_says_against_its_arguments_is_shown() {
        let folder = folder("refused");
        let error = Vm::start(&machine("no-such.iso"), folder.clone(), Life::WithOwner).err().expect("it cannot start");
        assert!(matches!(&error, Error::Refused { said, .. } if said.contains("no-such.iso")), "{error}");
        fs::remove_dir_all(folder.path()).unwrap();
    }

    #[test]
    fn a_wait_ends_with_the_machine() {
        let folder = folder("wait");
        fs::write(folder.path().join("empty.iso"), vec![0; 1 << 16]).unwrap();
        let mut vm = Vm::start(&machine("empty.iso"), folder.clone(), Life::WithOwner).unwrap();
        let late = vm.wait_for_stage(Stage::Kernel, Duration::from_millis(200));
        assert!(matches!(late, Err(Error::Late { .. })));
        vm.process.kill().unwrap();
        let ended = vm.wait_for_stage(Stage::Kernel, Duration::from_mins(1));
        assert!(matches!(ended, Err(Error::Ended { .. })));
        drop(vm);
        fs::remove_dir_all(folder.path()).unwrap();
    }
}
