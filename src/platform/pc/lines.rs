//! Which inputs of the interrupt controllers are in use, and by whom.
//!
//! A level-triggered input may be shared: its vector calls a [`Chain`] of handlers. An edge belongs to one device, and
//! its vector calls that one's handler itself. Called by `interrupts::request_line`; what happens at the chips is in
//! there, and comes as two closures.

use super::intx::Input;
use crate::platform::chain::{Chain, HANDLERS};
use crate::platform::{Handler, NoLine};
use crate::sync::{IrqLock, Rank};

/// Most inputs that can be in use.
const LINES: usize = 64;

/// What the shared lines call, by number: read in interrupts, without a lock.
static CHAINS: [Chain; LINES] = [const { Chain::new() }; LINES];

/// An input in use.
#[derive(Clone, Copy)]
struct Line {
    input: Input,
    vector: u8,
    is_shared: bool,
    /// The owners', in the chain's order.
    names: [Option<&'static str>; HANDLERS],
}

static IN_USE: IrqLock<[Option<Line>; LINES]> = IrqLock::new(Rank::Lines, [None; LINES]);

/// What the vector of a shared line calls.
fn call_chain(number: usize) {
    if let Some(chain) = CHAINS.get(number) {
        chain.call();
    }
}

/// Gives `input` to a handler, beside those that it has if the line is shared. For a line that is not in use yet,
/// `connect` wires it, masked, to what its vector is to call, and returns the vector; `open` unmasks it.
pub fn take(
    input: Input,
    is_shared: bool,
    name: &'static str,
    handler: Handler,
    argument: usize,
    connect: impl FnOnce(Handler, usize) -> Result<u8, NoLine>,
    open: impl FnOnce() -> Result<(), NoLine>,
) -> Result<(), NoLine> {
    let mut lines = IN_USE.lock();
    if let Some(number) = lines.iter().position(|line| line.is_some_and(|line| line.input == input)) {
        let line = lines[number].as_mut().filter(|line| line.is_shared).ok_or(NoLine)?;
        let count = CHAINS[number].add(handler, argument).map_err(|_| NoLine)?;
        line.names[count - 1] = Some(name);
        return Ok(());
    }
    let number = lines.iter().position(Option::is_none).ok_or(NoLine)?;
    let (called, with) = if is_shared { (call_chain as Handler, number) } else { (handler, argument) };
    let vector = connect(called, with)?;
    if is_shared {
        // Before the line opens: there must be somebody to quieten the device.
        CHAINS[number].add(handler, argument).map_err(|_| NoLine)?;
    }
    let mut names = [None; HANDLERS];
    names[0] = Some(name);
    lines[number] = Some(Line { input, vector, is_shared, names });
    open()
}

/// An input in use, for display.
#[derive(Clone, Copy, Debug)]
pub struct Shown {
    /// The 8259's line or the number of the I/O APIC's input.
    pub number: u32,
    pub vector: u8,
    /// `IO-APIC-edge` and the like.
    pub chip: &'static str,
    /// Its first owner.
    pub name: &'static str,
}

/// The input in use with the lowest number that is not below `from`.
pub fn next_line(from: u32) -> Option<Shown> {
    let lines = IN_USE.lock();
    let shown = |line: &Line| {
        let (number, chip) = match (line.input, line.is_shared) {
            (Input::Isa(irq), false) => (irq.into(), "XT-PIC"),
            (Input::Isa(irq), true) => (irq.into(), "XT-PIC-level"),
            (Input::Gsi(gsi), false) => (gsi, "IO-APIC-edge"),
            (Input::Gsi(gsi), true) => (gsi, "IO-APIC-fasteoi"),
        };
        Shown { number, vector: line.vector, chip, name: line.names[0].unwrap_or("") }
    };
    lines.iter().flatten().map(shown).filter(|line| line.number >= from).min_by_key(|line| line.number)
}

/// The owners that a vector has beside the first: for display.
pub fn other_owners(vector: u8, visit: &mut dyn FnMut(&'static str)) {
    let names = IN_USE.lock().iter().flatten().find(|line| line.vector == vector).map(|line| line.names);
    names.iter().flat_map(|names| names.iter().skip(1)).flatten().for_each(|name| visit(name));
}
