//! Processes of the imagination, for tests: numbers, groups, sessions, and what signals they have got.

use super::{Processes, Signal, TtyId};
use std::sync::Mutex;
use std::vec::Vec;

/// A process.
#[derive(Clone, Debug)]
pub struct Process {
    pub id: u32,
    /// None: its parent has ended.
    pub parent: Option<u32>,
    pub group: u32,
    pub session: u32,
    pub terminal: Option<TtyId>,
    pub deaf_to: Vec<Signal>,
    pub got: Vec<Signal>,
}

/// All of them, and which one calls.
#[derive(Default)]
pub struct Model(Mutex<(Vec<Process>, u32)>);

impl Model {
    /// A process that leads a session of its own.
    pub fn add_leader(&self, id: u32) {
        let process = Process {
            id,
            parent: None,
            group: id,
            session: id,
            terminal: None,
            deaf_to: Vec::new(),
            got: Vec::new(),
        };
        self.0.lock().unwrap().0.push(process);
    }

    /// A child of `parent`.
    pub fn fork(&self, parent: u32, id: u32) {
        let mut state = self.0.lock().unwrap();
        let mut child = state.0.iter().find(|process| process.id == parent).expect("a parent").clone();
        (child.id, child.parent) = (id, Some(parent));
        child.got.clear();
        state.0.push(child);
    }

    /// From here on this one calls.
    pub fn run(&self, id: u32) {
        self.0.lock().unwrap().1 = id;
    }

    /// Looks at or changes the caller.
    pub fn caller<T>(&self, change: impl FnOnce(&mut Process) -> T) -> T {
        let mut state = self.0.lock().unwrap();
        let id = state.1;
        change(state.0.iter_mut().find(|process| process.id == id).expect("a caller"))
    }

    /// The signals that a process has got since it was asked last, in the order of their names.
    pub fn take_signals(&self, id: u32) -> Vec<Signal> {
        let mut state = self.0.lock().unwrap();
        let process = state.0.iter_mut().find(|process| process.id == id).expect("a process");
        let mut got = core::mem::take(&mut process.got);
        got.sort_by_key(|signal| *signal as u8);
        got.dedup();
        got
    }

    fn each(&self, which: impl Fn(&Process) -> bool, change: impl Fn(&mut Process)) {
        self.0.lock().unwrap().0.iter_mut().filter(|process| which(process)).for_each(change);
    }
}

impl Processes for Model {
    fn group(&self) -> u32 {
        self.caller(|caller| caller.group)
    }
    fn session(&self) -> u32 {
        self.caller(|caller| caller.session)
    }
    fn is_leader(&self) -> bool {
        self.caller(|caller| caller.id == caller.session)
    }
    fn terminal(&self) -> Option<TtyId> {
        self.caller(|caller| caller.terminal)
    }
    fn set_terminal(&self, terminal: Option<TtyId>) {
        self.caller(|caller| caller.terminal = terminal);
    }
    /// The recorder is root.
    fn is_privileged(&self) -> bool {
        true
    }
    fn is_deaf_to(&self, signal: Signal) -> bool {
        self.caller(|caller| caller.deaf_to.contains(&signal))
    }
    fn is_orphaned(&self) -> bool {
        let (group, session) = (self.group(), self.session());
        let state = self.0.lock().unwrap();
        let parent_of = |id: Option<u32>| state.0.iter().find(|process| Some(process.id) == id);
        !state.0.iter().filter(|process| process.group == group).any(|member| {
            parent_of(member.parent).is_some_and(|parent| parent.session == session && parent.group != group)
        })
    }
    fn session_of(&self, group: u32) -> Option<u32> {
        let state = self.0.lock().unwrap();
        state.0.iter().find(|process| process.group == group).map(|member| member.session)
    }
    fn signal_group(&self, group: u32, signal: Signal) {
        self.each(|process| process.group == group, |process| process.got.push(signal));
    }
    fn signal_leader(&self, session: u32, signal: Signal) {
        self.each(|process| process.id == session, |process| process.got.push(signal));
    }
    fn release_session(&self, session: u32, terminal: TtyId) {
        self.each(
            |process| process.session == session && process.terminal == Some(terminal),
            |process| process.terminal = None,
        );
    }
}
