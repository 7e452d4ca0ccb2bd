//! What PID 1 decides: services as state machines, the order of boot and of shutdown, and the texts it reads.
//!
//! Nothing here does I/O, reads a clock or draws a random number: events and the present time go in, commands come out.
//! Start with [`boot`] for what runs, [`confinement`] for what each service may do, [`service`] for the life of one service, [`supervisor`] for all of them together
//! and [`shutdown`] for how a machine ends.

pub mod arguments;
pub mod boot;
pub mod capability;
pub mod confinement;
pub mod console;
pub mod ids;
pub mod kernel_arguments;
pub mod log;
pub mod mounts;
pub mod notice;
pub mod process_status;
pub mod service;
pub mod shutdown;
pub mod supervisor;
pub mod system_calls;
pub mod timeline;
