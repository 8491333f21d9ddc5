//! A sink that makes a tree in a map, and holds the reader to what the trait promises.

use super::super::{Meta, Node, Sink};
use std::collections::BTreeMap;
use std::fmt;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum File {
    Directory(Meta),
    Regular(Meta, Vec<u8>),
    Symlink(Vec<u8>),
    Node(Meta, Node),
}

/// There is no more room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("full")
    }
}

#[derive(Debug, Default)]
pub struct Tree {
    names: BTreeMap<Vec<u8>, usize>,
    files: Vec<File>,
    /// The file that is being written, and what it still lacks.
    open: Option<(usize, u64)>,
    largest_piece: usize,
    /// Bytes of contents that there is room for.
    room: Option<usize>,
}

/// The same names lead to the same contents.
impl PartialEq for Tree {
    fn eq(&self, other: &Self) -> bool {
        self.names.keys().eq(other.names.keys())
            && self.names.keys().all(|name| self.get(name) == other.get(name))
    }
}

impl Tree {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn with_room(bytes: usize) -> Self {
        Self { room: Some(bytes), ..Self::default() }
    }

    pub fn get(&self, name: &[u8]) -> Option<&File> {
        self.names.get(name).map(|&at| &self.files[at])
    }

    pub fn len(&self) -> usize {
        self.names.len()
    }

    pub fn contents(&self, name: &[u8]) -> &[u8] {
        match self.get(name) {
            Some(File::Regular(_, bytes)) => bytes,
            other => panic!("{}: {other:?}", name.escape_ascii()),
        }
    }

    /// How many names the file of this name has.
    pub fn names_of(&self, name: &[u8]) -> usize {
        let file = self.names[name];
        self.names.values().filter(|&&other| other == file).count()
    }

    pub fn largest_piece(&self) -> usize {
        self.largest_piece
    }

    fn check_name(&self, name: &[u8]) {
        assert!(self.open.is_none(), "nothing comes within a file");
        assert!((1..=4095).contains(&name.len()) && !name.contains(&0));
        for part in name.split(|&byte| byte == b'/') {
            assert!((1..=255).contains(&part.len()) && part != b".." && (part != b"." || name == b"."));
        }
    }

    fn put(&mut self, name: &[u8], file: File) {
        self.check_name(name);
        self.names.insert(name.to_vec(), self.files.len());
        self.files.push(file);
    }
}

impl Sink for Tree {
    type Error = Full;

    fn directory(&mut self, name: &[u8], meta: &Meta) -> Result<(), Full> {
        self.put(name, File::Directory(*meta));
        Ok(())
    }

    fn file(&mut self, name: &[u8], meta: &Meta, size: u64) -> Result<(), Full> {
        assert_ne!(name, b".");
        let file = File::Regular(*meta, vec![]);
        match self.names.get(name) {
            Some(&at) if matches!(self.files[at], File::Regular(..)) => {
                self.check_name(name);
                self.files[at] = file;
            }
            _ => self.put(name, file),
        }
        self.open = Some((self.names[name], size));
        Ok(())
    }

    fn data(&mut self, bytes: &[u8]) -> Result<(), Full> {
        let (at, left) = self.open.as_mut().expect("a file has begun");
        assert!(!bytes.is_empty());
        *left = left.checked_sub(bytes.len() as u64).expect("no more than was said");
        self.largest_piece = self.largest_piece.max(bytes.len());
        if let Some(room) = &mut self.room {
            *room = room.checked_sub(bytes.len()).ok_or(Full)?;
        }
        match &mut self.files[*at] {
            File::Regular(_, contents) => contents.extend(bytes),
            other => panic!("{other:?}"),
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), Full> {
        assert_eq!(self.open.take().expect("a file has begun").1, 0, "all of it has come");
        Ok(())
    }

    fn symlink(&mut self, name: &[u8], target: &[u8], _: &Meta) -> Result<(), Full> {
        assert!((1..=4095).contains(&target.len()) && !target.contains(&0));
        self.put(name, File::Symlink(target.to_vec()));
        Ok(())
    }

    fn node(&mut self, name: &[u8], node: Node, meta: &Meta) -> Result<(), Full> {
        if let Node::CharDevice(major, minor) | Node::BlockDevice(major, minor) = node {
            assert!(major < 1 << 12 && minor < 1 << 20);
        }
        self.put(name, File::Node(*meta, node));
        Ok(())
    }

    fn hard_link(&mut self, existing: &[u8], name: &[u8]) -> Result<(), Full> {
        self.check_name(name);
        assert_ne!(existing, name);
        let file = self.names[existing];
        self.names.insert(name.to_vec(), file);
        Ok(())
    }
}
