//! A request that passes admission.

use admission::{Attributes, Notes, Operation};
use apiserver_core::decode::FieldValidation;
use apiserver_core::options::{DeleteOptions, Propagation, WriteOptions};
use apiserver_core::{Object, Status};
use serde_json::{Map, Value, json};

use crate::app::App;
use crate::call::Call;

/// What a request wishes besides its object.
#[derive(Clone, Copy)]
pub(crate) enum Wishes<'a> {
    /// Of POST and PUT.
    Write(&'a WriteOptions),
    /// Of PATCH, an apply among them.
    Patch(&'a WriteOptions),
    /// Of DELETE, of one or of many.
    Delete(&'a DeleteOptions),
    /// A connection wishes nothing.
    Connect,
}

/// A request whose writes pass admission.
#[derive(Clone, Copy)]
pub(crate) struct Admitted<'a> {
    /// The request.
    pub(crate) call: &'a Call,
    /// What it wishes.
    pub(crate) wishes: Wishes<'a>,
}

impl Admitted<'_> {
    /// Lets the plugins change what is to be written, or refuse it.
    pub(crate) async fn mutate(
        &self,
        app: &App,
        operation: Operation,
        object: &mut Object,
        old: Option<&Object>,
    ) -> Result<(), Status> {
        let (options, notes) = (self.options(operation), Notes::default());
        let attributes = self.attributes(operation, old, &options, &notes);
        let outcome = app.admission.mutate(app, &attributes, object).await;
        self.note(&notes);
        outcome
    }

    /// Lets the plugins refuse what is to be written as it is, or a deletion.
    pub(crate) async fn validate(
        &self,
        app: &App,
        operation: Operation,
        object: Option<&Object>,
        old: Option<&Object>,
    ) -> Result<(), Status> {
        let (options, notes) = (self.options(operation), Notes::default());
        let attributes = self.attributes(operation, old, &options, &notes);
        let outcome = app.admission.validate(app, &attributes, object).await;
        self.note(&notes);
        outcome
    }

    fn attributes<'a>(
        &'a self,
        operation: Operation,
        old: Option<&'a Object>,
        options: &'a Value,
        notes: &'a Notes,
    ) -> Attributes<'a> {
        let call = self.call;
        let some = |text: &'a str| Some(text).filter(|text| !text.is_empty());
        Attributes {
            operation,
            resource: &call.row,
            subresource: call.subresource(),
            namespace: some(&call.target.namespace),
            name: some(&call.target.name),
            old,
            options,
            user: &call.user,
            dry_run: self.dry_run(),
            notes,
        }
    }

    fn note(&self, notes: &Notes) {
        let (warnings, annotations) = notes.take();
        self.call.warn(warnings);
        self.call.annotate(annotations);
    }

    fn dry_run(&self) -> bool {
        match self.wishes {
            Wishes::Write(options) | Wishes::Patch(options) => options.dry_run,
            Wishes::Delete(options) => options.dry_run,
            Wishes::Connect => false,
        }
    }

    /// The options as plugins see them.
    fn options(&self, operation: Operation) -> Value {
        match (self.wishes, operation) {
            (Wishes::Connect, _) => Value::Null,
            (Wishes::Delete(options), _) => delete_options(options),
            (Wishes::Write(options) | Wishes::Patch(options), Operation::Create) => {
                write_options("CreateOptions", options)
            }
            (Wishes::Write(options), _) => write_options("UpdateOptions", options),
            (Wishes::Patch(options), _) => {
                let mut value = write_options("PatchOptions", options);
                if let Some(force) = options.force {
                    value["force"] = force.into();
                }
                value
            }
        }
    }
}

fn head(kind: &str, dry_run: bool) -> Value {
    let mut value = json!({ "kind": kind, "apiVersion": "meta.k8s.io/v1" });
    if dry_run {
        value["dryRun"] = json!(["All"]);
    }
    value
}

fn write_options(kind: &str, options: &WriteOptions) -> Value {
    let mut value = head(kind, options.dry_run);
    if let Some(manager) = &options.field_manager {
        value["fieldManager"] = manager.as_str().into();
    }
    value["fieldValidation"] = match options.field_validation {
        FieldValidation::Strict => "Strict",
        FieldValidation::Warn => "Warn",
        FieldValidation::Ignore => "Ignore",
    }
    .into();
    value
}

fn delete_options(options: &DeleteOptions) -> Value {
    let mut value = head("DeleteOptions", options.dry_run);
    if let Some(seconds) = options.grace_period_seconds {
        value["gracePeriodSeconds"] = seconds.into();
    }
    if let Some(orphan) = options.orphan_dependents {
        value["orphanDependents"] = orphan.into();
    }
    if let Some(propagation) = options.propagation {
        value["propagationPolicy"] = match propagation {
            Propagation::Orphan => "Orphan",
            Propagation::Background => "Background",
            Propagation::Foreground => "Foreground",
        }
        .into();
    }
    let preconditions =
        [("uid", &options.precondition_uid), ("resourceVersion", &options.precondition_resource_version)];
    let preconditions: Map<String, Value> = preconditions
        .into_iter()
        .filter_map(|(name, wanted)| Some((name.to_owned(), wanted.as_deref()?.into())))
        .collect();
    if !preconditions.is_empty() {
        value["preconditions"] = Value::Object(preconditions);
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_shown_as_clients_send_them() {
        let options = WriteOptions { dry_run: true, field_manager: Some("me".into()), ..WriteOptions::default() };
        assert_eq!(
            write_options("CreateOptions", &options),
            json!({
                "kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1", "dryRun": ["All"], "fieldManager": "me",
                "fieldValidation": "Warn",
            })
        );
        let options = DeleteOptions {
            grace_period_seconds: Some(0),
            propagation: Some(Propagation::Orphan),
            precondition_uid: Some("u".into()),
            ..DeleteOptions::default()
        };
        assert_eq!(
            delete_options(&options),
            json!({
                "kind": "DeleteOptions", "apiVersion": "meta.k8s.io/v1", "gracePeriodSeconds": 0,
                "propagationPolicy": "Orphan", "preconditions": { "uid": "u" },
            })
        );
    }
}
