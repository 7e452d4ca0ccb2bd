//! image.

fn main() {}
