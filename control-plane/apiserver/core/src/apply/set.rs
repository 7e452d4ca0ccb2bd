//! Sets of fields: trees of path elements, some of which are members themselves.
//!
//! On the wire (`fieldsV1`) a tree is a JSON object with one member per element; a member of the set that has others below it
//! says so with a member `.`.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use serde_json::{Map, Value, json};

use super::element::PathElement;

/// Marks an element as a member of the set when it has others below it.
const SELF: &str = ".";

/// A set of fields.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FieldSet(BTreeMap<PathElement, Node>);

/// What a set has at an element: something, always.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Node {
    member: bool,
    below: FieldSet,
}

impl Node {
    fn is_empty(&self) -> bool {
        !self.member && self.below.is_empty()
    }
}

impl FieldSet {
    /// A set of paths of fields, without lists.
    pub fn of_fields(paths: &[&[&str]]) -> Self {
        let mut set = Self::default();
        for path in paths {
            let path: Vec<PathElement> = path.iter().map(|name| PathElement::field(name)).collect();
            set.insert(&path);
        }
        set
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a path.
    pub fn insert(&mut self, path: &[PathElement]) {
        let Some((first, rest)) = path.split_first() else { return };
        let node = self.0.entry(first.clone()).or_default();
        if rest.is_empty() {
            node.member = true;
        } else {
            node.below.insert(rest);
        }
    }

    /// Adds an element with what is below it; nothing at all is not added.
    pub(super) fn put(&mut self, element: PathElement, member: bool, below: Self) {
        if !member && below.is_empty() {
            return;
        }
        match self.0.entry(element) {
            Entry::Vacant(vacant) => {
                vacant.insert(Node { member, below });
            }
            Entry::Occupied(mut occupied) => {
                let node = occupied.get_mut();
                node.member |= member;
                node.below = std::mem::take(&mut node.below).union(below);
            }
        }
    }

    /// Whether the element itself is a member.
    pub fn has(&self, element: &PathElement) -> bool {
        self.0.get(element).is_some_and(|node| node.member)
    }

    /// Whether a path is a member.
    pub fn has_path(&self, path: &[PathElement]) -> bool {
        match path {
            [] => false,
            [last] => self.has(last),
            [first, rest @ ..] => self.below(first).is_some_and(|below| below.has_path(rest)),
        }
    }

    /// The members below an element; `None` if there are none.
    pub fn below(&self, element: &PathElement) -> Option<&Self> {
        self.0.get(element).map(|node| &node.below).filter(|below| !below.is_empty())
    }

    /// What is in either.
    #[must_use]
    pub fn union(mut self, other: Self) -> Self {
        if self.is_empty() {
            return other;
        }
        for (element, node) in other.0 {
            self.put(element, node.member, node.below);
        }
        self
    }

    /// What is in both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let nodes = self.0.iter().filter_map(|(element, node)| {
            let theirs = other.0.get(element)?;
            let both = Node { member: node.member && theirs.member, below: node.below.intersection(&theirs.below) };
            (!both.is_empty()).then(|| (element.clone(), both))
        });
        Self(nodes.collect())
    }

    /// What is in this one and not in the other.
    #[must_use]
    pub fn difference(mut self, other: &Self) -> Self {
        if other.is_empty() {
            return self;
        }
        self.0.retain(|element, node| {
            if let Some(theirs) = other.0.get(element) {
                node.member &= !theirs.member;
                node.below = std::mem::take(&mut node.below).difference(&theirs.below);
            }
            !node.is_empty()
        });
        self
    }

    /// Drops what a path leads to and what is below it. A step is the name of a member; `*` is any element of a list.
    pub(super) fn drop_below(&mut self, path: &[&str]) {
        let Some((step, rest)) = path.split_first() else { return };
        self.0.retain(|element, node| {
            if !element.fits(step) {
                return true;
            }
            node.below.drop_below(rest);
            !rest.is_empty() && !node.is_empty()
        });
    }

    /// What a path, in the words of [`FieldSet::drop_below`], leads to with what is below it.
    pub(super) fn only_below(&self, path: &[&str]) -> Self {
        let Some((step, rest)) = path.split_first() else { return self.clone() };
        let nodes = self.0.iter().filter(|(element, _)| element.fits(step)).filter_map(|(element, node)| {
            let kept =
                if rest.is_empty() { node.clone() } else { Node { member: false, below: node.below.only_below(rest) } };
            (!kept.is_empty()).then(|| (element.clone(), kept))
        });
        Self(nodes.collect())
    }

    /// The elements at the top, each with whether it is a member and what is below.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&PathElement, bool, &Self)> {
        self.0.iter().map(|(element, node)| (element, node.member, &node.below))
    }

    /// Calls `found` with every path in the set: those at a level before those below it, as upstream lists them.
    pub fn for_each<'a>(&'a self, found: &mut impl FnMut(&[&'a PathElement])) {
        self.walk(&mut Vec::new(), found);
    }

    fn walk<'a>(&'a self, path: &mut Vec<&'a PathElement>, found: &mut impl FnMut(&[&'a PathElement])) {
        for (element, _) in self.0.iter().filter(|(_, node)| node.member) {
            path.push(element);
            found(path);
            path.pop();
        }
        for (element, node) in &self.0 {
            path.push(element);
            node.below.walk(path, found);
            path.pop();
        }
    }

    /// The form on the wire.
    pub fn to_value(&self) -> Value {
        Value::Object(self.to_map(false))
    }

    fn to_map(&self, member: bool) -> Map<String, Value> {
        let mut map = Map::new();
        if member && !self.is_empty() {
            map.insert(SELF.to_owned(), json!({}));
        }
        for (element, node) in &self.0 {
            map.insert(element.to_text(), Value::Object(node.below.to_map(node.member)));
        }
        map
    }

    /// Reads the form on the wire.
    ///
    /// # Errors
    ///
    /// What is wrong, as text.
    pub fn from_value(value: &Value) -> Result<Self, String> {
        let Value::Object(map) = value else { return Err("fields must be an object".to_owned()) };
        let mut set = Self::default();
        for (key, value) in map.iter().filter(|(key, _)| *key != SELF) {
            let element = PathElement::parse(key)?;
            let member = value.as_object().is_none_or(|below| below.is_empty() || below.contains_key(SELF));
            let below = if value.is_null() { Self::default() } else { Self::from_value(value)? };
            // What holds nothing but empty branches is a branch without leaves, and says nothing.
            set.put(element, member, below);
        }
        Ok(set)
    }
}
