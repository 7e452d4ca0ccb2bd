//! The one moment that every time stamp of an image shows, in the forms that tools want.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// `2026-11-12T00:00:00Z`.
pub(crate) fn rfc3339(epoch: u64) -> String {
    timestamp(epoch).to_string()
}

/// `2026111200000000`: to the hundredth of a second, as ISO 9660 writes it.
pub(crate) fn iso9660(epoch: u64) -> String {
    timestamp(epoch).to_zoned(TimeZone::UTC).strftime("%Y%m%d%H%M%S00").to_string()
}

fn timestamp(epoch: u64) -> Timestamp {
    i64::try_from(epoch).ok().and_then(|second| Timestamp::from_second(second).ok()).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_has_its_forms() {
        assert_eq!(rfc3339(1_794_441_600), "2026-11-12T00:00:00Z");
        assert_eq!(iso9660(1_794_441_661), "2026111200010100");
    }
}
