//! Writes what this crate carries: the schemas of the kinds (k8s-openapi's types and texts, joined with our own tables of
//! lists and of maps), and the rows of the resources (our own table, joined with those texts).
//!
//! The program then carries data instead of 200,000 lines of code that would build the same data.

mod definitions;
mod lists;
mod maps;
mod resources;

use std::io::Write as _;
use std::path::PathBuf;
use std::{env, fs};

use flate2::Compression;
use flate2::write::GzEncoder;

fn main() {
    println!("cargo::rerun-if-changed=build");
    println!("cargo::rerun-if-changed={}", lists::FILE);
    println!("cargo::rerun-if-changed={}", maps::FILE);
    println!("cargo::rerun-if-changed={}", resources::FILE);
    let (mut definitions, kinds) = definitions::generate();
    lists::apply(&mut definitions);
    maps::apply(&mut definitions);
    let rows = resources::generate(&definitions, &kinds);

    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let text = serde_json::to_vec(&definitions).expect("JSON of JSON");
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    packed.write_all(&text).expect("memory does not fail");
    let packed = packed.finish().expect("memory does not fail");
    fs::write(out.join("definitions.json.gz"), packed).expect("OUT_DIR is writable");
    let rows = serde_json::to_string(&rows).expect("JSON of JSON");
    fs::write(out.join("resources.json"), rows).expect("OUT_DIR is writable");
}
