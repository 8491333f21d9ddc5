//! A character cell in 16 bits, the colours it may have, and the style that the next one gets.
//!
//! Sixteen bits keep the console's two grids within 128 KiB, and make comparing a cell with what is on the
//! screen one instruction. The price is eight background colours instead of sixteen.
//!
//! Source: ECMA-48, section 8.3.117 (SGR).

use super::font::GLYPHS;

/// The sixteen colours of SGR 30–37 and 90–97, `0xRRGGBB`, as the VGA had them.
pub(super) const COLOURS: [u32; 16] = [
    0x000000, 0xaa0000, 0x00aa00, 0xaa5500, 0x0000aa, 0xaa00aa, 0x00aaaa, 0xaaaaaa, 0x555555, 0xff5555,
    0x55ff55, 0xffff55, 0x5555ff, 0xff55ff, 0x55ffff, 0xffffff,
];

/// A glyph (bits 0 to 8), its colour (9 to 12) and the background's (13 to 15).
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) struct Cell(pub(super) u16);

impl Cell {
    pub(super) const fn new(glyph: u16, foreground: u8, background: u8) -> Self {
        Self(glyph & 0x1ff | (foreground as u16 & 15) << 9 | (background as u16 & 7) << 13)
    }

    /// The glyph's rows of pixels.
    pub(super) fn rows(self) -> [u64; 2] {
        GLYPHS[usize::from(self.0 & 0x1ff)]
    }

    pub(super) fn foreground(self) -> usize {
        usize::from(self.0 >> 9 & 15)
    }

    pub(super) fn background(self) -> usize {
        usize::from(self.0 >> 13)
    }
}

/// What the next character is drawn in (SGR).
#[derive(Clone, Copy)]
pub(super) struct Style {
    pub(super) foreground: u8,
    pub(super) background: u8,
    pub(super) bold: bool,
    pub(super) reverse: bool,
}

impl Style {
    pub(super) const DEFAULT: Self = Self { foreground: 7, background: 0, bold: false, reverse: false };

    /// A cell in this style.
    pub(super) fn cell(self, glyph: u16) -> Cell {
        let foreground = self.foreground | if self.bold { 8 } else { 0 };
        if self.reverse {
            Cell::new(glyph, self.background, foreground & 7)
        } else {
            Cell::new(glyph, foreground, self.background)
        }
    }

    /// SGR: takes the attributes that a control sequence names.
    pub(super) fn select(&mut self, params: &[u16]) {
        for &param in params {
            // Each arm's range keeps the remainder below 8.
            let colour = (param % 10) as u8;
            match param {
                0 => *self = Self::DEFAULT,
                1 => self.bold = true,
                22 => self.bold = false,
                7 => self.reverse = true,
                27 => self.reverse = false,
                30..=37 => self.foreground = colour,
                39 => self.foreground = Self::DEFAULT.foreground,
                40..=47 | 100..=107 => self.background = colour,
                49 => self.background = Self::DEFAULT.background,
                90..=97 => self.foreground = colour | 8,
                // Palettes of 256 colours and more: their arguments are not attributes.
                38 | 48 => return,
                _ => {}
            }
        }
    }
}
