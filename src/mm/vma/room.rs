//! Room for what is to be stored, asked for before anything is changed.
//!
//! Every allocation of this folder is made here. An operation first asks for as much as it can need in the worst
//! case; if that is refused it has changed nothing, and if it is granted nothing after it can fail for memory.
//! The host tests make the n-th request fail, for every n, and look whether that is true.

pub use alloc::vec::Vec;

/// The heap has refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoMemory;

/// Sees to it that `vec` can take `more` elements without another allocation. Grows by doubling.
pub fn reserve<T>(vec: &mut Vec<T>, more: usize) -> Result<(), NoMemory> {
    // In tests it can be refused even where there is room, which is so most of the time.
    #[cfg(test)]
    failing::ask()?;
    if vec.capacity() - vec.len() >= more {
        return Ok(());
    }
    vec.try_reserve(more).map_err(|_| NoMemory)
}

/// An empty vector for `len` elements and no more.
pub fn with_room<T>(len: usize) -> Result<Vec<T>, NoMemory> {
    let mut vec = Vec::new();
    #[cfg(test)]
    failing::ask()?;
    vec.try_reserve_exact(len).map_err(|_| NoMemory)?;
    Ok(vec)
}

/// Failures on purpose, of this thread's requests only.
#[cfg(test)]
pub mod failing {
    use core::cell::Cell;

    use super::NoMemory;

    std::thread_local! {
        /// How many requests are granted before one is refused.
        static LEFT: Cell<Option<u64>> = const { Cell::new(None) };
    }

    /// Refuse the request after the next `n`.
    pub fn after(n: u64) {
        LEFT.set(Some(n));
    }

    /// Refuse none. True if the refusal that was ordered has not happened.
    pub fn never() -> bool {
        LEFT.take().is_some()
    }

    pub fn ask() -> Result<(), NoMemory> {
        match LEFT.get() {
            None => Ok(()),
            Some(0) => {
                LEFT.set(None);
                Err(NoMemory)
            }
            Some(n) => {
                LEFT.set(Some(n - 1));
                Ok(())
            }
        }
    }
}
