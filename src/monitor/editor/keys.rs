//! Bytes from a terminal taken apart: which key was pressed.
//!
//! Several keys, and bytes of several kinds, lead to one [`Key`], which is named by what it is for. Nothing is
//! timed: after ESC the next byte decides, however late it comes. What no key sends vanishes.
//!
//! Source: ECMA-48, sections 5.4 and 8.3.16 (CSI); xterm's "PC-Style Function Keys"; the control characters are
//! those of the Emacs tradition.

use crate::utf8;

/// What a key is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Key {
    /// Text: any character but a control character.
    Character(char),
    /// CR, LF, or CR LF.
    Enter,
    /// `^C`
    Interrupt,
    Tab,
    /// Left, `^B`
    Left,
    /// Right, `^F`
    Right,
    /// Ctrl or Alt with Left, Alt-b
    WordLeft,
    /// Ctrl or Alt with Right, Alt-f
    WordRight,
    /// Home, `^A`
    Home,
    /// End, `^E`
    End,
    /// Up, `^P`
    Older,
    /// Down, `^N`
    Newer,
    /// Backspace, which sends DEL or BS
    EraseLeft,
    /// Del, `^D`
    EraseRight,
    /// `^K`
    KillToEnd,
    /// `^U`
    KillToStart,
    /// `^W`
    KillWord,
    /// `^Y`
    Yank,
    /// `^L`
    Repaint,
}

/// Where the decoder stands within an escape sequence.
#[derive(Clone, Copy)]
enum State {
    Ground,
    /// After ESC.
    Escape,
    /// After ESC O: one more byte names the key.
    Ss3,
    /// After ESC [: parameters, separated by semicolons, until a final byte.
    Csi {
        params: [u8; 2],
        index: usize,
    },
}

pub(super) struct Decoder {
    state: State,
    utf8: utf8::Decoder,
    /// The last byte was CR: an LF now belongs to it.
    after_cr: bool,
}

impl Decoder {
    pub(super) const fn new() -> Self {
        Self { state: State::Ground, utf8: utf8::Decoder::new(), after_cr: false }
    }

    /// Takes a byte; a key when its last one is here.
    pub(super) fn feed(&mut self, byte: u8) -> Option<Key> {
        let after_cr = core::mem::replace(&mut self.after_cr, byte == b'\r');
        // A control character ends whatever sequence was under way, and still does its own work.
        if byte < 0x20 || byte == 0x7f {
            self.state = State::Ground;
            self.utf8.is_cut_short_by(byte);
            return match byte {
                b'\n' if after_cr => None,
                _ => self.control(byte),
            };
        }
        match core::mem::replace(&mut self.state, State::Ground) {
            State::Ground => {
                // What is not UTF-8 vanishes, and so do the C1 controls.
                let c = self.utf8.feed(byte)?.ok()?;
                (!c.is_control()).then_some(Key::Character(c))
            }
            State::Escape => self.escape(byte),
            State::Ss3 => named(byte, [0; 2]),
            State::Csi { params, index } => self.csi(byte, params, index),
        }
    }

    fn control(&mut self, byte: u8) -> Option<Key> {
        Some(match byte {
            0x01 => Key::Home,
            0x02 => Key::Left,
            0x03 => Key::Interrupt,
            0x04 => Key::EraseRight,
            0x05 => Key::End,
            0x06 => Key::Right,
            0x08 | 0x7f => Key::EraseLeft,
            b'\t' => Key::Tab,
            b'\r' | b'\n' => Key::Enter,
            0x0b => Key::KillToEnd,
            0x0c => Key::Repaint,
            0x0e => Key::Newer,
            0x10 => Key::Older,
            0x15 => Key::KillToStart,
            0x17 => Key::KillWord,
            0x19 => Key::Yank,
            0x1b => {
                self.state = State::Escape;
                return None;
            }
            _ => return None,
        })
    }

    fn escape(&mut self, byte: u8) -> Option<Key> {
        match byte {
            b'[' => self.state = State::Csi { params: [0; 2], index: 0 },
            b'O' => self.state = State::Ss3,
            b'b' => return Some(Key::WordLeft),
            b'f' => return Some(Key::WordRight),
            _ => {}
        }
        None
    }

    /// One byte after ESC [ (ECMA-48 §5.4): parameter bytes 30–3F, intermediates 20–2F, final 40–7E.
    fn csi(&mut self, byte: u8, mut params: [u8; 2], mut index: usize) -> Option<Key> {
        match byte {
            b'0'..=b'9' => {
                if let Some(param) = params.get_mut(index) {
                    *param = param.saturating_mul(10).saturating_add(byte - b'0');
                }
            }
            b';' => index = index.saturating_add(1),
            0x20..=0x3f => {}
            _ => return named(byte, params),
        }
        self.state = State::Csi { params, index };
        None
    }
}

/// A named key: its final byte and, for `~`, its number. The second parameter holds the modifiers plus one; Alt
/// (3) and Ctrl (5) with an arrow go by words.
fn named(last: u8, params: [u8; 2]) -> Option<Key> {
    let by_word = matches!(params[1], 3 | 5);
    Some(match (last, params[0]) {
        (b'A', _) => Key::Older,
        (b'B', _) => Key::Newer,
        (b'C', _) if by_word => Key::WordRight,
        (b'D', _) if by_word => Key::WordLeft,
        (b'C', _) => Key::Right,
        (b'D', _) => Key::Left,
        (b'H', _) | (b'~', 1 | 7) => Key::Home,
        (b'F', _) | (b'~', 4 | 8) => Key::End,
        (b'~', 3) => Key::EraseRight,
        _ => return None,
    })
}
