//! The life of a machine: first boot, work, faults, power-off, and a second boot on the same disk.

use image_vm::bring_up::Access;
use image_vm::launch::Vm;
use image_vm::setup::{Boot, Setup};
use tests_boot::{Kubectl, SHUTDOWN, clean, folder, power_off, setup, start, up};

use crate::{confinement, faults, shows};

#[test]
fn a_machine_lives_and_keeps_what_it_was_given() {
    let folder = folder("life");
    let first = Setup { arguments: "orlop.nonsense=1".into(), ..setup(Boot::Direct) };
    let mut vm = start(&first, &folder);
    let access = up(&mut vm);
    let kubectl = Kubectl::new(&folder, &access);

    says_who_it_is(&access);
    confinement::services_are_confined(&vm, &access);
    reports_the_unknown_argument(&mut vm, &access);
    shows::everyday_work(&kubectl);
    shows::a_namespace_is_emptied_and_goes(&kubectl);
    faults::strangers_stay_outside(&vm, &access);
    faults::garbage_is_shrugged_off(&vm, &access);
    faults::killed_services_come_back(&access, &kubectl);
    confinement::services_are_confined(&vm, &access);
    let cluster = access.machine.status().expect("the status").cluster_id;
    power_off(&mut vm, &access);
    drop(vm);

    let mut vm = start(&Setup { reboots: true, ..setup(Boot::Direct) }, &folder);
    let access = up(&mut vm);
    let kubectl = Kubectl::new(&folder, &access);
    assert_eq!(access.machine.status().expect("the status").cluster_id, cluster, "the identity is kept");
    let color = kubectl.ok(&["-n", "demo", "get", "configmap", "kept", "-o", "jsonpath={.data.color}"]);
    assert_eq!(color, "red", "what was written is kept");
    assert!(kubectl.ok(&["-n", "demo", "get", "configmaps", "-o", "name"]).contains("configmap/before-store\n"));
    let conditions = access.machine.status().expect("the status").conditions;
    assert!(!conditions.iter().any(|condition| condition.message.contains("nonsense")), "{conditions:?}");

    let access = reboot(&mut vm, &access);
    assert_eq!(Kubectl::new(&folder, &access).ok(&["get", "ns", "demo", "-o", "name"]), "namespace/demo\n");
    power_off(&mut vm, &access);
    clean(&folder);
}

/// Orders a reboot; the same QEMU boots again and comes up.
fn reboot(vm: &mut Vm, access: &Access) -> Access {
    access.machine.reboot("the test wants it").expect("the reboot");
    let said = vm.wait_for("the shutdown", SHUTDOWN, |vm| vm.timeline().end().map(str::to_owned));
    let said = said.unwrap_or_else(|error| panic!("{error}"));
    assert!(said.starts_with("shutdown: reboot (") && said.contains("the test wants it"), "{said}");
    let next = vm.wait_for("the next boot", SHUTDOWN, |vm| vm.timeline().end().is_none().then_some(()));
    next.unwrap_or_else(|error| panic!("{error}"));
    up(vm)
}

fn says_who_it_is(access: &Access) {
    let version = access.machine.version().expect("the version");
    assert_eq!(version.version, env!("CARGO_PKG_VERSION"));
    assert_eq!(version.architecture, "x86_64");
    let services = access.machine.services().expect("the services");
    let names: Vec<_> = services.iter().map(|service| service.name.as_str()).collect();
    for name in ["machined", "store", "kube-apiserver", "kube-controller-manager"] {
        let service =
            services.iter().find(|service| service.name == name).unwrap_or_else(|| panic!("{name} in {names:?}"));
        assert_eq!(service.state, "ready", "{service:?}");
        assert_eq!(service.restarts, 0, "{service:?}");
        assert!(service.memory_bytes.is_some_and(|bytes| bytes > 1 << 20), "{service:?}");
    }
    let steps: Vec<_> = access.machine.boot_timeline().expect("the timeline").into_iter().collect();
    assert!(steps.windows(2).all(|pair| pair[0].uptime_ms <= pair[1].uptime_ms), "{steps:?}");
    assert!(steps.iter().any(|step| step.what.contains("kube-apiserver")), "{steps:?}");
    assert!(!access.machine.logs("store", 10).expect("the store's log").is_empty());
}

fn reports_the_unknown_argument(vm: &mut Vm, access: &Access) {
    vm.wait_for_text("orlop.nonsense", std::time::Duration::from_secs(5)).unwrap_or_else(|error| panic!("{error}"));
    let conditions = access.machine.status().expect("the status").conditions;
    assert!(conditions.iter().any(|condition| condition.message.contains("orlop.nonsense")), "{conditions:?}");
}
