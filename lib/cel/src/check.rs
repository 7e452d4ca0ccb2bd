//! Types of expressions, and which form of a function each call means.

mod call;

use std::slice;
use std::sync::Arc;

use crate::ast::{Comprehension, Expr, Kind, Literal};
use crate::environment::{Environment, Function};
use crate::source::{Issue, Issues};
use crate::types::{Bindings, Type, general};

/// An expression that is right, with what is known of its nodes.
#[derive(Debug, Clone)]
pub struct Checked {
    /// The tree; names with dots that are variables or functions are one node.
    pub(crate) root: Expr,
    pub(crate) types: Vec<Type>,
    pub(crate) references: Vec<Reference>,
}

/// What a node means.
#[derive(Debug, Clone, Default)]
pub(crate) enum Reference {
    /// A variable of a loop, or no name at all.
    #[default]
    Local,
    /// A variable of the environment.
    Variable(usize),
    /// A type as a value.
    Type(Arc<str>),
    /// A function, and which of its forms it may be.
    Function(Arc<Function>, Vec<usize>),
}

impl Checked {
    /// The type of its value.
    pub fn output(&self) -> &Type {
        &self.types[self.root.id as usize]
    }

    /// The tree.
    pub fn expr(&self) -> &Expr {
        &self.root
    }

    pub(crate) fn reference(&self, expr: &Expr) -> &Reference {
        &self.references[expr.id as usize]
    }
}

pub(crate) fn check(environment: &Environment, text: &str, mut root: Expr) -> Result<Checked, Issues> {
    let mut checker = Checker {
        environment,
        text,
        issues: Vec::new(),
        bindings: Bindings::default(),
        scopes: Vec::new(),
        types: Vec::new(),
        references: Vec::new(),
        next: 0,
        mixed: false,
    };
    checker.expr(&mut root);
    let Checker { bindings, types, references, issues, .. } = checker;
    if !issues.is_empty() {
        return Err(Issues::sorted(issues));
    }
    let types: Vec<_> = types.iter().map(|of| bindings.substitute(of, true)).collect();
    let checked = Checked { root, types, references };
    let mut issues = Vec::new();
    literals(&checked.root, text, &mut issues);
    if issues.is_empty() { Ok(checked) } else { Err(Issues::sorted(issues)) }
}

struct Checker<'e> {
    environment: &'e Environment,
    text: &'e str,
    issues: Vec<Issue>,
    bindings: Bindings,
    scopes: Vec<(Arc<str>, Type)>,
    types: Vec<Type>,
    references: Vec<Reference>,
    next: u32,
    /// Whether lists and maps that are written down may hold values of several types.
    mixed: bool,
}

impl Checker<'_> {
    fn issue(&mut self, offset: u32, message: impl Into<String>) {
        self.issues.push(Issue::at(self.text, offset as usize, message));
    }

    fn fresh(&mut self) -> Type {
        self.next += 1;
        Type::Var(self.next - 1)
    }

    fn set(&mut self, expr: &Expr, of: Type) -> Type {
        let id = expr.id as usize;
        if self.types.len() <= id {
            self.types.resize(id + 1, Type::Dyn);
            self.references.resize(id + 1, Reference::Local);
        }
        self.types[id] = of.clone();
        of
    }

    fn refer(&mut self, expr: &Expr, reference: Reference) {
        self.references[expr.id as usize] = reference;
    }

    fn local(&self, name: &str) -> Option<Type> {
        self.scopes.iter().rfind(|(local, _)| &**local == name).map(|(_, of)| of.clone())
    }

    /// The type of an expression, kept under its id.
    fn expr(&mut self, expr: &mut Expr) -> Type {
        let of = match &mut expr.kind {
            Kind::Literal(literal) => literal_type(literal),
            Kind::Ident(_) => return self.ident(expr),
            Kind::Select { .. } => return self.select(expr),
            Kind::Call { .. } => return self.call(expr),
            Kind::List(elements) => {
                let mut element = None;
                for (part, optional) in elements {
                    let of = self.expr(part);
                    let of = if *optional { self.out_of_optional(part.offset, &of) } else { of };
                    element = Some(self.join(part.offset, element, of));
                }
                Type::list(element.unwrap_or_else(|| self.fresh()))
            }
            Kind::Map(entries) => {
                let (mut key, mut value) = (None, None);
                for entry in entries {
                    let of = self.expr(&mut entry.key);
                    key = Some(self.join(entry.key.offset, key, of));
                    let of = self.expr(&mut entry.value);
                    let of = if entry.optional { self.out_of_optional(entry.value.offset, &of) } else { of };
                    value = Some(self.join(entry.value.offset, value, of));
                }
                let key = key.unwrap_or_else(|| self.fresh());
                Type::map(key, value.unwrap_or_else(|| self.fresh()))
            }
            Kind::Struct { .. } => return self.message(expr),
            Kind::Comprehension(_) => return self.comprehension(expr),
        };
        self.set(expr, of)
    }

    fn ident(&mut self, expr: &Expr) -> Type {
        let Kind::Ident(name) = &expr.kind else { unreachable!("asked for names only") };
        let plain = name.strip_prefix('.').unwrap_or(name);
        if !name.starts_with('.')
            && let Some(of) = self.local(name)
        {
            return self.set(expr, of);
        }
        if let Some((of, reference)) = self.global(plain) {
            let of = self.set(expr, of);
            self.refer(expr, reference);
            return of;
        }
        self.issue(expr.offset, format!("undeclared reference to '{name}' (in container '')"));
        self.set(expr, Type::Error)
    }

    fn global(&self, name: &str) -> Option<(Type, Reference)> {
        if let Some(index) = self.environment.find_variable(name) {
            return Some((self.environment.variables()[index].of.clone(), Reference::Variable(index)));
        }
        if let Some(of) = self.environment.constants.get(name) {
            return Some((Type::Type(Arc::new(of.clone())), Reference::Type(name.into())));
        }
        let objects = self.environment.objects.as_ref()?;
        objects.exists(name).then(|| (Type::Type(Arc::new(Type::object(name))), Reference::Type(name.into())))
    }

    fn select(&mut self, expr: &mut Expr) -> Type {
        if let Some(name) = expr.qualified_name() {
            let root = name.split('.').next().unwrap_or_default();
            if self.local(root).is_none()
                && let Some((of, reference)) = self.global(name.strip_prefix('.').unwrap_or(&name))
            {
                expr.kind = Kind::Ident(name.into());
                let of = self.set(expr, of);
                self.refer(expr, reference);
                return of;
            }
        }
        let offset = expr.offset;
        let Kind::Select { operand, field, test } = &mut expr.kind else { unreachable!("asked for fields only") };
        // Of what is declared with a dot in its name, nobody needs to ask whether it is there.
        if *test
            && let Some(name) = operand.qualified_name()
            && self.local(name.split('.').next().unwrap_or_default()).is_none()
            && self.environment.find_variable(&format!("{name}.{field}")).is_some()
        {
            expr.kind = Kind::Literal(Literal::Bool(true));
            return self.set(expr, Type::Bool);
        }
        let (field, test) = (field.clone(), *test);
        let operand = self.expr(operand);
        let of = self.field(offset, &operand, &field, false);
        self.set(expr, if test { Type::Bool } else { of })
    }

    fn field(&mut self, offset: u32, operand: &Type, field: &str, optional: bool) -> Type {
        let operand = self.bindings.substitute(operand, false);
        let (target, was_optional) = match operand.in_optional() {
            Some(inner) => (inner.clone(), true),
            None => (operand, false),
        };
        let of = match &target {
            Type::Map(pair) => pair.1.clone(),
            Type::Object(name) => {
                let known = self.environment.objects.as_ref().and_then(|known| known.field(name, field));
                known.unwrap_or_else(|| {
                    self.issue(offset, format!("undefined field '{field}'"));
                    Type::Error
                })
            }
            Type::Var(_) => {
                self.bindings.assign(&[Type::Dyn], &[target]);
                Type::Dyn
            }
            Type::Dyn | Type::Error => Type::Dyn,
            other => {
                self.issue(offset, format!("type '{other}' does not support field selection"));
                Type::Dyn
            }
        };
        let of = self.bindings.substitute(&of, false);
        if was_optional || optional { Type::optional(of) } else { of }
    }

    /// The type of the elements of a list or map so far and one more. They must be alike.
    fn join(&mut self, offset: u32, before: Option<Type>, one: Type) -> Type {
        let Some(before) = before else { return one };
        if self.bindings.assign(slice::from_ref(&before), slice::from_ref(&one)) {
            return general(&before, &one);
        }
        if self.mixed {
            return Type::Dyn;
        }
        let (before, one) = (self.bindings.substitute(&before, false), self.bindings.substitute(&one, false));
        self.issue(offset, format!("expected type '{before}' but found '{one}'"));
        before
    }

    fn out_of_optional(&mut self, offset: u32, of: &Type) -> Type {
        let of = self.bindings.substitute(of, false);
        if let Some(inner) = of.in_optional() {
            return inner.clone();
        }
        if !of.is_dyn_or_error() {
            self.issue(offset, format!("expected type 'optional_type({of})' but found '{of}'"));
        }
        of
    }

    fn message(&mut self, expr: &mut Expr) -> Type {
        let offset = expr.offset;
        let Kind::Struct { name, fields } = &mut expr.kind else { unreachable!("asked for messages only") };
        let name = name.clone();
        let objects = self.environment.objects.clone();
        let known = objects.as_ref().is_some_and(|objects| objects.exists(&name));
        for field in fields {
            let of = self.expr(&mut field.value);
            let of = if field.optional { self.out_of_optional(field.value.offset, &of) } else { of };
            if !known {
                continue;
            }
            match objects.as_ref().and_then(|objects| objects.field(&name, &field.name)) {
                None => self.issue(field.offset, format!("undefined field '{}'", field.name)),
                Some(wanted) => {
                    if !self.bindings.assign(slice::from_ref(&of), slice::from_ref(&wanted)) {
                        let of = self.bindings.substitute(&of, false);
                        let words = format!(
                            "expected type of field '{}' is '{wanted}' but provided type is '{of}'",
                            field.name
                        );
                        self.issue(field.offset, words);
                    }
                }
            }
        }
        if known {
            return self.set(expr, Type::Object(name));
        }
        if self.global(&name).is_some() {
            self.issue(offset, format!("'{name}' is not a message type"));
        } else {
            self.issue(offset, format!("undeclared reference to '{name}' (in container '')"));
        }
        self.set(expr, Type::Error)
    }

    fn comprehension(&mut self, expr: &mut Expr) -> Type {
        let Kind::Comprehension(fold) = &mut expr.kind else { unreachable!("asked for loops only") };
        let Comprehension { range, variable, second, accumulator, start, condition, step, result } = &mut **fold;
        let of = self.expr(range);
        let of = self.bindings.substitute(&of, false);
        let accumulated = self.expr(start);
        let depth = self.scopes.len();
        self.scopes.push((accumulator.clone(), accumulated.clone()));
        let (first, other) = match &of {
            Type::List(element) if second.is_some() => (Type::Int, (**element).clone()),
            Type::List(element) => ((**element).clone(), Type::Dyn),
            Type::Map(pair) => pair.as_ref().clone(),
            Type::Dyn | Type::Error => (Type::Dyn, Type::Dyn),
            Type::Var(_) => {
                self.bindings.assign(&[Type::Dyn], slice::from_ref(&of));
                (Type::Dyn, Type::Dyn)
            }
            other => {
                self.issue(
                    range.offset,
                    format!(
                        "expression of type '{other}' cannot be range of a comprehension (must be list, map, or dynamic)"
                    ),
                );
                (Type::Error, Type::Error)
            }
        };
        self.scopes.push((variable.clone(), first));
        if let Some(second) = second {
            self.scopes.push((second.clone(), other));
        }
        let of = self.expr(condition);
        self.must_be(condition.offset, &of, &Type::Bool);
        let of = self.expr(step);
        self.must_be(step.offset, &of, &accumulated);
        self.scopes.truncate(depth + 1);
        let of = self.expr(result);
        self.scopes.truncate(depth);
        let of = self.bindings.substitute(&of, false);
        self.set(expr, of)
    }

    fn must_be(&mut self, offset: u32, of: &Type, wanted: &Type) {
        if !self.bindings.assign(slice::from_ref(of), slice::from_ref(wanted)) {
            let (of, wanted) = (self.bindings.substitute(of, false), self.bindings.substitute(wanted, false));
            self.issue(offset, format!("expected type '{wanted}' but found '{of}'"));
        }
    }
}

fn literal_type(literal: &Literal) -> Type {
    match literal {
        Literal::Null => Type::Null,
        Literal::Bool(_) => Type::Bool,
        Literal::Int(_) => Type::Int,
        Literal::Uint(_) => Type::Uint,
        Literal::Double(_) => Type::Double,
        Literal::String(_) => Type::String,
        Literal::Bytes(_) => Type::Bytes,
    }
}

/// Times, lengths of time and patterns that are written down must be right.
fn literals(expr: &Expr, text: &str, issues: &mut Vec<Issue>) {
    let mut visit = |part: &Expr| literals(part, text, issues);
    match &expr.kind {
        Kind::Literal(_) | Kind::Ident(_) => {}
        Kind::Select { operand, .. } => visit(operand),
        Kind::List(elements) => elements.iter().for_each(|(element, _)| visit(element)),
        Kind::Map(entries) => entries.iter().for_each(|entry| {
            visit(&entry.key);
            visit(&entry.value);
        }),
        Kind::Struct { fields, .. } => fields.iter().for_each(|field| visit(&field.value)),
        Kind::Comprehension(fold) => {
            [&fold.range, &fold.start, &fold.condition, &fold.step, &fold.result].into_iter().for_each(visit);
        }
        Kind::Call { function, target, args } => {
            target.as_deref().into_iter().chain(args).for_each(visit);
            let wrong = match (&**function, target, args.as_slice()) {
                ("duration" | "timestamp", None, [literal]) => {
                    string(literal).filter(|text| !crate::functions::is_time(function, text)).map(|_| literal)
                }
                ("matches", Some(_), [literal]) | ("matches", None, [_, literal]) => {
                    string(literal).filter(|text| crate::regular::compile(text).is_err()).map(|_| literal)
                }
                _ => None,
            };
            if let Some(literal) = wrong {
                issues.push(Issue::at(text, literal.offset as usize, format!("invalid {function} argument")));
            }
        }
    }
}

fn string(expr: &Expr) -> Option<&str> {
    match &expr.kind {
        Kind::Literal(Literal::String(text)) => Some(text),
        _ => None,
    }
}
