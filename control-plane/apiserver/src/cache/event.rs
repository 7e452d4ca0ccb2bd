//! One change, and the frames watchers get of it, each encoded once.

use std::sync::{Arc, Mutex, PoisonError};

use apiserver_core::options::IncludeObject;
use apiserver_core::protobuf;
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

/// How a stream is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    /// One JSON document after the other.
    Json,
    /// Protobuf messages, each behind its length.
    Protobuf,
}

/// What a watcher gets: frames of the same style are the same bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Style {
    /// The form of the objects.
    pub(crate) form: Form,
    /// How they are written.
    pub(crate) wire: Wire,
}

/// An object as an event shows it.
#[derive(Debug)]
pub(crate) struct Shown<'a> {
    /// In JSON.
    pub(crate) json: Bytes,
    /// Its resource version.
    pub(crate) revision: i64,
    /// The cached object the JSON is of, byte for byte, if it is of one.
    pub(crate) cached: Option<&'a CachedObject>,
}

impl<'a> Shown<'a> {
    /// A cached object as it is.
    pub(crate) fn as_it_is(object: &'a CachedObject) -> Self {
        Self { json: object.json.clone(), revision: object.revision, cached: Some(object) }
    }
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
    /// Frames made so far, a handful at most: three types in the styles in use. None once the event is not new any more.
    frames: Mutex<Option<Vec<(EventType, Style, Bytes)>>>,
}

impl CacheEvent {
    pub(super) fn new(
        revision: i64,
        object: Option<Arc<CachedObject>>,
        previous: Option<Arc<CachedObject>>,
        checkpoint: Option<Snapshot>,
    ) -> Self {
        Self { revision, object, previous, checkpoint, frames: Mutex::new(Some(Vec::new())) }
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
    pub(crate) fn shown(&self, kind: EventType) -> Shown<'_> {
        match (kind, &self.object, &self.previous) {
            (EventType::Deleted, _, Some(previous)) | (_, None, Some(previous)) => {
                Shown { json: previous.json_at(self.revision), revision: self.revision, cached: None }
            }
            (_, Some(object), _) => Shown::as_it_is(object),
            (_, None, None) => Shown { json: Bytes::from_static(b"null"), revision: self.revision, cached: None },
        }
    }

    /// The frame of this type and style; `make` writes the object in the style, once for all watchers that keep up.
    pub(crate) fn frame(&self, kind: EventType, style: Style, make: impl FnOnce(&Shown<'_>) -> Bytes) -> Bytes {
        let mut frames = self.frames.lock().unwrap_or_else(PoisonError::into_inner);
        let made = frames.iter().flatten().find(|(one, other, _)| *one == kind && *other == style);
        if let Some((_, _, bytes)) = made {
            return bytes.clone();
        }
        let bytes = frame(kind, style.wire, &make(&self.shown(kind)));
        if let Some(frames) = frames.as_mut() {
            frames.push((kind, style, bytes.clone()));
        }
        bytes
    }

    /// Lets go of the frames: whoever comes this late makes its own.
    pub(super) fn forget_frames(&self) {
        *self.frames.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(super) fn size(&self) -> usize {
        self.previous.as_ref().map_or(0, |object| object.size()) + 512
    }
}

/// A watch event around an object that is written already: in JSON on one line, in protobuf with its type in front.
pub(crate) fn frame(kind: EventType, wire: Wire, object: &[u8]) -> Bytes {
    match wire {
        Wire::Protobuf => protobuf::watch_frame(kind.as_str(), object).into(),
        Wire::Json => {
            let mut bytes = Vec::with_capacity(object.len() + 40);
            bytes.extend_from_slice(b"{\"type\":\"");
            bytes.extend_from_slice(kind.as_str().as_bytes());
            bytes.extend_from_slice(b"\",\"object\":");
            bytes.extend_from_slice(object);
            bytes.extend_from_slice(b"}\n");
            bytes.into()
        }
    }
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

    const STYLE: Style = Style { form: Form::Whole, wire: Wire::Json };

    fn red(object: &CachedObject) -> bool {
        object.label("color") == Some("red")
    }

    #[test]
    fn leaving_a_selection_is_a_deletion_at_the_new_version() {
        let event = CacheEvent::new(8, Some(object("blue", 8)), Some(object("red", 5)), None);
        let kind = event.seen_by(red).unwrap();
        assert_eq!(kind, EventType::Deleted);
        let text = String::from_utf8(event.frame(kind, STYLE, |shown| shown.json.clone()).to_vec()).unwrap();
        assert!(text.contains(r#""resourceVersion":"8""#) && text.contains("red"), "{text}");
        assert_eq!(event.seen_by(|object| !red(object)), Some(EventType::Added));
        assert_eq!(event.seen_by(|_| true), Some(EventType::Modified));
        assert_eq!(event.seen_by(|_| false), None);
    }

    #[test]
    fn a_frame_is_made_once_for_all() {
        let event = CacheEvent::new(8, Some(object("blue", 8)), None, None);
        let first = event.frame(EventType::Added, STYLE, |shown| shown.json.clone());
        let second = event.frame(EventType::Added, STYLE, |_| panic!("made twice"));
        assert_eq!(first.as_ptr(), second.as_ptr());
        event.forget_frames();
        assert_eq!(event.frame(EventType::Added, STYLE, |shown| shown.json.clone()), first);
        assert!(event.frame(EventType::Added, STYLE, |_| Bytes::from_static(b"anew")).ends_with(b"anew}\n"));
    }
}
