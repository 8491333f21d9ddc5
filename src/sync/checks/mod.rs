//! What a debug build watches for at every lock.
//!
//! Each CPU keeps a list of the spinning locks that it holds, each task one of those that sleep, with the line of the
//! source that took each. From these, and from the table in `rank`, follows whether what is about to be done is right; if
//! it is not, the report names both places: what is done, and what was done before that forbids it.
//!
//! | watched | found when |
//! | --- | --- |
//! | the order of locks, and so every deadlock of several (ABBA) | a lock is asked for, before it is waited for |
//! | a lock taken again by who has it | likewise |
//! | a lock of ordinary code taken in an interrupt handler | likewise |
//! | a lock given back by who does not have it | it is given back |
//! | interrupts on again under a lock that keeps them off | the outer one of two is given back first |
//! | sleeping under a spinning lock, or with interrupts off | somebody is about to sleep, or might have to |
//! | interrupts off for too long | they are on again; told of, and no failure |
//! | a lock waited for longer than 10 s | meanwhile; told of with the place of the holder |
//! | a task that ends with a lock that sleeps | it ends |
//!
//! In a release build, and in the loader, all of it is nothing: the types have no size, the functions no code.

#[cfg(all(debug_assertions, any(test, target_os = "none")))]
pub mod held;
#[cfg(not(all(debug_assertions, any(test, target_os = "none"))))]
mod off;
#[cfg(all(debug_assertions, any(test, target_os = "none")))]
mod on;
#[cfg(test)]
pub mod tests;

#[cfg(not(all(debug_assertions, any(test, target_os = "none"))))]
pub use off::*;
#[cfg(all(debug_assertions, any(test, target_os = "none")))]
pub use on::*;

use core::fmt;
use core::panic::Location;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};

/// Whether this build watches.
pub const CHECKED: bool = cfg!(all(debug_assertions, any(test, target_os = "none")));

/// A line of the source. Its own type, so that the debugger's commands know its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub file: &'static str,
    pub line: u32,
}

impl Place {
    pub const NONE: Self = Self { file: "", line: 0 };

    #[track_caller]
    pub const fn here() -> Self {
        let at = Location::caller();
        Self { file: at.file(), line: at.line() }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// What was done wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Taken while one is held that stands below it in the table, or beside it.
    Order,
    /// Taken by who has it.
    Again,
    /// Taken in an interrupt handler, where who was interrupted may have it.
    InHandler,
    /// More than a CPU's list holds.
    TooMany,
    /// Given back by who does not have it.
    Foreign,
    /// Given back, and interrupts are on, while one is held that keeps them off.
    LetIn,
    /// Sleeping while it is held.
    Sleep,
    /// Sleeping in an interrupt handler.
    SleepInHandler,
    /// Sleeping with interrupts off.
    SleepOff,
    /// A task ends that holds a lock.
    Ends,
    /// Interrupts were off for so many nanoseconds.
    OffLong(u64),
    /// Has waited for so many nanoseconds, and still does.
    Stuck(u64),
}

impl What {
    /// Whether the kernel may go on: it was slow, and not wrong.
    pub const fn is_harmless(self) -> bool {
        matches!(self, Self::OffLong(_) | Self::Stuck(_))
    }
}

/// One finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Violation {
    pub what: What,
    /// The lock that it is done with, if with one; and where.
    pub lock: Option<&'static str>,
    pub place: Place,
    /// What was done before: the lock, or `None` for what is no lock, and where.
    pub before: Option<(Option<&'static str>, Place)>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (lock, at) = (self.lock.unwrap_or("?"), self.place);
        let (name, since) = match self.before {
            Some((name, place)) => (name.unwrap_or("?"), place),
            None => ("?", Place::NONE),
        };
        match self.what {
            What::Order => write!(
                f,
                "lock order: `{lock}` taken at {at}, while `{name}`, which must come after it, is held since {since}"
            ),
            What::Again => {
                write!(f, "deadlock: `{lock}` taken at {at} by who has it already, since {since}")
            }
            What::InHandler => {
                write!(
                    f,
                    "deadlock: `{lock}` taken at {at} in an interrupt handler, whose victim may have it"
                )
            }
            What::TooMany => {
                write!(f, "too many locks: `{lock}` taken at {at}, above `{name}`, held since {since}")
            }
            What::Foreign => {
                write!(f, "`{lock}` given back by who does not have it; it was taken at {since}")
            }
            What::LetIn => write!(
                f,
                "interrupts on again, as the lock taken at {at} is given back, while `{name}` is held since {since}"
            ),
            What::Sleep => write!(f, "sleep at {at} while `{name}` is held since {since}"),
            What::SleepInHandler => write!(f, "sleep at {at} in an interrupt handler"),
            What::SleepOff => match self.before {
                Some(_) => write!(f, "sleep at {at} with interrupts off since {since}"),
                None => write!(f, "sleep at {at} with interrupts or preemption off"),
            },
            What::Ends => write!(f, "a task ends while it holds `{name}` since {since}"),
            What::OffLong(ns) => write!(f, "interrupts were off for {} ms, since {since}", ns / 1_000_000),
            What::Stuck(ns) => write!(
                f,
                "`{lock}` is waited for at {at} since {} ms; it was taken at {since}",
                ns / 1_000_000
            ),
        }
    }
}

/// What the checks know of a CPU that has stopped: see [`seen_on`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Where a lock turned interrupts off.
    pub off: Option<Place>,
    /// The last lock that it has taken and not given back, and where.
    pub held: Option<(&'static str, Place)>,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = self.off {
            write!(f, ", interrupts off since {place}")?;
        }
        self.held.map_or(Ok(()), |(name, place)| write!(f, ", `{name}` held since {place}"))
    }
}

/// Is told of a finding.
pub type Report = fn(&Violation);

/// Registered [`Report`]s, as addresses: of the experiments, or null; and of the kernel, or null.
static EXPERIMENT: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());
static REPORT: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());
/// The kernel is dying, and locks are taken from their holders.
static GIVEN_UP: AtomicBool = AtomicBool::new(false);
/// Ticks of the time-stamp counter a second, and nanoseconds that interrupts may be off.
static HZ: AtomicU64 = AtomicU64::new(0);
static OFF_LIMIT_NS: AtomicU64 = AtomicU64::new(u64::MAX);

/// Has findings told to `report` instead of panicking: the monitor's experiments want to go on. `None`: panics again.
pub fn on_violation(report: Option<Report>) {
    EXPERIMENT.store(report.map_or(core::ptr::null_mut(), |report| report as *mut ()), Ordering::Release);
}

/// Sets who is told of what is slow and not wrong: see [`What::is_harmless`].
pub fn on_delay(report: Report) {
    REPORT.store(report as *mut (), Ordering::Release);
}

/// Sets what durations are measured by, and how long interrupts may be off before it is told.
///
/// It is the time-stamp counter and not the clock, whose counter may be one that is read under a lock.
pub fn set_limits(tsc_hz: u64, off_ns: u64) {
    HZ.store(tsc_hz, Ordering::Relaxed);
    OFF_LIMIT_NS.store(off_ns, Ordering::Relaxed);
}

/// From here on locks are taken away from their holders, and nothing about them is checked.
pub fn give_up() {
    GIVEN_UP.store(true, Ordering::Relaxed);
}

#[cfg_attr(
    not(all(debug_assertions, any(test, target_os = "none"))),
    expect(dead_code, reason = "nothing is found")
)]
fn tell(found: &Violation) {
    #[cfg(test)]
    if tests::collect(found) {
        return;
    }
    let experiment = EXPERIMENT.load(Ordering::Acquire);
    let report = if experiment.is_null() && found.what.is_harmless() {
        REPORT.load(Ordering::Acquire)
    } else {
        experiment
    };
    if !report.is_null() {
        // SAFETY: only `on_violation` and `on_delay` store there, and what they store is a Report.
        let report = unsafe { core::mem::transmute::<*mut (), Report>(report) };
        report(found);
    } else if !found.what.is_harmless() {
        panic!("{found}");
    }
}
