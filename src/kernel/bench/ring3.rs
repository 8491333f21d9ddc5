//! Rows about programs in ring 3.

use crate::arch::x86_64::usercopy;
use crate::kernel::user::{self, End, programs, space};

/// A call and the way back, with the three instructions of the loop around it; measured by the program itself.
pub fn call() -> Option<u64> {
    const CALLS: u64 = 1000;
    let space = user::load(programs::find("calls")?).ok()?;
    if !matches!(user::run_in(&space), Ok(End::Exit(0))) {
        return None;
    }
    let _active = space.activate();
    let ticks = usercopy::read::<u64>(space::DATA).ok()?;
    Some(ticks * 100 / CALLS)
}
