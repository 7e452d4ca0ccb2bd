//! The store as a program of its own.

use std::process::ExitCode;

/// As in the image's program of all services: the C library's keeps too much of what many threads freed.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    store::run(std::env::args_os())
}
