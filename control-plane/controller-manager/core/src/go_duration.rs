//! Durations as the flags of Kubernetes' programs write them: `15s`, `1m30s`, `2.5h`, `500ms`.

use std::time::Duration;

/// Why a text is no duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a duration such as 15s, 1m30s or 500ms")]
pub struct InvalidDuration {
    text: String,
}

/// Parses a duration: one or more decimal numbers, each with a unit (`h`, `m`, `s`, `ms`, `us`, `µs`, `ns`), or `0`.
/// Negative durations are refused.
pub fn parse(text: &str) -> Result<Duration, InvalidDuration> {
    let invalid = || InvalidDuration { text: text.to_owned() };
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(invalid)?;
        let (number, tail) = rest.split_at(end);
        let unit_end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let seconds = match unit {
            "h" => 3_600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return Err(invalid()),
        };
        let number: f64 = number.parse().map_err(|_| invalid())?;
        let part = Duration::try_from_secs_f64(number * seconds).map_err(|_| invalid())?;
        total = total.checked_add(part).ok_or_else(invalid)?;
        rest = tail;
    }
    if text.is_empty() { Err(invalid()) } else { Ok(total) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_upstream_reads_them() {
        for (text, millis) in [("15s", 15_000), ("1m30s", 90_000), ("0", 0), ("1.5h", 5_400_000), ("500ms", 500)] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "15", "s", "-3s", "3 s", "1..5s", "1d", "s3", "99999999999999999999h", ".s", "NaNs", "1e3s"] {
            assert!(parse(text).is_err(), "{text} was accepted");
        }
    }
}
