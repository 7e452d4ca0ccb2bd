//! Connections to what objects stand for: what a request for one must say, and where it leads.
//!
//! A container is reached through the kubelet of its node, a proxied pod, Service or node at an address of its own.

use std::net::IpAddr;

use serde_json::Value;

use crate::field::{Errors, Path};
use crate::object::Object;
use crate::status::Status;

/// Where a connection leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// To a container, through the kubelet of this node.
    Container {
        /// The node.
        node: String,
        /// The container; empty for the whole pod.
        container: String,
    },
    /// To an address.
    Address {
        /// The address.
        ip: IpAddr,
        /// The port as the request or the object says it; empty for the scheme's own.
        port: String,
    },
    /// Nowhere yet, and there is nothing to be said about it: the log of a pod that never ran is empty.
    Nothing,
}

/// Decides where a connection to a pod other than a proxied one leads.
///
/// # Errors
///
/// 422 for options of a log that make no sense, 400 without a container to choose or without a node.
pub fn to_container(pod: &Object, subresource: &str, query: &[(String, String)]) -> Result<Destination, Status> {
    let name = pod.name().unwrap_or_default();
    if subresource == "log" {
        check_log_options(name, query)?;
    }
    let container = match subresource {
        "portforward" => String::new(),
        _ => container(pod, name, first(query, "container"))?,
    };
    match pod.text(&["spec", "nodeName"]).filter(|node| !node.is_empty()) {
        Some(node) => Ok(Destination::Container { node: node.to_owned(), container }),
        None if subresource == "log" => Ok(Destination::Nothing),
        None => Err(Status::bad_request(format!("pod {name} does not have a host assigned"))),
    }
}

fn first<'a>(query: &'a [(String, String)], name: &str) -> &'a str {
    query.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str())
}

fn integer(query: &[(String, String)], name: &str) -> Result<Option<i64>, Status> {
    let text = first(query, name);
    if text.is_empty() {
        return Ok(None);
    }
    let wrong = || Status::bad_request(format!("strconv.ParseInt: parsing {text:?}: invalid syntax"));
    text.parse().map(Some).map_err(|_| wrong())
}

/// The rules of `PodLogOptions`.
fn check_log_options(pod: &str, query: &[(String, String)]) -> Result<(), Status> {
    let mut errors = Errors::new();
    let tail = integer(query, "tailLines")?;
    if let Some(lines) = tail.filter(|lines| *lines < 0) {
        errors.invalid(&Path::new("tailLines"), lines, "must be greater than or equal to 0");
    }
    if let Some(bytes) = integer(query, "limitBytes")?.filter(|bytes| *bytes < 1) {
        errors.invalid(&Path::new("limitBytes"), bytes, "must be greater than 0");
    }
    let since = integer(query, "sinceSeconds")?;
    if since.is_some() && !first(query, "sinceTime").is_empty() {
        errors.forbidden(&Path::new(""), "at most one of `sinceTime` or `sinceSeconds` may be specified");
    } else if let Some(seconds) = since.filter(|seconds| *seconds < 1) {
        errors.invalid(&Path::new("sinceSeconds"), seconds, "must be greater than 0");
    }
    match first(query, "stream") {
        "Stdout" | "Stderr" if tail.is_some() => {
            errors.forbidden(&Path::new(""), "`tailLines` and specific `stream` are mutually exclusive for now");
        }
        "" | "All" | "Stdout" | "Stderr" => {}
        other => errors.not_supported(&Path::new("stream"), other, &["All", "Stderr", "Stdout"]),
    }
    if errors.is_empty() { Ok(()) } else { Err(Status::invalid("", "PodLogOptions", pod, &errors)) }
}

/// The container that is meant.
fn container(pod: &Object, name: &str, asked: &str) -> Result<String, Status> {
    let names = |list: &str| -> Vec<&str> {
        pod.list(&["spec", list]).iter().filter_map(|one| one.get("name")?.as_str()).collect()
    };
    let (containers, init) = (names("containers"), names("initContainers"));
    if !asked.is_empty() {
        let known =
            containers.contains(&asked) || init.contains(&asked) || names("ephemeralContainers").contains(&asked);
        let unknown = || Status::bad_request(format!("container {asked} is not valid for pod {name}"));
        return if known { Ok(asked.to_owned()) } else { Err(unknown()) };
    }
    let must = format!("a container name must be specified for pod {name}");
    match containers.as_slice() {
        [only] => Ok((*only).to_owned()),
        [] => Err(Status::bad_request(must)),
        [..] if init.is_empty() => {
            Err(Status::bad_request(format!("{must}, choose one of: [{}]", containers.join(" "))))
        }
        [..] => Err(Status::bad_request(format!(
            "{must}, choose one of: [{}] or one of the init containers: [{}]",
            containers.join(" "),
            init.join(" ")
        ))),
    }
}

/// The options of a connection, as an object that admission can look at.
pub fn options(kind: &str, query: &[(String, String)], rest: &[String]) -> Object {
    let mut options = Object::new("v1", kind);
    let texts = |name: &str| -> Vec<Value> {
        query.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str().into()).collect()
    };
    match kind {
        "PodExecOptions" | "PodAttachOptions" => {
            for flag in ["stdin", "stdout", "stderr", "tty"] {
                if matches!(first(query, flag), "true" | "1" | "True" | "TRUE" | "t" | "T") {
                    options.set(&[flag], true);
                }
            }
            let container = first(query, "container");
            if !container.is_empty() {
                options.set(&["container"], container);
            }
            if kind == "PodExecOptions" {
                options.set(&["command"], texts("command"));
            }
        }
        "PodPortForwardOptions" => {
            let ports = query.iter().filter(|(key, _)| key == "ports").flat_map(|(_, value)| value.split(','));
            let ports: Vec<Value> = ports.filter_map(|port| Some(port.parse::<u16>().ok()?.into())).collect();
            if !ports.is_empty() {
                options.set(&["ports"], ports);
            }
        }
        _ => {
            if !rest.is_empty() {
                options.set(&["path"], rest.join("/"));
            }
        }
    }
    options
}

/// What the name in the path of a proxy says: `name`, `name:port` or `scheme:name:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxied<'a> {
    /// `http`, `https` or nothing.
    pub scheme: &'a str,
    /// The object.
    pub name: &'a str,
    /// A number, the name of a port, or nothing.
    pub port: &'a str,
}

impl<'a> Proxied<'a> {
    /// Takes the name of a path apart. `what` is `pod`, `service` or `node`, for the message.
    ///
    /// # Errors
    ///
    /// 400 when it is no such name.
    pub fn parse(what: &str, id: &'a str) -> Result<Self, Status> {
        let parts: Vec<&str> = id.split(':').collect();
        let (scheme, name, port) = match *parts.as_slice() {
            [name] => ("", name, ""),
            [name, port] => ("", name, port),
            [scheme, name, port] => (scheme, name, port),
            _ => ("?", "", ""),
        };
        if name.is_empty() || !["", "http", "https"].contains(&scheme) {
            return Err(Status::bad_request(format!("invalid {what} request {id:?}")));
        }
        Ok(Self { scheme, name, port })
    }
}

/// Where a proxied pod is.
///
/// # Errors
///
/// 400 without an address that may be proxied to.
pub fn to_pod(pod: &Object, proxied: &Proxied<'_>) -> Result<Destination, Status> {
    let declared = || {
        pod.list(&["spec", "containers"])
            .iter()
            .find_map(|container| container.get("ports")?.get(0)?.get("containerPort")?.as_i64())
            .map(|port| port.to_string())
            .unwrap_or_default()
    };
    let port = if proxied.port.is_empty() { declared() } else { proxied.port.to_owned() };
    address(pod.text(&["status", "podIP"]).unwrap_or_default(), port)
}

/// Where a proxied Service is: at one of its endpoints.
///
/// # Errors
///
/// 503 when the port or the endpoints are not there, as upstream.
pub fn to_service(service: &Object, endpoints: Option<&Object>, proxied: &Proxied<'_>) -> Result<Destination, Status> {
    let name = proxied.name;
    let ports = service.list(&["spec", "ports"]);
    let member = |port: &Value, member: &str| port.get(member).and_then(Value::as_str).unwrap_or_default().to_owned();
    let number = |port: &Value| port.get("port").and_then(Value::as_i64).unwrap_or(0).to_string();
    let wanted = match (proxied.port, ports) {
        ("", [only]) => Some(member(only, "name")),
        (asked, _) => ports
            .iter()
            .find(|port| member(port, "name") == asked || number(port) == asked)
            .map(|port| member(port, "name")),
    };
    let Some(wanted) = wanted else {
        let why = format!("no service port {:?} found for service {name:?}", proxied.port);
        return Err(Status::service_unavailable(why));
    };
    for subset in endpoints.map_or(&[][..], |endpoints| endpoints.list(&["subsets"])) {
        let list = |member: &str| subset.get(member).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let port = list("ports").iter().find(|port| member(port, "name") == wanted);
        let ip = list("addresses").first().and_then(|one| one.get("ip")?.as_str());
        if let (Some(port), Some(ip)) = (port, ip) {
            return address(ip, number(port));
        }
    }
    Err(Status::service_unavailable(format!("no endpoints available for service {name:?}")))
}

/// Where a proxied node is.
///
/// # Errors
///
/// 400 without an address that may be proxied to.
pub fn to_node(node: &Object, proxied: &Proxied<'_>) -> Result<Destination, Status> {
    let addresses = node.list(&["status", "addresses"]);
    let of = |kind: &str| {
        let mut found = addresses.iter().filter(|one| one.get("type").and_then(Value::as_str) == Some(kind));
        found.next().and_then(|one| one.get("address")?.as_str())
    };
    let Some(ip) = of("InternalIP").or_else(|| of("ExternalIP")) else {
        let known: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        return Err(Status::unclassified(format!(
            "no preferred addresses found; known addresses: [{}]",
            known.join(" ")
        )));
    };
    address(ip, proxied.port.to_owned())
}

/// An address that may be proxied to: neither the server itself nor its neighbours on the wire.
fn address(text: &str, port: String) -> Result<Destination, Status> {
    let refused = || Status::bad_request("address not allowed");
    let ip: IpAddr = text.parse().map_err(|_| refused())?;
    let local = match ip {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    if ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() || local {
        return Err(refused());
    }
    Ok(Destination::Address { ip, port })
}

#[cfg(test)]
mod tests;
