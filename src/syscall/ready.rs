//! Waiting for several files at once: `poll` and `select`.

use super::clocks::{after, timespec, write_timespec};
use super::signals::suspend_mask;
use super::{Arguments, Call, descriptors};
use crate::arch::x86_64::usercopy;
use crate::errno::Errno;
use crate::fs::Result;
use crate::fs::fd::FdTable;
use crate::fs::file::File;
use crate::fs::poll::{Events, Watch};
use crate::fs::refs::Ref;
use crate::mm::vma::room;
use crate::platform::{Machine, Platform};
use crate::sync::parker::NEVER;
use alloc::vec::Vec;

/// One file that is waited for.
struct Wanted {
    /// `None`: there is no such file.
    file: Option<Ref<File>>,
    events: Events,
    /// What makes it ready.
    answers: Events,
    found: Events,
}

/// These are told of whether they were asked for or not.
const ALWAYS: Events = Events::ERR.union(Events::HUP).union(Events::NVAL);
/// Queues that a file has at most.
const QUEUES: usize = 2;

/// Waits until one of them is ready, or the time is over; how many are. EINTR.
fn wait(wanted: &mut [Wanted], deadline_ns: u64) -> Result<usize> {
    let ready = look(wanted, None);
    if ready > 0 || deadline_ns <= Machine::now_ns() {
        return Ok(ready);
    }
    let mut watch = Watch::new(wanted.len() * QUEUES)?;
    loop {
        watch.clear();
        let ready = look(wanted, Some(&mut watch));
        if ready > 0 {
            return Ok(ready);
        }
        if !watch.sleep(deadline_ns)? {
            return Ok(look(wanted, None));
        }
    }
}

fn look(wanted: &mut [Wanted], mut watch: Option<&mut Watch>) -> usize {
    let mut ready = 0;
    for one in wanted {
        let now = match &one.file {
            Some(file) => file.ops().poll(file, watch.as_deref_mut()),
            None => Events::NVAL,
        };
        one.found = now & one.answers;
        if !one.found.is_empty() {
            ready += 1;
            // Whoever has found something does not wait.
            watch = None;
        }
    }
    ready
}

/// Bytes of a struct pollfd: fd, events, returned events.
const POLLFD: u64 = 8;

fn poll_until(call: &Call<'_>, at: u64, count: u64, deadline_ns: u64) -> Result<u64> {
    if count > descriptors::limit(call) {
        return Err(Errno::Einval);
    }
    let files = call.process().files();
    let mut wanted = room::with_room(count as usize)?;
    let mut places: Vec<u64> = room::with_room(count as usize)?;
    for n in 0..count {
        let [fd, events]: [u32; 2] = usercopy::read(at + n * POLLFD)?;
        // A negative one is left out.
        if fd as i32 >= 0 {
            let events = Events::from_bits_truncate(events as u16);
            let answers = events | ALWAYS;
            wanted.push(Wanted {
                file: files.get_file(fd as i32).ok(),
                events,
                answers,
                found: Events::empty(),
            });
            places.push(at + n * POLLFD + 6);
        } else {
            usercopy::copy_out(at + n * POLLFD + 6, &[0; 2])?;
        }
    }
    drop(files);
    let ready = wait(&mut wanted, deadline_ns)?;
    for (one, place) in wanted.iter().zip(places) {
        usercopy::copy_out(place, &one.found.bits().to_le_bytes())?;
    }
    Ok(ready as u64)
}

pub fn poll(call: &mut Call<'_>, [fds, count, ms, ..]: Arguments) -> Result<u64> {
    let deadline = match ms as i32 {
        ms if ms < 0 => NEVER,
        ms => after(ms as u64 * 1_000_000),
    };
    again(poll_until(call, fds, count & 0xFFFF_FFFF, deadline))
}

/// Without a handler they wait on.
fn again(result: Result<u64>) -> Result<u64> {
    result.map_err(|error| if error == Errno::Eintr { Errno::Erestartnohand } else { error })
}

/// Has a mask for as long as the call takes.
fn with_mask(call: &Call<'_>, mask: u64, size: u64) -> Result<()> {
    if mask != 0 {
        if size != 8 {
            return Err(Errno::Einval);
        }
        suspend_mask(call, usercopy::read(mask)?);
    }
    Ok(())
}

/// What is left of a time is told, as Linux does.
fn tell_left(timeout: u64, deadline: u64) {
    if timeout != 0 {
        let _ = write_timespec(timeout, deadline.saturating_sub(Machine::now_ns()));
    }
}

pub fn ppoll(call: &mut Call<'_>, [fds, count, timeout, mask, size, _]: Arguments) -> Result<u64> {
    let deadline = if timeout == 0 { NEVER } else { after(timespec(timeout)?) };
    with_mask(call, mask, size)?;
    let result = poll_until(call, fds, count & 0xFFFF_FFFF, deadline);
    tell_left(timeout, deadline);
    again(result)
}

/// The three sets: what each asks for, and what answers it.
const SETS: [(Events, Events); 3] = [
    (
        Events::IN.union(Events::RDNORM),
        Events::IN.union(Events::RDNORM).union(Events::RDBAND).union(Events::HUP).union(Events::ERR),
    ),
    (
        Events::OUT.union(Events::WRNORM),
        Events::OUT.union(Events::WRNORM).union(Events::WRBAND).union(Events::ERR),
    ),
    (Events::PRI, Events::PRI),
];

fn select_until(call: &Call<'_>, count: u64, sets: [u64; 3], deadline: u64) -> Result<u64> {
    if (count as i32) < 0 {
        return Err(Errno::Einval);
    }
    let table = call.process().files();
    let count = (count & 0xFFFF_FFFF).min(table.capacity() as u64);
    let words = count.div_ceil(64) as usize;
    let mut bits: [Vec<u64>; 3] = [Vec::new(), Vec::new(), Vec::new()];
    for (set, bits) in sets.iter().zip(&mut bits) {
        room::reserve(bits, words)?;
        for n in 0..words {
            bits.push(if *set == 0 { 0 } else { usercopy::read(set + n as u64 * 8)? });
        }
    }
    let (mut wanted, mut numbers) = chosen(&table, &bits, count)?;
    drop(table);
    wait(&mut wanted, deadline)?;
    bits.iter_mut().for_each(|bits| bits.fill(0));
    let mut total = 0;
    for (one, number) in wanted.iter().zip(numbers.drain(..)) {
        for ((asks, answers), bits) in SETS.iter().zip(&mut bits) {
            if one.events.contains(*asks) && one.found.intersects(*answers) {
                bits[number / 64] |= 1 << (number % 64);
                total += 1;
            }
        }
    }
    for (set, bits) in sets.iter().zip(&bits).filter(|(set, _)| **set != 0) {
        // No more bytes than the program has said that there are.
        for (n, word) in bits.iter().enumerate() {
            let len = (count.div_ceil(8) - n as u64 * 8).min(8).next_multiple_of(8);
            usercopy::copy_out(set + n as u64 * 8, &word.to_le_bytes()[..len as usize])?;
        }
    }
    Ok(total)
}

/// The descriptors that are in any of the sets. EBADF.
fn chosen(table: &FdTable, bits: &[Vec<u64>; 3], count: u64) -> Result<(Vec<Wanted>, Vec<usize>)> {
    let (mut wanted, mut numbers) = (Vec::new(), Vec::new());
    for number in 0..count as usize {
        let (mut events, mut answers) = (Events::empty(), Events::empty());
        for ((asks, answer), bits) in SETS.iter().zip(bits) {
            if bits[number / 64] >> (number % 64) & 1 != 0 {
                events |= *asks;
                answers |= *answer;
            }
        }
        if events.is_empty() {
            continue;
        }
        room::reserve(&mut wanted, 1)?;
        room::reserve(&mut numbers, 1)?;
        let file = Some(table.get_file(number as i32)?);
        wanted.push(Wanted { file, events, answers, found: Events::empty() });
        numbers.push(number);
    }
    Ok((wanted, numbers))
}

pub fn select(call: &mut Call<'_>, [count, read, write, except, timeout, _]: Arguments) -> Result<u64> {
    let deadline = match timeout {
        0 => NEVER,
        from => {
            // Microseconds may be more than a second of them.
            let [seconds, us]: [u64; 2] = usercopy::read(from)?;
            if (seconds as i64) < 0 || (us as i64) < 0 {
                return Err(Errno::Einval);
            }
            after(seconds.saturating_mul(1_000_000_000).saturating_add(us.saturating_mul(1000)))
        }
    };
    let result = select_until(call, count, [read, write, except], deadline);
    if timeout != 0 {
        let left = deadline.saturating_sub(Machine::now_ns());
        let _ = usercopy::write(timeout, &[left / 1_000_000_000, left % 1_000_000_000 / 1000]);
    }
    again(result)
}

pub fn pselect6(call: &mut Call<'_>, [count, read, write, except, timeout, mask]: Arguments) -> Result<u64> {
    let deadline = if timeout == 0 { NEVER } else { after(timespec(timeout)?) };
    if mask != 0 {
        let [mask, size]: [u64; 2] = usercopy::read(mask)?;
        with_mask(call, mask, size)?;
    }
    let result = select_until(call, count, [read, write, except], deadline);
    tell_left(timeout, deadline);
    again(result)
}
