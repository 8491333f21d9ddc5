//! Threads of the host as CPUs: each with its magazines, all with the same slabs, each freeing what others have
//! allocated.

use super::*;
use crate::testing::Random;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::channel;

const THREADS: usize = 4;
/// Objects that may be on their way: what the arena can hold, though a thread may sleep while others send.
const MOST: usize = 3000;

/// An object on its way to another thread, filled with its own address.
struct Sent(NonNull<u8>, usize);

// SAFETY: whoever has it is the only one who does.
unsafe impl Send for Sent {}

impl Sent {
    fn word(&self) -> usize {
        self.0.addr().get() ^ self.1
    }

    fn words(&mut self) -> &mut [usize] {
        // SAFETY: in use, aligned to 8, and ours.
        unsafe { std::slice::from_raw_parts_mut(self.0.as_ptr().cast(), self.1 / 8) }
    }
}

fn hammer<const CHECKS: bool>(steps: u64) {
    let machine = Machine::<CHECKS>::new(4096, THREADS);
    let cache = leak(Cache::<CHECKS>::new("sent", 96, 8));
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..THREADS).map(|_| channel::<Sent>()).unzip();
    let under_way = &AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for (cpu, inbox) in receivers.into_iter().enumerate() {
            let senders = senders.clone();
            scope.spawn(move || {
                let mut random = Random::new(cpu as u64);
                // SAFETY: this thread's alone, for as long as it runs.
                let mine = unsafe { machine.cpus[cpu].mine() };
                let free = |mut sent: Sent| {
                    under_way.fetch_sub(1, Relaxed);
                    let word = sent.word();
                    assert!(sent.words().iter().all(|&found| found == word));
                    // SAFETY: in use until here.
                    unsafe {
                        match sent.1 {
                            96 => machine.heap.free_to(cache, &mine, sent.0, cpu + 1),
                            size => machine.heap.free(&mine, sent.0, layout(size, 8), cpu + 1),
                        }
                    }
                };
                for step in 0..steps {
                    while under_way.fetch_add(1, Relaxed) > MOST {
                        under_way.fetch_sub(1, Relaxed);
                        inbox.try_iter().for_each(free);
                        std::thread::yield_now();
                    }
                    let size = 8 << random.below(8);
                    let size = if random.below(4) == 0 { 96 } else { size };
                    let found = match size {
                        96 => machine.heap.allocate_from(cache, &mine, cpu + 1),
                        size => machine.heap.allocate(&mine, layout(size, 8), cpu + 1),
                    };
                    let mut sent = Sent(found.expect("there are pages enough"), size);
                    let word = sent.word();
                    sent.words().fill(word);
                    // The others may be done already, and nobody will read it then.
                    if let Err(back) = senders[random.index(THREADS)].send(sent) {
                        free(back.0);
                    }
                    // Short queues and long ones; what is left at the end is freed below.
                    if step % 512 > 128 {
                        inbox.try_iter().take(3).for_each(free);
                    }
                    if random.below(5000) == 0 {
                        machine.heap.shrink(&mine);
                    }
                }
                drop(senders);
                inbox.iter().for_each(free);
            });
        }
        drop(senders);
    });
    assert_eq!(machine.settle(), 0);
    assert_eq!(machine.arena().reported(), []);
}

#[test]
fn free_what_others_allocated() {
    hammer::<false>(number("SIS_FUZZ", 100_000) / THREADS as u64);
}

#[test]
fn free_what_others_allocated_with_checks() {
    hammer::<true>(number("SIS_FUZZ", 100_000) / THREADS as u64);
}

/// Two threads free the same object at once: one of them is told.
#[test]
fn double_free_in_the_same_moment() {
    let machine = Machine::<true>::new(64, 2);
    for _ in 0..500 {
        let object = Sent(machine.allocate(0, 40, 8, 7).unwrap(), 40);
        let barrier = std::sync::Barrier::new(2);
        std::thread::scope(|scope| {
            for cpu in 0..2 {
                let (barrier, object) = (&barrier, Sent(object.0, 40));
                scope.spawn(move || {
                    let object = object;
                    barrier.wait();
                    machine.free(cpu, object.0, 40, cpu + 1);
                });
            }
        });
        let found = machine.arena().reported();
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].fault, found[0].allocated_by), (Fault::DoubleFree, 7));
    }
    assert_eq!(machine.settle(), 0);
}
