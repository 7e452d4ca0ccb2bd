//! When a volume is so full that an operator should know.

use crate::condition::Severity;

/// Below this share of a volume, in percent, an operator should make room.
const SCARCE_PERCENT: u64 = 5;
/// Below this share nothing should be written any more.
const NONE_PERCENT: u64 = 1;

/// A mounted volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// Its name for people: that of its partition, and where it is mounted.
    pub name: String,
    /// Its size in bytes.
    pub total: u64,
    /// Bytes that can still be written.
    pub free: u64,
}

impl Volume {
    /// What to say of it; nothing as long as there is room. The text changes with the level alone, not with every byte.
    #[must_use]
    pub fn finding(&self) -> Option<(Severity, String)> {
        let below = |percent: u64| self.free < self.total / 100 * percent;
        if self.total == 0 {
            None
        } else if below(NONE_PERCENT) {
            Some((Severity::Error, format!("{} is full: less than {NONE_PERCENT} % of it is free", self.name)))
        } else if below(SCARCE_PERCENT) {
            Some((
                Severity::Warning,
                format!("{} is almost full: less than {SCARCE_PERCENT} % of it is free", self.name),
            ))
        } else {
            None
        }
    }
}

/// What to say of all volumes: the worst level, and a sentence for each that has one.
#[must_use]
pub fn finding(volumes: &[Volume]) -> Option<(Severity, String)> {
    let found: Vec<_> = volumes.iter().filter_map(Volume::finding).collect();
    let worst = found.iter().map(|(severity, _)| *severity).max()?;
    let sentences: Vec<_> = found.into_iter().map(|(_, sentence)| sentence).collect();
    Some((worst, sentences.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(name: &str, free: u64) -> Volume {
        Volume { name: name.to_owned(), total: 1000, free }
    }

    #[test]
    fn a_volume_with_room_is_not_mentioned() {
        assert_eq!(volume("DATA", 50).finding(), None);
        assert_eq!(Volume { total: 0, ..volume("DATA", 0) }.finding(), None);
        assert_eq!(finding(&[volume("STATE", 500), volume("DATA", 500)]), None);
    }

    #[test]
    fn the_worst_volume_sets_the_level() {
        let scarce = volume("STATE", 49).finding().expect("it is almost full");
        assert_eq!(scarce, (Severity::Warning, "STATE is almost full: less than 5 % of it is free".to_owned()));
        let (severity, text) = finding(&[volume("STATE", 49), volume("DATA", 9)]).expect("both are");
        assert_eq!(severity, Severity::Error);
        assert_eq!(
            text,
            "STATE is almost full: less than 5 % of it is free; DATA is full: less than 1 % of it is free"
        );
    }
}
