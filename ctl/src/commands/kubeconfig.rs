//! Credentials of an administrator of the Kubernetes API: the key is made here, the machine signs its public half.

use std::fs;
use std::io::{Write, stdout};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proto::machine::{KubeconfigRequest, KubeconfigResponse};
use serde_json::json;

use crate::cli::KubeconfigArgs;
use crate::connection::Machine;
use crate::error::Error;

const PRIVATE: u32 = 0o600;

pub(crate) async fn write(machine: Machine, args: &KubeconfigArgs) -> Result<(), Error> {
    let path = Path::new(&args.path);
    let to_file = args.path != "-";
    if to_file && !args.force && fs::symlink_metadata(path).is_ok() {
        return Err(Error::Exists { path: path.into() });
    }
    let subject = pki::Subject::with_organization("kubernetes-admin", "system:masters");
    let fresh = pki::KeyAndCsr::generate(&subject).map_err(Error::Key)?;
    let mut client = machine.client.clone();
    let request = KubeconfigRequest { csr: fresh.csr_pem };
    let mut granted = machine.answer("ask for a kubeconfig", client.kubeconfig(request)).await?;
    if let Some(server) = &args.server {
        granted.server.clone_from(server);
    }
    let text = kubeconfig(&granted, &fresh.key_pem);
    if !to_file {
        return Ok(stdout().write_all(text.as_bytes())?);
    }
    durable::write(path, text.as_bytes(), PRIVATE).map_err(|source| Error::Write { path: path.into(), source })?;
    Ok(writeln!(stdout(), "{}", path.display())?)
}

/// The file that kubectl reads. It is JSON, which every reader of YAML takes.
fn kubeconfig(granted: &KubeconfigResponse, key_pem: &str) -> String {
    let cluster = &granted.cluster_name;
    let user = format!("admin@{cluster}");
    let document = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{
            "name": cluster,
            "cluster": {
                "server": granted.server,
                "certificate-authority-data": STANDARD.encode(&granted.certificate_authority),
            },
        }],
        "users": [{
            "name": user,
            "user": {
                "client-certificate-data": STANDARD.encode(&granted.certificate),
                "client-key-data": STANDARD.encode(key_pem),
            },
        }],
        "contexts": [{"name": user, "context": {"cluster": cluster, "user": user}}],
        "current-context": user,
    });
    format!("{document:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_context_joins_the_cluster_and_the_user() {
        let granted = KubeconfigResponse {
            cluster_name: "orlop".into(),
            server: "https://192.0.2.10:6443".into(),
            certificate_authority: "ca".into(),
            certificate: "cert".into(),
        };
        let read: serde_json::Value = serde_json::from_str(&kubeconfig(&granted, "key")).unwrap();
        assert_eq!(read["current-context"], "admin@orlop");
        assert_eq!(read["contexts"][0]["context"], json!({"cluster": "orlop", "user": "admin@orlop"}));
        assert_eq!(read["clusters"][0]["cluster"]["server"], "https://192.0.2.10:6443");
        assert_eq!(read["users"][0]["user"]["client-key-data"], STANDARD.encode("key"));
    }
}
