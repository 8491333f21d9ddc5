//! The timers on the host's machine, whose clock the test moves.

use super::super::host::Host;
use super::*;
use std::sync::Mutex;
use std::vec::Vec;

/// What has been called, and when.
static CALLED: Mutex<Vec<(usize, u64)>> = Mutex::new(Vec::new());

fn note(context: usize) {
    CALLED.lock().expect("no test panics in here").push((context, Machine::now_ns()));
}

fn called() -> Vec<(usize, u64)> {
    core::mem::take(&mut CALLED.lock().expect("no test panics in here"))
}

#[test]
fn timers_are_called_in_time_and_in_order() {
    let host = Host::exclusive();
    let late = at(3_000, note, 3).expect("room");
    at(1_000, note, 1).expect("room");
    at(2_000, note, 2).expect("room");
    host.advance_to(999);
    assert_eq!(called(), []);
    host.advance_to(2_500);
    assert_eq!(called(), [(1, 1_000), (2, 2_000)]);
    assert!(cancel(late));
    assert!(!cancel(late));
    host.advance_to(10_000);
    assert_eq!(called(), []);
}

#[test]
fn the_alarm_is_set_for_what_is_earlier_only() {
    let host = Host::exclusive();
    at(5_000, note, 0).expect("room");
    let set = host.alarms_set();
    at(6_000, note, 0).expect("room");
    assert_eq!(host.alarms_set(), set, "set again for a later timer");
    let early = at(4_000, note, 0).expect("room");
    assert_eq!(host.alarms_set(), set + 1);
    // Taking it back leaves the alarm; it comes early once, and is set for the next then.
    assert!(cancel(early));
    host.advance_to(4_500);
    assert_eq!(called(), []);
    host.advance_to(7_000);
    assert_eq!(called(), [(0, 5_000), (0, 6_000)]);
}

#[test]
fn a_chip_of_short_range_is_set_again_until_the_time_has_come() {
    let host = Host::exclusive();
    host.limit_alarm(700);
    at(10_000, note, 7).expect("room");
    host.advance_to(20_000);
    assert_eq!(called(), [(7, 10_000)]);
    assert!(host.alarms_set() >= 10_000 / 700);
}

#[test]
fn periods_do_not_drift_and_a_callback_may_arm() {
    let host = Host::exclusive();
    let period = NonZeroU64::new(100).expect("not 0");
    let ticking = every(period, note, 1).expect("room");
    at(150, |_| _ = at(160, note, 2), 0).expect("room");
    host.advance_to(450);
    assert!(cancel(ticking));
    host.advance_to(1_000);
    assert_eq!(called(), [(1, 100), (2, 160), (1, 200), (1, 300), (1, 400)]);
}

#[test]
fn a_full_queue_says_so_and_loses_nothing() {
    let host = Host::exclusive();
    let room = mine().1.queue.room();
    let ids: Vec<_> = (0..room).map(|n| at(1_000 + n as u64, note, n).expect("room")).collect();
    assert!(matches!(at(1, note, 0), Err(Full)));
    assert!(ids.iter().step_by(2).all(|&id| cancel(id)));
    host.advance_to(100_000);
    assert_eq!(called().len(), room / 2);
}

#[test]
fn room_is_made_for_sleepers_and_some_is_left_to_the_kernel() {
    let host = Host::exclusive();
    let room = mine().1.queue.room();
    let mut armed = (0..).take_while(|&n| at_leaving_some(1_000, note, n).is_ok()).count();
    assert_eq!(armed, room - RESERVED);
    // The kernel's own go on.
    for n in 0..RESERVED {
        at(1_000, note, n).expect("what was left");
    }
    assert!(matches!(at(1_000, note, 0), Err(Full)));
    while Machine::run_deferred() {}
    assert!(mine().1.queue.room() == 2 * room, "no more room");
    // And so on, to an end.
    while at_leaving_some(1_000, note, 0).is_ok() {
        armed += 1;
        while Machine::run_deferred() {}
    }
    assert_eq!(armed, TIMERS_MOST - 2 * RESERVED);
    host.advance_to(1_000);
    assert!(called().len() == armed + RESERVED, "some were lost");
}
