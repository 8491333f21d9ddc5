//! What can be told from AML byte code without running it: sleep types and static interrupt routing.
//!
//! DSDT and SSDTs are programs. This kernel has no interpreter for them; it looks for two names whose values
//! are nearly always constants, and says so where they are not:
//!
//! - [`sleep`]: `Name (\_S5_, Package () {…})`, what to write to PM1 control to turn the machine off;
//! - [`prt`]: `Name (_PRT, Package () {…})`, how the INTx lines of a PCI bus are wired; where it is a method,
//!   as on most machines, [`prt::Routing::Method`].
//!
//! The scans go once over the bytes and try to understand each place that looks like a definition. They cannot
//! tell code from data, so a buffer that contains the exact bytes of such a definition would be taken for it;
//! the compiler would have to emit name, opcode and a well-formed package inside of one.
//!
//! Source: ACPI 6.5 chapter 20, ACPI Machine Language.

mod encoding;
pub mod prt;
pub mod sleep;

pub use encoding::{NAME_MAX, Name};
pub use prt::{Prt, Routing, routings};
pub use sleep::{SleepType, sleep_type};
