//! The monitor's commands: one table entry and one function each.
//!
//! `help`, tab completion and docs/monitor.md all come from [`TABLE`].

mod acpi;
mod control;
mod cpus;
mod fault;
mod files;
mod machine;
mod memory;
mod misuse;
mod pci;
mod serial;
mod stty;
mod symbol;
mod text;
mod threads;
mod time;
mod trace;
mod user;

use super::parse::{Problem, Words};
use core::fmt::Write;

/// What a command gets.
pub struct Call<'a, 'o> {
    /// What stood behind a `/` in the command's name.
    pub suffix: &'a str,
    pub words: Words<'a>,
    pub out: &'o mut dyn Write,
}

/// What a command returns: an error is one line, with the usage behind it.
pub type Result<'a> = core::result::Result<(), Problem<'a>>;

/// Yields words that could stand as a command's arguments.
pub type Complete = fn(&mut dyn FnMut(&str));

/// A command.
pub struct Command {
    pub name: &'static str,
    pub arguments: &'static str,
    /// One line.
    pub help: &'static str,
    /// More of it, for `help NAME`.
    pub details: &'static str,
    /// `name/SUFFIX` is allowed.
    pub takes_suffix: bool,
    pub run: for<'a> fn(&mut Call<'a, '_>) -> Result<'a>,
    pub complete: Complete,
}

/// Most commands take no suffix and have nothing to complete.
const fn command(
    name: &'static str,
    arguments: &'static str,
    help: &'static str,
    details: &'static str,
    run: for<'a> fn(&mut Call<'a, '_>) -> Result<'a>,
) -> Command {
    Command { name, arguments, help, details, takes_suffix: false, run, complete: |_| {} }
}

/// All of them, in alphabetical order.
#[rustfmt::skip]
pub const TABLE: &[Command] = &[
    Command { complete: acpi::complete, ..command("acpi", "[SIGNATURE]", "ACPI's tables", "Without a SIGNATURE, one line for each table; with one, or with `all`, decoded.", acpi::run) },
    Command { complete: control::complete_bench, ..command("bench", "[NAME]", "measure the hot paths", "In ticks of the time-stamp counter, or nanoseconds: all of them, or one. `make bench` counts instructions with it.", control::bench) },
    command("bootinfo", "", "what the loader passed", "Every field of BootInfo (src/boot/info.rs). Addresses are physical.", machine::bootinfo),
    command("bt", "[all]", "backtrace of the monitor itself, or of all CPUs", "By frame pointers, through traps; names from the kernel's own symbol table. With `all`: the other CPUs\nare asked by NMI, whatever they do.", symbol::bt),
    command("cat", "PATH [BYTES]", "print a file", "The first BYTES of it, 65536 if it is not said. What is no text is shown as \\xNN. It waits for nothing: a pipe or\nthe log ends where there is no more at the moment.", files::cat),
    command("clear", "", "clear the screen", "On the serial terminal and on the framebuffer. So does ^L, which keeps the line.", text::clear),
    command("clocks", "[SECONDS]", "compare the counters with the clock", "Over SECONDS, 1 if it is not said: what each has counted, by its own rate, and how far that is off the clock.\n`clocks reads N` reads the clock N times, its rate changing meanwhile, and counts the steps back.\n`clocks stray PPM` makes the clock wrong about the TSC's rate: the watchdog is to drop it within a minute.", time::clocks),
    command("cpu", "", "the processor, its features, and which are on", "Features by CPUID; `on` is read back from CR0, CR4, EFER, XCR0 and PAT.", machine::cpu),
    command("cpus", "", "the CPUs of this machine", "Number, APIC ID, package, core and thread by CPUID, and whether it runs, or why not.", cpus::cpus),
    command("dmesg", "", "the kernel log from the beginning", "All levels, as far back as 256 KiB reach.", text::dmesg),
    command("date", "", "the time of day, UTC", "Read from the real-time clock at start, and counted on from there.", time::date),
    command("echo", "TEXT", "print the text", "As it was typed, without the blanks around it.", text::echo),
    Command { complete: fault::complete, ..command("fault", "KIND", "provoke an exception", "Without a KIND it lists them. The report is that of a panic; where it is possible the monitor goes on after it.", fault::run) },
    command("free", "", "memory that nobody uses", "By zone, with the marks below which memory counts as short, and the free blocks by order.", memory::free),
    command("gdt", "", "the segment descriptors in use", "The table is asm/gdt.S; this reads it back from where GDTR points.", machine::gdt),
    Command { complete: text::complete_help, ..command("help", "[NAME]", "list the commands, or explain one", "The list is made from the table that the commands are found in.", text::help) },
    command("history", "", "the lines typed so far", "The last 32; up and down bring them back.", text::history),
    command("idt", "[VECTOR]", "the interrupt gates in use", "The table is filled in by asm/idt.S. Without a VECTOR, gates that differ only in their address are one line.", machine::idt),
    command("irq", "", "interrupts: vectors, owners, counts", "Since the start: on all CPUs, then on each of the first eight. Below the table: how bytes came from the serial line, and what went wrong.", machine::irq),
    command("leaks", "", "who has memory of the heap", "Each object in use, and which code asked for it. In debug builds only.", memory::leaks),
    command("ls", "[PATH]", "list a directory", "Mode, links, owner, group, size or device numbers, time of the last change, name; / if no PATH is given.", files::ls),
    command("maps", "", "the kernel's mappings", "A walk of the live page tables, one line for each run of pages with equal permissions.\nR present, W writable, X executable, U user; G stays in the TLB; PWT is write-combining here.", memory::maps),
    command("memmap", "", "the physical memory map", "The firmware's map as the loader passed it on, with its own ranges cut out, and the sum by kind.", memory::memmap),
    Command { complete: misuse::complete, ..command("misuse", "KIND [CPU]", "misuse the heap or a lock on purpose", "overflow, double-free or use-after-free; rank, mutex, abba, sleep, let-in or irq-off, which takes 11 seconds.\nIn a debug build it is named: of memory with who allocated and who freed, of locks with both places.\nirq-stuck CPU or preempt-stuck CPU: it stops for 14 seconds, and where there are several the watchdog names it.", misuse::run) },
    command("mkdir", "PATH", "make a directory", "Its parent has to be there.", files::mkdir),
    command("mount", "", "what is mounted where", "Source, place, kind and options, in the order in which they were mounted.", files::mount),
    Command { takes_suffix: true, ..command("panic", "[TEXT]", "panic on purpose: panic, or panic/CPU", "What happens after it is the option panic= of the command line.", control::panic) },
    command("pci", "", "PCI functions, and where their interrupt pins lead", "From the root bus through the bridges: address, ids, class, header type; base addresses as the firmware left\nthem; the interrupt pin, the input of the I/O APIC or the 8259s that it arrives at, and who says so.", pci::run),
    command("poweroff", "", "turn the machine off", "By ACPI's S5, in both PM1 control registers. Without ACPI it says so.", control::poweroff),
    command("pt", "ADDR", "how an address is translated", "Each level's table, index and entry, down to the page or to the first entry that is not present.", memory::pt),
    command("reboot", "", "reset the machine", "By the FADT's register, port 0xCF9, the keyboard controller, or a triple fault.", control::reboot),
    command("regs", "", "control, segment and system registers", "As they are while this command runs.", machine::regs),
    command("resume", "", "back to what a break has interrupted", "A break on the console's serial line opens the monitor over whatever has that line's terminal open. This gives\nthe line back: what is typed is theirs again, and what they have written meanwhile comes.", serial::resume),
    command("rm", "PATH", "remove a file, or an empty directory", "The name goes; who has the file open keeps it.", files::rm),
    Command { complete: control::complete_selftest, ..command("selftest", "[NAME]", "run the tests built into the kernel", "All that do not take long, or those of one name, or of one group: mm, smp. With the option selftest the kernel runs them at boot instead.", control::selftest) },
    command("serial", "[PORT echo|poll|close|take|give|lines]", "serial ports: settings, lines, counts", "Chip, how it is served, the modem's lines, what went in and out, and what went wrong on the line.\n`serial 1 echo` opens ttyS1 and sends back what comes there, `serial 1 poll` without interrupts; `serial 1 close`\nends that. `serial 1 take BYTES [stall] [nofifo]` opens ttyS1 as a file, raw, and reads so many while threads keep\nthe CPUs busy; `give` sends them. Both tell the checksum; `stall`: the reader stops now and then.\n`serial 0 lines [READERS]`: threads open the port's terminal, on the console's port too, read lines and say which,\nuntil each has had a ^D. A break on the line opens the monitor over them.", serial::serial),
    command("stty", "[-F PORT] [WORD ...]", "a terminal's settings", "Of ttyS0 unless said otherwise. Without a WORD it shows them; a WORD is a speed, raw, cooked, or a flag's name as\nPOSIX has it in small letters, with - before it to turn it off: echo, -icanon, ixoff, crtscts.", stty::run),
    command("slabs", "", "the heap's caches", "Objects in use, free ones that this CPU has at hand, slabs, and what these take.", memory::slabs),
    command("sleep", "SECONDS", "wait, without working", "A timer wakes it. A fraction is allowed: 0.25.", time::sleep),
    command("stat", "PATH", "what is known of a file", "Of the file itself, if it is a symbolic link; with a / behind the name, of what it leads to.", files::stat),
    command("sum", "PATH [BYTES]", "length and CRC-32 of a file, or of a tree", "Of all of it, or of the first BYTES; the polynomial is that of gzip. Of a directory: of all that is below it, in\nthe order of the names, with name, mode, owner, time, links, size and contents of each.", files::sum),
    command("sym", "ADDR|NAME", "from an address to a symbol, or the other way", "A NAME may be the end of a path. Without an exact match, all symbols that contain it are listed.", symbol::sym),
    command("threads", "", "threads: what they do, and their CPU time", "By id: name, state, class and nice value or priority, CPU, and the time that it has had there. `fpu` has\nfloating-point state of its own, `ring 3` runs a program. Below: stacks, and switches so far.", threads::run),
    command("timers", "", "armed timers, and the counters", "Earliest first, with the seconds until then. Below: every counter of the machine and its rate.", time::timers),
    Command { complete: trace::complete, ..command("trace", "[on|off|dump [N]|clear]", "record what threads do on the CPUs", "Switches, wake-ups, beginnings and migrations, the last 4096 of each CPU. `dump` ends the recording and writes the\nlast N of each CPU, 1000 if it is not said: test/tools/trace.py makes a picture of that, or JSON for Perfetto.\n`clear` gives the memory back. Without a word: whether it is on, and how much there is.", trace::run) },
    command("uptime", "", "time since the kernel's entry", "By the monotonic clock.", time::uptime),
    Command { complete: user::complete, ..command("user", "[NAME]", "run a program in ring 3", "One of those in asm/flat*.S, in a thread of its own, to its end, which is told; ^C ends it.\nWithout a NAME: all of them, and how often the doors were used.", user::run) },
    command("watch", "[ADDR|off]", "report each write to 8 bytes of memory", "By a debug register: the report names the instruction after the write. Without an argument: what is watched.", memory::watch),
    command("write", "PATH TEXT", "write a line to a file", "The file is made if need be, and emptied if it is a plain one. The line is TEXT with a line feed.", files::write),
    Command { takes_suffix: true, ..command("x", "ADDR", "examine memory: x/N ADDR, x/Nb, h, w or g", "N units of 1, 2, 4 or 8 bytes (default: one of 8). What cannot be read prints as question marks.\nADDR is a number, or a symbol's name with +N or -N behind it.", memory::examine) },
];

/// Finds a command by its exact name.
pub fn find(name: &str) -> Option<&'static Command> {
    TABLE.iter().find(|command| command.name == name)
}
