//! Which CPUs are near each other, as sets.

use crate::cpu_set::{CpuSet, MAX_CPUS, SharedCpuSet};

/// Where a CPU is: numbers that two CPUs have in common if they are in the same package, or core, of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// What shares the last cache.
    pub package: u32,
    /// Unique in its package only.
    pub core: u32,
}

/// The neighbours of all CPUs, as sets that have the CPU itself in them. They may be said while they are used.
#[derive(Debug)]
pub struct Topology {
    /// Threads of the CPU's core.
    core: [SharedCpuSet; MAX_CPUS],
    package: [SharedCpuSet; MAX_CPUS],
}

impl Topology {
    /// Of a machine of which nothing is known: each CPU is a core, all are in one package.
    pub const fn flat() -> Self {
        Self {
            core: [const { SharedCpuSet::new(CpuSet::EMPTY) }; MAX_CPUS],
            package: [const { SharedCpuSet::new(CpuSet::ALL) }; MAX_CPUS],
        }
    }

    /// Says where the CPUs are, by their numbers. CPUs that are not said remain alone in their core.
    pub fn set(&self, positions: &[Position]) {
        for (cpu, at) in positions.iter().enumerate().take(MAX_CPUS) {
            let all = || positions.iter().enumerate().filter(|(_, other)| other.package == at.package);
            self.package[cpu].set(&CpuSet::of(all().map(|(other, _)| other)));
            let core = all().filter(|(_, other)| other.core == at.core);
            self.core[cpu].set(&CpuSet::of(core.map(|(other, _)| other)));
        }
    }

    #[inline]
    pub const fn core_of(&self, cpu: usize) -> &SharedCpuSet {
        &self.core[cpu]
    }

    #[inline]
    pub const fn package_of(&self, cpu: usize) -> &SharedCpuSet {
        &self.package[cpu]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_of_a_core_and_cores_of_a_package() {
        let topology = Topology::flat();
        let at = |package, core| Position { package, core };
        topology.set(&[at(0, 0), at(0, 0), at(0, 1), at(0, 1), at(1, 0), at(1, 0)]);
        assert_eq!(topology.core_of(1).get(), CpuSet::of([0, 1]));
        assert_eq!(topology.package_of(2).get(), CpuSet::of([0, 1, 2, 3]));
        assert_eq!(topology.core_of(5).get(), CpuSet::of([4, 5]));
        assert_eq!(topology.package_of(9).get(), CpuSet::ALL);
    }
}
