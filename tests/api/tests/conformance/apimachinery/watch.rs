//! Watches: what they show, where they begin, what they agree on.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::PostParams;
use serde_json::{Value, json};
use tests_api::behaviours;
use tests_api::stage::{Kind, Stage};

behaviours!(
    watchers_see_what_they_select,
    a_watch_begins_at_a_version,
    a_watch_goes_on_where_another_ended,
    what_is_no_longer_selected_is_gone,
    watchers_agree_on_the_order,
);

async fn maps(stage: &Stage) -> Kind {
    stage.sampled("ConfigMap").await
}

fn labelled(kind: &Kind, name: &str, label: &str) -> Value {
    kind.object(name, &json!({ "metadata": { "labels": { "watch": label } } }))
}

async fn mutate(kind: &Kind, name: &str, number: u32) -> Value {
    kind.update(name, |map| map["data"]["mutation"] = json!(number.to_string())).await
}

async fn watchers_see_what_they_select(stage: Stage) {
    let kind = maps(&stage).await;
    let start = kind.version().await;
    let mut a = kind.changes_of("watch=a", &start).await;
    let mut b = kind.changes_of("watch=b", &start).await;
    let mut both = kind.changes_of("watch in (a, b)", &start).await;
    kind.create(&labelled(&kind, "one", "a")).await;
    for number in [1, 2] {
        mutate(&kind, "one", number).await;
    }
    kind.remove("one").await;
    kind.create(&labelled(&kind, "two", "b")).await;
    kind.remove("two").await;
    for seen in [&mut a, &mut both] {
        seen.expect("ADDED", "one").await;
        for number in ["1", "2"] {
            assert_eq!(seen.expect("MODIFIED", "one").await["data"]["mutation"], number);
        }
        seen.expect("DELETED", "one").await;
    }
    for seen in [&mut b, &mut both] {
        seen.expect("ADDED", "two").await;
        seen.expect("DELETED", "two").await;
    }
}

async fn a_watch_begins_at_a_version(stage: Stage) {
    let kind = maps(&stage).await;
    kind.create(&kind.sample("one")).await;
    let first = mutate(&kind, "one", 1).await;
    mutate(&kind, "one", 2).await;
    kind.remove("one").await;
    let mut seen = kind.changes(&tests_api::version(&first)).await;
    assert_eq!(seen.expect("MODIFIED", "one").await["data"]["mutation"], "2");
    seen.expect("DELETED", "one").await;
}

async fn a_watch_goes_on_where_another_ended(stage: Stage) {
    let kind = maps(&stage).await;
    let mut first = kind.changes(&kind.version().await).await;
    kind.create(&kind.sample("one")).await;
    mutate(&kind, "one", 1).await;
    first.expect("ADDED", "one").await;
    let last = tests_api::version(&first.expect("MODIFIED", "one").await);
    drop(first);
    mutate(&kind, "one", 2).await;
    kind.remove("one").await;
    let mut second = kind.changes(&last).await;
    assert_eq!(second.expect("MODIFIED", "one").await["data"]["mutation"], "2");
    second.expect("DELETED", "one").await;
}

async fn what_is_no_longer_selected_is_gone(stage: Stage) {
    let kind = maps(&stage).await;
    let relabel = async |label: &str| {
        kind.merge("one", json!({ "metadata": { "labels": { "watch": label } } })).await;
    };
    let mut seen = kind.changes_of("watch=in", &kind.version().await).await;
    kind.create(&labelled(&kind, "one", "in")).await;
    mutate(&kind, "one", 1).await;
    relabel("out").await;
    seen.expect("ADDED", "one").await;
    seen.expect("MODIFIED", "one").await;
    seen.expect("DELETED", "one").await;
    mutate(&kind, "one", 2).await;
    relabel("in").await;
    mutate(&kind, "one", 3).await;
    kind.remove("one").await;
    assert_eq!(seen.expect("ADDED", "one").await["data"]["mutation"], "2");
    assert_eq!(seen.expect("MODIFIED", "one").await["data"]["mutation"], "3");
    seen.expect("DELETED", "one").await;
}

async fn watchers_agree_on_the_order(stage: Stage) {
    const CHANGES: usize = 100;
    let kind = maps(&stage).await;
    let start = kind.version().await;
    let mut first = kind.changes(&start).await;
    let writer = {
        let (api, kind) = (stage.api::<ConfigMap>(), kind.clone());
        async move {
            // Three objects come, change and go in turns that do not line up.
            for step in 0..CHANGES {
                let name = format!("map-{}", step % 3);
                match (kind.find(&name).await, step % 4) {
                    (None, _) => {
                        let made = serde_json::from_value(kind.sample(&name)).unwrap();
                        api.create(&PostParams::default(), &made).await.map(drop).unwrap();
                    }
                    (Some(_), 3) => kind.remove(&name).await,
                    (Some(_), _) => drop(mutate(&kind, &name, step as u32).await),
                }
            }
        }
    };
    let reader = async {
        let mut seen = Vec::new();
        let mut watches = Vec::new();
        for _ in 0..CHANGES {
            let (change, object) = first.next().await;
            let version = tests_api::version(&object);
            // One more watch from here on, for every tenth change.
            if seen.len() % 10 == 0 {
                watches.push((seen.len() + 1, kind.changes(&version).await));
            }
            seen.push((change, version));
        }
        for (from, mut watch) in watches {
            for expected in &seen[from..] {
                let (change, object) = watch.next().await;
                assert_eq!(&(change, tests_api::version(&object)), expected);
            }
        }
    };
    futures::join!(writer, reader);
}
