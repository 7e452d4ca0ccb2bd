//! Disks that are not as they should be: foreign, broken, absent.

use std::fs::File;
use std::hash::{DefaultHasher, Hasher};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::process::Command;

use image_vm::setup::{Boot, Disks, Network, Setup};
use tests_boot::partition::Partition;
use tests_boot::{BOOT, SHUTDOWN, clean, folder, machine_api, power_off, setup, start, up};

const MIB: u64 = 1 << 20;
/// Large enough to be wanted: a disk that is too small would be left alone anyway.
const FOREIGN_BYTES: u64 = 1024 * MIB;

/// A machine whose only disks hold somebody else's data leaves them alone, says so, and runs from memory.
#[test]
fn foreign_data_is_never_formatted() {
    let folder = folder("foreign-disk");
    let filesystem = folder.path().join("filesystem.raw");
    File::create(&filesystem).and_then(|file| file.set_len(FOREIGN_BYTES)).expect("a disk image");
    let made = Command::new("mke2fs").args(["-q", "-t", "ext4", "-L", "precious"]).arg(&filesystem).status();
    assert!(made.expect("mke2fs can be run").success());
    let unknown = folder.path().join("unknown.raw");
    // Nothing that anybody knows: still somebody's.
    let mut file = File::create(&unknown).expect("a disk image");
    file.set_len(FOREIGN_BYTES).expect("a disk image");
    file.write_all(&[0x5a; 4096]).expect("a disk image");
    drop(file);
    let before = [&filesystem, &unknown].map(|path| fingerprint(path));

    let disks = Disks::These(vec![filesystem.clone(), unknown.clone()]);
    let mut vm = start(&Setup { disks, ..setup(Boot::Direct) }, &folder);
    let access = up(&mut vm);
    let conditions = access.machine.status().expect("the status").conditions;
    assert!(
        conditions.iter().any(|condition| condition.part == "disk"),
        "the API says nothing of the disks: {conditions:?}"
    );
    power_off(&mut vm, &access);
    for (path, before) in [&filesystem, &unknown].into_iter().zip(before) {
        assert!(fingerprint(path) == before, "{} was written to", path.display());
    }
    clean(&folder);
}

/// A machine without a disk and without a network says so and stays alive.
#[test]
fn without_disk_and_network_the_machine_says_so() {
    let folder = folder("bare");
    let bare = Setup { disks: Disks::These(Vec::new()), network: Network::Absent, ..setup(Boot::Direct) };
    let mut vm = start(&bare, &folder);
    for word in ["no disk", "no network"] {
        vm.wait_for_text(word, BOOT).unwrap_or_else(|error| panic!("{error}"));
    }
    assert!(vm.runs() && vm.timeline().end().is_none(), "{:#?}", vm.tail(40));
}

/// A disk whose state was destroyed is named, is not formatted over, and does not lock the operator out.
#[test]
fn a_corrupt_state_disk_is_named_and_not_formatted() {
    let folder = folder("corrupt-disk");
    let mut vm = start(&setup(Boot::Direct), &folder);
    let access = up(&mut vm);
    power_off(&mut vm, &access);
    drop(vm);

    let Partition { start: start_byte, bytes } = Partition::find(&folder.disk(), "STATE");
    let mut disk = File::options().read(true).write(true).open(folder.disk()).expect("the disk");
    disk.seek(SeekFrom::Start(start_byte)).expect("the partition");
    let damage = vec![0xa5; usize::try_from(bytes.min(8 * MIB)).expect("a size")];
    disk.write_all(&damage).expect("the partition");
    drop(disk);

    let mut vm = start(&setup(Boot::Direct), &folder);
    let machine = machine_api(&mut vm);
    vm.wait_for_text("is damaged", BOOT).unwrap_or_else(|error| panic!("{error}"));
    let conditions = machine.status().expect("the status").conditions;
    let told = conditions.iter().any(|condition| condition.part == "disk" && condition.message.contains("is damaged"));
    assert!(told, "the API does not tell of the damage: {conditions:?}");
    // The machine takes orders: it is not stuck, and neither is its end.
    machine.shutdown("end of the test").expect("the shutdown");
    let status = vm.wait_for_end(SHUTDOWN).unwrap_or_else(|error| panic!("{error}")).expect("QEMU is our child");
    assert!(status.success(), "QEMU ended with {status}: {:#?}", vm.tail(40));
    let mut disk = File::open(folder.disk()).expect("the disk");
    disk.seek(SeekFrom::Start(start_byte)).expect("the partition");
    let mut now = vec![0; damage.len()];
    disk.read_exact(&mut now).expect("the partition");
    assert!(now == damage, "the damaged partition was written to");
    clean(&folder);
}

/// A number that another content of the disk would hardly have.
fn fingerprint(disk: &Path) -> u64 {
    let mut file = File::open(disk).expect("the disk can be read");
    let mut hasher = DefaultHasher::new();
    let mut chunk = vec![0; 1 << 20];
    loop {
        let read = file.read(&mut chunk).expect("the disk can be read");
        if read == 0 {
            return hasher.finish();
        }
        hasher.write(&chunk[..read]);
    }
}
