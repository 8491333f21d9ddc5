//! The driver against a model whose time goes by with each access, and which panics where the specification forbids.

use super::*;
use std::cell::RefCell;

#[derive(Clone, Copy, Default)]
struct Timer {
    config: u32,
    routes: u32,
    comparator: u32,
    period: u32,
    set_next: bool,
    fired: u32,
}

struct Chip {
    capabilities: u32,
    period_fs: u32,
    config: u32,
    status: u32,
    counter: u64,
    /// Ticks that each access takes.
    cost: u64,
    timers: [Timer; 3],
    enabled_counter_writes: u32,
    /// It does not hold what it says that it can.
    no_legacy: bool,
}

struct Bus(RefCell<Chip>);

/// As in many a chipset: 14.318 MHz, three comparators, the first one periodic, routed to lines 20 to 23.
fn bus(wide: bool) -> Bus {
    let timer = Timer { config: SIZE_CAP | 1 << 15, routes: 0x00F0_0000, ..Timer::default() };
    let mut timers = [timer; 3];
    timers[0].config |= PER_INT_CAP;
    timers[2].config &= !SIZE_CAP;
    Bus(RefCell::new(Chip {
        capabilities: 0x8086_0000 | 2 << 8 | 1 << 15 | 1 | if wide { COUNT_SIZE_CAP } else { 0 },
        period_fs: 69_841_279,
        config: 0,
        status: 0,
        counter: 0x1234_5678_9ABC,
        cost: 3,
        timers,
        enabled_counter_writes: 0,
        no_legacy: false,
    }))
}

impl Chip {
    fn is_wide(&self) -> bool {
        self.capabilities & COUNT_SIZE_CAP != 0
    }

    fn advance(&mut self, ticks: u64) {
        if self.config & ENABLE_CNF == 0 {
            return;
        }
        for (n, timer) in self.timers.iter_mut().enumerate() {
            if timer.config & INT_ENB == 0 {
                continue;
            }
            assert_ne!(timer.config & MODE_32, 0, "32 bits are what this driver uses");
            // How far it is to each match, from the tick after this one.
            let mut to_go = u64::from(timer.comparator.wrapping_sub(self.counter as u32 + 1)) + 1;
            while to_go <= ticks {
                timer.fired += 1;
                if timer.config & INT_TYPE != 0 {
                    self.status |= 1 << n;
                }
                let step = if timer.config & TYPE_PERIODIC != 0 {
                    assert_ne!(timer.period, 0);
                    timer.comparator = timer.comparator.wrapping_add(timer.period);
                    u64::from(timer.period)
                } else {
                    1 << 32
                };
                to_go += step;
            }
        }
        self.counter = self.counter.wrapping_add(ticks);
        if !self.is_wide() {
            self.counter &= 0xFFFF_FFFF;
        }
    }
}

impl Mmio32 for &Bus {
    fn read(&self, offset: u32) -> u32 {
        let mut chip = self.0.borrow_mut();
        let cost = chip.cost;
        chip.advance(cost);
        match offset {
            0x000 => chip.capabilities,
            0x004 => chip.period_fs,
            0x010 => chip.config,
            0x020 => chip.status,
            0x0F0 => chip.counter as u32,
            0x0F4 => (chip.counter >> 32) as u32,
            0x100..=0x15F => {
                let timer = chip.timers[(offset as usize - 0x100) / 0x20];
                match offset & 0x1F {
                    0x00 => timer.config,
                    0x04 => timer.routes,
                    0x08 => timer.comparator,
                    _ => panic!("read of {offset:#x}"),
                }
            }
            _ => panic!("read of {offset:#x}"),
        }
    }

    fn write(&self, offset: u32, value: u32) {
        let mut chip = self.0.borrow_mut();
        let cost = chip.cost;
        chip.advance(cost);
        match offset {
            0x010 => {
                chip.config = if chip.no_legacy { value & !LEG_RT_CNF } else { value };
            }
            0x020 => chip.status &= !value,
            0x0F0 | 0x0F4 => {
                chip.enabled_counter_writes += chip.config & ENABLE_CNF;
                let shift = (offset & 4) * 8;
                chip.counter = chip.counter & !(0xFFFF_FFFF << shift) | u64::from(value) << shift;
            }
            0x100..=0x15F => {
                let timer = &mut chip.timers[(offset as usize - 0x100) / 0x20];
                match offset & 0x1F {
                    0x00 => {
                        assert_eq!(value & FSB_EN, 0, "MSIs");
                        let fixed = PER_INT_CAP | SIZE_CAP | 1 << 15;
                        let route = (value & ROUTE) >> ROUTE_SHIFT;
                        let kept = if timer.routes >> route & 1 != 0 { 0 } else { ROUTE };
                        timer.set_next |= value & VAL_SET != 0;
                        let writable = !(fixed | kept | VAL_SET);
                        timer.config = timer.config & !writable | value & writable;
                    }
                    0x08 if timer.config & TYPE_PERIODIC != 0 => {
                        if core::mem::take(&mut timer.set_next) {
                            timer.comparator = value;
                        } else {
                            timer.period = value;
                        }
                    }
                    0x08 => timer.comparator = value,
                    _ => panic!("write of {offset:#x}"),
                }
            }
            _ => panic!("write of {offset:#x}"),
        }
    }
}

fn start(bus: &Bus) -> Hpet<&Bus> {
    Hpet::start(bus).expect("an HPET")
}

impl Bus {
    fn advance(&self, ticks: u64) {
        self.0.borrow_mut().advance(ticks);
    }

    fn fired(&self, n: usize) -> u32 {
        self.0.borrow().timers[n].fired
    }
}

#[test]
fn what_cannot_be_one_is_refused() {
    for period in [0, 100_000_001, u32::MAX] {
        let bus = bus(true);
        bus.0.borrow_mut().period_fs = period;
        assert_eq!(Hpet::start(&bus).err(), Some(HpetError::Period(period)));
        assert_eq!(bus.0.borrow().config, 0, "nothing was started");
    }
    for capabilities in [0, u32::MAX] {
        let bus = bus(true);
        bus.0.borrow_mut().capabilities = capabilities;
        assert_eq!(Hpet::start(&bus).err(), Some(HpetError::Absent));
    }
    let bus = bus(true);
    bus.0.borrow_mut().cost = 0;
    assert_eq!(Hpet::start(&bus).err(), Some(HpetError::Stopped));
    assert_eq!(bus.0.borrow().config & ENABLE_CNF, 0);
}

#[test]
fn periods_from_the_largest_to_qemus() {
    for (period, hz) in [(100_000_000, 10_000_000), (69_841_279, 14_318_180), (10_000_000, 100_000_000)] {
        let bus = bus(true);
        bus.0.borrow_mut().period_fs = period;
        let hpet = start(&bus);
        assert_eq!((hpet.rate().map(Rate::hz), hpet.period_fs()), (Some(hz), period));
    }
}

/// Negative: the firmware's counter runs, its comparators interrupt, legacy replacement is on.
#[test]
fn a_running_one_is_stopped_before_its_counter_is_touched() {
    let bus = bus(true);
    {
        let mut chip = bus.0.borrow_mut();
        // Bit 8 is nobody's: it is kept.
        chip.config = ENABLE_CNF | LEG_RT_CNF | 1 << 8;
        chip.status = 0b101;
        for timer in &mut chip.timers {
            timer.config |= INT_ENB | MODE_32 | FSB_EN | TYPE_PERIODIC;
            timer.period = 1000;
        }
    }
    let hpet = start(&bus);
    assert!(hpet.read() < 10_000, "from 0");
    assert_eq!(bus.0.borrow().enabled_counter_writes, 0);
    assert_eq!((bus.0.borrow().config, bus.0.borrow().status), (ENABLE_CNF | 1 << 8, 0));
    let fired = bus.fired(0);
    bus.advance(1_000_000);
    assert_eq!(bus.fired(0), fired);
    hpet.stop();
    assert_eq!(bus.0.borrow().config, 1 << 8);
}

/// Negative: the lower half wraps between the accesses, at each of the places where it can.
#[test]
fn wide_counters_are_read_whole() {
    let bus = bus(true);
    let hpet = start(&bus);
    assert_eq!(hpet.width_bits(), 64);
    for cost in [1, 3, 10, 1000] {
        bus.0.borrow_mut().cost = cost;
        for early in 0..cost * 6 {
            bus.0.borrow_mut().counter = (8 << 32) - early;
            let before = bus.0.borrow().counter;
            let ticks = hpet.read();
            let after = bus.0.borrow().counter;
            assert!(before <= ticks && ticks <= after, "{cost} {early}: {before:#x} {ticks:#x} {after:#x}");
        }
    }
}

#[test]
fn narrow_counters_wrap() {
    let bus = bus(false);
    let hpet = start(&bus);
    assert_eq!(hpet.width_bits(), 32);
    bus.advance(0xFFFF_0000);
    assert!(hpet.read() >= 0xFFFF_0000);
    bus.advance(0x1_0000);
    assert!(hpet.read() < 0x1000);
}

#[test]
fn comparators_say_what_they_can() {
    let bus = bus(true);
    let hpet = start(&bus);
    assert_eq!(hpet.timers(), 3);
    let first = Abilities { periodic: true, wide: true, routes: 0x00F0_0000 };
    assert_eq!(hpet.abilities(0), Ok(first));
    assert_eq!(hpet.abilities(2), Ok(Abilities { periodic: false, wide: false, ..first }));
    assert_eq!(hpet.abilities(3), Err(HpetError::NoSuchTimer(3)));
    for irq in [0, 8, 19, 24, 31, 32, 255] {
        let refused = Err(HpetError::Route { irq, routes: 0x00F0_0000 });
        assert_eq!(hpet.route(0, irq, Trigger::Edge), refused);
    }
    assert_eq!(hpet.route(1, 23, Trigger::Level), Ok(()));
    assert_eq!(bus.0.borrow().timers[1].config & (ROUTE | INT_TYPE), 23 << 9 | INT_TYPE);
    assert_eq!(hpet.arm_periodic(1, 1000), Err(HpetError::NotPeriodic));
    for gone in [hpet.arm(3, 500).err(), hpet.disarm(3).err(), hpet.route(3, 20, Trigger::Edge).err()] {
        assert_eq!(gone, Some(HpetError::NoSuchTimer(3)));
    }
}

#[test]
fn a_comparator_fires_when_its_time_has_come() {
    for wide in [true, false] {
        let bus = bus(wide);
        let hpet = start(&bus);
        for n in [1, 2] {
            hpet.route(n, 20 + n, Trigger::Edge).expect("a route");
            // Also where the lower half wraps in between.
            bus.advance(0xFFFF_E000);
            assert_eq!(hpet.arm(n, 100_000), Ok(Armed::Ahead));
            bus.advance(90_000);
            assert_eq!(bus.fired(n.into()), 0);
            bus.advance(10_000);
            assert_eq!(bus.fired(n.into()), 1);
            hpet.disarm(n).expect("a comparator");
            bus.advance(1 << 33);
            assert_eq!(bus.fired(n.into()), 1);
        }
    }
}

/// Negative: a comparator set behind the counter fires only after a whole turn, minutes later.
#[test]
fn a_deadline_that_has_passed_is_told() {
    let bus = bus(true);
    let hpet = start(&bus);
    hpet.route(0, 20, Trigger::Edge).expect("a route");
    for cost in [1, 50, 5000] {
        bus.0.borrow_mut().cost = cost;
        for ahead in [0, 1, cost, 2 * cost, 4 * cost, 6 * cost, 12 * cost, 100_000] {
            bus.0.borrow_mut().timers[0].fired = 0;
            let deadline = bus.0.borrow().counter + ahead;
            let armed = hpet.arm(0, ahead).expect("a comparator");
            let past = bus.0.borrow().counter >= deadline;
            bus.advance(200_000);
            match armed {
                Armed::Ahead => {
                    assert!(!past, "cost {cost}, {ahead} ahead: in the past, and not told");
                    assert_eq!(bus.fired(0), 1);
                }
                Armed::Now => assert!(ahead <= 6 * cost + u64::from(MIN_AHEAD), "{cost} {ahead}"),
            }
            hpet.disarm(0).expect("a comparator");
        }
    }
}

#[test]
fn a_deadline_far_away_comes_early_not_late() {
    let bus = bus(true);
    let hpet = start(&bus);
    hpet.route(0, 20, Trigger::Edge).expect("a route");
    for ahead in [1 << 31, (1 << 32) + 5, u64::MAX] {
        bus.0.borrow_mut().timers[0].fired = 0;
        assert_eq!(hpet.arm(0, ahead), Ok(Armed::Ahead));
        bus.advance(0x7FFF_FFFF);
        assert_eq!(bus.fired(0), 1, "{ahead:#x}");
    }
}

#[test]
fn periodic_ones_go_on() {
    let bus = bus(true);
    let hpet = start(&bus);
    hpet.route(0, 20, Trigger::Edge).expect("a route");
    hpet.arm_periodic(0, 14_318).expect("a comparator");
    bus.advance(14_318 * 1000);
    assert!(bus.fired(0).abs_diff(1000) <= 1, "{}", bus.fired(0));
    // And back to one-shot.
    hpet.disarm(0).expect("a comparator");
    let before = bus.fired(0);
    assert_eq!(hpet.arm(0, 50_000), Ok(Armed::Ahead));
    bus.advance(1_000_000);
    assert_eq!(bus.fired(0), before + 1);
}

#[test]
fn level_triggered_ones_are_acknowledged() {
    let bus = bus(true);
    let hpet = start(&bus);
    hpet.route(0, 20, Trigger::Level).expect("a route");
    hpet.route(1, 21, Trigger::Level).expect("a route");
    assert_eq!(hpet.acknowledge(1), Ok(false));
    for n in [0, 1] {
        hpet.arm(n, 1000).expect("a comparator");
    }
    bus.advance(2000);
    assert_eq!(bus.0.borrow().status, 0b11);
    assert_eq!((hpet.acknowledge(1), hpet.acknowledge(1)), (Ok(true), Ok(false)));
    assert_eq!(bus.0.borrow().status, 0b01, "the other one's is left");
}

/// Negative: a chip that does not offer it, and one that offers it and does not do it.
#[test]
fn legacy_replacement_is_on_when_it_was_asked_for_and_held() {
    let able = bus(true);
    let hpet = start(&able);
    assert_eq!(able.0.borrow().config & LEG_RT_CNF, 0);
    // Left over from a level-triggered use.
    hpet.route(0, 20, Trigger::Level).expect("a route");
    assert_eq!(hpet.replace_legacy(), Ok(()));
    assert_eq!(able.0.borrow().config, ENABLE_CNF | LEG_RT_CNF);
    assert_eq!(
        able.0.borrow().timers[0].config & (INT_TYPE | INT_ENB),
        0,
        "edges, and off until it is armed"
    );
    assert_eq!(hpet.arm(0, 1000), Ok(Armed::Ahead));
    able.advance(1000);
    assert_eq!(able.fired(0), 1);
    let unable = bus(true);
    unable.0.borrow_mut().capabilities &= !LEG_RT_CAP;
    assert_eq!(start(&unable).replace_legacy(), Err(HpetError::NoLegacy));
    assert_eq!(unable.0.borrow().config & LEG_RT_CNF, 0);
    let liar = bus(true);
    liar.0.borrow_mut().no_legacy = true;
    assert_eq!(start(&liar).replace_legacy(), Err(HpetError::NoLegacy));
}
