//! The document as it is written: every field may be missing, texts are not looked at yet.
//!
//! Add a field here, then give it a meaning in `checked.rs`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The whole document.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "a section with fields")]
pub struct Document {
    /// Always `orlop.dev/v1alpha1`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,
    /// Always `MachineConfig`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// What concerns this machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine: Option<Machine>,
    /// What concerns the cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<Cluster>,
}

/// What concerns this machine.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "a section with fields")]
pub struct Machine {
    /// Name of the machine. Without it DHCP names it, else `orlop-` and a part of the machine id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Interfaces, addresses, name servers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<Network>,
    /// Where the time comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<Time>,
    /// Which disk may be formatted for state and data. Only a blank disk ever is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk: Option<Disk>,
}

/// Interfaces, addresses, name servers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "a section with fields")]
pub struct Network {
    /// The interfaces that are not left to their default, which is DHCP on every Ethernet interface with a link.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interfaces: Option<Vec<Interface>>,
    /// Name servers. Without them those of DHCP are used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nameservers: Option<Vec<String>>,
}

/// One interface.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "a section with fields")]
pub struct Interface {
    /// Its name, for example `eth0`. Either this or `mac`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its hardware address, for example `52:54:00:12:34:56`. Either this or `name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// Ask DHCP for an IPv4 address. Default: yes, if no IPv4 address is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dhcp: Option<bool>,
    /// Addresses with the length of their network, for example `192.0.2.10/24`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub addresses: Option<Vec<String>>,
    /// Routes through this interface.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub routes: Option<Vec<Route>>,
    /// Largest packet, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
}

/// One route.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "a section with fields")]
pub struct Route {
    /// The network it leads to, for example `198.51.100.0/24`; `default` for everything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The router.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub via: Option<String>,
    /// Of two routes to one network the lower metric wins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric: Option<u32>,
}

/// Where the time comes from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "a section with fields")]
pub struct Time {
    /// NTP servers, by address or name. Without them those of DHCP are used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub servers: Option<Vec<String>>,
}

/// Which disk may be formatted for state and data. All given fields must match. Only a blank disk ever is formatted.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "a section with fields")]
pub struct Disk {
    /// Its device, for example `/dev/sda`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// Its serial number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// Its model, as a part of the text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
}

/// What concerns the cluster.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "a section with fields")]
pub struct Cluster {
    /// Name of the cluster, as it stands in a kubeconfig. Default `orlop`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where clients reach the Kubernetes API, for example `https://api.example.net:6443`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Addresses of services. Default `10.96.0.0/12`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_subnet: Option<String>,
    /// Addresses of pods. Default `10.244.0.0/16`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_subnet: Option<String>,
    /// Further names and addresses that clients use for the Kubernetes API.
    #[serde(rename = "extraSANs", skip_serializing_if = "Option::is_none")]
    pub extra_sans: Option<Vec<String>>,
}
