//! The arguments file of a service: one argument per line.

use std::fmt;

/// The largest file in bytes. The kernel's own limit for arguments is far higher; a file of this size is a mistake.
pub const FILE_LIMIT: usize = 64 * 1024;

/// Why a file is not a list of arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArgumentsError {
    /// The file is larger than [`FILE_LIMIT`].
    TooLarge,
    /// This line is not UTF-8.
    NotText(usize),
    /// This line holds a NUL byte, which cannot be passed to a program.
    Nul(usize),
}

impl fmt::Display for ArgumentsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge => write!(f, "larger than {FILE_LIMIT} bytes"),
            Self::NotText(line) => write!(f, "line {line} is not UTF-8"),
            Self::Nul(line) => write!(f, "line {line} holds a NUL byte"),
        }
    }
}

impl std::error::Error for ArgumentsError {}

/// Reads the content of an arguments file. Empty lines are skipped; nothing is trimmed or unquoted.
pub fn parse(content: &[u8]) -> Result<Vec<String>, ArgumentsError> {
    if content.len() > FILE_LIMIT {
        return Err(ArgumentsError::TooLarge);
    }
    let mut arguments = Vec::new();
    for (place, line) in content.split(|&byte| byte == b'\n').enumerate() {
        if line.is_empty() {
            continue;
        }
        if line.contains(&0) {
            return Err(ArgumentsError::Nul(place + 1));
        }
        let text = std::str::from_utf8(line).map_err(|_| ArgumentsError::NotText(place + 1))?;
        arguments.push(text.to_owned());
    }
    Ok(arguments)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_argument_per_line_with_spaces_kept() {
        assert_eq!(parse(b"--name\n a b \n\n--x=1"), Ok(vec!["--name".into(), " a b ".into(), "--x=1".into()]));
        assert_eq!(parse(b""), Ok(vec![]));
    }

    #[test]
    fn what_cannot_be_an_argument_names_its_line() {
        assert_eq!(parse(b"ok\n\xff"), Err(ArgumentsError::NotText(2)));
        assert_eq!(parse(b"a\0b"), Err(ArgumentsError::Nul(1)));
        assert_eq!(parse(&vec![b'x'; FILE_LIMIT + 1]), Err(ArgumentsError::TooLarge));
    }
}
