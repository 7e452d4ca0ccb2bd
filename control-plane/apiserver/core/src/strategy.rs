//! What differs from kind to kind: the only hand-written code a resource has.
//!
//! The engine calls these hooks in the order they are listed here. Hooks of metadata are not here: metadata is the same for all.

use std::fmt::Debug;

use serde_json::{Value, json};

use crate::engine::Context;
use crate::field::Errors;
use crate::object::Object;
use crate::options::DeleteOptions;
use crate::resource::Resource;
use crate::status::Status;

/// How a kind is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameRule {
    /// Lower case, digits, `-` and `.`; at most 253.
    DnsSubdomain,
    /// Lower case, digits and `-`; at most 63.
    DnsLabel,
    /// As a label, but starting with a letter.
    Dns1035Label,
    /// Anything that fits in a path.
    PathSegment,
}

/// Which part of an object a request may write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part<'a> {
    /// The object itself.
    Main,
    /// The `status` subresource.
    Status,
    /// Another subresource by name.
    Other(&'a str),
}

impl<'a> Part<'a> {
    /// From the subresource of a path.
    pub fn of(subresource: Option<&'a str>) -> Self {
        match subresource {
            None => Self::Main,
            Some("status") => Self::Status,
            Some(name) => Self::Other(name),
        }
    }
}

/// What an update replaces.
#[derive(Debug, Clone, Copy)]
pub struct Replacing<'a> {
    /// The object as stored, defaults filled in.
    pub old: &'a Object,
    /// Which part the request may write.
    pub part: Part<'a>,
}

/// How the parts of an object are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// One part, written as a whole; changes are not counted.
    Whole,
    /// `spec` is for those who wish, `status` for those who know: each is written apart from the other, and
    /// `metadata.generation` counts the changes of `spec`.
    SpecAndStatus,
    /// As [`Shape::SpecAndStatus`], with changes that are not counted.
    Uncounted,
    /// `spec` only, with changes that are counted.
    Spec,
}

/// Which fields of an object a write of a part may own: those it may not change are never its own. Steps are member names; `*` is
/// any element of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// All but these and what is below them.
    But(&'static [&'static [&'static str]]),
    /// Only these and what is below them.
    Only(&'static [&'static [&'static str]]),
}

impl Reach {
    /// Everything.
    pub const ALL: Self = Self::But(&[]);
    /// What those who wish may write.
    pub const WISHES: Self = Self::But(&[&["status"]]);
    /// What those who know may write.
    pub const KNOWLEDGE: Self = Self::But(&[&["spec"]]);
}

/// A kind's own rules. Hooks must be total: any tree that passed decoding may come.
pub trait Strategy: Send + Sync + Debug {
    /// How objects are named.
    fn name_rule(&self) -> NameRule {
        NameRule::DnsSubdomain
    }

    /// How the parts of an object are written. The hooks that prepare and count follow it unless a kind has its own.
    fn shape(&self) -> Shape {
        Shape::Whole
    }

    /// Fills in documented defaults. Runs on every body from a client, after the namespace is settled.
    fn default(&self, _object: &mut Object) {}

    /// Whether objects are stored in another form than this version serves.
    fn is_converted(&self) -> bool {
        false
    }

    /// Turns the form this version is served in into the form that is stored, where another version shares the store.
    fn to_stored(&self, _object: &mut Object) {}

    /// The way back of [`Strategy::to_stored`].
    fn to_served(&self, _object: &mut Object) {}

    /// Clears what a client may not set on create, and sets what the server sets.
    ///
    /// # Errors
    ///
    /// Only for what is no matter of one field's validity, such as an exhausted address pool.
    fn prepare_create(&self, object: &mut Object, _context: &Context<'_>) -> Result<(), Status> {
        match self.shape() {
            Shape::SpecAndStatus | Shape::Uncounted => object.set(&["status"], json!({})),
            Shape::Whole | Shape::Spec => {}
        }
        Ok(())
    }

    /// Puts back what this part may not write, and sets what the server sets.
    ///
    /// # Errors
    ///
    /// As for [`Strategy::prepare_create`].
    fn prepare_update(&self, new: &mut Object, replacing: Replacing<'_>, _context: &Context<'_>) -> Result<(), Status> {
        match (self.shape(), replacing.part) {
            (Shape::Whole | Shape::Spec, _) => {}
            (Shape::SpecAndStatus | Shape::Uncounted, Part::Status) => new.take_over(&["spec"], replacing.old),
            (Shape::SpecAndStatus | Shape::Uncounted, Part::Main | Part::Other(_)) => {
                new.take_over(&["status"], replacing.old);
            }
        }
        Ok(())
    }

    /// Which fields a write of a part may own.
    fn reach(&self, part: Part<'_>) -> Reach {
        match (self.shape(), part) {
            (Shape::Whole | Shape::Spec, _) => Reach::ALL,
            (Shape::SpecAndStatus | Shape::Uncounted, Part::Status) => Reach::KNOWLEDGE,
            (Shape::SpecAndStatus | Shape::Uncounted, Part::Main | Part::Other(_)) => Reach::WISHES,
        }
    }

    /// Checks a new object. Metadata has been checked.
    fn validate(&self, _object: &Object, _errors: &mut Errors) {}

    /// Checks a change. Metadata has been checked.
    fn validate_update(&self, new: &Object, _replacing: Replacing<'_>, errors: &mut Errors) {
        self.validate(new, errors);
    }

    /// Things worth saying to the client that are no errors.
    fn warnings(&self, _new: &Object, _old: Option<&Object>) -> Vec<String> {
        Vec::new()
    }

    /// Whether a change from `old` to `new` counts a new `metadata.generation`. `None`: this kind has no generation.
    fn generation_changes(&self, new: &Object, old: &Object) -> Option<bool> {
        match self.shape() {
            Shape::SpecAndStatus | Shape::Spec => Some(new.at(&["spec"]) != old.at(&["spec"])),
            Shape::Whole | Shape::Uncounted => None,
        }
    }

    /// Seconds an object stays after a graceful delete; `None` if this kind (or this object) goes at once.
    fn grace_period(&self, _object: &Object, _options: &DeleteOptions) -> Option<i64> {
        None
    }

    /// Refuses deletions.
    ///
    /// # Errors
    ///
    /// When the object must not be deleted.
    fn check_delete(&self, _resource: &Resource, _object: &Object) -> Result<(), Status> {
        Ok(())
    }

    /// Whether something of this kind's own, besides `metadata.finalizers`, keeps a deleted object in the store.
    fn holds_back(&self, _object: &Object) -> bool {
        false
    }

    /// Marks an object whose deletion has begun and must wait.
    fn mark_terminating(&self, _object: &mut Object) {}

    /// What [`Strategy::cells`] looks at, besides the name and the times of creation and deletion: an object may be shown that
    /// has nothing else. Paths of members, as [`Outline::of`](crate::outline::Outline::of) takes them.
    fn cells_read(&self) -> &'static [&'static str] {
        &[]
    }

    /// Cells of a Table row, one for each column of the row's resource, except that missing ones at the end are empty.
    fn cells(&self, object: &Object, now: jiff::Timestamp) -> Vec<Value> {
        crate::table::name_and_age(object, now)
    }
}
