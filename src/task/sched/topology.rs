//! Which CPUs are near each other, as sets.

use super::cpus::{CpuSet, MAX_CPUS};

/// Where a CPU is: numbers that two CPUs have in common if they are in the same package, or core, of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// What shares the last cache.
    pub package: u32,
    /// Unique in its package only.
    pub core: u32,
}

/// A CPU's neighbours, itself among them.
#[derive(Clone, Copy, Debug)]
pub struct Near {
    /// Threads of its core.
    pub core: CpuSet,
    pub package: CpuSet,
}

/// The neighbours of all CPUs.
#[derive(Debug)]
pub struct Topology {
    near: [Near; MAX_CPUS],
}

impl Topology {
    /// Of a machine of which nothing is known: each CPU is a core, all are in one package.
    pub const fn flat() -> Self {
        Self { near: [Near { core: CpuSet::EMPTY, package: CpuSet::ALL }; MAX_CPUS] }
    }

    /// Says where the CPUs are, by their numbers. CPUs that are not said remain alone in their core.
    pub fn set(&mut self, positions: &[Position]) {
        for (cpu, at) in positions.iter().enumerate() {
            let all = || positions.iter().enumerate().filter(|(_, other)| other.package == at.package);
            let package = CpuSet::of(all().map(|(other, _)| other));
            let core = CpuSet::of(all().filter(|(_, other)| other.core == at.core).map(|(other, _)| other));
            self.near[cpu] = Near { core, package };
        }
    }

    #[inline]
    pub const fn near(&self, cpu: usize) -> &Near {
        &self.near[cpu]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_of_a_core_and_cores_of_a_package() {
        let mut topology = Topology::flat();
        let at = |package, core| Position { package, core };
        topology.set(&[at(0, 0), at(0, 0), at(0, 1), at(0, 1), at(1, 0), at(1, 0)]);
        assert_eq!(topology.near(1).core, CpuSet::of([0, 1]));
        assert_eq!(topology.near(2).package, CpuSet::of([0, 1, 2, 3]));
        assert_eq!(topology.near(5).core, CpuSet::of([4, 5]));
        assert_eq!(topology.near(9).package, CpuSet::ALL);
    }
}
