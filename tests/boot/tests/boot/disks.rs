//! Disks that are not as they should be: foreign, broken, absent.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use image_vm::setup::{Boot, Disks, Network, Setup};
use tests_boot::{BOOT, clean, folder, setup, start, up};

const MIB: u64 = 1 << 20;
const FOREIGN_BYTES: u64 = 64 * MIB;

/// A machine whose only disks hold somebody else's data leaves them alone, says so, and runs from memory.
#[test]
fn foreign_data_is_never_formatted() {
    let folder = folder("foreign-disk");
    let filesystem = folder.path().join("filesystem.raw");
    File::create(&filesystem).and_then(|file| file.set_len(FOREIGN_BYTES)).expect("a disk image");
    let made = Command::new("mke2fs").args(["-q", "-t", "ext4", "-L", "precious"]).arg(&filesystem).status();
    assert!(made.expect("mke2fs can be run").success());
    let unknown = folder.path().join("unknown.raw");
    // No filesystem that anybody knows, far from the beginning of the disk: still somebody's.
    let mut file = File::create(&unknown).expect("a disk image");
    file.set_len(FOREIGN_BYTES).expect("a disk image");
    file.write_all(&[0x5a; 4096]).expect("a disk image");
    drop(file);
    let before = [&filesystem, &unknown].map(|path| fs::read(path).expect("the disk can be read"));

    let disks = Disks::These(vec![filesystem.clone(), unknown.clone()]);
    let mut vm = start(&Setup { disks, ..setup(Boot::Direct) }, &folder);
    let access = up(&mut vm);
    let conditions = access.machine.status().expect("the status").conditions;
    assert!(
        conditions.iter().any(|condition| condition.part == "disk"),
        "the API says nothing of the disks: {conditions:?}"
    );
    tests_boot::power_off(&mut vm, &access);
    for (path, before) in [&filesystem, &unknown].into_iter().zip(before) {
        assert!(fs::read(path).expect("the disk can be read") == before, "{} was written to", path.display());
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

/// A disk whose state was destroyed is named, is not formatted over, and does not stop PID 1.
#[test]
fn a_corrupt_state_disk_is_named_and_not_formatted() {
    let folder = folder("corrupt-disk");
    let mut vm = start(&setup(Boot::Direct), &folder);
    let access = up(&mut vm);
    tests_boot::power_off(&mut vm, &access);
    drop(vm);

    let (start_byte, bytes) = partition(&folder.disk(), "STATE");
    let mut disk = File::options().read(true).write(true).open(folder.disk()).expect("the disk");
    disk.seek(SeekFrom::Start(start_byte)).expect("the partition");
    let damage = vec![0xa5; usize::try_from(bytes.min(8 * MIB)).expect("a size")];
    disk.write_all(&damage).expect("the partition");
    drop(disk);

    let mut vm = start(&setup(Boot::Direct), &folder);
    vm.wait_for_text("STATE", BOOT).unwrap_or_else(|error| panic!("{error}"));
    // Long enough for anything that would format it, or give up, to have done so.
    let ended =
        vm.wait_for("the machine to give up", Duration::from_secs(30), |vm| vm.timeline().end().map(str::to_owned));
    assert!(matches!(ended, Err(image_vm::launch::Error::Late { .. })), "PID 1 did not stay: {ended:?}");
    vm.cut_power().unwrap_or_else(|error| panic!("{error}"));
    let mut disk = File::open(folder.disk()).expect("the disk");
    disk.seek(SeekFrom::Start(start_byte)).expect("the partition");
    let mut now = vec![0; damage.len()];
    disk.read_exact(&mut now).expect("the partition");
    assert!(now == damage, "the damaged partition was written to");
    clean(&folder);
}

/// Where the partition of this name begins, and how long it is, in bytes; read from the GPT.
fn partition(disk: &Path, name: &str) -> (u64, u64) {
    let mut table = vec![0; 34 * 512];
    File::open(disk).and_then(|mut file| file.read_exact(&mut table)).expect("the disk's partition table");
    assert_eq!(&table[512..520], b"EFI PART", "the disk has a GPT");
    let number = |at: usize| u64::from_le_bytes(table[at..at + 8].try_into().expect("eight bytes"));
    let wanted: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).chain([0, 0]).collect();
    for entry in (1024..table.len()).step_by(128) {
        if table[entry + 56..].starts_with(&wanted) {
            let (first, last) = (number(entry + 32), number(entry + 40));
            return (first * 512, (last - first + 1) * 512);
        }
    }
    panic!("the disk has no partition {name}");
}
