//! Runs the image in a virtual machine.

fn main() {}
