//! Where a reader is: in which record, and how far.

use super::{Source, Text, Trouble};

/// An open file's place. Its lock is whoever's the open file is: one read at a time.
pub struct Cursor<K> {
    /// The record in `text`; `None` before the first.
    key: Option<K>,
    text: Text,
    /// Position in the file of the text's first byte.
    start: u64,
}

impl<K: Clone> Cursor<K> {
    pub const fn new() -> Self {
        Self { key: None, text: Text::new(), start: 0 }
    }

    /// Reads from `position` into `to`, as much as fits and there is; 0 is the end of the file. If a record cannot be made,
    /// what comes before it is read, and the next read fails.
    pub fn read<S: Source<Key = K>>(
        &mut self,
        source: &S,
        position: u64,
        to: &mut [u8],
    ) -> Result<usize, Trouble> {
        if position < self.start {
            self.rewind();
        }
        let mut done = 0;
        while done < to.len() {
            let at = position + done as u64;
            // The position is never before the present record.
            let skipped = usize::try_from(at - self.start).unwrap_or(usize::MAX);
            match self.text.bytes().get(skipped..) {
                Some(rest) if !rest.is_empty() => {
                    let len = rest.len().min(to.len() - done);
                    to[done..done + len].copy_from_slice(&rest[..len]);
                    done += len;
                }
                _ => match self.advance(source) {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(trouble) if done == 0 => return Err(trouble),
                    Err(_) => break,
                },
            }
        }
        Ok(done)
    }

    /// Back to the start: the next read makes everything anew.
    pub fn rewind(&mut self) {
        self.key = None;
        self.text.clear();
        self.start = 0;
    }

    /// Makes the next record; false if there is none. Whoever asks again after that, or after an error, finds what there is
    /// then.
    fn advance<S: Source<Key = K>>(&mut self, source: &S) -> Result<bool, Trouble> {
        // The place behind the present record stays what it is, whatever comes of this.
        self.start += self.text.bytes().len() as u64;
        self.text.clear();
        let Some(key) = source.next(self.key.as_ref(), &mut self.text) else {
            self.text.clear();
            return Ok(false);
        };
        if let Some(trouble) = self.text.trouble() {
            self.text.clear();
            return Err(trouble);
        }
        self.key = Some(key);
        Ok(true)
    }
}

impl<K: Clone> Default for Cursor<K> {
    fn default() -> Self {
        Self::new()
    }
}
