//! What a write is about: a kind in a version, through the object itself or one of its subresources.

use std::collections::BTreeMap;

use serde_json::Value;

use super::compare::{Changes, compare};
use super::set::FieldSet;
use super::shape::Shape;
use crate::object::Object;
use crate::resource::{Resource, Twin};
use crate::strategy::{Part, Reach, Strategy};

/// What a write is about.
#[derive(Debug)]
pub(super) struct Target<'a> {
    pub(super) api_version: String,
    pub(super) kind: &'a str,
    pub(super) shape: Shape,
    /// What it may own.
    reach: Reach,
    strategy: &'a dyn Strategy,
    /// Other versions of the same objects.
    twins: &'a [Twin],
}

impl<'a> Target<'a> {
    pub(super) fn of(resource: &'a Resource, subresource: Option<&'a str>) -> Self {
        let strategy = &*resource.strategy;
        match subresource.and_then(|name| resource.subresource(name)) {
            // A kind of its own, whose fields are its own too.
            Some(own) if own.kind != resource.kind => Self {
                api_version: if own.group.is_empty() {
                    own.version.clone()
                } else {
                    format!("{}/{}", own.group, own.version)
                },
                kind: &own.kind,
                shape: Shape::of_definition(&own.schema),
                reach: Reach::But(&[]),
                strategy,
                twins: &[],
            },
            Some(_) | None => Self {
                api_version: resource.api_version(),
                kind: &resource.kind,
                shape: Shape::of_definition(&resource.schema),
                reach: strategy.reach(Part::of(subresource)),
                strategy,
                twins: &resource.twins,
            },
        }
    }

    /// The part of a set that this write may own.
    pub(super) fn reachable(&self, mut set: FieldSet) -> FieldSet {
        match self.reach {
            Reach::But(paths) => {
                for path in paths {
                    set.drop_below(path);
                }
                set
            }
            Reach::Only(paths) => {
                paths.iter().map(|path| set.only_below(path)).fold(FieldSet::default(), FieldSet::union)
            }
        }
    }

    fn compare(&self, old: &Object, new: &Object, shape: Shape) -> Changes {
        let changes = compare(old.map(), new.map(), shape);
        Changes { taken: self.reachable(changes.taken), removed: self.reachable(changes.removed) }
    }
}

/// What differs between two objects, in the names of every version that is asked for.
#[derive(Debug)]
pub(super) struct Comparison<'a> {
    target: &'a Target<'a>,
    old: &'a Object,
    new: &'a Object,
    versions: BTreeMap<String, Option<Changes>>,
}

impl<'a> Comparison<'a> {
    pub(super) fn new(target: &'a Target<'a>, old: &'a Object, new: &'a Object) -> Self {
        let own = target.compare(old, new, target.shape);
        Self { target, old, new, versions: BTreeMap::from([(target.api_version.clone(), Some(own))]) }
    }

    /// In the names of the version of the write.
    pub(super) fn own(mut self) -> Changes {
        self.versions.remove(&self.target.api_version).flatten().unwrap_or_default()
    }

    /// In the names of a version; `None` if there is no such version of these objects.
    pub(super) fn at(&mut self, api_version: &str) -> Option<&Changes> {
        let Self { target, old, new, versions } = self;
        let changes = versions.entry(api_version.to_owned()).or_insert_with(|| {
            let twin = target.twins.iter().find(|twin| twin.api_version == api_version)?;
            let shape = Shape::of_definition(&twin.schema);
            Some(target.compare(&target.convert(old, twin), &target.convert(new, twin), shape))
        });
        changes.as_ref()
    }
}

impl Target<'_> {
    /// The same object in another version.
    fn convert(&self, object: &Object, twin: &Twin) -> Object {
        let mut object = object.clone();
        self.strategy.to_stored(&mut object);
        twin.strategy.to_served(&mut object);
        object
    }

    /// The same object, back from another version.
    fn convert_back(&self, value: Value, twin: &Twin) -> Option<Value> {
        let mut object = Object::from_value(value)?;
        twin.strategy.to_stored(&mut object);
        self.strategy.to_served(&mut object);
        Some(object.into_value())
    }

    /// Runs something on an object in the names of a version; `None` if there is no such version.
    pub(super) fn in_version<T>(
        &self,
        api_version: &str,
        value: &Value,
        run: impl FnOnce(&Value, Shape) -> T,
    ) -> Option<T> {
        if api_version == self.api_version {
            return Some(run(value, self.shape));
        }
        let twin = self.twins.iter().find(|twin| twin.api_version == api_version)?;
        let object = Object::from_value(value.clone())?;
        Some(run(&self.convert(&object, twin).into_value(), Shape::of_definition(&twin.schema)))
    }

    /// Changes an object in the names of a version; `None` if there is no such version.
    pub(super) fn edit_in_version(
        &self,
        api_version: &str,
        value: &Value,
        edit: impl FnOnce(&Value, Shape) -> Value,
    ) -> Option<Value> {
        if api_version == self.api_version {
            return Some(edit(value, self.shape));
        }
        let twin = self.twins.iter().find(|twin| twin.api_version == api_version)?;
        let object = Object::from_value(value.clone())?;
        let edited = edit(&self.convert(&object, twin).into_value(), Shape::of_definition(&twin.schema));
        self.convert_back(edited, twin)
    }
}
