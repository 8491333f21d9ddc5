//! Bytes for a terminal taken apart: characters, control characters, and control sequences.
//!
//! Knows nothing of a screen: [`Decoder::feed`] says what a byte completes, [`super::Console`] does it. Sequences
//! may come in any number of pieces. What is not one of ours is passed over to its end, as the standard's syntax
//! has it, so that a terminal's finer points leave no rubbish on the screen.
//!
//! Source: ECMA-48, sections 5.2 to 5.4 (C0, escape and control sequences).

use crate::utf8;

/// Parameters of a control sequence that are kept; further ones are ignored.
const MAX_PARAMS: usize = 8;

/// What has been understood.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Token {
    /// A character to show; `?` for what is not UTF-8.
    Text(char),
    /// One of C0, or DEL.
    Control(u8),
    /// A control sequence with its final byte.
    Function(u8, Params),
}

/// A control sequence's parameters: at least one, 0 where none is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Params {
    values: [u16; MAX_PARAMS],
    /// The one that digits go to.
    index: usize,
}

impl Params {
    const NONE: Self = Self { values: [0; MAX_PARAMS], index: 0 };

    pub(super) fn as_slice(&self) -> &[u16] {
        &self.values[..MAX_PARAMS.min(self.index + 1)]
    }

    fn digit(&mut self, digit: u8) {
        if let Some(value) = self.values.get_mut(self.index) {
            *value = value.saturating_mul(10).saturating_add(digit.into());
        }
    }

    fn next(&mut self) {
        self.index += usize::from(self.index < MAX_PARAMS);
    }
}

/// Where the decoder stands. (`repr` makes `Ground` zero, for `Console::new`.)
#[derive(Clone, Copy)]
#[repr(u8)]
enum State {
    Ground,
    Escape,
    Csi {
        params: Params,
        /// A private or intermediate byte was seen: a function that we do not have.
        foreign: bool,
    },
}

/// All zero at the start.
pub(super) struct Decoder {
    state: State,
    utf8: utf8::Decoder,
}

impl Decoder {
    pub(super) const fn new() -> Self {
        Self { state: State::Ground, utf8: utf8::Decoder::new() }
    }

    /// True between sequences of any kind: printable ASCII would be just that.
    pub(super) fn is_idle(&self) -> bool {
        matches!(self.state, State::Ground) && !self.utf8.is_within()
    }

    /// Takes a byte. The first of the two is for a character that the byte cut short.
    pub(super) fn feed(&mut self, byte: u8) -> [Option<Token>; 2] {
        let cut_short = self.utf8.is_cut_short_by(byte).then_some(Token::Text('?'));
        [cut_short, self.token(byte)]
    }

    fn token(&mut self, byte: u8) -> Option<Token> {
        match (byte, self.state) {
            (0x1b, _) => self.state = State::Escape,
            // CAN and SUB end a sequence; the other C0 controls work within one.
            (0x18 | 0x1a, _) => self.state = State::Ground,
            (0x00..0x20 | 0x7f, _) => return Some(Token::Control(byte)),
            (_, State::Ground) => return self.utf8.feed(byte).map(|c| Token::Text(c.unwrap_or('?'))),
            (b'[', State::Escape) => self.state = State::Csi { params: Params::NONE, foreign: false },
            // Intermediate bytes: one more comes. Else the sequence is over, and not one of ours.
            (0x20..0x30, State::Escape) => {}
            (_, State::Escape) => self.state = State::Ground,
            (0x40.., State::Csi { params, foreign }) => {
                self.state = State::Ground;
                return (!foreign).then_some(Token::Function(byte, params));
            }
            (_, State::Csi { mut params, mut foreign }) => {
                match byte {
                    b'0'..=b'9' => params.digit(byte - b'0'),
                    b';' => params.next(),
                    _ => foreign = true,
                }
                self.state = State::Csi { params, foreign };
            }
        }
        None
    }
}
