//! What can be done on which path: the common ground of both `OpenAPI` versions.

use std::collections::BTreeSet;

use crate::resource::{Resource, Verb};

const STATUS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Status";
const DELETE_OPTIONS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions";

/// One method on one path.
pub(super) struct Operation {
    pub(super) path: String,
    pub(super) method: &'static str,
    pub(super) id: String,
    pub(super) tag: String,
    pub(super) description: String,
    /// `x-kubernetes-action`.
    pub(super) action: &'static str,
    pub(super) kind: (String, String, String),
    /// Definition of the body; `None` for no body, an empty name for a patch.
    pub(super) body: Option<String>,
    pub(super) response: String,
    /// Codes of success besides 200.
    pub(super) more_codes: &'static [&'static str],
    pub(super) parameters: Vec<Parameter>,
    /// Names in the path.
    pub(super) path_parameters: Vec<Parameter>,
}

/// One parameter.
#[derive(Clone, Copy)]
pub(super) struct Parameter {
    pub(super) name: &'static str,
    pub(super) kind: &'static str,
    pub(super) in_path: bool,
    pub(super) description: &'static str,
}

const fn query(name: &'static str, kind: &'static str, description: &'static str) -> Parameter {
    Parameter { name, kind, in_path: false, description }
}

const PRETTY: Parameter = query(
    "pretty",
    "string",
    "If 'true', then the output is pretty printed. Defaults to 'false' unless the user-agent indicates a browser or command-line HTTP tool (curl and wget).",
);
const DRY_RUN: Parameter = query(
    "dryRun",
    "string",
    "When present, indicates that modifications should not be persisted. Valid values are: All (all dry run stages will be processed).",
);
const FIELD_MANAGER: Parameter = query(
    "fieldManager",
    "string",
    "fieldManager is a name associated with the actor or entity that is making these changes. The value must be less than or 128 characters long, and only contain printable characters.",
);
const FIELD_VALIDATION: Parameter = query(
    "fieldValidation",
    "string",
    "fieldValidation instructs the server on how to handle objects in the request (POST/PUT/PATCH) containing unknown or duplicate fields. Valid values are: Ignore, Warn, Strict.",
);
const FORCE: Parameter = query(
    "force",
    "boolean",
    "Force is going to \"force\" Apply requests. Must be unset for non-apply patch requests.",
);
const DELETE: [Parameter; 5] = [
    PRETTY,
    DRY_RUN,
    query(
        "gracePeriodSeconds",
        "integer",
        "The duration in seconds before the object should be deleted. Value must be non-negative integer.",
    ),
    query(
        "orphanDependents",
        "boolean",
        "Deprecated: please use the PropagationPolicy. Should the dependent objects be orphaned.",
    ),
    query(
        "propagationPolicy",
        "string",
        "Whether and how garbage collection will be performed: 'Orphan', 'Background' or 'Foreground'.",
    ),
];
const LIST: [Parameter; 11] = [
    PRETTY,
    query("allowWatchBookmarks", "boolean", "allowWatchBookmarks requests watch events with type \"BOOKMARK\"."),
    query("continue", "string", "The continue option should be set when retrieving more results from the server."),
    query(
        "fieldSelector",
        "string",
        "A selector to restrict the list of returned objects by their fields. Defaults to everything.",
    ),
    query(
        "labelSelector",
        "string",
        "A selector to restrict the list of returned objects by their labels. Defaults to everything.",
    ),
    query("limit", "integer", "limit is a maximum number of responses to return for a list call."),
    query(
        "resourceVersion",
        "string",
        "resourceVersion sets a constraint on what resource versions a request may be served from.",
    ),
    query(
        "resourceVersionMatch",
        "string",
        "resourceVersionMatch determines how resourceVersion is applied to list calls.",
    ),
    query("sendInitialEvents", "boolean", "`sendInitialEvents=true` may be set together with `watch=true`."),
    query("timeoutSeconds", "integer", "Timeout for the list/watch call."),
    query(
        "watch",
        "boolean",
        "Watch for changes to the described resources and return them as a stream of add, update, and remove notifications.",
    ),
];
const NAMESPACE: Parameter = Parameter {
    name: "namespace",
    kind: "string",
    in_path: true,
    description: "object name and auth scope, such as for teams and projects",
};
const NAME: Parameter = Parameter { name: "name", kind: "string", in_path: true, description: "name of the object" };

/// All operations of these resources.
pub(super) fn of(rows: &[&Resource]) -> Vec<Operation> {
    rows.iter().flat_map(|row| Paths::of(row).operations()).collect()
}

/// Names of the definitions that operations refer to.
pub(super) fn definitions(operations: &[Operation]) -> BTreeSet<String> {
    operations
        .iter()
        .flat_map(|one| one.body.iter().chain([&one.response]))
        .filter(|name| !name.is_empty())
        .cloned()
        .chain([STATUS.to_owned(), DELETE_OPTIONS.to_owned()])
        .collect()
}

/// A resource with what its paths begin with.
struct Paths<'a> {
    row: &'a Resource,
    root: String,
    collection: String,
    tag: String,
    path_parameters: Vec<Parameter>,
}

impl<'a> Paths<'a> {
    fn of(row: &'a Resource) -> Self {
        let root = if row.group.is_empty() {
            format!("/api/{}", row.version)
        } else {
            format!("/apis/{}/{}", row.group, row.version)
        };
        let (collection, path_parameters) = if row.is_namespaced() {
            (format!("{root}/namespaces/{{namespace}}/{}", row.plural), vec![NAMESPACE])
        } else {
            (format!("{root}/{}", row.plural), Vec::new())
        };
        let group = if row.group.is_empty() { "core" } else { row.group.split('.').next().unwrap_or_default() };
        Self { row, root, collection, tag: format!("{group}_{}", row.version), path_parameters }
    }

    fn operations(&self) -> Vec<Operation> {
        let row = self.row;
        let list = format!("{}List", row.schema);
        let item = format!("{}/{{name}}", self.collection);
        let mut all = Vec::new();
        let mut add = |verb: Verb, operation: Operation| {
            if row.allows(verb) {
                all.push(operation);
            }
        };
        if row.is_namespaced() {
            let mut everywhere =
                self.operation(&format!("{}/{}", self.root, row.plural), "get", "list", "list or watch objects", &LIST);
            everywhere.id.push_str("ForAllNamespaces");
            everywhere.path_parameters.clear();
            everywhere.response.clone_from(&list);
            add(Verb::List, everywhere);
        }
        let mut listing = self.operation(&self.collection, "get", "list", "list or watch objects", &LIST);
        listing.response = list;
        add(Verb::List, listing);
        let create = [PRETTY, DRY_RUN, FIELD_MANAGER, FIELD_VALIDATION];
        let mut post = self.operation(&self.collection, "post", "post", "create", &create);
        post.body = Some(row.schema.clone());
        post.more_codes = &["201", "202"];
        add(Verb::Create, post);
        let mut delete_many: Vec<Parameter> = DELETE.to_vec();
        delete_many.extend(LIST.iter().filter(|one| !["pretty", "watch", "allowWatchBookmarks"].contains(&one.name)));
        let mut clear =
            self.operation(&self.collection, "delete", "deletecollection", "delete collection of", &delete_many);
        clear.body = Some(DELETE_OPTIONS.to_owned());
        STATUS.clone_into(&mut clear.response);
        add(Verb::DeleteCollection, clear);
        for (verb, method, action) in [
            (Verb::Get, "get", "get"),
            (Verb::Update, "put", "put"),
            (Verb::Patch, "patch", "patch"),
            (Verb::Delete, "delete", "delete"),
        ] {
            add(verb, self.item_operation(&item, method, action, &row.schema));
        }
        for sub in row.subresources.iter().filter(|sub| !sub.connects) {
            let path = format!("{item}/{}", sub.name);
            for verb in &sub.verbs {
                let (method, action) = match verb {
                    Verb::Get => ("get", "get"),
                    Verb::Update => ("put", "put"),
                    Verb::Patch => ("patch", "patch"),
                    Verb::Create => ("post", "post"),
                    Verb::Delete => ("delete", "delete"),
                    Verb::List | Verb::Watch | Verb::DeleteCollection => continue,
                };
                let mut operation = self.item_operation(&path, method, action, &sub.schema);
                operation.kind = (sub.group.clone(), sub.version.clone(), sub.kind.clone());
                operation.id = format!("{}{}", operation.id, capitalized(&sub.name));
                all.push(operation);
            }
        }
        all
    }

    fn item_operation(&self, path: &str, method: &'static str, action: &'static str, schema: &str) -> Operation {
        let write = [PRETTY, DRY_RUN, FIELD_MANAGER, FIELD_VALIDATION];
        let patch = [PRETTY, DRY_RUN, FIELD_MANAGER, FIELD_VALIDATION, FORCE];
        let (words, parameters): (&str, &[Parameter]) = match method {
            "get" => ("read the specified", &[PRETTY]),
            "put" => ("replace the specified", &write),
            "patch" => ("partially update the specified", &patch),
            "post" => ("create", &write),
            _ => ("delete", &DELETE),
        };
        let mut operation = self.operation(path, method, action, words, parameters);
        operation.path_parameters.insert(0, NAME);
        schema.clone_into(&mut operation.response);
        match method {
            "put" | "post" => {
                operation.body = Some(schema.to_owned());
                operation.more_codes = &["201"];
            }
            "patch" => {
                operation.body = Some(String::new());
                operation.more_codes = &["201"];
            }
            "delete" => {
                operation.body = Some(DELETE_OPTIONS.to_owned());
                operation.more_codes = &["202"];
                if !self.row.returns_deleted {
                    STATUS.clone_into(&mut operation.response);
                }
            }
            _ => {}
        }
        operation
    }

    fn operation(
        &self,
        path: &str,
        method: &'static str,
        action: &'static str,
        words: &str,
        parameters: &[Parameter],
    ) -> Operation {
        let verb = match action {
            "list" => "list",
            "deletecollection" => "deleteCollection",
            "get" => "read",
            "post" => "create",
            "put" => "replace",
            other => other,
        };
        let scope = if self.row.is_namespaced() { "Namespaced" } else { "" };
        let tag: String = self.tag.split('_').map(capitalized).collect();
        Operation {
            path: path.to_owned(),
            method,
            id: format!("{verb}{tag}{scope}{}", self.row.kind),
            tag: self.tag.clone(),
            description: format!("{words} {}", self.row.kind),
            action,
            kind: (self.row.group.clone(), self.row.version.clone(), self.row.kind.clone()),
            body: None,
            response: self.row.schema.clone(),
            more_codes: &[],
            parameters: parameters.to_vec(),
            path_parameters: self.path_parameters.clone(),
        }
    }
}

fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}
