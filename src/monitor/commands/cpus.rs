//! Commands about the CPUs.

use super::{Call, Result};
use crate::platform::pc::cpus as machine;

pub fn cpus<'a>(call: &mut Call<'a, '_>) -> Result<'a> {
    call.words.end()?;
    let _ = writeln!(call.out, "  cpu  apic  package  core  thread  state");
    for (number, entry) in machine::all() {
        let (id, state) = (machine::apic_id(number), entry.state().name());
        let _ = match machine::topology(number).filter(|_| entry.is_online()) {
            Some(at) => writeln!(
                call.out,
                "  {number:3} {id:5} {:8} {:5} {:7}  {state}",
                at.package, at.core, at.thread
            ),
            None => writeln!(call.out, "  {number:3} {id:5}        -     -       -  {state}"),
        };
    }
    Ok(())
}
