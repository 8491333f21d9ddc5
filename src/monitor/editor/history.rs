//! The lines that were entered: a ring of the last [`HISTORY`] of them.
//!
//! A line's age counts from the newest, which has age 1; age 0 is left to the line that is being edited.

use super::line::Line;

/// How many lines are remembered.
pub const HISTORY: usize = 32;

pub(super) struct History {
    lines: [Line; HISTORY],
    /// Lines in the ring, and the slot that the next one takes.
    stored: usize,
    next: usize,
}

impl History {
    pub(super) const fn new() -> Self {
        Self { lines: [Line::EMPTY; HISTORY], stored: 0, next: 0 }
    }

    /// Remembers a line, unless it is blank or the same as the last one.
    pub(super) fn push(&mut self, line: &Line) {
        let is_repeated = self.get(1).is_some_and(|last| last.as_str() == line.as_str());
        if !line.as_str().trim().is_empty() && !is_repeated {
            self.lines[self.next] = *line;
            self.next = (self.next + 1) % HISTORY;
            self.stored = (self.stored + 1).min(HISTORY);
        }
    }

    /// The line of that age.
    pub(super) fn get(&self, age: usize) -> Option<&Line> {
        let is_stored = (1..=self.stored).contains(&age);
        is_stored.then(|| &self.lines[(self.next + HISTORY - age) % HISTORY])
    }

    /// Oldest line first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        (1..=self.stored).rev().filter_map(|age| self.get(age)).map(Line::as_str)
    }
}
