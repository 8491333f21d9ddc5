//! Who descends from whom, who belongs together, and who waits for whose end.
//!
//! ```text
//! session 1 ── group 1 ── process 1        numbers: one space for processes, threads, groups and sessions
//!    │                      ├ 20 (a zombie: only its number and its status are left)
//! session 7 ┬─ group 7 ── process 7 ── 9   9 is a child of 7's
//!           └─ group 12 ─ process 12, 13   a pipeline
//! ```
//!
//! Pure code: what a process or a thread is beside this stands behind the handles `P` and `T`. Whoever has a [`Tree`] has it
//! behind one lock. A number is free again when nothing is called by it any more: a group outlives its leader, and
//! nobody else is to be taken for it.
//!
//! Every operation but those that go through all children or all members takes a bounded number of steps, however many
//! processes there are.
//!
//! Source: POSIX.1-2017, setpgid, setsid, waitpid, _exit; Linux's wait4(2) and prctl(2) (PR_SET_CHILD_SUBREAPER).

#[cfg(test)]
mod tests;

use crate::errno::Errno;
use crate::mm::vma::room;
use alloc::vec::Vec;

/// One past the largest number (`kernel.pid_max`).
pub const NUMBERS: u32 = 32_768;
/// After the numbers have come round once, those below are left to what began with the system.
const RESERVED: u32 = 300;
/// The first process.
pub const INIT: u32 = 1;

/// No slot.
const NONE: u32 = u32::MAX;

/// How a process is, to whoever waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Alive,
    /// By this signal.
    Stopped(u8),
    /// Its status, as `wait4` gives it.
    Zombie(u32),
}

struct Node<P> {
    pid: u32,
    handle: P,
    parent: u32,
    /// The signal that its end sends its parent; 0 for none.
    exit_signal: u8,
    group: u32,
    session: u32,
    state: State,
    /// Its last stop, or its continuation, has not been waited for.
    stop_is_news: bool,
    continue_is_news: bool,
    /// Its end may be waited for: its parent has been sent the signal of it.
    end_is_news: bool,
    is_subreaper: bool,
    has_executed: bool,
    first_child: u32,
    siblings: Links,
    members: Links,
}

/// Neighbours in a list of slots.
#[derive(Clone, Copy, Debug)]
struct Links {
    next: u32,
    previous: u32,
}

impl Links {
    const NONE: Self = Self { next: NONE, previous: NONE };
}

/// What is called by one number.
struct Number<T> {
    /// How much is.
    uses: u32,
    process: u32,
    /// The first of a group's members.
    group: u32,
    thread: Option<T>,
    /// The user in whose count the process or thread is.
    user: Option<u32>,
}

impl<T> Number<T> {
    const FREE: Self = Self { uses: 0, process: NONE, group: NONE, thread: None, user: None };
}

/// Whose child a new process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Birth {
    /// Its creator's; the end sends that signal, 0 for none.
    Child { exit_signal: u8 },
    /// Its creator's parent's.
    Brother,
}

/// Processes, threads, groups and sessions.
pub struct Tree<P, T> {
    numbers: Vec<Number<T>>,
    nodes: Vec<Option<Node<P>>>,
    /// Slots in `nodes` that are empty.
    free: Vec<u32>,
    last: u32,
    processes: usize,
    /// How many processes and threads each user has, zombies among them; by user.
    users: Vec<(u32, u32)>,
}

/// Whose end somebody waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    Any,
    Pid(u32),
    Group(u32),
}

/// What he waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct What {
    pub exited: bool,
    pub stopped: bool,
    pub continued: bool,
    /// `WNOWAIT`: it stays to be waited for.
    pub leave: bool,
    /// `__WALL`, `__WCLONE`: children whose end sends no SIGCHLD, as well as or instead of the others.
    pub all: bool,
    pub clone_only: bool,
}

/// What he is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    Exited(u32),
    Stopped(u8),
    Continued,
}

/// Somebody who can be waited for.
pub struct Found<P> {
    pub pid: u32,
    pub news: News,
    pub handle: P,
}

/// A process that was left by its parent.
pub struct Orphan<P> {
    pub parent: P,
    pub child: P,
    pub exit_signal: u8,
    /// It has ended, with that status: its new parent has to be told.
    pub ended: Option<u32>,
}

impl<P: Clone, T: Clone> Tree<P, T> {
    pub const fn new() -> Self {
        Self {
            numbers: Vec::new(),
            nodes: Vec::new(),
            free: Vec::new(),
            last: 0,
            processes: 0,
            users: Vec::new(),
        }
    }

    /// How many processes there are, zombies among them.
    pub const fn count(&self) -> usize {
        self.processes
    }

    /// The number that was given last.
    pub const fn last(&self) -> u32 {
        self.last
    }

    fn number(&self, number: u32) -> Option<&Number<T>> {
        self.numbers.get(number as usize)
    }

    fn slot(&self, pid: u32) -> Option<u32> {
        self.number(pid).map(|number| number.process).filter(|&slot| slot != NONE)
    }

    fn node_of(&self, pid: u32) -> Option<&Node<P>> {
        self.slot(pid).and_then(|slot| self.nodes[slot as usize].as_ref())
    }

    fn node(&self, slot: u32) -> &Node<P> {
        self.nodes[slot as usize].as_ref().expect("a slot that is linked is in use")
    }

    fn node_mut(&mut self, slot: u32) -> &mut Node<P> {
        self.nodes[slot as usize].as_mut().expect("a slot that is linked is in use")
    }

    fn known(&self, pid: u32) -> Result<u32, Errno> {
        self.slot(pid).ok_or(Errno::Esrch)
    }

    // ---- numbers ----

    /// A number that nothing is called by, for a process or a thread of that user, who may have so many. EAGAIN: there is
    /// none, or he has them all; ENOMEM.
    pub fn reserve(&mut self, user: u32, most: u64) -> Result<u32, Errno> {
        if u64::from(self.count_of(user)) >= most {
            return Err(Errno::Eagain);
        }
        let mut at = self.last;
        for _ in 0..NUMBERS {
            at += 1;
            if at >= NUMBERS {
                at = RESERVED;
            }
            if self.number(at).is_none_or(|number| number.uses == 0) {
                self.make_room(at)?;
                self.count_in(at, user)?;
                self.numbers[at as usize].uses = 1;
                self.last = at;
                return Ok(at);
            }
        }
        Err(Errno::Eagain)
    }

    /// How many processes and threads a user has.
    pub fn count_of(&self, user: u32) -> u32 {
        self.users.binary_search_by_key(&user, |entry| entry.0).map_or(0, |at| self.users[at].1)
    }

    /// Whoever is called by that number is of that user from now on, and not of another. ENOMEM: as before.
    pub fn count_in(&mut self, number: u32, user: u32) -> Result<(), Errno> {
        match self.users.binary_search_by_key(&user, |entry| entry.0) {
            Ok(at) => self.users[at].1 += 1,
            Err(at) => {
                room::reserve(&mut self.users, 1).map_err(|_| Errno::Enomem)?;
                self.users.insert(at, (user, 1));
            }
        }
        self.count_out(number);
        self.numbers[number as usize].user = Some(user);
        Ok(())
    }

    fn count_out(&mut self, number: u32) {
        let Some(user) = self.numbers[number as usize].user.take() else { return };
        let at = self.users.binary_search_by_key(&user, |entry| entry.0).expect("who is counted has a count");
        self.users[at].1 -= 1;
        if self.users[at].1 == 0 {
            self.users.remove(at);
        }
    }

    fn make_room(&mut self, number: u32) -> Result<(), Errno> {
        let wanted = number as usize + 1;
        if wanted > self.numbers.len() {
            let more = wanted - self.numbers.len();
            room::reserve(&mut self.numbers, more).map_err(|_| Errno::Enomem)?;
            self.numbers.resize_with(wanted, || Number::FREE);
        }
        Ok(())
    }

    /// What was [`reserve`](Self::reserve)d is not called by it any more.
    pub fn release(&mut self, number: u32) {
        self.numbers[number as usize].thread = None;
        self.count_out(number);
        self.unuse(number);
    }

    fn unuse(&mut self, number: u32) {
        let uses = &mut self.numbers[number as usize].uses;
        *uses = uses.checked_sub(1).expect("a number is used before it is not");
    }

    /// A thread is called by its number from now on.
    pub fn set_thread(&mut self, number: u32, thread: T) {
        self.numbers[number as usize].thread = Some(thread);
    }

    /// No more, though the number may stay taken.
    pub fn take_thread(&mut self, number: u32) -> Option<T> {
        self.numbers.get_mut(number as usize).and_then(|number| number.thread.take())
    }

    /// The thread of that number.
    pub fn thread(&self, number: u32) -> Option<&T> {
        self.number(number).and_then(|number| number.thread.as_ref())
    }

    // ---- processes ----

    /// A new process, of its creator's group and session; `creator` 0 is for the first, which leads both. It is its
    /// creator's child, or (CLONE_PARENT) its brother, as whom it ends like its creator. Its number is reserved. ENOMEM.
    pub fn insert(&mut self, pid: u32, creator: u32, birth: Birth, handle: P) -> Result<(), Errno> {
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                room::reserve(&mut self.nodes, 1).map_err(|_| Errno::Enomem)?;
                // To give it back must not fail.
                let slots = self.nodes.len() + 1;
                room::reserve(&mut self.free, slots).map_err(|_| Errno::Enomem)?;
                self.nodes.push(None);
                slots as u32 - 1
            }
        };
        let creators =
            self.node_of(creator).map(|node| (node.group, node.session, node.parent, node.exit_signal));
        let (group, session, grandparent, like) = creators.unwrap_or((pid, pid, 0, 0));
        let (parent, exit_signal) = match birth {
            Birth::Child { exit_signal } => (creator, exit_signal),
            Birth::Brother => (grandparent, like),
        };
        self.nodes[slot as usize] = Some(Node {
            pid,
            handle,
            parent,
            exit_signal,
            group,
            session,
            state: State::Alive,
            stop_is_news: false,
            end_is_news: false,
            continue_is_news: false,
            is_subreaper: false,
            has_executed: false,
            first_child: NONE,
            siblings: Links::NONE,
            members: Links::NONE,
        });
        self.numbers[pid as usize].process = slot;
        self.numbers[session as usize].uses += 1;
        self.join(slot, group);
        self.adopt(slot, parent);
        self.processes += 1;
        Ok(())
    }

    pub fn get(&self, pid: u32) -> Option<&P> {
        self.node_of(pid).map(|node| &node.handle)
    }

    pub fn state(&self, pid: u32) -> Option<State> {
        self.node_of(pid).map(|node| node.state)
    }

    /// 0 if it has none.
    pub fn parent(&self, pid: u32) -> Option<u32> {
        self.node_of(pid).map(|node| node.parent)
    }

    pub fn group(&self, pid: u32) -> Option<u32> {
        self.node_of(pid).map(|node| node.group)
    }

    pub fn session(&self, pid: u32) -> Option<u32> {
        self.node_of(pid).map(|node| node.session)
    }

    pub fn exit_signal(&self, pid: u32) -> u8 {
        self.node_of(pid).map_or(0, |node| node.exit_signal)
    }

    /// The first process from that number on.
    pub fn next(&self, from: u32) -> Option<(u32, &P)> {
        (from..self.numbers.len() as u32).find_map(|pid| self.get(pid).map(|handle| (pid, handle)))
    }

    /// Its program is its own from now on: its parent may not choose its group any more.
    pub fn note_exec(&mut self, pid: u32) {
        if let Some(slot) = self.slot(pid) {
            let node = self.node_mut(slot);
            node.has_executed = true;
            node.exit_signal = crate::proc::SIGCHLD;
        }
    }

    /// `prctl(PR_SET_CHILD_SUBREAPER)`.
    pub fn set_subreaper(&mut self, pid: u32, on: bool) {
        if let Some(slot) = self.slot(pid) {
            self.node_mut(slot).is_subreaper = on;
        }
    }

    pub fn is_subreaper(&self, pid: u32) -> bool {
        self.node_of(pid).is_some_and(|node| node.is_subreaper)
    }

    // ---- lists ----

    fn adopt(&mut self, slot: u32, parent: u32) {
        self.node_mut(slot).parent = parent;
        let Some(parent) = self.slot(parent) else { return };
        let first = core::mem::replace(&mut self.node_mut(parent).first_child, slot);
        self.node_mut(slot).siblings = Links { next: first, previous: NONE };
        if first != NONE {
            self.node_mut(first).siblings.previous = slot;
        }
    }

    fn disown(&mut self, slot: u32) {
        let (parent, links) = (self.node(slot).parent, self.node(slot).siblings);
        if links.next != NONE {
            self.node_mut(links.next).siblings.previous = links.previous;
        }
        if links.previous != NONE {
            self.node_mut(links.previous).siblings.next = links.next;
        } else if let Some(parent) = self.slot(parent) {
            self.node_mut(parent).first_child = links.next;
        }
        self.node_mut(slot).siblings = Links::NONE;
    }

    fn join(&mut self, slot: u32, group: u32) {
        self.node_mut(slot).group = group;
        let number = &mut self.numbers[group as usize];
        number.uses += 1;
        let first = core::mem::replace(&mut number.group, slot);
        self.node_mut(slot).members = Links { next: first, previous: NONE };
        if first != NONE {
            self.node_mut(first).members.previous = slot;
        }
    }

    fn leave(&mut self, slot: u32) {
        let (group, links) = (self.node(slot).group, self.node(slot).members);
        if links.next != NONE {
            self.node_mut(links.next).members.previous = links.previous;
        }
        if links.previous != NONE {
            self.node_mut(links.previous).members.next = links.next;
        } else {
            self.numbers[group as usize].group = links.next;
        }
        self.unuse(group);
    }

    /// A group's members.
    pub fn members(&self, group: u32) -> impl Iterator<Item = (u32, &P)> {
        let mut at = self.number(group).map_or(NONE, |number| number.group);
        core::iter::from_fn(move || {
            if at == NONE {
                return None;
            }
            let node = self.node(at);
            at = node.members.next;
            Some((node.pid, &node.handle))
        })
    }

    /// A process's children, the latest first.
    pub fn children(&self, pid: u32) -> impl Iterator<Item = (u32, &P)> {
        let mut at = self.node_of(pid).map_or(NONE, |node| node.first_child);
        core::iter::from_fn(move || {
            if at == NONE {
                return None;
            }
            let node = self.node(at);
            at = node.siblings.next;
            Some((node.pid, &node.handle))
        })
    }

    // ---- groups and sessions ----

    /// The session of a group, if there is such a group.
    pub fn session_of_group(&self, group: u32) -> Option<u32> {
        self.members(group).next().and_then(|(pid, _)| self.session(pid))
    }

    /// `setpgid`: by `caller`, of itself or of a child; group 0 is the process's own number.
    pub fn set_group(&mut self, caller: u32, pid: u32, group: u32) -> Result<(), Errno> {
        let pid = if pid == 0 { caller } else { pid };
        let group = if group == 0 { pid } else { group };
        let slot = self.known(pid)?;
        let session = self.session(caller).ok_or(Errno::Esrch)?;
        let node = self.node(slot);
        if pid != caller {
            if node.parent != caller {
                return Err(Errno::Esrch);
            }
            if node.session != session {
                return Err(Errno::Eperm);
            }
            if node.has_executed {
                return Err(Errno::Eacces);
            }
        }
        // Who leads a session stays with it.
        if node.session == pid {
            return Err(Errno::Eperm);
        }
        if group != pid && self.session_of_group(group) != Some(session) {
            return Err(Errno::Eperm);
        }
        if node.group != group {
            self.leave(slot);
            self.join(slot, group);
        }
        Ok(())
    }

    /// `setsid`. EPERM for who leads a group.
    pub fn new_session(&mut self, pid: u32) -> Result<u32, Errno> {
        let slot = self.known(pid)?;
        if self.number(pid).is_some_and(|number| number.group != NONE) {
            return Err(Errno::Eperm);
        }
        let old = core::mem::replace(&mut self.node_mut(slot).session, pid);
        self.unuse(old);
        self.numbers[pid as usize].uses += 1;
        self.leave(slot);
        self.join(slot, pid);
        Ok(pid)
    }

    /// Whether nobody would continue a group that stops: no member has a parent in another group of the session.
    pub fn is_orphaned(&self, group: u32) -> bool {
        self.members(group).all(|(pid, _)| {
            let Some(node) = self.node_of(pid) else { return true };
            let is_gone = matches!(node.state, State::Zombie(_));
            let links = self.node_of(node.parent).is_some_and(|parent| {
                parent.pid != INIT && parent.group != group && parent.session == node.session
            });
            is_gone || !links
        })
    }

    /// Whether somebody of the group is stopped.
    pub fn has_stopped(&self, group: u32) -> bool {
        self.members(group).any(|(pid, _)| matches!(self.state(pid), Some(State::Stopped(_))))
    }

    // ---- ends, stops, and waiting for them ----

    /// It has stopped, or goes on: news for its parent.
    pub fn set_stopped(&mut self, pid: u32, by: Option<u8>) {
        let Some(slot) = self.slot(pid) else { return };
        let node = self.node_mut(slot);
        if matches!(node.state, State::Zombie(_)) {
            return;
        }
        node.state = by.map_or(State::Alive, State::Stopped);
        (node.stop_is_news, node.continue_is_news) = (by.is_some(), by.is_none());
    }

    /// It has ended. Nobody who waits is told of it before [`announce`](Self::announce).
    pub fn set_zombie(&mut self, pid: u32, status: u32) {
        if let Some(slot) = self.slot(pid) {
            self.node_mut(slot).state = State::Zombie(status);
        }
    }

    /// Its parent is being sent the signal of its end.
    pub fn announce(&mut self, pid: u32) {
        if let Some(slot) = self.slot(pid) {
            self.node_mut(slot).end_is_news = true;
        }
    }

    /// Who gets a process's children when it ends: the nearest ancestor that said so, or the first process.
    fn reaper(&self, pid: u32) -> u32 {
        let mut at = self.parent(pid);
        while let Some(node) = at.and_then(|at| self.node_of(at)) {
            if node.is_subreaper && !matches!(node.state, State::Zombie(_)) {
                return node.pid;
            }
            at = Some(node.parent);
        }
        INIT
    }

    /// It ends: its children get another parent. Calls `tell` with each.
    pub fn leave_children(&mut self, pid: u32, mut tell: impl FnMut(Orphan<P>)) {
        // The first process has nobody to leave them to: they have no parent then.
        let reaper = Some(self.reaper(pid)).filter(|&reaper| reaper != pid).unwrap_or(0);
        while let Some(child) = self.node_of(pid).map(|node| node.first_child).filter(|&child| child != NONE)
        {
            self.disown(child);
            self.adopt(child, reaper);
            let node = self.node_mut(child);
            // Whatever its end was to send: the new parent waits for children of the ordinary kind.
            node.exit_signal = crate::proc::SIGCHLD;
            let (state, handle) = (node.state, node.handle.clone());
            if let Some(parent) = self.get(reaper).cloned() {
                let ended = if let State::Zombie(status) = state { Some(status) } else { None };
                tell(Orphan { parent, child: handle, exit_signal: crate::proc::SIGCHLD, ended });
            }
        }
    }

    /// Something to tell `parent`. `Ok(None)`: there are such children, and nothing to tell of them yet. ECHILD: there
    /// are none. A zombie that is told of is still there, for [`reap`](Self::reap), unless somebody else is quicker.
    pub fn find_child(&mut self, parent: u32, which: Which, what: What) -> Result<Option<Found<P>>, Errno> {
        let is_meant = |node: &Node<P>| {
            let is_clone = node.exit_signal != crate::proc::SIGCHLD;
            (what.all || is_clone == what.clone_only)
                && match which {
                    Which::Any => true,
                    Which::Pid(pid) => node.pid == pid,
                    Which::Group(group) => node.group == group,
                }
        };
        let mut at = match which {
            // The one that is meant need not be searched for.
            Which::Pid(pid) => {
                let slot =
                    self.slot(pid).filter(|&slot| self.node(slot).parent == parent).ok_or(Errno::Echild)?;
                if !is_meant(self.node(slot)) {
                    return Err(Errno::Echild);
                }
                return Ok(self.news_of(slot, what));
            }
            _ => self.node_of(parent).map_or(NONE, |node| node.first_child),
        };
        let mut has_any = false;
        while at != NONE {
            if is_meant(self.node(at)) {
                has_any = true;
                if let Some(found) = self.news_of(at, what) {
                    return Ok(Some(found));
                }
            }
            at = self.node(at).siblings.next;
        }
        if has_any { Ok(None) } else { Err(Errno::Echild) }
    }

    fn news_of(&mut self, slot: u32, what: What) -> Option<Found<P>> {
        let node = self.node_mut(slot);
        let news = match node.state {
            State::Zombie(status) if what.exited && node.end_is_news => News::Exited(status),
            State::Stopped(signal) if what.stopped && node.stop_is_news => News::Stopped(signal),
            State::Alive if what.continued && node.continue_is_news => News::Continued,
            _ => return None,
        };
        if !what.leave {
            match news {
                News::Stopped(_) => node.stop_is_news = false,
                News::Continued => node.continue_is_news = false,
                News::Exited(_) => {}
            }
        }
        Some(Found { pid: node.pid, news, handle: node.handle.clone() })
    }

    /// A zombie goes for good, and its number with it. `None` if somebody was quicker.
    pub fn reap(&mut self, pid: u32) -> Option<P> {
        let slot = self.slot(pid).filter(|&slot| matches!(self.node(slot).state, State::Zombie(_)))?;
        self.disown(slot);
        self.leave(slot);
        let node = self.nodes[slot as usize].take()?;
        self.unuse(node.session);
        self.numbers[pid as usize].process = NONE;
        self.count_out(pid);
        self.unuse(pid);
        self.free.push(slot);
        self.processes -= 1;
        Some(node.handle)
    }
}

impl<P: Clone, T: Clone> Default for Tree<P, T> {
    fn default() -> Self {
        Self::new()
    }
}
