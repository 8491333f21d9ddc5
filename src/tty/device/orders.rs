//! Orders to a live terminal: those that a driver obeys, and the way to the others.

use super::super::error::Error;
use super::super::ioctl::{Command, Memory, Modem};
use super::super::job::Side;
use super::super::terminal::{self, Answer, Opened, Order};
use super::{Driver, Tty, Wire};

/// How long a break is that no length was given for, as Linux has it.
const BREAK_NS: u64 = 250_000_000;

impl<D: Driver> Tty<D> {
    /// An order by its number; the argument is a number or an address in `memory`.
    ///
    /// # Errors
    /// [`Error::NotTty`] for one that is not known here, and what the order itself may meet.
    pub fn ioctl(
        &self,
        file: &Opened,
        number: u32,
        value: u64,
        memory: &mut dyn Memory,
    ) -> Result<u64, Error> {
        terminal::serve(number, value, memory, |order| self.order(file, order))
    }

    /// The same, its argument read.
    pub fn order(&self, file: &Opened, order: &Order<'_>) -> Result<Answer, Error> {
        let command = order.command;
        {
            let inner = self.inner.lock();
            if inner.terminal.is_dead(file) {
                return Err(if command == Command::SetForeground { Error::NotTty } else { Error::Io });
            }
            inner.terminal.may_order(Side::Terminal, command, self.around.processes)?;
        }
        if command.drains() {
            self.drain()?;
        }
        match command {
            Command::Unsent => return Ok(Answer::number(self.driver.unsent() as u32)),
            Command::GetModem => return self.driver.modem().map(Answer::number),
            Command::SetModem(how) => {
                let bits = order.int()? as u32;
                let (on, off) = match how {
                    Modem::Set => (bits, !bits),
                    Modem::On => (bits, 0),
                    Modem::Off => (0, bits),
                };
                return self.driver.set_modem(on, off).map(|()| Answer::NOTHING);
            }
            Command::BreakOn | Command::BreakOff => {
                self.driver.set_break(command == Command::BreakOn);
                return Ok(Answer::NOTHING);
            }
            Command::SendBreak if order.value != 0 => return Ok(Answer::NOTHING),
            Command::SendBreak | Command::SendBreakFor => {
                let tenths = if command == Command::SendBreakFor { order.value } else { 0 };
                self.send_break(if tenths == 0 { BREAK_NS } else { tenths.min(255) * 100_000_000 });
                return Ok(Answer::NOTHING);
            }
            _ => {}
        }
        let mut inner = self.inner.lock();
        let terminal = &mut inner.terminal;
        let answer =
            terminal.order(Side::Terminal, file, order, &mut Wire(&self.driver), self.around.processes);
        if let (Command::SetSettings(..), Ok(_)) = (command, &answer) {
            let mut settings = terminal.discipline.settings().clone();
            self.driver.configure(&mut settings);
            terminal.discipline.adjust(settings);
        }
        self.settle(&mut inner);
        answer
    }

    fn send_break(&self, length_ns: u64) {
        self.driver.set_break(true);
        let until_ns = (self.around.now_ns)() + length_ns;
        while (self.around.now_ns)() < until_ns && !self.interrupted() {
            self.writers.wait(self.writers.seen(), until_ns, &|| self.interrupted());
        }
        self.driver.set_break(false);
    }
}
