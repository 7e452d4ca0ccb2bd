//! The operator's credentials: the key is made here and stays here; the machine signs its public half at each boot.

use std::fmt::Write as _;
use std::fs;
use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::folder::Folder;

/// The role that the certificate asks for.
const ROLE: &str = "orlop:admin";
/// Certificates and keys are for their owner's eyes only.
const PRIVATE: u32 = 0o600;

/// Why the operator has no credentials.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read or written.
    #[error("keep the operator's credentials in {folder}")]
    File {
        /// The machine's folder.
        folder: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// No key could be made.
    #[error("make the operator's key")]
    Key(#[source] pki::Error),
}

/// What is needed to call the machine API.
#[derive(Clone)]
pub struct Credentials {
    /// The authority of the machine API.
    pub ca_pem: String,
    /// The operator's certificate.
    pub cert_pem: String,
    /// The operator's private key.
    pub key_pem: String,
}

/// Makes the key and the request when they are not there.
pub fn ensure_request(folder: &Folder) -> Result<(), Error> {
    if folder.operator_key().exists() && folder.operator_request().exists() {
        return Ok(());
    }
    let fresh = pki::KeyAndCsr::generate(&pki::Subject::with_organization("operator", ROLE)).map_err(Error::Key)?;
    // The key first: a request without its key would be signed and be of no use.
    durable::write(&folder.operator_key(), fresh.key_pem.as_bytes(), PRIVATE)
        .and_then(|()| durable::write(&folder.operator_request(), fresh.csr_pem.as_bytes(), 0o644))
        .map_err(|source| file_error(folder, source))
}

/// The credentials, when the machine has handed out a certificate in this run of QEMU.
pub fn credentials(folder: &Folder) -> Result<Option<Credentials>, Error> {
    let bundle = match fs::read(folder.operator_bundle()) {
        Ok(bundle) => bundle,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(file_error(folder, source)),
    };
    let Some((cert_pem, ca_pem)) = last_pair(&String::from_utf8_lossy(&bundle)) else { return Ok(None) };
    let key_pem = fs::read_to_string(folder.operator_key()).map_err(|source| file_error(folder, source))?;
    Ok(Some(Credentials { ca_pem, cert_pem, key_pem }))
}

/// Writes the configuration of `orlopctl` for a machine API on this port of the loopback.
pub fn write_orlopconfig(folder: &Folder, name: &str, port: u16, credentials: &Credentials) -> Result<(), Error> {
    durable::write(&folder.orlopconfig(), orlopconfig(name, port, credentials).as_bytes(), PRIVATE)
        .map_err(|source| file_error(folder, source))
}

fn file_error(folder: &Folder, source: io::Error) -> Error {
    Error::File { folder: folder.path().display().to_string(), source }
}

fn orlopconfig(name: &str, port: u16, credentials: &Credentials) -> String {
    let mut text = format!(
        "apiVersion: orlop.dev/v1alpha1\nkind: ClientConfig\ncurrentContext: {name}\ncontexts:\n- name: {name}\n  endpoint: 127.0.0.1:{port}\n"
    );
    for (field, pem) in [("ca", &credentials.ca_pem), ("cert", &credentials.cert_pem), ("key", &credentials.key_pem)] {
        let _ = writeln!(text, "  {field}: {}", STANDARD.encode(pem));
    }
    text
}

/// The last whole pair of certificates: the operator's and the authority's. The machine writes one pair at each boot,
/// and a pair that is still being written is not taken.
fn last_pair(bundle: &str) -> Option<(String, String)> {
    const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
    const END: &str = "-----END CERTIFICATE-----";
    let mut certificates = Vec::new();
    let mut rest = bundle;
    while let Some(begin) = rest.find(BEGIN) {
        let end = begin + rest[begin..].find(END)? + END.len();
        certificates.push(format!("{}\n", &rest[begin..end]));
        rest = &rest[end..];
    }
    if certificates.len() % 2 == 1 {
        return None;
    }
    let authority = certificates.pop()?;
    Some((certificates.pop()?, authority))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn pem(name: &str) -> String {
        format!("-----BEGIN CERTIFICATE-----\n{name}\n-----END CERTIFICATE-----\n")
    }

    #[test]
    fn the_pair_of_the_last_boot_counts() {
        let first = pem("operator 1") + &pem("ca 1");
        assert_eq!(last_pair(&first), Some((pem("operator 1"), pem("ca 1"))));
        let second = first.clone() + &pem("operator 2") + &pem("ca 2");
        assert_eq!(last_pair(&second), Some((pem("operator 2"), pem("ca 2"))));
    }

    #[test]
    fn a_pair_that_is_not_whole_is_not_taken() {
        let whole = pem("operator") + &pem("ca");
        for end in 0..whole.trim_end().len() {
            assert_eq!(last_pair(&whole[..end]), None, "{end} bytes");
        }
    }

    #[test]
    fn the_key_is_private_and_stays() {
        let path = std::env::temp_dir().join(format!("operator-{}", std::process::id()));
        let folder = Folder::create(&path).unwrap();
        ensure_request(&folder).unwrap();
        let key = fs::read(folder.operator_key()).unwrap();
        assert_eq!(fs::metadata(folder.operator_key()).unwrap().permissions().mode() & 0o777, 0o600);
        ensure_request(&folder).unwrap();
        assert_eq!(fs::read(folder.operator_key()).unwrap(), key);
        assert!(fs::read_to_string(folder.operator_request()).unwrap().contains("CERTIFICATE REQUEST"));
        assert!(credentials(&folder).unwrap().is_none());
        fs::write(folder.operator_bundle(), pem("operator") + &pem("ca")).unwrap();
        assert_eq!(credentials(&folder).unwrap().unwrap().ca_pem, pem("ca"));
        fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn the_client_configuration_has_the_fields_of_its_kind() {
        let credentials = Credentials { ca_pem: "a".into(), cert_pem: "b".into(), key_pem: "c".into() };
        assert_eq!(
            orlopconfig("local", 4000, &credentials),
            "apiVersion: orlop.dev/v1alpha1\nkind: ClientConfig\ncurrentContext: local\ncontexts:\n- name: local\n  \
             endpoint: 127.0.0.1:4000\n  ca: YQ==\n  cert: Yg==\n  key: Yw==\n"
        );
    }
}
