//! Compiles every `.proto` file below `proto/` with a compiler written in Rust: nothing has to be installed.

use std::env;
use std::path::{Path, PathBuf};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let root = Path::new("proto");
    println!("cargo:rerun-if-changed=proto");
    let mut files: Vec<_> =
        std::fs::read_dir(root)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "proto"));
    files.sort();
    let descriptors = protox::compile(&files, [root])?;
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), prost::Message::encode_to_vec(&descriptors))?;
    tonic_prost_build::configure().bytes(".").compile_fds(descriptors)?;
    raw(root)
}

/// The server's form of etcd's answers (`proto/raw`): same package, so it is compiled apart; what both forms share is
/// taken from the module of the first.
fn raw(root: &Path) -> Result<(), Failure> {
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?).join("raw");
    std::fs::create_dir_all(&out)?;
    let descriptors = protox::compile([root.join("raw/etcd_raw.proto")], [root])?;
    let mut builder = tonic_prost_build::configure().bytes(".").build_client(false).out_dir(out);
    builder = builder.codec_path("crate::codec::FittedCodec");
    for file in descriptors.file.iter().filter(|file| file.name() == "etcd_requests.proto") {
        let messages = file.message_type.iter().filter_map(|message| message.name.as_deref());
        for name in messages.chain(file.enum_type.iter().filter_map(|one| one.name.as_deref())) {
            let (proto, rust) = (format!(".etcdserverpb.{name}"), format!("crate::etcdserverpb::{}", rust_name(name)));
            builder = builder.extern_path(proto, rust);
        }
    }
    builder.compile_fds(descriptors)?;
    Ok(())
}

/// `HashKVRequest` becomes `HashKvRequest`; the other names are camel case already.
fn rust_name(name: &str) -> String {
    name.replace("KV", "Kv")
}
