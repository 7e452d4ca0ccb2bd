//! Starts a store and an API server on this machine and keeps them until the input ends, for trying things by hand:
//! `cargo run --release -p tests-rig --example cluster [etcd]`.

use std::io::Read as _;

use tests_rig::{Cluster, StoreKind};

#[tokio::main]
async fn main() {
    let kind = if std::env::args().any(|arg| arg == "etcd") { StoreKind::Etcd } else { StoreKind::Orlop };
    let mut cluster = Cluster::start(kind).await;
    println!("export KUBECONFIG={}", cluster.kubeconfig().display());
    println!("# API server: pid {}, store: pid {}", cluster.server().pid(), cluster.store.process().pid());
    println!("# ends with its standard input (Ctrl-D)");
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}
