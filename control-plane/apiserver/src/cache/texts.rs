//! Several short texts in two pieces of memory, however many they are: an object has a dozen, and there are many objects.

/// The texts, in order.
#[derive(Debug, Clone, Default)]
pub(super) struct Texts {
    all: Box<str>,
    /// Where in `all` each text ends.
    ends: Box<[u32]>,
}

impl Texts {
    /// The text at a position.
    pub(super) fn get(&self, at: usize) -> Option<&str> {
        let end = *self.ends.get(at)?;
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        Some(&self.all[start as usize..end as usize])
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }
}

impl<T: AsRef<str>> FromIterator<T> for Texts {
    /// Packs texts, which together have far less than four billion bytes: they come from one object.
    fn from_iter<I: IntoIterator<Item = T>>(texts: I) -> Self {
        let mut all = String::new();
        let ends = texts
            .into_iter()
            .map(|text| {
                all.push_str(text.as_ref());
                all.len() as u32
            })
            .collect();
        Self { all: all.into(), ends }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_text_is_where_it_was_put() {
        let texts: Texts = ["name", "", "ü", ""].into_iter().collect();
        assert_eq!(texts.len(), 4);
        assert_eq!(
            (0..5).map(|at| texts.get(at)).collect::<Vec<_>>(),
            [Some("name"), Some(""), Some("ü"), Some(""), None]
        );
        assert_eq!(Texts::default().get(0), None);
    }
}
