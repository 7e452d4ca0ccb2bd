//! Short stories; every possible order of events is the simulation's, in `tests/simulation.rs`.

use std::time::Duration;

use super::*;
use crate::boot::SERVICES;

fn at(millis: u64) -> Uptime {
    Uptime::from_millis(millis)
}

fn ready() -> Notice {
    Notice { ready: true, ..Notice::default() }
}

/// All services up and ready, service `n` with pid `100 + n`.
fn booted(now: Uptime) -> Supervisor {
    let mut supervisor = Supervisor::new(&SERVICES);
    let mut commands = supervisor.handle(Event::Tick, now);
    for place in 0..SERVICES.len() {
        let service = ServiceId(place);
        assert!(commands.contains(&Command::Spawn(service)), "{commands:?}");
        let pid = Pid(100 + place as u32);
        assert_eq!(supervisor.handle(Event::Spawned { service, pid }, now), []);
        commands = supervisor.handle(Event::Notified { service, notice: ready() }, now);
    }
    supervisor
}

fn texts(commands: &[Command]) -> Vec<&str> {
    commands
        .iter()
        .filter_map(|command| match command {
            Command::Say { text, .. } => Some(text.as_str()),
            _ => None,
        })
        .collect()
}

fn order(order: Order) -> Event {
    Event::Ordered { by: Some(Asker(1)), order }
}

fn answer(commands: &[Command]) -> &Result<(), String> {
    commands
        .iter()
        .find_map(|command| if let Command::Answer { result, .. } = command { Some(result) } else { None })
        .expect("an answer")
}

#[test]
fn a_dependent_waits_for_readiness_not_for_the_process() {
    let mut supervisor = Supervisor::new(&SERVICES);
    let commands = supervisor.handle(Event::Tick, at(5));
    assert_eq!(texts(&commands), ["service machined: starting"]);
    let service = ServiceId(0);
    assert_eq!(supervisor.handle(Event::Spawned { service, pid: Pid(9) }, at(6)), []);
    assert_eq!(supervisor.statuses()[1].state, "waiting");
    let commands = supervisor.handle(Event::Notified { service, notice: ready() }, at(7));
    assert_eq!(texts(&commands), ["service machined: ready", "service store: starting"]);
    let steps: Vec<_> = supervisor.timeline().steps().iter().map(|step| step.what.as_str()).collect();
    assert_eq!(steps, ["machined starting", "machined ready", "store starting"]);
}

#[test]
fn a_crash_is_told_cleared_and_started_again_alone() {
    let mut supervisor = booted(at(0));
    let commands = supervisor.handle(Event::Exited { pid: Pid(101), exit: Exit::Signal(9) }, at(1000));
    assert_eq!(texts(&commands), ["service store: exited (killed by signal 9)"]);
    assert!(commands.contains(&Command::ShowLastLines(ServiceId(1))));
    assert!(commands.contains(&Command::Kill(ServiceId(1))));
    let commands = supervisor.handle(Event::Cleared { service: ServiceId(1) }, at(1001));
    assert_eq!(texts(&commands), ["service store: starts again in 0.25 s"]);
    assert_eq!(supervisor.wake_at(), Some(at(1251)));
    let status = &supervisor.statuses()[1];
    assert_eq!((status.state.as_str(), status.last_exit.as_deref()), ("down", Some("killed by signal 9")));
    assert!(supervisor.handle(Event::Tick, at(1251)).contains(&Command::Spawn(ServiceId(1))));
    assert_eq!(supervisor.statuses()[2].state, "ready", "dependents stay up");
}

#[test]
fn shutdown_goes_in_reverse_order_and_ends() {
    let mut supervisor = booted(at(0));
    let reason = "test\nof the ladder".to_owned();
    let commands = supervisor.handle(order(Order::Shutdown { mode: ShutdownMode::PowerOff, reason }), at(10));
    assert_eq!(texts(&commands)[0], "shutdown: power-off (test of the ladder)");
    assert_eq!(answer(&commands), &Ok(()));
    let mut commands = commands;
    for place in (0..SERVICES.len()).rev() {
        let pid = Pid(100 + place as u32);
        assert_eq!(
            commands.iter().filter(|command| matches!(command, Command::Terminate(_))).collect::<Vec<_>>(),
            [&Command::Terminate(pid)]
        );
        let _ = supervisor.handle(Event::Exited { pid, exit: Exit::Code(0) }, at(20));
        commands = supervisor.handle(Event::Cleared { service: ServiceId(place) }, at(20));
    }
    assert_eq!(commands, [Command::KillEverything]);
    assert_eq!(supervisor.handle(Event::Alone, at(21)), [Command::Unmount]);
    assert!(supervisor.feeds_watchdog());
    assert_eq!(supervisor.handle(Event::Unmounted, at(22)), [Command::End(ShutdownMode::PowerOff)]);
    assert!(!supervisor.feeds_watchdog());
}

#[test]
fn a_crash_during_shutdown_is_not_restarted() {
    let mut supervisor = booted(at(0));
    let mode = ShutdownMode::Reboot;
    let _ = supervisor.handle(order(Order::Shutdown { mode, reason: String::new() }), at(10));
    let _ = supervisor.handle(Event::Exited { pid: Pid(100), exit: Exit::Code(1) }, at(11));
    let _ = supervisor.handle(Event::Cleared { service: ServiceId(0) }, at(11));
    let commands = supervisor.handle(Event::Tick, at(30_000));
    assert!(!commands.iter().any(|command| matches!(command, Command::Spawn(_))), "{commands:?}");
    let second = supervisor.handle(order(Order::Restart { service: "store".into() }), at(30_001));
    assert_eq!(answer(&second), &Err("the machine is ending (reboot)".into()));
}

#[test]
fn orders_that_make_no_sense_are_refused_by_name() {
    let mut supervisor = Supervisor::new(&SERVICES);
    let _ = supervisor.handle(Event::Tick, at(0));
    let refusal = |supervisor: &mut Supervisor, wanted| {
        answer(&supervisor.handle(order(wanted), at(1))).clone().expect_err("a refusal")
    };
    assert_eq!(
        refusal(&mut supervisor, Order::Restart { service: "shop\u{7}".into() }),
        "there is no service \"shop \""
    );
    assert_eq!(
        refusal(&mut supervisor, Order::Restart { service: "store".into() }),
        "service store waits until machined was ready once"
    );
    assert_eq!(
        refusal(&mut supervisor, Order::Signal { service: "store".into(), signal: 9 }),
        "service store has no process now"
    );
}

#[test]
fn a_late_service_is_named_and_stopped() {
    let mut supervisor = Supervisor::new(&SERVICES);
    let _ = supervisor.handle(Event::Tick, at(0));
    let _ = supervisor.handle(Event::Spawned { service: ServiceId(0), pid: Pid(9) }, at(0));
    let limit = SERVICES[0].policy.ready_within;
    assert_eq!(supervisor.wake_at(), Some(at(0) + limit));
    let commands = supervisor.handle(Event::Tick, at(0) + limit);
    assert_eq!(texts(&commands), ["service machined: not ready in time, stopping"]);
    let commands = supervisor.handle(Event::Tick, at(0) + limit + Duration::from_secs(5));
    assert_eq!(texts(&commands), ["service machined: does not stop, killing it"]);
}
