//! From a program and data to a value, within limits.

mod access;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::cost;
use crate::error::Error;
use crate::plan::{Call, Fold, Node, Program};
use crate::value::{List, Map, Message, Value, equal, exhausted, with_comparisons};

/// Where variables come from.
pub trait Activation<'a> {
    /// The value of the variable of this number. Asked for each use.
    fn variable(&self, index: usize) -> Result<Value<'a>, Error>;
}

impl<'a> Activation<'a> for [Value<'a>] {
    fn variable(&self, index: usize) -> Result<Value<'a>, Error> {
        self.get(index).cloned().ok_or_else(|| Error::new("no such attribute"))
    }
}

/// When an evaluation is ended before it has a value.
#[derive(Debug, Clone, Copy)]
pub struct Limits<'i> {
    /// What it may cost.
    pub cost: u64,
    /// Set by another thread to stop it; looked at in loops, every hundred rounds.
    pub interrupt: Option<&'i AtomicBool>,
}

/// What came out.
#[derive(Debug, Clone)]
pub struct Outcome<'a> {
    /// The value, or why there is none.
    pub value: Result<Value<'a>, Error>,
    /// What it cost, also if it has no value.
    pub cost: u64,
}

/// So many elements of lists and maps one evaluation may compare.
const MOST_COMPARISONS: u64 = 2_000_000;

type Evaluated<'a> = Result<Value<'a>, Error>;

impl Program {
    /// Evaluates. Never takes longer than the cost allows, whatever the expression and the data are.
    pub fn evaluate<'a, A: Activation<'a> + ?Sized>(&self, activation: &A, limits: Limits<'_>) -> Outcome<'a> {
        let locals = vec![Ok(Value::Null); self.locals];
        let mut machine = Machine { activation, locals, cost: 0, limits, rounds: 0 };
        let value = with_comparisons(MOST_COMPARISONS, || machine.node(&self.root));
        Outcome { value, cost: machine.cost }
    }
}

struct Machine<'m, 'a, A: ?Sized> {
    activation: &'m A,
    locals: Vec<Evaluated<'a>>,
    cost: u64,
    limits: Limits<'m>,
    rounds: u32,
}

impl<'a, A: Activation<'a> + ?Sized> Machine<'_, 'a, A> {
    fn charge(&mut self, cost: u64) -> Result<(), Error> {
        self.cost = self.cost.saturating_add(cost);
        if self.cost > self.limits.cost || exhausted() { Err(Error::CostLimit) } else { Ok(()) }
    }

    fn node(&mut self, node: &Node) -> Evaluated<'a> {
        match node {
            Node::Constant(value) => Ok(value.clone()),
            Node::Variable(index) => {
                self.charge(1)?;
                self.activation.variable(*index)
            }
            Node::Local(place) => {
                self.charge(1)?;
                self.locals[*place].clone()
            }
            Node::Field(operand, name) => {
                let operand = self.node(operand)?;
                self.charge(1)?;
                access::field(&operand, name)
            }
            Node::Has(operand, name) => {
                let operand = self.node(operand)?;
                access::has(&operand, name)
            }
            Node::OptionalField(operand, name) => {
                let operand = self.node(operand)?;
                self.charge(1)?;
                access::optional_field(&operand, name)
            }
            Node::Index(both) => {
                let (operand, index) = (self.node(&both[0])?, self.node(&both[1])?);
                self.charge(1)?;
                access::index(&operand, &index)
            }
            Node::OptionalIndex(both) => {
                let (operand, index) = (self.node(&both[0])?, self.node(&both[1])?);
                self.charge(1)?;
                access::optional_index(&operand, &index)
            }
            Node::And(both) => self.logical(both, false),
            Node::Or(both) => self.logical(both, true),
            Node::Choice(parts) => match self.node(&parts[0])? {
                Value::Bool(true) => self.node(&parts[1]),
                Value::Bool(false) => self.node(&parts[2]),
                _ => Err(Error::no_such_overload()),
            },
            Node::NotStrictlyFalse(operand) => {
                let value = self.node(operand);
                self.charge(1)?;
                match value {
                    Ok(Value::Bool(is)) => Ok(Value::Bool(is)),
                    Ok(_) | Err(Error::Failed(_)) => Ok(Value::Bool(true)),
                    Err(end) => Err(end),
                }
            }
            Node::Equal(both, wanted) => {
                let both = [self.node(&both[0])?, self.node(&both[1])?];
                let same = equal(&both[0], &both[1]);
                self.charge(cost::shorter(&both, &Value::Null))?;
                Ok(Value::Bool(same == *wanted))
            }
            Node::Among(operand, list) => {
                let operand = self.node(operand)?;
                // Constants in lists are scalars.
                Ok(Value::Bool(list.iter().any(|element| equal(element, &operand))))
            }
            Node::Call(call) => self.call(call),
            Node::Append(place, element) => self.append(*place, element),
            Node::Insert(place, parts) => self.insert(*place, parts),
            Node::List(elements) => self.list(elements),
            Node::Map(entries) => self.map(entries),
            Node::Message(name, fields) => self.message(name, fields),
            Node::Fold(fold) => self.fold(fold),
        }
    }

    /// `||` if `ends` is true, else `&&`: one side that decides makes the other's failure no matter.
    fn logical(&mut self, both: &[Node; 2], ends: bool) -> Evaluated<'a> {
        let one = self.node(&both[0]);
        match one {
            Ok(Value::Bool(is)) if is == ends => return Ok(Value::Bool(ends)),
            Err(end @ (Error::CostLimit | Error::Interrupted)) => return Err(end),
            _ => {}
        }
        let other = self.node(&both[1]);
        match (one, other) {
            (_, Ok(Value::Bool(is))) if is == ends => Ok(Value::Bool(ends)),
            (_, Err(end @ (Error::CostLimit | Error::Interrupted))) => Err(end),
            (Ok(Value::Bool(_)), Ok(Value::Bool(_))) => Ok(Value::Bool(!ends)),
            (Err(failed), _) | (_, Err(failed)) => Err(failed),
            _ => Err(Error::no_such_overload()),
        }
    }

    fn call(&mut self, call: &Call) -> Evaluated<'a> {
        match call.args.as_slice() {
            [] => self.apply(call, &[]),
            [one] => {
                let args = [self.node(one)?];
                self.apply(call, &args)
            }
            [one, two] => {
                let args = [self.node(one)?, self.node(two)?];
                self.apply(call, &args)
            }
            more => {
                let args = more.iter().map(|arg| self.node(arg)).collect::<Result<Vec<_>, _>>()?;
                self.apply(call, &args)
            }
        }
    }

    fn apply(&mut self, call: &Call, args: &[Value<'a>]) -> Evaluated<'a> {
        let fits = call
            .overloads()
            .find(|overload| overload.parameters.iter().zip(args).all(|(parameter, arg)| parameter.admits(arg)));
        let Some(overload) = fits else {
            self.charge(1)?;
            let name = call.function.name;
            if name.starts_with(['_', '@', '!', '-']) {
                return Err(Error::no_such_overload());
            }
            let types: Vec<_> = args.iter().map(Value::type_name).collect();
            return Err(Error::new(format!("no such overload: {name}({})", types.join(", "))));
        };
        let value = (overload.apply)(args);
        let cost = match (call.cost, &value) {
            (Some(cost), Ok(value)) => cost(args, value),
            (Some(cost), Err(_)) => cost(args, &Value::Null),
            (None, _) => 1,
        };
        self.charge(cost)?;
        value
    }

    fn append(&mut self, place: usize, element: &Node) -> Evaluated<'a> {
        let made = if matches!(element, Node::Constant(_)) { 0 } else { cost::LIST };
        let element = self.node(element)?;
        self.charge(2 + made)?;
        match std::mem::replace(&mut self.locals[place], Ok(Value::Null))? {
            Value::List(List::Shared(mut elements)) => {
                Arc::make_mut(&mut elements).push(element);
                Ok(Value::List(List::Shared(elements)))
            }
            _ => Err(Error::no_such_overload()),
        }
    }

    fn insert(&mut self, place: usize, parts: &[Node]) -> Evaluated<'a> {
        let mut parts = parts.iter().map(|part| self.node(part)).collect::<Result<Vec<_>, _>>()?;
        self.charge(2)?;
        let value = parts.pop().unwrap_or(Value::Null);
        let entries = match parts.pop() {
            Some(key) => vec![(key, value)],
            None => match value {
                Value::Map(map) => {
                    self.charge(map.len() as u64)?;
                    map.entries()
                }
                _ => return Err(Error::no_such_overload()),
            },
        };
        match std::mem::replace(&mut self.locals[place], Ok(Value::Null))? {
            Value::Map(Map::Shared(mut map)) => {
                let inserted = Arc::make_mut(&mut map);
                for (key, value) in entries {
                    access::insert(inserted, key, value)?;
                }
                Ok(Value::Map(Map::Shared(map)))
            }
            _ => Err(Error::no_such_overload()),
        }
    }

    fn list(&mut self, elements: &[(Node, bool)]) -> Evaluated<'a> {
        let mut list = Vec::with_capacity(elements.len());
        for (element, optional) in elements {
            let value = self.node(element)?;
            list.extend(access::given(value, *optional)?);
        }
        self.charge(cost::LIST)?;
        Ok(Value::list(list))
    }

    fn map(&mut self, entries: &[(Node, Node, bool)]) -> Evaluated<'a> {
        let mut map = BTreeMap::new();
        for (key, value, optional) in entries {
            let (key, value) = (self.node(key)?, self.node(value)?);
            if let Some(value) = access::given(value, *optional)? {
                access::insert(&mut map, key, value)?;
            }
        }
        self.charge(cost::MAP)?;
        Ok(Value::map(map))
    }

    fn message(&mut self, name: &Arc<str>, fields: &[(Arc<str>, Node, bool)]) -> Evaluated<'a> {
        let mut set = BTreeMap::new();
        for (field, value, optional) in fields {
            let value = self.node(value)?;
            if let Some(value) = access::given(value, *optional)? {
                set.insert(field.clone(), value);
            }
        }
        self.charge(cost::MESSAGE)?;
        Ok(Value::Message(Arc::new(Message { type_name: name.clone(), fields: set })))
    }

    fn fold(&mut self, fold: &Fold) -> Evaluated<'a> {
        let range = self.node(&fold.range)?;
        let start = self.node(&fold.start);
        if let Err(end @ (Error::CostLimit | Error::Interrupted)) = start {
            return Err(end);
        }
        self.locals[fold.accumulator] = start;
        match &range {
            Value::List(list) => {
                for index in 0..list.len() {
                    let element = list.get(index).unwrap_or(Value::Null);
                    let goes_on = match fold.second {
                        Some(_) => self.round(fold, Value::Int(index as i64), element),
                        None => self.round(fold, element, Value::Null),
                    };
                    if !goes_on? {
                        break;
                    }
                }
            }
            Value::Map(map) => {
                for (key, value) in map.entries() {
                    if !self.round(fold, key, value)? {
                        break;
                    }
                }
            }
            other => {
                return Err(Error::new(format!("got '{}', expected iterable type", other.type_name())));
            }
        }
        self.node(&fold.result)
    }

    /// One round of a loop; whether it went on.
    fn round(&mut self, fold: &Fold, first: Value<'a>, second: Value<'a>) -> Result<bool, Error> {
        self.rounds = self.rounds.wrapping_add(1);
        if self.rounds.is_multiple_of(100)
            && self.limits.interrupt.is_some_and(|interrupt| interrupt.load(Ordering::Relaxed))
        {
            return Err(Error::Interrupted);
        }
        self.locals[fold.first] = Ok(first);
        if let Some(place) = fold.second {
            self.locals[place] = Ok(second);
        }
        if let Value::Bool(false) = self.node(&fold.condition)? {
            return Ok(false);
        }
        let step = self.node(&fold.step);
        if let Err(end @ (Error::CostLimit | Error::Interrupted)) = step {
            return Err(end);
        }
        self.locals[fold.accumulator] = step;
        Ok(true)
    }
}
