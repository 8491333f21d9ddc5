//! When nothing helps: a page fault has nobody to whom an error could be returned, so somebody has to go.

use core::fmt;
use core::sync::atomic::{AtomicPtr, Ordering};
use log::warn;

/// Who has to go.
#[derive(Clone, Copy, Debug)]
pub struct Victim {
    name: [u8; 16],
    pages: u64,
    is_asker: bool,
}

impl Victim {
    /// The first 16 bytes of its name; the pages that it has; whether it is the one whose page fault it is.
    pub fn new(name: &str, pages: u64, is_asker: bool) -> Self {
        let mut bytes = [0; 16];
        bytes.iter_mut().zip(name.bytes()).for_each(|(to, from)| *to = from);
        Self { name: bytes, pages, is_asker }
    }
}

impl fmt::Display for Victim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let len = self.name.iter().position(|&byte| byte == 0).unwrap_or(self.name.len());
        for chunk in self.name[..len].utf8_chunks() {
            f.write_str(chunk.valid())?;
        }
        write!(f, " ({} pages)", self.pages)
    }
}

/// Chooses a victim and sees to it that it ends; `None` if there is nobody. Called by a page fault, with interrupts on
/// or off as they were and no lock of memory's held. May wait until the victim's memory is back.
pub type Chooser = fn() -> Option<Victim>;

static CHOOSER: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());

/// Says who chooses: the owner of address spaces. `None`: nobody, and each program is its own victim.
pub fn set_victim_chooser(chooser: Option<Chooser>) {
    CHOOSER.store(chooser.map_or(core::ptr::null_mut(), |chooser| chooser as *mut ()), Ordering::Release);
}

/// A page fault finds no memory. True if somebody else goes for it, so that the access may be tried again.
#[cold]
pub fn out_of_memory(asked_by: fmt::Arguments<'_>) -> bool {
    let chooser = CHOOSER.load(Ordering::Acquire);
    if chooser.is_null() {
        return false;
    }
    // SAFETY: `set_victim_chooser` alone stores there, and what it stores is a Chooser.
    let chooser = unsafe { core::mem::transmute::<*mut (), Chooser>(chooser) };
    match chooser() {
        Some(victim) => {
            warn!(target: "memory", "out of memory: killed {victim}, asked for by {asked_by}");
            !victim.is_asker
        }
        None => {
            warn!(target: "memory", "out of memory: nobody is left to be killed, asked for by {asked_by}");
            false
        }
    }
}
