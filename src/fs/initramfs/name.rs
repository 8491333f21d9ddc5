//! Names in archives: which are taken, and what they are called afterwards.
//!
//! `find . | cpio` gives `./a/b` or `a/b`, by the program; both become `a/b` here, and empty components and those that
//! are `.` vanish. Whatever could lead out of the place where it is unpacked is refused, not mended: an archive with
//! such a name was not made by accident.

use super::error::Problem;

/// Most bytes of a name, without the 0: one less than Linux's PATH_MAX.
pub const NAME_MAX: usize = 4095;
/// Most bytes of a component.
const COMPONENT_MAX: usize = 255;

/// Checks the name that `name` holds as it stood in the archive, with its 0, and puts it in order in place. Returns
/// whether only a directory can have it.
pub fn tidy<E>(name: &mut alloc::vec::Vec<u8>) -> Result<bool, Problem<E>> {
    if name.pop() != Some(0) || name.is_empty() || name.contains(&0) {
        return Err(Problem::BadName);
    }
    if name[0] == b'/' {
        return Err(Problem::Absolute);
    }
    let directory = name.ends_with(b"/");
    // Components move to the front, never past the place that is read: `to` <= `from`.
    let (mut to, mut from) = (0, 0);
    while from < name.len() {
        let len = name[from..].iter().position(|&byte| byte == b'/').unwrap_or(name.len() - from);
        match &name[from..from + len] {
            b"" | b"." => {}
            b".." => return Err(Problem::DotDot),
            _ if len > COMPONENT_MAX => return Err(Problem::NameTooLong),
            _ => {
                if to > 0 {
                    name[to] = b'/';
                    to += 1;
                }
                name.copy_within(from..from + len, to);
                to += len;
            }
        }
        from += len + 1;
    }
    if to == 0 {
        name[0] = b'.';
        name.truncate(1);
        return Ok(true);
    }
    name.truncate(to);
    Ok(directory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn names_are_put_in_order_or_refused() {
        let tidied = |name: &[u8]| {
            let mut name = name.to_vec();
            tidy::<()>(&mut name).map(|directory| (name, directory))
        };
        for (given, wanted, directory) in [
            (&b"a\0"[..], &b"a"[..], false),
            (b"./a/b\0", b"a/b", false),
            (b"a//b/./c\0", b"a/b/c", false),
            (b".//.///\0", b".", true),
            (b".\0", b".", true),
            (b"a/\0", b"a", true),
            (b"./.a/..b/c..\0", b".a/..b/c..", false),
        ] {
            assert_eq!(tidied(given), Ok((wanted.to_vec(), directory)));
        }
        let long = |len| [&b"d/"[..], &Vec::from_iter(core::iter::repeat_n(b'x', len)), b"\0"].concat();
        assert!(tidied(&long(255)).is_ok());
        for (given, problem) in [
            (&b""[..], Problem::BadName),
            (b"\0", Problem::BadName),
            (b"a", Problem::BadName),
            (b"a\0b\0", Problem::BadName),
            (b"/a\0", Problem::Absolute),
            (b"..\0", Problem::DotDot),
            (b"a/../b\0", Problem::DotDot),
            (b"./..\0", Problem::DotDot),
            (&long(256), Problem::NameTooLong),
        ] {
            assert_eq!(tidied(given), Err(problem));
        }
    }
}
