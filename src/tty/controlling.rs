//! Terminals by the numbers under which processes know them: what happens to a whole session.
//!
//! | what happens | to be called |
//! | --- | --- |
//! | a process ends that leads its session | [`leader_exits`], while it still is the caller |
//! | vhangup(2) | [`hang_up`] |
//! | somebody asks whose turn it is (/proc/PID/stat, tpgid) | [`foreground`] |
//!
//! That carrier is lost is for the driver to notice ([`serial`]), that a master closes for the pair ([`super::pty`]). A
//! process that leaves its session (setsid) or a child that is made needs nothing of the terminal: which one controls whom
//! is kept by the layer of processes ([`super::job::Processes`]).

use super::job::{TtyId, processes};
use super::{ptys, serial};
use crate::drivers::serial::live::PORTS;
use crate::fs::mode::Device;

/// What a number means.
enum Named {
    Serial(&'static serial::SerialTty),
    Pair(crate::fs::refs::Ref<super::pair::Pair>),
}

fn find(id: TtyId) -> Option<Named> {
    let Device { major, minor } = Device::decode(id.0);
    match major {
        serial::MAJOR => {
            let number = minor.checked_sub(serial::FIRST_MINOR).filter(|&number| number < PORTS as u32)?;
            serial::terminal(number as usize).map(Named::Serial)
        }
        ptys::MAJOR => ptys::PAIRS.get(minor).map(Named::Pair),
        _ => None,
    }
}

/// The caller ends. If he leads a session that has a terminal, the group in its foreground gets SIGHUP, and nobody of the
/// session is controlled by it any more. A serial line is hung up, too: its files are dead, but for those of /dev/console.
pub fn leader_exits() {
    match processes().terminal().and_then(find) {
        Some(Named::Serial(tty)) => tty.leader_exits(),
        Some(Named::Pair(pair)) => pair.leader_exits(),
        None => {}
    }
}

/// Whoever has that terminal open loses it, and so does the session that it controls, whose leader gets SIGHUP and SIGCONT.
pub fn hang_up(id: TtyId) {
    match find(id) {
        Some(Named::Serial(tty)) => tty.hang_up(),
        Some(Named::Pair(pair)) => pair.hang_up(),
        None => {}
    }
}

/// The group in the foreground.
pub fn foreground(id: TtyId) -> Option<u32> {
    match find(id)? {
        Named::Serial(tty) => tty.foreground(),
        Named::Pair(pair) => pair.foreground(),
    }
}
