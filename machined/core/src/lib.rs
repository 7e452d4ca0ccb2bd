//! What machined decides: which disk, which addresses, which certificates, who may call what. No I/O, no clock.
//!
//! | I want to know | open |
//! |---|---|
//! | who may call a method of the machine API | `roles.rs` |
//! | how often a claim code may be guessed | `claim.rs` |
//! | what PID 1 did that the audit log keeps | `triggers.rs` |
//! | how much of the audit log is kept | `audit.rs` |
//! | when a disk is formatted | `disk.rs` |
//! | which configuration is in effect | `source.rs` |
//! | which names a certificate carries | `names.rs` |
//! | with which arguments and credentials a service starts | `services.rs` |
//! | when a volume is too full | `space.rs` |
//! | when a DHCP lease is renewed | `dhcp.rs` |

pub mod audit;
pub mod claim;
pub mod clock;
pub mod condition;
pub mod dhcp;
pub mod disk;
pub mod kernel_arguments;
pub mod kmsg;
pub mod names;
pub mod network;
pub mod roles;
pub mod services;
pub mod signature;
pub mod source;
pub mod space;
pub mod triggers;
