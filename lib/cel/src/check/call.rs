//! Which form of a function a call means.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Checker, Reference};
use crate::ast::{Expr, Kind, Literal};
use crate::environment::Function;
use crate::types::Type;

impl Checker<'_> {
    pub(super) fn call(&mut self, expr: &mut Expr) -> Type {
        let offset = expr.offset;
        let environment = self.environment;
        let Kind::Call { function, target, args } = &mut expr.kind else { unreachable!("asked for calls only") };
        let name = function.clone();
        if &*name == "_?._" {
            let operand = self.expr(&mut args[0]);
            self.expr(&mut args[1]);
            let of = match &args[1].kind {
                Kind::Literal(Literal::String(field)) => {
                    let field = field.clone();
                    self.field(offset, &operand, &field, true)
                }
                _ => Type::Error,
            };
            return self.set(expr, of);
        }
        // What is put into a text may be of all types.
        let mixed = std::mem::replace(&mut self.mixed, &*name == "format" && target.is_some());
        let mut given: Vec<Type> = args.iter_mut().map(|arg| self.expr(arg)).collect();
        self.mixed = mixed;
        if let Some(before) = target {
            let qualified = before.qualified_name().map(|prefix| format!("{prefix}.{name}"));
            if let Some(found) =
                qualified.as_ref().and_then(|whole| environment.function(whole.trim_start_matches('.')))
            {
                *target = None;
                *function = found.name.into();
                return self.resolve(expr, found, &given, false);
            }
            given.insert(0, self.expr(before));
        }
        let member = target.is_some();
        if let Some(found) = environment.function(name.trim_start_matches('.')) {
            return self.resolve(expr, found, &given, member);
        }
        self.issue(offset, format!("undeclared reference to '{name}' (in container '')"));
        self.set(expr, Type::Error)
    }

    fn resolve(&mut self, expr: &Expr, function: &Arc<Function>, given: &[Type], member: bool) -> Type {
        let mut result: Option<Type> = None;
        let mut meant = Vec::new();
        for (index, overload) in function.overloads.iter().enumerate() {
            if overload.member != member {
                continue;
            }
            let mut stand_ins = HashMap::new();
            let wanted: Vec<_> =
                overload.parameters.iter().map(|parameter| self.instance(parameter, &mut stand_ins)).collect();
            let of = self.instance(&overload.result, &mut stand_ins);
            if !self.bindings.assign(given, &wanted) {
                continue;
            }
            meant.push(index);
            let of = self.bindings.substitute(&of, false);
            result = Some(match result {
                Some(before) if before == Type::Dyn || before == of => before,
                Some(_) => Type::Dyn,
                None => of,
            });
        }
        let Some(of) = result else {
            let shown: Vec<_> = given.iter().map(|of| self.bindings.substitute(of, true).to_string()).collect();
            let shown = match shown.split_first() {
                Some((target, args)) if member => format!("{target}.({})", args.join(", ")),
                _ => format!("({})", shown.join(", ")),
            };
            self.issue(expr.offset, format!("found no matching overload for '{}' applied to '{shown}'", function.name));
            return self.set(expr, Type::Error);
        };
        self.set(expr, of.clone());
        self.refer(expr, Reference::Function(function.clone(), meant));
        of
    }

    /// The type with parameters of its own for this call.
    fn instance(&mut self, of: &Type, stand_ins: &mut HashMap<&'static str, Type>) -> Type {
        match of {
            Type::Param(name) => {
                if let Some(known) = stand_ins.get(name) {
                    return known.clone();
                }
                let fresh = self.fresh();
                stand_ins.insert(name, fresh.clone());
                fresh
            }
            Type::List(element) => Type::list(self.instance(element, stand_ins)),
            Type::Map(pair) => Type::map(self.instance(&pair.0, stand_ins), self.instance(&pair.1, stand_ins)),
            Type::Opaque(name, parameters) if !parameters.is_empty() => {
                let parameters = parameters.iter().map(|parameter| self.instance(parameter, stand_ins)).collect();
                Type::Opaque(name.clone(), parameters)
            }
            Type::Type(of) => Type::Type(Arc::new(self.instance(of, stand_ins))),
            _ => of.clone(),
        }
    }
}
