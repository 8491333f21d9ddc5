//! Signals: what is sent to a program, what becomes of it, and how a handler is called and left.
//!
//! Pure code: it decides and lays out bytes. The layer that has processes holds the parts of this directory under its own
//! lock, wakes whom it is told to wake, and writes what it is given to write.
//!
//! ```text
//!   kill, a fault, a child's end, ^C
//!        │
//!        ▼            prepare      SIGCONT and stops take each other back            send
//!   ┌─ sending ─┐     is_ignored   nobody would notice: not queued                   action
//!   └───────────┘     pick         which thread is to wake for a process's signal    send
//!        │
//!        ▼
//!   queues: one a thread, one a process; a set of numbers, and what came with them   pending
//!        │
//!        ▼  on the way back to ring 3, with the thread's mask
//!   ┌─ taking ──┐     next         faults first, then the lowest number              deliver
//!   └───────────┘
//!        │ ignored: the next one   ended, stopped: the process's business
//!        ▼ a handler
//!   ┌─ calling ─┐     restart      what becomes of the call that was interrupted     restart
//!   └───────────┘     build        a frame on its stack, and registers               frame
//!        ⋮ sigreturn
//!   └─ leaving ─┘     read         the frame, believed in nothing                    frame
//! ```
//!
//! Source: POSIX.1-2017, "Signal Concepts"; Linux, kernel/signal.c and arch/x86/kernel/signal_64.c, for what is its own.

pub mod action;
pub mod altstack;
pub mod deliver;
pub mod fault;
pub mod frame;
pub mod info;
pub mod mask;
pub mod number;
pub mod pending;
pub mod restart;
pub mod send;
pub mod set;

pub use info::Info;
pub use number::Signal;
pub use set::SigSet;
