//! What is evaluated: a tree whose names are places and whose constants are values.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::ast::{Comprehension, Expr, Kind, Literal};
use crate::check::{Checked, Reference};
use crate::environment::{Cost, Function, Overload};
use crate::types::Type;
use crate::value::{Key, List, Text, Value};

/// An expression that can be evaluated, by many threads at once.
#[derive(Debug, Clone)]
pub struct Program {
    pub(crate) root: Node,
    pub(crate) locals: usize,
    pub(crate) variables: Vec<Arc<str>>,
    output: Type,
}

impl Program {
    /// Plans what was checked.
    pub fn plan(checked: &Checked) -> Self {
        let mut planner = Planner { checked, scopes: Vec::new(), locals: 0, variables: Vec::new() };
        let root = planner.node(&checked.root);
        let Planner { locals, variables, .. } = planner;
        Self { root, locals, variables, output: checked.output().clone() }
    }

    /// The type of its value.
    pub fn output(&self) -> &Type {
        &self.output
    }

    /// Names of the variables it uses.
    pub fn uses(&self) -> &[Arc<str>] {
        &self.variables
    }
}

#[derive(Debug, Clone)]
pub(crate) enum Node {
    Constant(Value<'static>),
    Variable(usize),
    Local(usize),
    Field(Box<Node>, Arc<str>),
    Has(Box<Node>, Arc<str>),
    OptionalField(Box<Node>, Arc<str>),
    Index(Box<[Node; 2]>),
    OptionalIndex(Box<[Node; 2]>),
    And(Box<[Node; 2]>),
    Or(Box<[Node; 2]>),
    Choice(Box<[Node; 3]>),
    NotStrictlyFalse(Box<Node>),
    Equal(Box<[Node; 2]>, bool),
    /// Whether it is one of some constants.
    Among(Box<Node>, Vec<Value<'static>>),
    Call(Box<Call>),
    /// `local + [element]`, in place.
    Append(usize, Box<Node>),
    /// Of a local map, in place: a key and a value, or entries.
    Insert(usize, Box<[Node]>),
    List(Vec<(Node, bool)>),
    Map(Vec<(Node, Node, bool)>),
    Message(Arc<str>, Vec<(Arc<str>, Node, bool)>),
    Fold(Box<Fold>),
}

#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub function: Arc<Function>,
    /// The forms it may be.
    pub meant: Vec<usize>,
    pub args: Vec<Node>,
    /// Known if it can be one form only, or all of its forms cost the same.
    pub cost: Option<Cost>,
}

impl Call {
    pub(crate) fn overloads(&self) -> impl Iterator<Item = &Overload> {
        self.meant.iter().map(|index| &self.function.overloads[*index])
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Fold {
    pub range: Node,
    pub first: usize,
    pub second: Option<usize>,
    pub accumulator: usize,
    pub start: Node,
    pub condition: Node,
    pub step: Node,
    pub result: Node,
}

struct Planner<'c> {
    checked: &'c Checked,
    /// Names of the loops around, and their places.
    scopes: Vec<(Arc<str>, usize)>,
    locals: usize,
    variables: Vec<Arc<str>>,
}

impl Planner<'_> {
    fn node(&mut self, expr: &Expr) -> Node {
        match &expr.kind {
            Kind::Literal(literal) => Node::Constant(constant(literal)),
            Kind::Ident(name) => match self.checked.reference(expr) {
                Reference::Variable(index) => {
                    if !self.variables.contains(name) {
                        self.variables.push(name.clone());
                    }
                    Node::Variable(*index)
                }
                Reference::Type(name) => Node::Constant(Value::Type(Text::Shared(type_value(name).into()))),
                Reference::Local | Reference::Function(..) => Node::Local(self.local(name).unwrap_or_default()),
            },
            Kind::Select { operand, field, test } => {
                let operand = Box::new(self.node(operand));
                if *test { Node::Has(operand, field.clone()) } else { Node::Field(operand, field.clone()) }
            }
            Kind::Call { function, target, args } => self.call(expr, function, target.as_deref(), args),
            Kind::List(elements) => {
                let elements: Vec<_> =
                    elements.iter().map(|(element, optional)| (self.node(element), *optional)).collect();
                constant_list(&elements).map_or(Node::List(elements), Node::Constant)
            }
            Kind::Map(entries) => {
                let entries: Vec<_> = entries
                    .iter()
                    .map(|entry| (self.node(&entry.key), self.node(&entry.value), entry.optional))
                    .collect();
                constant_map(&entries).map_or(Node::Map(entries), Node::Constant)
            }
            Kind::Struct { name, fields } => Node::Message(
                name.clone(),
                fields.iter().map(|field| (field.name.clone(), self.node(&field.value), field.optional)).collect(),
            ),
            Kind::Comprehension(fold) => self.fold(fold),
        }
    }

    fn local(&self, name: &str) -> Option<usize> {
        self.scopes.iter().rfind(|(local, _)| &**local == name).map(|(_, place)| *place)
    }

    fn place(&mut self, name: &Arc<str>) -> usize {
        let place = self.scopes.len();
        self.scopes.push((name.clone(), place));
        self.locals = self.locals.max(place + 1);
        place
    }

    fn fold(&mut self, fold: &Comprehension) -> Node {
        let range = self.node(&fold.range);
        let start = self.node(&fold.start);
        let accumulator = self.place(&fold.accumulator);
        let first = self.place(&fold.variable);
        let second = fold.second.as_ref().map(|name| self.place(name));
        let (condition, step) = (self.node(&fold.condition), self.node(&fold.step));
        self.scopes.truncate(first);
        let result = self.node(&fold.result);
        self.scopes.truncate(accumulator);
        Node::Fold(Box::new(Fold { range, first, second, accumulator, start, condition, step, result }))
    }

    fn call(&mut self, expr: &Expr, name: &str, target: Option<&Expr>, args: &[Expr]) -> Node {
        if let Some(node) = self.in_place(name, args) {
            return node;
        }
        if name == "_?._" {
            let field = match &args[1].kind {
                Kind::Literal(Literal::String(field)) => field.clone(),
                _ => "".into(),
            };
            return Node::OptionalField(Box::new(self.node(&args[0])), field);
        }
        let mut nodes: Vec<Node> = target.into_iter().chain(args).map(|arg| self.node(arg)).collect();
        let mut next = || nodes.remove(0);
        match name {
            "_&&_" => return Node::And(Box::new([next(), next()])),
            "_||_" => return Node::Or(Box::new([next(), next()])),
            "_?_:_" => return Node::Choice(Box::new([next(), next(), next()])),
            "@not_strictly_false" => return Node::NotStrictlyFalse(Box::new(next())),
            "_==_" => return Node::Equal(Box::new([next(), next()]), true),
            "_!=_" => return Node::Equal(Box::new([next(), next()]), false),
            "_[_]" => return Node::Index(Box::new([next(), next()])),
            "_[?_]" => return Node::OptionalIndex(Box::new([next(), next()])),
            "@in" => {
                if let [operand, Node::Constant(Value::List(List::Shared(list)))] = nodes.as_slice()
                    && list.iter().all(|value| Key::of(value.clone()).is_some() || matches!(value, Value::Double(_)))
                {
                    return Node::Among(Box::new(operand.clone()), list.to_vec());
                }
            }
            _ => {}
        }
        let Reference::Function(function, meant) = self.checked.reference(expr) else {
            unreachable!("a call that was checked has a function")
        };
        // Conversions of what is written down are done once.
        if matches!(function.name, "bool" | "bytes" | "double" | "duration" | "int" | "string" | "timestamp" | "uint")
            && let ([Node::Constant(value)], [only]) = (nodes.as_slice(), meant.as_slice())
            && let Ok(value) = (function.overloads[*only].apply)(std::slice::from_ref(value))
        {
            return Node::Constant(value);
        }
        let mut costs = meant.iter().map(|index| function.overloads[*index].cost);
        let cost = if function.costs_alike() || meant.len() == 1 { costs.next().flatten() } else { None };
        Node::Call(Box::new(Call { function: function.clone(), meant: meant.clone(), args: nodes, cost }))
    }

    /// What grows what a loop accumulates: what it was is not needed any more.
    fn in_place(&mut self, name: &str, args: &[Expr]) -> Option<Node> {
        let Kind::Ident(accumulated) = &args.first()?.kind else { return None };
        if &**accumulated != "@result" {
            return None;
        }
        let place = self.local(accumulated)?;
        match (name, &args.get(1)?.kind) {
            ("_+_", Kind::List(elements)) => match elements.as_slice() {
                [(element, false)] => Some(Node::Append(place, Box::new(self.node(element)))),
                _ => None,
            },
            ("cel.@mapInsert", _) => {
                let rest: Vec<_> = args[1..].iter().map(|arg| self.node(arg)).collect();
                Some(Node::Insert(place, rest.into()))
            }
            _ => None,
        }
    }
}

impl Function {
    /// Whether its cost hangs on its name and not on which form it is.
    fn costs_alike(&self) -> bool {
        let mut costs = self.overloads.iter().map(|overload| overload.cost.map(|cost| cost as usize));
        let first = costs.next();
        !self.name.starts_with(['_', '@']) && costs.all(|cost| Some(cost) == first)
    }
}

fn constant(literal: &Literal) -> Value<'static> {
    match literal {
        Literal::Null => Value::Null,
        Literal::Bool(is) => Value::Bool(*is),
        Literal::Int(number) => Value::Int(*number),
        Literal::Uint(number) => Value::Uint(*number),
        Literal::Double(number) => Value::Double(*number),
        Literal::String(text) => Value::String(Text::Shared(text.clone())),
        Literal::Bytes(bytes) => Value::Bytes(bytes.clone()),
    }
}

/// A list of nothing but constants is one itself, and costs nothing.
fn constant_list(elements: &[(Node, bool)]) -> Option<Value<'static>> {
    let values = elements.iter().map(|element| match element {
        (Node::Constant(value), false) => Some(value.clone()),
        _ => None,
    });
    values.collect::<Option<_>>().map(Value::list)
}

fn constant_map(entries: &[(Node, Node, bool)]) -> Option<Value<'static>> {
    let mut map = BTreeMap::new();
    for entry in entries {
        let (Node::Constant(key), Node::Constant(value), false) = entry else { return None };
        if map.insert(Key::of(key.clone())?, value.clone()).is_some() {
            return None;
        }
    }
    Some(Value::map(map))
}

/// The name by which the type of a value is known.
fn type_value(name: &str) -> &str {
    match name {
        "timestamp" => "google.protobuf.Timestamp",
        "duration" => "google.protobuf.Duration",
        other => other,
    }
}
