//! What a walk costs, in locks and in words that several CPUs write: over the cache, none.

use super::world::{Calls, World};
use crate::errno::Errno;
use crate::fs::flags::{AtFlags, OpenFlags};
use crate::fs::namei::At;
use crate::sync::checks;

/// Locks taken and shared words written by `work`.
fn counted(work: impl FnOnce()) -> (u64, u64) {
    let before = checks::counts();
    work();
    let after = checks::counts();
    (after.0 - before.0, after.1 - before.1)
}

#[test]
fn a_cached_walk_takes_no_lock_and_writes_no_shared_word() {
    let world = World::new();
    for dir in ["usr", "usr/lib"] {
        world.make_dir(dir).unwrap();
    }
    world.put("usr/lib/file", "x").unwrap();
    world.link_to("usr", "link").unwrap();
    world.enter("usr").unwrap();
    let caller = world.caller();
    let stat = |path: &[u8]| caller.stat(At::Cwd, path, AtFlags::empty());
    for path in [&b"/usr/lib/file"[..], b"/usr/lib/../lib/./file", b"lib/file", b"/link/lib/file"] {
        let name = std::string::String::from_utf8_lossy(path);
        stat(path).unwrap();
        let mut found = None;
        assert_eq!(counted(|| found = Some(stat(path))), (0, 0), "{name}");
        assert!(found.unwrap().is_ok(), "{name}");
    }
    // That there is nothing is known, too.
    assert_eq!(stat(b"/usr/lib/no"), Err(Errno::Enoent));
    assert_eq!(counted(|| assert_eq!(stat(b"/usr/lib/no"), Err(Errno::Enoent))), (0, 0));
    // The counters do count.
    let (locks, writes) = counted(|| drop(world.open_as("/usr/lib/file", OpenFlags::empty(), 0).unwrap()));
    assert!(locks > 0 && writes > 0, "{locks} {writes}");
    world.cache.reclaim(100);
    let (locks, _) = counted(|| assert!(stat(b"/usr/lib/file").is_ok()));
    assert!(locks >= 3, "{locks}: each component's directory is locked");
}
