//! PID 1 as it is, with real processes, in a container of its own: a process, mount, network and name space each, and a root
//! directory that holds nothing but `init` and pretended services.
//!
//! The services are this same program, copied under their names; what each of them does stands in `/scenario/<name>`.
//! Needs root (for the name spaces); says so and passes without.

mod machine;
mod pretend;

use std::process::ExitCode;
use std::time::Duration;

use init_core::boot::SERVICES;
use init_core::shutdown::LADDER_LIMIT;
use machine::Machine;
use supervision::{Answer, Request, ShutdownMode};

/// Everything here takes less than a second on an idle machine.
const SOON: Duration = Duration::from_secs(30);

const TESTS: [(&str, fn()); 6] = [
    ("boots_in_order_and_powers_off", boots_in_order_and_powers_off),
    ("a_killed_service_comes_back", a_killed_service_comes_back),
    ("a_stubborn_service_does_not_hold_a_reboot", a_stubborn_service_does_not_hold_a_reboot),
    ("a_crash_loop_leaves_the_rest_alone", a_crash_loop_leaves_the_rest_alone),
    ("garbage_and_floods_do_no_harm", garbage_and_floods_do_no_harm),
    ("signals_end_the_machine", signals_end_the_machine),
];

/// The part of the standard test harness that runners use: `--list`, and the name of one test.
fn main() -> ExitCode {
    let mut arguments = std::env::args();
    let own_name = arguments.next().unwrap_or_default();
    let own_name = own_name.rsplit('/').next().unwrap_or_default();
    if SERVICES.iter().any(|spec| spec.name == own_name) {
        return pretend::service(own_name);
    }
    let arguments: Vec<String> = arguments.collect();
    let ignored = arguments.iter().any(|argument| argument == "--ignored");
    if arguments.iter().any(|argument| argument == "--list") {
        for (name, _) in TESTS.iter().filter(|_| !ignored) {
            println!("{name}: test");
        }
        return ExitCode::SUCCESS;
    }
    if let Some(reason) = machine::missing() {
        println!("skipped: {reason}");
        return ExitCode::SUCCESS;
    }
    let asked: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    for (name, test) in TESTS {
        if !ignored && (asked.is_empty() || asked.iter().any(|part| name.contains(part.as_str()))) {
            println!("test {name}");
            test();
        }
    }
    ExitCode::SUCCESS
}

fn boots_in_order_and_powers_off() {
    let mut machine = Machine::start(&[]);
    machine.wait_until_ready(SOON);
    let console = machine.console();
    let mut steps = vec!["boot: init".to_owned()];
    for spec in &SERVICES {
        steps.extend([format!("service {}: starting", spec.name), format!("service {}: ready", spec.name)]);
    }
    let shown: Vec<&str> =
        console.lines().filter_map(machine::text).filter(|text| steps.iter().any(|s| s == text)).collect();
    assert_eq!(shown, steps, "{console}");

    let [Answer::Timeline(timeline)] = &machine.ask(&Request::Timeline)[..] else { panic!("no timeline") };
    let first: Vec<&str> = timeline.iter().take(3).map(|step| step.what.as_str()).collect();
    assert_eq!(first, ["kernel", "init", "machined starting"]);
    assert!(timeline.is_sorted_by_key(|step| step.uptime_ms), "{timeline:?}");

    let own = machine.status("init");
    assert_eq!((own.pid, own.state.as_str()), (Some(1), "ready"));
    assert!(own.memory_bytes.is_some_and(|bytes| (500_000..20_000_000).contains(&bytes)), "{own:?}");

    let log = machine.log("store", None);
    assert_eq!(log, ["pretending to be store", "arguments: --name first machine"]);
    assert_eq!(machine.log("store", Some(1)).len(), 1);
    assert!(machine.log("init", None).contains(&"service store: ready".to_owned()));
    let refused = machine.ask(&Request::Logs { service: "nobody".into(), tail: None, follow: false });
    assert_eq!(refused, [Answer::Refused("there is no service \"nobody\"".into())]);

    machine.shut_down(ShutdownMode::PowerOff);
    assert_eq!(machine.wait_for_end(SOON), ShutdownMode::PowerOff);
    let console = machine.console();
    assert!(console.contains("orlop: shutdown: power-off (a test)\n"), "{console}");
    let exits: Vec<&str> =
        console.lines().filter_map(machine::text).filter(|text| text.ends_with("exited (exit code 0)")).collect();
    let expected: Vec<String> =
        SERVICES.iter().rev().map(|spec| format!("service {}: exited (exit code 0)", spec.name)).collect();
    assert_eq!(exits, expected, "services stop in reverse order");
}

fn a_killed_service_comes_back() {
    let mut machine = Machine::start(&[("store", "orphan")]);
    machine.wait_until_ready(SOON);
    let before = machine.status("store");
    let signal = Request::Signal { service: "store".into(), signal: 9 };
    assert_eq!(machine.ask(&signal), [Answer::Done]);
    let after = machine.wait_for_status("store", SOON, |status| status.restarts == 1 && status.state == "ready");
    assert_ne!(after.pid, before.pid);
    assert_eq!(after.last_exit.as_deref(), Some("killed by signal 9"));
    assert_eq!(
        machine.processes("orphan of store"),
        1,
        "the first generation's orphan is gone, the second has its own"
    );
    assert_eq!(machine.status("kube-apiserver").restarts, 0, "dependents stay up");

    assert_eq!(machine.ask(&Request::Restart { service: "store".into() }), [Answer::Done]);
    machine.wait_for_status("store", SOON, |status| status.restarts == 2 && status.state == "ready");
    let refused = machine.ask(&Request::Signal { service: "store".into(), signal: 4000 });
    assert_eq!(refused, [Answer::Refused("4000 is not the number of a signal".into())]);
    machine.shut_down(ShutdownMode::PowerOff);
    machine.wait_for_end(SOON);
}

fn a_stubborn_service_does_not_hold_a_reboot() {
    let mut machine = Machine::start(&[("kube-controller-manager", "stubborn\norphan")]);
    machine.wait_until_ready(SOON);
    machine.shut_down(ShutdownMode::Reboot);
    assert_eq!(machine.wait_for_end(LADDER_LIMIT), ShutdownMode::Reboot);
    let console = machine.console();
    assert!(console.contains("service kube-controller-manager: does not stop, killing it\n"), "{console}");
    assert!(console.contains("service machined: exited (exit code 0)\n"), "{console}");
}

fn a_crash_loop_leaves_the_rest_alone() {
    let mut machine = Machine::start(&[("kube-apiserver", "crash")]);
    let status = machine.wait_for_status("kube-apiserver", SOON, |status| status.restarts >= 3);
    assert_eq!(status.last_exit.as_deref(), Some("exit code 3"));
    assert_eq!(machine.status("kube-controller-manager").state, "waiting");
    assert_eq!(machine.status("store").state, "ready");
    let refused = machine.ask(&Request::Restart { service: "kube-controller-manager".into() });
    let why = "service kube-controller-manager waits until kube-apiserver was ready once";
    assert_eq!(refused, [Answer::Refused(why.into())]);
    let console = machine.console();
    for line in [
        "service kube-apiserver: exited (exit code 3)",
        "kube-apiserver| crashing as told",
        "service kube-apiserver: starts again in 0.25 s",
        "service kube-apiserver: starts again in 0.50 s",
    ] {
        assert!(console.contains(&format!("orlop: {line}\n")), "{line}\n{console}");
    }
    machine.shut_down(ShutdownMode::PowerOff);
    machine.wait_for_end(SOON);
}

fn garbage_and_floods_do_no_harm() {
    let mut machine = Machine::start(&[("store", "flood")]);
    machine.wait_until_ready(SOON);
    for garbage in [&b"\xff\xfe\x00"[..], &[b'x'; 3000], b"READY=1\nSTATUS=not yours"] {
        machine.notify(garbage);
    }
    for garbage in [&b"\0\n"[..], b"{}\n", b"[[[[\n", &[b'y'; 10_000]] {
        let answers = machine.say(garbage);
        assert!(matches!(answers.as_slice(), [Answer::Refused(_)]), "{answers:?}");
    }
    let mut follower = machine.follow("store");
    let mut seen = 0;
    while seen < 1000 {
        let Answer::LogLine(line) = follower.next().expect("a line") else { panic!("not a line") };
        seen += usize::from(line.text.starts_with("flood"));
    }
    drop(follower);
    assert_eq!(machine.status("store").status_text, None, "a stranger's status is not taken");
    let kept: usize = machine.log("store", None).iter().map(String::len).sum();
    assert!(kept < 600 * 1024, "{kept} bytes are kept");
    machine.shut_down(ShutdownMode::PowerOff);
    machine.wait_for_end(SOON);
}

fn signals_end_the_machine() {
    for (signal, mode, reason) in [
        ("TERM", ShutdownMode::PowerOff, "shutdown: power-off (SIGTERM)"),
        ("INT", ShutdownMode::Reboot, "shutdown: reboot (Ctrl-Alt-Del)"),
        ("PWR", ShutdownMode::PowerOff, "shutdown: power-off (power is failing)"),
    ] {
        let mut machine = Machine::start(&[]);
        machine.wait_until_ready(SOON);
        machine.signal(signal);
        assert_eq!(machine.wait_for_end(SOON), mode);
        let console = machine.console();
        assert!(console.contains(reason), "{console}");
    }
}
