//! A partition of a machine's disk, looked at and changed while the machine is off: what another machine with the same
//! disk, or a fault of the disk, could do to it.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Blocks for the list of a large file's blocks: what is free on a used disk lies in pieces.
const EXTENTS: u64 = 64;

/// Where a partition lies on its disk, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Partition {
    /// Its first byte.
    pub start: u64,
    /// Its length.
    pub bytes: u64,
}

impl Partition {
    /// The partition of this name, read from the GPT.
    pub fn find(disk: &Path, name: &str) -> Self {
        let mut table = vec![0; 34 * 512];
        File::open(disk).and_then(|mut file| file.read_exact(&mut table)).expect("the disk's partition table");
        assert_eq!(&table[512..520], b"EFI PART", "the disk has a GPT");
        let number = |at: usize| u64::from_le_bytes(table[at..at + 8].try_into().expect("eight bytes"));
        let wanted: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).chain([0, 0]).collect();
        for entry in (1024..table.len()).step_by(128) {
            if table[entry + 56..].starts_with(&wanted) {
                let (first, last) = (number(entry + 32), number(entry + 40));
                return Self { start: first * 512, bytes: (last - first + 1) * 512 };
            }
        }
        panic!("the disk has no partition {name}");
    }
}

/// The ext4 file system on a partition, through `debugfs`: nothing is mounted, so no privilege is needed.
#[derive(Debug)]
pub struct Ext4 {
    device: String,
}

impl Ext4 {
    /// The file system on the partition of this name.
    pub fn on(disk: &Path, partition: &str) -> Self {
        let start = Partition::find(disk, partition).start;
        Self { device: format!("{}?offset={start}", disk.display()) }
    }

    /// Makes a file that takes all the space but `left` bytes, to a few hundred KiB.
    pub fn fill(&self, file: &str, left: u64) {
        let (block, free) = self.room();
        let blocks = free.checked_sub(left / block + EXTENTS).expect("there is more space than shall be left");
        self.run(&format!("write /dev/null {file}"));
        self.run(&format!("fallocate {file} 0 {}", blocks - 1));
        self.run(&format!("set_inode_field {file} size {}", blocks * block));
        let (_, now) = self.room();
        assert!(
            now.abs_diff(left / block) <= EXTENTS,
            "{now} blocks of {block} bytes are free instead of {left} bytes"
        );
    }

    /// Removes a file.
    pub fn remove(&self, file: &str) {
        self.run(&format!("rm {file}"));
    }

    /// Copies a file to the host.
    pub fn copy_out(&self, file: &str, to: &Path) {
        self.run(&format!("dump {file} {}", to.display()));
        assert!(to.exists(), "debugfs has copied {file}");
    }

    /// Replaces a file.
    pub fn replace(&self, file: &str, with: &Path) {
        self.remove(file);
        self.run(&format!("write {} {file}", with.display()));
    }

    /// Bytes that are free and yet not for everybody: the file system keeps them for root.
    pub fn reserved(&self) -> u64 {
        self.figure("Reserved block count:") * self.figure("Block size:")
    }

    /// The size of a block, and how many are free.
    fn room(&self) -> (u64, u64) {
        (self.figure("Block size:"), self.figure("Free blocks:"))
    }

    fn figure(&self, field: &str) -> u64 {
        let said = self.run("show_super_stats -h");
        let line = said.lines().find_map(|line| line.strip_prefix(field));
        line.and_then(|value| value.trim().parse().ok()).unwrap_or_else(|| panic!("no {field} in {said}"))
    }

    fn run(&self, request: &str) -> String {
        let program = ["/usr/sbin/debugfs", "/sbin/debugfs"].map(PathBuf::from).into_iter().find(|path| path.exists());
        let program = program.expect("e2fsprogs are installed");
        let output = Command::new(program).args(["-w", "-R", request]).arg(&self.device).output();
        let output = output.expect("debugfs can be run");
        let said = String::from_utf8_lossy(&output.stderr);
        // It ends with 0 whatever happens, and always says its version.
        let complaints: Vec<_> = said.lines().filter(|line| !line.starts_with("debugfs ")).collect();
        assert!(output.status.success() && complaints.is_empty(), "debugfs -R '{request}': {complaints:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}
