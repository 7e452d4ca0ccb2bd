//! The read-only root of a running node: a squashfs with our programs, the file system tools, and empty places to mount on.

mod tree;

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(crate) use tree::{Entry, Tree};

use crate::arch::Arch;
use crate::artefacts::{ArtefactError, Artefacts};
use crate::command::{CommandError, MKSQUASHFS, STRIP};
use crate::digest::{Digest, Key};
use crate::elf;

/// Raised when the squashfs changes for the same tree.
const RECIPE: u32 = 1;

const STRIP_LIMIT: Duration = Duration::from_mins(1);
const PACK_LIMIT: Duration = Duration::from_mins(15);

/// Blocks of 256 kB: larger ones compress by a few percent more, and make the first run of a program slower, since a page
/// fault unpacks a whole block.
const BLOCK: &str = "256K";
const LEVEL: &str = "19";

/// Packages of the file system tools and of their libraries.
const TOOLS: [&str; 6] = ["e2fsprogs", "libblkid1", "libc6", "libcom-err2", "libext2fs2t64", "libuuid1"];

/// The tools themselves: machined makes STATE and DATA, and checks them before it mounts them.
const TOOL_PATHS: [&str; 2] = ["usr/sbin/mke2fs", "usr/sbin/e2fsck"];

/// The root image could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RootError {
    #[error(
        "there is no program `{name}` in {folder}: build it with `cargo build --release -p init -p image-programs`"
    )]
    NoProgram { name: &'static str, folder: PathBuf, source: io::Error },
    #[error("{0} is not a program for this image: it must be a 64-bit ELF file")]
    NotAProgram(String),
    #[error("{path} needs the loader {loader}; programs of the image are linked statically")]
    NotStatic { path: String, loader: String },
    #[error("{path} needs {needs}, which is not in the image")]
    Unresolved { path: String, needs: String },
    #[error("the package files lack {0}")]
    Lacking(PathBuf, #[source] io::Error),
    #[error(transparent)]
    Artefact(#[from] ArtefactError),
    #[error("strip {name}")]
    Strip { name: String, source: CommandError },
    #[error("write the root tree to {path}")]
    Write { path: PathBuf, source: io::Error },
    #[error("pack the root tree")]
    Pack(#[source] CommandError),
}

/// The tree of a root image, and the programs that were put into it.
pub(crate) struct Root {
    tree: Tree,
    /// The program that is also the initramfs's `/init`.
    pub(crate) init: Vec<u8>,
    epoch: u64,
}

impl Root {
    /// Collects the tree from the programs in `programs` and the pinned packages. `scratch` is an empty folder.
    pub(crate) fn collect(
        arch: Arch,
        programs: &Path,
        artefacts: &Artefacts,
        scratch: &Path,
    ) -> Result<Self, RootError> {
        let program = |name: &'static str| {
            let bytes = stripped(&programs.join(name), scratch).map_err(|fault| match fault {
                StripFault::Read(source) => RootError::NoProgram { name, folder: programs.to_owned(), source },
                StripFault::Strip(source) => RootError::Strip { name: name.to_owned(), source },
            })?;
            match elf::needs(&bytes) {
                Some(elf::Needs { loader: None, .. }) => Ok(bytes),
                Some(elf::Needs { loader: Some(loader), .. }) => {
                    Err(RootError::NotStatic { path: name.to_owned(), loader })
                }
                None => Err(RootError::NotAProgram(name.to_owned())),
            }
        };
        let init = program("init")?;
        let mut tree = skeleton();
        tree.add("usr/sbin/init", Entry::File { mode: 0o755, contents: init.clone() });
        tree.add("usr/bin/orlop", Entry::File { mode: 0o755, contents: program("orlop")? });
        for service in &init_core::boot::SERVICES {
            tree.add(&format!("usr/bin/{}", service.name), Entry::Link("orlop".to_owned()));
        }
        let packages = scratch.join("packages");
        fs::create_dir_all(&packages).map_err(|source| RootError::Write { path: packages.clone(), source })?;
        artefacts.unpack(&TOOLS, &packages)?;
        add_tools(&mut tree, &packages, arch)?;
        resolve(&tree)?;
        Ok(Self { tree, init, epoch: artefacts.lock().epoch })
    }

    /// What the packed image depends on.
    pub(crate) fn key(&self) -> Digest {
        let key = Key::new("root", RECIPE).with(&self.epoch.to_string()).with(BLOCK).with(LEVEL);
        self.tree.fold_into(key).finish()
    }

    /// Packs the tree into the squashfs `image`, which must not exist.
    pub(crate) fn pack(&self, scratch: &Path, image: &Path) -> Result<(), RootError> {
        let folder = scratch.join("tree");
        self.tree.write(&folder).map_err(|source| RootError::Write { path: folder.clone(), source })?;
        let epoch = self.epoch.to_string();
        let run = MKSQUASHFS.within(PACK_LIMIT).arg(&folder).arg(image);
        run.args(["-noappend", "-no-progress", "-quiet", "-no-xattrs", "-all-root", "-no-exports"])
            .args(["-comp", "zstd", "-Xcompression-level", LEVEL, "-b", BLOCK])
            .args(["-mkfs-time", &epoch, "-all-time", &epoch])
            .output()
            .map_err(RootError::Pack)?;
        Ok(())
    }
}

/// What stands in every root, whatever runs in it.
fn skeleton() -> Tree {
    let mut tree = Tree::default();
    // Places to mount on, and the folders of the merged layout.
    for path in
        ["dev", "proc", "run", "state", "sys", "var", "etc", "usr", "usr/bin", "usr/lib", "usr/lib64", "usr/sbin"]
    {
        tree.add(path, Entry::Folder { mode: 0o755 });
    }
    tree.add("tmp", Entry::Folder { mode: 0o1777 });
    for name in ["bin", "lib", "lib64", "sbin"] {
        tree.add(name, Entry::Link(format!("usr/{name}")));
    }
    let hosts = "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n";
    let (mut groups, mut users) = ("root:x:0:\n".to_owned(), "root:x:0:0:root:/:/nonexistent\n".to_owned());
    for spec in init_core::boot::SERVICES {
        let (name, id) = (spec.confinement.account.name, spec.confinement.account.id);
        if id != 0 {
            let _ = writeln!(groups, "{name}:x:{id}:");
            let _ = writeln!(users, "{name}:x:{id}:{id}:{name}:/nonexistent:/nonexistent");
        }
    }
    groups.push_str("nogroup:x:65534:\n");
    users.push_str("nobody:x:65534:65534:nobody:/nonexistent:/nonexistent\n");
    let (groups, users) = (groups.as_str(), users.as_str());
    for (path, text) in [("os-release", os_release().as_str()), ("hosts", hosts), ("group", groups), ("passwd", users)]
    {
        tree.add(&format!("etc/{path}"), Entry::File { mode: 0o644, contents: text.into() });
    }
    // Written at run time: machined learns name servers, and tools ask what is mounted.
    tree.add("etc/resolv.conf", Entry::Link("/run/network/resolv.conf".to_owned()));
    tree.add("etc/mtab", Entry::Link("/proc/self/mounts".to_owned()));
    tree
}

/// The image's name and version, in the form every tool reads.
pub(crate) fn os_release() -> String {
    let version = env!("CARGO_PKG_VERSION");
    format!(
        "NAME=Orlop\nID=orlop\nVERSION_ID={version}\nPRETTY_NAME=\"Orlop {version}\"\nIMAGE_ID=orlop\nIMAGE_VERSION={version}\n"
    )
}

/// Adds the tools, their settings, the loader, and the closure of their libraries.
fn add_tools(tree: &mut Tree, packages: &Path, arch: Arch) -> Result<(), RootError> {
    let read = |path: &str| {
        let path = packages.join(path);
        fs::read(&path).map_err(|source| RootError::Lacking(path, source))
    };
    tree.add("etc/mke2fs.conf", Entry::File { mode: 0o644, contents: read("etc/mke2fs.conf")? });
    let libraries = format!("usr/lib/{}", arch.multiarch());
    tree.add(&libraries, Entry::Folder { mode: 0o755 });
    let mut to_visit: Vec<String> = TOOL_PATHS.iter().map(|&path| path.to_owned()).collect();
    while let Some(path) = to_visit.pop() {
        if tree.get(&path).is_some() {
            continue;
        }
        let contents = read(&path)?;
        let needs = elf::needs(&contents).ok_or_else(|| RootError::NotAProgram(path.clone()))?;
        to_visit.extend(needs.libraries.iter().map(|name| format!("{libraries}/{name}")));
        if let Some(loader) = needs.loader {
            // `/lib64/ld-…`, a link into the folder of libraries in the package and in the image.
            let name = loader.rsplit('/').next().unwrap_or_default().to_owned();
            let link = format!("usr/lib64/{name}");
            if tree.get(&link).is_none() {
                tree.add(&link, Entry::Link(format!("../lib/{}/{name}", arch.multiarch())));
                to_visit.push(format!("{libraries}/{name}"));
            }
        }
        tree.add(&path, Entry::File { mode: 0o755, contents });
    }
    Ok(())
}

/// Follows every program's loader and libraries inside the tree, so that nothing is missing at run time.
fn resolve(tree: &Tree) -> Result<(), RootError> {
    for (path, contents) in tree.files() {
        let Some(needs) = elf::needs(contents) else { continue };
        let unresolved = |needs: String| RootError::Unresolved { path: path.to_owned(), needs };
        if let Some(loader) = &needs.loader
            && tree.follow(loader).is_none()
        {
            return Err(unresolved(loader.clone()));
        }
        for library in needs.libraries {
            let found =
                tree.files().any(|(path, _)| path.starts_with("usr/lib/") && path.ends_with(&format!("/{library}")));
            if !found {
                return Err(unresolved(library));
            }
        }
    }
    Ok(())
}

enum StripFault {
    Read(io::Error),
    Strip(CommandError),
}

/// The program without its symbols.
fn stripped(program: &Path, scratch: &Path) -> Result<Vec<u8>, StripFault> {
    // Read first, so that a missing program is told from a tool that fails.
    fs::metadata(program).map_err(StripFault::Read)?;
    let target = scratch.join("stripped");
    STRIP
        .within(STRIP_LIMIT)
        .args(["--strip-all", "-o"])
        .arg(&target)
        .arg(program)
        .output()
        .map_err(StripFault::Strip)?;
    fs::read(&target).map_err(StripFault::Read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_that_is_missing_is_named() {
        let mut tree = skeleton();
        tree.add("usr/bin/true", Entry::File { mode: 0o755, contents: fs::read("/bin/true").unwrap() });
        let error = resolve(&tree).unwrap_err();
        assert!(error.to_string().starts_with("usr/bin/true needs /lib64/ld-linux"), "{error}");
    }

    #[test]
    fn a_dynamic_program_is_refused() {
        let programs = tempfile::tempdir().unwrap();
        let scratch = tempfile::tempdir().unwrap();
        fs::copy("/bin/true", programs.path().join("init")).unwrap();
        let lock = crate::artefacts::Lock::parse("epoch = 1\nartefact = []\n").unwrap();
        let artefacts = Artefacts::new(lock, crate::cache::Cache::at(scratch.path()));
        let collect = |folder: &Path| Root::collect(Arch::X86_64, folder, &artefacts, scratch.path()).map(|_| ());
        let error = collect(programs.path()).unwrap_err();
        assert!(matches!(error, RootError::NotStatic { .. }), "{error}");
        let error = collect(scratch.path()).unwrap_err();
        assert!(error.to_string().starts_with("there is no program `init` in "), "{error}");
    }

    #[test]
    fn the_same_tree_packs_to_the_same_image() {
        let scratch = tempfile::tempdir().unwrap();
        let root = Root { tree: skeleton(), init: Vec::new(), epoch: 1_000_000_000 };
        let pack = |name: &str| {
            let folder = scratch.path().join(name);
            let image = scratch.path().join(format!("{name}.squashfs"));
            root.pack(&folder, &image).unwrap();
            fs::read(image).unwrap()
        };
        let image = pack("one");
        assert_eq!(&image[..4], b"hsqs");
        assert_eq!(&image[8..12], &1_000_000_000_u32.to_le_bytes(), "the time it was made");
        assert_eq!(image, pack("two"));
    }
}
