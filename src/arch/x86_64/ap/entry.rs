//! What a CPU that is being started finds about itself: one [`Entry`] for each that the machine has.
//!
//! Pure definitions: build.rs compiles this file too, for asm/trampoline.S.

use core::mem::offset_of;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// How far a CPU is. What the assembly knows are the numbers of the first three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum State {
    /// There is no such CPU.
    None = 0,
    /// It has been told to start. Only from here does it get in.
    Called = 1,
    /// It runs our code.
    Arrived = 2,
    /// It is one of us.
    Online = 3,
    /// It did not come within the time that it had. Should it come later, it finds this and stops.
    Silent = 4,
    /// It came, and lacks what the boot CPU has.
    Unlike = 5,
    /// There was no memory for it.
    NoMemory = 6,
    /// `maxcpus=`.
    LeftOut = 7,
    /// Its APIC ID cannot be addressed in the mode that the local APICs are in.
    Unreachable = 8,
    /// The firmware has it disabled.
    Disabled = 9,
    /// There is none now; there may be one later.
    Absent = 10,
}

impl State {
    const ALL: [Self; 11] = [
        Self::None,
        Self::Called,
        Self::Arrived,
        Self::Online,
        Self::Silent,
        Self::Unlike,
        Self::NoMemory,
        Self::LeftOut,
        Self::Unreachable,
        Self::Disabled,
        Self::Absent,
    ];

    /// As `cpus` shows it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Called => "called",
            Self::Arrived => "starting",
            Self::Online => "online",
            Self::Silent => "did not answer",
            Self::Unlike => "lacks features that the boot CPU has",
            Self::NoMemory => "no memory for it",
            Self::LeftOut => "left out by maxcpus",
            Self::Unreachable => "not reachable in xAPIC mode",
            Self::Disabled => "disabled by the firmware",
            Self::Absent => "not there now",
        }
    }
}

/// One CPU. Written by the boot CPU; but for the state, before the CPU is called.
#[repr(C)]
pub struct Entry {
    pub apic_id: AtomicU32,
    state: AtomicU32,
    pub gs_base: AtomicU64,
    /// Top of its stack.
    pub stack: AtomicU64,
    /// Base of its GDT.
    pub gdt: AtomicU64,
}

impl Entry {
    /// What an array begins as: copied there, and used as itself nowhere.
    #[allow(clippy::declare_interior_mutable_const)]
    pub const EMPTY: Self = Self {
        apic_id: AtomicU32::new(0),
        state: AtomicU32::new(0),
        gs_base: AtomicU64::new(0),
        stack: AtomicU64::new(0),
        gdt: AtomicU64::new(0),
    };

    pub fn state(&self) -> State {
        let number = self.state.load(Ordering::Acquire) as usize;
        State::ALL.get(number).copied().unwrap_or(State::None)
    }

    pub fn is_online(&self) -> bool {
        self.state() == State::Online
    }

    pub fn set_state(&self, state: State) {
        self.state.store(state as u32, Ordering::Release);
    }

    /// From `Called` to `Silent`; false if it has come after all.
    pub fn give_up(&self) -> bool {
        let [from, to] = [State::Called as u32, State::Silent as u32];
        self.state.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

/// What assembly knows of it.
pub const ASM: &[(&str, u64)] = &[
    ("AP_APIC_ID", offset_of!(Entry, apic_id) as u64),
    ("AP_STATE", offset_of!(Entry, state) as u64),
    ("AP_GS_BASE", offset_of!(Entry, gs_base) as u64),
    ("AP_STACK", offset_of!(Entry, stack) as u64),
    ("AP_GDT", offset_of!(Entry, gdt) as u64),
    ("AP_SIZE", size_of::<Entry>() as u64),
    ("AP_CALLED", State::Called as u64),
    ("AP_ARRIVED", State::Arrived as u64),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_have_the_numbers_that_they_are_stored_by() {
        for (number, state) in State::ALL.into_iter().enumerate() {
            assert_eq!(state as usize, number);
        }
    }

    #[test]
    fn who_has_come_is_not_given_up() {
        let entry = Entry::EMPTY;
        entry.set_state(State::Called);
        assert!(entry.give_up() && entry.state() == State::Silent);
        entry.set_state(State::Arrived);
        assert!(!entry.give_up() && entry.state() == State::Arrived);
    }
}
