//! Tab: the rest of a word, or a list of the words that it could become.
//!
//! The first Tab types what all candidates share, a blank after a sole one; where they share nothing more, a
//! second Tab lists them under the line. The candidates are walked, never stored: there may be any number.

use core::fmt::Write;

use super::Editor;
use super::draw::{put, repeat, ring};
use super::line::{CAPACITY, Line};
use crate::utf8::floor_boundary;

/// The columns that a list of candidates may fill: the width of a classic terminal.
pub(super) const LIST_COLUMNS: usize = 80;

/// Who knows which words could stand at the cursor.
pub trait Completer {
    /// Hands `sink` the candidates for the word that ends at byte `cursor` of `line`. Each is the whole word, not
    /// what is missing of it; those that do not begin with what is typed are skipped by the editor, so a short
    /// table may simply be handed over. May be called more than once for one key and must then name the same
    /// words.
    fn complete(&self, line: &str, cursor: usize, sink: &mut dyn FnMut(&str));
}

/// What the candidates have in common.
struct Candidates {
    shared: Line,
    /// There are others than `shared` itself.
    several: bool,
    /// Columns of the longest.
    widest: usize,
}

impl Candidates {
    /// `None` without any.
    fn survey(each: impl Fn(&mut dyn FnMut(&str))) -> Option<Self> {
        let mut all: Option<Self> = None;
        each(&mut |word| match &mut all {
            None => {
                // A word that does not fit in a line can only be shortened to what others share with it.
                let fits = &word[..floor_boundary(word.as_bytes(), CAPACITY)];
                let mut shared = Line::EMPTY;
                shared.set(fits);
                let several = fits.len() < word.len();
                all = Some(Self { shared, several, widest: word.chars().count() });
            }
            Some(all) => {
                if all.shared.as_str() != word {
                    all.several = true;
                    all.shared.truncate(shared_prefix(all.shared.as_str(), word));
                }
                all.widest = all.widest.max(word.chars().count());
            }
        });
        all
    }
}

impl Editor {
    /// `again`: the key before was a Tab that left a choice. Returns whether this one does.
    pub(super) fn tab(&mut self, again: bool, out: &mut dyn Write, completer: &dyn Completer) -> bool {
        // A copy, because the line changes while the candidates are compared with it.
        let (text, cursor) = (self.text, self.cursor);
        let typed = &text.before(cursor)[text.argument_start(cursor)..];
        let each = |sink: &mut dyn FnMut(&str)| {
            completer.complete(text.as_str(), cursor, &mut |word| {
                if word.starts_with(typed) && !word.chars().any(char::is_control) {
                    sink(word);
                }
            });
        };
        let Some(candidates) = Candidates::survey(each) else {
            ring(out);
            return false;
        };
        let missing = candidates.shared.as_str().get(typed.len()..).unwrap_or("");
        if !candidates.several {
            self.complete_word(missing, out);
        } else if !missing.is_empty() {
            self.replace(cursor, cursor, missing, out);
        } else if again {
            self.move_to(self.text.len(), out);
            list(candidates.widest, each, out);
            self.cursor = cursor;
            self.redraw(out);
        } else {
            ring(out);
        }
        candidates.several
    }

    /// Types what is missing of the only word there is, and goes on to the next: over a blank that is there
    /// already, or a new one, if there is room for it.
    fn complete_word(&mut self, missing: &str, out: &mut dyn Write) {
        let blank_follows = self.text.after(self.cursor).starts_with(' ');
        let fits = self.text.len() + missing.len() + usize::from(!blank_follows) <= CAPACITY;
        self.replace(self.cursor, self.cursor, missing, out);
        if fits && blank_follows {
            self.move_to(self.text.right(self.cursor), out);
        } else if fits {
            self.replace(self.cursor, self.cursor, " ", out);
        }
    }
}

/// Prints the candidates in columns, on lines of their own.
fn list(widest: usize, each: impl Fn(&mut dyn FnMut(&str)), out: &mut dyn Write) {
    let columns = (LIST_COLUMNS / (widest + 2)).max(1);
    let (mut column, mut blanks) = (0, 0);
    each(&mut |word| {
        if column == 0 {
            put(out, "\n");
        } else {
            repeat(out, ' ', blanks);
        }
        put(out, word);
        column = (column + 1) % columns;
        blanks = (widest + 2).saturating_sub(word.chars().count());
    });
    put(out, "\n");
}

/// The length in bytes of what two strings begin with alike, in whole characters.
fn shared_prefix(a: &str, b: &str) -> usize {
    let alike = a.chars().zip(b.chars()).take_while(|(x, y)| x == y);
    alike.map(|(x, _)| x.len_utf8()).sum()
}
