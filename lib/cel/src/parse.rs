//! From text to tree, macros expanded.

mod lexer;
mod macros;
mod primary;
mod unescape;

use crate::ast::{Expr, Kind, Literal};
use crate::source::{Issue, Issues};
use lexer::Token;

/// So many characters an expression may have: what is stored with an object is parsed again and again.
const MOST_CHARACTERS: usize = 100_000;
/// So deep brackets may be nested. The parser calls itself, and so does all that works on trees: the stack ends.
const DEEPEST: usize = 250;
/// So deep a tree may be, chains of operators and what macros make of it counted.
const DEEPEST_TREE: u16 = 400;

/// Which macros there are besides those of the language (`has`, `all`, `exists`, `exists_one`, `map`, `filter`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Macros {
    /// `a.?b`, `a[?b]`, `{?k: v}`, `optMap` and `optFlatMap`.
    pub optional: bool,
    /// `all(i, v, …)`, `transformList`, `transformMap`, `transformMapEntry` and the like.
    pub two_variables: bool,
    /// `cel.bind`.
    pub bindings: bool,
}

/// Parses a text.
pub fn parse(text: &str, macros: Macros) -> Result<Expr, Issues> {
    let size = text.chars().count();
    if size > MOST_CHARACTERS {
        return Err(Issues(vec![Issue::of_whole(format!(
            "expression code point size exceeds limit: size: {size}, limit {MOST_CHARACTERS}"
        ))]));
    }
    let mut issues = Vec::new();
    let tokens = lexer::tokens(text, &mut issues);
    let mut parser = Parser { text, tokens, at: 0, next: 0, depth: 0, issues, macros };
    let parsed = parser.whole();
    match parsed {
        Ok(expr) if parser.issues.is_empty() => Ok(expr),
        Ok(_) => Err(Issues::sorted(parser.issues)),
        Err(issue) => {
            parser.issues.push(issue);
            Err(Issues::sorted(parser.issues))
        }
    }
}

struct Parser<'s> {
    text: &'s str,
    tokens: Vec<(Token<'s>, u32)>,
    at: usize,
    next: u32,
    depth: usize,
    /// What does not stop the parser.
    issues: Vec<Issue>,
    macros: Macros,
}

type Parsed<T = Expr> = Result<T, Issue>;

const BEGINNINGS: &str = "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, \
                          STRING, BYTES, IDENTIFIER}";

impl<'s> Parser<'s> {
    fn whole(&mut self) -> Parsed {
        let expr = self.expr()?;
        match self.token() {
            Token::End => Ok(expr),
            _ => Err(self.unexpected("<EOF>", matches!(self.tokens.get(self.at + 1), Some((Token::End, _))))),
        }
    }

    fn token(&self) -> Token<'s> {
        self.tokens[self.at].0
    }

    fn offset(&self) -> u32 {
        self.tokens[self.at].1
    }

    /// Takes the token if it is this sign, and says where it was.
    fn take(&mut self, sign: &str) -> Option<u32> {
        if self.token() != Token::Sign("") && matches!(self.token(), Token::Sign(found) if found == sign) {
            self.at += 1;
            return Some(self.tokens[self.at - 1].1);
        }
        None
    }

    fn expect(&mut self, sign: &str) -> Parsed<u32> {
        if let Some(at) = self.take(sign) {
            return Ok(at);
        }
        if self.token() == Token::End {
            return Err(self.issue(self.offset(), format!("Syntax error: missing '{sign}' at '<EOF>'")));
        }
        let follows = matches!(self.tokens.get(self.at + 1), Some((Token::Sign(next), _)) if *next == sign);
        Err(self.unexpected(&format!("'{sign}'"), follows))
    }

    fn unexpected(&self, expected: &str, extraneous: bool) -> Issue {
        let what = if extraneous { "extraneous" } else { "mismatched" };
        let shown = self.token().shown();
        self.issue(self.offset(), format!("Syntax error: {what} input '{shown}' expecting {expected}"))
    }

    fn issue(&self, offset: u32, message: impl Into<String>) -> Issue {
        Issue::at(self.text, offset as usize, message)
    }

    fn node(&mut self, offset: u32, kind: Kind) -> Parsed {
        let depth = 1 + below(&kind);
        if depth > DEEPEST_TREE {
            return Err(Issue::of_whole(format!("expression recursion limit exceeded: {DEEPEST}")));
        }
        self.next += 1;
        Ok(Expr { id: self.next - 1, offset, depth, kind })
    }

    fn call(&mut self, offset: u32, function: &str, args: Vec<Expr>) -> Parsed {
        self.node(offset, Kind::Call { function: function.into(), target: None, args })
    }

    fn expr(&mut self) -> Parsed {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(Issue::of_whole(format!("expression recursion limit exceeded: {DEEPEST}")));
        }
        let mut expr = self.logical("||", "_||_")?;
        if let Some(at) = self.take("?") {
            let then = self.logical("||", "_||_")?;
            self.expect(":")?;
            let otherwise = self.expr()?;
            expr = self.call(at, "_?_:_", vec![expr, then, otherwise])?;
        }
        self.depth -= 1;
        Ok(expr)
    }

    /// Terms of `||`, or of `&&` below it, as a balanced tree.
    fn logical(&mut self, sign: &str, function: &str) -> Parsed {
        let mut terms = Vec::new();
        let mut signs = Vec::new();
        loop {
            let term = if sign == "||" { self.logical("&&", "_&&_")? } else { self.binary(0)? };
            terms.push(Some(term));
            match self.take(sign) {
                Some(at) => signs.push(at),
                None => return self.balanced(&mut terms, &signs, function),
            }
        }
    }

    fn balanced(&mut self, terms: &mut [Option<Expr>], signs: &[u32], function: &str) -> Parsed {
        if signs.is_empty() {
            return Ok(terms[0].take().expect("each term is taken once"));
        }
        let middle = signs.len() / 2;
        let (left, right) = terms.split_at_mut(middle + 1);
        let left = self.balanced(left, &signs[..middle], function)?;
        let right = self.balanced(right, &signs[middle + 1..], function)?;
        self.call(signs[middle], function, vec![left, right])
    }

    /// Comparisons, then sums, then products.
    fn binary(&mut self, level: usize) -> Parsed {
        const LEVELS: [&[(&str, &str)]; 3] = [
            &[
                ("==", "_==_"),
                ("!=", "_!=_"),
                ("<", "_<_"),
                ("<=", "_<=_"),
                (">", "_>_"),
                (">=", "_>=_"),
                ("in", "@in"),
            ],
            &[("+", "_+_"), ("-", "_-_")],
            &[("*", "_*_"), ("/", "_/_"), ("%", "_%_")],
        ];
        let Some(operators) = LEVELS.get(level) else { return self.unary() };
        let mut left = self.binary(level + 1)?;
        loop {
            let Token::Sign(sign) = self.token() else { return Ok(left) };
            let Some((_, function)) = operators.iter().find(|(known, _)| *known == sign) else { return Ok(left) };
            let at = self.offset();
            self.at += 1;
            let right = self.binary(level + 1)?;
            left = self.call(at, function, vec![left, right])?;
        }
    }

    fn unary(&mut self) -> Parsed {
        for (sign, function) in [("!", "!_"), ("-", "-_")] {
            let mut count = 0;
            let at = self.offset();
            while matches!(self.token(), Token::Sign(found) if found == sign) {
                let next = self.tokens.get(self.at + 1).map(|token| token.0);
                if sign == "-" && matches!(next, Some(Token::Int(_) | Token::Float(_))) {
                    break;
                }
                self.at += 1;
                count += 1;
            }
            if count > 0 {
                let operand = self.member()?;
                return if count % 2 == 0 { Ok(operand) } else { self.call(at, function, vec![operand]) };
            }
        }
        self.member()
    }

    fn member(&mut self) -> Parsed {
        let mut expr = self.primary()?;
        loop {
            if let Some(dot) = self.take(".") {
                let optional = self.take("?").is_some();
                if optional && !self.macros.optional {
                    self.issues.push(self.issue(dot, "unsupported syntax '.?'"));
                }
                let Token::Ident(name) = self.token() else {
                    return Err(match self.token() {
                        Token::End => {
                            self.issue(self.offset(), "Syntax error: no viable alternative at input '.'".to_owned())
                        }
                        _ => self.unexpected("IDENTIFIER", false),
                    });
                };
                let name_at = self.offset();
                self.at += 1;
                if optional {
                    let field = self.node(name_at, Kind::Literal(Literal::String(name.into())))?;
                    expr = self.call(dot, "_?._", vec![expr, field])?;
                } else if let Some(open) = self.take("(") {
                    let args = self.args()?;
                    expr = self.member_call(open, name, expr, args)?;
                } else {
                    expr = self.node(dot, Kind::Select { operand: Box::new(expr), field: name.into(), test: false })?;
                }
            } else if let Some(open) = self.take("[") {
                let optional = self.take("?").is_some();
                if optional && !self.macros.optional {
                    self.issues.push(self.issue(open, "unsupported syntax '[?'"));
                }
                let index = self.expr()?;
                self.expect("]")?;
                expr = self.call(open, if optional { "_[?_]" } else { "_[_]" }, vec![expr, index])?;
            } else {
                return Ok(expr);
            }
        }
    }

    /// Arguments up to and with the closing parenthesis.
    fn args(&mut self) -> Parsed<Vec<Expr>> {
        let mut args = Vec::new();
        if self.take(")").is_some() {
            return Ok(args);
        }
        loop {
            args.push(self.expr()?);
            if self.take(",").is_none() {
                self.expect(")")?;
                return Ok(args);
            }
        }
    }
}

/// How deep the deepest part of a node is.
fn below(kind: &Kind) -> u16 {
    let deepest = |parts: &mut dyn Iterator<Item = &Expr>| parts.map(|part| part.depth).max().unwrap_or(0);
    match kind {
        Kind::Literal(_) | Kind::Ident(_) => 0,
        Kind::Select { operand, .. } => operand.depth,
        Kind::Call { target, args, .. } => deepest(&mut args.iter().chain(target.as_deref())),
        Kind::List(elements) => deepest(&mut elements.iter().map(|(element, _)| element)),
        Kind::Map(entries) => deepest(&mut entries.iter().flat_map(|entry| [&entry.key, &entry.value])),
        Kind::Struct { fields, .. } => deepest(&mut fields.iter().map(|field| &field.value)),
        Kind::Comprehension(c) => deepest(&mut [&c.range, &c.start, &c.condition, &c.step, &c.result].into_iter()),
    }
}
