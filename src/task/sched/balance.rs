//! When to move a waiting thread from one CPU to another.
//!
//! Two occasions. A CPU that becomes idle pulls from the one that has most to do. A CPU with several threads looks
//! around once in a while (`RunQueue::is_balance_due`), and pushes one to the CPU with the least to do, or pulls one
//! from the CPU with the most. Either way a [`Move`] comes out, which the caller carries out: under the lock of `from`
//! it asks `RunQueue::movable` and dequeues; under that of `to` it enqueues as `Arrival::Moved`. It need not hold both
//! at once, since an entity that is moving is in no queue and takes all it needs along.
//!
//! The work is bounded: one look at each CPU's line on the board, of those only on which somebody waits, and a few
//! looks at threads. Idle CPUs are not woken up to look for work; those that have too much of it look for them.

use super::board::Board;
use super::entity::Entity;
use super::queue::RunQueue;
use super::topology::Topology;
use crate::cpu_set::MAX_CPUS;

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    pub from: usize,
    pub to: usize,
    /// What the thread may weigh: less than the difference, or the move would only turn it round.
    pub most: u64,
}

impl Move {
    fn between(from: usize, to: usize, board: &Board) -> Option<Self> {
        let difference = board.load(from).weight.saturating_sub(board.load(to).weight);
        // An idle CPU takes anything.
        let most = if board.is_idle(to) { u64::MAX } else { difference.saturating_sub(1) };
        (most > 0 && from != to).then_some(Self { from, to, most })
    }

    /// The thread to move, under the lock of `from`'s queue.
    pub fn candidate(&self, from: &RunQueue) -> Option<&'static Entity> {
        from.movable(self.to, self.most)
    }
}

/// From where an idle CPU may get something to do: from the most loaded CPU near it that has somebody waiting, or else
/// of all. To be asked before it runs its idle thread; if the move comes to nothing, it may ask with `again` set, and
/// the near ones are left out.
pub fn on_idle(cpu: usize, again: bool, board: &Board, topology: &Topology) -> Option<Move> {
    let crowded = board.crowded();
    if crowded.is_empty() {
        return None;
    }
    let near = topology.package_of(cpu).get();
    let most_loaded = |cpus: super::CpuSet| cpus.iter_from(cpu).max_by_key(|&other| board.load(other).weight);
    let from = if again { None } else { most_loaded(crowded.and(&near)) };
    let from = from.or_else(|| most_loaded(crowded.without(&near)))?;
    (from != cpu).then_some(Move { from, to: cpu, most: u64::MAX })
}

/// What a CPU on which somebody waits can do for an even load. `round` counts its looks: it alternates between pushing
/// and pulling, and moves on where it begins to look among equals.
pub fn plan(cpu: usize, round: u64, board: &Board) -> Option<Move> {
    let idle = board.idle();
    let start = (cpu + 1 + round as usize) % MAX_CPUS;
    if let Some(to) = idle.iter_from(start).next() {
        return Move::between(cpu, to, board);
    }
    if round % 2 == 0 {
        let to = board.online().iter_from(start).min_by_key(|&other| board.load(other).weight)?;
        Move::between(cpu, to, board)
    } else {
        let from = board.crowded().iter_from(start).max_by_key(|&other| board.load(other).weight)?;
        Move::between(from, cpu, board)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::sched::board::{Line, Load};
    use crate::task::sched::topology::Position;

    fn machine(loads: &[(u64, u16)]) -> (Board, Topology) {
        let board = Board::new();
        let topology = Topology::flat();
        let positions: [_; 8] = core::array::from_fn(|cpu| Position { package: cpu as u32 / 2, core: 0 });
        topology.set(&positions);
        for (cpu, &(weight, threads)) in loads.iter().enumerate() {
            board.bring_online(cpu);
            board.show(cpu, Load { weight, threads, running: u8::from(threads > 0) }, Line::NOTHING);
        }
        (board, topology)
    }

    #[test]
    fn an_idle_cpu_pulls_from_near_by_first() {
        let (board, topology) = machine(&[(0, 0), (2000, 2), (9000, 9), (90_000, 1)]);
        let near = Move { from: 1, to: 0, most: u64::MAX };
        assert_eq!(on_idle(0, false, &board, &topology), Some(near));
        assert_eq!(on_idle(0, true, &board, &topology), Some(Move { from: 2, ..near }));
        let (board, topology) = machine(&[(0, 0), (1024, 1)]);
        assert_eq!(on_idle(0, false, &board, &topology), None, "nobody waits");
    }

    #[test]
    fn a_move_must_make_it_better() {
        let (board, _) = machine(&[(3072, 3), (2048, 2)]);
        let push = plan(0, 0, &board).unwrap();
        assert_eq!(
            push,
            Move { from: 0, to: 1, most: 1023 },
            "not one of 1024: that would only turn it round"
        );
        assert_eq!(plan(1, 0, &board), None);
        assert_eq!(plan(1, 1, &board), Some(push));
        let (board, _) = machine(&[(6, 2), (0, 0)]);
        assert_eq!(plan(0, 1, &board), Some(Move { from: 0, to: 1, most: u64::MAX }));
    }
}
