//! What an expression may use: functions, variables, types and macros.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use crate::check::{self, Checked};
use crate::error::Error;
use crate::parse::{Macros, parse};
use crate::plan::Program;
use crate::source::Issues;
use crate::types::Type;
use crate::value::Value;

/// What a function does.
pub type Implementation = for<'a> fn(&[Value<'a>]) -> Result<Value<'a>, Error>;
/// What a call cost: of its arguments and its result.
pub type Cost = fn(&[Value<'_>], &Value<'_>) -> u64;

/// One of the forms of a function.
#[derive(Clone)]
pub struct Overload {
    /// Its name, which costs are known by.
    pub id: &'static str,
    /// Whether it is called on its first argument.
    pub member: bool,
    /// The types of its arguments, the one it is called on first.
    pub parameters: Vec<Type>,
    /// The type of its result.
    pub result: Type,
    /// What it does.
    pub apply: Implementation,
    /// What a call costs; one if nothing is said.
    pub cost: Option<Cost>,
}

impl fmt::Debug for Overload {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.id)
    }
}

/// A function.
#[derive(Debug, Clone)]
pub struct Function {
    /// Its name.
    pub name: &'static str,
    /// Its forms.
    pub overloads: Vec<Overload>,
}

/// A variable.
#[derive(Debug, Clone)]
pub struct Variable {
    /// Its name, which may have dots.
    pub name: Arc<str>,
    /// Its type.
    pub of: Type,
}

/// What messages there are.
pub trait ObjectTypes: Send + Sync {
    /// Whether there is a message of this name.
    fn exists(&self, object: &str) -> bool;
    /// The type of a field of a message.
    fn field(&self, object: &str, field: &str) -> Option<Type>;
}

/// What one library adds.
#[derive(Debug, Default)]
pub struct Library {
    pub(crate) functions: Vec<(&'static str, Overload)>,
    pub(crate) types: Vec<(&'static str, Type)>,
}

impl Library {
    /// Adds a function, or a form of one.
    #[must_use]
    pub fn global(
        self,
        name: &'static str,
        id: &'static str,
        parameters: &[Type],
        result: Type,
        apply: Implementation,
    ) -> Self {
        self.add(name, id, false, parameters, result, apply)
    }

    /// Adds a function that is called on its first argument, or a form of one.
    #[must_use]
    pub fn member(
        self,
        name: &'static str,
        id: &'static str,
        parameters: &[Type],
        result: Type,
        apply: Implementation,
    ) -> Self {
        self.add(name, id, true, parameters, result, apply)
    }

    fn add(
        mut self,
        name: &'static str,
        id: &'static str,
        member: bool,
        parameters: &[Type],
        result: Type,
        apply: Implementation,
    ) -> Self {
        let parameters = parameters.to_vec();
        self.functions.push((name, Overload { id, member, parameters, result, apply, cost: None }));
        self
    }

    /// Says what calls of the form that was added last cost.
    #[must_use]
    pub fn costing(mut self, cost: Cost) -> Self {
        if let Some((_, overload)) = self.functions.last_mut() {
            overload.cost = Some(cost);
        }
        self
    }

    /// Adds a type that expressions can name.
    #[must_use]
    pub fn named_type(mut self, name: &'static str, of: Type) -> Self {
        self.types.push((name, of));
        self
    }
}

/// What an expression may use. Cheap to clone and extend.
#[derive(Clone, Default)]
pub struct Environment {
    functions: Arc<HashMap<&'static str, Arc<Function>>>,
    pub(crate) constants: Arc<HashMap<&'static str, Type>>,
    variables: Vec<Variable>,
    pub(crate) objects: Option<Arc<dyn ObjectTypes>>,
    macros: Macros,
}

impl fmt::Debug for Environment {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Environment").field("variables", &self.variables).finish_non_exhaustive()
    }
}

impl Environment {
    /// An environment with these macros and the language's own; add [`crate::standard`] for its functions.
    pub fn new(macros: Macros) -> Self {
        Self { macros, ..Self::default() }
    }

    /// With a library.
    #[must_use]
    pub fn with(mut self, library: Library) -> Self {
        let functions = Arc::make_mut(&mut self.functions);
        for (name, overload) in library.functions {
            let function = functions.entry(name).or_insert_with(|| Arc::new(Function { name, overloads: Vec::new() }));
            Arc::make_mut(function).overloads.push(overload);
        }
        Arc::make_mut(&mut self.constants).extend(library.types);
        self
    }

    /// With a variable. Variables are numbered in the order in which they were added.
    #[must_use]
    pub fn variable(mut self, name: &str, of: Type) -> Self {
        self.variables.push(Variable { name: name.into(), of });
        self
    }

    /// With messages.
    #[must_use]
    pub fn objects(mut self, objects: Arc<dyn ObjectTypes>) -> Self {
        self.objects = Some(objects);
        self
    }

    /// Its variables, in order.
    pub fn variables(&self) -> &[Variable] {
        &self.variables
    }

    pub(crate) fn function(&self, name: &str) -> Option<&Arc<Function>> {
        self.functions.get(name)
    }

    pub(crate) fn find_variable(&self, name: &str) -> Option<usize> {
        // The last of a name hides those before it.
        self.variables.iter().rposition(|variable| &*variable.name == name)
    }

    /// Parses and checks a text.
    pub fn check(&self, text: &str) -> Result<Checked, Issues> {
        check::check(self, text, parse(text, self.macros)?)
    }

    /// Parses, checks and plans a text.
    pub fn compile(&self, text: &str) -> Result<Program, Issues> {
        Ok(Program::plan(&self.check(text)?))
    }
}
