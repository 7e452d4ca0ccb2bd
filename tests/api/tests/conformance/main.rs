//! Upstream's conformance behaviours: a folder and a file for each of theirs. `conformance.txt` says which of them hold.

#![allow(clippy::module_inception)] // upstream has such folders, and names are upstream's here

mod apimachinery {
    pub(crate) mod aggregated_discovery;
    pub(crate) mod chunking;
    pub(crate) mod custom_resource_definition;
    pub(crate) mod discovery;
    pub(crate) mod field_validation;
    pub(crate) mod flowcontrol;
    pub(crate) mod mutatingadmissionpolicy;
    pub(crate) mod namespace;
    pub(crate) mod resource_quota;
    pub(crate) mod server_version;
    pub(crate) mod storage_version_migration;
    pub(crate) mod table_conversion;
    pub(crate) mod validatingadmissionpolicy;
    pub(crate) mod watch;
    pub(crate) mod webhook;
}

mod apps {
    pub(crate) mod controller_revision;
    pub(crate) mod cronjob;
    pub(crate) mod daemon_set;
    pub(crate) mod deployment;
    pub(crate) mod disruption;
    pub(crate) mod job;
    pub(crate) mod rc;
    pub(crate) mod replica_set;
    pub(crate) mod statefulset;
}

mod auth {
    pub(crate) mod certificates;
    pub(crate) mod podcertificaterequest;
    pub(crate) mod projected_clustertrustbundle;
    pub(crate) mod projected_podcertificate;
    pub(crate) mod service_accounts;
    pub(crate) mod subjectreviews;
}

mod common {
    pub(crate) mod node {
        pub(crate) mod configmap;
        pub(crate) mod ephemeral_containers;
        pub(crate) mod lease;
        pub(crate) mod pods;
        pub(crate) mod podtemplates;
        pub(crate) mod runtimeclass;
        pub(crate) mod secrets;
        pub(crate) mod sysctl;
    }
    pub(crate) mod storage {
        pub(crate) mod configmap_volume;
        pub(crate) mod secrets_volume;
    }
}

mod dra {
    pub(crate) mod dra;
}

mod instrumentation {
    pub(crate) mod core_events;
    pub(crate) mod events;
}

mod kubectl {
    pub(crate) mod kubectl;
}

mod network {
    pub(crate) mod apiserver;
    pub(crate) mod endpoints;
    pub(crate) mod endpointslice;
    pub(crate) mod ingress;
    pub(crate) mod ingressclass;
    pub(crate) mod service;
    pub(crate) mod service_cidrs;
}

mod node {
    pub(crate) mod node_lifecycle;
    pub(crate) mod pods;
}

mod scheduling {
    pub(crate) mod limit_range;
    pub(crate) mod preemption;
}

mod storage {
    pub(crate) mod csi_inline;
    pub(crate) mod csi_node;
    pub(crate) mod csistoragecapacity;
    pub(crate) mod persistent_volumes;
    pub(crate) mod storageclass;
    pub(crate) mod volume_attachment;
    pub(crate) mod volumeattributesclass;
}

use std::collections::BTreeSet;
use std::process::Command;

use tests_api::conformance::{Behaviour, List, together};
use tests_api::rig::StoreKind;

const LIST: &str = include_str!("../../conformance.txt");

/// Every behaviour.
fn all() -> Vec<Behaviour> {
    [
        apimachinery::aggregated_discovery::BEHAVIOURS,
        apimachinery::chunking::BEHAVIOURS,
        apimachinery::custom_resource_definition::BEHAVIOURS,
        apimachinery::discovery::BEHAVIOURS,
        apimachinery::field_validation::BEHAVIOURS,
        apimachinery::flowcontrol::BEHAVIOURS,
        apimachinery::mutatingadmissionpolicy::BEHAVIOURS,
        apimachinery::namespace::BEHAVIOURS,
        apimachinery::resource_quota::BEHAVIOURS,
        apimachinery::server_version::BEHAVIOURS,
        apimachinery::storage_version_migration::BEHAVIOURS,
        apimachinery::table_conversion::BEHAVIOURS,
        apimachinery::validatingadmissionpolicy::BEHAVIOURS,
        apimachinery::watch::BEHAVIOURS,
        apimachinery::webhook::BEHAVIOURS,
        apps::controller_revision::BEHAVIOURS,
        apps::cronjob::BEHAVIOURS,
        apps::daemon_set::BEHAVIOURS,
        apps::deployment::BEHAVIOURS,
        apps::disruption::BEHAVIOURS,
        apps::job::BEHAVIOURS,
        apps::rc::BEHAVIOURS,
        apps::replica_set::BEHAVIOURS,
        apps::statefulset::BEHAVIOURS,
        auth::certificates::BEHAVIOURS,
        auth::podcertificaterequest::BEHAVIOURS,
        auth::projected_clustertrustbundle::BEHAVIOURS,
        auth::projected_podcertificate::BEHAVIOURS,
        auth::service_accounts::BEHAVIOURS,
        auth::subjectreviews::BEHAVIOURS,
        common::node::configmap::BEHAVIOURS,
        common::node::ephemeral_containers::BEHAVIOURS,
        common::node::lease::BEHAVIOURS,
        common::node::pods::BEHAVIOURS,
        common::node::podtemplates::BEHAVIOURS,
        common::node::runtimeclass::BEHAVIOURS,
        common::node::secrets::BEHAVIOURS,
        common::node::sysctl::BEHAVIOURS,
        common::storage::configmap_volume::BEHAVIOURS,
        common::storage::secrets_volume::BEHAVIOURS,
        dra::dra::BEHAVIOURS,
        instrumentation::core_events::BEHAVIOURS,
        instrumentation::events::BEHAVIOURS,
        kubectl::kubectl::BEHAVIOURS,
        network::apiserver::BEHAVIOURS,
        network::endpoints::BEHAVIOURS,
        network::endpointslice::BEHAVIOURS,
        network::ingress::BEHAVIOURS,
        network::ingressclass::BEHAVIOURS,
        network::service::BEHAVIOURS,
        network::service_cidrs::BEHAVIOURS,
        node::node_lifecycle::BEHAVIOURS,
        node::pods::BEHAVIOURS,
        scheduling::limit_range::BEHAVIOURS,
        scheduling::preemption::BEHAVIOURS,
        storage::csi_inline::BEHAVIOURS,
        storage::csi_node::BEHAVIOURS,
        storage::csistoragecapacity::BEHAVIOURS,
        storage::persistent_volumes::BEHAVIOURS,
        storage::storageclass::BEHAVIOURS,
        storage::volume_attachment::BEHAVIOURS,
        storage::volumeattributesclass::BEHAVIOURS,
    ]
    .concat()
}

#[test]
fn all_together_on_etcd() {
    together(StoreKind::Etcd, &all());
}

#[test]
fn all_together_on_three_members() {
    together(StoreKind::ThreeMembers, &all());
}

/// What this program has of tests of behaviours: all, or only those that are ignored.
fn tests(ignored: bool) -> BTreeSet<String> {
    let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
    command.args(["--list", "--format=terse"]).args(ignored.then_some("--ignored"));
    let output = command.output().expect("list the tests");
    let lines = String::from_utf8(output.stdout).expect("names are text");
    let names = lines.lines().filter_map(|line| line.strip_suffix(": test")).filter(|name| name.contains("::"));
    names.map(|name| name.replace("::test::", "::")).collect()
}

#[test]
fn the_list_is_true() {
    let list = List::parse(LIST).expect("a list");
    let listed: Vec<&str> = list.tests().collect();
    let named: BTreeSet<String> = listed.iter().map(ToString::to_string).collect();
    assert_eq!(named, tests(false), "left: what the list says is shown; right: what there is");
    assert_eq!(tests(true), BTreeSet::new(), "a behaviour that is shown is not ignored");
    let played: BTreeSet<String> = all().iter().map(|behaviour| behaviour.name().to_owned()).collect();
    assert_eq!(named, played, "what is shown on one store is shown on all");
}

/// The counts of each file stand in the list beside its name, and their sums here: whoever takes a behaviour away must say so twice.
#[test]
fn the_list_only_grows() {
    let list = List::parse(LIST).expect("a list");
    assert_eq!(list.counts, list.counted(), "left: what the list says of its files; right: what they have");
    let sum = |of: fn(&tests_api::conformance::Count) -> usize| list.counts.values().map(of).sum::<usize>();
    let (needs_a_server, green, part) = (sum(|one| one.needs_a_server), sum(|one| one.green), sum(|one| one.part));
    // As many as upstream has in this release.
    assert_eq!(needs_a_server, 121);
    assert_eq!((green, part), (99, 46), "this number goes up");
}
