//! The handlers of a line that several devices share.
//!
//! A level-triggered line says that somebody wants something, not who: all are called, each looks at its own device.
//! The interrupt reads the list without a lock; an entry is written as a whole before the length says that it is
//! there, and none is ever taken out.

use super::Handler;
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

/// Most handlers of one line.
pub const HANDLERS: usize = 8;

struct Entry {
    /// A [`Handler`], as an address; null for none.
    handler: AtomicPtr<()>,
    argument: AtomicUsize,
}

/// The list.
pub struct Chain {
    len: AtomicUsize,
    entries: [Entry; HANDLERS],
}

/// There is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl Chain {
    pub const fn new() -> Self {
        let entries = [const {
            Entry { handler: AtomicPtr::new(core::ptr::null_mut()), argument: AtomicUsize::new(0) }
        }; HANDLERS];
        Self { len: AtomicUsize::new(0), entries }
    }

    /// Adds a handler; returns how many there are now. One caller at a time: the one that has the lock of the lines.
    pub fn add(&self, handler: Handler, argument: usize) -> Result<usize, Full> {
        let len = self.len.load(Ordering::Relaxed);
        let entry = self.entries.get(len).ok_or(Full)?;
        entry.argument.store(argument, Ordering::Relaxed);
        entry.handler.store(handler as *mut (), Ordering::Relaxed);
        // Last: from here on `call` calls it.
        self.len.store(len + 1, Ordering::Release);
        Ok(len + 1)
    }

    /// Calls all, in the order in which they came.
    #[inline]
    pub fn call(&self) {
        for entry in self.entries.iter().take(self.len.load(Ordering::Acquire)) {
            let handler = entry.handler.load(Ordering::Relaxed);
            if !handler.is_null() {
                // SAFETY: `add` alone stores there, and what it stores is a Handler.
                let handler = unsafe { core::mem::transmute::<*mut (), Handler>(handler) };
                handler(entry.argument.load(Ordering::Relaxed));
            }
        }
    }
}

impl Default for Chain {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    static CALLED: Mutex<Vec<usize>> = Mutex::new(Vec::new());

    #[test]
    fn all_are_called_in_order_and_their_number_is_bounded() {
        let chain = Chain::new();
        chain.call();
        for argument in 0..HANDLERS {
            assert_eq!(
                chain.add(|argument| CALLED.lock().unwrap().push(argument), argument),
                Ok(argument + 1)
            );
        }
        assert_eq!(chain.add(|_| unreachable!(), 0), Err(Full));
        chain.call();
        assert_eq!(*CALLED.lock().unwrap(), (0..HANDLERS).collect::<Vec<_>>());
    }

    /// One thread adds while others call: nobody sees an entry that is not whole.
    #[test]
    fn read_while_it_grows() {
        let chain = Chain::new();
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| (0..10_000).for_each(|_| chain.call()));
            }
            for argument in 1..=HANDLERS {
                chain.add(|argument| assert!((1..=HANDLERS).contains(&argument)), argument).unwrap();
                std::thread::yield_now();
            }
        });
    }
}
