//! The FADT ("FACP"): the registers of ACPI's fixed hardware, how to reset, and where the DSDT is.
//!
//! The table grew from 116 bytes (1.0) over 244 (2.0 to 4.0) and 268 (5.0) to 276 (6.0), and firmware exists
//! with any length in between and any revision number on it. So the length alone decides which fields there
//! are; one that is not wholly in the table is as if it were 0. The revision only decides about bits that used
//! to be reserved.
//!
//! Source: ACPI 6.5 §5.2.9 Fixed ACPI Description Table, table 5.9; §4.8.3 for the registers.

mod registers;

use super::bytes::{u8_at, u16_at, u32_at, u64_at};
use super::gas::{Gas, Space};
use super::sdt::{Signature, Table, TableError};
pub use registers::{Block, PmTimer, Reset};
use registers::{PM_TIMER_LEN, block};

/// Bytes of the oldest layout; the flags end there.
const SIZE_1: usize = 116;
/// Revision of ACPI 2.0's table, the first with IAPC_BOOT_ARCH.
const REVISION_2_0: u8 = 3;
/// Revision of ACPI 5.0's table, the first with hardware-reduced machines.
const REVISION_5_0: u8 = 5;

bitflags::bitflags! {
    /// Fixed feature flags, table 5.10.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Flags: u32 {
        const WBINVD = 1 << 0;
        const WBINVD_FLUSH = 1 << 1;
        const PROC_C1 = 1 << 2;
        const P_LVL2_UP = 1 << 3;
        /// The power button is no fixed feature: PM1 does not report it.
        const PWR_BUTTON = 1 << 4;
        /// The same for the sleep button.
        const SLP_BUTTON = 1 << 5;
        const FIX_RTC = 1 << 6;
        const RTC_S4 = 1 << 7;
        /// The PM timer has 32 bits, not 24.
        const TMR_VAL_EXT = 1 << 8;
        const DCK_CAP = 1 << 9;
        /// The reset register is there.
        const RESET_REG_SUP = 1 << 10;
        const SEALED_CASE = 1 << 11;
        const HEADLESS = 1 << 12;
        const CPU_SW_SLP = 1 << 13;
        const PCI_EXP_WAK = 1 << 14;
        const USE_PLATFORM_CLOCK = 1 << 15;
        const S4_RTC_STS_VALID = 1 << 16;
        const REMOTE_POWER_ON_CAPABLE = 1 << 17;
        /// Logical destinations must be in the cluster model.
        const FORCE_APIC_CLUSTER_MODEL = 1 << 18;
        /// Destinations must be physical.
        const FORCE_APIC_PHYSICAL_DESTINATION = 1 << 19;
        /// There is no fixed hardware; see [`Fadt::is_hw_reduced`].
        const HW_REDUCED_ACPI = 1 << 20;
        const LOW_POWER_S0_IDLE_CAPABLE = 1 << 21;
    }

    /// IAPC_BOOT_ARCH: what of the PC's old hardware there is, table 5.11.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct BootArch: u16 {
        /// There are devices on an ISA or LPC bus.
        const LEGACY_DEVICES = 1 << 0;
        /// There is an 8042, the keyboard controller.
        const HAS_8042 = 1 << 1;
        const NO_VGA = 1 << 2;
        const NO_MSI = 1 << 3;
        const NO_ASPM = 1 << 4;
        /// There is no RTC at the usual ports.
        const NO_CMOS_RTC = 1 << 5;
    }
}

/// The table, decoded. Where a register was stated twice, the newer field was taken if it makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fadt {
    pub revision: u8,
    /// The second number of ACPI's version; 0 before 5.1.
    pub minor_revision: u8,
    /// Bytes of the table.
    pub length: usize,
    /// Physical address of the FACS; 0 if there is none.
    pub facs: u64,
    /// Physical address of the DSDT; 0 if there is none.
    pub dsdt: u64,
    /// 1 desktop, 2 mobile, 4 server and so on, table 5.9.
    pub preferred_profile: u8,
    /// The system control interrupt: an ISA line for the MADT's overrides, else a GSI.
    pub sci_int: u16,
    /// Port that takes the commands below; 0: ACPI mode is always on.
    pub smi_cmd: u32,
    /// Written to SMI_CMD to enter ACPI mode.
    pub acpi_enable: u8,
    /// Written to SMI_CMD to leave it.
    pub acpi_disable: u8,
    /// PM1 status and enable registers, half of the block each.
    pub pm1a_event: Option<Block>,
    pub pm1b_event: Option<Block>,
    /// PM1 control registers: SCI_EN, SLP_TYP, SLP_EN.
    pub pm1a_control: Option<Block>,
    pub pm1b_control: Option<Block>,
    pub pm2_control: Option<Block>,
    pub pm_timer: Option<PmTimer>,
    /// General-purpose event status and enable registers, half of the block each.
    pub gpe0: Option<Block>,
    pub gpe1: Option<Block>,
    /// The first event number of `gpe1`.
    pub gpe1_base: u8,
    /// Index in the CMOS of the RTC's century; 0: it has none.
    pub century: u8,
    /// `None`: the table is too old to say; everything that a PC had is there.
    pub boot_arch: Option<BootArch>,
    pub flags: Flags,
    /// How to reset; `None` unless the flags say that the register is there and a space is one that it may be in.
    pub reset: Option<Reset>,
    /// Of hardware-reduced machines, in place of PM1 control and status.
    pub sleep_control: Option<Gas>,
    pub sleep_status: Option<Gas>,
}

impl Fadt {
    pub fn parse(table: &Table) -> Result<Self, TableError> {
        let raw = table.expect(Signature::FADT, SIZE_1)?;
        let byte = |at| u8_at(raw, at).unwrap_or(0);
        let word = |at| u16_at(raw, at).unwrap_or(0);
        let dword = |at| u32_at(raw, at).unwrap_or(0);
        // A physical address that stands in the table twice: the 64-bit one counts unless it is 0.
        let address = |old, new| match u64_at(raw, new) {
            None | Some(0) => u64::from(dword(old)),
            Some(address) => address,
        };
        let revision = table.revision();
        let flags = Flags::from_bits_retain(dword(112));
        let sleep = |at| Gas::at(raw, at).filter(|gas| revision >= REVISION_5_0 && gas.is_reachable(1));
        let timer = block(raw, 76, 208, PM_TIMER_LEN, PM_TIMER_LEN);
        Ok(Self {
            revision,
            minor_revision: byte(131) & 0xF,
            length: raw.len(),
            facs: address(36, 132),
            dsdt: address(40, 140),
            preferred_profile: byte(45),
            sci_int: word(46),
            smi_cmd: dword(48),
            acpi_enable: byte(52),
            acpi_disable: byte(53),
            pm1a_event: block(raw, 56, 148, byte(88), 4),
            pm1b_event: block(raw, 60, 160, byte(88), 4),
            pm1a_control: block(raw, 64, 172, byte(89), 2),
            pm1b_control: block(raw, 68, 184, byte(89), 2),
            pm2_control: block(raw, 72, 196, byte(90), 1),
            // A PM_TMR_LEN of 0 says that there is none; any other value was always meant to be 4.
            pm_timer: timer.filter(|_| byte(91) != 0).map(|found| PmTimer {
                register: found.register,
                is_32_bit: flags.contains(Flags::TMR_VAL_EXT),
            }),
            gpe0: block(raw, 80, 220, byte(92), 2),
            gpe1: block(raw, 84, 232, byte(93), 2),
            gpe1_base: byte(94),
            century: byte(108),
            boot_arch: (revision >= REVISION_2_0).then(|| BootArch::from_bits_retain(word(109))),
            flags,
            reset: Reset::parse(raw).filter(|_| flags.contains(Flags::RESET_REG_SUP)),
            sleep_control: sleep(244),
            sleep_status: sleep(256),
        })
    }

    /// Whether PM1, the PM timer and SMI_CMD do not exist. The bit was reserved before ACPI 5.0.
    pub const fn is_hw_reduced(&self) -> bool {
        self.revision >= REVISION_5_0 && self.flags.contains(Flags::HW_REDUCED_ACPI)
    }

    /// Whether there is a keyboard controller, as far as the table knows.
    pub fn has_8042(&self) -> bool {
        self.boot_arch.is_none_or(|found| found.contains(BootArch::HAS_8042))
    }

    /// Whether the PM1 event block reports the power button.
    pub const fn has_power_button(&self) -> bool {
        !self.is_hw_reduced() && !self.flags.contains(Flags::PWR_BUTTON)
    }
}

impl Reset {
    fn parse(raw: &[u8]) -> Option<Self> {
        let (register, value) = (Gas::at(raw, 116)?, u8_at(raw, 128)?);
        let usable = match register.space {
            Space::Memory | Space::Io => register.is_reachable(1),
            Space::PciConfig => register.pci().is_some(),
            _ => false,
        };
        usable.then_some(Self { register, value })
    }
}

#[cfg(test)]
mod tests;
