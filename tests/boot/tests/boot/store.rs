//! A store whose disk is full, and one that cannot read its data: told, bounded, and nothing lost.

use std::fs;
use std::time::{Duration, Instant};

use image_vm::bring_up::Access;
use image_vm::launch::Vm;
use image_vm::machine_api::MachineApi;
use image_vm::setup::Boot;
use tests_boot::partition::Ext4;
use tests_boot::{BOOT, Kubectl, SHUTDOWN, clean, eventually, folder, machine_api, power_off, setup, start, up};

const MIB: u64 = 1 << 20;
/// From the fact to the message.
const TOLD: Duration = Duration::from_secs(30);
/// On a partition that another writer has filled.
const FILLER: &str = "filler";
/// The store's refusal, in etcd's words.
const NO_SPACE: &str = "database space exceeded";

/// A disk that fills while the machine works, then one with no space at all, then one with room again.
#[test]
fn a_full_disk_takes_no_writes_and_loses_none() {
    let folder = folder("full-disk");
    let mut vm = start(&setup(Boot::Direct), &folder);
    let access = up(&mut vm);
    Kubectl::new(&folder, &access).ok(&["create", "configmap", "early", "--from-literal=a=b"]);
    power_off(&mut vm, &access);
    drop(vm);

    // Somebody else takes most of the disk; the store takes the rest, down to what it leaves for deletions.
    let data = Ext4::on(&folder.disk(), "DATA");
    data.fill(FILLER, data.reserved() + 192 * MIB);
    let mut vm = start(&setup(Boot::Direct), &folder);
    let access = up(&mut vm);
    let kubectl = Kubectl::new(&folder, &access);
    tells_of_little_space(&mut vm, &access.machine, "is almost full");
    let written = write_until_refused(&kubectl);
    assert!(written.len() > 2, "only {written:?} went through");
    tells_of_little_space(&mut vm, &access.machine, "is full");
    serves_without_space(&kubectl, &access);
    assert_eq!(kubectl.ok(&["delete", "configmap", "large-0"]), "configmap \"large-0\" deleted\n");
    power_off(&mut vm, &access);
    drop(vm);

    // Next to nothing is left: the store opens from its reserve.
    let data = Ext4::on(&folder.disk(), "DATA");
    data.fill("filler-2", 0);
    let mut vm = start(&setup(Boot::Direct), &folder);
    let access = up(&mut vm);
    let kubectl = Kubectl::new(&folder, &access);
    tells_of_little_space(&mut vm, &access.machine, "is full");
    serves_without_space(&kubectl, &access);
    power_off(&mut vm, &access);
    drop(vm);

    let data = Ext4::on(&folder.disk(), "DATA");
    data.remove("filler-2");
    data.remove(FILLER);
    let mut vm = start(&setup(Boot::Direct), &folder);
    let access = up(&mut vm);
    let kubectl = Kubectl::new(&folder, &access);
    eventually("the store to take writes again", Duration::from_mins(1), || {
        kubectl.run(&["create", "configmap", "late", "--from-literal=a=b"]).success.then_some(())
    });
    let kept = kubectl.ok(&["get", "configmaps", "-o", "name"]);
    let others = ["configmap/early".to_owned(), "configmap/late".to_owned()];
    for name in written.iter().filter(|name| **name != "configmap/large-0").chain(&others) {
        assert!(kept.contains(&format!("{name}\n")), "{name} was acknowledged and is lost: {kept}");
    }
    assert!(!kept.contains("configmap/large-0\n"), "its deletion was acknowledged and is lost: {kept}");
    power_off(&mut vm, &access);
    clean(&folder);
}

fn tells_of_little_space(vm: &mut Vm, machine: &MachineApi, how: &str) {
    let sentence = format!("the DATA partition (/var) {how}");
    vm.wait_for_text(&sentence, TOLD).unwrap_or_else(|error| panic!("{error}"));
    let conditions = machine.status().expect("the status").conditions;
    let told = conditions.iter().any(|condition| condition.part == "space" && condition.message.contains(&sentence));
    assert!(told, "the API does not tell of it: {conditions:?}");
}

/// Writes config maps of the largest size until one is refused; the names of those that went through.
fn write_until_refused(kubectl: &Kubectl) -> Vec<String> {
    const AT_ONCE: usize = 4;
    let filling = "x".repeat(900 * 1024);
    let mut written = Vec::new();
    for first in (0..400).step_by(AT_ONCE) {
        let manifests: String = (first..first + AT_ONCE).map(|number| manifest(number, &filling)).collect();
        let said = kubectl.run_with(&["create", "-f", "-"], &manifests);
        let names = said.out.lines().filter_map(|line| line.strip_suffix(" created"));
        written.extend(names.map(str::to_owned));
        if !said.success {
            assert!(said.err.contains(NO_SPACE), "{}", said.err);
            return written;
        }
    }
    panic!("the disk does not become full");
}

fn manifest(number: usize, filling: &str) -> String {
    let name = format!("large-{number}");
    format!(
        "---\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n  namespace: default\ndata:\n  a: {filling}\n"
    )
}

/// Everything but writing works, nothing was started again, and the refusal says why.
fn serves_without_space(kubectl: &Kubectl, access: &Access) {
    assert!(kubectl.ok(&["get", "configmaps", "-o", "name"]).contains("configmap/early\n"));
    let refused = kubectl.refused(&["create", "configmap", "one-more", "--from-literal=a=b"]);
    assert!(refused.contains(NO_SPACE), "{refused}");
    for service in access.machine.services().expect("the services") {
        assert!(service.state == "ready" && service.restarts == 0, "{service:?}");
    }
}

/// A store whose files are damaged ends again and again. The machine says so, waits longer each time, and takes orders.
#[test]
fn a_store_that_cannot_start_is_told_of_and_tried_again() {
    let folder = folder("crash-loop");
    let mut vm = start(&setup(Boot::Direct), &folder);
    let access = up(&mut vm);
    Kubectl::new(&folder, &access).ok(&["create", "configmap", "kept", "--from-literal=a=b"]);
    power_off(&mut vm, &access);
    drop(vm);

    let current = "lib/store/member/raft/CURRENT";
    let (good, bad) = (folder.path().join("good"), folder.path().join("bad"));
    let data = Ext4::on(&folder.disk(), "DATA");
    data.copy_out(current, &good);
    fs::write(&bad, "nonsense").expect("write a file");
    data.replace(current, &bad);

    let mut vm = start(&setup(Boot::Direct), &folder);
    let machine = machine_api(&mut vm);
    vm.wait_for_text("service store: exited", BOOT).unwrap_or_else(|error| panic!("{error}"));
    vm.wait_for_text("open the log in /var/lib/store/member/raft", BOOT).unwrap_or_else(|error| panic!("{error}"));
    let tries = Duration::from_secs(20);
    let begun = Instant::now();
    let store = || {
        let services = machine.services().expect("the services");
        services.into_iter().find(|service| service.name == "store").expect("the store is a service")
    };
    let restarts = eventually("three more tries", BOOT, || Some(store().restarts).filter(|restarts| *restarts >= 3));
    eventually("some time to pass", BOOT, || (begun.elapsed() >= tries).then_some(()));
    // The wait doubles from a quarter of a second: six tries take sixteen seconds.
    let more = store().restarts - restarts;
    assert!(more <= 6, "{more} tries more in {tries:?}: the wait between them does not grow");
    assert!(store().last_exit.is_some_and(|exit| exit.contains('1')), "{:?}", store());
    let log = machine.logs("store", 20).expect("the store's log");
    assert!(log.iter().any(|line| format!("{line:?}").contains("CURRENT")), "the log does not name the file: {log:?}");
    for service in machine.services().expect("the services") {
        match service.name.as_str() {
            "init" | "machined" => assert!(service.state == "ready" && service.restarts == 0, "{service:?}"),
            "store" => {}
            _ => assert!(service.pid.is_none(), "{service:?} runs without the store"),
        }
    }
    machine.shutdown("end of the test").expect("the shutdown");
    let status = vm.wait_for_end(SHUTDOWN).unwrap_or_else(|error| panic!("{error}")).expect("QEMU is our child");
    assert!(status.success(), "QEMU ended with {status}: {:#?}", vm.tail(40));
    drop(vm);

    // Nothing was made worse: with the file back, everything is there.
    Ext4::on(&folder.disk(), "DATA").replace(current, &good);
    let mut vm = start(&setup(Boot::Direct), &folder);
    let access = up(&mut vm);
    let kept = Kubectl::new(&folder, &access).ok(&["get", "configmap", "kept", "-o", "name"]);
    assert_eq!(kept, "configmap/kept\n");
    power_off(&mut vm, &access);
    clean(&folder);
}
