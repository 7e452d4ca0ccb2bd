use std::fs;
use std::os::unix::fs::PermissionsExt;

use ledger::{Event, Verifier};
use machined_core::audit::{SEGMENT, SEGMENTS, file_name};

use super::journal::{Journal, segments};
use super::*;

fn event(number: usize) -> Event {
    Event::local("test", "number", format!("{number} {}", "x".repeat(200)))
}

fn journal(state: &Path) -> Journal {
    let mut journal = Journal::new(state.join(FOLDER), "boot".into());
    assert_eq!(journal.open().unwrap(), [""; 0]);
    journal
}

/// Every line that is kept, and the number of the last good record.
fn verified(state: &Path) -> (usize, u64) {
    let mut reader = Reader::new(state.join(FOLDER), 1);
    let mut verifier = Verifier::default();
    let mut count = 0;
    loop {
        let lines = reader.lines(u64::MAX).unwrap();
        if lines.is_empty() {
            return (count, verifier.head().map_or(0, |head| head.seq));
        }
        for line in lines {
            verifier.check(&line).unwrap();
            count += 1;
        }
    }
}

#[test]
fn a_chain_goes_on_where_it_ended() {
    let state = tempfile::tempdir().unwrap();
    for start in 0..3 {
        let mut journal = journal(state.path());
        assert_eq!(journal.append(5, vec![event(1), event(2)]).unwrap(), start * 3 + 2);
        assert_eq!(journal.append(6, vec![event(3)]).unwrap(), start * 3 + 3);
    }
    assert_eq!(verified(state.path()), (9, 9));
    let folder = state.path().join(FOLDER);
    assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(fs::metadata(folder.join(file_name(1))).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_record_that_was_not_finished_is_cut_off_and_that_is_on_record() {
    let state = tempfile::tempdir().unwrap();
    journal(state.path()).append(5, vec![event(1), event(2)]).unwrap();
    let path = state.path().join(FOLDER).join(file_name(1));
    let whole = fs::read(&path).unwrap();
    for cut in [whole.len() - 1, whole.len() - 100, whole.len() / 2 + 3] {
        fs::write(&path, &whole[..cut]).unwrap();
        let mut journal = journal(state.path());
        // The second record is gone, and the one that says so has taken its number.
        assert_eq!(journal.last(), 2, "cut at {cut}");
        assert_eq!(journal.append(6, vec![event(3)]).unwrap(), 3);
        assert_eq!(verified(state.path()), (3, 3));
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains("bytes of a record that was not finished were cut off"), "{text}");
    }
    // Nothing at all reached the first file.
    for nothing in ["", "0123", "\0\0\0\n\0\0"] {
        fs::write(&path, nothing).unwrap();
        assert_eq!(journal(state.path()).append(6, vec![event(3)]).unwrap(), 1);
        assert_eq!(verified(state.path()), (1, 1));
    }
}

#[test]
fn the_log_is_bounded_and_what_is_kept_is_a_chain() {
    let state = tempfile::tempdir().unwrap();
    let mut journal = journal(state.path());
    let mut written = 0;
    let mut last = 0;
    while written < (SEGMENTS as u64 + 3) * SEGMENT {
        let events: Vec<_> = (0..250).map(event).collect();
        written += 250 * 350;
        last = journal.append(7, events).unwrap();
    }
    let files = segments(&state.path().join(FOLDER)).unwrap();
    assert_eq!(files.len(), SEGMENTS);
    let size: u64 = files.iter().map(|(_, path)| fs::metadata(path).unwrap().len()).sum();
    let batch = 250 * 512;
    assert!(size < SEGMENTS as u64 * (SEGMENT + batch), "{size}");
    assert!(files[0].0 > 1, "the oldest were let go of");
    assert_eq!(verified(state.path()), ((last + 1 - files[0].0) as usize, last));
    // From a number on, and across files.
    let second = files[1].0;
    let lines = Reader::new(state.path().join(FOLDER), second - 1).lines(second + 1).unwrap();
    let numbers: Vec<_> = lines.iter().map(|line| ledger::read(line).unwrap().0.seq).collect();
    assert_eq!(numbers[0], second - 1);
    // A crash right after a file was begun.
    fs::write(state.path().join(FOLDER).join(file_name(last + 1)), "").unwrap();
    let mut journal = self::journal(state.path());
    assert_eq!(journal.append(8, vec![event(1)]).unwrap(), last + 1);
    assert_eq!(verified(state.path()).1, last + 1);
}

#[test]
fn damage_is_reported_and_left_for_whoever_looks() {
    let state = tempfile::tempdir().unwrap();
    journal(state.path()).append(5, (0..4).map(event).collect()).unwrap();
    let path = state.path().join(FOLDER).join(file_name(1));
    let damaged = fs::read_to_string(&path).unwrap().replacen("1 xx", "7 xx", 1);
    fs::write(&path, &damaged).unwrap();
    let mut journal = Journal::new(state.path().join(FOLDER), "boot".into());
    let notes = journal.open().unwrap();
    assert!(notes[0].starts_with("the audit log was damaged or changed: record 2 is bad"), "{notes:?}");
    assert_eq!(journal.append(6, vec![event(5)]).unwrap(), 5);
    assert!(fs::read_to_string(&path).unwrap().starts_with(&damaged));
}

#[test]
fn what_was_not_acknowledged_is_taken_back_before_the_next_record() {
    let state = tempfile::tempdir().unwrap();
    let mut journal = journal(state.path());
    journal.append(5, vec![event(1)]).unwrap();
    let folder = state.path().join(FOLDER);
    let aside = state.path().join("aside");
    // The next file cannot be begun, as on a full disk.
    let path = folder.join(file_name(1));
    let mut full = fs::read(&path).unwrap();
    for (number, more) in (2_u64..).zip(std::iter::repeat_n(event(1), 4000)) {
        assert_eq!(journal.append(5, vec![more]).unwrap(), number);
        if fs::metadata(&path).unwrap().len() >= SEGMENT {
            break;
        }
    }
    full.clear();
    let last = journal.last();
    fs::rename(&folder, &aside).unwrap();
    assert!(journal.append(6, vec![event(9)]).is_err());
    assert!(journal.append(6, vec![event(9)]).is_err());
    assert_eq!(journal.last(), last);
    fs::rename(&aside, &folder).unwrap();
    // Half of what was refused had reached the disk.
    let mut torn = fs::read(&path).unwrap();
    torn.extend(b"half a record");
    fs::write(&path, torn).unwrap();
    assert_eq!(journal.append(6, vec![event(10)]).unwrap(), last + 1);
    assert_eq!(verified(state.path()), (last as usize + 1, last + 1));
}

#[tokio::test]
async fn who_records_waits_until_it_is_on_disk_and_the_lost_are_counted() {
    let state = tempfile::tempdir().unwrap();
    let report = Report::new(false);
    let audit = Audit::open(state.path(), "boot".into(), &report);
    let many = futures::future::join_all((0..50).map(|number| audit.record(event(number)))).await;
    let mut numbers: Vec<_> = many.into_iter().map(Result::unwrap).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=50).collect::<Vec<_>>());
    assert_eq!(verified(state.path()), (50, 50));

    // The folder is gone: the file is still open, so it is the next file that cannot be begun.
    let broken = tempfile::tempdir().unwrap();
    let path = broken.path().join("state");
    fs::write(&path, "not a folder").unwrap();
    let audit = Audit::open(&path, "boot".into(), &report);
    assert_eq!(audit.record(event(1)).await, Err(Unrecorded));
    assert_eq!(audit.record(event(2)).await, Err(Unrecorded));
    let conditions = report.list();
    assert!(conditions[0].message.starts_with("the audit log cannot be written"), "{conditions:?}");
    fs::remove_file(&path).unwrap();
    assert_eq!(audit.record(event(3)).await, Ok(2));
    assert_eq!(report.list(), []);
    let lines = audit.reader(1).lines(2).unwrap();
    let (first, _) = ledger::read(&lines[0]).unwrap();
    assert_eq!(first.event.detail, "2 records before this one could not be written");
}
