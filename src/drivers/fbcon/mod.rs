//! A text console on a linear framebuffer: bytes in, pixels out.
//!
//! `platform` maps the framebuffer that the loader found and offers it as a [`Surface`]; the console
//! log and the monitor write to the [`Console`] and flush it after each burst.
//!
//! ```text
//! write() ──► text: what the screen should show, a ring of rows (scrolling moves `top`)
//!               │ flush(): cells in dirty rows that differ
//!               ▼
//!             shadow: what the screen does show ──► Surface: only rows of pixels that change
//! ```
//!
//! Invariants:
//! * video memory is never read: it is uncached or write-combining, and a read costs what a hundred
//!   writes do. What the screen shows is known from `shadow`, and from `cursor_shown`;
//! * `write` touches no pixel, so a burst of lines costs one painting, at the flush;
//! * nothing is painted outside the grid after `attach` has cleared the surface once;
//! * a cell is 16 bits, which keeps both grids within 128 KiB of static memory at 240 by 135.
//!
//! Here are the grid and what moves in it. [`escape`] takes the bytes apart, [`cell`] and [`font`] say what a
//! character looks like, [`paint`] is the flush.
//!
//! Control functions: ECMA-48, section 8.3 (CUP, CUU, CUD, CUF, CUB, ED, EL, SGR), of which the ones that
//! log lines and the monitor's editor use.

mod cell;
mod escape;
mod font;
mod format;
mod paint;
#[cfg(test)]
mod tests;

use cell::{COLOURS, Cell, Style};
use escape::{Decoder, Token};
use font::glyph_for;
pub use format::Format;
use paint::Brush;

/// The largest grid: 1920 by 2160 pixels. On a larger surface it is centred.
pub const MAX_COLUMNS: usize = 240;
pub const MAX_ROWS: usize = 135;
/// A character cell, in pixels.
pub const CELL_WIDTH: usize = 8;
pub const CELL_HEIGHT: usize = 16;

/// Four pixels next to each other, in the order of memory: the leftmost in the low half of the first.
pub type Quad = [u64; 2];

/// Where the console paints.
pub trait Surface {
    /// Width and height in pixels.
    fn size_px(&self) -> (usize, usize);
    /// How a pixel holds its colour.
    fn format(&self) -> Format;
    /// Writes the eight pixels from (`x`, `y`) on to the right. They lie within the surface, and `x` is even,
    /// so that the writes are aligned if the surface's rows are.
    fn write_row(&mut self, x: usize, y: usize, pixels: [Quad; 2]);
    /// Fills a rectangle within the surface.
    fn fill(&mut self, x: usize, y: usize, width: usize, height: usize, pixel: u32);
}

/// The cells of a row that may differ from the shadow: `first..end`.
#[derive(Clone, Copy)]
struct Dirty {
    first: u8,
    end: u8,
}

impl Dirty {
    const CLEAN: Self = Self { first: u8::MAX, end: 0 };
}

/// A text console. Meant for a `static`: some 128 KiB. Until it is attached it swallows what is written.
pub struct Console {
    text: [[Cell; MAX_COLUMNS]; MAX_ROWS],
    shadow: [[Cell; MAX_COLUMNS]; MAX_ROWS],
    dirty: [Dirty; MAX_ROWS],
    /// By row of `text`: its line goes on in the next row, so a backspace may come back to it.
    wrapped: [bool; MAX_ROWS],
    columns: usize,
    rows: usize,
    /// The row of `text` that the screen's top row shows.
    top: usize,
    /// The cursor. `column == columns` means that the row is full, and the next character begins another.
    row: usize,
    column: usize,
    /// Where the cursor is painted, if it is.
    cursor_shown: Option<(usize, usize)>,
    style: Style,
    decoder: Decoder,
    /// The grid's top left pixel.
    origin: (usize, usize),
    palette: [u32; 16],
    brush: Brush,
}

const _: () = assert!(size_of::<Console>() <= 128 * 1024);

impl Console {
    /// A console without a surface. All of it is zero, so that a `static` lies in .bss and costs the kernel's
    /// file nothing; `attach` gives the fields the values that they start with.
    pub const fn new() -> Self {
        Self {
            text: [[Cell::new(0, 0, 0); MAX_COLUMNS]; MAX_ROWS],
            shadow: [[Cell::new(0, 0, 0); MAX_COLUMNS]; MAX_ROWS],
            dirty: [Dirty { first: 0, end: 0 }; MAX_ROWS],
            wrapped: [false; MAX_ROWS],
            columns: 0,
            rows: 0,
            top: 0,
            row: 0,
            column: 0,
            cursor_shown: None,
            style: Style { foreground: 0, background: 0, bold: false, reverse: false },
            decoder: Decoder::new(),
            origin: (0, 0),
            palette: [0; 16],
            brush: Brush { colours: (0, 0), quads: [[0; 2]; 16] },
        }
    }

    /// Takes a surface: clears it, margins and all, and starts with an empty screen, the grid centred. A
    /// surface too small for one character is cleared and otherwise left alone.
    pub fn attach(&mut self, surface: &mut impl Surface) {
        let (width, height) = surface.size_px();
        self.columns = (width / CELL_WIDTH).min(MAX_COLUMNS);
        self.rows = (height / CELL_HEIGHT).min(MAX_ROWS);
        if self.columns == 0 || self.rows == 0 {
            (self.columns, self.rows) = (0, 0);
        }
        // An even pixel, so that two can be written at a time.
        let left = ((width - self.columns * CELL_WIDTH) / 2) & !1;
        self.origin = (left, (height - self.rows * CELL_HEIGHT) / 2);
        let format = surface.format();
        self.palette = COLOURS.map(|rgb| format.encode(rgb));
        self.brush = Brush::new((0, 0), &self.palette);

        let blank = Style::DEFAULT.cell(b' '.into());
        self.text.iter_mut().for_each(|row| row.fill(blank));
        self.shadow.iter_mut().for_each(|row| row.fill(blank));
        self.dirty.fill(Dirty::CLEAN);
        self.wrapped.fill(false);
        (self.top, self.row, self.column, self.cursor_shown) = (0, 0, 0, None);
        self.style = Style::DEFAULT;
        self.decoder = Decoder::new();
        if width > 0 && height > 0 {
            surface.fill(0, 0, width, height, self.palette[blank.background()]);
        }
    }

    /// Columns and rows of the grid; (0, 0) without a usable surface.
    pub fn size(&self) -> (usize, usize) {
        (self.columns, self.rows)
    }

    /// Takes text in UTF-8 with control functions. Sequences may be split between calls.
    pub fn write(&mut self, bytes: &[u8]) {
        if self.columns == 0 {
            return;
        }
        let mut rest = bytes;
        while let [byte, tail @ ..] = rest {
            let plain = self.plain_run(rest);
            if plain > 0 {
                self.put_plain(&rest[..plain]);
                rest = &rest[plain..];
            } else {
                let tokens = self.decoder.feed(*byte);
                tokens.into_iter().flatten().for_each(|token| self.take(token));
                rest = tail;
            }
        }
    }

    /// How many bytes are printable ASCII that fit in this row: most of what is ever written.
    fn plain_run(&self, bytes: &[u8]) -> usize {
        if !self.decoder.is_idle() {
            return 0;
        }
        let room = self.columns - self.column;
        bytes.iter().take(room).take_while(|&byte| matches!(byte, b' '..=b'~')).count()
    }

    /// Puts such bytes: each is its own glyph.
    fn put_plain(&mut self, bytes: &[u8]) {
        let style = self.style.cell(0).0;
        let row = self.text_row(self.row);
        let end = self.column + bytes.len();
        for (cell, &byte) in self.text[row][self.column..end].iter_mut().zip(bytes) {
            *cell = Cell(style | u16::from(byte));
        }
        self.touch(self.row, self.column, end);
        self.column = end;
    }

    /// The row of `text` behind a row of the screen.
    fn text_row(&self, row: usize) -> usize {
        let at = self.top + row;
        if at < self.rows { at } else { at - self.rows }
    }

    fn take(&mut self, token: Token) {
        match token {
            Token::Text(c) => self.put(c),
            Token::Control(byte) => self.control(byte),
            Token::Function(last, params) => self.function(last, params.as_slice()),
        }
    }

    fn control(&mut self, byte: u8) {
        match byte {
            b'\r' => self.column = 0,
            b'\n' => {
                let row = self.text_row(self.row);
                self.wrapped[row] = false;
                self.line_feed();
            }
            0x08 if self.column > 0 => self.column -= 1,
            // Back over the edge of a wrapped line: the monitor's editor counts on no width.
            0x08 if self.row > 0 && self.wrapped[self.text_row(self.row - 1)] => {
                (self.row, self.column) = (self.row - 1, self.columns - 1);
            }
            b'\t' if self.column < self.columns => {
                self.column = ((self.column | 7) + 1).min(self.columns - 1);
            }
            _ => {}
        }
    }

    fn put(&mut self, c: char) {
        if self.column == self.columns {
            let row = self.text_row(self.row);
            self.wrapped[row] = true;
            self.column = 0;
            self.line_feed();
        }
        let cell = self.style.cell(glyph_for(c));
        let row = self.text_row(self.row);
        self.text[row][self.column] = cell;
        self.touch(self.row, self.column, self.column + 1);
        self.column += 1;
    }

    fn line_feed(&mut self) {
        if self.row + 1 < self.rows {
            self.row += 1;
            return;
        }
        // The top row becomes the bottom one; every row of the screen now shows another.
        self.top = self.text_row(1 % self.rows);
        for row in 0..self.rows {
            self.touch(row, 0, self.columns);
        }
        self.erase(self.row, 0, self.columns);
    }

    /// Blanks cells `from..to` of a row, in the background that is set.
    fn erase(&mut self, row: usize, from: usize, to: usize) {
        let (to, at) = (to.min(self.columns), self.text_row(row));
        if from < to {
            self.text[at][from..to].fill(self.style.cell(b' '.into()));
            self.touch(row, from, to);
        }
        if to == self.columns {
            self.wrapped[at] = false;
        }
    }

    fn touch(&mut self, row: usize, from: usize, to: usize) {
        // At most MAX_COLUMNS, which is below 256.
        let (from, to) = (from as u8, to as u8);
        let dirty = &mut self.dirty[row];
        dirty.first = dirty.first.min(from);
        dirty.end = dirty.end.max(to);
    }

    /// A control sequence that has come to its final byte.
    fn function(&mut self, last: u8, params: &[u16]) {
        let first = usize::from(params[0]);
        let count = first.max(1);
        let (last_row, last_column) = (self.rows - 1, self.columns - 1);
        let column = self.column.min(last_column);
        match last {
            b'A' => self.row = self.row.saturating_sub(count),
            b'B' => self.row = (self.row + count).min(last_row),
            b'C' => self.column = (column + count).min(last_column),
            b'D' => self.column = column.saturating_sub(count),
            b'H' | b'f' => {
                let second = params.get(1).map_or(1, |&p| usize::from(p).max(1));
                (self.row, self.column) = ((count - 1).min(last_row), (second - 1).min(last_column));
            }
            b'J' => {
                let (from, to) = match first {
                    0 => (self.row + 1, self.rows),
                    1 => (0, self.row),
                    2 => (0, self.rows),
                    _ => return,
                };
                (from..to).for_each(|row| self.erase(row, 0, self.columns));
                if first < 2 {
                    self.erase_in_line(first, column);
                }
            }
            b'K' => self.erase_in_line(first, column),
            b'm' => self.style.select(params),
            _ => {}
        }
    }

    fn erase_in_line(&mut self, part: usize, column: usize) {
        match part {
            0 => self.erase(self.row, column, self.columns),
            1 => self.erase(self.row, 0, column + 1),
            2 => self.erase(self.row, 0, self.columns),
            _ => {}
        }
    }
}

impl Default for Console {
    fn default() -> Self {
        Self::new()
    }
}

impl core::fmt::Write for Console {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        self.write(text.as_bytes());
        Ok(())
    }
}
