//! Files with several names: which of them came first.
//!
//! An archive has no entry for "another name of". Names of one file bear the same device and inode number, and a count
//! of links above 1; the contents stand with one of them, with the last by what writes archives today. So the first
//! name of each such file is remembered for as long as its archive lasts. The table is a balanced tree over an array, so
//! that an archive of nothing but links costs no more than the logarithm for each.

use super::header::Header;
use super::name::NAME_MAX;
use crate::avl::{Nodes, Side};
use alloc::vec::Vec;

/// Bits of a mode that are the file's type.
const TYPE: u32 = 0o170_000;
const NOBODY: u32 = u32::MAX;

/// The heap has refused.
#[derive(Debug)]
pub struct NoMemory;

/// What makes two entries one file.
type Key = (u32, u32, u32, u32);

struct Node {
    key: Key,
    /// The name's place in `names`.
    start: u32,
    len: u16,
    height: u8,
    parent: u32,
    children: [u32; 2],
}

pub struct Links {
    nodes: Vec<Node>,
    names: Vec<u8>,
    root: u32,
}

impl Links {
    pub const fn new() -> Self {
        Self { nodes: Vec::new(), names: Vec::new(), root: NOBODY }
    }

    /// The next archive's numbers are its own.
    pub fn clear(&mut self) {
        self.nodes.clear();
        self.names.clear();
        self.root = NOBODY;
    }

    /// The first name of the file that `header` speaks of, if it has had one; else this is it from now on.
    pub fn first_name(&mut self, header: &Header, name: &[u8]) -> Result<Option<&[u8]>, NoMemory> {
        debug_assert!(name.len() <= NAME_MAX);
        let key = (header.device.0, header.device.1, header.ino, header.mode & TYPE);
        let mut at = self.root;
        while at != NOBODY {
            let node = &self.nodes[at as usize];
            if node.key == key {
                let start = node.start as usize;
                return Ok(Some(&self.names[start..start + usize::from(node.len)]));
            }
            at = node.children[usize::from(node.key < key)];
        }
        let new = u32::try_from(self.nodes.len()).ok().filter(|&new| new != NOBODY).ok_or(NoMemory)?;
        let start = u32::try_from(self.names.len()).map_err(|_| NoMemory)?;
        self.nodes.try_reserve(1).map_err(|_| NoMemory)?;
        self.names.try_reserve(name.len()).map_err(|_| NoMemory)?;
        self.names.extend_from_slice(name);
        let links = [NOBODY; 2];
        self.nodes.push(Node {
            key,
            start,
            len: name.len() as u16,
            height: 1,
            parent: NOBODY,
            children: links,
        });
        self.link(new);
        Ok(None)
    }
}

impl Nodes for Links {
    type Link = u32;
    /// The height.
    type Sum = u8;
    const NOBODY: u32 = NOBODY;

    fn root(&self) -> u32 {
        self.root
    }

    fn set_root(&mut self, root: u32) {
        self.root = root;
    }

    fn child(&self, at: u32, side: Side) -> u32 {
        self.nodes[at as usize].children[side as usize]
    }

    fn put_child(&mut self, at: u32, side: Side, child: u32) {
        self.nodes[at as usize].children[side as usize] = child;
    }

    fn parent(&self, at: u32) -> u32 {
        self.nodes[at as usize].parent
    }

    fn put_parent(&mut self, at: u32, parent: u32) {
        self.nodes[at as usize].parent = parent;
    }

    fn sum(&self, at: u32) -> u8 {
        self.nodes[at as usize].height
    }

    fn put_sum(&mut self, at: u32, sum: u8) {
        self.nodes[at as usize].height = sum;
    }

    fn summed(&self, at: u32) -> u8 {
        let heights = [Side::Left, Side::Right].map(|side| self.height(self.child(at, side)));
        1 + heights[0].max(heights[1]) as u8
    }

    fn precedes(&self, new: u32, at: u32) -> bool {
        self.nodes[new as usize].key < self.nodes[at as usize].key
    }

    fn height(&self, at: u32) -> u32 {
        if at == NOBODY { 0 } else { self.nodes[at as usize].height.into() }
    }
}
