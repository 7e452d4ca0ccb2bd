//! When the log becomes another file, how the old one is called, and which old ones go.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// Bytes of a megabyte here.
const MEGABYTE: u64 = 1024 * 1024;
/// Megabytes where nothing is said.
const DEFAULT_SIZE: u64 = 100;
const DAY: i64 = 24 * 60 * 60;
/// How old files say when they were put aside. Digits after the second follow it.
const TIME: &str = "%Y-%m-%dT%H-%M-%S";
/// What compressed files end in.
const COMPRESSED: &str = ".gz";

/// Flags of the log: `--audit-log-maxsize`, `--audit-log-maxage`, `--audit-log-maxbackup`, `--audit-log-compress`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rotation {
    /// Most megabytes of a file; 100 if zero.
    pub max_size: u64,
    /// Days an old file is kept; for ever if zero.
    pub max_age: u32,
    /// How many old files are kept; all if zero.
    pub max_backups: usize,
    /// Whether old files are compressed.
    pub compress: bool,
}

/// What to do with old files.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cleaning {
    /// Remove these.
    pub remove: Vec<String>,
    /// Compress these, to the same name with `.gz`.
    pub compress: Vec<String>,
}

impl Rotation {
    /// Most bytes of a file. One write of more is refused.
    pub fn limit(&self) -> u64 {
        if self.max_size == 0 { DEFAULT_SIZE * MEGABYTE } else { self.max_size.saturating_mul(MEGABYTE) }
    }

    /// Whether a file of `size` bytes is put aside before `more` are written. A file found at the start is put aside when it
    /// would be just full.
    pub fn is_due(&self, size: u64, more: u64, at_start: bool) -> bool {
        let total = size.saturating_add(more);
        if at_start { total >= self.limit() } else { total > self.limit() }
    }

    /// The name of the file when it is put aside: `audit.log` becomes `audit-2026-01-02T03-04-05.678.log`.
    pub fn backup_name(file: &str, now: Timestamp) -> String {
        let (stem, extension) = parts(file);
        let time = now.to_zoned(TimeZone::UTC).strftime("%Y-%m-%dT%H-%M-%S%.3f").to_string();
        format!("{stem}-{time}{extension}")
    }

    /// What to do with the files beside `file`, by their names alone. Files with other names are left alone.
    pub fn clean(&self, file: &str, beside: &[String], now: Timestamp) -> Cleaning {
        let (stem, extension) = parts(file);
        let mut old: Vec<(DateTime, &String)> =
            beside.iter().filter_map(|name| Some((time_of(name, stem, extension)?, name))).collect();
        old.sort_by(|one, other| other.cmp(one));
        let oldest = now.as_second().saturating_sub(i64::from(self.max_age) * DAY);
        let mut cleaning = Cleaning::default();
        let mut kept: Vec<&str> = Vec::new();
        for (time, name) in old {
            let plain = name.strip_suffix(COMPRESSED).unwrap_or(name);
            if !kept.contains(&plain) {
                kept.push(plain);
            }
            let too_many = self.max_backups > 0 && kept.len() > self.max_backups;
            let seconds = time.to_zoned(TimeZone::UTC).map_or(i64::MAX, |time| time.timestamp().as_second());
            let too_old = self.max_age > 0 && seconds < oldest;
            if too_many || too_old {
                cleaning.remove.push(name.clone());
            } else if self.compress && !name.ends_with(COMPRESSED) {
                cleaning.compress.push(name.clone());
            }
        }
        cleaning
    }
}

/// A file's name up to its last dot, and from there.
fn parts(file: &str) -> (&str, &str) {
    file.rfind('.').map_or((file, ""), |dot| file.split_at(dot))
}

/// When an old file was put aside, if it is one.
fn time_of(name: &str, stem: &str, extension: &str) -> Option<DateTime> {
    let rest = name.strip_prefix(stem)?.strip_prefix('-')?;
    let text = rest
        .strip_suffix(COMPRESSED)
        .and_then(|rest| rest.strip_suffix(extension))
        .or_else(|| rest.strip_suffix(extension))?;
    let (time, digits) = text.rsplit_once('.')?;
    let milliseconds: i16 = digits.parse().ok().filter(|_| digits.len() == 3)?;
    let time = DateTime::strptime(TIME, time).ok()?;
    time.with().millisecond(milliseconds).build().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    #[test]
    fn a_full_file_is_put_aside() {
        let rotation = Rotation { max_size: 1, ..Rotation::default() };
        for (size, more, at_start, expected) in [
            (0, MEGABYTE, false, false),
            (1, MEGABYTE, false, true),
            (MEGABYTE - 1, 1, false, false),
            (MEGABYTE - 1, 1, true, true),
            (MEGABYTE - 2, 1, true, false),
        ] {
            assert_eq!(rotation.is_due(size, more, at_start), expected, "{size} {more} {at_start}");
        }
        assert_eq!(Rotation::default().limit(), 100 * MEGABYTE);
    }

    #[test]
    fn old_files_are_named_by_their_time() {
        let now = at("2026-01-02T03:04:05.6789Z");
        for (file, expected) in [
            ("audit.log", "audit-2026-01-02T03-04-05.678.log"),
            ("audit", "audit-2026-01-02T03-04-05.678"),
            ("kube.audit.log", "kube.audit-2026-01-02T03-04-05.678.log"),
        ] {
            let name = Rotation::backup_name(file, now);
            assert_eq!(name, expected);
            let (stem, extension) = parts(file);
            for name in [name.clone(), format!("{name}.gz")] {
                let time = time_of(&name, stem, extension).expect("it is one of ours");
                assert_eq!(time.to_string(), "2026-01-02T03:04:05.678", "{name}");
            }
        }
    }

    #[test]
    fn old_files_go_by_number_and_by_age() {
        let now = at("2026-01-10T00:00:00Z");
        let beside: Vec<String> = [
            "audit.log",
            "audit-2026-01-01T00-00-00.000.log",
            "audit-2026-01-09T00-00-00.000.log",
            "audit-2026-01-05T00-00-00.000.log.gz",
            "audit-2026-01-03T00-00-00.000.log",
            "audit-yesterday.log",
            "audit-2026-01-02T00-00-00.000.txt",
            "other-2026-01-02T00-00-00.000.log",
        ]
        .map(str::to_owned)
        .to_vec();
        let removed = |max_age, max_backups| {
            Rotation { max_age, max_backups, ..Rotation::default() }.clean("audit.log", &beside, now).remove
        };
        let name = |day: u32| format!("audit-2026-01-{day:02}T00-00-00.000.log");
        assert!(removed(0, 0).is_empty());
        assert_eq!(removed(0, 2), [name(3), name(1)]);
        assert_eq!(removed(7, 0), [name(1)]);
        assert_eq!(removed(6, 3), [name(3), name(1)]);
        assert_eq!(removed(1, 1), [format!("{}.gz", name(5)), name(3), name(1)]);
        let rotation = Rotation { max_backups: 3, compress: true, ..Rotation::default() };
        let cleaning = rotation.clean("audit.log", &beside, now);
        assert_eq!((cleaning.remove, cleaning.compress), (vec![name(1)], vec![name(9), name(3)]));
    }
}
