//! A connection to the machine API of one machine.

use std::future::Future;
use std::time::Duration;

use proto::machine::machine_client::MachineClient;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use crate::cli::Cli;
use crate::client_config::ClientConfig;
use crate::error::Error;

/// A client, and how long it waits.
pub(crate) struct Machine {
    pub(crate) client: MachineClient<Channel>,
    endpoint: String,
    timeout: Duration,
}

impl Machine {
    /// Connects to the machine that the command line names.
    pub(crate) async fn connect(cli: &Cli) -> Result<Self, Error> {
        let config = ClientConfig::load(&cli.orlopconfig)?;
        let context = config.context(&cli.orlopconfig, cli.context.as_deref())?;
        let credentials = context.credentials(&cli.orlopconfig)?;
        let endpoint = cli.endpoint.clone().unwrap_or_else(|| context.endpoint.clone());
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(credentials.ca))
            .identity(Identity::from_pem(credentials.cert, credentials.key));
        let channel = Endpoint::from_shared(format!("https://{endpoint}"))
            .map_err(|_| Error::Endpoint { endpoint: endpoint.clone() })?
            .connect_timeout(cli.timeout)
            .tls_config(tls)
            .map_err(|source| Error::Certificates { context: context.name.clone(), source })?
            .connect()
            .await
            .map_err(|source| Error::Connect { endpoint: endpoint.clone(), source })?;
        Ok(Self { client: MachineClient::new(channel), endpoint, timeout: cli.timeout })
    }

    /// Waits for one answer, for as long as the command line allows. `what` names the call in an error.
    pub(crate) async fn answer<T>(
        &self,
        what: &'static str,
        call: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
    ) -> Result<T, Error> {
        let late = |_| Error::Late { endpoint: self.endpoint.clone(), seconds: self.timeout.as_secs_f64() };
        let response = tokio::time::timeout(self.timeout, call).await.map_err(late)?;
        response.map(tonic::Response::into_inner).map_err(Error::refused(what))
    }
}
