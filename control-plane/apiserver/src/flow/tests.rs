//! Levels at work, without a server around them.

use apiserver_core::Object;
use apiserver_core::kinds::flow_control::{flow_schemas, priority_levels};
use fair::Width;

use super::*;

fn objects(values: Vec<serde_json::Value>) -> Vec<Object> {
    values.into_iter().filter_map(Object::from_value).collect()
}

fn suggested() -> Configuration {
    Configuration::of(&objects(priority_levels()), &objects(flow_schemas()))
}

fn info() -> Arc<RequestInfo> {
    Arc::new(RequestInfo::parse(&http::Method::POST, "/api/v1/namespaces/shop/pods", ""))
}

/// A request of a user on its way through the level its schema leads to.
async fn enter(flow: &Flow, user: &str, width: Width, wait: Duration) -> Turn {
    let user = User { name: user.into(), groups: vec!["system:authenticated".into()], ..User::default() };
    let (info, received) = (info(), Instant::now());
    let asking = Asking { info: &info, query: &[], user: &user, received, timeout: None };
    let (force, digest) = (flow.in_force(), digest(&user, &info));
    let route = force.route(&digest);
    route.level.enter(route, &digest, width, &asking, received + wait).await
}

fn limits(flow: &Flow) -> Vec<(String, u64)> {
    let force = flow.in_force();
    force.levels.iter().map(|(name, ruled)| (name.clone(), ruled.level.state().queues.limit())).collect()
}

#[tokio::test(start_paused = true)]
async fn seats_go_where_they_are_wanted_and_never_beyond_bounds() {
    let flow = Flow::new(60);
    flow.replace(suggested());
    let within = || {
        let force = flow.in_force();
        let mut sum = 0;
        for ruled in force.levels.values() {
            let limit = ruled.level.state().queues.limit();
            assert!((ruled.bounds.least..=ruled.bounds.most).contains(&limit), "{} {limit}", ruled.rules.name);
            sum += limit;
        }
        let nominal: u64 = force.levels.values().map(|ruled| ruled.bounds.nominal).sum();
        assert!(sum.abs_diff(nominal) <= force.levels.len() as u64, "{sum} of {nominal}");
    };
    within();
    let general = |flow: &Flow| limits(flow).into_iter().find(|(name, _)| name == "global-default").unwrap().1;
    let before = general(&flow);
    let mut places = Vec::new();
    for number in 0..100 {
        let flow = &flow;
        places.push(async move { enter(flow, &format!("user-{number}"), Width::ONE, Duration::from_mins(1)).await });
    }
    let mut all = std::pin::pin!(futures::future::join_all(places));
    let mut grown = 0;
    for _ in 0..3 {
        let _ = tokio::time::timeout(Duration::from_secs(10), all.as_mut()).await;
        flow.adjust();
        within();
        grown = general(&flow);
    }
    assert!(grown > 2 * before, "from {before} to {grown}");
}

#[tokio::test(start_paused = true)]
async fn who_waits_too_long_is_sent_away_and_who_goes_lets_the_next_in() {
    let flow = Arc::new(Flow::new(60));
    flow.replace(suggested());
    let (_, all) = limits(&flow).into_iter().find(|(name, _)| name == "global-default").unwrap();
    let Turn::Served(place) = enter(&flow, "ann", Width { initial: all, ..Width::ONE }, Duration::ZERO).await else {
        panic!("the first is not served")
    };
    let waited = Instant::now();
    let outcome = enter(&flow, "bob", Width::ONE, Duration::from_secs(3)).await;
    assert!(matches!(outcome, Turn::Refused(1)));
    assert_eq!(waited.elapsed(), Duration::from_secs(3));
    let next = tokio::spawn({
        let flow = Arc::clone(&flow);
        async move { matches!(enter(&flow, "bob", Width::ONE, Duration::from_secs(3)).await, Turn::Served(_)) }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    drop(place);
    assert!(next.await.unwrap());
    let force = flow.in_force();
    assert!(force.levels.values().all(|ruled| ruled.level.is_idle()));
}

#[tokio::test(start_paused = true)]
async fn a_level_that_is_not_configured_any_more_lives_until_it_is_idle() {
    let flow = Flow::new(60);
    flow.replace(suggested());
    let Turn::Served(place) = enter(&flow, "ann", Width::ONE, Duration::ZERO).await else { panic!("it is not served") };
    flow.replace(Configuration::of([], []));
    let names = || limits(&flow).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    assert_eq!(names(), ["catch-all", "exempt", "global-default"]);
    flow.adjust();
    assert_eq!(names().len(), 3);
    drop(place);
    flow.adjust();
    assert_eq!(names(), ["catch-all", "exempt"]);
}
