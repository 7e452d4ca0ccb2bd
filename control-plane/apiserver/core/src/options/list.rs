//! Options of get, list, watch and deletecollection.

use super::{flag, integer, last, resource_version};
use crate::field::{Errors, Path};
use crate::resource::Resource;
use crate::selector::{FieldSelector, LabelSelector, Selection};
use crate::status::Status;

/// Which state a list or watch asks for. See upstream's table of `resourceVersion` semantics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum VersionMatch {
    /// Not said.
    #[default]
    Unset,
    /// This version or a newer one.
    NotOlderThan,
    /// Exactly this version.
    Exact,
}

/// Options of list, watch and deletecollection.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListOptions {
    /// Which objects.
    pub selection: Selection,
    /// GET of the collection with `watch=true`.
    pub watch: bool,
    /// Whether the client knows bookmarks.
    pub allow_watch_bookmarks: bool,
    /// A streaming list.
    pub send_initial_events: Option<bool>,
    /// `None`: unset, the newest state. `Some(0)`: any state.
    pub resource_version: Option<u64>,
    /// How to read it.
    pub version_match: VersionMatch,
    /// When the client wants the watch to end.
    pub timeout_seconds: Option<u64>,
    /// At most so many items; `None` for all.
    pub limit: Option<usize>,
    /// Where to go on. Read it with [`crate::continuation::Continuation::decode`].
    pub continue_token: Option<String>,
}

impl ListOptions {
    /// Reads decoded query parameters and checks them against each other.
    ///
    /// # Errors
    ///
    /// 400 and 422 as upstream.
    pub fn parse(resource: &Resource, query: &[(String, String)]) -> Result<Self, Status> {
        let text = |name: &str| last(query, name).filter(|text| !text.is_empty());
        let labels = LabelSelector::parse(text("labelSelector").unwrap_or_default()).map_err(Status::bad_request)?;
        let fields =
            FieldSelector::parse(text("fieldSelector").unwrap_or_default(), resource).map_err(Status::bad_request)?;
        let watch = flag(query, "watch").unwrap_or(false);
        let version = resource_version(text("resourceVersion"));
        let options = Self {
            selection: Selection { labels, fields },
            watch,
            allow_watch_bookmarks: flag(query, "allowWatchBookmarks").unwrap_or(false),
            send_initial_events: flag(query, "sendInitialEvents"),
            resource_version: version.clone().unwrap_or(None),
            version_match: match text("resourceVersionMatch") {
                Some("Exact") => VersionMatch::Exact,
                Some("NotOlderThan") => VersionMatch::NotOlderThan,
                Some(_) | None => VersionMatch::Unset,
            },
            timeout_seconds: integer(query, "timeoutSeconds")?.and_then(|seconds| u64::try_from(seconds).ok()),
            limit: integer(query, "limit")?.and_then(|limit| usize::try_from(limit).ok()).filter(|limit| *limit > 0),
            continue_token: text("continue").map(str::to_owned),
        };
        let mut errors = Errors::new();
        options.check(text("resourceVersion"), text("resourceVersionMatch"), &mut errors);
        if !errors.is_empty() {
            return Err(Status::invalid("meta.k8s.io", "ListOptions", "", &errors));
        }
        if !options.watch && options.continue_token.is_some() && !matches!(text("resourceVersion"), None | Some("0")) {
            return Err(Status::bad_request("specifying resource version is not allowed when using continue"));
        }
        if let Err(why) = version {
            let mut errors = Errors::new();
            errors.invalid(&Path::new("resourceVersion"), text("resourceVersion").unwrap_or_default(), &why);
            return Err(Status::invalid("meta.k8s.io", "ListOptions", "", &errors));
        }
        Ok(options)
    }

    fn check(&self, version: Option<&str>, matching: Option<&str>, errors: &mut Errors) {
        let path = Path::new("resourceVersionMatch");
        if self.watch {
            return self.check_watch(matching, &path, errors);
        }
        if let Some(wanted) = matching {
            if version.is_none() {
                errors.forbidden(&path, "resourceVersionMatch is forbidden unless resourceVersion is provided");
            }
            if self.continue_token.is_some() {
                errors.forbidden(&path, "resourceVersionMatch is forbidden when continue is provided");
            }
            if !["Exact", "NotOlderThan"].contains(&wanted) {
                errors.not_supported(&path, wanted, &["Exact", "NotOlderThan", ""]);
            }
            if wanted == "Exact" && version == Some("0") {
                errors.forbidden(&path, "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"");
            }
        }
        if self.send_initial_events.is_some() {
            errors.forbidden(&Path::new("sendInitialEvents"), "sendInitialEvents is forbidden for list");
        }
    }

    fn check_watch(&self, matching: Option<&str>, path: &Path, errors: &mut Errors) {
        const WANTED: &str = "NotOlderThan";
        if self.send_initial_events.is_some() && matching != Some(WANTED) {
            errors.forbidden(path, "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan");
        }
        let Some(matching) = matching else { return };
        if self.send_initial_events.is_none() {
            errors.forbidden(path, "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided");
        }
        if matching != WANTED {
            errors.not_supported(path, matching, &[WANTED]);
        }
        if self.continue_token.is_some() {
            errors.forbidden(path, "resourceVersionMatch is forbidden when continue is provided");
        }
    }
}

/// Options of get.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GetOptions {
    /// As in [`ListOptions`].
    pub resource_version: Option<u64>,
}

impl GetOptions {
    /// Reads decoded query parameters.
    ///
    /// # Errors
    ///
    /// 422 for a resource version that is no number.
    pub fn parse(query: &[(String, String)]) -> Result<Self, Status> {
        let text = last(query, "resourceVersion");
        match resource_version(text) {
            Ok(resource_version) => Ok(Self { resource_version }),
            Err(why) => {
                let mut errors = Errors::new();
                errors.invalid(&Path::new("resourceVersion"), text.unwrap_or_default(), &why);
                Err(Status::invalid("meta.k8s.io", "GetOptions", "", &errors))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Registry;

    fn parse(pairs: &[(&str, &str)]) -> Result<ListOptions, (u16, String)> {
        let query: Vec<(String, String)> = pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        let registry = Registry::built_in();
        let pods = registry.lookup("", "v1", "pods").expect("a built-in resource");
        ListOptions::parse(pods, &query).map_err(|status| (status.code, status.message))
    }

    #[test]
    fn plain_parameters_are_read() {
        let options = parse(&[
            ("watch", ""),
            ("allowWatchBookmarks", "true"),
            ("resourceVersion", "7"),
            ("timeoutSeconds", "30"),
            ("limit", "0"),
            ("fieldSelector", "metadata.name=a"),
        ])
        .expect("good options");
        assert!(options.watch && options.allow_watch_bookmarks);
        assert_eq!((options.resource_version, options.timeout_seconds, options.limit), (Some(7), Some(30), None));
        assert_eq!(options.selection.fields.required("metadata.name"), Some("a"));
    }

    #[test]
    fn contradictions_are_refused_in_upstreams_words() {
        for (pairs, code, wanted) in [
            (
                &[("resourceVersionMatch", "Exact")][..],
                422,
                "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided",
            ),
            (
                &[("resourceVersionMatch", "Exact"), ("resourceVersion", "0")],
                422,
                "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
            ),
            (
                &[("sendInitialEvents", "true")],
                422,
                "ListOptions.meta.k8s.io \"\" is invalid: sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list",
            ),
            (
                &[("watch", "1"), ("sendInitialEvents", "true")],
                422,
                "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
            ),
            (
                &[("watch", "1"), ("resourceVersionMatch", "NotOlderThan")],
                422,
                "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
            ),
            (
                &[("watch", "1"), ("sendInitialEvents", "true"), ("resourceVersionMatch", "Exact"), ("continue", "x")],
                422,
                "ListOptions.meta.k8s.io \"\" is invalid: [resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan, resourceVersionMatch: Unsupported value: \"Exact\": supported values: \"NotOlderThan\", resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden when continue is provided]",
            ),
            (
                &[("continue", "x"), ("resourceVersion", "7")],
                400,
                "specifying resource version is not allowed when using continue",
            ),
            (
                &[("resourceVersionMatch", "Never"), ("resourceVersion", "7")],
                422,
                "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Unsupported value: \"Never\": supported values: \"Exact\", \"NotOlderThan\", \"\"",
            ),
            (&[("limit", "x")], 400, "strconv.ParseInt: parsing \"x\": invalid syntax"),
            (&[("fieldSelector", "x=y")], 400, "field label not supported: x"),
            (
                &[("resourceVersion", "x")],
                422,
                "ListOptions.meta.k8s.io \"\" is invalid: resourceVersion: Invalid value: \"x\": strconv.ParseUint: parsing \"x\": invalid syntax",
            ),
        ] {
            assert_eq!(parse(pairs), Err((code, wanted.to_owned())));
        }
        assert!(
            parse(&[("watch", "1"), ("sendInitialEvents", "true"), ("resourceVersionMatch", "NotOlderThan")]).is_ok()
        );
    }
}
