//! Which controllers run: the value of `--controllers`.

/// A controller by its name, as users select it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Name {
    /// The full name, for example `namespace-controller`.
    pub full: &'static str,
    /// The name it had before; still understood.
    pub old: &'static str,
    /// Whether `*` includes it.
    pub on_by_default: bool,
}

/// A word in the selection that names no controller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{word:?} is not in the list of known controllers")]
pub struct UnknownController {
    /// The word as it was given, without its minus sign.
    pub word: String,
}

/// Chooses the controllers that run.
///
/// `words` holds `*` (all that are on by default), `name` (switches it on) and `-name` (switches it off). A name
/// that is mentioned counts before `*`; the first mention counts. All unknown words are reported.
pub fn select(words: &[String], known: &[Name]) -> Result<Vec<&'static str>, Vec<UnknownController>> {
    let full_name = |word: &str| known.iter().find(|name| name.full == word || name.old == word).map(|name| name.full);
    let mut unknown = Vec::new();
    let mut star = false;
    let mut mentioned: Vec<(&'static str, bool)> = Vec::new();
    for word in words.iter().map(|word| word.trim()).filter(|word| !word.is_empty()) {
        let (bare, on) = word.strip_prefix('-').map_or((word, true), |bare| (bare, false));
        if word == "*" {
            star = true;
        } else if let Some(full) = full_name(bare) {
            mentioned.push((full, on));
        } else {
            unknown.push(UnknownController { word: bare.to_owned() });
        }
    }
    if !unknown.is_empty() {
        return Err(unknown);
    }
    let chosen = |name: &&Name| {
        mentioned.iter().find(|(full, _)| *full == name.full).map_or(star && name.on_by_default, |(_, on)| *on)
    };
    Ok(known.iter().filter(chosen).map(|name| name.full).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [Name; 3] = [
        Name { full: "namespace-controller", old: "namespace", on_by_default: true },
        Name { full: "serviceaccount-controller", old: "serviceaccount", on_by_default: true },
        Name { full: "bootstrap-signer-controller", old: "bootstrapsigner", on_by_default: false },
    ];

    fn chosen(words: &str) -> Result<Vec<&'static str>, Vec<UnknownController>> {
        let words: Vec<_> = words.split(',').map(str::to_owned).collect();
        select(&words, &KNOWN)
    }

    #[test]
    fn a_star_means_what_is_on_by_default() {
        assert_eq!(chosen("*"), Ok(vec!["namespace-controller", "serviceaccount-controller"]));
        assert_eq!(chosen("*,bootstrapsigner").map(|names| names.len()), Ok(3));
        assert_eq!(chosen("-namespace,*"), Ok(vec!["serviceaccount-controller"]));
    }

    #[test]
    fn without_a_star_only_what_is_named_runs() {
        assert_eq!(chosen("namespace-controller"), Ok(vec!["namespace-controller"]));
        assert_eq!(chosen("-namespace"), Ok(vec![]));
        assert_eq!(chosen(""), Ok(vec![]));
    }

    #[test]
    fn all_unknown_words_are_reported() {
        let words: Vec<_> = chosen("*,nmespace,-foo").unwrap_err().into_iter().map(|error| error.word).collect();
        assert_eq!(words, ["nmespace", "foo"]);
    }
}
