//! Options of create, update and patch.

use super::{flag, last};
use crate::decode::FieldValidation;
use crate::field::{Errors, Path};
use crate::names;
use crate::status::Status;

/// Options of create, update and patch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WriteOptions {
    /// `dryRun=All`: everything but the write.
    pub dry_run: bool,
    /// Who writes, for managed fields.
    pub field_manager: Option<String>,
    /// What to do about unknown fields.
    pub field_validation: FieldValidation,
    /// Apply patches only.
    pub force: Option<bool>,
}

/// Which write the options belong to: the kind's name is part of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Write {
    /// POST
    Create,
    /// PUT
    Update,
    /// PATCH
    Patch,
    /// PATCH with a configuration to apply
    Apply,
}

impl Write {
    fn kind(self) -> &'static str {
        match self {
            Self::Create => "CreateOptions",
            Self::Update => "UpdateOptions",
            Self::Patch | Self::Apply => "PatchOptions",
        }
    }
}

impl WriteOptions {
    /// Reads decoded query parameters.
    ///
    /// # Errors
    ///
    /// 422 as upstream.
    pub fn parse(write: Write, query: &[(String, String)]) -> Result<Self, Status> {
        let mut errors = Errors::new();
        let force = flag(query, "force");
        if write == Write::Patch && force.is_some() {
            errors.forbidden(&Path::new("force"), "may not be specified for non-apply patch");
        }
        let path = Path::new("fieldManager");
        let field_manager = last(query, "fieldManager").filter(|text| !text.is_empty());
        match field_manager {
            Some(manager) => names::check_manager(manager, &path, &mut errors),
            None if write == Write::Apply => errors.required(&path, "is required for apply patch"),
            None => {}
        }
        let dry_run = dry_run(query, &mut errors);
        let field_validation = match last(query, "fieldValidation") {
            None | Some("" | "Warn") => FieldValidation::Warn,
            Some("Ignore") => FieldValidation::Ignore,
            Some("Strict") => FieldValidation::Strict,
            Some(other) => {
                errors.not_supported(&Path::new("fieldValidation"), other, &["", "Ignore", "Warn", "Strict"]);
                FieldValidation::Warn
            }
        };
        if !errors.is_empty() {
            return Err(Status::invalid("meta.k8s.io", write.kind(), "", &errors));
        }
        Ok(Self { dry_run, field_manager: field_manager.map(str::to_owned), field_validation, force })
    }
}

/// Reads all `dryRun` parameters: only `All` is known.
pub(super) fn dry_run(query: &[(String, String)], errors: &mut Errors) -> bool {
    let values: Vec<&str> = query
        .iter()
        .filter(|(name, value)| name == "dryRun" && !value.is_empty())
        .map(|(_, value)| value.as_str())
        .collect();
    check_dry_run(&values, errors)
}

/// Checks `dryRun` values from wherever they come.
pub(super) fn check_dry_run(values: &[&str], errors: &mut Errors) -> bool {
    if values.iter().any(|value| *value != "All") {
        let all: Vec<serde_json::Value> = values.iter().map(|value| (*value).into()).collect();
        errors.not_supported(&Path::new("dryRun"), all, &["All"]);
    }
    !values.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(write: Write, pairs: &[(&str, &str)]) -> Result<WriteOptions, String> {
        let query: Vec<(String, String)> = pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        WriteOptions::parse(write, &query).map_err(|status| status.message)
    }

    #[test]
    fn parameters_are_read() {
        let options =
            parse(Write::Create, &[("dryRun", "All"), ("fieldManager", "kubectl"), ("fieldValidation", "Strict")]);
        assert_eq!(
            options,
            Ok(WriteOptions {
                dry_run: true,
                field_manager: Some("kubectl".into()),
                field_validation: FieldValidation::Strict,
                force: None
            })
        );
    }

    #[test]
    fn who_applies_must_say_so() {
        assert_eq!(
            parse(Write::Apply, &[("force", "true")]),
            Err("PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch"
                .into())
        );
        let options = parse(Write::Apply, &[("force", "true"), ("fieldManager", "a")]);
        assert_eq!(options.map(|options| options.force), Ok(Some(true)));
        assert_eq!(
            parse(Write::Create, &[("fieldManager", "a\n")]),
            Err("CreateOptions.meta.k8s.io \"\" is invalid: fieldManager: Invalid value: \"a\\n\": invalid character U+000A (at position 1)".into())
        );
    }

    #[test]
    fn wrong_ones_are_named() {
        assert_eq!(
            parse(Write::Update, &[("dryRun", "x"), ("fieldValidation", "y")]),
            Err("UpdateOptions.meta.k8s.io \"\" is invalid: [dryRun: Unsupported value: [\"x\"]: supported values: \"All\", fieldValidation: Unsupported value: \"y\": supported values: \"\", \"Ignore\", \"Warn\", \"Strict\"]".into())
        );
        assert_eq!(
            parse(Write::Patch, &[("force", "true")]),
            Err("PatchOptions.meta.k8s.io \"\" is invalid: force: Forbidden: may not be specified for non-apply patch"
                .into())
        );
    }
}
