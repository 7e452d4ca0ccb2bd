//! Files and folders: as programs see them, and as they are found after a power cut.
//!
//! When a name is on the disk depends on the kind of [`Names`].

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::{OsStr, OsString};

use crate::file::File;

/// The number of a file or folder.
pub(crate) type Number = u64;

/// The number of the folder everything is in.
pub(crate) const ROOT: Number = 1;

type Entries = BTreeMap<OsString, Number>;

/// When the names of files survive a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// Once the folder they are in was flushed, as POSIX has it; flushing a file does not flush its name.
    ByFolder,
    /// Once anything was flushed later: changes of names reach the disk in their order, as with the journals of ext4 and XFS.
    InOrder,
}

/// A file or a folder.
#[derive(Debug)]
pub(crate) enum Node {
    File(File),
    Folder(Entries),
}

/// Why something cannot be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    Missing,
    Exists,
    NotEmpty,
    NotAFolder,
    IsAFolder,
}

/// A change of names; a move is one change.
#[derive(Debug)]
struct Change {
    removed: Option<(Number, OsString)>,
    added: Option<(Number, OsString, Number)>,
}

impl Change {
    fn folders(&self) -> impl Iterator<Item = Number> {
        let removed = self.removed.as_ref().map(|(folder, _)| *folder);
        removed.into_iter().chain(self.added.as_ref().map(|(folder, ..)| *folder))
    }

    fn make(self, names: &mut HashMap<Number, Entries>) {
        if let Some((folder, name)) = self.removed {
            names.entry(folder).or_default().remove(&name);
        }
        if let Some((folder, name, number)) = self.added {
            names.entry(folder).or_default().insert(name, number);
        }
    }
}

/// Everything on a disk.
#[derive(Debug)]
pub(crate) struct Tree {
    kind: Names,
    nodes: HashMap<Number, Node>,
    /// The names in each folder that survive a power cut.
    flushed: HashMap<Number, Entries>,
    /// Changes of names that do not, in their order.
    unflushed: Vec<Change>,
    next: Number,
}

impl Tree {
    pub(crate) fn new(kind: Names) -> Self {
        let nodes = HashMap::from([(ROOT, Node::Folder(Entries::new()))]);
        Self { kind, nodes, flushed: HashMap::new(), unflushed: Vec::new(), next: ROOT + 1 }
    }

    pub(crate) fn node(&self, number: Number) -> Result<&Node, Refusal> {
        self.nodes.get(&number).ok_or(Refusal::Missing)
    }

    pub(crate) fn file(&mut self, number: Number) -> Result<&mut File, Refusal> {
        match self.nodes.get_mut(&number) {
            Some(Node::File(file)) => Ok(file),
            Some(Node::Folder(_)) => Err(Refusal::IsAFolder),
            None => Err(Refusal::Missing),
        }
    }

    pub(crate) fn names(&self, folder: Number) -> Result<&Entries, Refusal> {
        match self.node(folder)? {
            Node::Folder(names) => Ok(names),
            Node::File(_) => Err(Refusal::NotAFolder),
        }
    }

    fn names_mut(&mut self, folder: Number) -> Result<&mut Entries, Refusal> {
        match self.nodes.get_mut(&folder) {
            Some(Node::Folder(names)) => Ok(names),
            Some(Node::File(_)) => Err(Refusal::NotAFolder),
            None => Err(Refusal::Missing),
        }
    }

    pub(crate) fn find(&self, folder: Number, name: &OsStr) -> Result<Number, Refusal> {
        self.names(folder)?.get(name).copied().ok_or(Refusal::Missing)
    }

    /// How many names a file has.
    pub(crate) fn links(&self, number: Number) -> usize {
        let folders =
            self.nodes.values().filter_map(|node| if let Node::Folder(names) = node { Some(names) } else { None });
        folders.flat_map(Entries::values).filter(|named| **named == number).count()
    }

    pub(crate) fn bytes(&self) -> u64 {
        let sizes = self.nodes.values().map(|node| if let Node::File(file) = node { file.len() as u64 } else { 0 });
        sizes.sum()
    }

    /// Makes a file or folder.
    pub(crate) fn add(&mut self, folder: Number, name: &OsStr, node: Node) -> Result<Number, Refusal> {
        let number = self.next;
        self.link(number, folder, name)?;
        self.next += 1;
        self.nodes.insert(number, node);
        Ok(number)
    }

    /// Gives something a further name.
    pub(crate) fn link(&mut self, number: Number, folder: Number, name: &OsStr) -> Result<(), Refusal> {
        let names = self.names_mut(folder)?;
        if names.contains_key(name) {
            return Err(Refusal::Exists);
        }
        names.insert(name.to_owned(), number);
        self.unflushed.push(Change { removed: None, added: Some((folder, name.to_owned(), number)) });
        Ok(())
    }

    /// Takes a name away. The file stays for those who have it open.
    pub(crate) fn unlink(&mut self, folder: Number, name: &OsStr) -> Result<(), Refusal> {
        let number = self.find(folder, name)?;
        if matches!(self.node(number)?, Node::Folder(names) if !names.is_empty()) {
            return Err(Refusal::NotEmpty);
        }
        self.names_mut(folder)?.remove(name);
        self.unflushed.push(Change { removed: Some((folder, name.to_owned())), added: None });
        Ok(())
    }

    pub(crate) fn rename(&mut self, from: (Number, &OsStr), to: (Number, &OsStr)) -> Result<(), Refusal> {
        let number = self.find(from.0, from.1)?;
        if let Ok(replaced) = self.find(to.0, to.1)
            && matches!(self.node(replaced)?, Node::Folder(names) if !names.is_empty())
        {
            return Err(Refusal::NotEmpty);
        }
        self.names_mut(to.0)?.insert(to.1.to_owned(), number);
        if from != to {
            self.names_mut(from.0)?.remove(from.1);
        }
        let removed = (from != to).then(|| (from.0, from.1.to_owned()));
        self.unflushed.push(Change { removed, added: Some((to.0, to.1.to_owned(), number)) });
        Ok(())
    }

    /// What is in a file survives a power cut.
    pub(crate) fn flush_file(&mut self, number: Number) -> Result<(), Refusal> {
        self.file(number)?.flush();
        if self.kind == Names::InOrder {
            self.flush_names();
        }
        Ok(())
    }

    /// The names in a folder survive a power cut, and with a moved one what came before it where it was.
    pub(crate) fn flush_folder(&mut self, folder: Number) {
        if self.kind == Names::InOrder {
            return self.flush_names();
        }
        let mut touched = HashSet::from([folder]);
        let (mut stay, mut go) = (Vec::new(), Vec::new());
        for change in self.unflushed.drain(..).rev() {
            if change.folders().any(|folder| touched.contains(&folder)) {
                touched.extend(change.folders());
                go.push(change);
            } else {
                stay.push(change);
            }
        }
        stay.reverse();
        self.unflushed = stay;
        for change in go.into_iter().rev() {
            change.make(&mut self.flushed);
        }
    }

    fn flush_names(&mut self) {
        for change in self.unflushed.drain(..) {
            change.make(&mut self.flushed);
        }
    }

    /// Leaves what was flushed, and of the rest what `keep` says. Names come to a disk in the order of their changes.
    pub(crate) fn cut_power(&mut self, keep: &mut dyn FnMut() -> bool) {
        for change in std::mem::take(&mut self.unflushed) {
            if !keep() {
                break;
            }
            change.make(&mut self.flushed);
        }
        let (mut reached, mut rest) = (HashSet::from([ROOT]), vec![ROOT]);
        while let Some(number) = rest.pop() {
            match self.nodes.get_mut(&number) {
                Some(Node::Folder(names)) => {
                    *names = self.flushed.get(&number).cloned().unwrap_or_default();
                    rest.extend(names.values().filter(|number| reached.insert(**number)));
                }
                Some(Node::File(file)) => file.cut_power(keep),
                None => {}
            }
        }
        self.nodes.retain(|number, _| reached.contains(number));
        self.flushed.retain(|number, _| reached.contains(number));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> Node {
        Node::File(File::default())
    }

    fn shown(tree: &Tree, folder: Number) -> Vec<&str> {
        tree.names(folder).unwrap().keys().map(|name| name.to_str().unwrap()).collect()
    }

    #[test]
    fn a_name_is_there_after_its_folder_was_flushed() {
        let mut tree = Tree::new(Names::ByFolder);
        let kept = tree.add(ROOT, OsStr::new("kept"), Node::Folder(Entries::new())).unwrap();
        tree.flush_folder(ROOT);
        let inner = tree.add(kept, OsStr::new("inner"), file()).unwrap();
        tree.file(inner).unwrap().write(0, b"flushed without its name");
        tree.file(inner).unwrap().flush();
        tree.add(ROOT, OsStr::new("lost"), file()).unwrap();
        tree.cut_power(&mut || false);
        assert_eq!((shown(&tree, ROOT), shown(&tree, kept)), (vec!["kept"], vec![]));
    }

    #[test]
    fn names_may_come_in_order() {
        let mut tree = Tree::new(Names::InOrder);
        let folder = tree.add(ROOT, OsStr::new("folder"), Node::Folder(Entries::new())).unwrap();
        let inner = tree.add(folder, OsStr::new("inner"), file()).unwrap();
        tree.add(ROOT, OsStr::new("later"), file()).unwrap();
        tree.flush_file(inner).unwrap();
        tree.unlink(ROOT, OsStr::new("later")).unwrap();
        tree.cut_power(&mut || false);
        assert_eq!((shown(&tree, ROOT), shown(&tree, folder)), (vec!["folder", "later"], vec!["inner"]));
    }

    #[test]
    fn a_file_has_as_many_links_as_names() {
        let mut tree = Tree::new(Names::ByFolder);
        let number = tree.add(ROOT, OsStr::new("a"), file()).unwrap();
        tree.link(number, ROOT, OsStr::new("b")).unwrap();
        assert_eq!(tree.links(number), 2);
        tree.unlink(ROOT, OsStr::new("a")).unwrap();
        assert_eq!(tree.links(number), 1);
    }

    #[test]
    fn a_move_happens_as_a_whole() {
        let mut tree = Tree::new(Names::ByFolder);
        let folder = tree.add(ROOT, OsStr::new("folder"), Node::Folder(Entries::new())).unwrap();
        let number = tree.add(ROOT, OsStr::new("a"), file()).unwrap();
        tree.flush_folder(ROOT);
        tree.rename((ROOT, OsStr::new("a")), (folder, OsStr::new("b"))).unwrap();
        tree.flush_folder(folder);
        tree.unlink(folder, OsStr::new("b")).unwrap();
        tree.cut_power(&mut || false);
        assert_eq!((shown(&tree, ROOT), shown(&tree, folder)), (vec!["folder"], vec!["b"]));
        assert!(tree.file(number).is_ok(), "an unlinked file is there until that is flushed");
    }
}
