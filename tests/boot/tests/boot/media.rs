//! The ISO boots under both firmwares, up to a Kubernetes API, and switches itself off.

use image_vm::setup::Boot;
use tests_boot::{Kubectl, clean, folder, power_off, setup, start, up};

fn boots(test: &str, boot: Boot) {
    let folder = folder(test);
    let mut vm = start(&setup(boot), &folder);
    let access = up(&mut vm);
    let kubectl = Kubectl::new(&folder, &access);
    assert!(kubectl.ok(&["get", "namespaces"]).contains("kube-system"));
    power_off(&mut vm, &access);
    clean(&folder);
}

#[test]
fn the_iso_boots_under_seabios() {
    boots("iso-bios", Boot::IsoBios);
}

#[test]
fn the_iso_boots_under_ovmf() {
    boots("iso-uefi", Boot::IsoUefi);
}
