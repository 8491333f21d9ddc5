//! The console on a surface of the test's own: its text, then every pixel against a full repaint.

use super::font::{FONT, GLYPHS};
use super::paint::nonzero_bytes;
use super::*;
use crate::testing::Random;
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
        Self { width, height, stride, format, pixels: vec![UNTOUCHED; stride * height], rows_written: 0 }
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
    let text: String = cells.iter().map(|cell| char::from((cell.0 & 0xff) as u8)).collect();
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
                let at_cursor = (row, column) == (console.row, console.column.min(console.columns - 1));
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
    let wide = Format::Bitmask { red: 0x3ff0_0000, green: 0x000f_fc00, blue: 0x0000_03ff };
    assert_eq!((wide.encode(0xffffff), wide.encode(0)), (0x3fff_ffff, 0));
    let small = Format::Bitmask { red: 0xf800, green: 0x07e0, blue: 0x001f };
    assert_eq!(
        (small.encode(0xff0000), small.encode(0x00ff00), small.encode(0x0000ff)),
        (0xf800, 0x07e0, 0x1f)
    );
    let odd = Format::Bitmask { red: 0, green: 0xffff_ffff, blue: 0x8000_0001 };
    assert_eq!((odd.encode(0xff00ff), odd.encode(0x00ff00)), (0x8000_0001, 0xffff_ffff));
}

#[test]
fn nonzero_bytes_are_marked() {
    for value in [0u64, 1, 0x80, 0xff, 0x0100, 0x8000_7f00_0001_ff00, u64::MAX, 1 << 63] {
        let want = value.to_le_bytes().map(|byte| u8::from(byte != 0));
        assert_eq!(nonzero_bytes(value), u64::from_le_bytes(want));
    }
}

#[test]
fn the_font_has_the_characters() {
    for c in ' '..='~' {
        assert_eq!(glyph_for(c), c as u16);
    }
    assert_eq!((glyph_for('é'), glyph_for('█'), glyph_for('…')), (130, 219, 422));
    assert_eq!((glyph_for('漢'), glyph_for('😀'), glyph_for('\u{ffff}')), (63, 63, 63));
    // 'A' as the file draws it: two empty rows, then its top, bit 7 leftmost.
    assert_eq!(GLYPHS[65][0], u64::from_le_bytes([0, 0, 0x7c, 0xc6, 0xc6, 0xc6, 0xfe, 0xc6]));
    assert_eq!(GLYPHS[65][1], u64::from_le_bytes([0xc6, 0xc6, 0xc6, 0xc6, 0, 0, 0, 0]));
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
    assert_eq!((line(&console, 1), line(&console, 2)), ("second".into(), "        T".into()));
    console.write(b"\x1b[H\x08\x1b[Bnew\x08\x08\x08\x08\x08");
    assert_eq!((console.row, console.column), (1, 0));
    console.write(b"\x1b[3;99Hz\x08\x08YZ!");
    assert_eq!((line(&console, 1), line(&console, 2)), ("        YZ".into(), "!".into()));
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
    assert_eq!((line(&console, 1), line(&console, 2)), ("TWENTY-SIX".into(), " CHARS".into()));
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
    console.write(b"\x1b[31mr\x1b[1mR\x1b[0;97;44mw\x1b[7mi\x1b[27;39;49md\x1b[38;5;1mx\x1b[mn");
    let want =
        [(b'r', 1, 0), (b'R', 9, 0), (b'w', 15, 4), (b'i', 4, 7), (b'd', 7, 0), (b'x', 7, 0), (b'n', 7, 0)];
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
    let mask = Format::Bitmask { red: 0x3ff0_0000, green: 0x000f_fc00, blue: 0x0000_03ff };
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
    let mut random = Random::new(7);
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
            for _ in 0..random.below(60) {
                match random.below(4) {
                    0 => console.write(random.pick(PIECES).as_bytes()),
                    1 => console.write(&[random.byte()]),
                    _ => console.write(&[b' ' + random.below(95) as u8]),
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
