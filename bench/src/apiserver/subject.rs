//! The server that is measured.

use std::path::Path;
use std::time::{Duration, Instant};

use tests_rig::{Cluster, StoreKind};

use super::target::{Target, TargetError};
use crate::outcome::Outcome;
use crate::process;

/// A server, and what is known of its process.
pub struct Subject {
    /// How it is reached.
    pub target: Target,
    pid: Option<u32>,
    own: Option<Cluster>,
}

impl Subject {
    /// Starts ours on a store of its own.
    pub async fn start(store: StoreKind) -> Result<Self, TargetError> {
        let mut cluster = Cluster::start(store).await;
        let login = cluster.admin_login();
        let target =
            Target::new(&cluster.url(), login.authority.as_bytes(), login.cert.as_bytes(), login.key.as_bytes())?;
        let pid = Some(cluster.server().pid());
        Ok(Self { target, pid, own: Some(cluster) })
    }

    /// Takes one that runs. Its memory and processor time are known when it is a process of this machine.
    pub fn running(url: &str, files: [&Path; 3], pid: Option<u32>) -> std::io::Result<Self> {
        let [authority, cert, key] = files.map(std::fs::read);
        let target = Target::new(url, &authority?, &cert?, &key?).map_err(std::io::Error::other)?;
        Ok(Self { target, pid, own: None })
    }

    /// Runs a load and adds what the server spent on it.
    pub async fn measure(&self, load: impl Future<Output = Outcome>) -> Outcome {
        let cpu = || self.pid.map(process::cpu).unwrap_or_default();
        let before = cpu();
        let outcome = load.await;
        Outcome { cpu: cpu().saturating_sub(before), ..outcome }
    }

    /// Memory that is resident, in bytes, if the process is known.
    #[must_use]
    pub fn memory(&self) -> Option<u64> {
        self.pid.map(process::memory)
    }

    /// Kills our own server, starts it again on the same store, and says how long it took to be ready.
    pub async fn restart(&mut self) -> Option<Duration> {
        let cluster = self.own.as_mut()?;
        let began = Instant::now();
        cluster.restart_server().await;
        self.pid = Some(cluster.server().pid());
        Some(began.elapsed())
    }
}
