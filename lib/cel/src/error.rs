//! Why an evaluation has no value.

use std::borrow::Cow;
use std::fmt;

/// Why an evaluation has no value. Only [`Error::Failed`] is absorbed by `&&` and `||`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// The expression failed on its data, such as by a missing key.
    Failed(Cow<'static, str>),
    /// It cost more than it may.
    CostLimit,
    /// The host asked it to stop.
    Interrupted,
}

impl Error {
    /// A failure with these words.
    pub fn new(words: impl Into<Cow<'static, str>>) -> Self {
        Self::Failed(words.into())
    }

    /// An operation that does not exist for such values.
    pub const fn no_such_overload() -> Self {
        Self::Failed(Cow::Borrowed("no such overload"))
    }

    /// An integer beyond its range.
    pub const fn overflow(kind: &'static str) -> Self {
        Self::Failed(Cow::Borrowed(kind))
    }

    /// A key that a map has not.
    pub fn no_such_key(key: impl fmt::Display) -> Self {
        Self::new(format!("no such key: {key}"))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(words) => out.write_str(words),
            Self::CostLimit => out.write_str("operation cancelled: actual cost limit exceeded"),
            Self::Interrupted => out.write_str("operation interrupted"),
        }
    }
}

impl std::error::Error for Error {}
