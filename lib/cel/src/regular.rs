//! Patterns of texts, as RE2 reads them. Matching takes time linear in the text, and a pattern little memory.

use regex::{Regex, RegexBuilder};

/// No compiled pattern is larger.
const LARGEST: usize = 1 << 20;

/// Compiles a pattern; the error says what is wrong with it in Go's words.
pub fn compile(pattern: &str) -> Result<Regex, String> {
    let wrong = || format!("error parsing regexp: invalid pattern: `{pattern}`");
    let translated = translate(pattern).ok_or_else(wrong)?;
    RegexBuilder::new(&translated).size_limit(LARGEST).dfa_size_limit(LARGEST).build().map_err(|_| wrong())
}

/// The pattern as the `regex` crate must be told it: there classes of letters are of all Unicode, and brackets nest.
#[allow(clippy::match_same_arms, reason = "a table, row by row")]
fn translate(pattern: &str) -> Option<String> {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut characters = pattern.chars().peekable();
    let mut class = false;
    // Where in a class `]` is itself.
    let mut first = false;
    while let Some(character) = characters.next() {
        match character {
            '\\' => {
                let escaped = characters.next()?;
                if escaped == 'Q' && !class {
                    let rest: String = characters.clone().collect();
                    let end = rest.find("\\E");
                    let literal = &rest[..end.unwrap_or(rest.len())];
                    out.push_str(&regex::escape(literal));
                    let skipped = literal.chars().count() + if end.is_some() { 2 } else { 0 };
                    characters.by_ref().take(skipped).for_each(drop);
                    continue;
                }
                out.push_str(match (escaped, class) {
                    ('d', false) => "[0-9]",
                    ('D', false) => "[^0-9]",
                    ('s', false) => "[\\t\\n\\f\\r ]",
                    ('S', false) => "[^\\t\\n\\f\\r ]",
                    ('w', false) => "[0-9A-Za-z_]",
                    ('W', false) => "[^0-9A-Za-z_]",
                    ('b', false) => "(?-u:\\b)",
                    ('B', false) => "(?-u:\\B)",
                    ('d', true) => "0-9",
                    ('D', true) => "[^0-9]",
                    ('s', true) => "\\t\\n\\f\\r ",
                    ('S', true) => "[^\\t\\n\\f\\r ]",
                    ('w', true) => "0-9A-Za-z_",
                    ('W', true) => "[^0-9A-Za-z_]",
                    ('C' | 'E' | '1'..='9', _) => return None,
                    ('b' | 'B' | 'A' | 'z', true) => return None,
                    ('<' | '>', _) => {
                        out.push(escaped);
                        first = false;
                        continue;
                    }
                    _ => {
                        out.push('\\');
                        out.push(escaped);
                        first = false;
                        continue;
                    }
                });
                first = false;
            }
            '[' if !class => {
                class = true;
                first = true;
                out.push('[');
                if characters.peek() == Some(&'^') {
                    characters.next();
                    out.push('^');
                }
            }
            '[' if characters.peek() == Some(&':') => {
                // A named class, such as `[:alpha:]`.
                out.push('[');
                for character in characters.by_ref() {
                    out.push(character);
                    if character == ']' {
                        break;
                    }
                }
                first = false;
            }
            ']' if class && first => {
                out.push_str("\\]");
                first = false;
            }
            ']' if class => {
                class = false;
                out.push(']');
            }
            '[' | '&' | '~' if class => {
                out.push('\\');
                out.push(character);
                first = false;
            }
            '-' if class && (first || characters.peek() == Some(&']')) => {
                out.push_str("\\-");
                first = false;
            }
            '{' if !class => {
                // What is no count is a brace.
                let rest: String = characters.clone().take(12).collect();
                match count(&rest) {
                    Some(most) if most > 1000 => return None,
                    Some(_) => out.push('{'),
                    None => out.push_str("\\{"),
                }
            }
            other => {
                out.push(other);
                first = false;
            }
        }
    }
    Some(out)
}

/// The larger number of `3}`, `3,}` or `3,5}`.
fn count(text: &str) -> Option<u32> {
    let (inside, _) = text.split_once('}')?;
    let (least, most) = inside.split_once(',').unwrap_or((inside, ""));
    let least: u32 = least.parse().ok()?;
    if most.is_empty() { Some(least) } else { Some(most.parse::<u32>().ok()?.max(least)) }
}
