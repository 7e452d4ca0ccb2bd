//! The orlopconfig and the operator's key.

use std::fs;
use std::io::{Write, stdout};
use std::path::Path;

use crate::cli::{Cli, ConfigCommand};
use crate::client_config::{ClientConfig, Context, Credentials};
use crate::error::Error;
use crate::table;

const PRIVATE: u32 = 0o600;
const PUBLIC: u32 = 0o644;
/// Role that the request asks for; the machine decides what it grants.
const ROLE: &str = "orlop:admin";
/// Where a machine API is looked for when the command line names no endpoint.
const DEFAULT_ENDPOINT: &str = "127.0.0.1:50000";

pub(crate) fn run(cli: &Cli, command: &ConfigCommand) -> Result<(), Error> {
    match command {
        ConfigCommand::Contexts => contexts(cli),
        ConfigCommand::NewOperator { key, csr, name } => new_operator(key, csr, name),
        ConfigCommand::Import { bundle, key, name } => import(cli, bundle, key, name),
    }
}

fn contexts(cli: &Cli) -> Result<(), Error> {
    let config = ClientConfig::load(&cli.orlopconfig)?;
    let rows: Vec<_> = config
        .contexts
        .iter()
        .map(|context| {
            let mark = if context.name == config.current_context { "*" } else { "" };
            vec![mark.to_owned(), context.name.clone(), context.endpoint.clone()]
        })
        .collect();
    Ok(table::print(stdout().lock(), &["CURRENT", "NAME", "ENDPOINT"], &rows)?)
}

fn new_operator(key: &Path, csr: &Path, name: &str) -> Result<(), Error> {
    for path in [key, csr] {
        if fs::symlink_metadata(path).is_ok() {
            return Err(Error::Exists { path: path.into() });
        }
    }
    let fresh = pki::KeyAndCsr::generate(&pki::Subject::with_organization(name, ROLE)).map_err(Error::Key)?;
    // The key first: a request without its key is of no use.
    for (path, text, mode) in [(key, &fresh.key_pem, PRIVATE), (csr, &fresh.csr_pem, PUBLIC)] {
        durable::write(path, text.as_bytes(), mode).map_err(|source| Error::Write { path: path.into(), source })?;
    }
    Ok(writeln!(stdout(), "{} stays here; give {} to the machine", key.display(), csr.display())?)
}

fn import(cli: &Cli, bundle: &Path, key: &Path, name: &str) -> Result<(), Error> {
    let read = |path: &Path| fs::read_to_string(path).map_err(|source| Error::Read { path: path.into(), source });
    let text = read(bundle)?;
    let (cert, ca) =
        split(&text).ok_or(Error::Bundle { path: bundle.into(), why: "it must hold exactly two certificates" })?;
    let credentials = Credentials { ca: ca.into(), cert: cert.into(), key: read(key)?.into() };
    let endpoint = cli.endpoint.clone().unwrap_or_else(|| DEFAULT_ENDPOINT.into());
    ClientConfig::put(&cli.orlopconfig, Context::new(name.into(), endpoint, &credentials))?;
    Ok(writeln!(stdout(), "context {name} written to {}", cli.orlopconfig.display())?)
}

/// The two certificates of a bundle: the operator's and the authority's.
fn split(bundle: &str) -> Option<(&str, &str)> {
    const END: &str = "-----END CERTIFICATE-----";
    let middle = bundle.find(END)? + END.len();
    let (cert, ca) = bundle.split_at(middle);
    (ca.matches(END).count() == 1).then_some((cert.trim(), ca.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_is_two_certificates() {
        let pem = |name: &str| format!("-----BEGIN CERTIFICATE-----\n{name}\n-----END CERTIFICATE-----\n");
        let (one, two) = (pem("a"), pem("b"));
        assert_eq!(split(&format!("{one}{two}")), Some((one.trim(), two.trim())));
        assert_eq!(split(&one), None);
        assert_eq!(split(&format!("{one}{two}{one}")), None);
        assert_eq!(split("nothing"), None);
    }
}
