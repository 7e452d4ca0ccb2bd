//! Which configuration is in effect: the stored one, else the one that came with the machine, else the built-in one.

use machine::MachineConfig;

/// A configuration that was kept on the state partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its number, from 1.
    pub generation: u64,
    /// The text, if it could be read.
    pub text: Result<String, String>,
}

/// What was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// What is in effect.
    pub config: MachineConfig,
    /// Its number; 0 for the built-in one.
    pub generation: u64,
    /// To be written to the state partition, as generation 1.
    pub keep: Option<String>,
    /// What the operator should know.
    pub finding: Finding,
}

/// What the operator should know about the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// Nothing.
    Fine,
    /// Good to know.
    Note(String),
    /// What the operator wants is not known, so no service may start and no disk may be formatted.
    Hold(String),
}

/// Decides. `provided` is the text that came with the machine and where it came from.
#[must_use]
pub fn choose(stored: Option<Stored>, provided: Option<(&str, &str)>) -> Choice {
    if let Some(stored) = stored {
        return from_state(&stored, provided);
    }
    let Some((text, origin)) = provided else {
        return Choice { config: MachineConfig::default(), generation: 0, keep: None, finding: Finding::Fine };
    };
    match MachineConfig::parse(text) {
        Ok(config) => Choice { config, generation: 1, keep: Some(text.to_owned()), finding: Finding::Fine },
        Err(problems) => hold(format!("the configuration from {origin} is wrong: {problems}")),
    }
}

fn from_state(stored: &Stored, provided: Option<(&str, &str)>) -> Choice {
    let generation = stored.generation;
    let text = match &stored.text {
        Ok(text) => text,
        Err(why) => return hold(format!("the stored configuration (generation {generation}) cannot be read: {why}")),
    };
    match MachineConfig::parse(text) {
        Ok(config) => {
            let finding = match provided {
                Some((other, origin)) if other != text => Finding::Note(format!(
                    "the configuration from {origin} is not used, because generation {generation} is stored"
                )),
                Some(_) | None => Finding::Fine,
            };
            Choice { config, generation, keep: None, finding }
        }
        Err(problems) => hold(format!("the stored configuration (generation {generation}) is wrong: {problems}")),
    }
}

fn hold(why: String) -> Choice {
    Choice { config: MachineConfig::default(), generation: 0, keep: None, finding: Finding::Hold(why) }
}

/// The newest generation among the names of a folder: `<number>.yaml`.
#[must_use]
pub fn newest<'a>(names: impl IntoIterator<Item = &'a str>) -> Option<u64> {
    names
        .into_iter()
        .filter_map(|name| {
            let number = name.strip_suffix(".yaml")?;
            let plain = !number.starts_with('0') && number.bytes().all(|byte| byte.is_ascii_digit());
            if plain { number.parse().ok() } else { None }
        })
        .max()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "apiVersion: orlop.dev/v1alpha1\nkind: MachineConfig\nmachine: {hostname: a}\n";
    const OTHER: &str = "apiVersion: orlop.dev/v1alpha1\nkind: MachineConfig\nmachine: {hostname: b}\n";
    const BAD: &str = "apiVersion: orlop.dev/v1alpha1\nkind: MachineConfig\nmachine: {hostnam: a}\n";

    fn stored(text: &str) -> Stored {
        Stored { generation: 7, text: Ok(text.into()) }
    }

    #[test]
    fn what_is_stored_wins() {
        let choice = choose(Some(stored(GOOD)), Some((OTHER, "fw_cfg")));
        assert_eq!((choice.generation, choice.config.machine.hostname.as_deref()), (7, Some("a")));
        assert!(matches!(choice.finding, Finding::Note(_)));
        assert_eq!(choose(Some(stored(GOOD)), Some((GOOD, "fw_cfg"))).finding, Finding::Fine);
        assert_eq!(choose(Some(stored(GOOD)), None).finding, Finding::Fine);
    }

    #[test]
    fn what_comes_with_the_machine_becomes_generation_one() {
        let choice = choose(None, Some((GOOD, "fw_cfg")));
        assert_eq!((choice.generation, choice.keep.as_deref()), (1, Some(GOOD)));
        let built_in = choose(None, None);
        assert_eq!((built_in.generation, built_in.keep, built_in.finding), (0, None, Finding::Fine));
    }

    #[test]
    fn a_wrong_configuration_holds_everything_and_is_not_kept() {
        let choice = choose(None, Some((BAD, "fw_cfg")));
        assert_eq!((choice.generation, &choice.keep), (0, &None));
        let Finding::Hold(why) = &choice.finding else { panic!("{choice:?}") };
        assert!(why.contains("line 3: machine.hostnam: there is no such field"), "{why}");
        assert!(matches!(choose(Some(stored(BAD)), Some((GOOD, "fw_cfg"))).finding, Finding::Hold(_)));
        let unreadable = Some(Stored { generation: 1, text: Err("EIO".into()) });
        assert!(matches!(choose(unreadable, None).finding, Finding::Hold(_)));
    }

    #[test]
    fn the_newest_generation_is_found() {
        assert_eq!(newest(["1.yaml", "10.yaml", "9.yaml", "11.yaml.new", "x.yaml", "012.yaml", ".yaml"]), Some(10));
        assert_eq!(newest([]), None);
    }
}
