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
//! Control functions: ECMA-48, section 8.3 (CUP, CUU, CUD, CUF, CUB, ED, EL, SGR), of which the ones that
//! log lines and the monitor's editor use. The font is Spleen 8x16 by Frederic Cambus, a PSF1 file.

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

/// Pixel formats of 32 bits (UEFI 2.10, section 12.9.2, `EFI_GRAPHICS_PIXEL_FORMAT`).
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

/// The sixteen colours of SGR 30–37 and 90–97, `0xRRGGBB`, as the VGA had them.
const COLOURS: [u32; 16] = [
    0x000000, 0xaa0000, 0x00aa00, 0xaa5500, 0x0000aa, 0xaa00aa, 0x00aaaa, 0xaaaaaa, 0x555555,
    0xff5555, 0x55ff55, 0xffff55, 0x5555ff, 0xff55ff, 0x55ffff, 0xffffff,
];

/// The font file. PSF1 (Linux `psf.h`): magic 36 04, mode, height, then 16 bytes a glyph, a byte a row with
/// its leftmost pixel in bit 7, then for each glyph the UCS-2 values that it draws, ended by FFFF.
const FONT: &[u8] = spleen_font::FONT_8X16;
const FONT_HEADER: usize = 4;
const GLYPH_COUNT: usize = 512;

/// The glyphs, 16 rows in 16 bytes, the top row in the lowest byte. Built by the compiler, which refuses a font
/// of another shape.
static GLYPHS: [[u64; 2]; GLYPH_COUNT] = {
    assert!(
        FONT[0] == 0x36 && FONT[1] == 0x04,
        "the font is no PSF1 file"
    );
    assert!(
        FONT[2] & 0b11 == 0b11,
        "the font must have 512 glyphs and a table of characters"
    );
    assert!(
        FONT[3] as usize == CELL_HEIGHT,
        "the font's glyphs must be 16 rows high"
    );
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
fn glyph_for(c: char) -> u16 {
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

/// A glyph (bits 0 to 8), its colour (9 to 12) and the background's (13 to 15).
#[derive(Clone, Copy, Eq, PartialEq)]
struct Cell(u16);

impl Cell {
    const fn new(glyph: u16, foreground: u8, background: u8) -> Self {
        Self(glyph & 0x1ff | (foreground as u16 & 15) << 9 | (background as u16 & 7) << 13)
    }

    fn rows(self) -> [u64; 2] {
        GLYPHS[usize::from(self.0 & 0x1ff)]
    }

    fn foreground(self) -> usize {
        usize::from(self.0 >> 9 & 15)
    }

    fn background(self) -> usize {
        usize::from(self.0 >> 13)
    }
}

/// The cursor is an underline: the two bottom rows of its cell.
const CURSOR_ROWS: [u64; 2] = [0, 0xffff << 48];

/// What the next character is drawn in (SGR).
#[derive(Clone, Copy)]
struct Style {
    foreground: u8,
    background: u8,
    bold: bool,
    reverse: bool,
}

impl Style {
    const DEFAULT: Self = Self {
        foreground: 7,
        background: 0,
        bold: false,
        reverse: false,
    };

    fn cell(self, glyph: u16) -> Cell {
        let foreground = self.foreground | if self.bold { 8 } else { 0 };
        if self.reverse {
            Cell::new(glyph, self.background, foreground & 7)
        } else {
            Cell::new(glyph, foreground, self.background)
        }
    }
}

/// Parameters of a control sequence that are kept; further ones are ignored.
const MAX_PARAMS: usize = 8;

/// Where the decoder stands in an escape sequence. (`repr` makes `Ground` zero, for `Console::new`.)
#[derive(Clone, Copy)]
#[repr(u8)]
enum Decoder {
    Ground,
    Escape,
    Csi {
        params: [u16; MAX_PARAMS],
        index: usize,
        /// A private or intermediate byte was seen: a function that we do not have.
        foreign: bool,
    },
}

/// The cells of a row that may differ from the shadow: `first..end`.
#[derive(Clone, Copy)]
struct Dirty {
    first: u8,
    end: u8,
}

impl Dirty {
    const CLEAN: Self = Self {
        first: u8::MAX,
        end: 0,
    };
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
    /// A UTF-8 sequence that has not ended yet: its bytes so far, and how many it will have.
    partial: [u8; 4],
    partial_len: usize,
    partial_want: usize,
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
            style: Style {
                foreground: 0,
                background: 0,
                bold: false,
                reverse: false,
            },
            decoder: Decoder::Ground,
            partial: [0; 4],
            partial_len: 0,
            partial_want: 0,
            origin: (0, 0),
            palette: [0; 16],
            brush: Brush {
                colours: (0, 0),
                quads: [[0; 2]; 16],
            },
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
        (self.decoder, self.partial_len) = (Decoder::Ground, 0);
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
                self.byte(*byte);
                rest = tail;
            }
        }
    }

    /// How many bytes are printable ASCII that fit in this row: most of what is ever written.
    fn plain_run(&self, bytes: &[u8]) -> usize {
        if self.partial_len > 0 || !matches!(self.decoder, Decoder::Ground) {
            return 0;
        }
        let room = self.columns - self.column;
        bytes
            .iter()
            .take(room)
            .take_while(|&byte| matches!(byte, b' '..=b'~'))
            .count()
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

    /// The row of `text` behind a row of the screen.
    fn text_row(&self, row: usize) -> usize {
        let at = self.top + row;
        if at < self.rows { at } else { at - self.rows }
    }

    fn byte(&mut self, byte: u8) {
        if self.partial_len > 0 && byte & 0xc0 != 0x80 {
            // Cut short.
            self.partial_len = 0;
            self.put('?');
        }
        match (byte, self.decoder) {
            (0x1b, _) => self.decoder = Decoder::Escape,
            // CAN and SUB end a sequence; the other C0 controls work within one.
            (0x18 | 0x1a, _) => self.decoder = Decoder::Ground,
            (0x00..0x20 | 0x7f, _) => self.control(byte),
            (_, Decoder::Ground) => self.decode(byte),
            (b'[', Decoder::Escape) => {
                self.decoder = Decoder::Csi {
                    params: [0; MAX_PARAMS],
                    index: 0,
                    foreign: false,
                };
            }
            // Intermediate bytes: one more comes. Else the sequence is over, and not one of ours.
            (0x20..0x30, Decoder::Escape) => {}
            (_, Decoder::Escape) => self.decoder = Decoder::Ground,
            (
                _,
                Decoder::Csi {
                    mut params,
                    mut index,
                    mut foreign,
                },
            ) => {
                match byte {
                    b'0'..=b'9' => {
                        if let Some(param) = params.get_mut(index) {
                            *param = param
                                .saturating_mul(10)
                                .saturating_add((byte - b'0').into());
                        }
                    }
                    b';' => index += usize::from(index < MAX_PARAMS),
                    0x20..0x40 => foreign = true,
                    _ => {
                        self.decoder = Decoder::Ground;
                        if !foreign {
                            self.function(byte, &params[..MAX_PARAMS.min(index + 1)]);
                        }
                        return;
                    }
                }
                self.decoder = Decoder::Csi {
                    params,
                    index,
                    foreign,
                };
            }
        }
    }

    /// Text: a character is put when its last byte is here. What is not UTF-8 shows as '?'.
    fn decode(&mut self, byte: u8) {
        if self.partial_len == 0 {
            self.partial_want = match byte {
                0x20..=0x7e => return self.put(char::from(byte)),
                0xc2..=0xdf => 2,
                0xe0..=0xef => 3,
                0xf0..=0xf4 => 4,
                _ => return self.put('?'),
            };
        }
        self.partial[self.partial_len] = byte;
        self.partial_len += 1;
        if self.partial_len == self.partial_want {
            let bytes = self.partial;
            let text = core::str::from_utf8(&bytes[..self.partial_want]).unwrap_or("?");
            self.partial_len = 0;
            text.chars().for_each(|c| self.put(c));
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
                (self.row, self.column) =
                    ((count - 1).min(last_row), (second - 1).min(last_column));
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
            b'm' => self.select_graphic_rendition(params),
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

    fn select_graphic_rendition(&mut self, params: &[u16]) {
        for &param in params {
            // Each arm's range keeps the remainder below 8.
            let colour = (param % 10) as u8;
            match param {
                0 => self.style = Style::DEFAULT,
                1 => self.style.bold = true,
                22 => self.style.bold = false,
                7 => self.style.reverse = true,
                27 => self.style.reverse = false,
                30..=37 => self.style.foreground = colour,
                39 => self.style.foreground = Style::DEFAULT.foreground,
                40..=47 | 100..=107 => self.style.background = colour,
                49 => self.style.background = Style::DEFAULT.background,
                90..=97 => self.style.foreground = colour | 8,
                // Palettes of 256 colours and more: their arguments are not attributes.
                38 | 48 => return,
                _ => {}
            }
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

/// The lowest bit of every byte of `value` that is not zero: adding 7F carries into bit 7 unless bits 0 to 6 are clear.
const fn nonzero_bytes(value: u64) -> u64 {
    const LOW_SEVEN: u64 = u64::MAX / 255 * 0x7f;
    (((value & LOW_SEVEN) + LOW_SEVEN) | value) >> 7 & (u64::MAX / 255)
}

/// Half-rows of pixels for one pair of colours, ready to be written: by four bits of a glyph's row. Most
/// text has the colours of the text before it, so one brush does for long.
struct Brush {
    /// Foreground and background, as indices in the palette.
    colours: (usize, usize),
    quads: [Quad; 16],
}

impl Brush {
    fn new(colours: (usize, usize), palette: &[u32; 16]) -> Self {
        let pixel = |on: usize| u64::from(palette[if on != 0 { colours.0 } else { colours.1 }]);
        let quads = core::array::from_fn(|bits| {
            [
                pixel(bits & 8) | pixel(bits & 4) << 32,
                pixel(bits & 2) | pixel(bits & 1) << 32,
            ]
        });
        Self { colours, quads }
    }

    fn row(&self, bits: u8) -> [Quad; 2] {
        [
            self.quads[usize::from(bits >> 4)],
            self.quads[usize::from(bits & 15)],
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{boxed::Box, format, string::String, vec, vec::Vec};

    /// Pixels beyond a row's end, which nobody may write.
    const UNTOUCHED: u32 = 0xdead_beef;

    struct Screen {
        width: usize,
        height: usize,
        stride: usize,
        format: Format,
        pixels: Vec<u32>,
        rows_written: usize,
    }

    impl Screen {
        fn new(width: usize, height: usize, stride: usize, format: Format) -> Self {
            Self {
                width,
                height,
                stride,
                format,
                pixels: vec![UNTOUCHED; stride * height],
                rows_written: 0,
            }
        }
    }

    impl Surface for Screen {
        fn size_px(&self) -> (usize, usize) {
            (self.width, self.height)
        }

        fn format(&self) -> Format {
            self.format
        }

        fn write_row(&mut self, x: usize, y: usize, pixels: [Quad; 2]) {
            assert!(x + 8 <= self.width && y < self.height && x % 2 == 0);
            self.rows_written += 1;
            for (n, pair) in pixels.as_flattened().iter().enumerate() {
                let at = y * self.stride + x + 2 * n;
                self.pixels[at] = *pair as u32;
                self.pixels[at + 1] = (*pair >> 32) as u32;
            }
        }

        fn fill(&mut self, x: usize, y: usize, width: usize, height: usize, pixel: u32) {
            assert!(x + width <= self.width && y + height <= self.height);
            for row in y..y + height {
                self.pixels[row * self.stride + x..][..width].fill(pixel);
            }
        }
    }

    fn attached(screen: &mut Screen) -> Box<Console> {
        let mut console = Box::new(Console::new());
        console.attach(screen);
        console
    }

    /// A row of the screen as text (ASCII), its trailing blanks removed.
    fn line(console: &Console, row: usize) -> String {
        let cells = &console.text[console.text_row(row)][..console.columns];
        let text: String = cells
            .iter()
            .map(|cell| char::from((cell.0 & 0xff) as u8))
            .collect();
        text.trim_end().into()
    }

    /// The reference: what the screen must show, pixel by pixel, from the text cells and the font file alone.
    fn check_pixels(console: &Console, screen: &Screen, cursor: bool) {
        let (left, top) = console.origin;
        for y in 0..screen.height {
            for x in 0..screen.stride {
                let inside = (left..left + console.columns * 8).contains(&x)
                    && (top..top + console.rows * 16).contains(&y);
                let want = if x >= screen.width {
                    UNTOUCHED
                } else if inside {
                    let (column, row) = ((x - left) / 8, (y - top) / 16);
                    let cell = console.text[console.text_row(row)][column].0;
                    let (bit, line) = (7 - (x - left) % 8, (y - top) % 16);
                    let mut on = FONT[4 + usize::from(cell & 0x1ff) * 16 + line] >> bit & 1 != 0;
                    let at_cursor =
                        (row, column) == (console.row, console.column.min(console.columns - 1));
                    on |= cursor && at_cursor && line >= 14;
                    let colour = if on { cell >> 9 & 15 } else { cell >> 13 };
                    screen.format.encode(COLOURS[usize::from(colour)])
                } else {
                    screen.format.encode(COLOURS[0])
                };
                assert_eq!(screen.pixels[y * screen.stride + x], want, "pixel {x},{y}");
            }
        }
    }

    #[test]
    fn colours_in_each_format() {
        assert_eq!(Format::Rgb.encode(0x123456), 0x563412);
        assert_eq!(Format::Bgr.encode(0x123456), 0x123456);
        let wide = Format::Bitmask {
            red: 0x3ff0_0000,
            green: 0x000f_fc00,
            blue: 0x0000_03ff,
        };
        assert_eq!((wide.encode(0xffffff), wide.encode(0)), (0x3fff_ffff, 0));
        let small = Format::Bitmask {
            red: 0xf800,
            green: 0x07e0,
            blue: 0x001f,
        };
        assert_eq!(
            (
                small.encode(0xff0000),
                small.encode(0x00ff00),
                small.encode(0x0000ff)
            ),
            (0xf800, 0x07e0, 0x1f)
        );
        let odd = Format::Bitmask {
            red: 0,
            green: 0xffff_ffff,
            blue: 0x8000_0001,
        };
        assert_eq!(
            (odd.encode(0xff00ff), odd.encode(0x00ff00)),
            (0x8000_0001, 0xffff_ffff)
        );
    }

    #[test]
    fn nonzero_bytes_are_marked() {
        for value in [
            0u64,
            1,
            0x80,
            0xff,
            0x0100,
            0x8000_7f00_0001_ff00,
            u64::MAX,
            1 << 63,
        ] {
            let want = value.to_le_bytes().map(|byte| u8::from(byte != 0));
            assert_eq!(nonzero_bytes(value), u64::from_le_bytes(want));
        }
    }

    #[test]
    fn the_font_has_the_characters() {
        for c in ' '..='~' {
            assert_eq!(glyph_for(c), c as u16);
        }
        assert_eq!(
            (glyph_for('é'), glyph_for('█'), glyph_for('…')),
            (130, 219, 422)
        );
        assert_eq!(
            (glyph_for('漢'), glyph_for('😀'), glyph_for('\u{ffff}')),
            (63, 63, 63)
        );
        // 'A' as the file draws it: two empty rows, then its top, bit 7 leftmost.
        assert_eq!(
            GLYPHS[65][0],
            u64::from_le_bytes([0, 0, 0x7c, 0xc6, 0xc6, 0xc6, 0xfe, 0xc6])
        );
        assert_eq!(
            GLYPHS[65][1],
            u64::from_le_bytes([0xc6, 0xc6, 0xc6, 0xc6, 0, 0, 0, 0])
        );
    }

    #[test]
    fn wraps_scrolls_and_goes_back() {
        let mut screen = Screen::new(80, 48, 80, Format::Bgr);
        let mut console = attached(&mut screen);
        assert_eq!(console.size(), (10, 3));
        console.write(b"0123456789");
        assert_eq!((console.row, console.column), (0, 10));
        console.write(b"ab\x08\x08\x08X\r\nsecond\r\n\tT");
        // Three backspaces from the second row reach the last column of the first.
        assert_eq!(line(&console, 0), "012345678X");
        assert_eq!(
            (line(&console, 1), line(&console, 2)),
            ("second".into(), "        T".into())
        );
        console.write(b"\x1b[H\x08\x1b[Bnew\x08\x08\x08\x08\x08");
        assert_eq!((console.row, console.column), (1, 0));
        console.write(b"\x1b[3;99Hz\x08\x08YZ!");
        assert_eq!(
            (line(&console, 1), line(&console, 2)),
            ("        YZ".into(), "!".into())
        );
    }

    #[test]
    fn backspace_crosses_wrapped_rows_only() {
        let mut screen = Screen::new(80, 64, 80, Format::Bgr);
        let mut console = attached(&mut screen);
        console.write(b"a line of twenty-six chars");
        console.write(&[8; 26]);
        assert_eq!((console.row, console.column), (0, 0));
        console.write(b"A LINE OF TWENTY-SIX CHARS\r\nx\x08\x08\x08");
        assert_eq!((console.row, console.column), (3, 0));
        assert_eq!(
            (line(&console, 1), line(&console, 2)),
            ("TWENTY-SIX".into(), " CHARS".into())
        );
        // A wrap taken back by an erase is none any more.
        console.write(b"\x1b[2J\x1b[H0123456789x\x1b[H\x1b[K\x1b[2;1H\x08");
        assert_eq!((console.row, console.column), (1, 0));
    }

    #[test]
    fn erases() {
        let mut screen = Screen::new(80, 48, 80, Format::Bgr);
        for (sequence, want) in [
            ("\x1b[K", ["aaaaaaaaaa", "bbbb", "cccccccccc"]),
            ("\x1b[1K", ["aaaaaaaaaa", "     bbbbb", "cccccccccc"]),
            ("\x1b[2K", ["aaaaaaaaaa", "", "cccccccccc"]),
            ("\x1b[J", ["aaaaaaaaaa", "bbbb", ""]),
            ("\x1b[1J", ["", "     bbbbb", "cccccccccc"]),
            ("\x1b[2J", ["", "", ""]),
            (
                "\x1b[?25l\x1b[9J\x1b[9K\x1b[5z\x1b(B\x1b7\x1b[1\x18\x07",
                ["aaaaaaaaaa", "bbbbbbbbbb", "cccccccccc"],
            ),
        ] {
            let mut console = attached(&mut screen);
            console.write(format!("aaaaaaaaaabbbbbbbbbbcccccccccc\x1b[2;5H{sequence}").as_bytes());
            let got = [0, 1, 2].map(|row| line(&console, row));
            assert_eq!(got, want, "{sequence:?}");
            assert_eq!((console.row, console.column), (1, 4));
        }
    }

    #[test]
    fn colours_and_text_in_cells() {
        let mut screen = Screen::new(160, 16, 160, Format::Bgr);
        let mut console = attached(&mut screen);
        console
            .write(b"\x1b[31mr\x1b[1mR\x1b[0;97;44mw\x1b[7mi\x1b[27;39;49md\x1b[38;5;1mx\x1b[mn");
        let want = [
            (b'r', 1, 0),
            (b'R', 9, 0),
            (b'w', 15, 4),
            (b'i', 4, 7),
            (b'd', 7, 0),
            (b'x', 7, 0),
            (b'n', 7, 0),
        ];
        for (column, (glyph, foreground, background)) in want.into_iter().enumerate() {
            assert!(
                console.text[0][column] == Cell::new(glyph.into(), foreground, background),
                "column {column}"
            );
        }
        // Split, cut short, stray and overlong sequences.
        console.write(b"\r\xc3");
        console.write(b"\xa9\xe2\x96x\x80\xc0\xed\xa0\x80.");
        assert_eq!(console.text[0][0].0 & 0x1ff, 130);
        assert_eq!(line(&console, 0)[2..], *"?x???.");
    }

    #[test]
    fn a_burst_is_painted_once_and_a_key_costs_little() {
        let mut screen = Screen::new(800, 640, 800, Format::Rgb);
        let mut console = attached(&mut screen);
        for n in 0..500 {
            console.write(format!("[{n:12}] boot: a line of the log\r\n").as_bytes());
        }
        assert_eq!(screen.rows_written, 0);
        console.flush(&mut screen);
        assert!(screen.rows_written <= 39 * 40 * 16);
        let before = screen.rows_written;
        console.flush(&mut screen);
        assert_eq!(screen.rows_written, before, "nothing changed");
        // A scrolled screen of like lines: only the digits that differ.
        console.write(b"\x1b[40;1H\n");
        console.flush(&mut screen);
        assert!(screen.rows_written - before <= 39 * 2 * 16 + 40 * 16);
        check_pixels(&console, &screen, true);
        let before = screen.rows_written;
        console.write(b"k");
        console.flush(&mut screen);
        assert!(screen.rows_written - before <= 16);
    }

    #[test]
    fn pixels_equal_a_full_repaint() {
        let mask = Format::Bitmask {
            red: 0x3ff0_0000,
            green: 0x000f_fc00,
            blue: 0x0000_03ff,
        };
        let sizes = [
            (1, 1, 1),
            (7, 16, 9),
            (8, 15, 8),
            (8, 16, 8),
            (8, 16, 13),
            (9, 17, 11),
            (23, 100, 24),
            (101, 33, 101),
            (95, 67, 128),
            (160, 48, 160),
            (1936, 40, 1937),
            (40, 2200, 41),
        ];
        let mut state = 7u64;
        let mut random = |limit: usize| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % limit
        };
        const PIECES: &[&str] = &[
            "\r",
            "\n",
            "\r\n",
            "\x08",
            "\t",
            "\x1b[H",
            "\x1b[J",
            "\x1b[2J",
            "\x1b[K",
            "\x1b[2C",
            "\x1b[3D",
            "\x1b[A",
            "\x1b[B",
            "\x1b[m",
            "\x1b[1m",
            "\x1b[7m",
            "\x1b[31m",
            "\x1b[92;44m",
            "\x1b[3;2H",
            "é",
            "█",
            "漢",
            "log line ",
        ];
        for (n, (width, height, stride)) in sizes.into_iter().enumerate() {
            let format = [Format::Rgb, Format::Bgr, mask][n % 3];
            let mut screen = Screen::new(width, height, stride, format);
            let mut console = attached(&mut screen);
            assert_eq!(console.size() == (0, 0), width < 8 || height < 16);
            check_pixels(&console, &screen, false);
            let rounds = if width * height > 20_000 { 20 } else { 300 };
            for _ in 0..rounds {
                for _ in 0..random(60) {
                    match random(4) {
                        0 => console.write(PIECES[random(PIECES.len())].as_bytes()),
                        1 => console.write(&[random(256) as u8]),
                        _ => console.write(&[32 + random(95) as u8]),
                    }
                }
                console.flush(&mut screen);
                check_pixels(&console, &screen, true);
            }
            // Again from the start, over what is there.
            console.attach(&mut screen);
            check_pixels(&console, &screen, false);
        }
    }

    #[test]
    fn without_a_surface_nothing_happens() {
        let mut screen = Screen::new(80, 48, 80, Format::Rgb);
        let mut console = Box::new(Console::new());
        console.write(b"swallowed\r\n\x1b[2J\x1b[5;5H");
        console.flush(&mut screen);
        assert_eq!((screen.rows_written, console.size()), (0, (0, 0)));
    }
}
