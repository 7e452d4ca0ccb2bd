//! What is wrong with a text, and where.

use std::fmt;

/// One thing that is wrong with an expression. Displays as cel-go does, with the line and a mark under the place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    /// From one.
    pub line: usize,
    /// In characters, from nought.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    snippet: Option<String>,
}

/// All that is wrong with an expression, in order of place. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issues(pub Vec<Issue>);

/// Not more than so many are told.
const MOST: usize = 100;

impl Issue {
    /// A thing that is wrong at a byte of the text.
    pub fn at(text: &str, offset: usize, message: impl Into<String>) -> Self {
        let mut offset = offset.min(text.len());
        while !text.is_char_boundary(offset) {
            offset -= 1;
        }
        let start = text[..offset].rfind('\n').map_or(0, |at| at + 1);
        let line = text[..start].matches('\n').count() + 1;
        let column = text[start..offset].chars().count();
        let snippet = text[start..].split('\n').next().unwrap_or_default().to_owned();
        Self { line, column, message: message.into(), snippet: Some(snippet) }
    }

    /// A thing that is wrong with the text as a whole.
    pub fn of_whole(message: impl Into<String>) -> Self {
        Self { line: 0, column: 0, message: message.into(), snippet: None }
    }
}

impl fmt::Display for Issue {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(snippet) = &self.snippet else { return write!(out, "ERROR: <input>:-1:0: {}", self.message) };
        write!(out, "ERROR: <input>:{}:{}: {}", self.line, self.column + 1, self.message)?;
        write!(out, "\n | {}\n | ", snippet.replace('\t', " "))?;
        let mut characters = snippet.chars();
        for character in characters.by_ref().take(self.column) {
            out.write_str(if character.len_utf8() > 1 { "．" } else { "." })?;
        }
        out.write_str(if characters.next().is_some_and(|next| next.len_utf8() > 1) { "＾" } else { "^" })
    }
}

impl Issues {
    pub(crate) fn sorted(mut issues: Vec<Issue>) -> Self {
        issues.sort_by_key(|issue| (issue.line, issue.column));
        issues.truncate(MOST);
        Self(issues)
    }
}

impl fmt::Display for Issues {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, issue) in self.0.iter().enumerate() {
            if index > 0 {
                out.write_str("\n")?;
            }
            issue.fmt(out)?;
        }
        Ok(())
    }
}

impl std::error::Error for Issues {}
