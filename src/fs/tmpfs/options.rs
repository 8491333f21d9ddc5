//! The options of `mount -t tmpfs`: `size=`, `nr_blocks=`, `nr_inodes=`, `mode=`, `uid=`, `gid=`.

use super::super::Result;
use super::super::mode;
use crate::boot::layout::PAGE_SIZE;
use crate::errno::Errno;

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// 0 is no limit.
    pub pages: Option<u64>,
    pub inodes: Option<u64>,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
}

impl Options {
    pub const NONE: Self = Self { pages: None, inodes: None, mode: 0o777 | mode::STICKY, uid: 0, gid: 0 };

    /// Of a text with commas in between. Unknown ones are EINVAL.
    pub fn parse(text: &[u8]) -> Result<Self> {
        let mut options = Self::NONE;
        for option in text.split(|&byte| byte == b',').filter(|option| !option.is_empty()) {
            // What they are in any case, and are shown as.
            if option == b"inode64" {
                continue;
            }
            let at = option.iter().position(|&byte| byte == b'=').ok_or(Errno::Einval)?;
            let (name, value) = (&option[..at], &option[at + 1..]);
            match name {
                b"size" => options.pages = Some(pages(value)?),
                b"nr_blocks" => options.pages = Some(size(value)?),
                b"nr_inodes" => options.inodes = Some(size(value)?),
                b"mode" => options.mode = number(value, 8)? & mode::PERMISSIONS,
                b"uid" => options.uid = number(value, 10)?,
                b"gid" => options.gid = number(value, 10)?,
                _ => return Err(Errno::Einval),
            }
        }
        Ok(options)
    }
}

fn number(text: &[u8], radix: u32) -> Result<u32> {
    let text = core::str::from_utf8(text).map_err(|_| Errno::Einval)?;
    u32::from_str_radix(text, radix).map_err(|_| Errno::Einval)
}

/// A size as pages: bytes, or percent of the memory.
fn pages(text: &[u8]) -> Result<u64> {
    let Some((b'%', digits)) = text.split_last() else { return Ok(size(text)?.div_ceil(PAGE_SIZE)) };
    // The limit that is usual is half of it.
    let all = 2 * super::default_limit();
    Ok((u128::from(all) * u128::from(number(digits, 10)?) / 100).min(u64::MAX.into()) as u64)
}

/// A number with k, m, g or t behind it, perhaps.
fn size(text: &[u8]) -> Result<u64> {
    let (digits, shift) = match text.split_last() {
        Some((b'k' | b'K', digits)) => (digits, 10),
        Some((b'm' | b'M', digits)) => (digits, 20),
        Some((b'g' | b'G', digits)) => (digits, 30),
        Some((b't' | b'T', digits)) => (digits, 40),
        _ => (text, 0),
    };
    let text = core::str::from_utf8(digits).map_err(|_| Errno::Einval)?;
    let number: u64 = text.parse().map_err(|_| Errno::Einval)?;
    number.checked_mul(1 << shift).ok_or(Errno::Einval)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_ids() {
        let options = Options::parse(b"size=10k,nr_inodes=5,mode=1750,uid=7,,gid=8").unwrap();
        let expected = Options { pages: Some(3), inodes: Some(5), mode: 0o1750, uid: 7, gid: 8 };
        assert_eq!(options, expected);
        assert_eq!(Options::parse(b"").unwrap(), Options::NONE);
        assert_eq!(Options::parse(b"size=1g").unwrap().pages, Some(1 << 18));
        let half = Options::parse(b"size=50%").unwrap().pages;
        assert_eq!(half, Some(super::super::default_limit()));
        assert_eq!(Options::parse(b"size=200%").unwrap().pages, half.map(|half| 4 * half));
        assert_eq!(Options::parse(b"inode64").unwrap(), Options::NONE, "what is shown may be said again");
        for bad in [
            "size",
            "size=",
            "size=k",
            "size=-1",
            "size=%",
            "size=5k%",
            "nr_inodes=5%",
            "size=99999999999999t",
            "colour=red",
            "mode=9",
            "uid=x",
        ] {
            assert_eq!(Options::parse(bad.as_bytes()), Err(Errno::Einval), "{bad}");
        }
    }
}
