//! The values of variables while a policy is evaluated for one request.

use std::cell::{Cell, RefCell};

use cel::{Activation, Error, Limits, Value};
use serde_json::Value as Json;

use super::{Expression, Inputs};
use crate::environments::ADMISSION_VARIABLES;
use crate::{PER_EXPRESSION, authorizer_value, request_resource_value};

/// So many variables may use one another in a chain: each waits on the stack for the next.
const DEEPEST: usize = 64;

pub(super) struct Scope<'i, 'a> {
    fixed: [Value<'a>; ADMISSION_VARIABLES],
    variables: &'i [(String, Expression)],
    /// What variables are worth, of those that were used.
    known: RefCell<Vec<Option<Result<Value<'a>, Error>>>>,
    /// What variables cost since it was last asked.
    spent: Cell<u64>,
    depth: Cell<usize>,
    inputs: &'i Inputs<'a>,
}

fn value(json: Option<&Json>) -> Value<'_> {
    json.map_or(Value::Null, Value::from)
}

impl<'i, 'a> Scope<'i, 'a> {
    pub(super) fn new(inputs: &'i Inputs<'a>, variables: &'i [(String, Expression)]) -> Self {
        let fixed = [
            value(inputs.object),
            value(inputs.old_object),
            value(inputs.namespace),
            Value::from(inputs.request),
            authorizer_value(inputs.authorizer.clone()),
            request_resource_value(inputs.authorizer.clone(), inputs.request_resource.clone()),
            value(inputs.params),
        ];
        let known = RefCell::new(vec![None; variables.len()]);
        Self { fixed, variables, known, spent: Cell::new(0), depth: Cell::new(0), inputs }
    }

    fn limits(&self) -> Limits<'a> {
        Limits { cost: PER_EXPRESSION, interrupt: self.inputs.interrupt }
    }

    /// The value of an expression, or how it failed. The outer error ends all: the budget is used up.
    pub(super) fn evaluate(
        &self,
        expression: &Expression,
        budget: &mut u64,
    ) -> Result<Result<Value<'a>, String>, String> {
        let program = match &expression.program {
            Ok(program) => program,
            Err(why) => return Ok(Err(format!("compilation error: {why}"))),
        };
        let outcome = program.evaluate(self, self.limits());
        let cost = outcome.cost.saturating_add(self.spent.replace(0));
        *budget = budget
            .checked_sub(cost)
            .ok_or("validation failed due to running out of cost budget, no further validation rules will be run")?;
        Ok(outcome.value.map_err(|why| format!("expression '{}' resulted in error: {why}", expression.text)))
    }

    fn declared(&self, at: usize) -> Result<Value<'a>, Error> {
        if let Some(Some(known)) = self.known.borrow().get(at) {
            return known.clone();
        }
        let (name, expression) = self.variables.get(at).ok_or_else(|| Error::new("no such attribute(s): variables"))?;
        let value = match &expression.program {
            Err(why) => Err(Error::new(format!("composited variable \"{name}\" fails to compile: {why}"))),
            Ok(_) if self.depth.get() >= DEEPEST => {
                Err(Error::new(format!("composited variable \"{name}\" fails to evaluate: too many use one another")))
            }
            Ok(program) => {
                self.depth.set(self.depth.get() + 1);
                let outcome = program.evaluate(self, self.limits());
                self.depth.set(self.depth.get() - 1);
                self.spent.set(self.spent.get().saturating_add(outcome.cost));
                outcome
                    .value
                    .map_err(|why| Error::new(format!("composited variable \"{name}\" fails to evaluate: {why}")))
            }
        };
        if let Some(place) = self.known.borrow_mut().get_mut(at) {
            *place = Some(value.clone());
        }
        value
    }
}

impl<'a> Activation<'a> for Scope<'_, 'a> {
    fn variable(&self, index: usize) -> Result<Value<'a>, Error> {
        match self.fixed.get(index) {
            Some(value) => Ok(value.clone()),
            None => self.declared(index - ADMISSION_VARIABLES),
        }
    }
}
