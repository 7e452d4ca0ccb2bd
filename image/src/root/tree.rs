//! A file tree in memory: what will be in the root, in one order, with fixed modes.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use crate::digest::{Digest, Key};

/// One entry. Everything belongs to root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    Folder { mode: u32 },
    File { mode: u32, contents: Vec<u8> },
    Link(String),
}

/// Entries by their path, which is relative to the root.
#[derive(Debug, Default)]
pub(crate) struct Tree(BTreeMap<String, Entry>);

impl Tree {
    /// Adds or replaces an entry.
    pub(crate) fn add(&mut self, path: &str, entry: Entry) {
        self.0.insert(path.to_owned(), entry);
    }

    pub(crate) fn get(&self, path: &str) -> Option<&Entry> {
        self.0.get(path)
    }

    /// All files, as (path, contents).
    pub(crate) fn files(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().filter_map(|(path, entry)| match entry {
            Entry::File { contents, .. } => Some((path.as_str(), contents.as_slice())),
            Entry::Folder { .. } | Entry::Link(_) => None,
        })
    }

    /// The file at an absolute path, through links of folders and of the file, as a kernel with this root would find it.
    pub(crate) fn follow(&self, path: &str) -> Option<&[u8]> {
        let mut place: Vec<String> = Vec::new();
        let mut rest: Vec<String> = words(path);
        // As many links as the kernel follows.
        let mut links = 40;
        while let Some(word) = rest.pop() {
            match word.as_str() {
                "." => continue,
                ".." => {
                    place.pop();
                    continue;
                }
                _ => place.push(word),
            }
            match self.0.get(&place.join("/"))? {
                Entry::Folder { .. } => {}
                Entry::File { contents, .. } => return rest.is_empty().then_some(contents),
                Entry::Link(target) => {
                    links -= 1;
                    if links == 0 {
                        return None;
                    }
                    if target.starts_with('/') {
                        place.clear();
                    } else {
                        place.pop();
                    }
                    rest.extend(words(target));
                }
            }
        }
        None
    }

    /// Adds everything that matters about the tree to a key.
    pub(crate) fn fold_into(&self, key: Key) -> Key {
        self.0.iter().fold(key, |key, (path, entry)| match entry {
            Entry::Folder { mode } => key.with(path).with("folder").with(&mode.to_string()),
            Entry::File { mode, contents } => {
                key.with(path).with("file").with(&mode.to_string()).with(&Digest::of(contents).to_string())
            }
            Entry::Link(target) => key.with(path).with("link").with(target),
        })
    }

    /// Writes the tree into a new folder.
    pub(crate) fn write(&self, folder: &Path) -> io::Result<()> {
        fs::create_dir_all(folder)?;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
        for (path, entry) in &self.0 {
            let path = folder.join(path);
            match entry {
                Entry::Folder { mode } => {
                    fs::create_dir(&path)?;
                    fs::set_permissions(&path, fs::Permissions::from_mode(*mode))?;
                }
                Entry::File { mode, contents } => {
                    fs::write(&path, contents)?;
                    fs::set_permissions(&path, fs::Permissions::from_mode(*mode))?;
                }
                Entry::Link(target) => symlink(target, &path)?,
            }
        }
        Ok(())
    }
}

/// The words of a path, last first.
fn words(path: &str) -> Vec<String> {
    path.split('/').filter(|word| !word.is_empty()).rev().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> Tree {
        let mut tree = Tree::default();
        tree.add("usr", Entry::Folder { mode: 0o755 });
        tree.add("usr/lib64", Entry::Folder { mode: 0o755 });
        tree.add("usr/lib", Entry::Folder { mode: 0o755 });
        tree.add("usr/lib/ld.so", Entry::File { mode: 0o755, contents: b"ld".to_vec() });
        tree.add("usr/lib64/ld.so", Entry::Link("../lib/ld.so".to_owned()));
        tree.add("lib64", Entry::Link("usr/lib64".to_owned()));
        tree.add("abs", Entry::Link("/lib64/ld.so".to_owned()));
        tree.add("loop", Entry::Link("loop".to_owned()));
        tree
    }

    #[test]
    fn links_are_followed_as_the_kernel_does() {
        let tree = tree();
        assert_eq!(tree.follow("/lib64/ld.so"), Some(b"ld".as_slice()));
        assert_eq!(tree.follow("/abs"), Some(b"ld".as_slice()));
        assert_eq!(tree.follow("/loop"), None);
        assert_eq!(tree.follow("/lib64"), None);
        assert_eq!(tree.follow("/usr/lib/ld.so/deeper"), None);
    }

    #[test]
    fn it_is_written_as_described() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        tree().write(&root).unwrap();
        assert_eq!(fs::read(root.join("lib64/ld.so")).unwrap(), b"ld");
        assert_eq!(fs::metadata(root.join("usr/lib/ld.so")).unwrap().permissions().mode() & 0o7777, 0o755);
    }

    #[test]
    fn a_key_sees_modes_and_contents() {
        let key = |tree: &Tree| tree.fold_into(Key::new("t", 1)).finish();
        let one = tree();
        let mut two = tree();
        two.add("usr/lib/ld.so", Entry::File { mode: 0o644, contents: b"ld".to_vec() });
        assert_ne!(key(&one), key(&two));
        assert_eq!(key(&one), key(&tree()));
    }
}
