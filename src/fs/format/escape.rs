//! Names within a line: what would end the word or the line is written as an octal escape.
//!
//! /proc/mounts and /proc/PID/maps are read by splitting at blanks and line ends; a name with a blank in it must not look
//! like two. Source: getmntent(3), proc(5).

use super::Text;
use core::fmt;

/// What /proc/mounts escapes; the backslash itself, so that it can be undone.
pub const MOUNTS: &[u8] = b" \t\n\\#";
/// What /proc/PID/maps escapes: there a name goes to the end of the line.
pub const MAPS: &[u8] = b"\n\\";

/// Appends `name` with each of the bytes in `which` as a backslash and three octal digits.
pub fn name(out: &mut Text, name: &[u8], which: &[u8]) -> fmt::Result {
    let mut rest = name;
    while let Some(at) = rest.iter().position(|byte| which.contains(byte)) {
        let byte = rest[at];
        out.push(&rest[..at])?;
        out.push(&[b'\\', b'0' + (byte >> 6), b'0' + (byte >> 3 & 7), b'0' + (byte & 7)])?;
        rest = &rest[at + 1..];
    }
    out.push(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_and_backslashes() {
        for (given, which, wanted) in [
            (&b"/mnt/plain"[..], MOUNTS, &b"/mnt/plain"[..]),
            (b"/mnt/a b\tc", MOUNTS, b"/mnt/a\\040b\\011c"),
            (b"\\040\n", MOUNTS, b"\\134040\\012"),
            (b"/lib/a b\n#", MAPS, b"/lib/a b\\012#"),
            (b"\xFF \xFE", MOUNTS, b"\xFF\\040\xFE"),
            (b"", MOUNTS, b""),
        ] {
            let mut text = Text::new();
            name(&mut text, given, which).unwrap();
            assert_eq!(text.bytes(), wanted);
        }
    }
}
