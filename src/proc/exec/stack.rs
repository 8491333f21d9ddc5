//! The stack that a program begins with: how many arguments, where they are, and what the kernel tells it.
//!
//! ```text
//!  stack_top ┌──────────────────────────────┐
//!            │ 8 bytes of zeroes            │
//!            │ "./prog"                     │ ← AT_EXECFN: the name given to execve
//!            │ "LANG=C"  …  the last        │   environment, the first string lowest
//!            │ "prog" "-x"  …               │   arguments, likewise
//!            ├──────────────────────────────┤ ← up to 8 KiB less, at random, to a multiple of 16
//!            │ "x86_64"                     │ ← AT_PLATFORM
//!            │ 16 random bytes              │ ← AT_RANDOM
//!            ├──────────────────────────────┤   and down to where rsp becomes a multiple of 16
//!            │ AT_NULL, 0                   │
//!            │ …  pairs of type and value   │   the auxiliary vector
//!            │ AT_SYSINFO_EHDR, address     │
//!            │ 0                            │
//!            │ envp[n-1] … envp[0]          │
//!            │ 0                            │
//!            │ argv[n-1] … argv[0]          │
//!  rsp →     │ argc                         │
//!            └──────────────────────────────┘
//! ```
//!
//! Programs may rely on the lower half only (the ABI's part); but `ps`, `setproctitle` and its like write over the
//! strings and count on them being in this order without a gap, so they are, as on Linux.
//!
//! Source: AMD64 supplement §3.4.1 "Initial Stack and Register State" and figure 3.9; Linux, fs/binfmt_elf.c and
//! fs/exec.c.

use super::arguments::Arguments;
use crate::errno::Errno;
pub use crate::proc::memory::Sink;

/// Types of the auxiliary vector: `AT_*`, AMD64 supplement §3.4.3 and Linux's `auxvec.h`.
pub mod at {
    pub const NULL: u64 = 0;
    pub const PHDR: u64 = 3;
    pub const PHENT: u64 = 4;
    pub const PHNUM: u64 = 5;
    pub const PAGESZ: u64 = 6;
    pub const BASE: u64 = 7;
    pub const FLAGS: u64 = 8;
    pub const ENTRY: u64 = 9;
    pub const UID: u64 = 11;
    pub const EUID: u64 = 12;
    pub const GID: u64 = 13;
    pub const EGID: u64 = 14;
    pub const PLATFORM: u64 = 15;
    pub const HWCAP: u64 = 16;
    pub const CLKTCK: u64 = 17;
    pub const SECURE: u64 = 23;
    pub const RANDOM: u64 = 25;
    pub const HWCAP2: u64 = 26;
    pub const EXECFN: u64 = 31;
    pub const SYSINFO_EHDR: u64 = 33;
    pub const MINSIGSTKSZ: u64 = 51;
}

/// In [`Told::hwcap2`]: RDFSBASE and the like work in ring 3 (`HWCAP2_FSGSBASE`).
pub const HWCAP2_FSGSBASE: u64 = 1 << 1;
/// What times are counted in where a program is told of ticks (`AT_CLKTCK`), whatever `hz=` is.
pub const TICKS_PER_SECOND: u64 = 100;
/// The name that the dynamic linker looks for libraries under.
const PLATFORM: &[u8] = b"x86_64\0";

/// What the kernel tells a program of itself and of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// Address of the vDSO; 0 if there is none.
    pub vdso: u64,
    /// Bytes that a signal's frame takes at most ([`at::MINSIGSTKSZ`]).
    pub signal_stack_min: u64,
    /// EDX of CPUID's leaf 1.
    pub hwcap: u64,
    pub hwcap2: u64,
    /// Address of the program headers; 0 if they are not in memory.
    pub headers: u64,
    pub header_count: u64,
    /// Where the interpreter was put; 0 without one.
    pub interpreter_base: u64,
    /// The program's own first instruction, not its interpreter's.
    pub entry: u64,
    pub uid: u32,
    pub effective_uid: u32,
    pub gid: u32,
    pub effective_gid: u32,
    /// The program has rights that its caller had not: its libraries are to trust nothing.
    pub is_secure: bool,
    /// Nobody else's.
    pub random: [u8; 16],
}

/// Where things are once the stack is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stack {
    /// A multiple of 16; argc is there.
    pub rsp: u64,
    /// From the first argument to past the last, with its 0: what `/proc/PID/cmdline` shows.
    pub arguments: (u64, u64),
    /// The environment, likewise.
    pub environment: (u64, u64),
}

/// Words that are written at once.
const BATCH: usize = 64;

/// Words, one behind the other, on their way into memory.
struct Words<'a, S> {
    sink: &'a mut S,
    at: u64,
    waiting: [u8; BATCH * 8],
    used: usize,
}

impl<'a, S: Sink> Words<'a, S> {
    const fn new(sink: &'a mut S, at: u64) -> Self {
        Self { sink, at, waiting: [0; BATCH * 8], used: 0 }
    }

    fn push(&mut self, word: u64) -> Result<(), Errno> {
        if self.used == self.waiting.len() {
            self.flush()?;
        }
        self.waiting[self.used..self.used + 8].copy_from_slice(&word.to_le_bytes());
        self.used += 8;
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Errno> {
        self.sink.write(self.at, &self.waiting[..self.used])?;
        self.at += self.used as u64;
        self.used = 0;
        Ok(())
    }
}

/// Pairs of the auxiliary vector, the last included.
const PAIRS: usize = 21;

/// Writes the stack whose end is `top`, page-aligned, into memory that is zero so far. `shift`: how far down at random what is below the strings begins
/// ([`super::layout::Layout::stack_shift`]). [`Errno::E2big`] if all this does not fit above address 0, or what the
/// sink says.
pub fn write<S: Sink>(
    arguments: &Arguments,
    told: &Told,
    top: u64,
    shift: u64,
    sink: &mut S,
) -> Result<Stack, Errno> {
    let (argc, envc) = (arguments.argument_count(), arguments.environment_count());
    let strings_end = top.checked_sub(8).ok_or(Errno::E2big)?;
    let strings = strings_end.checked_sub(arguments.len_bytes()).ok_or(Errno::E2big)?;
    let platform = (strings.checked_sub(shift).ok_or(Errno::E2big)? & !15)
        .checked_sub(PLATFORM.len() as u64)
        .ok_or(Errno::E2big)?;
    let words = 1 + argc + 1 + envc + 1 + 2 * PAIRS as u64;
    let below = told.random.len() as u64 + words * 8;
    let random = platform.checked_sub(told.random.len() as u64).ok_or(Errno::E2big)?;
    let rsp = platform.checked_sub(below).ok_or(Errno::E2big)? & !15;

    sink.write(strings_end, &[0; 8])?;
    sink.write(platform, PLATFORM)?;
    sink.write(random, &told.random)?;
    let name = strings_end - arguments.name().len() as u64 - 1;
    let (arguments_end, environment_end) = write_strings(arguments, strings, rsp, sink)?;

    // The vector is behind the pointers.
    let mut words = Words::new(sink, rsp + (1 + argc + 1 + envc + 1) * 8);
    for (kind, value) in vector(told, name, platform, random) {
        words.push(kind)?;
        words.push(value)?;
    }
    words.flush()?;
    debug_assert!(environment_end == name);
    Ok(Stack { rsp, arguments: (strings, arguments_end), environment: (arguments_end, environment_end) })
}

/// The strings from `at` on, and argc and the pointers to them from `rsp` on. Returns where the arguments end and where
/// the environment does.
fn write_strings<S: Sink>(
    arguments: &Arguments,
    at: u64,
    rsp: u64,
    sink: &mut S,
) -> Result<(u64, u64), Errno> {
    let (argc, envc) = (arguments.argument_count(), arguments.environment_count());
    let mut address = at;
    arguments.for_each_piece(|piece| {
        sink.write(address, piece)?;
        address += piece.len() as u64;
        Ok::<(), Errno>(())
    })?;

    let mut words = Words::new(sink, rsp);
    words.push(argc)?;
    let (mut address, mut begins, mut strings) = (at, true, 0);
    let (mut arguments_end, mut environment_end) = (at, at);
    arguments.for_each_piece(|piece| {
        for &byte in piece {
            if begins {
                if strings == argc {
                    arguments_end = address;
                    words.push(0)?;
                }
                if strings == argc + envc {
                    environment_end = address;
                    words.push(0)?;
                } else if strings < argc + envc {
                    words.push(address)?;
                }
                strings += 1;
            }
            begins = byte == 0;
            address += 1;
        }
        Ok::<(), Errno>(())
    })?;
    words.flush()?;
    Ok((arguments_end, environment_end))
}

/// The auxiliary vector, in Linux's order.
fn vector(told: &Told, name: u64, platform: u64, random: u64) -> [(u64, u64); PAIRS] {
    [
        (at::SYSINFO_EHDR, told.vdso),
        (at::MINSIGSTKSZ, told.signal_stack_min),
        (at::HWCAP, told.hwcap),
        (at::PAGESZ, crate::boot::layout::PAGE_SIZE),
        (at::CLKTCK, TICKS_PER_SECOND),
        (at::PHDR, told.headers),
        (at::PHENT, crate::proc::elf::HEADER_BYTES),
        (at::PHNUM, told.header_count),
        (at::BASE, told.interpreter_base),
        (at::FLAGS, 0),
        (at::ENTRY, told.entry),
        (at::UID, told.uid.into()),
        (at::EUID, told.effective_uid.into()),
        (at::GID, told.gid.into()),
        (at::EGID, told.effective_gid.into()),
        (at::SECURE, told.is_secure.into()),
        (at::RANDOM, random),
        (at::HWCAP2, told.hwcap2),
        (at::EXECFN, name),
        (at::PLATFORM, platform),
        (at::NULL, 0),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::arguments::List;
    use super::super::script::Script;
    use super::*;
    use std::collections::BTreeMap;
    use std::string::String;
    use std::vec::Vec;

    /// Memory that notices a byte that is written twice.
    #[derive(Default)]
    struct Memory(BTreeMap<u64, u8>);

    impl Sink for Memory {
        fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), Errno> {
            for (at, &byte) in (address..).zip(bytes) {
                assert_eq!(self.0.insert(at, byte), None, "{at:#x} twice");
            }
            Ok(())
        }
    }

    impl Memory {
        fn word(&self, at: u64) -> u64 {
            u64::from_le_bytes(core::array::from_fn(|i| self.0[&(at + i as u64)]))
        }

        fn string(&self, at: u64) -> String {
            (at..).map(|at| char::from(self.0[&at])).take_while(|&c| c != '\0').collect()
        }

        /// As a program's first instructions read it: argv, envp, the vector.
        fn read(&self, rsp: u64) -> (Vec<String>, Vec<String>, Vec<(u64, u64)>) {
            let argc = self.word(rsp);
            let mut at = rsp + 8;
            let mut strings = || {
                let mut list = Vec::new();
                while self.word(at) != 0 {
                    list.push(self.string(self.word(at)));
                    at += 8;
                }
                at += 8;
                list
            };
            let (argv, envp) = (strings(), strings());
            assert_eq!(argv.len() as u64, argc);
            let mut vector = Vec::new();
            loop {
                vector.push((self.word(at), self.word(at + 8)));
                at += 16;
                if vector.last().unwrap().0 == at::NULL {
                    return (argv, envp, vector);
                }
            }
        }
    }

    const TOP: u64 = 0x7FFF_FFFF_E000;

    fn told() -> Told {
        Told {
            vdso: 0x7FFF_F7FC_1000,
            signal_stack_min: 3376,
            hwcap: 0x0F8B_FBFF,
            hwcap2: HWCAP2_FSGSBASE,
            headers: 0x40_0040,
            header_count: 9,
            interpreter_base: 0x7FFF_F7FC_3000,
            entry: 0x40_1010,
            uid: 1,
            effective_uid: 2,
            gid: 3,
            effective_gid: 4,
            is_secure: true,
            random: *b"0123456789abcdef",
        }
    }

    fn arguments(argv: &[&[u8]], envp: &[&[u8]]) -> Arguments {
        let mut arguments = Arguments::new(b"./prog", Some(8 << 20)).unwrap();
        argv.iter().for_each(|string| arguments.push(List::Arguments, string).unwrap());
        envp.iter().for_each(|string| arguments.push(List::Environment, string).unwrap());
        arguments.complete().unwrap();
        arguments
    }

    #[test]
    fn a_program_reads_what_it_was_told() {
        let arguments = arguments(&[b"prog", b"", b"-x"], &[b"A=1", b"LANG=C"]);
        let mut memory = Memory::default();
        let stack = write(&arguments, &told(), TOP, 0, &mut memory).unwrap();
        let (argv, envp, vector) = memory.read(stack.rsp);
        assert_eq!(
            (argv, envp),
            (["prog", "", "-x"].map(String::from).into(), ["A=1", "LANG=C"].map(String::from).into())
        );
        let of = |kind| vector.iter().find(|pair| pair.0 == kind).unwrap().1;
        assert_eq!(memory.string(of(at::EXECFN)), "./prog");
        assert_eq!(memory.string(of(at::PLATFORM)), "x86_64");
        assert_eq!(&memory.string(of(at::RANDOM))[..16], "0123456789abcdef");
        let numbers = [
            (at::SYSINFO_EHDR, 0x7FFF_F7FC_1000),
            (at::MINSIGSTKSZ, 3376),
            (at::HWCAP, 0x0F8B_FBFF),
            (at::HWCAP2, 2),
            (at::PAGESZ, 4096),
            (at::CLKTCK, 100),
            (at::PHDR, 0x40_0040),
            (at::PHENT, 56),
            (at::PHNUM, 9),
            (at::BASE, 0x7FFF_F7FC_3000),
            (at::FLAGS, 0),
            (at::ENTRY, 0x40_1010),
            (at::UID, 1),
            (at::EUID, 2),
            (at::GID, 3),
            (at::EGID, 4),
            (at::SECURE, 1),
        ];
        for (kind, value) in numbers {
            assert_eq!(of(kind), value, "type {kind}");
        }
        assert_eq!(vector.len(), PAIRS);
    }

    /// The strings are where Linux has them: in one piece below 8 zeroes, in this order.
    #[test]
    fn strings_have_linuxs_places() {
        let arguments = arguments(&[b"prog", b"-x"], &[b"A=1"]);
        let mut memory = Memory::default();
        let stack = write(&arguments, &told(), TOP, 0, &mut memory).unwrap();
        let strings: Vec<u8> = (stack.arguments.0..TOP).map(|at| memory.0[&at]).collect();
        assert_eq!(strings, b"prog\0-x\0A=1\0./prog\0\0\0\0\0\0\0\0\0");
        assert_eq!(stack.arguments, (TOP - 8 - 19, TOP - 8 - 19 + 8));
        assert_eq!(stack.environment, (TOP - 8 - 11, TOP - 8 - 7));
        let platform = (stack.arguments.0 & !15) - 7;
        assert_eq!(memory.string(platform), "x86_64");
        assert_eq!(memory.0[&(platform - 16)], b'0');
    }

    #[test]
    fn rsp_is_aligned_whatever_there_is() {
        for count in 0..40 {
            for shift in [0, 1, 16, 4095, 8191] {
                let argv: Vec<Vec<u8>> =
                    (0..count).map(|i| core::iter::repeat_n(b'x', i).collect()).collect();
                let argv: Vec<&[u8]> = argv.iter().map(Vec::as_slice).collect();
                let arguments = arguments(&argv, &argv[count / 2..]);
                let mut memory = Memory::default();
                let stack = write(&arguments, &told(), TOP, shift, &mut memory).unwrap();
                assert_eq!(stack.rsp % 16, 0);
                let (found, envp, _) = memory.read(stack.rsp);
                assert_eq!((found.len(), envp.len()), (count.max(1), count - count / 2));
                assert!(stack.arguments.0 - stack.rsp >= shift);
            }
        }
    }

    #[test]
    fn many_strings_across_pieces_and_batches() {
        let long = [b'y'; 5000];
        let mut all: Vec<&[u8]> = std::vec![b"x"; 3000];
        all[1500] = &long;
        let mut arguments = arguments(&all, &all[..1700]);
        arguments.interpret(&Script { interpreter: b"/bin/sh", argument: Some(b"-e") }, b"./prog").unwrap();
        let mut memory = Memory::default();
        let stack = write(&arguments, &told(), TOP, 0, &mut memory).unwrap();
        let (argv, envp, _) = memory.read(stack.rsp);
        assert_eq!((argv.len(), envp.len()), (3002, 1700));
        assert_eq!(argv[..4], ["/bin/sh", "-e", "./prog", "x"]);
        assert_eq!((argv[1502].len(), envp[1500].len()), (5000, 5000));
    }

    #[test]
    fn what_the_sink_says_is_passed_on_and_no_address_wraps() {
        struct Full(u32);
        impl Sink for Full {
            fn write(&mut self, _: u64, _: &[u8]) -> Result<(), Errno> {
                self.0 = self.0.checked_sub(1).ok_or(Errno::Enomem)?;
                Ok(())
            }
        }
        let arguments = arguments(&[b"prog"], &[b"A=1"]);
        for room in 0..9 {
            assert_eq!(write(&arguments, &told(), TOP, 0, &mut Full(room)), Err(Errno::Enomem), "{room}");
        }
        for top in 0..400 {
            assert_eq!(write(&arguments, &told(), top, 8191, &mut Full(100)), Err(Errno::E2big));
        }
    }
}
