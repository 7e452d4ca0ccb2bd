//! Audit policies, and requests that are judged by them. The policy and the request are parted by the first empty line.

#![no_main]

use audit::{Attributes, Policy, Resource};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (policy, request) = text.split_once("\n\n").unwrap_or((text, ""));
    let Ok(policy) = Policy::read(policy) else { return };
    let mut words = request.lines();
    let mut word = || words.next().unwrap_or_default();
    let (user, group, verb, path) = (word(), word(), word(), word());
    let groups = [group.to_owned()];
    let resource = Resource { group: word(), resource: word(), subresource: word(), namespace: word(), name: word() };
    for resource in [None, Some(resource)] {
        let request = Attributes { user, groups: &groups, verb, resource, path };
        assert_eq!(policy.plan(&request), policy.plan(&request));
    }
});
