//! Which way dependencies point, where `unsafe` may stand, and that the map shows rooms that exist.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The layers of the tree, from the ground up. A crate may use crates of lower layers, and of its own where said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Layer {
    /// `lib/*`: leaves.
    Library,
    /// `api/*`, `pki`: vocabulary.
    Vocabulary,
    /// `*/core` and what lies beside the API server's: decisions.
    Core,
    /// `init/sys`: the one crate with `unsafe`.
    System,
    /// Programs: sockets, files, clocks.
    Program,
    /// `image`, `ctl`, `tests`, `bench`: build, drive and check the programs.
    Workbench,
}

struct Member {
    name: String,
    folder: String,
    layer: Layer,
    /// Names of the workspace's own crates it is built with (development dependencies left out).
    uses: Vec<String>,
    /// Names of everything it is built with.
    all: Vec<String>,
}

/// The project's top folder. Asked for when the test runs: checkouts share what was compiled.
fn root() -> PathBuf {
    let folder = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo runs the test"));
    folder.ancestors().nth(2).expect("tests/architecture lies two folders down").into()
}

fn manifest(path: &Path) -> toml::Table {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.parse().unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn layer(folder: &str) -> Layer {
    match folder {
        "init/sys" => Layer::System,
        "pki" => Layer::Vocabulary,
        "init" | "machined" => Layer::Program,
        "ctl" | "bench" | "image" => Layer::Workbench,
        _ if folder.starts_with("lib/") => Layer::Library,
        _ if folder.starts_with("api/") => Layer::Vocabulary,
        _ if folder.ends_with("/core") || folder.starts_with("control-plane/apiserver/") => Layer::Core,
        _ if folder.starts_with("control-plane/") || folder.starts_with("node/") => Layer::Program,
        _ if folder.starts_with("image/") || folder.starts_with("tests/") => Layer::Workbench,
        _ => panic!("{folder} is a room without a layer: give it one here and in ARCHITECTURE.md"),
    }
}

fn members() -> Vec<Member> {
    let root = root();
    let workspace = manifest(&root.join("Cargo.toml"));
    let folders = workspace["workspace"]["members"].as_array().expect("members is a list");
    let mut members = Vec::new();
    for folder in folders {
        let folder = folder.as_str().expect("a member is a path").to_owned();
        let manifest = manifest(&root.join(&folder).join("Cargo.toml"));
        let mut all = Vec::new();
        for table in ["dependencies", "build-dependencies"] {
            if let Some(dependencies) = manifest.get(table).and_then(toml::Value::as_table) {
                all.extend(dependencies.keys().cloned());
            }
        }
        let name = manifest["package"]["name"].as_str().expect("a package has a name").to_owned();
        members.push(Member { name, layer: layer(&folder), folder, uses: Vec::new(), all });
    }
    let names: Vec<_> = members.iter().map(|member| member.name.clone()).collect();
    for member in &mut members {
        member.uses = member.all.iter().filter(|name| names.contains(name)).cloned().collect();
    }
    members
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.expect("a folder can be listed").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        if path.is_dir() {
            if !matches!(name.as_str(), "target" | "out") && !name.starts_with('.') {
                sources(&path, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn dependencies_point_down() {
    let members = members();
    let by_name: BTreeMap<_, _> = members.iter().map(|member| (member.name.as_str(), member)).collect();
    let mut wrong = Vec::new();
    for member in &members {
        for used in &member.uses {
            let used = by_name[used.as_str()];
            let allowed = match (member.layer, used.layer) {
                // The multi-call binary is the one place where programs are linked together; the simulation runs members of
                // the store in a world that no program can be put into.
                (_, Layer::Program) => {
                    member.folder == "image/programs" || member.folder == "tests/sim" && used.name == "store"
                }
                // A program's own decisions; and only its own.
                (Layer::Program, Layer::Core) => used.folder.starts_with(&format!("{}/", member.folder)),
                // What the API server decides is more than one crate; its core is the ground of the others.
                (Layer::Core, Layer::Core) => {
                    used.folder == "control-plane/apiserver/core"
                        && member.folder.starts_with("control-plane/apiserver/")
                }
                (_, Layer::System) => member.folder == "init" || member.folder.starts_with("node/"),
                (Layer::System, Layer::Core) => false,
                (Layer::Workbench, Layer::Workbench)
                | (Layer::Vocabulary, Layer::Vocabulary)
                | (Layer::Library, Layer::Library) => true,
                (user, used) => user > used,
            };
            if !allowed {
                wrong.push(format!("{} ({:?}) uses {} ({:?})", member.folder, member.layer, used.folder, used.layer));
            }
        }
    }
    assert!(wrong.is_empty(), "dependencies that point the wrong way:\n{}", wrong.join("\n"));
}

#[test]
fn cores_have_no_io() {
    let banned =
        ["tokio", "hyper", "tonic", "rocksdb", "openraft", "rand", "rustix", "nix", "socket2", "kube", "tracing"];
    let mut wrong = Vec::new();
    for member in members().iter().filter(|member| member.layer == Layer::Core) {
        for name in member.all.iter().filter(|name| banned.contains(&name.as_str())) {
            wrong.push(format!("{} uses {name}", member.folder));
        }
    }
    for member in members().iter().filter(|member| member.layer == Layer::Core) {
        let mut files = Vec::new();
        sources(&root().join(&member.folder).join("src"), &mut files);
        for file in files {
            let text = fs::read_to_string(&file).expect("a source can be read");
            for call in
                ["Instant::now", "SystemTime::now", "Timestamp::now", "std::fs::", "std::net::Tcp", "std::net::Udp"]
            {
                if text.contains(call) {
                    wrong.push(format!("{} calls {call}", file.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "a core decides and does not act:\n{}", wrong.join("\n"));
}

#[test]
fn init_stays_small() {
    let banned = ["tokio", "rustls", "tonic", "hyper", "rocksdb", "mtls", "pki", "proto", "ring"];
    for member in members().iter().filter(|member| member.folder.starts_with("init")) {
        for name in &member.all {
            assert!(!banned.contains(&name.as_str()), "{} must not use {name}", member.folder);
        }
    }
}

#[test]
fn unsafe_stands_in_one_crate() {
    let root = root();
    let mut files = Vec::new();
    sources(&root, &mut files);
    let mut wrong = Vec::new();
    for file in files {
        let inside = file.strip_prefix(&root).expect("sources lie below the root");
        if inside.starts_with("init/sys") || inside.starts_with("tests/architecture") {
            continue;
        }
        let text = fs::read_to_string(&file).expect("a source can be read");
        if text.contains("unsafe {") || text.contains("unsafe fn") || text.contains("allow(unsafe_code)") {
            wrong.push(inside.display().to_string());
        }
    }
    assert!(wrong.is_empty(), "`unsafe` outside init/sys:\n{}", wrong.join("\n"));
}

/// Checkouts share what was compiled: a program with its checkout's path in it would read another one's files.
#[test]
fn no_program_knows_its_checkout() {
    let root = root();
    let mut files = Vec::new();
    sources(&root, &mut files);
    let compiled_in = concat!("env!(\"CARGO_MANIFEST", "_DIR\")");
    for file in files {
        let text = fs::read_to_string(&file).expect("a source can be read");
        assert!(!text.contains(compiled_in), "{} compiles its folder in", file.display());
    }
}

#[test]
fn every_crate_says_what_it_is() {
    let root = root();
    for member in members() {
        let folder = root.join(&member.folder).join("src");
        for name in ["lib.rs", "main.rs"] {
            let Ok(text) = fs::read_to_string(folder.join(name)) else { continue };
            assert!(text.starts_with("//!"), "{}/src/{name} does not begin with a `//!` text", member.folder);
        }
    }
}

#[test]
fn every_version_stands_in_the_root_manifest() {
    let root = root();
    for member in members() {
        let manifest = manifest(&root.join(&member.folder).join("Cargo.toml"));
        for table in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let Some(dependencies) = manifest.get(table).and_then(toml::Value::as_table) else { continue };
            for (name, value) in dependencies {
                let inherited = value.get("workspace").and_then(toml::Value::as_bool) == Some(true);
                assert!(inherited, "{}: {name} must be written as `{name}.workspace = true`", member.folder);
            }
        }
        assert_eq!(
            manifest.get("lints").and_then(|lints| lints.get("workspace")).and_then(toml::Value::as_bool),
            Some(true),
            "{} does not take the workspace's lints",
            member.folder
        );
    }
}

#[test]
fn the_map_shows_rooms_that_exist() {
    let root = root();
    let text = fs::read_to_string(root.join("ARCHITECTURE.md")).expect("ARCHITECTURE.md is there");
    let mut named = 0;
    for word in text.split('`').skip(1).step_by(2) {
        let looks_like_a_path = word.contains('/')
            && !word.starts_with('/')
            && !word.contains(|c: char| c.is_whitespace() || "*<>:{}=".contains(c));
        if looks_like_a_path {
            named += 1;
            assert!(root.join(word).exists(), "ARCHITECTURE.md names `{word}`, which does not exist");
        }
    }
    assert!(named > 10, "ARCHITECTURE.md names only {named} paths: is it still a map?");
    for member in members() {
        let room = member.folder.trim_end_matches("/core");
        assert!(
            text.contains(&format!("`{room}/")) || text.contains(&format!("`{room}`")),
            "ARCHITECTURE.md does not name `{room}`"
        );
    }
}
