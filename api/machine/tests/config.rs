//! Documents that are read, and documents that are refused with everything that is wrong about them.

use machine::{LinkName, MachineConfig, Problems};
use proptest::prelude::*;

const HEAD: &str = "apiVersion: orlop.dev/v1alpha1\nkind: MachineConfig\n";

fn read(body: &str) -> Result<MachineConfig, Problems> {
    MachineConfig::parse(&format!("{HEAD}{body}"))
}

fn problems(body: &str) -> Vec<String> {
    read(body).expect_err("the document must be refused").0.iter().map(ToString::to_string).collect()
}

#[test]
fn an_empty_body_means_the_defaults() {
    let config = read("").unwrap();
    assert_eq!(config, MachineConfig::default());
    assert_eq!(config.cluster.name, "orlop");
    assert_eq!(config.cluster.service_subnet.to_string(), "10.96.0.0/12");
    assert_eq!(config.cluster.pod_subnet.to_string(), "10.244.0.0/16");
    assert!(config.machine.disk.is_empty());
}

#[test]
fn every_field_is_read() {
    let config = read(
        r"
machine:
  hostname: cp-1.example.net
  network:
    nameservers: [192.0.2.53, '2001:db8::53']
    interfaces:
      - name: eth0
        addresses: [192.0.2.10/24, '2001:db8::10/64']
        routes:
          - {to: default, via: 192.0.2.1}
          - {to: 198.51.100.0/24, via: 192.0.2.2, metric: 50}
        mtu: 9000
      - mac: 52:54:00:12:34:56
  time: {servers: [192.0.2.123, time.example.net]}
  disk: {device: /dev/sda, serial: ABC}
cluster:
  name: home
  endpoint: https://api.example.net
  serviceSubnet: 10.32.0.0/16
  podSubnet: 10.64.0.0/16
  extraSANs: [k8s.example.net, 192.0.2.99]
",
    )
    .unwrap();
    let [first, second] = config.machine.network.interfaces.as_slice() else { panic!("two interfaces") };
    assert!(!first.dhcp, "an IPv4 address is given");
    assert_eq!(first.routes[0].to.to_string(), "0.0.0.0/0");
    assert_eq!(first.routes[1].metric, Some(50));
    assert!(second.dhcp);
    let LinkName::Mac(mac) = &second.link else { panic!("by hardware address") };
    assert_eq!(mac.to_string(), "52:54:00:12:34:56");
    assert_eq!(config.machine.disk.device.as_deref(), Some("sda"));
    assert_eq!(config.cluster.endpoint.unwrap().to_string(), "api.example.net:6443");
}

#[test]
fn everything_that_is_wrong_is_said_at_once_with_path_and_line() {
    let found = problems(
        "machine:
  hostnam: x
  network:
    interfaces:
      - name: eth0
        mtu: big
        addresses: [192.0.2.10]
        routes: {to: default}
      - dhcp: maybe
        name: eth1
  time: []
cluster:
  name: 12
  serviceSubnet: 10.96.0.1/12
",
    );
    let wanted = [
        "line 4: machine.hostnam: there is no such field (known are hostname, network, time, disk)",
        "line 8: machine.network.interfaces[0].mtu: must be a whole number in range, is the text \"big\"",
        "line 9: machine.network.interfaces[0].addresses[0]: \"192.0.2.10\" is not an address with the length of its network, like 192.0.2.10/24",
        "line 10: machine.network.interfaces[0].routes: must be a list, is a section with fields",
        "line 11: machine.network.interfaces[1].dhcp: must be true or false, is the text \"maybe\"",
        "line 13: machine.time: must be a section with fields, is a list",
        "line 15: cluster.name: must be a text, is the number 12",
        "line 16: cluster.serviceSubnet: has a host part; the network is 10.96.0.0/12",
    ];
    assert_eq!(found, wanted);
}

#[test]
fn a_document_of_another_kind_is_refused() {
    let refused = |text: &str| MachineConfig::parse(text).unwrap_err().to_string();
    assert_eq!(
        refused("apiVersion: v1\nkind: Pod\n"),
        "line 1: apiVersion: must be \"orlop.dev/v1alpha1\", is \"v1\"; line 2: kind: must be \"MachineConfig\", is \"Pod\""
    );
    assert!(refused("machine: {}\n").contains("apiVersion: is missing"));
    assert_eq!(refused(" \n"), "the document is empty");
    assert!(refused("- a\n- b\n").contains("must be a section with fields, is a list"));
    assert!(refused("a: [b\nc: d\n").starts_with("line "), "a syntax error names its line");
}

#[test]
fn contradictions_are_refused() {
    assert_eq!(problems("cluster: {podSubnet: 10.96.0.0/16}\n").len(), 1);
    assert_eq!(problems("cluster: {serviceSubnet: 10.96.0.0/30}\n").len(), 1);
    let interface = |text: &str| problems(&format!("machine: {{network: {{interfaces: [{text}]}}}}\n"));
    assert!(interface("{name: eth0, mac: '52:54:00:12:34:56'}")[0].contains("both"));
    assert!(interface("{dhcp: true}")[0].contains("needs name or mac"));
    assert!(interface("{name: eth0, routes: [{to: default}]}")[0].contains("needs a router"));
    assert!(interface("{name: eth0, routes: [{to: '::/0', via: 192.0.2.1}]}")[0].contains("mixes"));
    assert!(interface("{name: eth0}, {name: eth0}")[0].contains("twice"));
}

#[test]
fn a_field_given_twice_is_refused() {
    assert!(!problems("machine: {hostname: a, hostname: b}\n").is_empty());
}

#[test]
fn the_schema_knows_the_fields() {
    let schema = machine::json_schema();
    assert_eq!(schema["additionalProperties"], false);
    assert!(schema["$defs"]["Cluster"]["properties"]["extraSANs"].is_object());
}

#[test]
fn what_the_raw_document_writes_is_read_again() {
    let document = machine::raw::Document {
        api_version: Some(machine::API_VERSION.into()),
        kind: Some(machine::KIND.into()),
        machine: Some(machine::raw::Machine { hostname: Some("a".into()), ..Default::default() }),
        cluster: None,
    };
    let text = serde_json::to_string(&document).unwrap();
    assert_eq!(MachineConfig::parse(&text).unwrap().machine.hostname.as_deref(), Some("a"), "JSON is YAML");
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC{0,200}") {
        let _ = MachineConfig::parse(&text);
    }

    #[test]
    fn no_document_makes_the_parser_panic(fields in proptest::collection::vec(
        ("(machine|cluster|kind|network|x)", "( |\n  |\n  - |\n    )", "[a-z0-9:/.\\[\\]{}&*!-]{0,12}"), 0..12)) {
        let lines: Vec<_> = fields.into_iter().map(|(key, gap, value)| format!("{key}:{gap}{value}")).collect();
        let _ = read(&lines.join("\n"));
    }
}
