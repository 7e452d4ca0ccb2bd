//! An expression as a tree.

use std::sync::Arc;

/// A node.
#[derive(Debug, Clone, PartialEq)]
pub struct Expr {
    /// Counts from nought in each tree; what is known of a node is kept under it.
    pub id: u32,
    /// Where in the text, in bytes.
    pub offset: u32,
    /// How many levels are below, itself counted.
    pub depth: u16,
    /// What it is.
    pub kind: Kind,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// A value as written.
    Literal(Literal),
    /// A name; one with a dot in front is looked up from the root.
    Ident(Arc<str>),
    /// `operand.field`, or `has(operand.field)`.
    Select {
        /// Of what.
        operand: Box<Expr>,
        /// Which field.
        field: Arc<str>,
        /// Whether it is only asked for.
        test: bool,
    },
    /// A function or an operator.
    Call {
        /// Its name; an operator's as `_+_`.
        function: Arc<str>,
        /// What stands before the dot.
        target: Option<Box<Expr>>,
        /// What stands in the parentheses.
        args: Vec<Expr>,
    },
    /// `[a, ?b]`, with whether each is optional.
    List(Vec<(Expr, bool)>),
    /// `{k: v}`.
    Map(Vec<Entry>),
    /// `Name{field: value}`.
    Struct {
        /// The type's name.
        name: Arc<str>,
        /// In order.
        fields: Vec<FieldInit>,
    },
    /// A loop, which only macros make.
    Comprehension(Box<Comprehension>),
}

/// An entry of a map.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its key.
    pub key: Expr,
    /// Its value.
    pub value: Expr,
    /// Whether the value is an optional that leaves the entry out.
    pub optional: bool,
}

/// A field of a message.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldInit {
    /// Its name.
    pub name: Arc<str>,
    /// Where its colon is.
    pub offset: u32,
    /// Its value.
    pub value: Expr,
    /// Whether the value is an optional that leaves the field out.
    pub optional: bool,
}

/// A value as written.
#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// `1`
    Int(i64),
    /// `1u`
    Uint(u64),
    /// `1.0`
    Double(f64),
    /// `'a'`
    String(Arc<str>),
    /// `b'a'`
    Bytes(Arc<[u8]>),
}

/// A loop: each element of a range changes what is accumulated as long as a condition holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Comprehension {
    /// What is gone through.
    pub range: Expr,
    /// Name of the element, or of the index or key where there is a second.
    pub variable: Arc<str>,
    /// Name of the element where the first names its index or key.
    pub second: Option<Arc<str>>,
    /// Name of what is accumulated.
    pub accumulator: Arc<str>,
    /// What it starts as.
    pub start: Expr,
    /// Looked at before each step.
    pub condition: Expr,
    /// What it becomes.
    pub step: Expr,
    /// What comes out.
    pub result: Expr,
}

impl Expr {
    /// `a.b.c` as a name, if it is nothing but names.
    pub fn qualified_name(&self) -> Option<String> {
        match &self.kind {
            Kind::Ident(name) => Some(name.to_string()),
            Kind::Select { operand, field, test: false } => {
                let mut name = operand.qualified_name()?;
                name.push('.');
                name.push_str(field);
                Some(name)
            }
            _ => None,
        }
    }
}
