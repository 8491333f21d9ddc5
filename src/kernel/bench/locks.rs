//! What locks cost when nobody else wants them.

use super::per_operation;
use crate::sync::epoch::{Cpus, Epochs, Fresh, Protected};
use crate::sync::{IrqLock, Mutex, Rank, SpinLock, hooks};
use core::hint::black_box;

/// A spin lock.
pub fn spin() -> Option<u64> {
    static LOCK: SpinLock<u64> = SpinLock::new(Rank::SpinInner, 0);
    Some(per_operation(|| *LOCK.lock() += 1))
}

/// A lock that interrupt handlers share.
pub fn irq() -> Option<u64> {
    static LOCK: IrqLock<u64> = IrqLock::new(Rank::IrqInner, 0);
    Some(per_operation(|| *LOCK.lock() += 1))
}

/// A lock whose waiters sleep. A debug build would complain that interrupts are off, and does not measure it.
pub fn mutex() -> Option<u64> {
    static LOCK: Mutex<u64> = Mutex::new(Rank::SleepInner, 0);
    (!crate::sync::checks::CHECKED).then(|| per_operation(|| *LOCK.lock() += 1))
}

/// The one CPU that looks at the table.
struct Here;

impl Cpus for Here {
    fn count() -> usize {
        1
    }

    fn current() -> usize {
        0
    }

    #[inline(always)]
    fn disable_preemption() {
        hooks::disable_preemption();
    }

    #[inline(always)]
    fn enable_preemption() {
        hooks::enable_preemption();
    }

    fn preemption_depth() -> u32 {
        hooks::preemption_depth()
    }

    fn relax() {
        hooks::pause();
    }
}

/// A read section with one look at what is protected; afterwards it is replaced, retired and freed.
pub fn epoch() -> Option<u64> {
    static EPOCHS: Epochs<Here, 1> = Epochs::new();
    static TABLE: Protected<u64> = Protected::new();
    EPOCHS.retire(TABLE.replace(Some(Fresh::new(1))));
    let result = per_operation(|| {
        let reading = EPOCHS.read();
        black_box(TABLE.get(&reading).map_or(0, |value| *value));
    });
    let mut good = TABLE.get(&EPOCHS.read()) == Some(&1);
    EPOCHS.retire(TABLE.replace(None));
    EPOCHS.quiescent();
    good &= EPOCHS.collect() > 0 && !EPOCHS.has_retired();
    good.then_some(result)
}
