//! The console's font: Spleen 8x16 by Frederic Cambus (BSD-2-Clause), from its PSF1 file.
//!
//! The compiler takes the file apart, so that a glyph costs one look in a table, and a font that does not fit
//! stops the build instead of the boot.
//!
//! PSF1 (Linux `psf.h`): magic 36 04, mode, height, then 16 bytes a glyph, a byte a row with its leftmost pixel
//! in bit 7, then for each glyph the UCS-2 values that it draws, ended by FFFF.

use super::CELL_HEIGHT;

/// The font file.
pub(super) const FONT: &[u8] = spleen_font::FONT_8X16;
const FONT_HEADER: usize = 4;
const GLYPH_COUNT: usize = 512;

/// The glyphs, 16 rows in 16 bytes, the top row in the lowest byte. Built by the compiler, which refuses a font
/// of another shape.
pub(super) static GLYPHS: [[u64; 2]; GLYPH_COUNT] = {
    assert!(FONT[0] == 0x36 && FONT[1] == 0x04, "the font is no PSF1 file");
    assert!(FONT[2] & 0b11 == 0b11, "the font must have 512 glyphs and a table of characters");
    assert!(FONT[3] as usize == CELL_HEIGHT, "the font's glyphs must be 16 rows high");
    let mut glyphs = [[0; 2]; GLYPH_COUNT];
    let mut at = 0;
    while at < GLYPH_COUNT * CELL_HEIGHT {
        let row = FONT[FONT_HEADER + at] as u64;
        glyphs[at / 16][at / 8 % 2] |= row << (at % 8 * 8);
        at += 1;
    }
    glyphs
};

/// The glyph for a character; the one of '?' if the font has none. ASCII stands at its own index, the
/// few others are looked for.
pub(super) fn glyph_for(c: char) -> u16 {
    if matches!(c, ' '..='~') {
        return c as u16;
    }
    let mut glyph = 0;
    for entry in FONT[FONT_HEADER + GLYPH_COUNT * CELL_HEIGHT..].chunks_exact(2) {
        match u16::from_le_bytes([entry[0], entry[1]]) {
            0xffff => glyph += 1,
            // FFFE would begin a sequence of combined characters; Spleen has none.
            value if u32::from(value) == u32::from(c) => return glyph,
            _ => {}
        }
    }
    u16::from(b'?')
}
