//! How far a machine has come on its way to a usable Kubernetes API, and how that is shown to a person.
//!
//! [`Timeline`] decides (no I/O, no clock); [`Display`] writes it on a terminal or, without one, as plain lines.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use crate::console::{Stamped, Step};

/// What has to happen until the machine is usable, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Firmware and boot loader are through, the kernel runs.
    Kernel,
    /// The kernel has started the first stage of init.
    Initramfs,
    /// Init runs from the root image.
    Init,
    /// Disks, network and identity are in place, the machine API serves.
    Machined,
    /// The store serves.
    Store,
    /// The Kubernetes API server serves.
    ApiServer,
    /// The controllers run.
    ControllerManager,
    /// `/readyz` answers from outside.
    Ready,
}

impl Stage {
    /// Every stage, in order.
    pub const ALL: [Self; 8] = [
        Self::Kernel,
        Self::Initramfs,
        Self::Init,
        Self::Machined,
        Self::Store,
        Self::ApiServer,
        Self::ControllerManager,
        Self::Ready,
    ];

    /// The stage's name, as shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Initramfs => "initramfs",
            Self::Init => "init",
            Self::Machined => "machined",
            Self::Store => "store",
            Self::ApiServer => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
            Self::Ready => "/readyz",
        }
    }

    /// What a person can look at when the machine stays before this stage.
    pub fn hint(self) -> &'static str {
        match self {
            Self::Kernel => "the firmware found nothing to boot, or the kernel does not print on the serial port",
            Self::Initramfs => "the kernel did not start init: look for a missing driver or a damaged initramfs above",
            Self::Init => "the root image could not be mounted",
            Self::Machined => {
                "machined brings up disks, network and identity: its lines above say which one it waits for"
            }
            Self::Store => "the store did not start: is the disk full or damaged?",
            Self::ApiServer => "kube-apiserver waits for the store, or it could not read its credentials",
            Self::ControllerManager => "kube-controller-manager could not reach kube-apiserver",
            Self::Ready => "the machine is up, but its ports do not answer from the host",
        }
    }

    fn of(step: &Step) -> Option<Self> {
        match step {
            Step::Kernel => Some(Self::Kernel),
            Step::Initramfs => Some(Self::Initramfs),
            Step::Init => Some(Self::Init),
            Step::Ready(service) => [Self::Machined, Self::Store, Self::ApiServer, Self::ControllerManager]
                .into_iter()
                .find(|stage| stage.name() == service),
            Step::Starting(_) | Step::Exited { .. } | Step::Shutdown(_) | Step::Panic(_) => None,
        }
    }
}

/// The stages reached so far.
#[derive(Debug, Clone, Default)]
pub struct Timeline {
    reached: Vec<(Stage, Option<Duration>)>,
    end: Option<String>,
}

impl Timeline {
    /// Takes a step; returns the stage when it is reached for the first time in this boot.
    ///
    /// A boot begins again with the first line of the kernel, or of the initramfs under a kernel that is quiet: the
    /// timeline starts anew.
    pub fn observe(&mut self, stamped: &Stamped) -> Option<Stage> {
        if self.begins_again(&stamped.step) {
            *self = Self::default();
        }
        match &stamped.step {
            Step::Initramfs => drop(self.reach(Stage::Kernel, None)),
            Step::Panic(text) => self.end = Some(text.clone()),
            Step::Shutdown(text) => self.end = Some(format!("shutdown: {text}")),
            Step::Kernel | Step::Init | Step::Starting(_) | Step::Ready(_) | Step::Exited { .. } => {}
        }
        let stage = Stage::of(&stamped.step)?;
        self.reach(stage, stamped.at)
    }

    /// Whether a step is the first of another boot than the one this timeline shows.
    pub fn begins_again(&self, step: &Step) -> bool {
        match step {
            Step::Kernel => !self.reached.is_empty(),
            Step::Initramfs => self.has(Stage::Initramfs),
            Step::Init
            | Step::Starting(_)
            | Step::Ready(_)
            | Step::Exited { .. }
            | Step::Shutdown(_)
            | Step::Panic(_) => false,
        }
    }

    /// Records a stage that was seen by other means than the console; `at` counts from the start of the kernel.
    pub fn reach(&mut self, stage: Stage, at: Option<Duration>) -> Option<Stage> {
        if self.reached.iter().any(|(known, _)| *known == stage) {
            return None;
        }
        self.reached.push((stage, at));
        Some(stage)
    }

    /// When a stage was reached, counted from the start of the kernel.
    pub fn at(&self, stage: Stage) -> Option<Duration> {
        self.reached.iter().find(|(known, _)| *known == stage).and_then(|(_, at)| *at)
    }

    /// Whether a stage was reached.
    pub fn has(&self, stage: Stage) -> bool {
        self.reached.iter().any(|(known, _)| *known == stage)
    }

    /// The first stage that is still to come.
    pub fn waiting_for(&self) -> Option<Stage> {
        Stage::ALL.into_iter().find(|stage| !self.has(*stage))
    }

    /// Why this boot will get no further: a panic, or a shutdown that nobody here asked for.
    pub fn end(&self) -> Option<&str> {
        self.end.as_deref()
    }
}

/// Without a terminal, a line is printed at least this often, so that a log shows that something is still going on.
const REMINDER: Duration = Duration::from_secs(15);

/// Shows a timeline as it grows.
pub struct Display<W> {
    out: W,
    terminal: bool,
    said: Duration,
}

impl Display<std::io::Stderr> {
    /// Shows on standard error: a moving line on a terminal, else plain lines.
    pub fn stderr() -> Self {
        let err = std::io::stderr();
        let terminal = err.is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        Self::new(err, terminal)
    }
}

impl<W: Write> Display<W> {
    /// Shows on `out`.
    pub fn new(out: W, terminal: bool) -> Self {
        Self { out, terminal, said: Duration::ZERO }
    }

    /// A stage was reached `elapsed` after the start of the machine. A display that cannot be written is left alone.
    pub fn reached(&mut self, stage: Stage, elapsed: Duration) {
        self.said = elapsed;
        let clear = if self.terminal { "\r\u{1b}[K" } else { "" };
        let _ = writeln!(self.out, "{clear}  {:6.1} s  {}", elapsed.as_secs_f64(), stage.name());
    }

    /// Something of note happened on the way.
    pub fn note(&mut self, text: &str, elapsed: Duration) {
        let clear = if self.terminal { "\r\u{1b}[K" } else { "" };
        let _ = writeln!(self.out, "{clear}  {:6.1} s  {text}", elapsed.as_secs_f64());
    }

    /// The machine is still on its way to `stage`. Call it often; it prints when there is something to see.
    pub fn waiting(&mut self, stage: Stage, elapsed: Duration) {
        if self.terminal {
            let _ = write!(self.out, "\r\u{1b}[K  {:6.1} s  waiting for {} …", elapsed.as_secs_f64(), stage.name());
            let _ = self.out.flush();
        } else if elapsed.saturating_sub(self.said) >= REMINDER {
            self.said = elapsed;
            let _ = writeln!(self.out, "  {:6.1} s  still waiting for {}", elapsed.as_secs_f64(), stage.name());
        }
    }

    /// Ends the moving line.
    pub fn done(&mut self) {
        if self.terminal {
            let _ = write!(self.out, "\r\u{1b}[K");
            let _ = self.out.flush();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamped(step: Step, millis: u64) -> Stamped {
        Stamped { step, at: Some(Duration::from_millis(millis)) }
    }

    #[test]
    fn the_next_stage_is_the_one_that_is_missing() {
        let mut timeline = Timeline::default();
        assert_eq!(timeline.waiting_for(), Some(Stage::Kernel));
        assert_eq!(timeline.observe(&stamped(Step::Kernel, 0)), Some(Stage::Kernel));
        assert_eq!(timeline.observe(&stamped(Step::Initramfs, 900)), Some(Stage::Initramfs));
        assert_eq!(timeline.observe(&stamped(Step::Starting("machined".into()), 1000)), None);
        assert_eq!(timeline.waiting_for(), Some(Stage::Init));
        assert_eq!(timeline.at(Stage::Initramfs), Some(Duration::from_millis(900)));
    }

    #[test]
    fn a_service_that_comes_back_does_not_move_its_first_time() {
        let mut timeline = Timeline::default();
        assert_eq!(timeline.observe(&stamped(Step::Ready("store".into()), 3000)), Some(Stage::Store));
        assert_eq!(timeline.observe(&stamped(Step::Ready("store".into()), 9000)), None);
        assert_eq!(timeline.at(Stage::Store), Some(Duration::from_secs(3)));
    }

    #[test]
    fn a_reboot_starts_the_timeline_again() {
        let mut timeline = Timeline::default();
        timeline.observe(&stamped(Step::Ready("store".into()), 3000));
        timeline.observe(&stamped(Step::Shutdown("reboot (machine API)".into()), 4000));
        assert!(timeline.end().is_some());
        timeline.observe(&stamped(Step::Kernel, 0));
        assert!(timeline.end().is_none() && !timeline.has(Stage::Store));
    }

    #[test]
    fn a_quiet_kernel_is_seen_by_its_initramfs() {
        let mut timeline = Timeline::default();
        timeline.observe(&stamped(Step::Initramfs, 900));
        assert_eq!(timeline.waiting_for(), Some(Stage::Init));
        timeline.observe(&stamped(Step::Init, 1000));
        timeline.observe(&stamped(Step::Initramfs, 800));
        assert_eq!(timeline.waiting_for(), Some(Stage::Init), "this is the next boot");
        assert_eq!(timeline.at(Stage::Initramfs), Some(Duration::from_millis(800)));
    }

    #[test]
    fn without_a_terminal_a_long_wait_is_told_now_and_then() {
        let mut shown = Vec::new();
        let mut display = Display::new(&mut shown, false);
        display.reached(Stage::Kernel, Duration::from_secs(1));
        for second in 2..40 {
            display.waiting(Stage::Initramfs, Duration::from_secs(second));
        }
        let text = String::from_utf8(shown).unwrap();
        assert_eq!(text.lines().count(), 3, "{text}");
        assert!(text.lines().last().unwrap().ends_with("still waiting for initramfs"));
        assert!(!text.contains('\r'));
    }
}
