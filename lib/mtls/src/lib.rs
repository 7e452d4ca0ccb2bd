//! TLS with a verified peer, from PEM files: how every service sets rustls up.
//!
//! All services go through [`server_config`] and [`client_config`]; `orlopctl` alone leaves it to tonic. The provider is
//! always `ring`, so that no process-wide default has to be installed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

mod clients;
mod stranger;

pub use clients::Clients;
pub use stranger::stranger_config;

use rustls::client::WebPkiServerVerifier;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion, version};

/// Why a TLS configuration could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A PEM file could not be read or holds something else than was expected.
    #[error("read {what} from {}", path.display())]
    Pem {
        /// What the file should hold.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// A file that must hold at least one certificate holds none.
    #[error("no certificate in {}", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The pieces do not fit together, for example a key that belongs to another certificate.
    #[error("set up TLS")]
    Tls(#[from] rustls::Error),
    /// The roots cannot be used to verify a peer.
    #[error("set up peer verification")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
}

/// A certificate chain and its private key.
#[derive(Debug)]
pub struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Identity {
    /// Reads the chain (leaf first) and the key from PEM files.
    pub fn load(cert: &Path, key: &Path) -> Result<Self, Error> {
        let key_der = PrivateKeyDer::from_pem_file(key).map_err(|source| Error::Pem {
            what: "a private key",
            path: key.into(),
            source,
        })?;
        Ok(Self { chain: certificates(cert)?, key: key_der })
    }

    /// Parses the chain (leaf first) and the key from PEM text.
    pub fn parse(cert: &[u8], key: &[u8]) -> Result<Self, Error> {
        let path = PathBuf::from("memory");
        let chain = CertificateDer::pem_slice_iter(cert)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|source| Error::Pem { what: "a certificate", path: path.clone(), source })?;
        if chain.is_empty() {
            return Err(Error::Empty { path });
        }
        let key =
            PrivateKeyDer::from_pem_slice(key).map_err(|source| Error::Pem { what: "a private key", path, source })?;
        Ok(Self { chain, key })
    }
}

impl Clone for Identity {
    fn clone(&self) -> Self {
        Self { chain: self.chain.clone(), key: self.key.clone_key() }
    }
}

/// The authorities a peer's certificate must lead to.
#[derive(Debug, Clone)]
pub struct Roots(Arc<RootCertStore>);

impl Roots {
    /// Reads one or more authority certificates from a PEM file.
    pub fn load(path: &Path) -> Result<Self, Error> {
        Self::from_der(certificates(path)?)
    }

    /// Parses one or more authority certificates from PEM text.
    pub fn parse(pem: &[u8]) -> Result<Self, Error> {
        let certs = CertificateDer::pem_slice_iter(pem)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|source| Error::Pem { what: "a certificate", path: PathBuf::from("memory"), source })?;
        Self::from_der(certs)
    }

    fn from_der(certs: Vec<CertificateDer<'static>>) -> Result<Self, Error> {
        let mut store = RootCertStore::empty();
        for cert in certs {
            store.add(cert)?;
        }
        Ok(Self(Arc::new(store)))
    }
}

/// What a server asks of the peer's certificate.
#[derive(Debug, Clone)]
pub enum ClientAuth {
    /// The handshake fails without a certificate from these authorities.
    Required(Roots),
    /// A peer may come without a certificate; one that is shown must lead to these authorities.
    Optional(Roots),
    /// A peer may come with any certificate or none; it proves only that it holds the key. The server judges the
    /// certificate itself with [`Clients`], so that a foreign or expired one gets an answer instead of a broken handshake.
    Asked,
}

/// Which protocol versions are spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Versions {
    /// TLS 1.3 only: between our own programs.
    Tls13,
    /// TLS 1.2 and 1.3: where foreign clients come.
    Tls12AndUp,
}

impl Versions {
    fn supported(self) -> &'static [&'static SupportedProtocolVersion] {
        static TLS13: [&SupportedProtocolVersion; 1] = [&version::TLS13];
        static TLS12_AND_UP: [&SupportedProtocolVersion; 2] = [&version::TLS13, &version::TLS12];
        match self {
            Self::Tls13 => &TLS13,
            Self::Tls12AndUp => &TLS12_AND_UP,
        }
    }
}

/// Builds a server's configuration. `alpn` lists the protocols by preference, for example `[b"h2", b"http/1.1"]`.
pub fn server_config(
    identity: Identity,
    client_auth: ClientAuth,
    versions: Versions,
    alpn: &[&[u8]],
) -> Result<Arc<ServerConfig>, Error> {
    let provider = Arc::new(ring::default_provider());
    let verifier = match client_auth {
        ClientAuth::Required(roots) => {
            WebPkiClientVerifier::builder_with_provider(roots.0, Arc::clone(&provider)).build()?
        }
        ClientAuth::Optional(roots) => WebPkiClientVerifier::builder_with_provider(roots.0, Arc::clone(&provider))
            .allow_unauthenticated()
            .build()?,
        ClientAuth::Asked => clients::ask(&provider),
    };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions.supported())?
        .with_client_cert_verifier(verifier)
        .with_single_cert(identity.chain, identity.key)?;
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(Arc::new(config))
}

/// Builds a client's configuration: the server must lead to `roots`; `identity` is shown when the server asks.
pub fn client_config(
    identity: Option<Identity>,
    roots: Roots,
    versions: Versions,
    alpn: &[&[u8]],
) -> Result<Arc<ClientConfig>, Error> {
    let provider = Arc::new(ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(roots.0, Arc::clone(&provider)).build()?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions.supported())?
        .with_webpki_verifier(verifier);
    let mut config = match identity {
        Some(identity) => builder.with_client_auth_cert(identity.chain, identity.key)?,
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(Arc::new(config))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let pem = |source| Error::Pem { what: "a certificate", path: path.into(), source };
    let certs = CertificateDer::pem_file_iter(path).map_err(pem)?.collect::<Result<Vec<_>, _>>().map_err(pem)?;
    if certs.is_empty() {
        return Err(Error::Empty { path: path.into() });
    }
    Ok(certs)
}
