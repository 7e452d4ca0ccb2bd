//! The clock on the wall may be set while a member runs, by hours, forward and back. So it is asked in few places, where
//! people or certificates want to know the time; leases, elections, timeouts and the order of everything go by a clock that
//! goes on evenly.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Who may ask, and why a jump does no harm there.
const MAY_ASK: [&str; 4] = [
    // A signed token carries the time of its end; by whichever clock its readers have.
    "src/access.rs",
    // Times in the names of a backup's objects, which never fall; and what is too old, by the more careful of two clocks.
    "src/backup.rs",
    // Which unfinished files are too old to be somebody's.
    "src/backup/target/folder.rs",
    // Times in the names of snapshots, which always rise; and when the last process made one.
    "src/snapshot/schedule.rs",
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn the_clock_on_the_wall_is_asked_in_few_places() {
    let root = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo runs the test"));
    let mut files = Vec::new();
    for folder in ["src", "core/src"] {
        sources(&root.join(folder), &mut files);
    }
    let mut asking = BTreeSet::new();
    for path in files {
        let text = fs::read_to_string(&path).expect("a source");
        let words = ["SystemTime::now", "Timestamp::now", "Zoned::now", "OffsetDateTime::now", "ClockId::Realtime"];
        if words.iter().any(|word| text.contains(word)) {
            asking.insert(path.strip_prefix(&root).expect("below the root").display().to_string());
        }
    }
    assert_eq!(asking, MAY_ASK.map(str::to_owned).into());
}
