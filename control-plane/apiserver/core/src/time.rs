//! Times as objects carry them.

use jiff::Timestamp;

/// To the second, as `metav1.Time`.
pub fn seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// To the microsecond, as `metav1.MicroTime`.
pub fn micros(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

/// Reads RFC 3339.
pub fn parse(text: &str) -> Option<Timestamp> {
    // Stricter than the library, which also takes other separators and zones in brackets.
    let shape = text.as_bytes();
    let plain = shape.len() >= 20 && shape[10] == b'T' && !text.contains('[');
    if plain { text.parse().ok() } else { None }
}

/// How long ago a time was, as people read it: `5d`, `3h20m`; `<unknown>` for none, `<invalid>` for the future.
pub fn age(since: Option<&str>, now: Timestamp) -> String {
    since.and_then(parse).map_or_else(|| "<unknown>".to_owned(), |since| span(now.as_second() - since.as_second()))
}

/// Seconds as people read them: two units where one would be coarse.
pub fn span(seconds: i64) -> String {
    const MINUTE: i64 = 60;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;
    const YEAR: i64 = 365 * DAY;
    let two = |large: i64, unit: &str, small: i64, sub: &str| {
        if small == 0 { format!("{large}{unit}") } else { format!("{large}{unit}{small}{sub}") }
    };
    match seconds {
        ..-1 => "<invalid>".into(),
        -1..0 => "0s".into(),
        0..120 => format!("{seconds}s"),
        120..600 => two(seconds / MINUTE, "m", seconds % MINUTE, "s"),
        600..10_800 => format!("{}m", seconds / MINUTE),
        10_800..28_800 => two(seconds / HOUR, "h", seconds % HOUR / MINUTE, "m"),
        28_800..172_800 => format!("{}h", seconds / HOUR),
        172_800..691_200 => two(seconds / DAY, "d", seconds % DAY / HOUR, "h"),
        691_200..63_072_000 => format!("{}d", seconds / DAY),
        63_072_000..252_288_000 => two(seconds / YEAR, "y", seconds % YEAR / DAY, "d"),
        252_288_000.. => format!("{}y", seconds / YEAR),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_like_kubectls() {
        for (seconds, wanted) in [
            (-5, "<invalid>"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (125, "2m5s"),
            (601, "10m"),
            (3 * 3600 - 1, "179m"),
            (3 * 3600 + 120, "3h2m"),
            (8 * 3600, "8h"),
            (2 * 86400 + 3600, "2d1h"),
            (8 * 86400, "8d"),
            (2 * 365 * 86400 + 86400, "2y1d"),
            (8 * 365 * 86400, "8y"),
        ] {
            assert_eq!(span(seconds), wanted, "{seconds}");
        }
    }

    #[test]
    fn times_round_trip_and_nonsense_is_refused() {
        let time = parse("2026-08-01T10:20:30.123456Z").expect("a time");
        assert_eq!(seconds(time), "2026-08-01T10:20:30Z");
        assert_eq!(micros(time), "2026-08-01T10:20:30.123456Z");
        assert_eq!(parse("2026-08-01T12:20:30+02:00").map(seconds), Some("2026-08-01T10:20:30Z".into()));
        for text in ["", "today", "2026-08-01", "2026-08-01 10:20:30Z", "2026-13-01T10:20:30Z"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
