//! Durations as Go writes and reads them: numbers with units, joined.

use std::time::Duration;

/// Reads a duration such as `1h30m` or `1.5s`. What is below zero is read as zero.
///
/// # Errors
///
/// What Go says about it.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let invalid = || format!("time: invalid duration {text:?}");
    let negative = text.starts_with('-');
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total: u128 = 0;
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (digits, tail) = rest.split_at(number);
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        if digits.is_empty() || digits == "." || fraction.contains('.') {
            return Err(invalid());
        }
        let end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, after) = tail.split_at(end);
        let nanoseconds: u128 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            "" => return Err(format!("time: missing unit in duration {text:?}")),
            other => return Err(format!("time: unknown unit {other:?} in duration {text:?}")),
        };
        let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| invalid())? };
        // More digits than these are below a nanosecond.
        let fraction = fraction.get(..18).unwrap_or(fraction);
        let scale = 10_u128.pow(fraction.len() as u32);
        let fraction: u128 = if fraction.is_empty() { 0 } else { fraction.parse().map_err(|_| invalid())? };
        let part = whole.checked_mul(nanoseconds).and_then(|whole| whole.checked_add(fraction * nanoseconds / scale));
        total =
            part.and_then(|part| total.checked_add(part)).filter(|sum| *sum <= i64::MAX as u128).ok_or_else(invalid)?;
        rest = after;
    }
    Ok(if negative { Duration::ZERO } else { Duration::from_nanos(u64::try_from(total).unwrap_or(u64::MAX)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_writes_them() {
        assert_eq!(parse("1h2m3s4ms"), Ok(Duration::from_millis(3_723_004)));
        assert_eq!(parse("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(parse(".5m10us"), Ok(Duration::from_micros(30_000_010)));
        assert_eq!(parse("0"), Ok(Duration::ZERO));
        assert_eq!(parse("-3s"), Ok(Duration::ZERO));
    }

    #[test]
    fn what_is_none_is_refused_in_gos_words() {
        let said = |text: &str| parse(text).expect_err("no duration");
        assert_eq!(said("5"), "time: missing unit in duration \"5\"");
        assert_eq!(said("1y"), "time: unknown unit \"y\" in duration \"1y\"");
        for bad in
            ["", "m", "x", ".s", "1..2s", "-", "99999999999999999999s", "9999999999999999999999999999999999999999h"]
        {
            assert_eq!(said(bad), format!("time: invalid duration {bad:?}"));
        }
    }
}
