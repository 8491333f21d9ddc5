//! How a pixel of 32 bits holds its colour.
//!
//! The console asks once for each of its colours when it is attached, never while it paints.
//!
//! Source: UEFI 2.10, section 12.9.2, `EFI_GRAPHICS_PIXEL_FORMAT`.

/// Pixel formats of 32 bits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Format {
    /// Bytes in memory: red, green, blue, reserved.
    Rgb,
    /// Bytes in memory: blue, green, red, reserved.
    Bgr,
    /// Which bits hold each colour.
    Bitmask { red: u32, green: u32, blue: u32 },
}

impl Format {
    /// A colour `0xRRGGBB` as a pixel.
    pub const fn encode(self, rgb: u32) -> u32 {
        let (red, green, blue) = match self {
            Self::Rgb => (0x0000ff, 0x00ff00, 0xff0000),
            Self::Bgr => (0xff0000, 0x00ff00, 0x0000ff),
            Self::Bitmask { red, green, blue } => (red, green, blue),
        };
        spread(rgb >> 16 & 0xff, red) | spread(rgb >> 8 & 0xff, green) | spread(rgb & 0xff, blue)
    }
}

/// Scales a colour's 8 bits to the width of `mask`, and puts them there.
const fn spread(value: u32, mask: u32) -> u32 {
    if mask == 0 {
        return 0;
    }
    let largest = (mask >> mask.trailing_zeros()) as u64;
    // All ones from the mask's highest bit down: also for a mask with holes.
    let largest = u64::MAX >> largest.leading_zeros();
    let scaled = (value as u64 * largest + 127) / 255;
    (scaled << mask.trailing_zeros()) as u32 & mask
}
