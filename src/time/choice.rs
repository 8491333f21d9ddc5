//! Which counter becomes the clock, which one it is measured and watched by, and the reason in words.
//!
//! [`choose`] is asked once all counters were looked at, and again when the watchdog found the TSC astray, or the CPUs'
//! TSCs turned out to show different times.
//! The TSC is worth much, as a read costs some ten cycles and the others a trip over the bus: it is taken
//! unless something speaks against it, also where CPUID does not promise that its rate is constant, but then
//! it is watched ([`super::watchdog`]).
//!
//! Source: Intel SDM vol. 3 §17.17.1 Invariant TSC; IA-PC HPET Specification 1.0a §2.3.4
//! (COUNTER_CLK_PERIOD).

use core::fmt;

use super::counter::Source;

/// The TSC, as found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tsc {
    Absent,
    /// `states_rate`: CPUID or the hypervisor say how fast it is, so that nothing has to measure it.
    Present {
        invariant: bool,
        states_rate: bool,
    },
    /// It was measured without success, or does not count.
    Unmeasured,
    /// The watchdog found it off its rate.
    Strayed,
    /// Not the same on all CPUs.
    Skewed,
}

/// The HPET, as found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hpet {
    Absent,
    /// There is one; it is not to be touched (`nohpet`).
    Untouched,
    /// No clock can have the period, in femtoseconds, that its register says: see [`is_hpet_period`].
    BadPeriod(u64),
    /// Switched on, it does not count.
    Stuck,
    Present {
        width_bits: u32,
    },
}

/// All that may count, as found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    pub tsc: Tsc,
    pub hpet: Hpet,
    /// Its width, 24 or 32 bits.
    pub pm_timer: Option<u32>,
    pub pit: bool,
    /// The option `nohpet`.
    pub nohpet: bool,
    /// The option `notsc`.
    pub notsc: bool,
}

/// Whether an HPET may say this: not zero, at most 100 ns (the specification), at least 0.1 ns (sense).
pub const fn is_hpet_period(period_fs: u64) -> bool {
    matches!(period_fs, 100_000..=100_000_000)
}

impl Found {
    /// Why the source is not to be used; `None` if it can be.
    fn objection(&self, source: Source) -> Option<Objection> {
        match source {
            Source::Tsc => match self.tsc {
                Tsc::Absent => Some(Objection::Absent),
                _ if self.notsc => Some(Objection::Option("notsc")),
                Tsc::Strayed => Some(Objection::Strayed),
                Tsc::Skewed => Some(Objection::Skewed),
                Tsc::Unmeasured => Some(Objection::Unmeasurable),
                Tsc::Present { states_rate: false, .. } if self.measure().is_none() => {
                    Some(Objection::Unmeasurable)
                }
                Tsc::Present { .. } => None,
            },
            Source::Hpet => match self.hpet {
                Hpet::Absent => Some(Objection::Absent),
                _ if self.nohpet => Some(Objection::Option("nohpet")),
                Hpet::Untouched => Some(Objection::Absent),
                Hpet::BadPeriod(period_fs) => Some(Objection::BadPeriod(period_fs)),
                Hpet::Stuck => Some(Objection::Stuck),
                Hpet::Present { .. } => None,
            },
            Source::PmTimer => self.pm_timer.is_none().then_some(Objection::Absent),
            Source::Pit => (!self.pit).then_some(Objection::Absent),
        }
    }

    /// The best counter of known rate: what others are measured by.
    pub fn measure(&self) -> Option<Source> {
        [Source::Hpet, Source::PmTimer, Source::Pit].into_iter().find(|&s| self.objection(s).is_none())
    }

    /// The best counter that the TSC can be watched by. The PIT cannot: it wraps within 55 ms.
    fn watch(&self) -> Option<Source> {
        [Source::Hpet, Source::PmTimer].into_iter().find(|&s| self.objection(s).is_none())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Objection {
    Absent,
    Option(&'static str),
    Strayed,
    Skewed,
    Unmeasurable,
    BadPeriod(u64),
    Stuck,
}

impl fmt::Display for Objection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("absent"),
            Self::Option(option) => write!(f, "off by {option}"),
            Self::Strayed => f.write_str("strayed"),
            Self::Skewed => f.write_str("differs between CPUs"),
            Self::Unmeasurable => f.write_str("of unknown rate"),
            Self::BadPeriod(period_fs) => write!(f, "of impossible period ({period_fs} fs)"),
            Self::Stuck => f.write_str("stuck"),
        }
    }
}

/// What [`choose`] chose. Printed, it is the reason: for the boot line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The clock.
    pub clock: Source,
    /// What its rate is measured by; `None` if that is known.
    pub measured_by: Option<Source>,
    /// What it has to be watched by.
    pub watched_by: Option<Source>,
    found: Found,
}

/// The best clock there is; `None` on a machine without any.
pub fn choose(found: &Found) -> Option<Choice> {
    let clock = [Source::Tsc, Source::Hpet, Source::PmTimer, Source::Pit]
        .into_iter()
        .find(|&source| found.objection(source).is_none())?;
    let (measured_by, watched_by) = match (clock, found.tsc) {
        (Source::Tsc, Tsc::Present { invariant, states_rate }) => {
            (if states_rate { None } else { found.measure() }, if invariant { None } else { found.watch() })
        }
        _ => (None, None),
    };
    Some(Choice { clock, measured_by, watched_by, found: *found })
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = &self.found;
        match self.clock {
            Source::Tsc => {
                let invariant = matches!(found.tsc, Tsc::Present { invariant: true, .. });
                f.write_str(if invariant { "TSC, invariant" } else { "TSC, not invariant" })?;
                match self.measured_by {
                    Some(by) => write!(f, ", measured by {by}")?,
                    None => f.write_str(", rate stated by the CPU")?,
                }
                match self.watched_by {
                    Some(by) => write!(f, ", watched by {by}"),
                    None if invariant => Ok(()),
                    None => f.write_str(", with nothing to watch it by"),
                }
            }
            other => {
                f.write_str(other.name())?;
                if let Some(bits) = match (other, found.hpet) {
                    (Source::Hpet, Hpet::Present { width_bits }) => Some(width_bits),
                    (Source::PmTimer, _) => found.pm_timer,
                    _ => None,
                } {
                    write!(f, ", {bits} bits")?;
                }
                let mut separator = ": ";
                for better in [Source::Tsc, Source::Hpet, Source::PmTimer] {
                    let Some(objection) = found.objection(better) else { break };
                    write!(f, "{separator}{better} {objection}")?;
                    separator = ", ";
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    const ALL: Found = Found {
        tsc: Tsc::Present { invariant: true, states_rate: false },
        hpet: Hpet::Present { width_bits: 64 },
        pm_timer: Some(24),
        pit: true,
        nohpet: false,
        notsc: false,
    };
    const NOT_INVARIANT: Tsc = Tsc::Present { invariant: false, states_rate: false };

    #[test]
    fn the_boot_line_says_what_and_why() {
        let no_hpet = Found { hpet: Hpet::Absent, ..ALL };
        let bare = Found { hpet: Hpet::Absent, pm_timer: None, ..ALL };
        for (found, words) in [
            (ALL, "TSC, invariant, measured by HPET"),
            (
                Found { tsc: Tsc::Present { invariant: true, states_rate: true }, ..ALL },
                "TSC, invariant, rate stated by the CPU",
            ),
            (Found { tsc: NOT_INVARIANT, ..ALL }, "TSC, not invariant, measured by HPET, watched by HPET"),
            (
                Found { tsc: NOT_INVARIANT, nohpet: true, ..ALL },
                "TSC, not invariant, measured by PM timer, watched by PM timer",
            ),
            (
                Found { tsc: NOT_INVARIANT, ..bare },
                "TSC, not invariant, measured by PIT, with nothing to watch it by",
            ),
            (Found { tsc: Tsc::Strayed, ..ALL }, "HPET, 64 bits: TSC strayed"),
            (Found { tsc: Tsc::Skewed, ..ALL }, "HPET, 64 bits: TSC differs between CPUs"),
            (Found { tsc: Tsc::Unmeasured, ..ALL }, "HPET, 64 bits: TSC of unknown rate"),
            (
                Found { tsc: Tsc::Strayed, hpet: Hpet::Untouched, nohpet: true, ..ALL },
                "PM timer, 24 bits: TSC strayed, HPET off by nohpet",
            ),
            (Found { notsc: true, ..ALL }, "HPET, 64 bits: TSC off by notsc"),
            (
                Found { notsc: true, nohpet: true, ..ALL },
                "PM timer, 24 bits: TSC off by notsc, HPET off by nohpet",
            ),
            (
                Found { tsc: Tsc::Absent, notsc: true, ..no_hpet },
                "PM timer, 24 bits: TSC absent, HPET absent",
            ),
            (
                Found { notsc: true, hpet: Hpet::BadPeriod(0), ..bare },
                "PIT: TSC off by notsc, HPET of impossible period (0 fs), PM timer absent",
            ),
            (
                Found { tsc: Tsc::Strayed, hpet: Hpet::Stuck, ..bare },
                "PIT: TSC strayed, HPET stuck, PM timer absent",
            ),
        ] {
            assert_eq!(choose(&found).unwrap().to_string(), words);
        }
    }

    #[test]
    fn a_tsc_that_nothing_can_measure_is_no_clock() {
        let alone = Found { hpet: Hpet::Absent, pm_timer: None, pit: false, ..ALL };
        assert_eq!(choose(&alone), None);
        let stated = Found { tsc: Tsc::Present { invariant: false, states_rate: true }, ..alone };
        let choice = choose(&stated).unwrap();
        assert_eq!((choice.clock, choice.measured_by, choice.watched_by), (Source::Tsc, None, None));
    }

    /// Over all machines: what is chosen was there and allowed, nothing better was, and nothing watches
    /// itself.
    #[test]
    fn every_machine_gets_its_best_clock() {
        let mut machines = 0;
        for tsc in [Tsc::Absent, Tsc::Unmeasured, Tsc::Strayed, Tsc::Skewed, NOT_INVARIANT, ALL.tsc] {
            for hpet in [Hpet::Absent, Hpet::Untouched, Hpet::Stuck, Hpet::BadPeriod(1), ALL.hpet] {
                for bits in 0..16 {
                    let bit = |n: u32| bits & 1 << n != 0;
                    let pm_timer = bit(0).then_some(32);
                    let found = Found { tsc, hpet, pm_timer, pit: bit(1), nohpet: bit(2), notsc: bit(3) };
                    let has_hpet = hpet == ALL.hpet && !bit(2);
                    let has_tsc = matches!(tsc, Tsc::Present { .. }) && !bit(3);
                    let can_measure = has_hpet || bit(0) || bit(1);
                    let expected = if has_tsc && can_measure {
                        Some(Source::Tsc)
                    } else if has_hpet {
                        Some(Source::Hpet)
                    } else if bit(0) {
                        Some(Source::PmTimer)
                    } else {
                        bit(1).then_some(Source::Pit)
                    };
                    let choice = choose(&found);
                    assert_eq!(choice.map(|c| c.clock), expected, "{found:?}");
                    if let Some(choice) = choice {
                        assert!(![choice.measured_by, choice.watched_by].contains(&Some(choice.clock)));
                        let watched =
                            expected == Some(Source::Tsc) && tsc == NOT_INVARIANT && (has_hpet || bit(0));
                        assert_eq!(choice.watched_by.is_some(), watched, "{found:?}");
                        assert!(!choice.to_string().is_empty());
                    }
                    machines += 1;
                }
            }
        }
        assert_eq!(machines, 480);
    }

    #[test]
    fn periods_that_an_hpet_can_have() {
        assert!([69_841_279, 10_000_000, 100_000_000].into_iter().all(is_hpet_period));
        assert!(![0, 99_999, 100_000_001, u64::MAX].into_iter().any(is_hpet_period));
    }
}
