//! What upstream asks of the endpoints of a kind, whatever the kind.

use std::collections::BTreeSet;

use kube::api::Patch;
use serde_json::{Value, json};

use super::{Kind, Stage, eventually, holds, overlay};

/// The endpoints of a kind, with what differs from kind to kind.
pub struct Endpoints<'a> {
    stage: &'a Stage,
    /// The kind.
    pub kind: Kind,
    names: [String; 3],
    body: Value,
    change: Value,
    parts: Vec<(&'static str, Value)>,
}

impl<'a> Endpoints<'a> {
    /// Those of a sample.
    pub async fn of(stage: &'a Stage, kind: &str) -> Self {
        let sample = crate::samples::of(kind);
        Self::with(stage, sample.api_version, sample.kind, sample.body).await
    }

    /// Those of a kind, with a body.
    pub async fn with(stage: &'a Stage, api_version: &str, kind: &str, body: Value) -> Self {
        let kind = stage.kind(api_version, kind).await;
        let name = |name: &str| if kind.is_namespaced() { name.to_owned() } else { stage.unique(name) };
        let names = [name("one"), name("two"), name("three")];
        Self { stage, kind, names, body, change: json!({}), parts: Vec::new() }
    }

    /// With these names, where a kind has rules of its own for them.
    #[must_use]
    pub fn named(mut self, names: [&str; 3]) -> Self {
        self.names = names.map(str::to_owned);
        self
    }

    /// With this over the sample.
    #[must_use]
    pub fn body(mut self, over: &Value) -> Self {
        overlay(&mut self.body, over);
        self
    }

    /// With a change of what the object says, which a patch and an update can both make.
    #[must_use]
    pub fn change(mut self, change: Value) -> Self {
        self.change = change;
        self
    }

    /// With a subresource that is read and written as a part of the object: a change of the part.
    #[must_use]
    pub fn part(mut self, name: &'static str, change: Value) -> Self {
        self.parts.push((name, change));
        self
    }

    /// Group, version, resource and verbs are in the documents of discovery.
    pub async fn are_discovered(&self) {
        let resource = &self.kind.resource;
        let raw = self.stage.raw();
        if !resource.group.is_empty() {
            let groups = raw.get("/apis").await.json();
            let group = raw.get(&format!("/apis/{}", resource.group)).await.json();
            assert_eq!(group["name"], resource.group);
            for versions in
                [&group, groups["groups"].as_array().unwrap().iter().find(|one| one["name"] == resource.group).unwrap()]
            {
                let version = json!({ "groupVersion": resource.api_version, "version": resource.version });
                assert!(holds(&versions["versions"], &json!([version])), "{versions}");
            }
        }
        let parts: Vec<(&str, &[&str])> =
            self.parts.iter().map(|(part, _)| (*part, ["get", "patch", "update"].as_slice())).collect();
        self.kind.assert_capable(&[], &parts);
    }

    /// Everything that can be done with objects of a kind, seen by readers, lists and watches of both widths.
    pub async fn work(&self) {
        self.are_discovered().await;
        let [first, second, third] = &self.names;
        let kind = &self.kind;
        let start = kind.version().await;
        let mut here = kind.changes(&start).await;
        let mut everywhere = kind.changes_everywhere(&start).await;

        for name in &self.names {
            let wanted = kind.object(name, &self.body);
            let made = kind.create(&wanted).await;
            assert!(made["metadata"]["uid"].is_string() && made["metadata"]["creationTimestamp"].is_string(), "{made}");
            for seen in [&mut here, &mut everywhere] {
                let seen = seen.until("ADDED", name, |_| true).await;
                assert_eq!(seen["metadata"]["uid"], made["metadata"]["uid"]);
            }
        }
        assert_eq!(kind.get(first).await["metadata"]["name"], *first);
        assert_eq!(kind.list().await.len(), 3);

        self.are_changed(first).await;
        for seen in [&mut here, &mut everywhere] {
            let noted = |object: &Value| object["metadata"]["annotations"]["updated"] == "true";
            let seen = seen.until("MODIFIED", first, noted).await;
            assert!(holds(&seen, &self.change), "{seen}");
        }
        for (part, change) in &self.parts {
            self.part_is_written(part, first, change).await;
            for seen in [&mut here, &mut everywhere] {
                seen.until("MODIFIED", first, |object| holds(object, change)).await;
            }
        }

        kind.remove(first).await;
        assert_eq!(kind.list().await.len(), 2);
        kind.delete_all("").await;
        assert_eq!(kind.list().await, Vec::<Value>::new());
        for seen in [&mut here, &mut everywhere] {
            seen.until("DELETED", first, |_| true).await;
            // Those of a collection go in any order.
            let mut left = BTreeSet::from([second.as_str(), third.as_str()]);
            while !left.is_empty() {
                let (change, object) = seen.next().await;
                assert!(change != "DELETED" || left.remove(object["metadata"]["name"].as_str().unwrap_or_default()));
            }
        }
    }

    /// Patches of every type and an update are kept, and versions grow.
    async fn are_changed(&self, name: &str) {
        let kind = &self.kind;
        let (version, plain) = (&kind.resource.api_version, &kind.resource.kind);
        let label = |by: &str| json!({ "metadata": { "labels": { by: "patched" } } });
        let mut applied = label("applied");
        overlay(&mut applied, &json!({ "apiVersion": version, "kind": plain, "metadata": { "name": name } }));
        let patches = [
            ("merged", Patch::Merge(label("merged"))),
            ("strategic", Patch::Strategic(label("strategic"))),
            ("applied", Patch::Apply(applied)),
        ];
        let mut before = crate::version(&kind.get(name).await).parse::<u64>().unwrap();
        for (by, patch) in patches {
            let patched = kind.patch(name, &patch).await;
            assert_eq!(patched["metadata"]["labels"][by], "patched", "{patched}");
            let after = crate::version(&patched).parse::<u64>().unwrap();
            assert!(after > before, "{after} comes after {before}");
            before = after;
        }
        let steps = json!([{ "op": "add", "path": "/metadata/labels/pointed", "value": "patched" }]);
        assert_eq!(kind.patch_by_steps(name, steps).await["metadata"]["labels"]["pointed"], "patched");
        if self.change != json!({}) {
            let patched = kind.merge(name, self.change.clone()).await;
            assert!(holds(&patched, &self.change), "{patched}");
        }
        let updated = kind
            .update(name, |object| {
                overlay(object, &self.change);
                overlay(object, &json!({ "metadata": { "annotations": { "updated": "true" } } }));
            })
            .await;
        assert_eq!(updated["metadata"]["annotations"]["updated"], "true", "{updated}");
        assert!(holds(&kind.get(name).await, &self.change));
    }

    /// A part of an object is patched and updated through its own endpoint, and seen through both.
    pub async fn part_is_written(&self, part: &str, name: &str, change: &Value) {
        let kind = &self.kind;
        let noted = |note: &str| json!({ "metadata": { "annotations": { "note": note } } });
        let mut wanted = change.clone();
        overlay(&mut wanted, &noted("patched"));
        let patched = kind.patch_part(part, name, &Patch::Merge(wanted.clone())).await;
        assert!(holds(&patched, &wanted), "{patched} lacks {wanted}");
        let read = kind.get_part(part, name).await;
        assert!(holds(&read, change), "{read} lacks {change}");
        let updated = kind
            .update_part(part, name, |object| {
                overlay(object, change);
                overlay(object, &noted("updated"));
            })
            .await;
        overlay(&mut wanted, &noted("updated"));
        assert!(holds(&updated, &wanted), "{updated} lacks {wanted}");
        assert!(holds(&kind.get(name).await, &wanted));
        // A part belongs to its own endpoint: what is written beside it does not touch it.
        let beside =
            kind.update(name, |object| drop(object.as_object_mut().and_then(|object| object.remove("status")))).await;
        if part == "status" {
            assert!(holds(&beside, change), "{beside} lacks {change}");
        }
    }

    /// Objects are listed by label, here and everywhere, and deleted by label together.
    pub async fn are_listed_and_deleted_together(&self) {
        for name in &self.names {
            self.kind.create(&self.kind.object(name, &self.body)).await;
        }
        let bystander = self.kind.object(&self.names[0], &self.body);
        assert_eq!(self.kind.try_create(&bystander).await.expect_err("it is there").reason, "AlreadyExists");
        self.kind.merge(&self.names[0], json!({ "metadata": { "labels": { "stays": "here" } } })).await;
        assert_eq!(self.kind.list().await.len(), 3);
        self.kind.delete_all("stays!=here").await;
        let left = eventually("the others to be gone", async || {
            let left = self.kind.list().await;
            (left.len() == 1).then_some(left)
        })
        .await;
        assert_eq!(left[0]["metadata"]["name"], self.names[0]);
        self.kind.remove(&self.names[0]).await;
    }

    /// The status is read, patched and updated through its own endpoint; those who watch see it.
    pub async fn have_a_status(&self) {
        let [name, ..] = &self.names;
        self.kind.assert_capable(&[], &[("status", &["get", "patch", "update"])]);
        let made = self.kind.create(&self.kind.object(name, &self.body)).await;
        let mut changes = self.kind.changes(&crate::version(&made)).await;
        for (part, change) in &self.parts {
            self.part_is_written(part, name, change).await;
            changes.until("MODIFIED", name, |object| holds(object, change)).await;
        }
        assert_eq!(self.kind.get(name).await["spec"], made["spec"]);
        self.kind.remove(name).await;
    }

    /// The scale is read, updated and patched; what is wanted of the object follows.
    pub async fn have_a_scale(&self) {
        let [name, ..] = &self.names;
        let made = self.kind.create(&self.kind.object(name, &self.body)).await;
        let scale = self.kind.api.get_scale(name).await.expect("a scale");
        assert_eq!(scale.spec.as_ref().and_then(|spec| spec.replicas), Some(1));
        assert_eq!(scale.metadata.uid.as_deref(), made["metadata"]["uid"].as_str());
        let mut wanted = serde_json::to_value(scale).expect("a scale is JSON");
        wanted["spec"]["replicas"] = json!(2);
        let wanted = serde_json::from_value(wanted).expect("a scale");
        let scaled =
            self.kind.api.replace_scale(name, &kube::api::PostParams::default(), &wanted).await.expect("a scale");
        assert_eq!(scaled.spec.and_then(|spec| spec.replicas), Some(2));
        assert_eq!(self.kind.get(name).await["spec"]["replicas"], 2);
        let patch = Patch::Merge(json!({ "spec": { "replicas": 4 } }));
        let scaled =
            self.kind.api.patch_scale(name, &kube::api::PatchParams::default(), &patch).await.expect("a scale");
        assert_eq!(scaled.spec.and_then(|spec| spec.replicas), Some(4));
        let after = self.kind.get(name).await;
        assert_eq!((&after["spec"]["replicas"], &after["metadata"]["generation"]), (&json!(4), &json!(3)));
        self.kind.remove(name).await;
    }

    /// One object is made, read, patched, found by label, updated and deleted, and readers and watchers see each step.
    pub async fn have_a_life(&self) {
        let [name, ..] = &self.names;
        let kind = &self.kind;
        let mut changes = kind.changes(&kind.version().await).await;
        kind.create(&kind.object(name, &self.body)).await;
        changes.expect("ADDED", name).await;
        let patched =
            kind.patch(name, &Patch::Strategic(json!({ "metadata": { "labels": { "phase": "patched" } } }))).await;
        assert_eq!(patched["metadata"]["labels"]["phase"], "patched");
        changes.until("MODIFIED", name, |object| object["metadata"]["labels"]["phase"] == "patched").await;
        assert_eq!(kind.list_labelled("phase=patched").await.len(), 1);
        assert_eq!(kind.list_labelled("phase=new").await.len(), 0);
        let change = &self.change;
        let updated = kind
            .update(name, |object| {
                overlay(object, change);
                object["metadata"]["labels"]["phase"] = json!("updated");
            })
            .await;
        assert!(holds(&updated, change), "{updated}");
        assert_eq!(kind.list_labelled("phase=updated").await.len(), 1);
        let seen = changes.until("MODIFIED", name, |object| object["metadata"]["labels"]["phase"] == "updated").await;
        assert!(holds(&seen, change), "{seen}");
        kind.remove(name).await;
        changes.until("DELETED", name, |_| true).await;
        assert_eq!(kind.list().await, Vec::<Value>::new());
    }
}

/// Objects that are said not to change do not, but for what is said about them.
pub async fn stay_as_they_are(stage: &Stage, kind: &str) {
    let kind = stage.sampled(kind).await;
    kind.create(&kind.sample("one")).await;
    let data = |value: &str| json!({ "data": { "k": value } });
    kind.update("one", |object| overlay(object, &data("bmV3"))).await;
    kind.update("one", |object| object["immutable"] = json!(true)).await;
    for change in [data("bmV3ZXI="), json!({ "immutable": false }), json!({ "immutable": null })] {
        let refused = kind.try_patch("one", &Patch::Merge(change)).await.expect_err("it is refused");
        assert_eq!((refused.code, refused.reason.as_str()), (422, "Invalid"));
    }
    let read = kind.get("one").await;
    assert_eq!((&read["data"]["k"], &read["immutable"]), (&json!("bmV3"), &json!(true)));
    kind.update("one", |object| object["metadata"]["labels"]["new"] = json!("label")).await;
    kind.remove("one").await;
}
