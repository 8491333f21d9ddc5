//! A terminal without its driver: discipline, job control, size, and the orders that need nothing else.
//!
//! It is what a serial line and the slave of a pair have in common. Pure code: whoever owns it holds a lock, wakes who is
//! to be woken, and gives it the line that its output goes to.
//!
//! A file that was open when the other end hung up is dead for good: reads end, all else is an error. So each file keeps
//! the number of the connection that it was opened in ([`Opened`]). The system's console is spared that: whoever has that
//! open, init above all, goes on when a session on the same line is over.

use super::error::Error;
use super::ioctl::{self, Command, Flow, Layout, When, flow_of, flush_of};
use super::job::{Control, Processes, Side, Signal, TtyId};
use super::n_tty::{Events, Line, NTty};
use super::termios::layout::{TERMIO, TERMIOS, TERMIOS2, WINSIZE};
use super::termios::{Control as ControlFlags, Local, Termios, WindowSize};
use bitflags::bitflags;

bitflags! {
    /// What poll(2) says of a file; Linux's numbers.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Poll: u32 {
        const IN = 0x001;
        const OUT = 0x004;
        const ERR = 0x008;
        const HUP = 0x010;
        const RDNORM = 0x040;
        const WRNORM = 0x100;
    }
}

impl Poll {
    pub const READ: Self = Self::IN.union(Self::RDNORM);
    pub const WRITE: Self = Self::OUT.union(Self::WRNORM);
    /// Of a file whose terminal is gone.
    pub const DEAD: Self = Self::READ.union(Self::WRITE).union(Self::ERR).union(Self::HUP);
}

/// An open file's part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    connection: u32,
    /// Whether it was opened for reading.
    pub readable: bool,
    /// It outlives connections.
    stays: bool,
}

impl Opened {
    /// A pair's master, which lives as long as the pair.
    pub const fn of_master() -> Self {
        Self { connection: 0, readable: true, stays: false }
    }

    /// The same for a file of the console's, which no hang-up kills.
    pub const fn of_console(self) -> Self {
        Self { stays: true, ..self }
    }
}

/// What an order answers: at most as many bytes as the largest has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    bytes: [u8; TERMIOS2],
    len: usize,
}

impl Answer {
    pub const NOTHING: Self = Self { bytes: [0; TERMIOS2], len: 0 };

    pub fn of(bytes: &[u8]) -> Self {
        let mut answer = Self::NOTHING;
        answer.bytes[..bytes.len()].copy_from_slice(bytes);
        answer.len = bytes.len();
        answer
    }

    pub fn number(number: u32) -> Self {
        Self::of(&number.to_le_bytes())
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// An order, with its argument: the number, or the bytes that it pointed to.
#[derive(Clone, Copy)]
pub struct Order<'a> {
    pub command: Command,
    pub value: u64,
    pub data: &'a [u8],
}

/// Has an order carried out as a program gives it: by its number, with its argument read from, and the answer written to,
/// the program's memory.
///
/// # Errors
/// [`Error::NotTty`] for one that is not known here, and what the order itself may meet.
pub fn serve(
    number: u32,
    value: u64,
    memory: &mut dyn ioctl::Memory,
    carry_out: impl FnOnce(&Order<'_>) -> Result<Answer, Error>,
) -> Result<u64, Error> {
    let (command, argument) = ioctl::find(number).ok_or(Error::NotTty)?;
    let mut buffer = [0; ioctl::LARGEST];
    let size = if let ioctl::Argument::In(size) = argument { size } else { 0 };
    let data = &mut buffer[..size];
    if size > 0 {
        memory.read(value, data)?;
    }
    let answer = carry_out(&Order { command, value, data })?;
    if let ioctl::Argument::Out(_) = argument {
        memory.write(value, answer.bytes())?;
    }
    Ok(0)
}

impl Order<'_> {
    /// The argument as an int.
    pub fn int(&self) -> Result<i32, Error> {
        self.data.try_into().map(i32::from_le_bytes).map_err(|_| Error::Invalid)
    }

    fn array<const N: usize>(&self) -> Result<&[u8; N], Error> {
        self.data.try_into().map_err(|_| Error::Invalid)
    }
}

/// The terminal.
pub struct Terminal {
    pub discipline: NTty,
    pub control: Control,
    size: WindowSize,
    exclusive: bool,
    is_pair: bool,
    /// What it has when it is new.
    initial: Termios,
    connection: u32,
}

impl Terminal {
    pub fn new(id: TtyId, initial: Termios, is_pair: bool) -> Result<Self, Error> {
        Ok(Self {
            discipline: NTty::new(initial.clone(), is_pair)?,
            control: Control::new(id),
            size: WindowSize::default(),
            exclusive: false,
            is_pair,
            initial,
            connection: 0,
        })
    }

    /// Opens it; `controls` if it may become the caller's controlling terminal.
    pub fn open(
        &mut self,
        readable: bool,
        controls: bool,
        processes: &dyn Processes,
    ) -> Result<Opened, Error> {
        if self.exclusive && !processes.is_privileged() {
            return Err(Error::Busy);
        }
        if controls && readable {
            self.control.opened(processes);
        }
        Ok(Opened { connection: self.connection, readable, stays: false })
    }

    /// Nobody has it open any more.
    pub fn closed(&mut self) {
        self.exclusive = false;
    }

    /// Whether the file is dead.
    pub fn is_dead(&self, file: &Opened) -> bool {
        !file.stays && file.connection != self.connection
    }

    /// The other end is gone. All open files die. A pair's settings are as new; a line keeps its own, for they are those of
    /// whatever is at its other end.
    pub fn hang_up(&mut self, processes: &dyn Processes) {
        self.control.hang_up(processes);
        let settings = if self.is_pair { &self.initial } else { self.discipline.settings() }.clone();
        self.discipline.hang_up(settings);
        self.exclusive = false;
        self.connection = self.connection.wrapping_add(1);
    }

    /// Sends the signals among the events, to the group in the foreground.
    pub fn signal(&self, events: Events, processes: &dyn Processes) {
        let signals =
            [(Events::INTERRUPT, Signal::Int), (Events::QUIT, Signal::Quit), (Events::SUSPEND, Signal::Tstp)];
        for (event, signal) in signals {
            if events.contains(event) {
                self.control.signal(signal, processes);
            }
        }
    }

    /// Whether the caller may read.
    pub fn may_read(&self, processes: &dyn Processes) -> Result<(), Error> {
        self.control.check(Signal::Ttin, processes)
    }

    /// Whether he may write.
    pub fn may_write(&self, processes: &dyn Processes) -> Result<(), Error> {
        if !self.discipline.settings().local.contains(Local::TOSTOP) {
            return Ok(());
        }
        self.control.check(Signal::Ttou, processes)
    }

    /// Whether he may give this order to this side.
    pub fn may_order(&self, side: Side, command: Command, processes: &dyn Processes) -> Result<(), Error> {
        // The settings are the terminal's, from whichever side they are set; all else of a master is its own.
        let concerned = side == Side::Terminal || matches!(command, Command::SetSettings(..));
        if command.needs_foreground() && concerned {
            self.control.check(Signal::Ttou, processes)?;
        }
        Ok(())
    }

    /// An order, once [`Self::may_order`] has let it pass and what it waits for has come.
    pub fn order(
        &mut self,
        side: Side,
        file: &Opened,
        order: &Order<'_>,
        line: &mut dyn Line,
        processes: &dyn Processes,
    ) -> Result<Answer, Error> {
        let discipline = &mut self.discipline;
        let mut answer = Answer::NOTHING;
        match order.command {
            Command::GetSettings(layout) => {
                let settings = discipline.settings();
                answer = match layout {
                    Layout::Termio => Answer::of(&settings.to_termio()),
                    Layout::Termios => Answer::of(&settings.to_termios()),
                    Layout::Termios2 => Answer::of(&settings.to_termios2()),
                };
            }
            Command::SetSettings(layout, when) => self.set_settings(layout, when, order, line)?,
            Command::GetSize => answer = Answer::of(&self.size.to_bytes()),
            Command::SetSize => {
                let size = WindowSize::from_bytes(order.array::<WINSIZE>()?);
                if core::mem::replace(&mut self.size, size) != size {
                    self.control.signal(Signal::Winch, processes);
                }
            }
            Command::Available => answer = Answer::number(discipline.available() as u32),
            Command::Flush => discipline.flush(flush_of(order.value).ok_or(Error::Invalid)?, line),
            Command::Flow => match flow_of(order.value).ok_or(Error::Invalid)? {
                Flow::Stop => discipline.program_stop(),
                Flow::Start => discipline.program_start(),
                flow => discipline.send_flow(flow == Flow::SendStop, line),
            },
            Command::Exclusive => self.exclusive = true,
            Command::NotExclusive => self.exclusive = false,
            Command::IsExclusive => answer = Answer::number(self.exclusive.into()),
            // As Linux does it, where it is not allowed for old programs' sake.
            Command::Inject => return Err(Error::Io),
            Command::Acquire => self.control.acquire(order.value == 1, file.readable, processes)?,
            Command::GiveUp => self.control.give_up(false, processes)?,
            Command::GetForeground => answer = Answer::number(self.control.foreground(side, processes)?),
            Command::SetForeground => self.control.set_foreground(order.int()?, processes)?,
            Command::GetSession => answer = Answer::number(self.control.session(side, processes)?),
            Command::GetDiscipline => answer = Answer::number(0),
            Command::SetDiscipline if order.int()? != 0 => return Err(Error::Invalid),
            Command::SetDiscipline => {}
            // What only a driver can do. A pair has no line that could be broken, and says that it was.
            Command::SendBreak | Command::SendBreakFor | Command::BreakOn | Command::BreakOff
                if self.is_pair => {}
            _ => return Err(Error::NotTty),
        }
        Ok(answer)
    }

    fn set_settings(
        &mut self,
        layout: Layout,
        when: When,
        order: &Order<'_>,
        line: &mut dyn Line,
    ) -> Result<(), Error> {
        let old = self.discipline.settings();
        let mut new = match layout {
            Layout::Termio => old.with_termio(order.array::<TERMIO>()?),
            Layout::Termios => old.with_termios(order.array::<TERMIOS>()?),
            Layout::Termios2 => old.with_termios2(order.array::<TERMIOS2>()?),
        };
        if self.is_pair {
            // Between the two of a pair there are only whole bytes.
            new.control.remove(ControlFlags::CSIZE | ControlFlags::PARENB);
            new.control.insert(ControlFlags::CS8 | ControlFlags::CREAD);
        }
        if when == When::Flushed {
            self.discipline.flush(super::n_tty::Flush::Input, line);
        }
        self.discipline.set(new, line);
        Ok(())
    }
}
