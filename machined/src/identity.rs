//! Who this machine is: its ids and its authorities, made once and kept on the state partition.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use machined_core::services::Authorities;
use pki::{Authority, AuthorityName, ServiceAccountKey};

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A file could not be read or written; a full disk ends here.
    #[error("{what} {}", path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// An id is not one. It is not made anew, because others know this machine by the old one.
    #[error("{} does not hold an id", path.display())]
    Id {
        /// The file.
        path: PathBuf,
    },
    /// A key or a certificate could not be made or is damaged. It is not made anew, because others trust the old one.
    #[error("use the authorities in {}", folder.display())]
    Pki {
        /// The folder.
        folder: PathBuf,
        /// The cause.
        #[source]
        source: pki::Error,
    },
}

/// Ids and authorities.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) machine_id: String,
    pub(crate) cluster_id: String,
    pub(crate) authorities: Authorities,
}

/// Reads the identity below `state`, or makes what was never made.
///
/// # Guarantees
///
/// What exists is never replaced. A key is written before its certificate, and an authority exists once its
/// certificate does; so a power cut in between leaves nothing that anyone could trust already.
pub(crate) fn load_or_make(state: &Path, now: SystemTime) -> Result<Identity, Error> {
    let folder = state.join("pki");
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&folder);
    made.map_err(|source| Error::File { what: "make the folder", path: folder.clone(), source })?;
    let one = |name| authority(&folder, name, now);
    Ok(Identity {
        machine_id: id(&state.join("machine-id"))?,
        cluster_id: id(&state.join("cluster-id"))?,
        authorities: Authorities {
            machine: one(AuthorityName::Machine)?,
            kubernetes: one(AuthorityName::Kubernetes)?,
            etcd_peer: one(AuthorityName::EtcdPeer)?,
            etcd: one(AuthorityName::Etcd)?,
            front_proxy: one(AuthorityName::FrontProxy)?,
            service_accounts: service_accounts(&folder)?,
        },
    })
}

/// An identity that is kept nowhere, for a machine whose own cannot be used: its API can still be reached.
pub(crate) fn fleeting(now: SystemTime) -> Result<Identity, pki::Error> {
    Ok(Identity {
        machine_id: fresh_id(),
        cluster_id: fresh_id(),
        authorities: Authorities {
            machine: Authority::generate(AuthorityName::Machine, now)?,
            kubernetes: Authority::generate(AuthorityName::Kubernetes, now)?,
            etcd_peer: Authority::generate(AuthorityName::EtcdPeer, now)?,
            etcd: Authority::generate(AuthorityName::Etcd, now)?,
            front_proxy: Authority::generate(AuthorityName::FrontProxy, now)?,
            service_accounts: ServiceAccountKey::generate()?,
        },
    })
}

fn authority(folder: &Path, name: AuthorityName, now: SystemTime) -> Result<Authority, Error> {
    let cert_path = folder.join(format!("{name}.crt"));
    let key_path = folder.join(format!("{name}.key"));
    let pki = |source| Error::Pki { folder: folder.to_owned(), source };
    if let Some(cert) = read(&cert_path)? {
        let missing =
            || Error::File { what: "read", path: key_path.clone(), source: io::Error::from(io::ErrorKind::NotFound) };
        let key = read(&key_path)?.ok_or_else(missing)?;
        return Authority::from_pem(name, &cert, &key).map_err(pki);
    }
    let authority = Authority::generate(name, now).map_err(pki)?;
    write(&key_path, &authority.key_pem(), 0o600)?;
    write(&cert_path, authority.cert_pem(), 0o600)?;
    Ok(authority)
}

fn service_accounts(folder: &Path) -> Result<ServiceAccountKey, Error> {
    let path = folder.join("service-account.key");
    let pki = |source| Error::Pki { folder: folder.to_owned(), source };
    if let Some(text) = read(&path)? {
        return ServiceAccountKey::from_private_pem(&text).map_err(pki);
    }
    let key = ServiceAccountKey::generate().map_err(pki)?;
    write(&path, &key.private_pem, 0o600)?;
    Ok(key)
}

fn id(path: &Path) -> Result<String, Error> {
    let Some(text) = read(path)? else {
        let id = fresh_id();
        write(path, &format!("{id}\n"), 0o644)?;
        return Ok(id);
    };
    let id = text.trim_end();
    if id.len() != 32 || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(Error::Id { path: path.to_owned() });
    }
    Ok(id.to_owned())
}

fn fresh_id() -> String {
    format!("{:032x}", rand::random::<u128>())
}

fn read(path: &Path) -> Result<Option<String>, Error> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::File { what: "read", path: path.to_owned(), source }),
    }
}

fn write(path: &Path, contents: &str, mode: u32) -> Result<(), Error> {
    durable::write(path, contents.as_bytes(), mode).map_err(|source| Error::File {
        what: "write",
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn an_identity_is_made_once_and_kept() {
        let state = tempfile::tempdir().unwrap();
        let first = load_or_make(state.path(), SystemTime::now()).unwrap();
        let second = load_or_make(state.path(), SystemTime::now()).unwrap();
        assert_eq!(first.machine_id, second.machine_id);
        assert_eq!(first.cluster_id, second.cluster_id);
        assert_eq!(first.authorities.machine.cert_pem(), second.authorities.machine.cert_pem());
        assert_eq!(first.authorities.service_accounts, second.authorities.service_accounts);
        for entry in fs::read_dir(state.path().join("pki")).unwrap() {
            let path = entry.unwrap().path();
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{}", path.display());
        }
    }

    #[test]
    fn what_is_damaged_is_not_made_anew() {
        let state = tempfile::tempdir().unwrap();
        load_or_make(state.path(), SystemTime::now()).unwrap();
        let key = state.path().join("pki/etcd.key");
        fs::write(&key, "garbage").unwrap();
        assert!(matches!(load_or_make(state.path(), SystemTime::now()), Err(Error::Pki { .. })));
        assert_eq!(fs::read_to_string(&key).unwrap(), "garbage");
        fs::remove_file(&key).unwrap();
        assert!(matches!(load_or_make(state.path(), SystemTime::now()), Err(Error::File { .. })));
    }

    #[test]
    fn an_authority_that_was_cut_short_is_made_again() {
        let state = tempfile::tempdir().unwrap();
        load_or_make(state.path(), SystemTime::now()).unwrap();
        fs::remove_file(state.path().join("pki/etcd.crt")).unwrap();
        load_or_make(state.path(), SystemTime::now()).unwrap();
        fs::write(state.path().join("machine-id"), "zzz\n").unwrap();
        assert!(matches!(load_or_make(state.path(), SystemTime::now()), Err(Error::Id { .. })));
    }
}
