//! What calls of a certain shape stand for.

use std::sync::Arc;

use super::{Parsed, Parser};
use crate::ast::{Comprehension, Expr, Kind, Literal};

/// No expression can name it.
pub(crate) const RESULT: &str = "@result";
/// The names of the elements of a loop, and the arguments after them.
type Variables = (Arc<str>, Option<Arc<str>>, Vec<Expr>);

/// The element of a loop that has none.
const UNUSED: &str = "#unused";

impl Parser<'_> {
    pub(super) fn global_call(&mut self, at: u32, name: &str, mut args: Vec<Expr>) -> Parsed {
        if name != "has" || args.len() != 1 {
            return self.call(at, name, args);
        }
        let Some(Expr { offset, kind: Kind::Select { operand, field, test: false }, .. }) = args.pop() else {
            return Err(self.issue(at, "invalid argument to has() macro"));
        };
        let _ = offset;
        self.node(at, Kind::Select { operand, field, test: true })
    }

    pub(super) fn member_call(&mut self, at: u32, name: &str, target: Expr, args: Vec<Expr>) -> Parsed {
        let two = self.macros.two_variables;
        match (name, args.len()) {
            ("all" | "exists" | "exists_one" | "existsOne" | "filter", 2) => self.quantifier(at, name, target, args, 1),
            ("all" | "exists" | "exists_one" | "existsOne", 3) if two => self.quantifier(at, name, target, args, 2),
            ("map", 2 | 3) => self.transform(at, "map", target, args, 1),
            ("transformList" | "transformMap" | "transformMapEntry", 3 | 4) if two => {
                self.transform(at, name, target, args, 2)
            }
            ("optMap" | "optFlatMap", 2) if self.macros.optional => self.when_present(at, name, target, args),
            ("bind", 3) if self.macros.bindings && matches!(&target.kind, Kind::Ident(name) if &**name == "cel") => {
                self.bind(at, args)
            }
            _ => self.node(at, Kind::Call { function: name.into(), target: Some(Box::new(target)), args }),
        }
    }

    fn variable(&self, expr: &Expr) -> Parsed<Arc<str>> {
        match &expr.kind {
            Kind::Ident(name) if !name.starts_with('.') => Ok(name.clone()),
            _ => Err(self.issue(expr.offset, "argument must be a simple name")),
        }
    }

    fn ident(&mut self, at: u32, name: &str) -> Parsed {
        self.node(at, Kind::Ident(name.into()))
    }

    fn literal(&mut self, at: u32, literal: Literal) -> Parsed {
        self.node(at, Kind::Literal(literal))
    }

    fn quantifier(&mut self, at: u32, name: &str, range: Expr, args: Vec<Expr>, variables: usize) -> Parsed {
        let (variable, second, mut rest) = self.variables(args, variables)?;
        let predicate = rest.pop().expect("the count was matched");
        let accumulated = self.ident(at, RESULT)?;
        let yes = self.literal(at, Literal::Bool(true))?;
        let (start, condition, step, result);
        match name {
            "all" | "exists" => {
                let all = name == "all";
                start = self.literal(at, Literal::Bool(all))?;
                let goes_on = if all { accumulated } else { self.call(at, "!_", vec![accumulated])? };
                condition = self.call(at, "@not_strictly_false", vec![goes_on])?;
                let accumulated = self.ident(at, RESULT)?;
                step = self.call(at, if all { "_&&_" } else { "_||_" }, vec![accumulated, predicate])?;
                result = self.ident(at, RESULT)?;
            }
            "filter" => {
                start = self.node(at, Kind::List(Vec::new()))?;
                condition = yes;
                let element = self.ident(at, &variable)?;
                step = self.appended(at, element, Some(predicate), accumulated)?;
                result = self.ident(at, RESULT)?;
            }
            _ => {
                start = self.literal(at, Literal::Int(0))?;
                condition = yes;
                let one = self.literal(at, Literal::Int(1))?;
                let more = self.call(at, "_+_", vec![accumulated, one])?;
                let same = self.ident(at, RESULT)?;
                step = self.call(at, "_?_:_", vec![predicate, more, same])?;
                let (counted, one) = (self.ident(at, RESULT)?, self.literal(at, Literal::Int(1))?);
                result = self.call(at, "_==_", vec![counted, one])?;
            }
        }
        self.fold(at, range, variable, second, RESULT, [start, condition, step, result])
    }

    /// `accumulated + [element]`, or what is accumulated where the filter does not hold.
    fn appended(&mut self, at: u32, element: Expr, filter: Option<Expr>, accumulated: Expr) -> Parsed {
        let one = self.node(at, Kind::List(vec![(element, false)]))?;
        let more = self.call(at, "_+_", vec![accumulated, one])?;
        self.filtered(at, filter, more)
    }

    fn filtered(&mut self, at: u32, filter: Option<Expr>, more: Expr) -> Parsed {
        let Some(filter) = filter else { return Ok(more) };
        let same = self.ident(at, RESULT)?;
        self.call(at, "_?_:_", vec![filter, more, same])
    }

    fn transform(&mut self, at: u32, name: &str, range: Expr, args: Vec<Expr>, variables: usize) -> Parsed {
        let (variable, second, mut rest) = self.variables(args, variables)?;
        let transformed = rest.pop().expect("the count was matched");
        let filter = rest.pop();
        let condition = self.literal(at, Literal::Bool(true))?;
        let accumulated = self.ident(at, RESULT)?;
        let (start, step);
        match name {
            "map" | "transformList" => {
                start = self.node(at, Kind::List(Vec::new()))?;
                step = self.appended(at, transformed, filter, accumulated)?;
            }
            _ => {
                start = self.node(at, Kind::Map(Vec::new()))?;
                let mut inserted = vec![accumulated];
                if name == "transformMap" {
                    inserted.push(self.ident(at, &variable)?);
                }
                inserted.push(transformed);
                let more = self.call(at, "cel.@mapInsert", inserted)?;
                step = self.filtered(at, filter, more)?;
            }
        }
        let result = self.ident(at, RESULT)?;
        self.fold(at, range, variable, second, RESULT, [start, condition, step, result])
    }

    fn bind(&mut self, at: u32, args: Vec<Expr>) -> Parsed {
        let [name, value, body] = <[Expr; 3]>::try_from(args).expect("the count was matched");
        let Kind::Ident(variable) = &name.kind else {
            return Err(self.issue(name.offset, "cel.bind() variable names must be simple identifiers"));
        };
        self.bound(at, &variable.clone(), value, body)
    }

    fn bound(&mut self, at: u32, variable: &str, value: Expr, body: Expr) -> Parsed {
        let range = self.node(at, Kind::List(Vec::new()))?;
        let condition = self.literal(at, Literal::Bool(false))?;
        let step = self.ident(at, variable)?;
        self.fold(at, range, UNUSED.into(), None, variable, [value, condition, step, body])
    }

    fn when_present(&mut self, at: u32, name: &str, target: Expr, args: Vec<Expr>) -> Parsed {
        let (variable, _, mut rest) = self.variables(args, 1)?;
        let mapped = rest.pop().expect("the count was matched");
        let again = self.copy(&target);
        let member = |function: &str, target| Kind::Call {
            function: function.into(),
            target: Some(Box::new(target)),
            args: Vec::new(),
        };
        let present = self.node(at, member("hasValue", target))?;
        let value = self.node(at, member("value", again))?;
        let mut mapped = self.bound(at, &variable, value, mapped)?;
        if name == "optMap" {
            mapped = self.call(at, "optional.of", vec![mapped])?;
        }
        let none = self.call(at, "optional.none", Vec::new())?;
        self.call(at, "_?_:_", vec![present, mapped, none])
    }

    /// A tree with ids of its own.
    fn copy(&mut self, expr: &Expr) -> Expr {
        let mut copy = expr.clone();
        self.renumber(&mut copy);
        copy
    }

    fn renumber(&mut self, expr: &mut Expr) {
        expr.id = self.next;
        self.next += 1;
        match &mut expr.kind {
            Kind::Literal(_) | Kind::Ident(_) => {}
            Kind::Select { operand, .. } => self.renumber(operand),
            Kind::Call { target, args, .. } => {
                for part in target.iter_mut().map(|target| &mut **target).chain(args) {
                    self.renumber(part);
                }
            }
            Kind::List(elements) => elements.iter_mut().for_each(|(element, _)| self.renumber(element)),
            Kind::Map(entries) => {
                for entry in entries {
                    self.renumber(&mut entry.key);
                    self.renumber(&mut entry.value);
                }
            }
            Kind::Struct { fields, .. } => fields.iter_mut().for_each(|field| self.renumber(&mut field.value)),
            Kind::Comprehension(fold) => {
                let Comprehension { range, start, condition, step, result, .. } = &mut **fold;
                for part in [range, start, condition, step, result] {
                    self.renumber(part);
                }
            }
        }
    }

    /// The names of the elements, and what follows them.
    fn variables(&mut self, mut args: Vec<Expr>, count: usize) -> Parsed<Variables> {
        let rest = args.split_off(count);
        let variable = self.variable(&args[0])?;
        let second = args.get(1).map(|name| self.variable(name)).transpose()?;
        if second.as_ref() == Some(&variable) {
            let words = format!("duplicate variable name: {variable}");
            return Err(self.issue(args[1].offset, words));
        }
        Ok((variable, second, rest))
    }

    fn fold(
        &mut self,
        at: u32,
        range: Expr,
        variable: Arc<str>,
        second: Option<Arc<str>>,
        accumulator: &str,
        [start, condition, step, result]: [Expr; 4],
    ) -> Parsed {
        let accumulator = accumulator.into();
        let fold = Comprehension { range, variable, second, accumulator, start, condition, step, result };
        self.node(at, Kind::Comprehension(Box::new(fold)))
    }
}
