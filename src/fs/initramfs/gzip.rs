//! Gzip members: header, deflated data, checksum and length.
//!
//! Inflating is the crate `miniz_oxide`'s: a compressed format is no part of what this project teaches. It writes round
//! a window of 32 KiB, which is as far back as deflate may refer, and what was written is passed on before it is
//! written over: so nothing that is unpacked ever lies in memory as a whole.
//!
//! Source: RFC 1952 §2.3 (member format); RFC 1951 §2 (distances of at most 32 KiB).

use super::Sink;
use super::cpio::Parser;
use super::crc32::Crc32;
use super::error::{Error, Place, Problem};
use alloc::vec::Vec;
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::{DecompressorOxide, TINFL_LZ_DICT_SIZE, decompress};

/// The one compression method.
const DEFLATE: u8 = 8;
// Flags in a member's header.
const HEADER_CRC: u8 = 1 << 1;
const EXTRA: u8 = 1 << 2;
const NAME: u8 = 1 << 3;
const COMMENT: u8 = 1 << 4;
const RESERVED: u8 = 0b1110_0000;
/// Bytes of the part of the header that every member has.
const FIXED: usize = 10;

/// The heap has refused.
#[derive(Debug)]
pub struct NoMemory;

/// What inflating needs: the last 32 KiB, and the tables of the present block. 43 KiB of heap.
pub struct Window {
    bytes: Vec<u8>,
    /// One.
    state: Vec<DecompressorOxide>,
}

impl Window {
    pub fn new() -> Result<Self, NoMemory> {
        let (mut bytes, mut state) = (Vec::new(), Vec::new());
        bytes.try_reserve_exact(TINFL_LZ_DICT_SIZE).map_err(|_| NoMemory)?;
        bytes.resize(TINFL_LZ_DICT_SIZE, 0);
        state.try_reserve_exact(1).map_err(|_| NoMemory)?;
        state.push(DecompressorOxide::new());
        Ok(Self { bytes, state })
    }
}

/// Unpacks the member that `bytes` begin with at the image's byte `image_at`, into `parser`. Returns its length.
pub fn member<S: Sink>(
    bytes: &[u8],
    image_at: u64,
    window: &mut Window,
    parser: &mut Parser,
    sink: &mut S,
) -> Result<usize, Error<S::Error>> {
    let error = |problem| Error::at(Place { image: image_at, unpacked: None }, problem);
    let mut at = header(bytes).map_err(error)?;
    let state = &mut window.state[0];
    state.init();
    let (mut to, mut crc, mut len) = (0, Crc32::new(), 0u32);
    loop {
        let (status, read, written) = decompress(state, &bytes[at..], &mut window.bytes, to, 0);
        at += read;
        let piece = &window.bytes[to..to + written];
        crc.update(piece);
        len = len.wrapping_add(written as u32);
        parser.unpacked(piece, image_at, sink)?;
        to = (to + written) % TINFL_LZ_DICT_SIZE;
        match status {
            TINFLStatus::HasMoreOutput => {}
            TINFLStatus::Done => break,
            TINFLStatus::FailedCannotMakeProgress | TINFLStatus::NeedsMoreInput => {
                return Err(error(Problem::Truncated));
            }
            _ => return Err(error(Problem::Deflate)),
        }
    }
    let trailer = bytes.get(at..at + 8).ok_or(error(Problem::Truncated))?;
    let number = |from: usize| u32::from_le_bytes(trailer[from..from + 4].try_into().expect("four bytes"));
    let (said, found) = (number(0), crc.value());
    if said != found {
        return Err(error(Problem::GzipCrc { said, found }));
    }
    if number(4) != len {
        return Err(error(Problem::GzipLength { said: number(4), found: len }));
    }
    parser.summary.members += 1;
    Ok(at + 8)
}

/// Checks a member's header; returns its length.
fn header<E>(bytes: &[u8]) -> Result<usize, Problem<E>> {
    let fixed = bytes.get(..FIXED).ok_or(Problem::Truncated)?;
    let flags = fixed[3];
    if fixed[2] != DEFLATE || flags & RESERVED != 0 {
        return Err(Problem::GzipHeader);
    }
    let mut at = FIXED;
    if flags & EXTRA != 0 {
        let len = bytes.get(at..at + 2).ok_or(Problem::Truncated)?;
        at += 2 + usize::from(u16::from_le_bytes([len[0], len[1]]));
    }
    for text in [NAME, COMMENT] {
        if flags & text != 0 {
            let rest = bytes.get(at..).ok_or(Problem::Truncated)?;
            at += rest.iter().position(|&byte| byte == 0).ok_or(Problem::Truncated)? + 1;
        }
    }
    if flags & HEADER_CRC != 0 {
        let said = bytes.get(at..at + 2).ok_or(Problem::Truncated)?;
        let mut crc = Crc32::new();
        crc.update(&bytes[..at]);
        if crc.value() as u16 != u16::from_le_bytes([said[0], said[1]]) {
            return Err(Problem::GzipHeader);
        }
        at += 2;
    }
    if at > bytes.len() { Err(Problem::Truncated) } else { Ok(at) }
}
