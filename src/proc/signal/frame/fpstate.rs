//! Floating-point state in a signal's frame: out as it is, back in only what cannot fault.
//!
//! ```text
//!     0  x87's control and status   24 MXCSR   28 its mask   32 st, 160 xmm
//!   464  magic1   extended_size   xfeatures   xstate_size        free for software in FXSAVE's format
//!   512  XSTATE_BV   XCOMP_BV   48 bytes of zeroes               XSAVE's header
//!   576  ymm and the rest, where CPUID says
//!  size  magic2
//! ```
//! A program that knows only FXSAVE copies the first 512 bytes and may give the copy back: so the two magics say whether
//! the rest is still there. One of them alone is nothing.
//!
//! XRSTOR faults in ring 0 for a bit in XSTATE_BV that XCR0 has not, for anything in XCOMP_BV and the zeroes behind it, and
//! for a bit of MXCSR that the CPU does not have; FXRSTOR for the latter. All of these are cleared here. Linux sends SIGSEGV
//! for some; to a program that writes such a frame the difference is that it goes on.
//!
//! Source: Intel SDM vol. 1 §10.5.1 (FXSAVE's format), §13.4 (XSAVE's), §13.8 (XRSTOR's faults), §11.6.6 (MXCSR's mask);
//! Linux, arch/x86/kernel/fpu/signal.c.

use crate::errno::Errno;
use crate::proc::memory::{Bytes, Sink};

/// Bytes of FXSAVE's format, and the beginning of XSAVE's.
pub const LEGACY_BYTES: usize = 512;
const HEADER: usize = LEGACY_BYTES;
const HEADER_END: usize = 576;
/// In the bytes that are software's.
const SOFTWARE: usize = 464;
const MAGIC1: u32 = 0x4650_5853;
const MAGIC2: u32 = 0x4650_5845;
const MAGIC2_BYTES: usize = 4;
/// XSTATE_BV: x87 and SSE, which are what FXSAVE has.
const LEGACY_FEATURES: u64 = 3;

const MXCSR: usize = 24;
const MXCSR_MASK: usize = 28;
/// After reset: every exception masked.
const MXCSR_DEFAULT: u32 = 0x1F80;
const FCW_DEFAULT: u16 = 0x037F;
/// What MXCSR has on CPUs whose FXSAVE does not say.
const MXCSR_MASK_DEFAULT: u32 = 0xFFBF;

/// Of this machine, as far as frames are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fpu {
    /// Bytes of a saved state: 512 by FXSAVE, at least 576 by XSAVE.
    pub size: usize,
    /// XCR0: what XSAVE saves. 0 without XSAVE.
    pub features: u64,
    /// What MXCSR may have.
    pub mxcsr_mask: u32,
}

impl Fpu {
    /// `legacy`: anything that FXSAVE has saved on this CPU; what MXCSR may have is in it.
    pub fn new(size: usize, features: u64, legacy: &[u8; LEGACY_BYTES]) -> Self {
        let mask = u32_at(legacy, MXCSR_MASK);
        Self { size, features, mxcsr_mask: if mask == 0 { MXCSR_MASK_DEFAULT } else { mask } }
    }

    pub const fn has_xsave(&self) -> bool {
        self.features != 0
    }

    /// Bytes in a frame.
    pub const fn frame_bytes(&self) -> usize {
        if self.has_xsave() { self.size + MAGIC2_BYTES } else { LEGACY_BYTES }
    }

    /// Puts a thread's state into a frame. `area` is [`size`](Self::size) bytes of XSAVE's or FXSAVE's, and is made what the
    /// program is shown.
    pub(super) fn write(&self, at: u64, area: &mut [u8], sink: &mut impl Sink) -> Result<(), Errno> {
        let area = area.get_mut(..self.size).ok_or(Errno::Efault)?;
        let (legacy, extended) = area.split_at_mut_checked(LEGACY_BYTES).ok_or(Errno::Efault)?;
        legacy[SOFTWARE..].fill(0);
        if !self.has_xsave() {
            return sink.write(at, legacy);
        }
        // What is in its state after reset XSAVEOPT need not have written. Programs that look at the first 512 bytes, or
        // change them, do not look at XSTATE_BV: for them these two always are there.
        let header = extended.first_chunk_mut::<8>().ok_or(Errno::Efault)?;
        let present = u64::from_le_bytes(*header);
        if present & 1 == 0 {
            legacy[..MXCSR].fill(0);
            legacy[..2].copy_from_slice(&FCW_DEFAULT.to_le_bytes());
            legacy[32..160].fill(0);
        }
        if present & 2 == 0 {
            legacy[160..416].fill(0);
        }
        *header = (present | LEGACY_FEATURES).to_le_bytes();
        let (size, extended) = (self.size as u32, self.frame_bytes() as u32);
        legacy[SOFTWARE..SOFTWARE + 4].copy_from_slice(&MAGIC1.to_le_bytes());
        legacy[SOFTWARE + 4..SOFTWARE + 8].copy_from_slice(&extended.to_le_bytes());
        legacy[SOFTWARE + 8..SOFTWARE + 16].copy_from_slice(&self.features.to_le_bytes());
        legacy[SOFTWARE + 16..SOFTWARE + 20].copy_from_slice(&size.to_le_bytes());
        sink.write(at, area)?;
        sink.write(at.wrapping_add(self.size as u64), &MAGIC2.to_le_bytes())
    }

    /// Takes a state out of a frame; without one (`at` is 0) it is that after reset. What was in `area` is
    /// gone, and what is in it then can be loaded.
    pub(super) fn read(&self, at: u64, area: &mut [u8], memory: &impl Bytes) -> Result<(), Errno> {
        let Some((legacy, extended)) = area.split_at_mut_checked(LEGACY_BYTES) else {
            return Err(Errno::Efault);
        };
        if at == 0 {
            legacy.fill(0);
            extended.fill(0);
            legacy[..2].copy_from_slice(&FCW_DEFAULT.to_le_bytes());
            legacy[MXCSR..MXCSR + 4].copy_from_slice(&MXCSR_DEFAULT.to_le_bytes());
            return Ok(());
        }
        memory.read(at, legacy)?;
        let mut features = LEGACY_FEATURES;
        let mut present = LEGACY_FEATURES;
        let mut found = 0;
        if let Some((size, claimed)) = self.extended(legacy) {
            let mut magic2 = [0; MAGIC2_BYTES];
            memory.read(at.wrapping_add(size as u64), &mut magic2)?;
            if u32::from_le_bytes(magic2) == MAGIC2 {
                let count = (size - LEGACY_BYTES).min(extended.len());
                memory.read(at.wrapping_add(LEGACY_BYTES as u64), &mut extended[..count])?;
                found = count;
                features = claimed;
                present = u64_at(extended, 0);
            }
        }
        extended[found..].fill(0);
        legacy[SOFTWARE..].fill(0);
        let mxcsr = u32_at(legacy, MXCSR) & self.mxcsr_mask;
        legacy[MXCSR..MXCSR + 4].copy_from_slice(&mxcsr.to_le_bytes());
        if let Some(header) = extended.get_mut(..HEADER_END - HEADER) {
            header.fill(0);
            header[..8].copy_from_slice(&(present & features & self.features).to_le_bytes());
        }
        Ok(())
    }

    /// Whether a frame says that more follows: how many bytes there are in all, and what of it counts.
    fn extended(&self, legacy: &[u8]) -> Option<(usize, u64)> {
        let extended_size = u32_at(legacy, SOFTWARE + 4) as usize;
        let size = u32_at(legacy, SOFTWARE + 16) as usize;
        let is_whole = self.has_xsave()
            && u32_at(legacy, SOFTWARE) == MAGIC1
            && (HEADER_END..=self.size).contains(&size)
            && size <= extended_size;
        is_whole.then(|| (size, u64_at(legacy, SOFTWARE + 8)))
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; 4]))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; 8]))
}
