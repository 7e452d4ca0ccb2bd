//! image-programs.

fn main() {}
