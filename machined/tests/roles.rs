//! The table of roles beside the protocol as it was compiled.

use machined_core::roles;
use prost::Message;
use prost_types::FileDescriptorSet;

#[test]
fn the_table_and_the_protocol_name_the_same_methods() {
    let files = FileDescriptorSet::decode(proto::DESCRIPTORS).unwrap().file;
    let package = files.iter().filter(|file| file.package() == "orlop.machine.v1alpha1");
    let services: Vec<_> = package.flat_map(|file| &file.service).collect();
    let [machine] = services[..] else { panic!("another service has no rules: {services:?}") };
    assert_eq!(format!("orlop.machine.v1alpha1.{}", machine.name()), roles::SERVICE);
    for method in &machine.method {
        let path = format!("/{}/{}", roles::SERVICE, method.name());
        assert!(roles::rule_for(&path).is_some(), "{} has no rule, so nobody could call it", method.name());
    }
    for rule in &roles::TABLE {
        let found = machine.method.iter().filter(|method| method.name() == rule.method).count();
        assert_eq!(found, 1, "{} has a rule and is no method", rule.method);
        assert_eq!(roles::TABLE.iter().filter(|other| other.method == rule.method).count(), 1, "{}", rule.method);
    }
}
