//! Field numbers: where the fields of a type are in its protobuf form.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

/// What becomes of the zero of a scalar field: `0`, `false`, the empty text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Zero {
    /// It says as much as nothing, and is left out.
    Dropped,
    /// It was set on purpose, and stays.
    #[default]
    Kept,
    /// It is written even when nobody set it.
    Written,
}

/// What a field number stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Slot {
    /// A field of the type.
    Field {
        /// Its name in JSON.
        name: String,
        /// Whether a zero was set on purpose.
        keeps_zero: bool,
    },
    /// A message that JSON does not show: its fields belong to the outer type.
    Inline(Message),
}

/// The fields of a message by number.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Message {
    /// What each number stands for.
    pub slots: BTreeMap<u32, Slot>,
    /// What the table says of the zeros of each field, by its name in JSON; none for messages inside this one.
    pub(crate) zeros: BTreeMap<String, Zero>,
    /// Fields that are null when nobody set them.
    pub(crate) nulls: BTreeSet<String>,
}

impl Message {
    fn insert(&mut self, path: &[u32], name: &str, keeps_zero: bool) {
        match path {
            [] => {}
            [last] => {
                self.slots.insert(*last, Slot::Field { name: name.to_owned(), keeps_zero });
            }
            [first, rest @ ..] => {
                let slot = self.slots.entry(*first).or_insert_with(|| Slot::Inline(Self::default()));
                if let Slot::Inline(inner) = slot {
                    inner.insert(rest, name, keeps_zero);
                }
            }
        }
    }
}

/// The message of a definition, by its full name; `None` for types without numbers.
pub fn message(definition: &str) -> Option<&'static Message> {
    static MESSAGES: OnceLock<BTreeMap<String, Message>> = OnceLock::new();
    MESSAGES.get_or_init(|| parse(include_str!("../numbers.txt"))).get(definition)
}

fn parse(text: &str) -> BTreeMap<String, Message> {
    text.lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .filter_map(|line| {
            let mut words = line.split(' ');
            let name = format!("io.k8s.{}", words.next()?);
            let mut message = Message::default();
            for (path, field) in words.filter_map(|word| word.split_once('=')) {
                let path: Vec<u32> = path.split('.').filter_map(|number| number.parse().ok()).collect();
                let plain = field.trim_end_matches(['?', '!', '~']);
                let zero = match &field[plain.len()..] {
                    "" => Zero::Dropped,
                    "~" => {
                        message.nulls.insert(plain.to_owned());
                        Zero::Dropped
                    }
                    "!" => Zero::Written,
                    _ => Zero::Kept,
                };
                message.insert(&path, plain, zero != Zero::Dropped);
                message.zeros.insert(plain.to_owned(), zero);
            }
            Some((name, message))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schemas;

    fn names(message: &Message) -> Vec<&str> {
        message
            .slots
            .values()
            .flat_map(|slot| match slot {
                Slot::Field { name, .. } => vec![name.as_str()],
                Slot::Inline(inner) => names(inner),
            })
            .collect()
    }

    #[test]
    fn every_numbered_field_is_in_the_schema() {
        for definition in parse(include_str!("../numbers.txt")).keys() {
            let Some(schema) = schemas().get(definition) else { panic!("{definition} has numbers and no schema") };
            for name in names(message(definition).unwrap()) {
                assert!(schema.fields.contains_key(name), "{definition} has no field {name}");
            }
        }
    }

    #[test]
    fn fields_of_inlined_messages_are_found_inside() {
        let volume = message("io.k8s.api.core.v1.Volume").unwrap();
        let Some(Slot::Inline(source)) = volume.slots.get(&2) else { panic!("not inlined") };
        assert_eq!(source.slots.get(&6), Some(&Slot::Field { name: "secret".into(), keeps_zero: false }));
        let secret = message("io.k8s.api.core.v1.Secret").unwrap();
        assert_eq!(secret.slots.get(&5), Some(&Slot::Field { name: "immutable".into(), keeps_zero: true }));
    }
}
