//! A program in ring 3, run by the monitor.

use super::{Call, Result};
use crate::kernel::user::{self, programs};
use crate::monitor::parse::Problem;

pub fn run<'a>(call: &mut Call<'a, '_>) -> Result<'a> {
    let Some(name) = call.words.next() else {
        for program in programs::PROGRAMS {
            let _ = writeln!(call.out, "  {:18} {}", program.name, program.about);
        }
        let user::Counts { by_int, sysrets, irets, nmis_entering, nmis_leaving } = user::counts();
        let _ = writeln!(
            call.out,
            "  ways back from calls: {sysrets} by SYSRETQ, {irets} by IRETQ; {by_int} calls by INT 0x80"
        );
        let _ = writeln!(
            call.out,
            "  NMIs without a kernel stack: {nmis_entering} on the way in, {nmis_leaving} on the way out"
        );
        return Ok(());
    };
    call.words.end()?;
    let program = programs::find(name).ok_or(Problem::Unknown(name))?;
    let _ = match user::run(program) {
        Ok(end) => writeln!(call.out, "user: {name}: {end}"),
        Err(error) => writeln!(call.out, "user: {name}: not begun: {error:?}"),
    };
    Ok(())
}

pub fn complete(sink: &mut dyn FnMut(&str)) {
    programs::PROGRAMS.iter().for_each(|program| sink(program.name));
}
