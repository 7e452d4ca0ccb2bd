//! The code: eight letters that are hard to misread.

use std::fmt;
use std::str::FromStr;

/// Crockford's alphabet: no I, L, O, U.
const LETTERS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Forty bits: with a dozen guesses an hour, one in ten million years is right by chance.
const LENGTH: usize = 8;

/// A claim code. It is shown as `XXXX-XXXX`; small letters, spaces, and O, I and L for 0 and 1 are taken, too.
#[derive(Clone, PartialEq, Eq)]
pub struct Code([u8; LENGTH]);

/// A text that is no code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a claim code is eight letters and digits, as the machine's console shows it: XXXX-XXXX")]
pub struct NoCode;

impl Code {
    /// A code from random bytes.
    #[must_use]
    pub fn from_random(bytes: [u8; LENGTH]) -> Self {
        Self(bytes.map(|byte| LETTERS[usize::from(byte) % LETTERS.len()]))
    }

    pub(crate) fn secret(&self) -> &[u8] {
        &self.0
    }
}

impl FromStr for Code {
    type Err = NoCode;

    fn from_str(text: &str) -> Result<Self, NoCode> {
        let mut code = [0; LENGTH];
        let mut places = code.iter_mut();
        for letter in text.trim().bytes().filter(|letter| !matches!(letter, b'-' | b' ')) {
            let letter = match letter.to_ascii_uppercase() {
                b'O' => b'0',
                b'I' | b'L' => b'1',
                letter => letter,
            };
            if !LETTERS.contains(&letter) {
                return Err(NoCode);
            }
            *places.next().ok_or(NoCode)? = letter;
        }
        if places.next().is_some() { Err(NoCode) } else { Ok(Self(code)) }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, letter) in self.0.iter().enumerate() {
            let dash = if place == LENGTH / 2 { "-" } else { "" };
            write!(f, "{dash}{}", char::from(*letter))?;
        }
        Ok(())
    }
}

/// A secret does not get into a log by accident.
impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Code(..)")
    }
}
