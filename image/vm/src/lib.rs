//! Starts the image in a virtual machine, follows its console, and reaches its APIs.
//!
//! `just up` uses it through the program `vm`; the boot tests and the benchmarks use it as a library. A machine has a
//! folder of its own ([`folder::Folder`]); what it is made of is described by [`arguments::Machine`]; [`launch::Vm`] is
//! one that runs. The machine's operator is provisioned without an open port: the request for a certificate goes in
//! through `fw_cfg`, the signed certificate comes out through a virtio-serial port ([`operator`]).

pub mod accelerator;
pub mod arguments;
pub mod bring_up;
pub mod console;
pub mod folder;
pub mod kubernetes;
pub mod launch;
pub mod machine_api;
pub mod operator;
pub mod process;
pub mod progress;
pub mod qmp;
pub mod setup;
pub mod wait;
