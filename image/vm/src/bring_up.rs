//! Follows a machine until Kubernetes answers, and opens the ways into it.

use std::time::Duration;

use chain::Chain;

use crate::console::Step;
use crate::kubernetes::{self, Kubernetes};
use crate::launch::{self, Vm};
use crate::machine_api::{self, MachineApi};
use crate::operator::{self, Credentials};
use crate::progress::{Display, Stage};

/// How long one try to reach the machine may hold up the display.
const TRY: Duration = Duration::from_secs(2);

/// Why a machine did not become usable.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It did not get there; the source says where it stayed.
    #[error("the machine did not come up: it stayed before {}; {}{}", stage.name(), stage.hint(), last(last_refusal.as_deref()))]
    Stuck {
        /// What it was on the way to.
        stage: Stage,
        /// Why the last try to reach it from the host failed.
        last_refusal: Option<String>,
        /// How the wait ended.
        #[source]
        source: launch::Error,
    },
    /// It gave up by itself.
    #[error("the machine gave up: {why}; the console's last lines:\n    {}", console.join("\n    "))]
    GaveUp {
        /// The kernel's or init's word.
        why: String,
        /// The last lines of the console.
        console: Vec<String>,
    },
}

fn last(refusal: Option<&str>) -> String {
    refusal.map_or_else(String::new, |refusal| format!("; the last try from here: {refusal}"))
}

/// The ways into a machine that is up.
pub struct Access {
    /// The operator's certificate, as the machine gave it.
    pub credentials: Credentials,
    /// The machine API.
    pub machine: MachineApi,
    /// An administrator's kubeconfig.
    pub kubeconfig: String,
    /// kube-apiserver, as that administrator.
    pub kubernetes: Kubernetes,
}

/// How far the ways into a machine are open. Each step needs what the one before has given.
enum Way {
    Closed,
    Machine(Credentials, MachineApi),
    Kubernetes(Access),
}

/// Follows a machine until `/readyz` says yes and every service is ready.
pub fn bring_up<W: std::io::Write>(vm: &mut Vm, at_most: Duration, display: &mut Display<W>) -> Result<Access, Error> {
    let mut way = Some(Way::Closed);
    let mut refusal = None;
    let mut shown = Shown::default();
    let outcome = vm.wait_for("the machine to be up", at_most, |vm| {
        shown.update(vm, display);
        if let Some(why) = vm.timeline().end() {
            return Some(Err(Error::GaveUp { why: why.to_owned(), console: vm.tail(40) }));
        }
        let next = step(vm, way.take()?, &mut refusal);
        if let Way::Kubernetes(access) = next {
            match access.kubernetes.ready(TRY) {
                Ok(true) if vm.timeline().has(Stage::ControllerManager) => {
                    vm.reach(Stage::Ready);
                    shown.update(vm, display);
                    return Some(Ok(access));
                }
                Ok(true) => refusal = None,
                Ok(false) => refusal = Some("/readyz says no".to_owned()),
                Err(error) => refusal = Some(Chain(&error).to_string()),
            }
            way = Some(Way::Kubernetes(access));
        } else {
            way = Some(next);
        }
        None
    });
    display.done();
    match outcome {
        Ok(outcome) => outcome,
        Err(source) => {
            let stage = vm.timeline().waiting_for().unwrap_or(Stage::Ready);
            Err(Error::Stuck { stage, last_refusal: refusal, source })
        }
    }
}

/// Tries the next way in; on failure the way stays as it was, and the reason is kept.
fn step(vm: &mut Vm, way: Way, refusal: &mut Option<String>) -> Way {
    let Some(ports) = vm.ports() else { return way };
    match way {
        Way::Closed => match open_machine(vm, ports.machine) {
            Ok(Some((credentials, machine))) => Way::Machine(credentials, machine),
            Ok(None) => Way::Closed,
            Err(error) => {
                *refusal = Some(Chain(&error).to_string());
                Way::Closed
            }
        },
        Way::Machine(credentials, machine) => match open_kubernetes(&machine, ports.kubernetes) {
            Ok((kubeconfig, kubernetes)) => Way::Kubernetes(Access { credentials, machine, kubeconfig, kubernetes }),
            Err(error) => {
                *refusal = Some(Chain(&error).to_string());
                Way::Machine(credentials, machine)
            }
        },
        Way::Kubernetes(access) => Way::Kubernetes(access),
    }
}

/// A way in could not be opened yet.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error(transparent)]
    Operator(#[from] operator::Error),
    #[error(transparent)]
    Machine(#[from] machine_api::Error),
    #[error(transparent)]
    Kubernetes(#[from] kubernetes::Error),
}

fn open_machine(vm: &Vm, port: u16) -> Result<Option<(Credentials, MachineApi)>, Refusal> {
    let Some(credentials) = operator::credentials(vm.folder())? else { return Ok(None) };
    let machine = MachineApi::connect(port, &credentials, TRY)?;
    machine.version()?;
    Ok(Some((credentials, machine)))
}

fn open_kubernetes(machine: &MachineApi, port: u16) -> Result<(String, Kubernetes), Refusal> {
    let kubeconfig = machine.kubeconfig(port)?;
    let kubernetes = Kubernetes::new(&kubeconfig, port)?;
    Ok((kubeconfig, kubernetes))
}

/// What has been shown of a machine's way.
#[derive(Default)]
struct Shown {
    stages: Vec<Stage>,
    exits: usize,
}

impl Shown {
    fn update<W: std::io::Write>(&mut self, vm: &Vm, display: &mut Display<W>) {
        let elapsed = vm.elapsed();
        let exits: Vec<_> = vm.steps().filter_map(|stamped| exit(&stamped.step)).collect();
        for text in exits.iter().skip(self.exits) {
            display.note(text, elapsed);
        }
        self.exits = exits.len();
        for stage in Stage::ALL {
            if vm.timeline().has(stage) && !self.stages.contains(&stage) {
                self.stages.push(stage);
                display.reached(stage, elapsed);
            }
        }
        if let Some(stage) = vm.timeline().waiting_for() {
            display.waiting(stage, elapsed);
        }
    }
}

fn exit(step: &Step) -> Option<String> {
    match step {
        Step::Exited { service, why } => Some(format!("{service} exited ({why}) and is started again")),
        Step::Kernel
        | Step::Initramfs
        | Step::Init
        | Step::Starting(_)
        | Step::Ready(_)
        | Step::Shutdown(_)
        | Step::Panic(_) => None,
    }
}
