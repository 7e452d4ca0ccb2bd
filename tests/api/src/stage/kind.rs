//! Objects of one kind as a client library without types sees them.

use std::collections::BTreeSet;

use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind, Status};
use kube::discovery::{ApiCapabilities, Scope, oneshot};
use kube::{Api, Error};
use serde_json::{Value, json};

use super::{Changes, Stage, eventually, holds, overlay};
use crate::rig;

/// The label of all objects that are made here.
const MARK: &str = "tests.example.com/stage";
/// Everything a collection allows.
const VERBS: [&str; 8] = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

/// What the server says when it refuses.
pub type Problem = Box<Status>;

/// Objects of one kind: in the stage's namespace, if they have one, and marked as the stage's.
#[derive(Clone)]
pub struct Kind {
    /// The objects of the namespace.
    pub api: Api<DynamicObject>,
    /// The objects of all namespaces.
    pub everywhere: Api<DynamicObject>,
    /// Group, version, names.
    pub resource: ApiResource,
    raw: rig::Client,
    capabilities: ApiCapabilities,
    mark: String,
}

impl Kind {
    pub(super) async fn discover(stage: &Stage, api_version: &str, kind: &str) -> Self {
        let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
        let wanted = GroupVersionKind::gvk(group, version, kind);
        let found = oneshot::pinned_kind(&stage.client, &wanted).await;
        let (resource, capabilities) = found.unwrap_or_else(|error| panic!("{api_version} {kind}: {error}"));
        let everywhere = Api::all_with(stage.client.clone(), &resource);
        let api = match capabilities.scope {
            Scope::Namespaced => Api::namespaced_with(stage.client.clone(), &stage.namespace, &resource),
            Scope::Cluster => everywhere.clone(),
        };
        Self { api, everywhere, resource, raw: stage.raw(), capabilities, mark: stage.namespace.clone() }
    }

    /// The same kind in another namespace.
    #[must_use]
    pub fn in_namespace(&self, namespace: &str) -> Self {
        let client = self.everywhere.clone().into_client();
        Self { api: Api::namespaced_with(client, namespace, &self.resource), ..self.clone() }
    }

    /// Whether objects are in namespaces.
    pub fn is_namespaced(&self) -> bool {
        self.capabilities.scope == Scope::Namespaced
    }

    /// Discovery must say that everything can be done with the kind but `without`, and with each subresource what it names.
    pub fn assert_capable(&self, without: &[&str], subresources: &[(&str, &[&str])]) {
        let wanted: BTreeSet<&str> = VERBS.into_iter().filter(|verb| !without.contains(verb)).collect();
        let found: BTreeSet<&str> = self.capabilities.operations.iter().map(String::as_str).collect();
        assert_eq!(found, wanted, "verbs of {}", self.resource.plural);
        for (name, verbs) in subresources {
            let found = self.capabilities.subresources.iter().find(|(subresource, _)| subresource.plural == *name);
            let (_, found) = found.unwrap_or_else(|| panic!("{} have no {name}", self.resource.plural));
            for verb in *verbs {
                assert!(found.supports_operation(verb), "{verb} of {}/{name}", self.resource.plural);
            }
        }
    }

    /// A marked object with a name.
    pub fn object(&self, name: &str, body: &Value) -> Value {
        let mut object = body.clone();
        overlay(
            &mut object,
            &json!({
                "apiVersion": self.resource.api_version, "kind": self.resource.kind,
                "metadata": { "name": name, "labels": { MARK: self.mark } },
            }),
        );
        object
    }

    /// The object of the kind's sample, marked, with a name.
    pub fn sample(&self, name: &str) -> Value {
        self.object(name, &crate::samples::of(&self.resource.kind).body)
    }

    /// Creates.
    pub async fn create(&self, object: &Value) -> Value {
        let made = done(self.try_create(object).await);
        // What a status says belongs to others, and some of the rest is kept in another form: names must be there.
        assert_eq!(made["metadata"]["name"], object["metadata"]["name"]);
        assert!(holds(&made["metadata"]["labels"], &object["metadata"]["labels"]), "{made}");
        made
    }

    /// The same; it may be refused.
    pub async fn try_create(&self, object: &Value) -> Result<Value, Problem> {
        answer(self.api.create(&PostParams::default(), &typed(object)).await)
    }

    /// Reads.
    pub async fn get(&self, name: &str) -> Value {
        done(answer(self.api.get(name).await))
    }

    /// Reads; `None` when it is not there.
    pub async fn find(&self, name: &str) -> Option<Value> {
        self.api.get_opt(name).await.expect("an answer").map(|object| untyped(&object))
    }

    /// Replaces.
    pub async fn replace(&self, object: &Value) -> Value {
        done(self.try_replace(object).await)
    }

    /// The same; it may be refused.
    pub async fn try_replace(&self, object: &Value) -> Result<Value, Problem> {
        answer(self.api.replace(name_of(object), &PostParams::default(), &typed(object)).await)
    }

    /// Reads, changes, replaces; again when somebody else was faster.
    pub async fn update(&self, name: &str, change: impl Fn(&mut Value)) -> Value {
        eventually("an update without conflict", async || {
            let mut object = self.get(name).await;
            change(&mut object);
            settled(self.try_replace(&object).await)
        })
        .await
    }

    /// Patches.
    pub async fn patch(&self, name: &str, patch: &Patch<Value>) -> Value {
        done(self.try_patch(name, patch).await)
    }

    /// The same; it may be refused.
    pub async fn try_patch(&self, name: &str, patch: &Patch<Value>) -> Result<Value, Problem> {
        answer(self.api.patch(name, &patch_params(patch), patch).await)
    }

    /// Patches step by step, which the client library leaves to those who send the steps themselves.
    pub async fn patch_by_steps(&self, name: &str, steps: Value) -> Value {
        let path = format!("{}/{name}", self.api.resource_url());
        let patched = self.raw.patch(&path, "application/json-patch+json", &steps).await;
        assert_eq!(patched.code, 200, "{}", patched.text());
        patched.json()
    }

    /// Merges.
    pub async fn merge(&self, name: &str, patch: Value) -> Value {
        self.patch(name, &Patch::Merge(patch)).await
    }

    /// Reads a subresource.
    pub async fn get_part(&self, part: &str, name: &str) -> Value {
        done(answer(self.api.get_subresource(part, name).await))
    }

    /// Patches a subresource.
    pub async fn patch_part(&self, part: &str, name: &str, patch: &Patch<Value>) -> Value {
        done(answer(self.api.patch_subresource(part, name, &patch_params(patch), patch).await))
    }

    /// Reads a subresource, changes and replaces it; again when somebody else was faster.
    pub async fn update_part(&self, part: &str, name: &str, change: impl Fn(&mut Value)) -> Value {
        eventually("an update without conflict", async || {
            let mut object = self.get_part(part, name).await;
            change(&mut object);
            let answered = self.api.replace_subresource(part, name, &PostParams::default(), &typed(&object)).await;
            settled(answer(answered))
        })
        .await
    }

    /// The marked objects, in the namespace and everywhere: the same ones.
    pub async fn list(&self) -> Vec<Value> {
        self.list_with(&self.selected("")).await
    }

    /// The marked objects with a further label, in the namespace and everywhere: the same ones.
    pub async fn list_labelled(&self, label: &str) -> Vec<Value> {
        self.list_with(&self.selected(label)).await
    }

    async fn list_with(&self, params: &ListParams) -> Vec<Value> {
        let found: Vec<Value> = self.api.list(params).await.expect("a list").items.iter().map(untyped).collect();
        let wide = self.everywhere.list(params).await.expect("a list of all namespaces").items;
        let uids =
            |list: &[Value]| list.iter().map(|item| item["metadata"]["uid"].to_string()).collect::<BTreeSet<_>>();
        let wide: Vec<Value> = wide.iter().map(untyped).collect();
        assert!(uids(&wide).is_superset(&uids(&found)), "a list of all namespaces has less than that of one");
        found
    }

    /// Parameters that select the marked objects, with a further label if it is not empty.
    pub fn selected(&self, label: &str) -> ListParams {
        let further = if label.is_empty() { String::new() } else { format!(",{label}") };
        ListParams::default().labels(&format!("{MARK}={}{further}", self.mark))
    }

    /// The version of the collection now.
    pub async fn version(&self) -> String {
        let list = self.api.list(&self.selected("")).await.expect("a list");
        list.metadata.resource_version.expect("a list has a version")
    }

    /// What happens to the marked objects with a further label after a version.
    pub async fn changes_of(&self, label: &str, version: &str) -> Changes {
        Changes::open(&self.api, &self.selected(label), version).await
    }

    /// What happens to the marked objects after a version.
    pub async fn changes(&self, version: &str) -> Changes {
        self.changes_of("", version).await
    }

    /// The same, everywhere.
    pub async fn changes_everywhere(&self, version: &str) -> Changes {
        Changes::open(&self.everywhere, &self.selected(""), version).await
    }

    /// Deletes at once, with no time to end.
    pub async fn delete(&self, name: &str) {
        let params = DeleteParams::default().grace_period(0);
        if let Err(error) = self.api.delete(name, &params).await {
            panic!("{name} cannot be deleted: {error}");
        }
        self.released().await;
    }

    /// Waits until what is deleted, and may be in use, is let go: a controller sees to that.
    async fn released(&self) {
        let protected = ["persistentvolumes", "persistentvolumeclaims", "volumeattributesclasses"];
        if !protected.contains(&self.resource.plural.as_str()) {
            return;
        }
        let kept = |object: &DynamicObject| {
            let mut finalizers = object.metadata.finalizers.iter().flatten();
            object.metadata.deletion_timestamp.is_some() && finalizers.any(|one| one.ends_with("-protection"))
        };
        eventually("what is deleted to be let go", async || {
            let found = self.api.list(&self.selected("")).await.ok()?;
            (!found.items.iter().any(kept)).then_some(())
        })
        .await;
    }

    /// Deletes and makes sure that it is gone.
    pub async fn remove(&self, name: &str) {
        self.delete(name).await;
        assert_eq!(self.find(name).await, None);
    }

    /// Deletes the marked objects, with a further label if it is not empty.
    pub async fn delete_all(&self, label: &str) {
        let params = DeleteParams::default().grace_period(0);
        if let Err(error) = self.api.delete_collection(&params, &self.selected(label)).await {
            panic!("the collection cannot be deleted: {error}");
        }
        self.released().await;
    }
}

/// A patch under the name of a manager, with everything unknown refused.
fn patch_params(patch: &Patch<Value>) -> PatchParams {
    let params = match patch {
        Patch::Apply(_) => PatchParams::apply("tests").force(),
        _ => PatchParams::default(),
    };
    params.validation_strict()
}

fn name_of(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_else(|| panic!("no name: {object}"))
}

fn typed(object: &Value) -> DynamicObject {
    serde_json::from_value(object.clone()).unwrap_or_else(|error| panic!("{error}: {object}"))
}

pub(super) fn untyped(object: &DynamicObject) -> Value {
    serde_json::to_value(object).expect("an object is JSON")
}

fn answer(answered: Result<DynamicObject, Error>) -> Result<Value, Problem> {
    match answered {
        Ok(object) => Ok(untyped(&object)),
        Err(Error::Api(problem)) => Err(problem),
        Err(error) => panic!("no answer: {error}"),
    }
}

fn done(answered: Result<Value, Problem>) -> Value {
    answered.unwrap_or_else(|problem| panic!("refused: {problem:?}"))
}

/// An answer, unless it is that somebody else was faster.
fn settled(answered: Result<Value, Problem>) -> Option<Value> {
    match answered {
        Err(problem) if problem.code == 409 => None,
        other => Some(done(other)),
    }
}
