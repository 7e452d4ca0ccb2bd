//! Amounts of resources: `100m`, `1Gi`, `2`, `1e3`; exact, and in canonical form on output.

use std::cmp::Ordering;
use std::fmt;

/// Units of a thousand-millionth: the smallest amount there is.
const NANO: i128 = 1_000_000_000;

/// How an amount was written, which is how it is written back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    BinarySi,
    DecimalSi,
    DecimalExponent,
}

/// An amount.
#[derive(Debug, Clone, Copy)]
pub struct Quantity {
    nanos: i128,
    form: Form,
}

/// Text that is no amount; displays as upstream does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuantityError {
    /// Not of the form.
    Format,
    /// The number is fine, its suffix is not.
    Suffix,
}

impl fmt::Display for QuantityError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Format => {
                "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
            }
            Self::Suffix => "unable to parse quantity's suffix",
        })
    }
}

impl std::error::Error for QuantityError {}

impl Quantity {
    /// Reads an amount. Amounts beyond 2^63-1 are cut to it, finer ones than a nano are rounded away from zero.
    pub fn parse(text: &str) -> Result<Self, QuantityError> {
        let (negative, rest) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            Some(_) => (false, text),
            None => return Err(QuantityError::Format),
        };
        let split = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, suffix) = rest.split_at(split);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if fraction.contains('.') || (whole.is_empty() && fraction.is_empty()) {
            return Err(QuantityError::Format);
        }
        if !suffix.chars().all(|c| "eEinumkKMGTP+-".contains(c) || c.is_ascii_digit()) {
            return Err(QuantityError::Format);
        }
        let (scale, form) = Scale::parse(suffix).ok_or(QuantityError::Suffix)?;
        let nanos = scale.nanos(whole, fraction);
        Ok(Self { nanos: if negative { -nanos } else { nanos }, form })
    }

    /// Nothing, shown as Kubernetes shows plain numbers.
    pub const ZERO: Self = Self { nanos: 0, form: Form::DecimalSi };

    /// That many of something that is counted.
    pub fn whole(number: i64) -> Self {
        Self { nanos: i128::from(number) * NANO, form: Form::DecimalSi }
    }

    /// Reads an amount in an object, where numbers stand for themselves.
    pub fn of(value: &serde_json::Value) -> Option<Self> {
        match value {
            serde_json::Value::String(text) => Self::parse(text).ok(),
            serde_json::Value::Number(number) => Self::parse(&number.to_string()).ok(),
            _ => None,
        }
    }

    /// The sum, in the form of this amount (or of the other one, if this one is nothing).
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            nanos: self.nanos.saturating_add(other.nanos),
            form: if self.is_zero() { other.form } else { self.form },
        }
    }

    /// The difference, in the form of this amount (or of the other one, if this one is nothing).
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self {
            nanos: self.nanos.saturating_sub(other.nanos),
            form: if self.is_zero() { other.form } else { self.form },
        }
    }

    /// The number of whole units, rounded up.
    pub fn value(&self) -> i64 {
        i64::try_from(self.ceiling(NANO)).unwrap_or(i64::MAX)
    }

    /// The number of thousandths, rounded up.
    pub fn milli_value(&self) -> i64 {
        i64::try_from(self.ceiling(NANO / 1000)).unwrap_or(i64::MAX)
    }

    fn ceiling(&self, unit: i128) -> i128 {
        self.nanos.div_euclid(unit) + i128::from(self.nanos.rem_euclid(unit) != 0)
    }

    /// Whether it is below zero.
    pub fn is_negative(&self) -> bool {
        self.nanos < 0
    }

    /// Whether it is zero.
    pub fn is_zero(&self) -> bool {
        self.nanos == 0
    }

    /// Whether it has no fraction.
    pub fn is_whole(&self) -> bool {
        self.nanos % NANO == 0
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

impl fmt::Display for Quantity {
    /// The canonical form: the largest suffix that leaves no fraction.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nanos == 0 {
            return out.write_str("0");
        }
        let small = self.nanos.abs() < 1024 * NANO;
        if self.form == Form::BinarySi && !small && self.is_whole() {
            let mut value = self.nanos / NANO;
            let mut step = 0;
            while value % 1024 == 0 && step < BINARY.len() - 1 {
                value /= 1024;
                step += 1;
            }
            return write!(out, "{value}{}", BINARY[step]);
        }
        let (mut value, mut exponent) = (self.nanos, -9);
        while value % 1000 == 0 && exponent < 18 {
            value /= 1000;
            exponent += 3;
        }
        if self.form == Form::DecimalExponent {
            return if exponent == 0 { write!(out, "{value}") } else { write!(out, "{value}e{exponent}") };
        }
        let suffix = DECIMAL.iter().find(|(_, one)| *one == exponent).map_or("", |(suffix, _)| suffix);
        write!(out, "{value}{suffix}")
    }
}

impl Quantity {
    /// In thousand-millionths.
    pub fn nanos(&self) -> i128 {
        self.nanos
    }

    /// Another amount in the same form, cut to what an amount may be.
    #[must_use]
    pub fn with_nanos(self, nanos: i128) -> Self {
        let largest = i128::from(i64::MAX) * NANO;
        Self { nanos: nanos.clamp(-largest, largest), form: self.form }
    }
}

const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
const DECIMAL: [(&str, i32); 10] =
    [("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];

/// What a suffix multiplies by.
enum Scale {
    Binary(u32),
    Decimal(i32),
}

impl Scale {
    fn parse(suffix: &str) -> Option<(Self, Form)> {
        if let Some(step) = BINARY.iter().skip(1).position(|one| *one == suffix) {
            return Some((Self::Binary(step as u32 + 1), Form::BinarySi));
        }
        if let Some((_, exponent)) = DECIMAL.iter().find(|(one, _)| *one == suffix) {
            return Some((Self::Decimal(*exponent), Form::DecimalSi));
        }
        let digits = suffix.strip_prefix(['e', 'E'])?;
        let exponent: i32 = digits.parse().ok()?;
        Some((Self::Decimal(exponent), Form::DecimalExponent))
    }

    /// The digits as nanos, rounded away from zero and cut at the largest amount.
    fn nanos(&self, whole: &str, fraction: &str) -> i128 {
        let largest = i128::from(i64::MAX) * NANO;
        // With more digits than this the number is beyond the largest, or the rest beyond the smallest.
        let whole = whole.trim_start_matches('0');
        if whole.len() > 28 {
            return largest;
        }
        let (kept, cut) = fraction.split_at(fraction.len().min(28 - whole.len().min(28)));
        let mut value: i128 = format!("0{whole}{kept}").parse().unwrap_or(largest);
        let mut rounded = cut.bytes().any(|digit| digit != b'0');
        let (mut exponent, times) = match self {
            Self::Binary(step) => (9 - kept.len() as i32, 1024_i128.pow(*step)),
            Self::Decimal(exponent) => (exponent.saturating_add(9 - kept.len() as i32), 1),
        };
        // The factor comes last where digits would be lost, first where they are not many.
        value = match value.checked_mul(times) {
            Some(value) => value,
            None => return largest,
        };
        while exponent > 0 {
            value = match value.checked_mul(10) {
                Some(value) if value <= largest => value,
                Some(_) | None => return largest,
            };
            if value == 0 {
                break;
            }
            exponent -= 1;
        }
        while exponent < 0 && value != 0 {
            rounded |= value % 10 != 0;
            value /= 10;
            exponent += 1;
        }
        (value + i128::from(rounded)).min(largest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn canonical(text: &str) -> String {
        Quantity::parse(text).map_or_else(|error| error.to_string(), |quantity| quantity.to_string())
    }

    #[test]
    fn amounts_take_their_canonical_form() {
        for (given, wanted) in [
            ("1000m", "1"),
            ("0.5", "500m"),
            ("1024Mi", "1Gi"),
            ("1Gi", "1Gi"),
            ("1.5Gi", "1536Mi"),
            ("512", "512"),
            ("0.5Ki", "512"),
            ("100M", "100M"),
            ("1500M", "1500M"),
            ("1e3", "1e3"),
            ("1E3", "1e3"),
            ("12e6", "12e6"),
            ("-1", "-1"),
            ("0", "0"),
            ("0Mi", "0"),
            ("1n", "1n"),
            ("0.1n", "1n"),
            (".5", "500m"),
            ("5.", "5"),
            ("1E", "1E"),
            ("1Ei", "1Ei"),
            ("999999999999999999999999E", "9223372036854775807"),
        ] {
            assert_eq!(canonical(given), wanted, "{given}");
        }
    }

    #[test]
    fn what_is_no_amount_is_said_in_upstreams_words() {
        for text in ["", "a", "1.2.3", "1 Gi", "."] {
            assert_eq!(Quantity::parse(text).err(), Some(QuantityError::Format), "{text}");
        }
        for text in ["1Mii", "1ki", "1e", "1ee3", "1K"] {
            assert_eq!(Quantity::parse(text).err(), Some(QuantityError::Suffix), "{text}");
        }
    }

    #[test]
    fn amounts_add_up_in_the_form_of_the_first() {
        let parse = |text: &str| Quantity::parse(text).unwrap();
        assert_eq!(parse("1Gi").plus(parse("1024Mi")).to_string(), "2Gi");
        assert_eq!(Quantity::ZERO.plus(parse("1Gi")).to_string(), "1Gi");
        assert_eq!(parse("1").minus(parse("300m")).to_string(), "700m");
        assert_eq!((parse("1500m").value(), parse("1500u").milli_value(), parse("-1500m").value()), (2, 2, -1));
    }

    #[test]
    fn amounts_compare_across_forms() {
        assert_eq!(Quantity::parse("1000m"), Quantity::parse("1"));
        assert!(Quantity::parse("1Gi").ok() > Quantity::parse("1G").ok());
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_without_panic(text in "[-+]?[0-9.]{0,40}[eEinumkKMGTP0-9+-]{0,6}") {
            let _ = Quantity::parse(&text);
        }

        #[test]
        fn the_canonical_form_is_the_same_amount(number in -1_000_000_i64..1_000_000, suffix in "(n|u|m|k|M|G|Ki|Mi|Gi|e3|)") {
            let one = Quantity::parse(&format!("{number}{suffix}"))?;
            prop_assert_eq!(one, Quantity::parse(&one.to_string())?);
        }
    }
}
