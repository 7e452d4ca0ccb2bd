//! The versions of a resource. What all versions have in common is checked once, and named as upstream names it: there it has
//! a place of its own beside the versions.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{conversion, field_path, names, schema};
use crate::field::{Errors, Path};
use crate::kinds::tree::{self, NOTHING, flag, has, list, member, text};
use crate::names::{dns_1035_label, dns_subdomain};

const SCOPES: [&str; 2] = ["Cluster", "Namespaced"];
const COLUMN_TYPES: [&str; 5] = ["boolean", "date", "integer", "number", "string"];
const COLUMN_FORMATS: [&str; 8] = ["byte", "date", "date-time", "double", "float", "int32", "int64", "password"];
const MOST_SELECTABLE: usize = 8;
const LONGEST_WARNING: usize = 256;

/// What an update may leave as it was, though it is refused in what is new.
#[derive(Debug, Clone, Default)]
pub(super) struct Leniency {
    /// Versions without a schema.
    pub(super) no_schema: bool,
    /// Reviews that nobody understands.
    pub(super) any_reviews: bool,
    /// What schemas may be.
    pub(super) schema: schema::Leniency,
    /// Versions (by their names, the empty one for all) with these selectable fields, which are too many.
    selectable: Vec<(String, Vec<Value>)>,
}

impl Leniency {
    /// What follows from the stored object.
    pub(super) fn of(old: &Value) -> Self {
        let common = Common::of(old);
        let many = |fields: &[Value]| fields.len() > MOST_SELECTABLE;
        let mut selectable = vec![(String::new(), common.selectable.to_vec())];
        selectable.extend(
            list(old, "versions")
                .iter()
                .map(|version| (text(version, "name").to_owned(), list(version, "selectableFields").to_vec())),
        );
        selectable.retain(|(_, fields)| many(fields));
        Self {
            no_schema: list(old, "versions").iter().any(|version| !has(member(version, "schema"), "openAPIV3Schema")),
            any_reviews: !conversion::is_recognized(old),
            schema: schema::Leniency::of(old),
            selectable,
        }
    }

    fn allows_fields(&self, version: &str, fields: &[Value]) -> bool {
        self.selectable.iter().any(|(name, old)| name == version && old == fields)
    }
}

/// What all versions have in common; null or empty where they differ.
struct Common<'a> {
    schema: &'a Value,
    subresources: &'a Value,
    columns: &'a [Value],
    selectable: &'a [Value],
    same: Same,
}

#[expect(clippy::struct_excessive_bools, reason = "each is about another member")]
#[derive(Clone, Copy)]
struct Same {
    schema: bool,
    subresources: bool,
    columns: bool,
    selectable: bool,
}

impl<'a> Common<'a> {
    fn of(spec: &'a Value) -> Self {
        let versions = list(spec, "versions");
        let first = versions.first().unwrap_or(NOTHING);
        let equal = |name: &str| versions.iter().all(|version| member(version, name) == member(first, name));
        let schema = equal("schema");
        let same = Same {
            schema,
            subresources: equal("subresources"),
            columns: equal("additionalPrinterColumns"),
            selectable: schema && equal("selectableFields"),
        };
        Self {
            schema: if same.schema { member(first, "schema") } else { NOTHING },
            subresources: if same.subresources { member(first, "subresources") } else { NOTHING },
            columns: if same.columns { list(first, "additionalPrinterColumns") } else { &[] },
            selectable: if same.selectable { list(first, "selectableFields") } else { &[] },
            same,
        }
    }
}

/// Checks `spec`.
pub(super) fn validate(spec: &Value, lenient: &Leniency, errors: &mut Errors) {
    let path = Path::new("spec");
    validate_group(text(spec, "group"), &path.child("group"), errors);
    tree::one_of(spec, "scope", &SCOPES, &path, errors);
    let common = Common::of(spec);
    let (versions, at) = (list(spec, "versions"), path.child("versions"));
    require_schemas(spec, &common, lenient, &at, errors);
    let preserves = flag(spec, "preserveUnknownFields");
    let with = |wanted: fn(&Value) -> bool| schema::roots(spec).any(|root| schema::any(root, &wanted));
    if preserves && with(|schema| has(schema, "default")) {
        let why = "must be false in order to use defaults in the schema";
        errors.invalid(&path.child("preserveUnknownFields"), true, why);
    }
    let mut rules = lenient.schema;
    rules.not_structural &= preserves && !with(|schema| has(schema, "default")) && !with(schema::is_extended);

    let mut seen = BTreeSet::new();
    let mut unique = true;
    for (index, version) in versions.iter().enumerate() {
        let at = at.index(index);
        unique &= seen.insert(text(version, "name"));
        let wrong = dns_1035_label(text(version, "name"));
        if !wrong.is_empty() {
            errors.invalid(&at.child("name"), text(version, "name"), &wrong.join(","));
        }
        validate_version(version, &common, lenient, rules, &at, errors);
    }
    if !unique {
        errors.invalid(&at, versions.to_vec(), "must contain unique version names");
    }
    if versions.iter().filter(|version| flag(version, "storage")).count() != 1 {
        errors.invalid(&at, versions.to_vec(), "must have exactly one version marked as storage version");
    }

    let all_names = member(spec, "names");
    names::require(all_names, &path.child("names"), errors);
    names::validate(all_names, &path.child("names"), errors);
    let any_status = versions.iter().any(|version| has(member(version, "subresources"), "status"));
    schema::validate(common.schema, any_status, rules, &path.child("validation"), errors);
    validate_subresources(common.subresources, &path.child("subresources"), errors);
    validate_columns(common.columns, &path.child("additionalPrinterColumns"), errors);
    if !common.selectable.is_empty() {
        let at = path.child("selectableFields");
        if common.schema.is_null() {
            errors.invalid(&at, "", "may only be set when validations.schema is included");
        } else {
            let schema = member(common.schema, "openAPIV3Schema");
            let many = lenient.allows_fields("", common.selectable);
            validate_selectable(common.selectable, schema, many, &at, errors);
        }
    }
    let (conversion, at) = (member(spec, "conversion"), path.child("conversion"));
    let strategy = text(conversion, "strategy");
    if preserves && !conversion.is_null() && strategy != "None" {
        let why = "must be None if spec.preserveUnknownFields is true";
        errors.invalid(&at.child("strategy"), strategy, why);
    }
    conversion::validate(conversion, !lenient.any_reviews, &at, errors);
}

fn validate_group(group: &str, path: &Path, errors: &mut Errors) {
    let wrong = dns_subdomain(group);
    if group.is_empty() {
        errors.required(path, "");
    } else if !wrong.is_empty() {
        errors.invalid(path, group, &wrong.join(","));
    } else if !group.contains('.') {
        errors.invalid(path, group, "should be a domain with at least one dot");
    }
}

/// Every version needs a schema; where an old object had one without, only those that are served.
fn require_schemas(spec: &Value, common: &Common<'_>, lenient: &Leniency, path: &Path, errors: &mut Errors) {
    if has(common.schema, "openAPIV3Schema") || lenient.no_schema && flag(spec, "preserveUnknownFields") {
        return;
    }
    for (index, version) in list(spec, "versions").iter().enumerate() {
        let missing = common.same.schema || !has(member(version, "schema"), "openAPIV3Schema");
        let path = path.index(index).child("schema").child("openAPIV3Schema");
        match (missing, lenient.no_schema) {
            (true, false) => errors.required(&path, ""),
            (true, true) if flag(version, "served") => {
                errors.required(&path, "because otherwise all fields are pruned");
            }
            (true | false, _) => {}
        }
    }
}

/// Checks what a version has for itself.
fn validate_version(
    version: &Value,
    common: &Common<'_>,
    lenient: &Leniency,
    rules: schema::Leniency,
    path: &Path,
    errors: &mut Errors,
) {
    let warning = member(version, "deprecationWarning");
    for why in wrong_warning(flag(version, "deprecated"), warning.as_str()) {
        errors.invalid(&path.child("deprecationWarning"), warning.clone(), &why);
    }
    let own = |same: bool, name: &str| if same { NOTHING } else { member(version, name) };
    let (schema, subresources) = (own(common.same.schema, "schema"), own(common.same.subresources, "subresources"));
    let has_status = has(member(version, "subresources"), "status");
    schema::validate(schema, has_status, rules, &path.child("schema"), errors);
    validate_subresources(subresources, &path.child("subresources"), errors);
    let columns = if common.same.columns { &[] } else { list(version, "additionalPrinterColumns") };
    validate_columns(columns, &path.child("additionalPrinterColumns"), errors);
    let fields = if common.same.selectable { &[] } else { list(version, "selectableFields") };
    if fields.is_empty() {
        return;
    }
    let at = path.child("selectableFields");
    if !has(schema, "openAPIV3Schema") {
        return errors.invalid(&at, "", "may only be set when `version.schema.openAPIV3Schema` is not included");
    }
    let many = lenient.allows_fields(text(version, "name"), fields);
    validate_selectable(fields, member(schema, "openAPIV3Schema"), many, &at, errors);
}

fn wrong_warning(deprecated: bool, warning: Option<&str>) -> Vec<String> {
    let Some(warning) = warning else { return Vec::new() };
    if !deprecated {
        return vec!["can only be set for deprecated versions".to_owned()];
    }
    let mut wrong = Vec::new();
    if warning.len() > LONGEST_WARNING {
        wrong.push(format!("must be <= {LONGEST_WARNING} characters long"));
    }
    if warning.is_empty() {
        wrong.push("must not be an empty string".to_owned());
    }
    if let Some((at, _)) = warning.char_indices().find(|(_, c)| c.is_control() || c.is_whitespace() && *c != ' ') {
        wrong
            .push(format!("must only contain printable UTF-8 characters; non-printable character found at index {at}"));
    }
    wrong
}

fn validate_columns(columns: &[Value], path: &Path, errors: &mut Errors) {
    for (index, column) in columns.iter().enumerate() {
        let path = path.index(index);
        if text(column, "name").is_empty() {
            errors.required(&path.child("name"), "");
        }
        let types = format!("must be one of {}", COLUMN_TYPES.join(","));
        match text(column, "type") {
            "" => errors.required(&path.child("type"), &types),
            kind if !COLUMN_TYPES.contains(&kind) => errors.invalid(&path.child("type"), kind, &types),
            _ => {}
        }
        let format = text(column, "format");
        if !format.is_empty() && !COLUMN_FORMATS.contains(&format) {
            let why = format!("must be one of {}", COLUMN_FORMATS.join(","));
            errors.invalid(&path.child("format"), format, &why);
        }
        match text(column, "jsonPath") {
            "" => errors.required(&path.child("JSONPath"), ""),
            given => {
                is_simple(given, &path.child("JSONPath"), errors);
            }
        }
    }
}

/// Checks a path of members, and says whether it is one.
fn is_simple(given: &str, path: &Path, errors: &mut Errors) -> bool {
    let simple = given.starts_with('.');
    if !simple {
        errors.invalid(path, given, "must be a simple json path starting with .");
    }
    simple
}

fn validate_subresources(subresources: &Value, path: &Path, errors: &mut Errors) {
    let scale = member(subresources, "scale");
    if scale.is_null() {
        return;
    }
    for (name, roots, required, why) in [
        ("specReplicasPath", &[".spec."][..], true, "should be a json path under .spec"),
        ("statusReplicasPath", &[".status."], true, "should be a json path under .status"),
        ("labelSelectorPath", &[".spec.", ".status."], false, "should be a json path under either .spec or .status"),
    ] {
        let path = path.child("scale").child(name);
        let given = text(scale, name);
        if given.is_empty() {
            if required {
                errors.required(&path, "");
            }
        } else if is_simple(given, &path, errors) && !roots.iter().any(|root| given.starts_with(root)) {
            errors.invalid(&path, given, why);
        }
    }
}

fn validate_selectable(fields: &[Value], schema: &Value, many: bool, path: &Path, errors: &mut Errors) {
    let mut seen = BTreeSet::new();
    for (index, field) in fields.iter().enumerate() {
        let (path, given) = (path.index(index).child("jsonPath"), text(field, "jsonPath"));
        if given.is_empty() {
            errors.required(&path, "");
            continue;
        }
        let (steps, found) = match field_path::resolve(given, schema, false) {
            Ok(found) => found,
            Err(why) => {
                errors.invalid(&path, given, &format!("is an invalid path: {why}"));
                continue;
            }
        };
        if steps.first().is_some_and(|step| step == "metadata") {
            errors.invalid(&path, given, "must not point to fields in metadata");
        }
        if !["string", "boolean", "integer"].contains(&text(found, "type")) {
            let why = "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.";
            errors.invalid(&path, given, why);
        }
        if !seen.insert(steps) {
            errors.duplicate(&path, given);
        }
    }
    if seen.len() > MOST_SELECTABLE && !many {
        errors.too_many(path, seen.len(), MOST_SELECTABLE);
    }
}
