//! The table of roles beside the protocol as it was compiled.

use machined_core::roles;
use prost::Message;
use prost_types::FileDescriptorSet;

#[test]
fn the_table_and_the_protocol_name_the_same_methods() {
    let files = FileDescriptorSet::decode(proto::DESCRIPTORS).unwrap().file;
    let services = files.iter().flat_map(|file| file.service.iter().map(|service| (file.package(), service)));
    let full_name = |package: &str, name: &str| format!("{package}.{name}");
    let (_, machine) = services
        .filter(|(package, _)| *package == "orlop.machine.v1alpha1")
        .inspect(|(package, service)| assert_eq!(full_name(package, service.name()), roles::SERVICE, "it has no rules"))
        .last()
        .expect("the protocol has the service");
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
