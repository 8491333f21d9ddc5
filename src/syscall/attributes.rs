//! Extended attributes. No file system here has any, and every call says so, as Linux does of a file system without them:
//! EOPNOTSUPP, and a list without entries. It is said only when all else is right, so that a wrong path or a bad address is
//! still called that. -ENOSYS would be the other honest answer, but programs take it for an error to be told of: `ls -l` prints a
//! line for every file.
//!
//! Source: Linux 6.1, fs/xattr.c; xattr(7).

use super::{Arguments, Call};
use crate::arch::x86_64::usercopy;
use crate::errno::Errno;
use crate::fs::Result;
use crate::fs::flags::AtFlags;
use crate::fs::mode::Kind;
use crate::fs::mount::{Mount, Path};
use crate::fs::namei::At;
use crate::mm::vma::room;
use crate::proc::user;

/// Longest name, with its 0 (`XATTR_NAME_MAX` and one).
const NAME_MAX: usize = 256;
/// Longest value (`XATTR_SIZE_MAX`).
const VALUE_MAX: u64 = 65_536;
/// `XATTR_CREATE` and `XATTR_REPLACE`.
const FLAGS: u64 = 1 | 2;

/// Where a path leads; to a link itself, if that is what it is and `flags` say so.
fn named(call: &Call<'_>, path: u64, flags: AtFlags) -> Result<Path> {
    let path = user::path(path)?;
    call.standing().caller().resolve_at(At::Cwd, &path, flags)
}

/// An open file's.
fn open(call: &Call<'_>, fd: u64) -> Result<Path> {
    Ok(Path::clone(&call.file(fd)?.path))
}

/// Looks at a name, and says what Linux says of one that the file system does not know. ERANGE: too long, or empty. `refused`:
/// the answer if that one may not have such an attribute.
fn unknown(call: &Call<'_>, path: &Path, name: u64, refused: Errno) -> Result<u64> {
    let name = user::string(name, NAME_MAX, Errno::Erange)?;
    if name.is_empty() {
        return Err(Errno::Erange);
    }
    let kind = path.dentry.inode_ref().ok_or(Errno::Enoent)?.kind;
    let is_for_others = name.starts_with(b"trusted.") && call.standing().credentials.effective_uid != 0;
    let has_none = name.starts_with(b"user.") && !matches!(kind, Kind::Regular | Kind::Directory);
    Err(if is_for_others || has_none { refused } else { Errno::Eopnotsupp })
}

fn get(call: &Call<'_>, path: &Path, name: u64) -> Result<u64> {
    unknown(call, path, name, Errno::Enodata)
}

fn set(call: &Call<'_>, path: &Path, name: u64, value: u64, size: u64, flags: u64) -> Result<u64> {
    let _writing = Mount::want_write(&path.mount)?;
    if flags as u32 & !FLAGS as u32 != 0 {
        return Err(Errno::Einval);
    }
    // The name first, then the value, and only then what it is called.
    let told = unknown(call, path, name, Errno::Eperm);
    if matches!(told, Err(Errno::Efault | Errno::Erange)) {
        return told;
    }
    if size > VALUE_MAX {
        return Err(Errno::E2big);
    }
    let mut bytes = room::with_room(size as usize).map_err(|_| Errno::Enomem)?;
    bytes.resize(size as usize, 0);
    usercopy::copy_in(&mut bytes, value)?;
    told
}

fn remove(call: &Call<'_>, path: &Path, name: u64) -> Result<u64> {
    let _writing = Mount::want_write(&path.mount)?;
    unknown(call, path, name, Errno::Eperm)
}

pub fn setxattr(call: &mut Call<'_>, [path, name, value, size, flags, _]: Arguments) -> Result<u64> {
    set(call, &named(call, path, AtFlags::empty())?, name, value, size, flags)
}

pub fn lsetxattr(call: &mut Call<'_>, [path, name, value, size, flags, _]: Arguments) -> Result<u64> {
    set(call, &named(call, path, AtFlags::SYMLINK_NOFOLLOW)?, name, value, size, flags)
}

pub fn fsetxattr(call: &mut Call<'_>, [fd, name, value, size, flags, _]: Arguments) -> Result<u64> {
    set(call, &open(call, fd)?, name, value, size, flags)
}

pub fn getxattr(call: &mut Call<'_>, [path, name, ..]: Arguments) -> Result<u64> {
    get(call, &named(call, path, AtFlags::empty())?, name)
}

pub fn lgetxattr(call: &mut Call<'_>, [path, name, ..]: Arguments) -> Result<u64> {
    get(call, &named(call, path, AtFlags::SYMLINK_NOFOLLOW)?, name)
}

pub fn fgetxattr(call: &mut Call<'_>, [fd, name, ..]: Arguments) -> Result<u64> {
    get(call, &open(call, fd)?, name)
}

pub fn listxattr(call: &mut Call<'_>, [path, ..]: Arguments) -> Result<u64> {
    named(call, path, AtFlags::empty()).map(|_| 0)
}

pub fn llistxattr(call: &mut Call<'_>, [path, ..]: Arguments) -> Result<u64> {
    named(call, path, AtFlags::SYMLINK_NOFOLLOW).map(|_| 0)
}

pub fn flistxattr(call: &mut Call<'_>, [fd, ..]: Arguments) -> Result<u64> {
    open(call, fd).map(|_| 0)
}

pub fn removexattr(call: &mut Call<'_>, [path, name, ..]: Arguments) -> Result<u64> {
    remove(call, &named(call, path, AtFlags::empty())?, name)
}

pub fn lremovexattr(call: &mut Call<'_>, [path, name, ..]: Arguments) -> Result<u64> {
    remove(call, &named(call, path, AtFlags::SYMLINK_NOFOLLOW)?, name)
}

pub fn fremovexattr(call: &mut Call<'_>, [fd, name, ..]: Arguments) -> Result<u64> {
    remove(call, &open(call, fd)?, name)
}
