//! Serial ports.
//!
//! ```text
//! tty            Upper: received(characters), fill(bytes)          start_tx, throttle, set_settings …
//!                   ▲                                                 │
//! port           Port: what an interrupt means, flow control, the rule for who sends
//!                   │
//! uart16550      Uart: registers, FIFO, line status               log and panics: bytes, polled
//!                   │
//! platform       SerialRegisters: eight registers at a port
//! ```
//!
//! [`port`] and [`uart16550`] are pure and run on the host, against a chip of the imagination that keeps time ([`model`]);
//! `live` has the machine's two, with their locks, interrupt lines and timers.

#[cfg(target_os = "none")]
pub mod live;
#[cfg(test)]
mod model;
pub mod port;
pub mod settings;
#[cfg(test)]
mod tests;
pub mod uart16550;
