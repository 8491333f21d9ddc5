//! Links of /proc: text, or a jump to the object itself.
//!
//! A link of a process's (`cwd`, `exe`, a descriptor) leads to what the process has, whatever its name has come to mean
//! meanwhile, and whether it still has one: so walks jump ([`Followed::Jump`]) and do not read. What `readlink` says is for
//! people: the path from the reader's root, with ` (deleted)` behind what has no name any more; what never had one (a
//! pipe) is shown by kind and number.

use super::super::Result;
use super::super::calls::path_from;
use super::super::inode::Followed;
use super::super::mount::Path;
use super::Processes;
use super::node::write_number;
use super::process::Process;
use super::tree::Place;
use crate::errno::Errno;
use crate::mm::vma::room;
use alloc::vec::Vec;

/// One of them.
pub enum Link<'a> {
    Text(&'static str),
    Itself(&'a dyn Processes),
    ThreadItself(&'a dyn Processes),
    Place(&'a dyn Process, Place),
    Fd(&'a dyn Process, i32),
}

/// Where it leads.
pub fn follow(link: &Link<'_>) -> Result<Followed> {
    match link {
        Link::Text(_) | Link::Itself(_) | Link::ThreadItself(_) => read(link).map(Followed::Text),
        _ => target(link).map(Followed::Jump),
    }
}

/// What `readlink` says.
pub fn read(link: &Link<'_>) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    match link {
        Link::Text(to) => append(&mut text, to.as_bytes())?,
        Link::Itself(processes) => {
            let (pid, _) = processes.current().ok_or(Errno::Enoent)?;
            write_number(&mut text, pid)?;
        }
        Link::ThreadItself(processes) => {
            let (pid, id) = processes.current().ok_or(Errno::Enoent)?;
            write_number(&mut text, pid)?;
            append(&mut text, b"/task/")?;
            write_number(&mut text, id)?;
        }
        Link::Place(process, _) | Link::Fd(process, _) => {
            let path = target(link)?;
            return shown(*process, &path);
        }
    }
    Ok(text)
}

fn append(text: &mut Vec<u8>, bytes: &[u8]) -> Result<()> {
    room::reserve(text, bytes.len()).map_err(|_| Errno::Enomem)?;
    text.extend_from_slice(bytes);
    Ok(())
}

/// What a link of a process's leads to.
fn target(link: &Link<'_>) -> Result<Path> {
    let (Link::Place(process, _) | Link::Fd(process, _)) = link else { return Err(Errno::Einval) };
    if !process.may_be_looked_into() {
        return Err(Errno::Eacces);
    }
    match link {
        Link::Place(process, Place::Root) => process.root(),
        Link::Place(process, Place::Cwd) => process.cwd(),
        Link::Place(process, Place::Exe) => process.exe(),
        Link::Fd(process, fd) => {
            let file = process.files().ok_or(Errno::Enoent)?.get(*fd).map_err(|_| Errno::Enoent)?;
            Ok(Path::clone(&file.path))
        }
        _ => Err(Errno::Einval),
    }
}

/// A path in words, as seen from the process's root.
pub fn shown(process: &dyn Process, path: &Path) -> Result<Vec<u8>> {
    path_from(&process.root()?, path)
}
