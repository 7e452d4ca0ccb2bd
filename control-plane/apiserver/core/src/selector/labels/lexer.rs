//! Words and signs of a label selector.

/// What a piece of text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    Identifier,
    In,
    NotIn,
    Equals,
    NotEquals,
    GreaterThan,
    LessThan,
    DoesNotExist,
    Comma,
    Open,
    Close,
    End,
    Wrong,
}

/// Cuts a selector into tokens.
pub(super) struct Lexer<'a> {
    rest: &'a str,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { rest: text }
    }

    /// All tokens with their texts, without the end.
    pub(super) fn tokens(mut self) -> Vec<(Token, String)> {
        let mut tokens = Vec::new();
        loop {
            self.rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
            let Some(first) = self.rest.chars().next() else { return tokens };
            let length = if is_sign(first) {
                self.rest.find(|c: char| !is_sign(c)).unwrap_or(self.rest.len())
            } else {
                self.rest.find(|c: char| is_sign(c) || " \t\r\n".contains(c)).unwrap_or(self.rest.len())
            };
            let (token, length) =
                if is_sign(first) { sign(&self.rest[..length]) } else { (word(&self.rest[..length]), length) };
            let (text, rest) = self.rest.split_at(length);
            tokens.push((token, text.to_owned()));
            self.rest = rest;
        }
    }
}

fn is_sign(c: char) -> bool {
    "=!(),><".contains(c)
}

fn word(text: &str) -> Token {
    match text {
        "in" => Token::In,
        "notin" => Token::NotIn,
        _ => Token::Identifier,
    }
}

/// The longest sign a run of sign characters begins with.
fn sign(run: &str) -> (Token, usize) {
    const SIGNS: [(&str, Token); 9] = [
        ("==", Token::Equals),
        ("!=", Token::NotEquals),
        ("=", Token::Equals),
        ("!", Token::DoesNotExist),
        (">", Token::GreaterThan),
        ("<", Token::LessThan),
        (",", Token::Comma),
        ("(", Token::Open),
        (")", Token::Close),
    ];
    SIGNS
        .iter()
        .find(|(text, _)| run.starts_with(text))
        .map_or((Token::Wrong, run.len()), |(text, token)| (*token, text.len()))
}
