//! What a server tells Prometheus.

use std::path::Path;
use std::process::Command;

/// The page of a server whose certificates are in `folder`; empty when it does not answer.
pub fn page(folder: &Path, endpoint: &str) -> String {
    let mut command = Command::new("curl");
    command.args(["--silent", "--max-time", "5", "--cacert"]).arg(folder.join("ca.crt"));
    command.arg("--cert").arg(folder.join("client.crt")).arg("--key").arg(folder.join("client.key"));
    let output = command.arg(format!("{endpoint}/metrics")).output().expect("curl is there");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A figure of a server; `None` when it does not tell.
pub fn figure(folder: &Path, endpoint: &str, name: &str) -> Option<f64> {
    page(folder, endpoint).lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}
