//! Who may use a terminal: sessions, groups in the foreground, and the signals that go with them.
//!
//! A terminal controls at most one session, and one group of it is in the foreground. That one reads, and gets what ^C
//! means. Whoever else of the session reads is stopped by SIGTTIN; who writes under TOSTOP, or changes the terminal, by
//! SIGTTOU. He who would not be stopped, because his group is orphaned or he is deaf to the signal, gets EIO instead, or
//! may write. Processes of other sessions are not looked at: that they have the terminal open is all that counts.
//!
//! Processes live a layer above. [`Processes`] is what is asked of them; numbers are all that is known of them here. The
//! layer of processes registers itself ([`register`]); until then there are kernel threads, which are of no session.
//!
//! Source: POSIX.1-2017, chapter 11.1; what Linux does where POSIX leaves it open, as recorded in
//! test/data/tty.

#[cfg(test)]
pub mod model;

use super::error::Error;
use crate::sync::interrupt;
use spin::Once;

/// Signals that a terminal sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Signal {
    Hup = 1,
    Int = 2,
    Quit = 3,
    Cont = 18,
    Tstp = 20,
    Ttin = 21,
    Ttou = 22,
    Winch = 28,
}

/// Names a terminal, to processes that are controlled by one: its device number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TtyId(pub u32);

/// What a terminal asks of processes. `process`, `group` and so on are the caller's. Called with the terminal's lock held:
/// it does not sleep, and asks nothing of terminals.
pub trait Processes: Sync {
    fn group(&self) -> u32;
    fn session(&self) -> u32;
    /// Whether he leads his session.
    fn is_leader(&self) -> bool;
    /// The terminal that controls him.
    fn terminal(&self) -> Option<TtyId>;
    fn set_terminal(&self, terminal: Option<TtyId>);
    /// Whether he may take a terminal away from others, and open one that is somebody's own.
    fn is_privileged(&self) -> bool;
    /// Whether he ignores a signal, or blocks it.
    fn is_deaf_to(&self, signal: Signal) -> bool;
    /// Whether his group has no member whose parent is in another group of the session: nobody would continue it.
    fn is_orphaned(&self) -> bool;
    /// The session of a group; none if there is no such group.
    fn session_of(&self, group: u32) -> Option<u32>;
    /// Whether he has a signal to see to, so that he is not to sleep on. Who sends one wakes the thread
    /// (`task::interrupt`), wherever it sleeps.
    fn has_signal(&self) -> bool {
        interrupt::is_pending()
    }
    fn signal_group(&self, group: u32, signal: Signal);
    fn signal_leader(&self, session: u32, signal: Signal);
    /// Nobody of the session is controlled by this terminal any more.
    fn release_session(&self, session: u32, terminal: TtyId);
}

/// Kernel threads: no session, no terminal, all rights.
pub struct Nobody;

impl Processes for Nobody {
    fn group(&self) -> u32 {
        0
    }
    fn session(&self) -> u32 {
        0
    }
    fn is_leader(&self) -> bool {
        false
    }
    fn terminal(&self) -> Option<TtyId> {
        None
    }
    fn set_terminal(&self, _: Option<TtyId>) {}
    fn is_privileged(&self) -> bool {
        true
    }
    fn is_deaf_to(&self, _: Signal) -> bool {
        true
    }
    fn is_orphaned(&self) -> bool {
        true
    }
    fn session_of(&self, _: u32) -> Option<u32> {
        None
    }
    fn signal_group(&self, _: u32, _: Signal) {}
    fn signal_leader(&self, _: u32, _: Signal) {}
    fn release_session(&self, _: u32, _: TtyId) {}
}

static PROCESSES: Once<&'static dyn Processes> = Once::new();

/// From here on there are processes. Once, at boot.
pub fn register(processes: &'static dyn Processes) {
    PROCESSES.call_once(|| processes);
}

/// Whoever has registered.
pub fn processes() -> &'static dyn Processes {
    PROCESSES.get().copied().unwrap_or(&Nobody)
}

/// Whom a terminal controls.
pub struct Control {
    id: TtyId,
    session: Option<u32>,
    foreground: Option<u32>,
}

/// By which file something is asked: the terminal's own, or that of a pair's master, which is beyond control.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Terminal,
    Master,
}

impl Control {
    pub const fn new(id: TtyId) -> Self {
        Self { id, session: None, foreground: None }
    }

    fn controls(&self, processes: &dyn Processes) -> bool {
        processes.terminal() == Some(self.id)
    }

    /// Whether the caller may do what a process in the background may not. `signal` is SIGTTIN for reading and SIGTTOU
    /// for the rest.
    ///
    /// # Errors
    /// [`Error::Restart`] with the signal sent to his group, [`Error::Io`] where that would be of no use.
    pub fn check(&self, signal: Signal, processes: &dyn Processes) -> Result<(), Error> {
        let group = processes.group();
        if !self.controls(processes) || self.foreground.is_none_or(|foreground| foreground == group) {
            return Ok(());
        }
        if processes.is_deaf_to(signal) {
            return if signal == Signal::Ttin { Err(Error::Io) } else { Ok(()) };
        }
        if processes.is_orphaned() {
            return Err(Error::Io);
        }
        processes.signal_group(group, signal);
        Err(Error::Restart)
    }

    /// Signals the group in the foreground.
    pub fn signal(&self, signal: Signal, processes: &dyn Processes) {
        if let Some(group) = self.foreground {
            processes.signal_group(group, signal);
        }
    }

    /// It is opened to be read: a leader without a terminal gets it, if it has no session. Opened with O_NOCTTY, or
    /// for writing alone, it does not come here.
    pub fn opened(&mut self, processes: &dyn Processes) {
        if processes.is_leader() && processes.terminal().is_none() && self.session.is_none() {
            self.take(processes);
        }
    }

    fn take(&mut self, processes: &dyn Processes) {
        self.session = Some(processes.session());
        self.foreground = Some(processes.group());
        processes.set_terminal(Some(self.id));
    }

    /// TIOCSCTTY. `steal` is its argument 1; `readable` says how the file was opened.
    pub fn acquire(&mut self, steal: bool, readable: bool, processes: &dyn Processes) -> Result<(), Error> {
        let session = processes.session();
        if processes.is_leader() && self.session == Some(session) {
            return Ok(());
        }
        if !processes.is_leader() || processes.terminal().is_some() {
            return Err(Error::NotPermitted);
        }
        if self.session.is_some() && !(steal && processes.is_privileged()) {
            return Err(Error::NotPermitted);
        }
        if !readable && !processes.is_privileged() {
            return Err(Error::NotPermitted);
        }
        if let Some(other) = self.session {
            processes.release_session(other, self.id);
        }
        self.take(processes);
        Ok(())
    }

    /// TIOCNOTTY, and with `exits` the end of a process. If he leads the session, that is over for all of it.
    pub fn give_up(&mut self, exits: bool, processes: &dyn Processes) -> Result<(), Error> {
        if !self.controls(processes) {
            return Err(Error::NotTty);
        }
        if processes.is_leader() {
            self.signal(Signal::Hup, processes);
            if !exits {
                self.signal(Signal::Cont, processes);
            }
            if let Some(session) = self.session.take() {
                processes.release_session(session, self.id);
            }
            self.foreground = None;
        }
        processes.set_terminal(None);
        Ok(())
    }

    /// Whether the caller leads the session that it controls.
    pub fn is_led(&self, processes: &dyn Processes) -> bool {
        self.controls(processes) && processes.is_leader()
    }

    /// The other end is gone: the leader hears of it, and the session is free.
    pub fn hang_up(&mut self, processes: &dyn Processes) {
        if let Some(session) = self.session.take() {
            processes.signal_leader(session, Signal::Hup);
            processes.signal_leader(session, Signal::Cont);
            processes.release_session(session, self.id);
        }
        self.foreground = None;
    }

    /// TIOCGPGRP; 0 if there is none, as only the master's side can see.
    pub fn foreground(&self, side: Side, processes: &dyn Processes) -> Result<u32, Error> {
        if side == Side::Terminal && !self.controls(processes) {
            return Err(Error::NotTty);
        }
        Ok(self.foreground.unwrap_or(0))
    }

    /// TIOCGSID.
    pub fn session(&self, side: Side, processes: &dyn Processes) -> Result<u32, Error> {
        if side == Side::Terminal && !self.controls(processes) {
            return Err(Error::NotTty);
        }
        self.session.ok_or(Error::NotTty)
    }

    /// TIOCSPGRP, from either side.
    pub fn set_foreground(&mut self, group: i32, processes: &dyn Processes) -> Result<(), Error> {
        match self.check(Signal::Ttou, processes) {
            Err(Error::Io) => return Err(Error::NotTty),
            other => other?,
        }
        let group = u32::try_from(group).map_err(|_| Error::Invalid)?;
        if !self.controls(processes) || self.session != Some(processes.session()) {
            return Err(Error::NotTty);
        }
        let session = processes.session_of(group).ok_or(Error::NoGroup)?;
        if Some(session) != self.session {
            return Err(Error::NotPermitted);
        }
        self.foreground = Some(group);
        Ok(())
    }
}
