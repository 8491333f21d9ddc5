//! How a program begins: whose program a script is, what it is told, and where its memory lies.
//!
//! The pure parts of `execve`, in the order in which it uses them: [`script`] reads `#!`, [`arguments`] collects what the
//! program is told and holds it against the limits, [`layout`] chooses addresses, [`stack`] writes the first stack. None
//! of them touches memory: what is copied from the old program comes as slices, what the new one is to find goes out
//! through a [`stack::Sink`].

pub mod arguments;
pub mod layout;
pub mod script;
pub mod stack;
