//! The driver against the model, in both modes.

use super::model::{Cpu, Page, Registers, cpu};
use super::modes::{ApicBase, Offer, Refused, choose, is_locked, switch};
use super::timer::{Divider, TimerMode};
use super::*;
use crate::arch::x86_64::line::{Polarity, Trigger};
use crate::time::calibrate::Estimate;
use crate::time::rate::Rate;

type Driver<'a> = Lapic<Page<'a>, Registers<'a>>;

fn driver(cpu: &Cpu) -> Driver<'_> {
    if cpu.chip().base >> 10 & 1 != 0 {
        Lapic::x2apic(Registers(cpu))
    } else {
        Lapic::xapic(Page(cpu), Registers(cpu))
    }
}

/// Runs a test in both modes, on an APIC that is set up.
fn in_both_modes(test: impl Fn(&Driver, &Cpu)) {
    for x2apic in [false, true] {
        let cpu = Cpu::in_mode(x2apic);
        let apic = driver(&cpu);
        assert_eq!(apic.mode(), if x2apic { Mode::X2Apic } else { Mode::XApic });
        apic.setup(0xFF, 0xFE).expect("it is set up");
        test(&apic, &cpu);
    }
}

// ---- Modes ----

#[test]
fn every_mode_is_reached_from_every_other() {
    let modes = [Mode::Disabled, Mode::XApic, Mode::X2Apic];
    for from in modes {
        for to in modes {
            let cpu = cpu();
            let msrs = Registers(&cpu);
            // The model panics on an illegal step.
            assert_eq!(switch(&msrs, from), Ok(()));
            assert_eq!(switch(&msrs, to), Ok(()), "{from:?} to {to:?}");
            let base = ApicBase::read(&msrs);
            assert_eq!((base.mode(), base.address(), base.is_boot_cpu()), (to, 0xFEE0_0000, true));
        }
    }
}

#[test]
#[should_panic(expected = "#GP: mode (1, 1) to (1, 0)")]
fn the_model_knows_the_illegal_step() {
    let cpu = Cpu::in_mode(true);
    Registers(&cpu).write(0x1B, 0xFEE0_0900);
}

#[test]
fn a_mode_bit_that_is_forgotten_is_noticed() {
    let cpu = cpu();
    cpu.chip().forgets_x2apic = true;
    let refused = Refused { wanted: Mode::X2Apic, got: Mode::XApic };
    assert_eq!(switch(&Registers(&cpu), Mode::X2Apic), Err(refused));
}

#[test]
fn a_base_elsewhere_is_found_and_kept() {
    let cpu = cpu();
    cpu.chip().base = 0x000A_BCDE_F000 | 1 << 11;
    let msrs = Registers(&cpu);
    switch(&msrs, Mode::X2Apic).expect("a mode");
    let base = ApicBase::read(&msrs);
    assert_eq!((base.address(), base.is_boot_cpu()), (0x000A_BCDE_F000, false));
    assert_eq!(ApicBase::from_bits(1 << 10).mode(), Mode::Disabled);
}

#[test]
fn the_mode_is_chosen() {
    let offer = Offer { apic: true, x2apic: true, now: Mode::XApic, locked: false, nox2apic: false };
    assert_eq!(choose(offer).0, Mode::X2Apic);
    assert_eq!(choose(Offer { x2apic: false, ..offer }).0, Mode::XApic);
    assert_eq!(choose(Offer { nox2apic: true, ..offer }).0, Mode::XApic);
    assert_eq!(choose(Offer { nox2apic: true, now: Mode::X2Apic, ..offer }).0, Mode::XApic);
    let locked = Offer { nox2apic: true, now: Mode::X2Apic, locked: true, ..offer };
    assert_eq!(choose(locked).0, Mode::X2Apic);
    assert_eq!(choose(Offer { apic: false, ..offer }).0, Mode::Disabled);
}

#[test]
fn the_lock_is_read_where_it_exists() {
    let cpu = Cpu::in_mode(true);
    assert!(!is_locked(&Registers(&cpu), true), "the status register does not exist, and is not read");
    cpu.chip().locked = true;
    assert!(is_locked(&Registers(&cpu), true));
    assert!(!is_locked(&Registers(&cpu), false), "nor the capabilities without their CPUID bit");
}

// ---- Setup ----

#[test]
fn ids_are_8_or_32_bits() {
    let cpu = Cpu::in_mode(false);
    cpu.chip().id = 0xC8;
    assert_eq!(driver(&cpu).id(), 0xC8);
    let cpu = Cpu::in_mode(true);
    cpu.chip().id = 0x0001_0203;
    assert_eq!(driver(&cpu).id(), 0x0001_0203);
}

#[test]
fn setup_takes_over_what_the_firmware_left() {
    for x2apic in [false, true] {
        let cpu = Cpu::in_mode(x2apic);
        {
            let mut chip = cpu.chip();
            chip.svr = 0x10F;
            chip.tpr = 0xF0;
            chip.in_service = [0, 0, 1 << 7 | 1, 0, 0, 0, 1 << 31, 0];
            chip.errors_pending = 0x20;
            // Vector 0, fixed, unmasked: masking this one is an error, and the error entry is open.
            chip.lvt.insert(0x350, 0);
            chip.lvt.insert(0x370, 0x33);
        }
        let apic = driver(&cpu);
        apic.setup(0xFF, 0xFE).expect("it is set up");
        {
            let chip = cpu.chip();
            assert_eq!((chip.svr, chip.tpr, chip.in_service, chip.eois), (0x1FF, 0, [0; 8], 3));
            assert_eq!(chip.error_interrupts, 0, "setup itself raised an error");
            for (&offset, &entry) in &chip.lvt {
                let want = if offset == 0x370 { 0xFE } else { entry | 1 << 16 };
                assert_eq!(entry, want, "{offset:#x}");
            }
        }
        assert_eq!(apic.take_errors(), Errors::empty(), "old errors are gone");
        apic.shut_down();
        assert_eq!(cpu.chip().svr, 0xFF);
        assert!(apic.lvt(Lvt::Error).is_masked());
    }
}

#[test]
fn bad_vectors_are_refused() {
    let cpu = cpu();
    let apic = driver(&cpu);
    assert_eq!(apic.setup(0xF0, 0xFE), Err(LvtError::Vector(0xF0)), "low bits are wired to ones");
    assert_eq!(apic.setup(0x0F, 0xFE), Err(LvtError::Vector(0x0F)));
    assert_eq!(apic.setup(0xFF, 0x0E), Err(LvtError::Vector(0x0E)));
    assert_eq!(cpu.chip().svr, 0xFF, "nothing was written");
}

// ---- The local vector table ----

#[test]
fn pins_as_the_madt_says() {
    in_both_modes(|apic, cpu| {
        apic.set_lvt(Lvt::Lint0, LvtEntry::ext_int()).expect("an entry");
        let nmi = LvtEntry::nmi().with_polarity(Polarity::Low);
        apic.set_lvt(Lvt::Lint1, nmi).expect("an entry");
        assert_eq!((cpu.get(|chip| chip.lvt[&0x350]), cpu.get(|chip| chip.lvt[&0x360])), (0x700, 0x2400));
        let level = LvtEntry::fixed(0x40).with_trigger(Trigger::Level);
        apic.set_lvt(Lvt::Lint0, level).expect("an entry");
        let entry = apic.lvt(Lvt::Lint0);
        assert_eq!((entry.vector(), entry.delivery()), (0x40, Some(Delivery::Fixed)));
        assert_eq!((entry.polarity(), entry.trigger()), (Polarity::High, Trigger::Level));
        assert_eq!(apic.set_lvt(Lvt::Lint1, level), Err(LvtError::Delivery(Lvt::Lint1)));
        apic.mask_lvt(Lvt::Lint0);
        assert_eq!(cpu.get(|chip| chip.lvt[&0x350]), 0x1_8040);
        apic.unmask_lvt(Lvt::Lint0).expect("an entry");
        assert_eq!(cpu.get(|chip| chip.lvt[&0x350]), 0x8040);
    });
}

#[test]
fn entries_deliver_what_they_can() {
    in_both_modes(|apic, cpu| {
        for lvt in [Lvt::Perf, Lvt::Thermal, Lvt::Cmci] {
            assert_eq!(apic.set_lvt(lvt, LvtEntry::nmi()), Ok(()));
            assert_eq!(apic.set_lvt(lvt, LvtEntry::fixed(0x50)), Ok(()));
            assert_eq!(apic.set_lvt(lvt, LvtEntry::ext_int()), Err(LvtError::Delivery(lvt)));
        }
        for lvt in [Lvt::Timer, Lvt::Error] {
            assert_eq!(apic.set_lvt(lvt, LvtEntry::nmi()), Err(LvtError::Delivery(lvt)));
        }
        for lvt in Lvt::ALL {
            assert_eq!(apic.set_lvt(lvt, LvtEntry::fixed(15)), Err(LvtError::Vector(15)));
            let reserved = LvtEntry::from_bits(0x300 | 0x40);
            assert_eq!(apic.set_lvt(lvt, reserved), Err(LvtError::Delivery(lvt)));
        }
        assert_eq!(cpu.get(|chip| chip.errors_pending), 0);
    });
}

#[test]
fn entries_that_do_not_exist_are_left_alone() {
    for x2apic in [false, true] {
        let cpu = Cpu::in_mode(x2apic);
        cpu.chip().max_lvt = 3;
        let apic = driver(&cpu);
        // #GP in the model, in x2APIC mode; an error in xAPIC mode.
        apic.setup(0xFF, 0xFE).expect("it is set up");
        for lvt in [Lvt::Perf, Lvt::Thermal, Lvt::Cmci] {
            assert_eq!(apic.set_lvt(lvt, LvtEntry::nmi()), Err(LvtError::Absent(lvt)));
            assert!(apic.lvt(lvt).is_masked());
        }
        assert_eq!(cpu.get(|chip| chip.errors_pending), 0);
        let version = apic.version();
        assert_eq!((version.number(), version.max_lvt(), version.has(Lvt::Lint1)), (0x15, 3, true));
    }
}

#[test]
fn entries_stay_masked_while_the_apic_is_off() {
    let cpu = cpu();
    let apic = driver(&cpu);
    apic.set_lvt(Lvt::Lint1, LvtEntry::nmi()).expect("an entry");
    assert!(apic.lvt(Lvt::Lint1).is_masked(), "which is why setup comes first");
}

// ---- Errors, ends, priorities ----

#[test]
fn errors_show_after_a_write_only() {
    in_both_modes(|apic, cpu| {
        cpu.chip().errors_shown = 0;
        cpu.chip().errors_pending = 0x60;
        assert_eq!(cpu.get(|chip| chip.errors_shown), 0, "a mere read would say that all is well");
        let errors = apic.take_errors();
        assert_eq!(errors, Errors::SENT_ILLEGAL_VECTOR | Errors::RECEIVED_ILLEGAL_VECTOR);
        assert!(errors.names().eq(["sent illegal vector", "received illegal vector"]));
        assert_eq!(apic.take_errors(), Errors::empty(), "told once");
    });
}

#[test]
fn an_eoi_ends_the_highest() {
    in_both_modes(|apic, cpu| {
        cpu.chip().in_service[1] = 1 << 3;
        cpu.chip().in_service[7] = 1 << 1;
        cpu.chip().requested[2] = 1;
        assert!(apic.is_in_service(0xE1) && apic.is_in_service(0x23) && !apic.is_in_service(0x24));
        assert!(apic.is_requested(0x40) && !apic.is_requested(0x41));
        apic.eoi();
        assert!(!apic.is_in_service(0xE1) && apic.is_in_service(0x23));
        apic.set_task_priority(4);
        assert_eq!((apic.task_priority(), cpu.chip().tpr), (4, 0x40));
    });
}

// ---- IPIs ----

#[test]
fn every_kind_of_ipi() {
    in_both_modes(|apic, cpu| {
        for (ipi, target, want) in [
            (Ipi::Fixed(0x41), Target::Cpu(3), (3, 0x0000_4041)),
            (Ipi::Nmi, Target::Cpu(0), (0, 0x0000_4400)),
            (Ipi::Init, Target::Cpu(7), (7, 0x0000_4500)),
            (Ipi::Startup(0x9F), Target::Cpu(7), (7, 0x0000_469F)),
            (Ipi::Nmi, Target::Others, (0, 0x000C_4400)),
            (Ipi::Fixed(0xF0), Target::Others, (0, 0x000C_40F0)),
            (Ipi::Fixed(0xF1), Target::All, (0, 0x0008_40F1)),
        ] {
            assert_eq!(apic.send(ipi, target), Ok(()));
            assert_eq!(cpu.chip().sent.pop(), Some(want), "{ipi:?} {target:?}");
        }
        assert_eq!(apic.send(Ipi::Fixed(0x30), Target::Own), Ok(()));
        let (id, sent) = cpu.chip().sent.pop().expect("an IPI");
        assert_eq!((id, sent & !0x4000), (0, 1 << 18 | 0x30));
        assert_eq!(apic.wait_until_sent(), Ok(()));
    });
}

#[test]
fn the_whole_id_goes_out() {
    let cpu = Cpu::in_mode(true);
    driver(&cpu).send(Ipi::Nmi, Target::Cpu(0x1234_5678)).expect("an IPI");
    assert_eq!(cpu.chip().sent, [(0x1234_5678, 0x4400)]);
    let cpu = Cpu::in_mode(false);
    driver(&cpu).send(Ipi::Nmi, Target::Cpu(0xFE)).expect("an IPI");
    assert_eq!(cpu.chip().sent, [(0xFE, 0x4400)]);
}

#[test]
fn what_cannot_be_sent_is_not() {
    in_both_modes(|apic, cpu| {
        for ipi in [Ipi::Nmi, Ipi::Init, Ipi::Startup(8)] {
            for target in [Target::Own, Target::All] {
                assert_eq!(apic.send(ipi, target), Err(IpiError::Combination));
            }
        }
        assert_eq!(apic.send(Ipi::Fixed(15), Target::Own), Err(IpiError::Vector(15)));
        for page in [0x00, 0xA0, 0xBF] {
            let sent = apic.send(Ipi::Startup(page), Target::Cpu(1));
            assert_eq!(sent, Err(IpiError::Vector(page)));
        }
        assert_eq!(cpu.chip().sent, []);
    });
}

/// Negative: an ID that is a broadcast by accident would start, or reset, every CPU.
#[test]
fn no_broadcast_by_accident() {
    let cpu = Cpu::in_mode(false);
    for id in [0xFF, 0x100, 0x1FF, u32::MAX] {
        assert_eq!(driver(&cpu).send(Ipi::Init, Target::Cpu(id)), Err(IpiError::Target(id)));
    }
    assert_eq!(cpu.chip().sent, []);
    let cpu = Cpu::in_mode(true);
    assert_eq!(driver(&cpu).send(Ipi::Init, Target::Cpu(0xFF)), Ok(()));
    let all = driver(&cpu).send(Ipi::Init, Target::Cpu(u32::MAX));
    assert_eq!(all, Err(IpiError::Target(u32::MAX)));
    assert_eq!(cpu.chip().sent, [(0xFF, 0x4500)]);
}

#[test]
fn an_ipi_waits_for_the_one_before() {
    let cpu = Cpu::in_mode(false);
    let apic = driver(&cpu);
    cpu.chip().delivery = Some(500);
    for n in 0..10 {
        // The model panics if either half of the ICR is written too early.
        apic.send(Ipi::Nmi, Target::Cpu(n)).expect("an IPI");
    }
    assert_eq!(cpu.chip().sent.len(), 10);
    assert!(cpu.chip().icr_reads >= 9 * 500);
}

#[test]
fn a_stuck_ipi_ends_the_wait() {
    let cpu = Cpu::in_mode(false);
    let apic = driver(&cpu);
    cpu.chip().delivery = None;
    apic.send(Ipi::Nmi, Target::Cpu(1)).expect("an IPI");
    assert_eq!(apic.send(Ipi::Nmi, Target::Cpu(2)), Err(IpiError::Busy));
    assert!(cpu.chip().icr_reads <= SPINS + 1);
    assert_eq!(cpu.chip().sent.len(), 1);
}

// ---- The timer ----

#[test]
fn one_shot_fires_once_and_periodic_again() {
    in_both_modes(|apic, cpu| {
        apic.timer_setup(TimerMode::OneShot, 0x40, Divider::By16).expect("a timer");
        assert_eq!((cpu.get(|chip| chip.lvt[&0x320]), cpu.get(|chip| chip.divide)), (0x40, 0b0011));
        cpu.chip().advance(1000);
        assert_eq!(cpu.get(|chip| chip.fired), 0, "set up is not armed");
        apic.timer_arm(100);
        cpu.chip().advance(99);
        assert_eq!((apic.timer_count(), cpu.get(|chip| chip.fired)), (1, 0));
        cpu.chip().advance(500);
        assert_eq!((apic.timer_count(), cpu.get(|chip| chip.fired)), (0, 1));

        apic.timer_setup(TimerMode::Periodic, 0x41, Divider::By1).expect("a timer");
        // Periodic is 20000h; 10000h is the mask.
        assert_eq!((cpu.get(|chip| chip.lvt[&0x320]), cpu.get(|chip| chip.divide)), (0x2_0041, 0b1011));
        apic.timer_arm(100);
        cpu.chip().advance(1000);
        assert_eq!(cpu.get(|chip| chip.fired), 11);
        apic.timer_disarm();
        cpu.chip().advance(1000);
        assert_eq!(cpu.get(|chip| chip.fired), 11);
    });
}

#[test]
fn deadlines() {
    in_both_modes(|apic, cpu| {
        apic.timer_setup(TimerMode::OneShot, 0x40, Divider::By1).expect("a timer");
        apic.timer_arm(50);
        apic.timer_setup(TimerMode::TscDeadline, 0x42, Divider::By1).expect("a timer");
        assert_eq!(cpu.get(|chip| chip.lvt[&0x320]), 0x4_0042);
        cpu.chip().advance(1000);
        assert_eq!(cpu.get(|chip| chip.fired), 0, "the one-shot is forgotten");
        let now = cpu.get(|chip| chip.tsc);
        apic.timer_arm_deadline(now + 10);
        cpu.chip().advance(9);
        assert_eq!(cpu.get(|chip| chip.fired), 0);
        cpu.chip().advance(100);
        assert_eq!(cpu.get(|chip| chip.fired), 1);
        apic.timer_arm_deadline(now);
        cpu.chip().advance(1);
        assert_eq!(cpu.get(|chip| chip.fired), 2, "past already: at once");
        apic.timer_arm_deadline(now + 10_000);
        apic.timer_disarm();
        cpu.chip().advance(20_000);
        assert_eq!(cpu.get(|chip| chip.fired), 2);
        // And back.
        apic.timer_arm_deadline(u64::MAX);
        apic.timer_setup(TimerMode::OneShot, 0x40, Divider::By1).expect("a timer");
        assert_eq!((cpu.get(|chip| chip.deadline), apic.timer_count()), (0, 0));
        apic.timer_arm(5);
        cpu.chip().advance(5);
        assert_eq!(cpu.get(|chip| chip.fired), 3);
    });
}

/// Negative: 0 means "off" to the chip, and a timer that is due would never fire.
#[test]
fn a_timer_that_is_due_fires() {
    in_both_modes(|apic, cpu| {
        apic.timer_setup(TimerMode::OneShot, 0x40, Divider::By1).expect("a timer");
        apic.timer_arm(0);
        cpu.chip().advance(1);
        assert_eq!(cpu.get(|chip| chip.fired), 1);
        apic.timer_setup(TimerMode::TscDeadline, 0x40, Divider::By1).expect("a timer");
        apic.timer_arm_deadline(0);
        cpu.chip().advance(1);
        assert_eq!(cpu.get(|chip| chip.fired), 2);
    });
}

#[test]
#[should_panic(expected = "the deadline overtakes the LVT entry")]
fn the_model_knows_the_missing_fence() {
    let cpu = Cpu::in_mode(false);
    let apic = driver(&cpu);
    apic.setup(0xFF, 0xFE).expect("it is set up");
    let entry = LvtEntry::fixed(0x40).with_timer_mode(1 << 18);
    apic.set_lvt(Lvt::Timer, entry).expect("an entry");
    apic.timer_arm_deadline(5);
}

#[test]
fn dividers_are_coded_as_the_manual_says() {
    let codes = [0b1011, 0b0000, 0b0001, 0b0010, 0b0011, 0b1000, 0b1001, 0b1010];
    for (divider, code) in Divider::ALL.into_iter().zip(codes) {
        let cpu = cpu();
        driver(&cpu).timer_setup(TimerMode::OneShot, 0x40, divider).expect("a timer");
        assert_eq!(cpu.get(|chip| chip.divide), code, "{divider:?}");
    }
    assert_eq!(Divider::ALL.map(Divider::factor), [1, 2, 4, 8, 16, 32, 64, 128]);
}

#[test]
fn its_rate_is_measured() {
    in_both_modes(|apic, cpu| {
        apic.timer_free_run(Divider::By16).expect("a timer");
        let clock = Rate::from_hz(1_000_000).expect("a rate");
        // 100 ticks of ours to one of the clock's.
        let first = apic.timer_elapsed();
        cpu.chip().advance(1_000_000);
        let passed = apic.timer_elapsed() - first;
        let found = Estimate::between(passed, 10_000, [0; 2], clock).expect("a measurement");
        assert_eq!((found.rate.hz(), cpu.get(|chip| chip.fired)), (100_000_000, 0));
        assert!(found.error_ppm() <= 103, "{found:?}");
        assert_eq!(cpu.get(|chip| chip.errors_pending), 0);
    });
}
