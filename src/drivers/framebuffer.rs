//! The linear framebuffer that the firmware set up, as a surface for the text console.
//!
//! Video memory is mapped write-combining: single stores gather into bursts, and reading it back would cost
//! more than everything else here together, so nothing does.

use super::fbcon::{Format, Quad, Surface};
use crate::boot::info;
use crate::platform::{Machine, Platform};

/// A framebuffer that is mapped.
pub struct Framebuffer {
    pixels: *mut u32,
    width: usize,
    height: usize,
    /// Pixels from one line to the next.
    stride: usize,
    format: Format,
}

// SAFETY: the pointer is to memory that this structure alone writes, from whichever CPU holds it.
unsafe impl Send for Framebuffer {}

impl Framebuffer {
    /// # Safety
    /// `fb` is the loader's description, and there is one owner of it at a time.
    pub unsafe fn new(fb: &info::Framebuffer) -> Option<Self> {
        let pixels = Machine::framebuffer_pixels(fb)?;
        let (red, green, blue) = (fb.red_mask, fb.green_mask, fb.blue_mask);
        let format = match (red, green, blue) {
            (0xFF, 0xFF00, 0xFF_0000) => Format::Rgb,
            (0xFF_0000, 0xFF00, 0xFF) => Format::Bgr,
            _ => Format::Bitmask { red, green, blue },
        };
        let [width, height, stride] = [fb.width, fb.height, fb.stride].map(|n| n as usize);
        Some(Self { pixels, width, height, stride, format })
    }
}

impl Surface for Framebuffer {
    fn size_px(&self) -> (usize, usize) {
        (self.width, self.height)
    }

    fn format(&self) -> Format {
        self.format
    }

    fn write_row(&mut self, x: usize, y: usize, pixels: [Quad; 2]) {
        debug_assert!(x + 8 <= self.width && y < self.height);
        let [[a, b], [c, d]] = pixels;
        // SAFETY: the caller stays within the surface, all of which is mapped. A row may begin at an odd
        // pixel of memory where the stride is odd, hence unaligned. Four stores, because one of the whole
        // array would be put together on the stack first.
        unsafe {
            let at = self.pixels.add(y * self.stride + x).cast::<u64>();
            at.write_unaligned(a);
            at.add(1).write_unaligned(b);
            at.add(2).write_unaligned(c);
            at.add(3).write_unaligned(d);
        }
    }

    fn fill(&mut self, x: usize, y: usize, width: usize, height: usize, pixel: u32) {
        debug_assert!(x + width <= self.width && y + height <= self.height);
        for line in y..y + height {
            // SAFETY: as above.
            let row =
                unsafe { core::slice::from_raw_parts_mut(self.pixels.add(line * self.stride + x), width) };
            row.fill(pixel);
        }
    }
}
