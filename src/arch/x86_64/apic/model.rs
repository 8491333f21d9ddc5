//! A local APIC for the host tests: both doors to its registers, its modes, and a panic for every #GP.
//!
//! Source: as for the driver; the #GPs are those of Intel SDM vol. 3 §10.12.1.3 and §10.12.5.

use crate::arch::x86_64::access::{Mmio32, Msrs};
use crate::arch::x86_64::msr::numbers;
use std::cell::{RefCell, RefMut};
use std::collections::BTreeMap;
use std::vec::Vec;

const LVTS: [u32; 7] = [0x320, 0x2F0, 0x330, 0x340, 0x350, 0x360, 0x370];

pub struct Chip {
    pub base: u64,
    /// As QEMU before 9.0: the bit is taken without a fault, and forgotten.
    pub forgets_x2apic: bool,
    pub locked: bool,
    pub id: u32,
    pub max_lvt: u32,
    pub tpr: u32,
    pub svr: u32,
    pub in_service: [u32; 8],
    pub requested: [u32; 8],
    pub lvt: BTreeMap<u32, u32>,
    pub errors_pending: u32,
    pub errors_shown: u32,
    pub error_interrupts: u32,
    pub eois: u32,
    /// Reads of the ICR until the last IPI is out; `None`: never.
    pub delivery: Option<u32>,
    pub busy: u32,
    pub icr_high: u32,
    pub icr_reads: u32,
    /// Destination, command: self-IPIs in x2APIC mode have 1 << 18 as in the ICR.
    pub sent: Vec<(u32, u32)>,
    pub initial: u32,
    pub current: u32,
    pub divide: u32,
    pub tsc: u64,
    pub deadline: u64,
    pub fired: u32,
    fenced: bool,
    lvt_fenced: bool,
}

pub struct Cpu(RefCell<Chip>);

/// What a driver gets as the page of xAPIC mode, and as the MSRs.
pub struct Page<'a>(pub &'a Cpu);
pub struct Registers<'a>(pub &'a Cpu);

/// The boot CPU after a reset, APIC ID 5.
pub fn cpu() -> Cpu {
    Cpu(RefCell::new(Chip {
        base: 0xFEE0_0000 | 1 << 11 | 1 << 8,
        forgets_x2apic: false,
        locked: false,
        id: 5,
        max_lvt: 6,
        tpr: 0,
        svr: 0xFF,
        in_service: [0; 8],
        requested: [0; 8],
        lvt: LVTS.iter().map(|&offset| (offset, 1 << 16)).collect(),
        errors_pending: 0,
        errors_shown: 0,
        error_interrupts: 0,
        eois: 0,
        delivery: Some(3),
        busy: 0,
        icr_high: 0,
        icr_reads: 0,
        sent: Vec::new(),
        initial: 0,
        current: 0,
        divide: 0,
        tsc: 1_000_000,
        deadline: 0,
        fired: 0,
        fenced: false,
        lvt_fenced: true,
    }))
}

impl Cpu {
    pub fn chip(&self) -> RefMut<'_, Chip> {
        self.0.borrow_mut()
    }

    /// For two looks in one expression.
    pub fn get<T>(&self, look: impl Fn(&Chip) -> T) -> T {
        look(&self.0.borrow())
    }

    pub fn in_mode(x2apic: bool) -> Self {
        let cpu = cpu();
        if x2apic {
            cpu.chip().base |= 1 << 10;
        }
        cpu
    }
}

fn exists(offset: u32, max_lvt: u32) -> bool {
    match offset {
        0x340 => max_lvt >= 4,
        0x330 => max_lvt >= 5,
        0x2F0 => max_lvt >= 6,
        _ => true,
    }
}

impl Chip {
    fn x2apic(&self) -> bool {
        self.base >> 10 & 1 != 0
    }

    fn write_base(&mut self, value: u64) {
        let mode = |base: u64| (base >> 11 & 1, base >> 10 & 1);
        assert_eq!(value & !0x000F_FFFF_FFFF_FD00, 0, "#GP: reserved bits");
        match (mode(self.base), mode(value)) {
            (from, to) if from == to => {}
            ((0, 0), (1, 0)) | ((1, 0), (1, 1) | (0, 0)) => {}
            ((1, 1), (0, 0)) if !self.locked => {}
            (from, to) => panic!("#GP: mode {from:?} to {to:?}"),
        }
        let forget = if self.forgets_x2apic { 1 << 10 } else { 0 };
        self.base = value & !forget;
        if mode(value) == (0, 0) {
            (self.svr, self.tpr) = (0xFF, 0);
            for entry in self.lvt.values_mut() {
                *entry = 1 << 16;
            }
        }
    }

    fn error(&mut self, bits: u32) {
        self.errors_pending |= bits;
        if self.svr & 0x100 != 0 && self.lvt[&0x370] & 1 << 16 == 0 {
            self.error_interrupts += 1;
        }
    }

    fn timer_mode(&self) -> u32 {
        self.lvt[&0x320] >> 17 & 3
    }

    fn fire(&mut self) {
        if self.lvt[&0x320] & 1 << 16 == 0 {
            self.fired += 1;
        }
    }

    /// Time goes by: ticks of the divided clock and of the TSC alike.
    pub fn advance(&mut self, ticks: u32) {
        for _ in 0..ticks {
            self.tsc += 1;
            if self.timer_mode() == 2 {
                if self.deadline != 0 && self.tsc >= self.deadline {
                    self.deadline = 0;
                    self.fire();
                }
            } else if self.current > 0 {
                self.current -= 1;
                if self.current == 0 {
                    self.current = if self.timer_mode() == 1 { self.initial } else { 0 };
                    self.fire();
                }
            }
        }
    }

    fn read(&mut self, offset: u32) -> u32 {
        match offset {
            0x020 => self.id << if self.x2apic() { 0 } else { 24 },
            0x030 => self.max_lvt << 16 | 0x15,
            0x080 => self.tpr,
            0x0F0 => self.svr,
            0x100..=0x170 => self.in_service[(offset - 0x100) as usize >> 4],
            0x200..=0x270 => self.requested[(offset - 0x200) as usize >> 4],
            0x280 => self.errors_shown,
            0x300 => {
                self.icr_reads += 1;
                self.busy = self.busy.saturating_sub(1);
                let last = self.sent.last().map_or(0, |sent| sent.1);
                last | u32::from(self.busy > 0) << 12
            }
            0x310 if !self.x2apic() => self.icr_high,
            0x380 => self.initial,
            0x390 if self.timer_mode() == 2 => 0,
            0x390 => self.current,
            0x3E0 => self.divide,
            _ if LVTS.contains(&offset) && exists(offset, self.max_lvt) => self.lvt[&offset],
            _ if self.x2apic() => panic!("#GP: read of register {offset:#x}"),
            _ => {
                self.error(1 << 7);
                0
            }
        }
    }

    fn write(&mut self, offset: u32, value: u32) {
        let zero_only = |what| assert!(value == 0 || !self.x2apic(), "#GP: {what} {value:#x}");
        match offset {
            0x080 => self.tpr = value,
            0x0B0 => {
                zero_only("EOI");
                self.eois += 1;
                if let Some(word) = self.in_service.iter_mut().rev().find(|word| **word != 0) {
                    *word &= !(1 << word.ilog2());
                }
            }
            0x0F0 => {
                assert_eq!(value & !0x1FF, 0, "SVR {value:#x}");
                self.svr = value;
                if value & 0x100 == 0 {
                    for entry in self.lvt.values_mut() {
                        *entry |= 1 << 16;
                    }
                }
            }
            0x280 => {
                zero_only("ESR");
                self.errors_shown = core::mem::take(&mut self.errors_pending);
            }
            0x310 if !self.x2apic() => {
                assert_eq!(self.busy, 0, "ICR written while an IPI is under way");
                self.icr_high = value;
            }
            0x300 if !self.x2apic() => {
                assert_eq!(self.busy, 0, "ICR written while an IPI is under way");
                self.sent.push((self.icr_high >> 24, value));
                self.busy = self.delivery.unwrap_or(u32::MAX);
            }
            0x380 => {
                if self.timer_mode() != 2 {
                    (self.initial, self.current) = (value, value);
                }
            }
            0x3E0 => {
                assert_eq!(value & !0b1011, 0, "divide configuration {value:#x}");
                self.divide = value;
            }
            _ if LVTS.contains(&offset) && exists(offset, self.max_lvt) => self.write_lvt(offset, value),
            _ if self.x2apic() => panic!("#GP: write of register {offset:#x}"),
            _ => self.error(1 << 7),
        }
    }

    fn write_lvt(&mut self, offset: u32, value: u32) {
        let reserved = match offset {
            0x320 => !0x0007_10FF,
            0x370 => !0x0001_10FF,
            0x350 | 0x360 => !0x0001_F7FF,
            _ => !0x0001_17FF_u32,
        };
        assert_eq!(value & reserved, 0, "#GP: LVT {offset:#x} = {value:#x}");
        let old_mode = self.timer_mode();
        let forced = if self.svr & 0x100 == 0 { 1 << 16 } else { 0 };
        self.lvt.insert(offset, value | forced);
        if offset == 0x320 {
            self.lvt_fenced = false;
            if (self.timer_mode() == 2) != (old_mode == 2) {
                (self.initial, self.current, self.deadline) = (0, 0, 0);
            }
        }
        if value & 0x700 == 0 && value & 0xFF < 16 {
            self.error(1 << 6);
        }
    }
}

impl Mmio32 for Page<'_> {
    fn read(&self, offset: u32) -> u32 {
        let mut chip = self.0.chip();
        assert_eq!(chip.base >> 10 & 3, 2, "not in xAPIC mode");
        chip.read(offset)
    }

    fn write(&self, offset: u32, value: u32) {
        let mut chip = self.0.chip();
        assert_eq!(chip.base >> 10 & 3, 2, "not in xAPIC mode");
        chip.fenced = false;
        chip.write(offset, value);
    }
}

impl Msrs for Registers<'_> {
    fn read(&self, n: u32) -> u64 {
        let mut chip = self.0.chip();
        match n {
            numbers::IA32_APIC_BASE => chip.base,
            0x10A => u64::from(chip.locked) << 21,
            0xBD => {
                assert!(chip.locked, "#GP: MSR 0xbd");
                1
            }
            0x6E0 => chip.deadline,
            0x800..=0x83F => {
                assert_eq!(chip.base >> 10 & 3, 3, "#GP: not in x2APIC mode");
                u64::from(chip.read((n - 0x800) << 4))
            }
            _ => panic!("#GP: read of MSR {n:#x}"),
        }
    }

    fn write(&self, n: u32, value: u64) {
        let mut chip = self.0.chip();
        let fenced = core::mem::replace(&mut chip.fenced, false);
        match n {
            numbers::IA32_APIC_BASE => chip.write_base(value),
            0x6E0 => {
                assert!(chip.lvt_fenced, "the deadline overtakes the LVT entry");
                if chip.timer_mode() == 2 {
                    chip.deadline = value;
                }
            }
            0x800..=0x83F => {
                assert_eq!(chip.base >> 10 & 3, 3, "#GP: not in x2APIC mode");
                let narrow = u32::try_from(value);
                match n {
                    0x830 => {
                        assert!(fenced, "the IPI overtakes earlier stores");
                        assert_eq!(value & 0x0003_2000 & !(3 << 18), 0, "#GP: ICR {value:#x}");
                        chip.sent.push(((value >> 32) as u32, value as u32));
                    }
                    0x83F => {
                        assert!(fenced, "the IPI overtakes earlier stores");
                        chip.sent.push((0, 1 << 18 | narrow.expect("#GP: upper half")));
                    }
                    _ => chip.write((n - 0x800) << 4, narrow.expect("#GP: upper half")),
                }
            }
            _ => panic!("#GP: write of MSR {n:#x}"),
        }
    }

    fn fence(&self) {
        let mut chip = self.0.chip();
        chip.fenced = true;
        chip.lvt_fenced = true;
    }
}
