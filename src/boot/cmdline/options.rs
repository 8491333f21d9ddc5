//! The table of the options that the kernel or the loader knows.
//!
//! It decides what is ours and what goes to init, and it is what `help` and the documents are made from. An
//! option is one line here; who reads it asks [`super::CommandLine`] by its name.

use core::fmt;

/// How an option is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `name`
    Bare,
    /// `name=VALUE`, with a word for the value
    Value(&'static str),
    /// `name` or `name=VALUE`
    Either(&'static str),
}

/// An option that the kernel or the loader knows.
#[derive(Clone, Copy, Debug)]
pub struct KnownOption {
    /// What stands before the `=`.
    pub name: &'static str,
    /// How it is written.
    pub form: Form,
    /// One line.
    pub help: &'static str,
}

impl fmt::Display for KnownOption {
    /// `name=VALUE`, padded as asked.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = match self.form {
            Form::Bare => ["", "", ""],
            Form::Value(value) => ["=", value, ""],
            Form::Either(value) => ["[=", value, "]"],
        };
        f.write_str(self.name)?;
        parts.iter().try_for_each(|part| f.write_str(part))?;
        let len = parts.iter().fold(self.name.len(), |sum, part| sum.saturating_add(part.len()));
        (len..f.width().unwrap_or(0)).try_for_each(|_| f.write_str(" "))
    }
}

const fn bare(name: &'static str, help: &'static str) -> KnownOption {
    KnownOption { name, form: Form::Bare, help }
}

const fn value(name: &'static str, value: &'static str, help: &'static str) -> KnownOption {
    KnownOption { name, form: Form::Value(value), help }
}

const fn either(name: &'static str, value: &'static str, help: &'static str) -> KnownOption {
    KnownOption { name, form: Form::Either(value), help }
}

/// Every option there is. What is not in here goes to init.
pub const KNOWN_OPTIONS: &[KnownOption] = &[
    value("root", "DEVICE", "root disk: /dev/vda, or UUID=, LABEL=, PARTUUID="),
    value("rootfstype", "TYPE", "file system of the root disk"),
    value("rootflags", "FLAGS", "mount options of the root disk"),
    bare("ro", "mount the root disk read-only (default)"),
    bare("rw", "mount the root disk writable"),
    value("initrd", "NAME", "file on the boot volume to unpack to /"),
    value("init", "PATH", "first program to run"),
    value("console", "DEVICE[,OPTIONS]", "ttyS0 or tty0 (framebuffer); may be repeated"),
    value("loglevel", "N", "print messages more urgent than this, 0 to 7"),
    value("video", "WxH", "framebuffer mode to ask the firmware for"),
    value("maxcpus", "N", "start at most so many CPUs"),
    value("hidecpu", "N", "a test hook: CPU N is not called at start-up"),
    value("tscskew", "CPU:NS", "a test hook: this CPU's TSC seems off by NS"),
    bare("nox2apic", "leave the local APICs in xAPIC mode"),
    bare("serialpoll", "a timer, not an interrupt, looks after the serial port"),
    bare("noapic", "no I/O APIC: the 8259s deliver the interrupts"),
    bare("nolapic", "no local APIC either; one CPU"),
    bare("nohpet", "do not use the HPET"),
    bare("notsc", "do not use the TSC as a clock"),
    value("idle", "HOW", "how a CPU with nothing to do sleeps: hlt or mwait"),
    value("brokenlock", "NAME,...", "a test hook: locks that the torture does not take; or all"),
    value("slice", "US", "a test hook: microseconds a thread has before others"),
    value("forget", "WHAT", "a test hook: fpu, segments or shootdown are left out"),
    value("hz", "N", "timer interrupts a second"),
    bare("norandmaps", "load programs at the same addresses each time"),
    bare("strace", "log every system call"),
    value("failalloc", "N", "make memory allocations fail, for tests"),
    bare("monitor", "start the kernel's monitor instead of init"),
    value("exercise", "N", "a test hook: steps of files-fsx and files-stress"),
    either("selftest", "NAME,...", "run the tests built into the kernel, then end"),
    value("panic", "halt|reboot|exit", "what to do after a panic (default halt)"),
];

/// The option of that name.
pub(super) fn find(name: &str) -> Option<&'static KnownOption> {
    KNOWN_OPTIONS.iter().find(|option| option.name == name)
}
