//! Client certificates that are judged after the handshake.

use std::sync::Arc;
use std::time::SystemTime;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, SignatureScheme};

use crate::{Error, Roots};

/// Judges the certificates of clients that came through a handshake with [`ClientAuth::Asked`](crate::ClientAuth::Asked).
#[derive(Debug, Clone)]
pub struct Clients(Arc<dyn ClientCertVerifier>);

impl Clients {
    /// Clients whose certificates lead to `roots`.
    pub fn new(roots: Roots) -> Result<Self, Error> {
        let provider = Arc::new(ring::default_provider());
        Ok(Self(WebPkiClientVerifier::builder_with_provider(roots.0, provider).build()?))
    }

    /// Checks a chain (leaf first) as of `now`: it leads to the authorities, is in time and meant for clients.
    pub fn verify(&self, chain: &[CertificateDer<'_>], now: SystemTime) -> Result<(), Error> {
        let Some((leaf, rest)) = chain.split_first() else {
            return Err(Error::Tls(rustls::Error::NoCertificatesPresented));
        };
        let now = UnixTime::since_unix_epoch(now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default());
        self.0.verify_client_cert(leaf, rest, now)?;
        Ok(())
    }
}

/// A verifier that asks for a certificate and takes any.
pub(crate) fn ask(provider: &CryptoProvider) -> Arc<dyn ClientCertVerifier> {
    Arc::new(Asking(provider.signature_verification_algorithms))
}

#[derive(Debug)]
struct Asking(WebPkiSupportedAlgorithms);

impl ClientCertVerifier for Asking {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn verify_client_cert(
        &self,
        _leaf: &CertificateDer<'_>,
        _rest: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        // Not trust, only admission to the handshake: `Clients` decides.
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
