//! One change, and the frames watchers get of it, each encoded once.

use std::sync::{Arc, Mutex, PoisonError};

use apiserver_core::options::IncludeObject;
use bytes::Bytes;

use super::object::{CachedObject, Entry};
use super::state::Snapshot;

/// The type of a watch event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EventType {
    /// The object is new to the watcher.
    Added,
    /// The object changed.
    Modified,
    /// The object is gone, for the watcher at least.
    Deleted,
    /// Nothing happened up to a resource version.
    Bookmark,
    /// The watch failed.
    Error,
}

impl EventType {
    fn as_str(self) -> &'static str {
        match self {
            Self::Added => "ADDED",
            Self::Modified => "MODIFIED",
            Self::Deleted => "DELETED",
            Self::Bookmark => "BOOKMARK",
            Self::Error => "ERROR",
        }
    }
}

/// The form objects are sent in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// As they are.
    Whole,
    /// As a Table without column definitions, in the given version of its group.
    Table {
        /// How much of the object a row carries.
        include: IncludeObject,
        /// `v1beta1` instead of `v1`.
        beta: bool,
    },
    /// As `PartialObjectMetadata`.
    Metadata {
        /// `v1beta1` instead of `v1`.
        beta: bool,
    },
}

/// A change of one object.
#[derive(Debug)]
pub(crate) struct CacheEvent {
    /// The revision of the change.
    pub(crate) revision: i64,
    /// The object after it; none for a deletion.
    pub(crate) object: Option<Arc<CachedObject>>,
    /// The object before it; none for a creation.
    pub(crate) previous: Option<Arc<CachedObject>>,
    /// All objects after it, for some events: from there the state after any other is a few steps away.
    pub(super) checkpoint: Option<Snapshot>,
    /// Frames made so far. A handful at most: three types in the forms in use.
    frames: Mutex<Vec<(EventType, Form, Bytes)>>,
}

impl CacheEvent {
    pub(super) fn new(
        revision: i64,
        object: Option<Arc<CachedObject>>,
        previous: Option<Arc<CachedObject>>,
        checkpoint: Option<Snapshot>,
    ) -> Self {
        Self { revision, object, previous, checkpoint, frames: Mutex::new(Vec::new()) }
    }

    /// Brings the objects before the event to those after it.
    pub(super) fn apply_to(&self, snapshot: &mut Snapshot) {
        match (&self.object, &self.previous) {
            (Some(object), _) => {
                snapshot.objects.insert(Entry(Arc::clone(object)));
            }
            (None, Some(previous)) => {
                snapshot.objects.remove::<str>(&previous.key);
            }
            (None, None) => {}
        }
        snapshot.revision = snapshot.revision.max(self.revision);
    }

    /// What the event means to a watcher that sees only objects for which `selects` holds; `None` if nothing.
    pub(crate) fn seen_by(&self, selects: impl Fn(&CachedObject) -> bool) -> Option<EventType> {
        let now = self.object.as_deref().is_some_and(&selects);
        let before = self.previous.as_deref().is_some_and(&selects);
        match (before, now) {
            (false, true) => Some(EventType::Added),
            (true, true) => Some(EventType::Modified),
            (true, false) => Some(EventType::Deleted),
            (false, false) => None,
        }
    }

    /// The object as an event of this type shows it.
    pub(crate) fn json(&self, kind: EventType) -> Bytes {
        match (kind, &self.object, &self.previous) {
            (EventType::Deleted, _, Some(previous)) | (_, None, Some(previous)) => previous.json_at(self.revision),
            (_, Some(object), _) => object.json.clone(),
            (_, None, None) => Bytes::from_static(b"null"),
        }
    }

    /// The frame of this type and form; `make` turns the object's JSON into the form, once for all watchers.
    pub(crate) fn frame(&self, kind: EventType, form: Form, make: impl FnOnce(Bytes) -> Bytes) -> Bytes {
        let mut frames = self.frames.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, _, bytes)) = frames.iter().find(|(one, other, _)| *one == kind && *other == form) {
            return bytes.clone();
        }
        let bytes = frame(kind, &make(self.json(kind)));
        frames.push((kind, form, bytes.clone()));
        bytes
    }

    pub(super) fn size(&self) -> usize {
        self.previous.as_ref().map_or(0, |object| object.size()) + 512
    }
}

/// A watch event on one line.
pub(crate) fn frame(kind: EventType, object: &[u8]) -> Bytes {
    let mut bytes = Vec::with_capacity(object.len() + 40);
    bytes.extend_from_slice(b"{\"type\":\"");
    bytes.extend_from_slice(kind.as_str().as_bytes());
    bytes.extend_from_slice(b"\",\"object\":");
    bytes.extend_from_slice(object);
    bytes.extend_from_slice(b"}\n");
    bytes.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use apiserver_core::Registry;

    fn object(color: &str, revision: i64) -> Arc<CachedObject> {
        let registry = Registry::built_in();
        let row = registry.lookup("", "v1", "configmaps").unwrap();
        let stored = format!(r#"{{"metadata":{{"labels":{{"color":"{color}"}},"name":"a"}}}}"#);
        Arc::new(CachedObject::read(row, "/registry/configmaps/d/a", stored.as_bytes(), revision).unwrap())
    }

    fn red(object: &CachedObject) -> bool {
        object.label("color") == Some("red")
    }

    #[test]
    fn leaving_a_selection_is_a_deletion_at_the_new_version() {
        let event = CacheEvent::new(8, Some(object("blue", 8)), Some(object("red", 5)), None);
        let kind = event.seen_by(red).unwrap();
        assert_eq!(kind, EventType::Deleted);
        let text = String::from_utf8(event.frame(kind, Form::Whole, |json| json).to_vec()).unwrap();
        assert!(text.contains(r#""resourceVersion":"8""#) && text.contains("red"), "{text}");
        assert_eq!(event.seen_by(|object| !red(object)), Some(EventType::Added));
        assert_eq!(event.seen_by(|_| true), Some(EventType::Modified));
        assert_eq!(event.seen_by(|_| false), None);
    }

    #[test]
    fn a_frame_is_made_once_for_all() {
        let event = CacheEvent::new(8, Some(object("blue", 8)), None, None);
        let first = event.frame(EventType::Added, Form::Whole, |json| json);
        let second = event.frame(EventType::Added, Form::Whole, |_| panic!("made twice"));
        assert_eq!(first.as_ptr(), second.as_ptr());
    }
}
