//! PID 1 as it is, with real processes, in a container of its own: a process, mount, network and name space each, and a root
//! directory that holds nothing but `init` and pretended services.
//!
//! The services are this same program, copied under their names; what each of them does stands in `/scenario/<name>`.
//! Needs root (for the name spaces); says so and passes without.

mod machine;
mod pretend;
mod probe;

use std::process::ExitCode;
use std::time::Duration;

use init_core::boot::SERVICES;
use init_core::shutdown::LADDER_LIMIT;
use machine::Machine;
use supervision::{Answer, Request, ServiceStatus, ShutdownMode};

/// Everything here takes less than a second on an idle machine.
const SOON: Duration = Duration::from_secs(30);

const TESTS: [(&str, fn()); 8] = [
    ("boots_in_order_and_powers_off", boots_in_order_and_powers_off),
    ("a_killed_service_comes_back", a_killed_service_comes_back),
    ("a_stubborn_service_does_not_hold_a_reboot", a_stubborn_service_does_not_hold_a_reboot),
    ("a_crash_loop_leaves_the_rest_alone", a_crash_loop_leaves_the_rest_alone),
    ("garbage_and_floods_do_no_harm", garbage_and_floods_do_no_harm),
    ("services_have_only_what_their_rows_say", services_have_only_what_their_rows_say),
    ("a_service_that_breaks_out_is_ended_and_named", a_service_that_breaks_out_is_ended_and_named),
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
    // The one service that may start programs.
    let mut machine = Machine::start(&[("machined", "orphan")]);
    machine.wait_until_ready(SOON);
    let before = machine.status("machined");
    let signal = Request::Signal { service: "machined".into(), signal: 9 };
    assert_eq!(machine.ask(&signal), [Answer::Done]);
    let after = machine.wait_for_status("machined", SOON, |status| status.restarts == 1 && status.state == "ready");
    assert_ne!(after.pid, before.pid);
    assert_eq!(after.last_exit.as_deref(), Some("killed by signal 9"));
    assert_eq!(
        machine.processes("orphan of machined"),
        1,
        "the first generation's orphan is gone, the second has its own"
    );
    assert_eq!(machine.status("kube-apiserver").restarts, 0, "dependents stay up");

    assert_eq!(machine.ask(&Request::Restart { service: "store".into() }), [Answer::Done]);
    machine.wait_for_status("store", SOON, |status| status.restarts == 1 && status.state == "ready");
    let refused = machine.ask(&Request::Signal { service: "store".into(), signal: 4000 });
    assert_eq!(refused, [Answer::Refused("4000 is not the number of a signal".into())]);
    machine.shut_down(ShutdownMode::PowerOff);
    machine.wait_for_end(SOON);
}

fn a_stubborn_service_does_not_hold_a_reboot() {
    let mut machine = Machine::start(&[("kube-controller-manager", "stubborn"), ("machined", "orphan")]);
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

fn services_have_only_what_their_rows_say() {
    let services = [("store", "probe"), ("kube-controller-manager", "probe"), ("readable", "by anybody")];
    let mut machine = Machine::start(&services);
    machine.wait_until_ready(SOON);
    for spec in &SERVICES {
        let found = machine.status(spec.name).confinement.expect("a process");
        let account = spec.confinement.account;
        assert_eq!((found.user, found.group), (account.id, account.id), "{}", spec.name);
        let powers: Vec<String> = spec.confinement.capabilities.iter().map(ToString::to_string).collect();
        assert_eq!(found.capabilities, powers, "{}", spec.name);
        assert!(found.no_new_privileges && found.filtered, "{}: {found:?}", spec.name);
    }
    let own = machine.status("init").confinement.expect("PID 1");
    assert!(own.user == 0 && !own.filtered && own.capabilities.len() > 6, "{own:?}");

    if machine.console().contains("does not know every rule for files and ports") {
        println!("the rest is skipped: this kernel has no Landlock, or an old one");
        return;
    }
    for (service, expected) in [
        (
            "store",
            [
                "read its own credentials: works",
                "read /proc: works",
                "read another's folder: refused",
                "read its arguments: refused",
                "list the root: refused",
                "write its data: works",
                "move its data: works",
                "write into /tmp: refused",
                "write its credentials: refused",
                "listen on 2379: works",
                "listen on 6443: refused",
                "listen on 10257: refused",
                "connect to 6443: no way there",
                "connect to 7000: no way there",
                "talk to the kernel's network: unknown",
                "have a thread: works",
            ],
        ),
        (
            "kube-controller-manager",
            [
                "read its own credentials: works",
                "read /proc: works",
                "read another's folder: refused",
                "read its arguments: refused",
                "list the root: refused",
                "write its data: refused",
                "move its data: refused",
                "write into /tmp: refused",
                "write its credentials: refused",
                "listen on 2379: refused",
                "listen on 6443: refused",
                "listen on 10257: works",
                "connect to 6443: no way there",
                "connect to 7000: refused",
                "talk to the kernel's network: unknown",
                "have a thread: works",
            ],
        ),
    ] {
        let log = machine.log(service, None);
        let tries: Vec<&str> = log.iter().map(String::as_str).filter(|line| line.contains(": ")).skip(1).collect();
        assert_eq!(tries[..expected.len()], expected, "{service}: {log:#?}");
    }
    machine.shut_down(ShutdownMode::PowerOff);
    machine.wait_for_end(SOON);
}

fn a_service_that_breaks_out_is_ended_and_named() {
    let mut machine = Machine::start(&[("kube-controller-manager", "fork")]);
    let ended = |status: &ServiceStatus| status.restarts >= 1;
    let status = machine.wait_for_status("kube-controller-manager", SOON, ended);
    let why = "killed by SIGSYS: it made a system call that is forbidden to it";
    assert_eq!(status.last_exit.as_deref(), Some(why));
    let said = format!("orlop: service kube-controller-manager: exited ({why})\n");
    assert!(machine.console().contains(&said), "{}", machine.console());
    assert_eq!(machine.status("kube-apiserver").restarts, 0);
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
