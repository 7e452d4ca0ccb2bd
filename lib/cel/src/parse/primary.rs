//! What stands alone: literals, names, brackets.

use std::sync::Arc;

use super::lexer::Token;
use super::{BEGINNINGS, Parsed, Parser, unescape};
use crate::ast::{Entry, FieldInit, Kind, Literal};

const RESERVED: [&str; 17] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

impl<'s> Parser<'s> {
    pub(super) fn primary(&mut self) -> Parsed {
        let at = self.offset();
        let literal = match self.token() {
            Token::Sign("(") => {
                self.at += 1;
                let inner = self.expr()?;
                self.expect(")")?;
                return Ok(inner);
            }
            Token::Sign("[") => return self.list(),
            Token::Sign("{") => return self.map(),
            Token::Sign(".") | Token::Ident(_) => return self.name(),
            Token::Sign("true") => Literal::Bool(true),
            Token::Sign("false") => Literal::Bool(false),
            Token::Sign("null") => Literal::Null,
            Token::Sign("-") => {
                self.at += 1;
                self.number(true)
            }
            Token::Int(_) | Token::Uint(_) | Token::Float(_) => self.number(false),
            Token::String(text) => match unescape::string(text) {
                Ok(text) => Literal::String(text.into()),
                Err(wrong) => return Err(self.issue(at, format!("Syntax error: {wrong}"))),
            },
            Token::Bytes(text) => match unescape::bytes(text) {
                Ok(bytes) => Literal::Bytes(bytes.into()),
                Err(wrong) => return Err(self.issue(at, format!("Syntax error: {wrong}"))),
            },
            Token::End => return Err(self.unexpected(BEGINNINGS, false)),
            Token::Sign(_) => {
                let begins = self.tokens.get(self.at + 1).is_some_and(|(next, _)| match next {
                    Token::Sign(sign) => matches!(*sign, "[" | "{" | "(" | "." | "-" | "!" | "true" | "false" | "null"),
                    Token::End => false,
                    _ => true,
                });
                return Err(self.unexpected(BEGINNINGS, begins));
            }
        };
        self.at += 1;
        self.node(at, Kind::Literal(literal))
    }

    fn number(&mut self, negative: bool) -> Literal {
        let at = self.offset();
        let sign = if negative { "-" } else { "" };
        let wrong = |parser: &mut Self, kind| {
            let issue = parser.issue(at, format!("invalid {kind} literal"));
            parser.issues.push(issue);
            Literal::Null
        };
        let radix = |text: &'s str| text.strip_prefix("0x").map_or((text, 10), |digits| (digits, 16));
        match self.token() {
            Token::Float(text) => match format!("{sign}{text}").parse::<f64>() {
                Ok(number) if number.is_finite() => Literal::Double(number),
                _ => wrong(self, "double"),
            },
            Token::Uint(text) => {
                let (digits, radix) = radix(&text[..text.len() - 1]);
                u64::from_str_radix(digits, radix).map_or_else(|_| wrong(self, "uint"), Literal::Uint)
            }
            Token::Int(text) => {
                let (digits, radix) = radix(text);
                i64::from_str_radix(&format!("{sign}{digits}"), radix).map_or_else(|_| wrong(self, "int"), Literal::Int)
            }
            _ => wrong(self, "int"),
        }
    }

    /// A name, a call, or a message.
    fn name(&mut self) -> Parsed {
        let at = self.offset();
        let rooted = self.take(".").is_some();
        let Token::Ident(word) = self.token() else { return Err(self.unexpected("IDENTIFIER", false)) };
        let word_at = self.offset();
        self.at += 1;
        let name = if rooted { format!(".{word}") } else { word.to_owned() };
        // `a.b.C{` is a message; anything else with dots is taken apart by the caller.
        let mut ahead = self.at;
        let mut whole = name.clone();
        while let (Some((Token::Sign("."), _)), Some((Token::Ident(part), _))) =
            (self.tokens.get(ahead), self.tokens.get(ahead + 1))
        {
            whole.push('.');
            whole.push_str(part);
            ahead += 2;
        }
        if matches!(self.tokens.get(ahead), Some((Token::Sign("{"), _))) {
            self.at = ahead;
            return self.message(&whole);
        }
        if RESERVED.contains(&word) {
            self.issues.push(self.issue(word_at, format!("reserved identifier: {word}")));
        }
        if let Some(open) = self.take("(") {
            let args = self.args()?;
            return self.global_call(open, &name, args);
        }
        self.node(at, Kind::Ident(name.into()))
    }

    fn optional_entry(&mut self) -> bool {
        let at = self.offset();
        let optional = self.take("?").is_some();
        if optional && !self.macros.optional {
            self.issues.push(self.issue(at, "unsupported syntax '?'"));
        }
        optional
    }

    fn list(&mut self) -> Parsed {
        let at = self.expect("[")?;
        let mut elements = Vec::new();
        while self.take("]").is_none() {
            let optional = self.optional_entry();
            elements.push((self.expr()?, optional));
            if self.take(",").is_none() {
                self.expect("]")?;
                break;
            }
        }
        self.node(at, Kind::List(elements))
    }

    fn map(&mut self) -> Parsed {
        let at = self.expect("{")?;
        let mut entries = Vec::new();
        while self.take("}").is_none() {
            let optional = self.optional_entry();
            let key = self.expr()?;
            self.expect(":")?;
            entries.push(Entry { key, value: self.expr()?, optional });
            if self.take(",").is_none() {
                self.expect("}")?;
                break;
            }
        }
        self.node(at, Kind::Map(entries))
    }

    fn message(&mut self, name: &str) -> Parsed {
        let at = self.expect("{")?;
        let mut fields = Vec::new();
        while self.take("}").is_none() {
            let optional = self.optional_entry();
            let Token::Ident(field) = self.token() else { return Err(self.unexpected("IDENTIFIER", false)) };
            self.at += 1;
            let offset = self.expect(":")?;
            fields.push(FieldInit { name: field.into(), offset, value: self.expr()?, optional });
            if self.take(",").is_none() {
                self.expect("}")?;
                break;
            }
        }
        self.node(at, Kind::Struct { name: Arc::from(name), fields })
    }
}
