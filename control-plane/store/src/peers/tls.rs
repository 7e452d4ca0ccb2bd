//! Both ends of TLS between members, from one set of files.

use std::sync::Arc;

use mtls::{ClientAuth, Identity, Roots, Versions};
use rustls::{ClientConfig, ServerConfig};

use crate::config::TlsFiles;
use crate::reload::Reloaded;

/// Both ends, as they are at the moment.
#[derive(Clone)]
pub struct PeerTls(Reloaded<Ends>);

#[derive(Clone)]
struct Ends {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

fn load(files: &TlsFiles) -> Result<Ends, mtls::Error> {
    let roots = Roots::load(&files.authorities)?;
    let identity = Identity::load(&files.cert, &files.key)?;
    let auth = if files.required { ClientAuth::Required(roots.clone()) } else { ClientAuth::Optional(roots.clone()) };
    Ok(Ends {
        server: mtls::server_config(identity.clone(), auth, Versions::Tls13, &[b"h2"])?,
        client: mtls::client_config(Some(identity), roots, Versions::Tls13, &[b"h2"])?,
    })
}

impl PeerTls {
    /// Reads the files, and again when they change.
    pub fn open(files: TlsFiles) -> Result<Self, mtls::Error> {
        Reloaded::open("the certificate for other members", files, load).map(Self)
    }

    /// For accepting.
    pub fn server(&self) -> Arc<ServerConfig> {
        self.0.current().server
    }

    /// For connecting.
    pub fn client(&self) -> Arc<ClientConfig> {
        self.0.current().client
    }
}
