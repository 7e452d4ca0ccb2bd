//! Images are pulled each time: who may not pull one may not run it either.

use apiserver_core::{Object, Status};
use serde_json::Value;

use crate::attributes::Attributes;
use crate::facts::Facts;
use crate::plugin::Plugin;
use crate::pods::{list, list_mut, text};

const LISTS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

/// Has every image pulled.
#[derive(Debug)]
pub(super) struct AlwaysPullImages;

impl Plugin for AlwaysPullImages {
    fn name(&self) -> &'static str {
        "AlwaysPullImages"
    }

    fn concerns(&self, attributes: &Attributes<'_>) -> bool {
        attributes.writes("", "pods")
    }

    fn mutate(&self, attributes: &Attributes<'_>, pod: &mut Object, _: &dyn Facts) -> Result<(), Status> {
        if attributes.old.is_some_and(|old| images(old) == images(pod)) {
            return Ok(());
        }
        for containers in LISTS {
            if !list(pod, containers).is_empty() {
                for container in list_mut(pod, "spec", containers).into_iter().flatten() {
                    container["imagePullPolicy"] = "Always".into();
                }
            }
        }
        if list(pod, "volumes").iter().any(|volume| volume.get("image").is_some()) {
            let volumes = list_mut(pod, "spec", "volumes").into_iter().flatten();
            for image in volumes.filter_map(|volume| volume.get_mut("image")) {
                image["pullPolicy"] = "Always".into();
            }
        }
        Ok(())
    }

    fn validate(&self, attributes: &Attributes<'_>, pod: Option<&Object>, _: &dyn Facts) -> Result<(), Status> {
        let Some(pod) = pod else { return Ok(()) };
        if attributes.old.is_some_and(|old| images(old) == images(pod)) {
            return Ok(());
        }
        for containers in LISTS {
            for (index, container) in list(pod, containers).iter().enumerate() {
                let policy = text(container, "imagePullPolicy");
                if policy != "Always" {
                    let why = format!(
                        "spec.{containers}[{index}].imagePullPolicy: Unsupported value: {policy:?}: supported values: \"Always\""
                    );
                    return Err(attributes.forbidden(Some(pod), &why));
                }
            }
        }
        Ok(())
    }
}

fn images(pod: &Object) -> Vec<&Value> {
    LISTS.iter().flat_map(|name| list(pod, name)).filter_map(|container| container.get("image")).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{World, create, update};

    #[test]
    fn every_image_is_pulled() {
        let pod = || json!({ "spec": { "containers": [{ "image": "i", "imagePullPolicy": "Never" }] } });
        let made = create("", "pods").mutate(&AlwaysPullImages, pod(), &World::default()).unwrap();
        assert_eq!(made["spec"]["containers"][0]["imagePullPolicy"], "Always");
        assert_eq!(update("", "pods", None, pod()).mutate(&AlwaysPullImages, pod(), &World::default()), Ok(pod()));
        assert_eq!(
            create("", "pods").validate(&AlwaysPullImages, pod(), &World::default()),
            Err("pods \"Unknown\" is forbidden: spec.containers[0].imagePullPolicy: Unsupported value: \"Never\": supported values: \"Always\"".into())
        );
    }
}
