//! All interleavings of a few threads that run the real code.
//!
//! The code under test calls [`step`] before each access that others may see. Outside of [`explore`] that is nothing.
//! Inside, one thread runs at a time, and each step is a decision who runs on. A run is the list of its decisions; the
//! next run is the same up to the last decision that has a choice left, and that choice. So all are tried, depth first:
//! nothing is random, and a schedule that fails can be run again by its list.
//!
//! With three threads there are too many. Then only those are tried in which a thread that could go on is interrupted
//! at most so many times, which is where nearly all mistakes show.
//!
//! What is explored is sequentially consistent; that stores and loads are ordered as the code needs is argued where they
//! are.
//!
//! Source: M. Musuvathi, S. Qadeer, "Iterative context bounding for systematic testing of multithreaded programs" (2007).

use std::boxed::Box;
use std::cell::RefCell;
use std::sync::{Arc, Condvar, Mutex};
use std::vec::Vec;

/// What a run has decided, and what it could have.
#[derive(Clone, Copy)]
struct Decision {
    choice: usize,
    options: usize,
}

struct State {
    /// Who runs; `None` before the start.
    turn: Option<usize>,
    alive: Vec<bool>,
    decisions: Vec<Decision>,
    /// How many have been made in this run.
    made: usize,
    /// Interruptions that are still allowed.
    left: usize,
    clock: u64,
}

struct Run {
    state: Mutex<State>,
    moved: Condvar,
}

std::thread_local! {
    static ME: RefCell<Option<(Arc<Run>, usize)>> = const { RefCell::new(None) };
}

impl State {
    /// Decides who runs on; `me` could, or has ended.
    fn decide(&mut self, me: usize) {
        self.clock += 1;
        let mut options: Vec<usize> = Vec::new();
        if self.alive[me] {
            options.push(me);
        }
        if !self.alive[me] || self.left > 0 {
            options.extend((0..self.alive.len()).filter(|&other| other != me && self.alive[other]));
        }
        if options.is_empty() {
            self.turn = None;
            return;
        }
        if self.made == self.decisions.len() {
            self.decisions.push(Decision { choice: 0, options: options.len() });
        }
        let decision = self.decisions[self.made];
        assert_eq!(decision.options, options.len(), "the run is not the same as before");
        self.made += 1;
        let next = options[decision.choice];
        if self.alive[me] && next != me {
            self.left -= 1;
        }
        self.turn = Some(next);
    }
}

impl Run {
    fn wait(&self, me: usize) {
        let mut state = self.state.lock().unwrap();
        while state.turn != Some(me) {
            state = self.moved.wait(state).unwrap();
        }
    }
}

/// A point where others may come in between.
pub fn step() {
    ME.with(|me| {
        let me = me.borrow();
        let Some((run, number)) = &*me else { return };
        let is_mine = {
            let mut state = run.state.lock().unwrap();
            state.decide(*number);
            state.turn == Some(*number)
        };
        if !is_mine {
            run.moved.notify_all();
            run.wait(*number);
        }
    });
}

/// A moment of the run: later ones are larger.
pub fn now() -> u64 {
    ME.with(|me| {
        let me = me.borrow();
        let (run, _) = me.as_ref().expect("in a run");
        let mut state = run.state.lock().unwrap();
        state.clock += 1;
        state.clock
    })
}

/// What a thread does in a run; `T` is what it has seen.
pub type Thread<T> = Box<dyn FnOnce() -> T + Send>;

/// Tries all interleavings with at most `interruptions`: `setup` makes the threads of a run, `check` looks at what they
/// have seen. Returns how many runs there were.
pub fn explore<T: Send + 'static>(
    interruptions: usize,
    mut setup: impl FnMut() -> Vec<Thread<T>>,
    mut check: impl FnMut(Vec<T>),
) -> usize {
    let mut decisions: Vec<Decision> = Vec::new();
    let mut runs = 0;
    loop {
        let threads = setup();
        let state = State {
            turn: None,
            alive: threads.iter().map(|_| true).collect(),
            decisions: core::mem::take(&mut decisions),
            made: 0,
            left: interruptions,
            clock: 0,
        };
        let run = Arc::new(Run { state: Mutex::new(state), moved: Condvar::new() });
        let handles: Vec<_> = threads
            .into_iter()
            .enumerate()
            .map(|(number, thread)| {
                let run = run.clone();
                std::thread::spawn(move || {
                    run.wait(number);
                    ME.with(|me| *me.borrow_mut() = Some((run.clone(), number)));
                    let seen = thread();
                    ME.with(|me| *me.borrow_mut() = None);
                    let mut state = run.state.lock().unwrap();
                    state.alive[number] = false;
                    state.decide(number);
                    run.moved.notify_all();
                    seen
                })
            })
            .collect();
        {
            // Who begins is a decision as well: of somebody who is not there.
            let mut state = run.state.lock().unwrap();
            state.alive.push(false);
            let nobody = state.alive.len() - 1;
            state.decide(nobody);
            run.moved.notify_all();
        }
        check(handles.into_iter().map(|handle| handle.join().unwrap()).collect());
        runs += 1;
        decisions = core::mem::take(&mut run.state.lock().unwrap().decisions);
        while decisions.last().is_some_and(|last| last.choice + 1 == last.options) {
            decisions.pop();
        }
        match decisions.last_mut() {
            Some(last) => last.choice += 1,
            None => return runs,
        }
    }
}

#[test]
fn all_interleavings_are_tried_once() {
    use std::collections::BTreeSet;
    let mut seen = BTreeSet::new();
    let order = Arc::new(Mutex::new(Vec::new()));
    let runs = explore(
        usize::MAX,
        || {
            order.lock().unwrap().clear();
            (0..2)
                .map(|number| {
                    let order = order.clone();
                    let thread: Thread<()> = Box::new(move || {
                        for _ in 0..3 {
                            step();
                            order.lock().unwrap().push(number);
                        }
                    });
                    thread
                })
                .collect()
        },
        |_| {
            seen.insert(order.lock().unwrap().clone());
        },
    );
    assert_eq!(seen.len(), 20, "6 over 3");
    assert!(runs >= 20, "{runs}");
}
