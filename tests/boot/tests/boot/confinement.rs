//! What the kernel says that the services may do.

use image_vm::bring_up::Access;
use image_vm::launch::Vm;

/// Each service runs as itself, with no more power than it was given; PID 1 is the only one without bounds.
pub(crate) fn services_are_confined(vm: &Vm, access: &Access) {
    assert!(
        !vm.console_says("does not know every rule for files and ports"),
        "Landlock is missing: {:#?}",
        vm.tail(40)
    );
    let services = access.machine.services().expect("the services");
    let powers = ["chown", "net_bind_service", "net_admin", "sys_admin", "sys_time", "syslog"];
    for (name, user, capabilities) in [
        ("machined", 0, &powers[..]),
        ("store", 61_001, &[]),
        ("kube-apiserver", 61_002, &[]),
        ("kube-controller-manager", 61_003, &[]),
    ] {
        let service = services.iter().find(|service| service.name == name).expect("the service");
        let found = service.confinement.as_ref().unwrap_or_else(|| panic!("{service:?}"));
        assert_eq!((found.user, found.group), (user, user), "{service:?}");
        assert_eq!(found.capabilities, capabilities, "{service:?}");
        assert!(found.no_new_privileges && found.filtered, "{service:?}");
    }
    for name in ["machined", "store", "kube-apiserver", "kube-controller-manager"] {
        let log = access.machine.logs(name, 1000).expect("the log");
        // What a service cannot open or call because its row forgot it shows up as one of these.
        for trouble in ["Permission denied", "Operation not permitted", "Function not implemented"] {
            let told: Vec<_> = log.iter().filter(|line| format!("{line:?}").contains(trouble)).collect();
            assert!(told.is_empty(), "{name}: {told:#?}");
        }
    }
}
