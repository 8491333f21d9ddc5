//! The command `serial`: the ports, and a port that answers.

use super::{Call, Result};
use crate::drivers::serial::live::{self, Driven, PORTS};
use crate::drivers::serial::port::{Events, Room, Upper};
use crate::drivers::serial::settings::{Character, Parity};
use crate::kernel::selftest::terminal::bulk::{self, How};
use crate::kernel::selftest::terminal::lines;
use crate::monitor::parse::{self, Problem};
use crate::sync::{IrqLock, Rank};
use crate::tty::options::DEFAULT_BAUD;
use crate::tty::{console, serial as terminals};
use core::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that wait to be sent back.
const BYTES: usize = 4096;

/// Sends back what comes.
struct Echo {
    ring: IrqLock<Ring>,
    port: AtomicUsize,
}

struct Ring {
    bytes: [u8; BYTES],
    first: usize,
    len: usize,
    lost: u64,
}

static ECHO: Echo = Echo {
    ring: IrqLock::new(Rank::SerialRings, Ring { bytes: [0; BYTES], first: 0, len: 0, lost: 0 }),
    port: AtomicUsize::new(PORTS),
};

impl Upper for Echo {
    fn received(&self, characters: &[Character]) -> Room {
        let mut ring = self.ring.lock();
        for character in characters {
            if ring.len == BYTES {
                ring.lost += 1;
            } else {
                let at = (ring.first + ring.len) % BYTES;
                ring.bytes[at] = character.byte;
                ring.len += 1;
            }
        }
        if ring.len > BYTES / 4 * 3 { Room::Short } else { Room::Enough }
    }

    fn fill(&self, to: &mut [u8]) -> usize {
        let mut ring = self.ring.lock();
        let len = to.len().min(ring.len);
        for byte in &mut to[..len] {
            *byte = ring.bytes[ring.first];
            ring.first = (ring.first + 1) % BYTES;
        }
        ring.len -= len;
        len
    }

    fn notify(&self, events: Events) {
        let port = self.port.load(Ordering::Relaxed);
        if events.contains(Events::RECEIVED) {
            live::start_tx(port);
        }
        let is_low = self.ring.lock().len < BYTES / 4;
        if events.contains(Events::SENT) && is_low {
            live::unthrottle(port);
        }
    }
}

pub fn serial<'a>(call: &mut Call<'a, '_>) -> Result<'a> {
    let Some(word) = call.words.next() else {
        (0..PORTS).for_each(|number| show(number, call.out));
        let lost = ECHO.ring.lock().lost;
        if lost > 0 {
            let _ = writeln!(call.out, "  {lost} bytes were not sent back, for want of room");
        }
        return Ok(());
    };
    let number = parse::number(word).ok_or(Problem::NotANumber(word))? as usize;
    let what = call.words.next().unwrap_or("");
    if what == "lines" {
        return lines(call, number);
    }
    if number >= PORTS || console::serial_port() == Some(number) || terminals::is_open(number) {
        return Err(Problem::Unknown(word));
    }
    if what == "take" || what == "give" {
        return bulk(call, number, what == "take");
    }
    call.words.end()?;
    match what {
        "echo" | "poll" => {
            let found = live::open(number, DEFAULT_BAUD);
            ECHO.port.store(number, Ordering::Relaxed);
            live::attach(number, &ECHO);
            let driven = found.and_then(|_| live::drive(number, what == "echo"));
            let _ = match driven {
                Some(driven) => writeln!(call.out, "ttyS{number}: what comes is sent back, {}", name(driven)),
                None => writeln!(call.out, "ttyS{number}: there is no such port"),
            };
        }
        "close" => live::close(number),
        other => return Err(Problem::Unknown(other)),
    }
    Ok(())
}

/// `serial PORT lines [READERS]`.
fn lines<'a>(call: &mut Call<'a, '_>, number: usize) -> Result<'a> {
    let word = call.words.next();
    call.words.end()?;
    let readers = word.map_or(Ok(1), |word| parse::number(word).ok_or(Problem::NotANumber(word)))?;
    if let Err(errno) = lines::start(number, readers as usize) {
        let _ = writeln!(call.out, "ttyS{number}: {errno}");
    }
    Ok(())
}

/// `resume`.
pub fn resume<'a>(call: &mut Call<'a, '_>) -> Result<'a> {
    call.words.end()?;
    if !terminals::give_back() {
        let _ = writeln!(call.out, "there is nothing to go back to");
    }
    Ok(())
}

/// `serial PORT take|give BYTES [stall] [nofifo]`.
fn bulk<'a>(call: &mut Call<'a, '_>, number: usize, takes: bool) -> Result<'a> {
    let word = call.words.next().ok_or(Problem::Missing("BYTES"))?;
    let bytes = parse::number(word).ok_or(Problem::NotANumber(word))? as usize;
    let mut how = How::default();
    for word in call.words.by_ref() {
        match word {
            "stall" => how.stalls = true,
            "nofifo" => how.without_fifo = true,
            other => return Err(Problem::Unknown(other)),
        }
    }
    let done = if takes { bulk::take(number, bytes, how, call.out) } else { bulk::give(number, bytes, how) };
    let _ = match done {
        Ok(report) => writeln!(call.out, "ttyS{number}: {report}"),
        Err(errno) => writeln!(call.out, "ttyS{number}: {errno:?}"),
    };
    Ok(())
}

fn name(driven: Driven) -> &'static str {
    match driven {
        Driven::ByInterrupt => "by interrupt",
        Driven::ByTimer => "by timer",
    }
}

fn show(number: usize, out: &mut dyn core::fmt::Write) {
    let all = (live::found(number), live::settings(number), live::lines(number), live::counts(number));
    let (Some(found), Some(settings), Some(lines), Some((counts, errors))) = all else {
        let _ = writeln!(out, "  ttyS{number}: not open");
        return;
    };
    let parity = match settings.parity {
        Parity::None => 'N',
        Parity::Odd => 'O',
        Parity::Even => 'E',
        Parity::Mark => 'M',
        Parity::Space => 'S',
    };
    let driven = live::driven(number).map_or("by asking", name);
    let stop_bits = if settings.two_stop_bits { 2 } else { 1 };
    let _ = write!(out, "  ttyS{number}: {}, FIFO {}, ", found.model.name(), found.depth);
    let _ = write!(out, "{} baud {}{parity}{stop_bits}, {driven};", settings.baud, settings.data_bits);
    for (line, _) in lines.iter_names() {
        let _ = write!(out, " {line}");
    }
    let _ = writeln!(out);
    let _ = writeln!(
        out,
        "    {} received, {} sent; {} interrupts, {} without a reason, {} cut short",
        counts.received, counts.sent, counts.interrupts, counts.idle_interrupts, counts.long_services
    );
    let _ = writeln!(
        out,
        "    {} overruns, {} parity errors, {} framing errors, {} breaks, {} dropped",
        errors.overruns, errors.parity_errors, errors.framing_errors, errors.breaks, errors.dropped
    );
}
