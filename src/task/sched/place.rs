//! On which CPU a thread is to wake up, or to begin.
//!
//! A look at the board, without a lock: what it says may be a moment old, so the answer is good advice and no promise.
//! Whether the thread may run there it is asked on the spot; the thread layer keeps that from changing.

use super::board::Board;
use super::entity::Entity;
use super::topology::Topology;

/// CPUs that a wake-up compares when none is idle.
const LOOKS: usize = 8;
/// Idle CPUs of which it looks at the whole core.
const CORE_LOOKS: u32 = 8;

/// Where a thread that has slept goes on: where it was if that CPU is idle; else on an idle one that is near, best with
/// its whole core idle; else on any idle one; else where it was, unless others wait there already: then on the least
/// loaded of a few near ones. A real-time thread goes where it runs at once and displaces the least.
///
/// `None`: it may run on none of the CPUs that are online.
#[inline]
pub fn on_wake_up(entity: &Entity, board: &Board, topology: &Topology) -> Option<usize> {
    let last = entity.cpu();
    if (board.is_idle(last) || board.is_alone()) && entity.may_run_on(last) {
        return Some(last);
    }
    elsewhere(entity, board, topology)
}

#[inline(never)]
fn elsewhere(entity: &Entity, board: &Board, topology: &Topology) -> Option<usize> {
    let last = entity.cpu();
    if let Some(cpu) = idlest(entity, last, board, topology) {
        return Some(cpu);
    }
    if entity.is_fair() {
        // With nobody else waiting, it is next.
        if entity.may_run_on(last) && board.load(last).threads <= 1 {
            return Some(last);
        }
        let allowed = entity.allowed().and(&board.online());
        let near = allowed.and(&topology.package_of(last).get());
        let candidates = if near.is_empty() { allowed } else { near };
        return least_loaded(candidates.iter_from(last).take(LOOKS), board);
    }
    let allowed = entity.allowed().and(&board.online());
    let displaces_nobody_urgent = |&cpu: &usize| board.load(cpu).running <= 1;
    // The last CPU comes first, and of equals the first is taken.
    let mut cpus = allowed.iter_from(last);
    cpus.find(displaces_nobody_urgent)
        .or_else(|| allowed.iter_from(last).min_by_key(|&cpu| board.load(cpu).running))
}

/// Where a new thread, or one with a new program and so nothing in any cache, begins: on the least loaded CPU of all.
/// Ties go to the one from which it comes.
pub fn on_fork(entity: &Entity, parent: usize, board: &Board, topology: &Topology) -> Option<usize> {
    if board.is_alone() && entity.may_run_on(parent) {
        return Some(parent);
    }
    idlest(entity, parent, board, topology).or_else(|| {
        let allowed = entity.allowed().and(&board.online());
        least_loaded(allowed.iter_from(parent), board)
    })
}

fn least_loaded(cpus: impl Iterator<Item = usize>, board: &Board) -> Option<usize> {
    cpus.min_by_key(|&cpu| board.load(cpu).weight)
}

/// An idle CPU on which the thread may run, near `start` if there is one: if a few looks find it, one whose core is idle
/// as a whole, or else the next from `start` on.
#[inline]
fn idlest(entity: &Entity, start: usize, board: &Board, topology: &Topology) -> Option<usize> {
    let allowed = entity.allowed_set();
    let is_whole = |cpu| board.is_all_idle(topology.core_of(cpu), cpu);
    board
        .idle_in(allowed, Some(topology.package_of(start)), start, CORE_LOOKS, is_whole)
        .or_else(|| board.idle_in(allowed, None, start, CORE_LOOKS, is_whole))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu_set::CpuSet;
    use crate::task::sched::board::Load;
    use crate::task::sched::entity::Policy;
    use crate::task::sched::topology::Position;

    /// Two packages of two cores of two threads; all busy with one thread of nice 0.
    fn machine() -> (Board, Topology) {
        let board = Board::new();
        let topology = Topology::flat();
        let positions: [_; 8] =
            core::array::from_fn(|cpu| Position { package: cpu as u32 / 4, core: cpu as u32 / 2 });
        topology.set(&positions);
        (0..8).for_each(|cpu| board.bring_online(cpu));
        (0..8).for_each(|cpu| load(&board, cpu, 1024, 1));
        (board, topology)
    }

    fn load(board: &Board, cpu: usize, weight: u64, running: u8) {
        let new = Load { weight, threads: u16::from(running > 0), running };
        board.show(cpu, new, board.load(cpu).packed());
    }

    fn thread(policy: Policy, last: usize) -> Entity {
        let entity = Entity::new(0, policy);
        entity.cpu.set(last as u32);
        entity
    }

    #[test]
    fn the_last_cpu_then_near_then_far() {
        let (board, topology) = machine();
        let entity = thread(Policy::Normal(0), 1);
        load(&board, 1, 0, 0);
        load(&board, 2, 0, 0);
        load(&board, 6, 0, 0);
        load(&board, 7, 0, 0);
        assert_eq!(on_wake_up(&entity, &board, &topology), Some(1));
        load(&board, 1, 1024, 1);
        assert_eq!(on_wake_up(&entity, &board, &topology), Some(2), "near, though its core is half busy");
        load(&board, 2, 1024, 1);
        assert_eq!(on_wake_up(&entity, &board, &topology), Some(6), "far, but idle");
        let mut allowed = CpuSet::ALL;
        allowed.remove(6);
        entity.set_allowed(&allowed);
        assert_eq!(on_wake_up(&entity, &board, &topology), Some(7));
    }

    #[test]
    fn a_whole_core_rather_than_half_of_one() {
        let (board, topology) = machine();
        [1, 2, 3].into_iter().for_each(|cpu| load(&board, cpu, 0, 0));
        assert_eq!(on_wake_up(&thread(Policy::Normal(0), 0), &board, &topology), Some(2));
        assert_eq!(on_fork(&thread(Policy::Normal(0), 0), 0, &board, &topology), Some(2));
    }

    #[test]
    fn the_least_loaded_when_none_is_idle() {
        let (board, topology) = machine();
        load(&board, 3, 300, 1);
        load(&board, 5, 200, 1);
        let entity = thread(Policy::Normal(0), 0);
        assert_eq!(on_wake_up(&entity, &board, &topology), Some(0), "where it was, being next there");
        let crowded = Load { weight: 2048, threads: 2, running: 1 };
        board.show(0, crowded, board.load(0).packed());
        assert_eq!(on_wake_up(&entity, &board, &topology), Some(3), "of those that are near");
        assert_eq!(on_fork(&entity, 0, &board, &topology), Some(5), "of all");
        entity.set_allowed(&CpuSet::of([6, 7]));
        assert_eq!(on_wake_up(&entity, &board, &topology), Some(6));
        entity.set_allowed(&CpuSet::of([100]));
        assert_eq!(on_wake_up(&entity, &board, &topology), None);
        assert_eq!(on_fork(&entity, 0, &board, &topology), None);
    }

    #[test]
    fn real_time_displaces_the_least() {
        let (board, topology) = machine();
        (0..8).for_each(|cpu| load(&board, cpu, 0, 50 + cpu as u8));
        load(&board, 4, 90_000, 1);
        let entity = thread(Policy::Fifo(70), 2);
        assert_eq!(on_wake_up(&entity, &board, &topology), Some(4));
        load(&board, 4, 90_000, 99);
        assert_eq!(on_wake_up(&entity, &board, &topology), Some(0));
    }
}
