//! Tokens.

use crate::source::Issue;

/// A piece of the text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Token<'s> {
    Int(&'s str),
    Uint(&'s str),
    Float(&'s str),
    /// With its prefix and quotes.
    String(&'s str),
    /// With its prefix and quotes.
    Bytes(&'s str),
    Ident(&'s str),
    /// An operator, a bracket, or one of `in`, `true`, `false`, `null`.
    Sign(&'static str),
    End,
}

impl<'s> Token<'s> {
    /// As errors show it.
    #[allow(clippy::match_same_arms, reason = "lifetimes differ")]
    pub(super) fn shown(self) -> &'s str {
        match self {
            Self::Int(text)
            | Self::Uint(text)
            | Self::Float(text)
            | Self::String(text)
            | Self::Bytes(text)
            | Self::Ident(text) => text,
            Self::Sign(text) => text,
            Self::End => "<EOF>",
        }
    }
}

const SIGNS: [&str; 24] = [
    "==", "!=", "<=", ">=", "&&", "||", "[", "]", "{", "}", "(", ")", ".", ",", "-", "!", "?", ":", "+", "*", "/", "%",
    "<", ">",
];

/// Cuts the text. Characters that begin nothing are reported and left out.
pub(super) fn tokens<'s>(text: &'s str, issues: &mut Vec<Issue>) -> Vec<(Token<'s>, u32)> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let start = at;
        let token = match byte {
            b' ' | b'\t' | b'\n' | b'\r' | 0x0c => {
                at += 1;
                continue;
            }
            b'/' if bytes.get(at + 1) == Some(&b'/') => {
                at = text[at..].find('\n').map_or(text.len(), |end| at + end);
                continue;
            }
            b'0'..=b'9' => Some(number(text, &mut at)),
            b'.' if bytes.get(at + 1).is_some_and(u8::is_ascii_digit) => Some(number(text, &mut at)),
            b'"' | b'\'' => quoted(text, &mut at, 0),
            _ if prefix(&bytes[start..]) > 0 => quoted(text, &mut at, prefix(&bytes[start..])),
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => {
                let rest = &text[at..];
                let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
                at += end;
                Some(match &rest[..end] {
                    "in" => Token::Sign("in"),
                    "true" => Token::Sign("true"),
                    "false" => Token::Sign("false"),
                    "null" => Token::Sign("null"),
                    name => Token::Ident(name),
                })
            }
            _ => {
                let sign = SIGNS.iter().find(|sign| text[start..].starts_with(**sign));
                at += sign.map_or(0, |sign| sign.len());
                sign.map(|sign| Token::Sign(sign))
            }
        };
        if let Some(token) = token {
            found.push((token, start as u32));
        } else {
            let character = text[start..].chars().next().unwrap_or_default();
            // A quote that is never closed takes the rest of its line with it.
            let wrong = if matches!(character, '"' | '\'') || prefix(&bytes[start..]) > 0 {
                text[start..].split('\n').next().unwrap_or_default()
            } else {
                &text[start..start + character.len_utf8()]
            };
            at = start + wrong.len().max(1);
            issues.push(Issue::at(text, start, format!("Syntax error: token recognition error at: '{wrong}'")));
        }
    }
    found.push((Token::End, text.len() as u32));
    found
}

/// How long the `r`, `b` or both before a quote are.
fn prefix(bytes: &[u8]) -> usize {
    let letters = |byte: u8| byte.to_ascii_lowercase();
    match bytes {
        [a, b'"' | b'\'', ..] if matches!(letters(*a), b'r' | b'b') => 1,
        [a, b, b'"' | b'\'', ..] if matches!((letters(*a), letters(*b)), (b'r', b'b') | (b'b', b'r')) => 2,
        _ => 0,
    }
}

fn number<'s>(text: &'s str, at: &mut usize) -> Token<'s> {
    let rest = &text[*at..];
    let bytes = rest.as_bytes();
    let digits = |from: usize| from + bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut end;
    let mut float = false;
    if rest.starts_with("0x") && bytes.get(2).is_some_and(u8::is_ascii_hexdigit) {
        end = 2 + bytes[2..].iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    } else {
        end = digits(0);
        if bytes.get(end) == Some(&b'.') && bytes.get(end + 1).is_some_and(u8::is_ascii_digit) {
            float = true;
            end = digits(end + 1);
        }
        if matches!(bytes.get(end), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
            if bytes.get(end + 1 + sign).is_some_and(u8::is_ascii_digit) {
                float = true;
                end = digits(end + 1 + sign);
            }
        }
    }
    let token = if float {
        Token::Float(&rest[..end])
    } else if matches!(bytes.get(end), Some(b'u' | b'U')) {
        end += 1;
        Token::Uint(&rest[..end])
    } else {
        Token::Int(&rest[..end])
    };
    *at += end;
    token
}

fn quoted<'s>(text: &'s str, at: &mut usize, prefix: usize) -> Option<Token<'s>> {
    let rest = &text[*at..];
    let bytes = rest.as_bytes();
    let raw = bytes[..prefix].iter().any(|byte| matches!(byte, b'r' | b'R'));
    let quote = bytes[prefix];
    let triple = bytes[prefix..].starts_with(&[quote; 3]);
    let mut end = prefix + if triple { 3 } else { 1 };
    loop {
        match bytes.get(end) {
            None => return None,
            Some(b'\n' | b'\r') if !triple => return None,
            Some(b'\\') if !raw => end += 2,
            Some(byte) if *byte == quote && (!triple || bytes[end..].starts_with(&[quote; 3])) => {
                end += if triple { 3 } else { 1 };
                break;
            }
            Some(_) => end += 1,
        }
    }
    *at += end;
    let whole = rest.get(..end)?;
    Some(if bytes[..prefix].iter().any(|byte| matches!(byte, b'b' | b'B')) {
        Token::Bytes(whole)
    } else {
        Token::String(whole)
    })
}
