//! Which disk holds the state, and whether one may be formatted for it.
//!
//! The rule: partitions named `STATE` and `DATA` are used as they are and never formatted again, whatever their
//! condition. Without them a disk is formatted only if it is blank (see [`crate::signature`]) and is either the one
//! that the operator names or the only blank one. Everything else is refused, and the machine runs from memory.

use machine::DiskSelector;

/// GPT name of the partition with identity and configuration.
pub const STATE: &str = "STATE";
/// GPT name of the partition with the store's data.
pub const DATA: &str = "DATA";
/// Names until both file systems are made: a formatting that was cut short is known by them and begun again.
pub const UNFINISHED: [&str; 2] = ["STATE-UNFINISHED", "DATA-UNFINISHED"];

/// Smaller disks are not used: the store needs room for its log, its tables and one snapshot.
pub const SMALLEST: u64 = 512 << 20;
/// Identity and configuration take a few hundred KiB; the rest is room for a journal and for generations.
const STATE_SIZE: u64 = 128 << 20;
/// Partitions begin at multiples of this, as every tool does it.
const ALIGN: u64 = 1 << 20;

/// A disk as the kernel shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// Name of the device without `/dev/`.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// Cannot be written.
    pub read_only: bool,
    /// A stick or a card: formatted only when named.
    pub removable: bool,
    /// Serial number.
    pub serial: Option<String>,
    /// Model.
    pub model: Option<String>,
    /// Its partitions.
    pub partitions: Vec<Partition>,
    /// What it holds.
    pub content: Content,
}

/// A partition as the kernel shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Name of the device without `/dev/`.
    pub device: String,
    /// Name in the GPT.
    pub name: Option<String>,
}

/// What a disk holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Nothing: no table, no signature, both ends zero.
    Blank,
    /// Something, in words.
    Foreign(String),
    /// It cannot be read, with the reason.
    Unreadable(String),
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// Check and mount these.
    Use {
        /// Device of the state.
        state: String,
        /// Device of the data.
        data: String,
    },
    /// Make a partition table and two file systems on this disk.
    Format {
        /// Name of its device.
        disk: String,
    },
    /// Run from memory: everything is lost at power-off.
    Memory {
        /// Why, for the operator.
        why: String,
    },
    /// There is state somewhere, but it cannot be told which or where: touch nothing, start no service.
    Hold {
        /// Why, for the operator.
        why: String,
    },
}

/// Whether a blank disk may be formatted.
#[derive(Debug, Clone, Copy)]
pub enum Permission<'a> {
    /// Yes: the one that the selector names, or the only blank one.
    Granted(&'a DiskSelector),
    /// No, because the operator's wish is not known; with the reason.
    Withheld(&'a str),
}

/// Decides what to do with the disks of this machine.
#[must_use]
pub fn plan(disks: &[Disk], permission: Permission<'_>) -> Plan {
    match (named(disks, STATE).as_slice(), named(disks, DATA).as_slice()) {
        ([], []) => blank(disks, permission),
        ([state], [data]) => Plan::Use { state: state.device.clone(), data: data.device.clone() },
        ([], [data, ..]) => Plan::Hold {
            why: format!(
                "{} is named {DATA}, but no partition is named {STATE}: a disk is missing or was altered",
                data.device
            ),
        },
        ([state, ..], []) => Plan::Hold {
            why: format!(
                "{} is named {STATE}, but no partition is named {DATA}: a disk is missing or was altered",
                state.device
            ),
        },
        (states, data) => Plan::Hold {
            why: format!(
                "several disks hold state ({}): remove all but one",
                states.iter().chain(data).map(|partition| partition.device.as_str()).collect::<Vec<_>>().join(", ")
            ),
        },
    }
}

fn named<'a>(disks: &'a [Disk], name: &str) -> Vec<&'a Partition> {
    disks.iter().flat_map(|disk| &disk.partitions).filter(|partition| partition.name.as_deref() == Some(name)).collect()
}

fn blank(disks: &[Disk], permission: Permission<'_>) -> Plan {
    let selector = match permission {
        Permission::Granted(selector) => selector,
        Permission::Withheld(why) => return Plan::Hold { why: format!("no disk is formatted: {why}") },
    };
    if selector.is_empty() {
        // Removable media are left alone unless named.
        let fixed: Vec<_> = disks.iter().filter(|disk| !disk.removable).collect();
        let (usable, refused): (Vec<_>, Vec<_>) = fixed.into_iter().partition(|disk| refusal(disk).is_none());
        return match usable.as_slice() {
            [disk] => Plan::Format { disk: disk.name.clone() },
            [] if refused.is_empty() => Plan::Memory { why: "the machine has no disk".to_owned() },
            [] => Plan::Memory { why: reasons(&refused) },
            several => Plan::Memory {
                why: format!(
                    "several disks are blank ({}): name one in machine.disk",
                    several.iter().map(|disk| disk.name.as_str()).collect::<Vec<_>>().join(", ")
                ),
            },
        };
    }
    let meant: Vec<_> = disks.iter().filter(|disk| matches(disk, selector)).collect();
    match meant.as_slice() {
        [] => Plan::Memory { why: "no disk is the one that machine.disk names".to_owned() },
        [disk] if refusal(disk).is_none() => Plan::Format { disk: disk.name.clone() },
        [_] => Plan::Memory { why: reasons(&meant) },
        several => Plan::Memory {
            why: format!(
                "machine.disk names several disks ({})",
                several.iter().map(|disk| disk.name.as_str()).collect::<Vec<_>>().join(", ")
            ),
        },
    }
}

fn matches(disk: &Disk, selector: &DiskSelector) -> bool {
    let device = selector.device.as_ref().is_none_or(|name| *name == disk.name);
    let serial = selector.serial.as_ref().is_none_or(|serial| disk.serial.as_ref() == Some(serial));
    let model = selector
        .model
        .as_ref()
        .is_none_or(|part| disk.model.as_ref().is_some_and(|model| model.contains(part.as_str())));
    device && serial && model
}

/// Why a disk is not formatted; `None` if it may be.
fn refusal(disk: &Disk) -> Option<String> {
    if disk.read_only {
        return Some("it cannot be written".to_owned());
    }
    if disk.size < SMALLEST {
        return Some(format!("it is smaller than {} MiB", SMALLEST >> 20));
    }
    if is_unfinished(disk) {
        return None;
    }
    match &disk.content {
        Content::Blank => None,
        Content::Foreign(what) => Some(format!("it holds {what}")),
        Content::Unreadable(why) => Some(format!("it cannot be read: {why}")),
    }
}

/// Whether a formatting of ours was cut short on this disk: exactly our two partitions, under their first names.
fn is_unfinished(disk: &Disk) -> bool {
    let mut names: Vec<_> = disk.partitions.iter().map(|partition| partition.name.as_deref()).collect();
    names.sort_unstable();
    let mut ours = UNFINISHED.map(Some);
    ours.sort_unstable();
    names == ours
}

fn reasons(disks: &[&Disk]) -> String {
    let each: Vec<_> = disks
        .iter()
        .map(|disk| {
            let why = refusal(disk).unwrap_or_default();
            format!("disk {} is not formatted: {why}", disk.name)
        })
        .collect();
    each.join("; ")
}

/// Where the two partitions lie: first and last sector of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Identity and configuration.
    pub state: (u64, u64),
    /// The store's data.
    pub data: (u64, u64),
}

/// Lays out a disk; `None` if it is too small. Sectors are of `sector` bytes.
///
/// # Guarantees
///
/// Both partitions begin at a whole mebibyte, and the last mebibyte is free for the spare copy of the table.
#[must_use]
pub fn layout(size: u64, sector: u64) -> Option<Layout> {
    if size < SMALLEST || sector == 0 || !ALIGN.is_multiple_of(sector) {
        return None;
    }
    let per_mib = ALIGN / sector;
    let state_end = ALIGN + STATE_SIZE;
    let data_end = (size / ALIGN - 1) * ALIGN;
    Some(Layout { state: (per_mib, state_end / sector - 1), data: (state_end / sector, data_end / sector - 1) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn disk(name: &str, content: Content) -> Disk {
        Disk {
            name: name.into(),
            size: 8 << 30,
            read_only: false,
            removable: false,
            serial: Some(format!("serial-{name}")),
            model: Some("QEMU HARDDISK".into()),
            partitions: Vec::new(),
            content,
        }
    }

    fn with(name: &str, partitions: &[&str]) -> Disk {
        let partitions = partitions
            .iter()
            .enumerate()
            .map(|(index, label)| Partition { device: format!("{name}{}", index + 1), name: Some((*label).into()) })
            .collect();
        Disk { partitions, ..disk(name, Content::Foreign("a GPT partition table".into())) }
    }

    fn free(disks: &[Disk]) -> Plan {
        plan(disks, Permission::Granted(&DiskSelector::default()))
    }

    fn named(disks: &[Disk], device: &str) -> Plan {
        plan(disks, Permission::Granted(&DiskSelector { device: Some(device.into()), ..Default::default() }))
    }

    #[test]
    fn a_disk_with_state_is_used() {
        let disks = [disk("vdb", Content::Blank), with("vda", &["ESP", "STATE", "DATA"])];
        assert_eq!(free(&disks), Plan::Use { state: "vda2".into(), data: "vda3".into() });
        assert_eq!(named(&disks, "vdb"), free(&disks), "a wish does not make state disappear");
    }

    #[test]
    fn the_only_blank_disk_is_formatted() {
        assert_eq!(free(&[disk("vda", Content::Blank)]), Plan::Format { disk: "vda".into() });
        let disks = [disk("vda", Content::Foreign("an XFS file system".into())), disk("vdb", Content::Blank)];
        assert_eq!(free(&disks), Plan::Format { disk: "vdb".into() });
    }

    #[test]
    fn foreign_data_is_never_formatted() {
        let disks = [disk("vda", Content::Foreign("an XFS file system".into()))];
        let Plan::Memory { why } = free(&disks) else { panic!("{:?}", free(&disks)) };
        assert_eq!(why, "disk vda is not formatted: it holds an XFS file system");
        assert!(matches!(named(&disks, "vda"), Plan::Memory { .. }), "not even when it is named");
        assert!(matches!(free(&[disk("vda", Content::Unreadable("EIO".into()))]), Plan::Memory { .. }));
    }

    #[test]
    fn of_two_blank_disks_one_must_be_named() {
        let disks = [disk("vda", Content::Blank), disk("vdb", Content::Blank)];
        assert!(matches!(free(&disks), Plan::Memory { why } if why.contains("name one")));
        assert_eq!(named(&disks, "vdb"), Plan::Format { disk: "vdb".into() });
        let by_serial = DiskSelector { serial: Some("serial-vda".into()), ..Default::default() };
        assert_eq!(plan(&disks, Permission::Granted(&by_serial)), Plan::Format { disk: "vda".into() });
        let by_model = DiskSelector { model: Some("QEMU".into()), ..Default::default() };
        assert!(
            matches!(plan(&disks, Permission::Granted(&by_model)), Plan::Memory { why } if why.contains("several"))
        );
    }

    #[test]
    fn sticks_small_disks_and_disks_that_cannot_be_written_are_left_alone() {
        let stick = Disk { removable: true, ..disk("sda", Content::Blank) };
        assert_eq!(free(std::slice::from_ref(&stick)), Plan::Memory { why: "the machine has no disk".into() });
        assert_eq!(named(&[stick], "sda"), Plan::Format { disk: "sda".into() });
        let small = Disk { size: SMALLEST - 1, ..disk("vda", Content::Blank) };
        assert!(matches!(free(&[small]), Plan::Memory { .. }));
        let locked = Disk { read_only: true, ..disk("vda", Content::Blank) };
        assert!(matches!(free(&[locked]), Plan::Memory { .. }));
    }

    #[test]
    fn when_the_wish_is_not_known_nothing_is_formatted() {
        let plan = plan(&[disk("vda", Content::Blank)], Permission::Withheld("the configuration is wrong"));
        assert_eq!(plan, Plan::Hold { why: "no disk is formatted: the configuration is wrong".into() });
    }

    #[test]
    fn half_a_set_or_two_sets_are_not_touched() {
        assert!(matches!(free(&[with("vda", &["STATE"]), disk("vdb", Content::Blank)]), Plan::Hold { .. }));
        assert!(matches!(free(&[with("vda", &["DATA"])]), Plan::Hold { .. }));
        let twice = [with("vda", &["STATE", "DATA"]), with("vdb", &["STATE", "DATA"])];
        assert!(matches!(free(&twice), Plan::Hold { .. }));
    }

    #[test]
    fn a_formatting_that_was_cut_short_is_begun_again() {
        let disks = [with("vda", &["STATE-UNFINISHED", "DATA-UNFINISHED"])];
        assert_eq!(free(&disks), Plan::Format { disk: "vda".into() });
        let half = [with("vda", &["STATE", "DATA-UNFINISHED"])];
        assert!(matches!(free(&half), Plan::Hold { .. }), "the names change in one write, so this is not ours");
        let more = [with("vda", &["STATE-UNFINISHED", "DATA-UNFINISHED", "home"])];
        assert!(matches!(free(&more), Plan::Memory { .. }));
    }

    proptest! {
        #[test]
        fn partitions_are_aligned_apart_and_inside(size in SMALLEST..(1 << 45), exponent in 9_u32..=12) {
            let sector = 1 << exponent;
            let layout = layout(size, sector).unwrap();
            for (first, last) in [layout.state, layout.data] {
                prop_assert!(first < last && (first * sector).is_multiple_of(ALIGN));
            }
            prop_assert!(layout.state.1 < layout.data.0);
            prop_assert!((layout.data.1 + 1) * sector + ALIGN <= size);
        }
    }
}
