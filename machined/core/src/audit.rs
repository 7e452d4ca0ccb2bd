//! The bounds of the audit log: how much of it is kept, and how much of it strangers may fill.

/// Bytes of a file after which the next one is begun.
pub const SEGMENT: u64 = 1 << 20;
/// Files that are kept: some forty thousand records. `STATE` has 128 MiB.
pub const SEGMENTS: usize = 16;

/// Refused calls of strangers that are recorded at once...
const BURST: u64 = 20;
/// ...and one more after each of these. A day of them is a tenth of what is kept, so that nobody without a
/// certificate can push older records out within a week.
const EVERY_MS: u64 = 20_000;

/// The name of the file whose first record has the number `first`.
#[must_use]
pub fn file_name(first: u64) -> String {
    format!("{first:020}.log")
}

/// The number of the first record of the file with this name; `None` for a file that is not one of the log.
#[must_use]
pub fn first_of(file_name: &str) -> Option<u64> {
    let digits = file_name.strip_suffix(".log")?;
    if digits.len() != 20 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

/// Bounds what strangers write.
#[derive(Debug, Clone)]
pub struct Strangers {
    left: u64,
    filled_ms: u64,
    silent: u64,
}

impl Default for Strangers {
    fn default() -> Self {
        Self { left: BURST, filled_ms: 0, silent: 0 }
    }
}

impl Strangers {
    /// Whether a call of a stranger is recorded. `Some` holds how many were not, since the last one that was.
    ///
    /// `now_ms` is a clock that only goes forward.
    pub fn admit(&mut self, now_ms: u64) -> Option<u64> {
        let earned = now_ms.saturating_sub(self.filled_ms) / EVERY_MS;
        self.left = (self.left + earned).min(BURST);
        self.filled_ms += earned * EVERY_MS;
        if self.left == 0 {
            self.silent += 1;
            return None;
        }
        self.left -= 1;
        Some(std::mem::take(&mut self.silent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_by_their_first_record() {
        assert_eq!(file_name(7), "00000000000000000007.log");
        assert_eq!(first_of(&file_name(7)), Some(7));
        assert_eq!(first_of(&file_name(u64::MAX)), Some(u64::MAX));
        for other in ["7.log", "0000000000000000000+.log", "00000000000000000007.log.new", "99999999999999999999.log"] {
            assert_eq!(first_of(other), None, "{other}");
        }
    }

    #[test]
    fn strangers_fill_the_log_only_so_fast() {
        let mut strangers = Strangers::default();
        let admitted = (0..1000).filter(|_| strangers.admit(5_000).is_some()).count();
        assert_eq!(admitted as u64, BURST);
        assert_eq!(strangers.admit(5_000 + EVERY_MS), Some(1000 - BURST), "what was left out is told");
        let day = 24 * 3_600_000;
        let admitted = (0..day).step_by(100).filter(|ms| strangers.admit(100_000 + ms).is_some()).count();
        assert!(admitted as u64 <= day / EVERY_MS + BURST + 1, "{admitted}");
        assert!((admitted as u64) * 400 * 7 < SEGMENT * SEGMENTS as u64, "a week of strangers leaves room for others");
    }
}
