//! Where machined works: on a real machine, or below a folder of a developer's machine.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Parser;

/// The command line.
#[derive(Debug, Parser)]
#[command(name = "machined", version, about = "Prepares the machine and serves the machine API.")]
pub(crate) struct Options {
    /// Folder that holds /state, /run and /var. With any other than / nothing of the machine itself is changed: no
    /// hostname, no clock, no mount.
    #[arg(long, value_name = "FOLDER", default_value = "/")]
    pub(crate) root: PathBuf,

    /// Leaves the network as it is.
    #[arg(long)]
    pub(crate) no_network: bool,

    /// Looks at no disk: /state and /var are folders.
    #[arg(long)]
    pub(crate) no_disk: bool,

    /// Where the machine API listens.
    #[arg(long, value_name = "ADDRESS", default_value = "[::]:50000")]
    pub(crate) listen: SocketAddr,

    /// Writes the address that the machine API listens on into this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) listen_address_file: Option<PathBuf>,

    /// Lets a machine that is claimed be claimed once more, as the kernel argument orlop.claim=again does.
    #[arg(long)]
    pub(crate) claim_again: bool,

    /// Control socket of PID 1.
    #[arg(long, value_name = "SOCKET", default_value = supervision::SOCKET)]
    pub(crate) init_socket: PathBuf,
}

impl Options {
    /// Whether this is the machine that machined is in charge of.
    pub(crate) fn owns_machine(&self) -> bool {
        self.root == Path::new("/")
    }

    /// Whether disks are looked for.
    pub(crate) fn uses_disks(&self) -> bool {
        self.owns_machine() && !self.no_disk
    }

    /// Whether the network is set up.
    pub(crate) fn uses_network(&self) -> bool {
        self.owns_machine() && !self.no_network
    }

    /// A path below the root. `path` begins with a slash.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// What stands before a path in an argument of a service; empty on a real machine.
    pub(crate) fn prefix(&self) -> String {
        if self.owns_machine() { String::new() } else { self.root.display().to_string() }
    }
}
