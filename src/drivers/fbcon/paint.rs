//! Painting: from the cells that changed to rows of pixels.
//!
//! Nearly all the time that a console takes goes into writes to video memory, so the aim is to make few: a
//! cell that shows what it should costs a comparison, and of one that does not only the rows of pixels that
//! differ are written. What the screen shows is known without reading it, from `shadow` and `cursor_shown`.

use super::cell::Cell;
use super::{CELL_HEIGHT, CELL_WIDTH, Console, Dirty, Quad, Surface};

/// The cursor is an underline: the two bottom rows of its cell.
const CURSOR_ROWS: [u64; 2] = [0, 0xffff << 48];

impl Console {
    /// Paints what has changed since the last flush.
    pub fn flush(&mut self, surface: &mut impl Surface) {
        if self.columns == 0 {
            return;
        }
        let cursor = (self.row, self.column.min(self.columns - 1));
        let clean = |dirty: &Dirty| dirty.first >= dirty.end;
        if self.cursor_shown == Some(cursor) && self.dirty[..self.rows].iter().all(clean) {
            return;
        }
        if let Some((row, column)) = self.cursor_shown.take() {
            let cell = self.shadow[row][column];
            self.paint(surface, row, column, cell, CURSOR_ROWS, [0; 2]);
        }
        for row in 0..self.rows {
            let Dirty { first, end } = core::mem::replace(&mut self.dirty[row], Dirty::CLEAN);
            let source = self.text_row(row);
            for column in usize::from(first)..usize::from(end) {
                let cell = self.text[source][column];
                if cell != self.shadow[row][column] {
                    self.paint(surface, row, column, cell, [0; 2], [0; 2]);
                }
            }
        }
        let cell = self.shadow[cursor.0][cursor.1];
        self.paint(surface, cursor.0, cursor.1, cell, [0; 2], CURSOR_ROWS);
        self.cursor_shown = Some(cursor);
    }

    /// Brings one cell of the screen from what the shadow holds, `old_extra` drawn over it, to `cell` with
    /// `extra`. Writes only the rows of pixels that change: between two letters, about half.
    ///
    /// Inlined so that the common case, without a cursor, is compiled for itself.
    #[inline(always)]
    fn paint(
        &mut self,
        surface: &mut impl Surface,
        row: usize,
        column: usize,
        cell: Cell,
        old_extra: [u64; 2],
        extra: [u64; 2],
    ) {
        let shown = core::mem::replace(&mut self.shadow[row][column], cell);
        if self.brush.colours != (cell.foreground(), cell.background()) {
            self.change_brush(cell);
        }
        let same_background = shown.background() == cell.background();
        let same_colours = same_background && shown.foreground() == cell.foreground();
        let (old, new) = (shown.rows(), cell.rows());
        let x = self.origin.0 + column * CELL_WIDTH;
        let y = self.origin.1 + row * CELL_HEIGHT;
        for half in 0..2 {
            let (old, new) = (old[half] | old_extra[half], new[half] | extra[half]);
            // One byte for each row of pixels, not zero if the row must be written.
            let changed = match (same_colours, same_background) {
                (true, _) => old ^ new,
                (_, true) => old | new,
                _ => u64::MAX,
            };
            let mut rows = nonzero_bytes(changed);
            while rows != 0 {
                let bit = rows.trailing_zeros();
                rows &= rows - 1;
                let pixels = self.brush.row((new >> bit) as u8);
                surface.write_row(x, y + half * 8 + (bit / 8) as usize, pixels);
            }
        }
    }

    #[inline(never)]
    fn change_brush(&mut self, cell: Cell) {
        self.brush = Brush::new((cell.foreground(), cell.background()), &self.palette);
    }
}

/// The lowest bit of every byte of `value` that is not zero: adding 7F carries into bit 7 unless bits 0 to 6 are clear.
pub(super) const fn nonzero_bytes(value: u64) -> u64 {
    const LOW_SEVEN: u64 = u64::MAX / 255 * 0x7f;
    (((value & LOW_SEVEN) + LOW_SEVEN) | value) >> 7 & (u64::MAX / 255)
}

/// Half-rows of pixels for one pair of colours, ready to be written: by four bits of a glyph's row. Most
/// text has the colours of the text before it, so one brush does for long.
pub(super) struct Brush {
    /// Foreground and background, as indices in the palette.
    pub(super) colours: (usize, usize),
    pub(super) quads: [Quad; 16],
}

impl Brush {
    pub(super) fn new(colours: (usize, usize), palette: &[u32; 16]) -> Self {
        let pixel = |on: usize| u64::from(palette[if on != 0 { colours.0 } else { colours.1 }]);
        let quads = core::array::from_fn(|bits| {
            [pixel(bits & 8) | pixel(bits & 4) << 32, pixel(bits & 2) | pixel(bits & 1) << 32]
        });
        Self { colours, quads }
    }

    fn row(&self, bits: u8) -> [Quad; 2] {
        [self.quads[usize::from(bits >> 4)], self.quads[usize::from(bits & 15)]]
    }
}
