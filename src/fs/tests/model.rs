//! Random calls on random trees, with links and mounts, against a model that is as simple as can be.
//!
//! The model knows nothing of caches and locks: nodes in a list, names in maps, and a walk that goes from name to name and
//! calls itself for symbolic links. Both are asked the same, and must say the same: the same file, or the same error.

use super::world::{Calls, World};
use crate::errno::Errno;
use crate::fs::flags::{MountFlags, RenameFlags};
use crate::fs::namei::Last;
use crate::fs::tmpfs::TYPE;
use crate::testing::Random;
use std::collections::BTreeMap;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

type Result<T> = core::result::Result<T, Errno>;

#[derive(Clone)]
enum What {
    Dir { entries: BTreeMap<String, usize>, parent: usize },
    File(String),
    Link(String),
}

#[derive(Clone)]
struct Node {
    what: What,
    fs: usize,
    links: u32,
}

/// A mount: its root, and where it stands.
#[derive(Clone, Copy)]
struct Mounted {
    root: usize,
    on: Option<Place>,
    is_there: bool,
}

/// Mount and node.
type Place = (usize, usize);

struct Model {
    nodes: Vec<Node>,
    mounts: Vec<Mounted>,
    cwd: Place,
    file_systems: usize,
}

/// A directory and a name in it; whether there were slashes behind it. No name: the path was `/`.
type End = (Place, String, bool);

impl Model {
    fn new() -> Self {
        let mut model = Self { nodes: Vec::new(), mounts: Vec::new(), cwd: (0, 0), file_systems: 0 };
        model.new_fs(None);
        model
    }

    fn new_fs(&mut self, on: Option<Place>) {
        let root = self.nodes.len();
        let what = What::Dir { entries: BTreeMap::new(), parent: root };
        self.nodes.push(Node { what, fs: self.file_systems, links: 2 });
        self.mounts.push(Mounted { root, on, is_there: true });
        self.file_systems += 1;
    }

    fn dir(&mut self, node: usize) -> &mut BTreeMap<String, usize> {
        match &mut self.nodes[node].what {
            What::Dir { entries, .. } => entries,
            _ => panic!("not a directory"),
        }
    }

    fn entries(&self, node: usize) -> Result<&BTreeMap<String, usize>> {
        match &self.nodes[node].what {
            What::Dir { entries, .. } => Ok(entries),
            _ => Err(Errno::Enotdir),
        }
    }

    fn is_dir(&self, node: usize) -> bool {
        self.entries(node).is_ok()
    }

    fn parent(&self, node: usize) -> usize {
        match self.nodes[node].what {
            What::Dir { parent, .. } => parent,
            _ => panic!("not a directory"),
        }
    }

    fn onto(&self, mut place: Place) -> Place {
        while let Some(above) = self.mounts.iter().position(|mount| mount.is_there && mount.on == Some(place))
        {
            place = (above, self.mounts[above].root);
        }
        place
    }

    fn up(&self, mut place: Place) -> Place {
        while place.1 == self.mounts[place.0].root {
            match self.mounts[place.0].on {
                Some(on) => place = on,
                None => return place,
            }
        }
        self.onto((place.0, self.parent(place.1)))
    }

    /// Goes along a path, to its end or to its last name.
    fn walk(
        &self,
        from: Place,
        path: &str,
        follow: bool,
        want_end: bool,
        links: &mut u32,
    ) -> Result<(Place, Option<End>)> {
        if path.is_empty() {
            return Err(Errno::Enoent);
        }
        let mut place = if path.starts_with('/') { (0, 0) } else { from };
        let names: Vec<&str> = path.split('/').filter(|name| !name.is_empty()).collect();
        let is_slashed = path.ends_with('/');
        let mut must_be_dir = is_slashed;
        for (n, &name) in names.iter().enumerate() {
            let is_last = n + 1 == names.len();
            let entries = self.entries(place.1)?;
            if is_last && want_end {
                return Ok((place, Some((place, name.to_string(), is_slashed))));
            }
            must_be_dir = is_slashed || matches!(name, "." | "..");
            match name {
                "." => (),
                ".." => place = self.up(place),
                _ => {
                    let &found = entries.get(name).ok_or(Errno::Enoent)?;
                    match &self.nodes[found].what {
                        What::Link(target) if !is_last || is_slashed || follow => {
                            *links += 1;
                            if *links > 40 {
                                return Err(Errno::Eloop);
                            }
                            place = self.walk(place, target, true, false, links)?.0;
                        }
                        _ => place = self.onto((place.0, found)),
                    }
                }
            }
        }
        if want_end {
            return Ok((place, Some((place, String::new(), true))));
        }
        if must_be_dir && !self.is_dir(place.1) { Err(Errno::Enotdir) } else { Ok((place, None)) }
    }

    fn find(&self, path: &str, follow: bool) -> Result<Place> {
        Ok(self.walk(self.cwd, path, follow, false, &mut 0)?.0)
    }

    fn end(&self, path: &str) -> Result<End> {
        Ok(self.walk(self.cwd, path, false, true, &mut 0)?.1.expect("asked for"))
    }

    fn make(&mut self, path: &str, what: What) -> Result<()> {
        let is_dir = matches!(what, What::Dir { .. });
        let (dir, name, is_slashed) = self.end(path)?;
        if matches!(&*name, "" | "." | "..") {
            return Err(Errno::Eexist);
        }
        if self.nodes[dir.1].links == 0 {
            return Err(Errno::Enoent);
        }
        if self.entries(dir.1)?.contains_key(&name) {
            return Err(Errno::Eexist);
        }
        if is_slashed && !is_dir {
            return Err(Errno::Enoent);
        }
        let new = self.nodes.len();
        let (what, links) = match what {
            What::Dir { entries, .. } => (What::Dir { entries, parent: dir.1 }, 2),
            other => (other, 1),
        };
        self.nodes.push(Node { what, fs: self.nodes[dir.1].fs, links });
        self.dir(dir.1).insert(name, new);
        self.nodes[dir.1].links += u32::from(is_dir);
        Ok(())
    }

    /// Writes a file, which is made if need be.
    fn put(&mut self, path: &str, text: &str) -> Result<()> {
        let mut from = self.cwd;
        let mut path = path.to_string();
        let mut links = 0;
        loop {
            let end = self.walk(from, &path, false, true, &mut links)?;
            let (dir, name, is_slashed) = end.1.expect("asked for");
            if matches!(&*name, "" | "." | "..") {
                return Err(Errno::Eisdir);
            }
            let Some(&found) = self.entries(dir.1)?.get(&name) else {
                if self.nodes[dir.1].links == 0 {
                    return Err(Errno::Enoent);
                }
                if is_slashed {
                    return Err(Errno::Eisdir);
                }
                let new = self.nodes.len();
                let fs = self.nodes[dir.1].fs;
                self.nodes.push(Node { what: What::File(text.into()), fs, links: 1 });
                self.dir(dir.1).insert(name, new);
                return Ok(());
            };
            match &mut self.nodes[found].what {
                What::Link(target) => {
                    links += 1;
                    if links > 40 {
                        return Err(Errno::Eloop);
                    }
                    path = target.clone();
                    from = dir;
                }
                What::Dir { .. } => return Err(Errno::Eisdir),
                What::File(_) if is_slashed => return Err(Errno::Enotdir),
                What::File(content) => {
                    *content = text.into();
                    return Ok(());
                }
            }
        }
    }

    fn is_mounted_on(&self, node: usize) -> bool {
        self.mounts.iter().any(|mount| mount.is_there && mount.on.is_some_and(|on| on.1 == node))
    }

    fn unlink(&mut self, path: &str) -> Result<()> {
        let (dir, name, is_slashed) = self.end(path)?;
        if matches!(&*name, "" | "." | "..") {
            return Err(Errno::Eisdir);
        }
        let &found = self.entries(dir.1)?.get(&name).ok_or(Errno::Enoent)?;
        match self.is_dir(found) {
            true => return Err(Errno::Eisdir),
            false if is_slashed => return Err(Errno::Enotdir),
            false => (),
        }
        self.dir(dir.1).remove(&name);
        self.nodes[found].links -= 1;
        Ok(())
    }

    fn rmdir(&mut self, path: &str) -> Result<()> {
        let (dir, name, _) = self.end(path)?;
        match &*name {
            "." => return Err(Errno::Einval),
            ".." => return Err(Errno::Enotempty),
            "" => return Err(Errno::Ebusy),
            _ => (),
        }
        let &found = self.entries(dir.1)?.get(&name).ok_or(Errno::Enoent)?;
        let entries = self.entries(found)?;
        if self.is_mounted_on(found) {
            return Err(Errno::Ebusy);
        }
        if !entries.is_empty() {
            return Err(Errno::Enotempty);
        }
        self.dir(dir.1).remove(&name);
        self.nodes[dir.1].links -= 1;
        self.nodes[found].links = 0;
        Ok(())
    }

    fn link(&mut self, old: &str, new: &str) -> Result<()> {
        let old = self.find(old, false)?;
        let (dir, name, is_slashed) = self.end(new)?;
        if matches!(&*name, "" | "." | "..") {
            return Err(Errno::Eexist);
        }
        if self.nodes[dir.1].links == 0 {
            return Err(Errno::Enoent);
        }
        if self.entries(dir.1)?.contains_key(&name) {
            return Err(Errno::Eexist);
        }
        if is_slashed {
            return Err(Errno::Enoent);
        }
        if dir.0 != old.0 {
            return Err(Errno::Exdev);
        }
        if self.is_dir(old.1) {
            return Err(Errno::Eperm);
        }
        self.dir(dir.1).insert(name, old.1);
        self.nodes[old.1].links += 1;
        Ok(())
    }

    fn is_below(&self, mut node: usize, above: usize) -> bool {
        loop {
            if node == above {
                return true;
            }
            let parent = self.parent(node);
            if parent == node {
                return false;
            }
            node = parent;
        }
    }

    fn rename(&mut self, old: &str, new: &str, flags: RenameFlags) -> Result<()> {
        let exchange = flags == RenameFlags::EXCHANGE;
        let (from, name, slashed) = self.end(old)?;
        let (to, new_name, new_slashed) = self.end(new)?;
        if from.0 != to.0 {
            return Err(Errno::Exdev);
        }
        let is_plain = |name: &str| !matches!(name, "" | "." | "..");
        if !is_plain(&name) {
            return Err(Errno::Ebusy);
        }
        if !is_plain(&new_name) {
            return Err(if flags == RenameFlags::NOREPLACE { Errno::Eexist } else { Errno::Ebusy });
        }
        if self.nodes[from.1].links == 0 {
            return Err(Errno::Enoent);
        }
        let &node = self.entries(from.1)?.get(&name).ok_or(Errno::Enoent)?;
        if self.nodes[to.1].links == 0 {
            return Err(Errno::Enoent);
        }
        let other = self.entries(to.1)?.get(&new_name).copied();
        if flags == RenameFlags::NOREPLACE && other.is_some() {
            return Err(Errno::Eexist);
        }
        if exchange && other.is_none() {
            return Err(Errno::Enoent);
        }
        let is_dir = self.is_dir(node);
        let other_is_dir = other.is_some_and(|other| self.is_dir(other));
        if !is_dir && (slashed || !exchange && new_slashed) || exchange && new_slashed && !other_is_dir {
            return Err(Errno::Enotdir);
        }
        if is_dir && self.is_below(to.1, node) {
            return Err(Errno::Einval);
        }
        if let Some(other) = other
            && other_is_dir
            && self.is_below(from.1, other)
        {
            return Err(if exchange { Errno::Einval } else { Errno::Enotempty });
        }
        if other == Some(node) {
            return Ok(());
        }
        if other.is_some() && !exchange {
            match (is_dir, other_is_dir) {
                (true, false) => return Err(Errno::Enotdir),
                (false, true) => return Err(Errno::Eisdir),
                _ => (),
            }
        }
        if self.is_mounted_on(node) || other.is_some_and(|other| self.is_mounted_on(other)) {
            return Err(Errno::Ebusy);
        }
        if let Some(other) = other
            && !exchange
        {
            if other_is_dir {
                if !self.entries(other)?.is_empty() {
                    return Err(Errno::Enotempty);
                }
                self.nodes[to.1].links -= 1;
                self.nodes[other].links = 0;
            } else {
                self.nodes[other].links -= 1;
            }
        }
        self.dir(from.1).remove(&name);
        self.dir(to.1).insert(new_name, node);
        self.moved(node, from.1, to.1);
        if let Some(other) = other.filter(|_| exchange) {
            self.dir(from.1).insert(name, other);
            self.moved(other, to.1, from.1);
        }
        Ok(())
    }

    fn moved(&mut self, node: usize, from: usize, to: usize) {
        if let What::Dir { parent, .. } = &mut self.nodes[node].what {
            *parent = to;
            self.nodes[from].links -= 1;
            self.nodes[to].links += 1;
        }
    }

    fn mount(&mut self, path: &str) -> Result<()> {
        // The root is where it is, whatever stands on it; a mount goes on top.
        let place = self.onto(self.find(path, true)?);
        if !self.is_dir(place.1) {
            return Err(Errno::Enotdir);
        }
        if self.nodes[place.1].links == 0 {
            return Err(Errno::Enoent);
        }
        self.new_fs(Some(place));
        Ok(())
    }

    fn unmount(&mut self, path: &str) -> Result<()> {
        let (mount, node) = self.find(path, true)?;
        if node != self.mounts[mount].root || self.mounts[mount].on.is_none() {
            return Err(Errno::Einval);
        }
        let stands = |other: &Mounted| other.is_there && other.on.is_some_and(|on| on.0 == mount);
        if self.cwd.0 == mount || self.mounts.iter().any(stands) {
            return Err(Errno::Ebusy);
        }
        self.mounts[mount].is_there = false;
        Ok(())
    }
}

const NAMES: [&str; 5] = ["a", "b", "c", "d", "a-long-name-that-does-not-fit-into-an-entry-itself"];

fn path(random: &mut Random) -> String {
    let mut path = String::new();
    if random.below(3) == 0 {
        path.push('/');
    }
    for n in 0..1 + random.below(4) {
        if n > 0 {
            path += if random.below(12) == 0 { "//" } else { "/" };
        }
        path += match random.below(12) {
            0 => ".",
            1 => "..",
            _ => random.pick(&NAMES),
        };
    }
    if random.below(10) == 0 {
        path.push('/');
    }
    path
}

/// What both say of a path: which node, and a few things about it.
fn compare(
    world: &World,
    model: &Model,
    known: &mut BTreeMap<(u32, u64), usize>,
    path: &str,
    follow: bool,
) -> core::result::Result<(), String> {
    let found = if follow { world.stat_of(path) } else { world.lstat(path) };
    let expected = model.find(path, follow);
    let (found, (_, node)) = match (found, expected) {
        (Ok(found), Ok(expected)) => (found, expected),
        (Err(found), Err(expected)) if found == expected => return Ok(()),
        (found, expected) => return Err(format!("{:?}, and not {expected:?}", found.map(|stat| stat.inode))),
    };
    let key = (found.device.minor, found.inode);
    let before = *known.entry(key).or_insert(node);
    // A number is used again when its file is gone.
    if before != node && model.nodes[before].links > 0 {
        return Err(format!("{key:?} is node {before} and {node}"));
    }
    known.insert(key, node);
    let node = &model.nodes[node];
    let (kind, size) = match &node.what {
        What::Dir { entries, .. } => (0o040000, 40 + 20 * entries.len()),
        What::File(text) => (0o100000, text.len()),
        What::Link(target) => (0o120000, target.len()),
    };
    if (found.mode & 0o170000, found.size, found.links) != (kind, size as u64, node.links) {
        return Err(format!("{found:?}: {kind:o}, {size} bytes, {} links", node.links));
    }
    Ok(())
}

/// So many random calls.
fn play(seed: u64, calls: usize, cache: usize) {
    let world = World::with_cache(cache);
    let mut model = Model::new();
    let mut known = BTreeMap::new();
    let mut random = Random::new(seed);
    for n in 0..calls {
        let (one, two) = (path(&mut random), path(&mut random));
        let (what, found, expected): (&str, Result<()>, Result<()>) = match random.below(24) {
            0..3 => {
                let empty = What::Dir { entries: BTreeMap::new(), parent: 0 };
                ("mkdir", world.make_dir(&one), model.make(&one, empty))
            }
            3..6 => {
                let text = format!("{n}");
                ("put", world.put(&one, &text), model.put(&one, &text))
            }
            6 => ("symlink", world.link_to(&two, &one), model.make(&one, What::Link(two.clone()))),
            7 => ("link", world.hard_link(&one, &two), model.link(&one, &two)),
            8 => ("unlink", world.remove(&one), model.unlink(&one)),
            9 => ("rmdir", world.remove_dir(&one), model.rmdir(&one)),
            10..12 => ("rename", world.rename_to(&one, &two), model.rename(&one, &two, RenameFlags::empty())),
            12 => {
                let flags = random.pick(&[RenameFlags::EXCHANGE, RenameFlags::NOREPLACE]);
                ("rename with flags", world.rename_as(&one, &two, flags), model.rename(&one, &two, flags))
            }
            13 if random.below(4) == 0 => {
                let there = model.mounts.iter().filter(|mount| mount.is_there).count();
                if there > 6 {
                    continue;
                }
                let flags = MountFlags::RELATIME;
                let mounted = world.caller().mount(&world.cache, &TYPE, b"", one.as_bytes(), flags, b"");
                ("mount", mounted.map(|_| ()), model.mount(&one))
            }
            14 => {
                ("umount", world.caller().unmount(one.as_bytes(), Last::Follow, false), model.unmount(&one))
            }
            15 => {
                let expected = model.find(&one, true);
                let entered = match expected {
                    Ok(place) if model.is_dir(place.1) => {
                        model.cwd = place;
                        Ok(())
                    }
                    Ok(_) => Err(Errno::Enotdir),
                    Err(error) => Err(error),
                };
                ("chdir", world.enter(&one), entered)
            }
            16 => {
                let expected = model.find(&one, true).and_then(|place| {
                    let names: Vec<String> = model.entries(place.1)?.keys().cloned().collect();
                    if model.nodes[place.1].links == 0 { Err(Errno::Enoent) } else { Ok(names) }
                });
                let found = world.list(&one);
                assert_eq!(found, expected, "call {n} of seed {seed}: list {one}");
                continue;
            }
            17 => {
                world.cache.reclaim(random.index(20));
                continue;
            }
            other => {
                if let Err(report) = compare(&world, &model, &mut known, &one, other < 22) {
                    panic!("call {n} of seed {seed}: stat {one}: {report}");
                }
                continue;
            }
        };
        assert_eq!(found, expected, "call {n} of seed {seed}: {what} {one} {two}");
    }
}

#[test]
fn random_calls_are_the_models() {
    for seed in 0..20 {
        play(seed, 6000, if seed % 4 == 0 { 16 } else { 500 });
    }
}
