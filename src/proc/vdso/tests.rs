//! The image, looked up and called on this host, with a clock page that is made up.
//!
//! What goes through the host's kernel (an odd sequence, unknown clocks) is told apart by its values: the page's lines lie
//! far in the future.

use super::lookup::{Function, Object};
use super::*;
use crate::arch::x86_64::tsc;
use crate::testing::Random;
use crate::time::page::{ClockPage, CpuBy, Line};
use core::mem::transmute;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::vec::Vec;

const VERSION: &str = "LINUX_2.6";
const NAMES: [&str; 4] = ["clock_gettime", "gettimeofday", "time", "getcpu"];
/// No host is that old: nanoseconds of 2116.
const FUTURE_NS: u64 = 1 << 62;

unsafe extern "C" {
    fn mmap(at: *mut u8, len: usize, prot: i32, flags: i32, fd: i32, offset: i64) -> *mut u8;
    fn munmap(at: *mut u8, len: usize) -> i32;
    fn mprotect(at: *mut u8, len: usize, prot: i32) -> i32;
    fn syscall(number: i64, ...) -> i64;
}

type ClockGettime = extern "C" fn(i32, *mut [i64; 2]) -> i64;
type GetTimeOfDay = extern "C" fn(*mut [i64; 2], *mut [i32; 2]) -> i64;
type Time = extern "C" fn(*mut i64) -> i64;
type GetCpu = extern "C" fn(*mut u32, *mut u32, usize) -> i64;

/// Both, mapped as a program has them.
struct Mapped(*mut u8);

// SAFETY: the page is made of atomics, and the image is not written.
unsafe impl Sync for Mapped {}

impl Mapped {
    fn new() -> Self {
        let page = PAGE_SIZE as usize;
        // SAFETY: fresh memory, of which the second part is filled and then is only executed.
        unsafe {
            let at = mmap(null_mut(), MAPPED_BYTES as usize, 3, 0x22, -1, 0);
            assert!(!at.is_null() && at as isize != -1);
            at.cast::<ClockPage>().write(ClockPage::new());
            at.add(page).copy_from_nonoverlapping(IMAGE.as_ptr(), IMAGE_BYTES);
            assert_eq!(mprotect(at.add(page), IMAGE_BYTES, 5), 0);
            Self(at)
        }
    }

    fn page(&self) -> &ClockPage {
        // SAFETY: `new` has written one.
        unsafe { &*self.0.cast() }
    }

    fn set(&self, line: Option<Line>, wall_ns: i64) {
        self.page().begin().expect("nobody else changes it").end(line, wall_ns);
    }

    fn function(&self, name: &str) -> *const u8 {
        let Function { offset, .. } = Object::new(&IMAGE).find_by_hash(name, VERSION).unwrap();
        // SAFETY: within the image.
        unsafe { self.0.add(PAGE_SIZE as usize + offset) }
    }

    fn clock(&self, clock: i32) -> Result<(i64, i64), i64> {
        // SAFETY: that is its type.
        let function: ClockGettime = unsafe { transmute(self.function("__vdso_clock_gettime")) };
        let mut now = [-1; 2];
        match function(clock, &mut now) {
            0 => Ok((now[0], now[1])),
            error => Err(error),
        }
    }

    fn clock_ns(&self, clock: i32) -> u64 {
        let (seconds, ns) = self.clock(clock).unwrap();
        assert!((0..1_000_000_000).contains(&ns));
        seconds as u64 * 1_000_000_000 + ns as u64
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: nobody has a reference to it any more.
        unsafe { munmap(self.0, MAPPED_BYTES as usize) };
    }
}

/// A clock that stands: what it shows is what it is set to.
fn standing(base_ns: u64) -> Option<Line> {
    Some(Line { anchor: 0, base_ns, scaled: 0, most: u64::MAX })
}

#[test]
fn libraries_find_each_function_by_both_hash_tables() {
    let object = Object::new(&IMAGE);
    assert_eq!(object.soname(), "linux-vdso.so.1");
    assert!(!object.has_relocations());
    let mut functions = Vec::new();
    for name in NAMES {
        let full = std::format!("__vdso_{name}");
        let found = object.find_by_hash(&full, VERSION).unwrap();
        functions.push(found);
        for name in [name, &full] {
            assert_eq!(object.find_by_hash(name, VERSION), Some(found), "{name}");
            assert_eq!(object.find_by_gnu_hash(name, VERSION), Some(found), "{name}");
            assert_eq!(object.find_by_hash(name, "LINUX_2.7"), None);
            assert_eq!(object.find_by_gnu_hash(name, "LINUX_2.7"), None);
        }
    }
    for name in ["clock_page", "clock_gettime_call", "", VERSION] {
        assert_eq!(
            (object.find_by_hash(name, VERSION), object.find_by_gnu_hash(name, VERSION)),
            (None, None)
        );
    }
    functions.sort_by_key(|function| function.offset);
    assert_eq!(object.unwound(), functions, "each is unwound, all of it and nothing else");
}

#[test]
fn a_page_is_a_page_and_the_image_one_more() {
    assert_eq!((size_of::<ClockPage>(), align_of::<ClockPage>()), (4096, 4096));
    assert_eq!(MAPPED_BYTES, 8192);
}

#[test]
fn seconds_and_the_rest_are_exact() {
    let mapped = Mapped::new();
    let mut random = Random::new(13);
    let edges = [
        0,
        1,
        511,
        512,
        999_999_999,
        1_000_000_000,
        i64::MAX as u64,
        i64::MAX as u64 / 1_000_000_000 * 1_000_000_000,
    ];
    for round in 0..20_000usize {
        let ns = *edges.get(round).unwrap_or(&(random.next_u64() >> (1 + random.below(40))));
        mapped.set(standing(ns), 0);
        for clock in [1, 6, 7, 0, 5] {
            assert_eq!(mapped.clock(clock), Ok(((ns / 1_000_000_000) as i64, (ns % 1_000_000_000) as i64)));
        }
    }
}

#[test]
fn the_time_of_day_in_all_its_forms() {
    let mapped = Mapped::new();
    // SAFETY: that is its type.
    let gettimeofday: GetTimeOfDay = unsafe { transmute(mapped.function("__vdso_gettimeofday")) };
    // SAFETY: likewise.
    let time: Time = unsafe { transmute(mapped.function("__vdso_time")) };
    let mut random = Random::new(14);
    for _ in 0..5_000 {
        let (start_ns, wall_ns) = (random.next_u64() >> 3, random.next_u64() as i64 >> 4);
        mapped.set(standing(start_ns), wall_ns);
        let unix_ns = start_ns as i64 + wall_ns;
        if unix_ns < 0 {
            continue;
        }
        let (seconds, ns) = (unix_ns / 1_000_000_000, unix_ns % 1_000_000_000);
        assert_eq!(mapped.clock(0), Ok((seconds, ns)));
        assert_eq!(mapped.clock_ns(1), start_ns);
        let (mut now, mut zone, mut stored) = ([0; 2], [7; 2], 0);
        assert_eq!(gettimeofday(&mut now, &mut zone), 0);
        assert_eq!((now, zone), ([seconds, ns / 1000], [0; 2]));
        assert_eq!((time(&mut stored), stored, time(null_mut())), (seconds, seconds, seconds));
    }
    assert_eq!(gettimeofday(null_mut(), null_mut()), 0);
}

#[test]
fn the_counter_moves_it_along_the_line() {
    let mapped = Mapped::new();
    let rates = [1u64 << 40, 1 << 38, 0x55_5555_5555, 3 << 40];
    for scaled in rates {
        let ns = |line: &Line, count: u64| {
            line.base_ns + ((u128::from(count - line.anchor) * u128::from(scaled)) >> 40) as u64
        };
        let line = Line { anchor: tsc::read_ordered(), base_ns: FUTURE_NS, scaled, most: u64::MAX / 8 * 7 };
        mapped.set(Some(line), 0);
        let mut last = 0;
        for _ in 0..10_000 {
            let before = tsc::read_ordered();
            let now = mapped.clock_ns(1);
            let after = tsc::read_ordered();
            assert!((ns(&line, before)..=ns(&line, after)).contains(&now));
            assert!(now >= last);
            last = now;
        }
    }
    // A count from before the anchor: no time has passed.
    let ahead = Line {
        anchor: tsc::read_ordered() + (1 << 50),
        base_ns: FUTURE_NS,
        scaled: 1 << 40,
        most: u64::MAX / 8 * 7,
    };
    mapped.set(Some(ahead), 0);
    assert_eq!(mapped.clock_ns(1), FUTURE_NS);
}

#[test]
fn what_the_page_does_not_know_the_kernel_is_asked() {
    let mapped = Mapped::new();
    let host = |clock: i32| {
        let mut now = [0i64; 2];
        // SAFETY: clock_gettime into memory of its size.
        match unsafe { syscall(228, i64::from(clock), &raw mut now) } {
            0 => Ok(now[0] as u64 * 1_000_000_000 + now[1] as u64),
            _ => Err(()),
        }
    };
    // A new page, and one whose clock is not the TSC.
    for line in [None, standing(FUTURE_NS)] {
        for clock in [0, 1, 2, 3, 4, 7] {
            let (before, found, after) = (host(clock).unwrap(), mapped.clock_ns(clock), host(clock).unwrap());
            let is_hosts = (before..=after).contains(&found);
            assert_eq!(is_hosts, line.is_none() || [2, 3, 4].contains(&clock), "clock {clock}: {found}");
        }
        for clock in [10, 12, 63, 100, -1, i32::MIN, i32::MAX] {
            assert_eq!(mapped.clock(clock).is_ok(), host(clock).is_ok(), "clock {clock}");
        }
        mapped.set(standing(FUTURE_NS), 0);
    }
    assert_eq!(mapped.clock(99), Err(-22));
    // Before 1970, which no page shows, and in the middle of a change.
    mapped.set(standing(5), -10);
    assert!(mapped.clock_ns(0) > 1_000_000_000);
    let change = mapped.page().begin().unwrap();
    assert!(mapped.page().begin().is_none());
    assert!(mapped.clock_ns(1) != 5);
    drop(change);
    assert!(mapped.clock_ns(1) != 5, "a change that came to nothing");
    mapped.set(standing(5), -10);
    assert_eq!(mapped.clock_ns(1), 5);
}

/// One thread changes the line again and again, at the point where the old one is; others see time go forward only.
#[test]
fn no_reader_sees_time_go_back_while_the_line_changes() {
    const CHANGES: usize = 20_000;
    let mapped = Mapped::new();
    let ns = |line: &Line, count: u64| {
        let counts = u128::from(count.saturating_sub(line.anchor));
        line.base_ns + ((counts * u128::from(line.scaled)) >> 40) as u64
    };
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let readers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let (mut last, mut reads) = (0, 0u64);
                    while !done.load(Ordering::Relaxed) || reads == 0 {
                        let now = mapped.clock_ns(1);
                        if now >= FUTURE_NS {
                            assert!(now >= last, "{now} after {last}");
                            last = now;
                            reads += 1;
                        }
                    }
                })
            })
            .collect();
        let mut line =
            Line { anchor: tsc::read_ordered(), base_ns: FUTURE_NS, scaled: 1 << 40, most: u64::MAX / 8 * 7 };
        let mut random = Random::new(15);
        for _ in 0..CHANGES {
            let change = mapped.page().begin().unwrap();
            let count = tsc::read_ordered();
            line = Line {
                anchor: count,
                base_ns: ns(&line, count),
                scaled: (1 << 38) + random.below(1 << 40),
                ..line
            };
            change.end(Some(line), 0);
        }
        done.store(true, Ordering::Relaxed);
        readers.into_iter().for_each(|reader| reader.join().unwrap());
    });
}

#[test]
fn which_cpu_it_is() {
    let mapped = Mapped::new();
    // SAFETY: that is its type.
    let getcpu: GetCpu = unsafe { transmute(mapped.function("__vdso_getcpu")) };
    let host = || {
        let mut found = [0u32; 2];
        // SAFETY: getcpu into two words.
        assert_eq!(unsafe { syscall(309, &raw mut found[0], &raw mut found[1], 0i64) }, 0);
        found
    };
    for by in [CpuBy::Call, CpuBy::Rdtscp] {
        mapped.page().set_cpu_by(by);
        let mut seen = 0;
        for _ in 0..10_000 {
            let (before, mut found) = (host(), [u32::MAX; 2]);
            assert_eq!(getcpu(&mut found[0], &mut found[1], 0), 0);
            // Unless it was moved in between.
            if before == host() {
                assert_eq!(found, before, "{by:?}");
                seen += 1;
            }
        }
        assert!(seen > 0);
        assert_eq!(getcpu(null_mut(), null_mut(), 0), 0);
    }
}
