//! Where the parts of a program lie: chosen from random words, or without any under `norandmaps`.
//!
//! ```text
//!   0000_7FFF_FFFF_F000  USER_END
//!                        ↕ up to 16 GiB           random
//!     stack_top          the stack, downwards
//!                        its limit, and room for the randomness
//!                        ↕ up to 1 TiB            random
//!     mmap_top           mappings, downwards: interpreter, libraries, vDSO
//!       …
//!   0000_5555_5555_4000  + up to 1 TiB            random
//!     base               a program that can be anywhere and has an interpreter
//!     brk                behind it + up to 1 GiB  random; the heap, upwards
//!       …
//!   0000_0000_0040_0000  a program at fixed addresses, its heap behind it likewise
//! ```
//!
//! A program that can be anywhere and has no interpreter may be one itself (`ld.so program`), so it goes among the
//! mappings and leaves the usual place free; its heap begins where it would have been. All numbers are Linux's
//! (arch/x86/mm/mmap.c, fs/binfmt_elf.c, `vm.mmap_rnd_bits` 28), so that programs which know what to expect find it.

use crate::boot::layout::{PAGE_SIZE, USER_END};
use crate::mm::vma::area::STACK_GUARD;
use crate::proc::elf::{Kind, Program};

/// Where programs that can be anywhere are put without randomness: two thirds of the way up.
pub const PROGRAM_BASE: u64 = USER_END / 3 * 2 / PAGE_SIZE * PAGE_SIZE;
/// Random pages: of the stack's top, of the mappings' and of a program's base, and of the heap's start.
const STACK_PAGES: u64 = 1 << 22;
const MMAP_PAGES: u64 = 1 << 28;
const BRK_PAGES: u64 = (1 << 30) / PAGE_SIZE;
/// Random bytes below the strings on the stack.
const SHIFT_BYTES: u64 = 8192;
/// Room below a stack for it to grow, at least and at most.
const GAP_MIN: u64 = 128 << 20;
const GAP_MAX: u64 = USER_END / 6 * 5;

/// Words nobody can guess; all bits of each count. Zeroes give what `norandmaps` asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Words {
    pub stack: u64,
    pub shift: u64,
    pub mmap: u64,
    pub base: u64,
    pub brk: u64,
}

/// The places that do not depend on the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// First address past the stack.
    pub stack_top: u64,
    /// What [`super::stack::write`] wants.
    pub stack_shift: u64,
    /// Mappings go below this.
    pub mmap_top: u64,
}

impl Layout {
    /// `words`: `None` without randomness. `stack_limit`: RLIMIT_STACK in bytes, `None` for unlimited.
    pub fn new(words: Option<&Words>, stack_limit: Option<u64>) -> Self {
        // The stack's own randomness needs room too: without it one that lies low could not grow to its limit.
        let spread = if words.is_some() { STACK_PAGES * PAGE_SIZE } else { 0 };
        let gap =
            stack_limit.unwrap_or(u64::MAX).saturating_add(spread + STACK_GUARD).clamp(GAP_MIN, GAP_MAX);
        let words = words.copied().unwrap_or_default();
        let mmap_top = USER_END - gap - words.mmap % MMAP_PAGES * PAGE_SIZE;
        Self {
            stack_top: USER_END - words.stack % STACK_PAGES * PAGE_SIZE,
            stack_shift: words.shift % SHIFT_BYTES,
            mmap_top: mmap_top.div_ceil(PAGE_SIZE) * PAGE_SIZE,
        }
    }
}

/// What is to be added to a program's addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bias {
    /// This, modulo 2^64: a program that begins at an address above 0 may need less than none.
    Add(u64),
    /// Wherever there is room among the mappings for its span, at a multiple of its alignment.
    AmongMappings,
}

/// Where a program goes. `words` as in [`Layout::new`].
pub fn program_bias(program: &Program, words: Option<&Words>) -> Bias {
    match (program.kind, &program.interpreter) {
        (Kind::Fixed, _) => Bias::Add(0),
        (Kind::Anywhere, None) => Bias::AmongMappings,
        (Kind::Anywhere, Some(_)) => {
            let pages = words.map_or(0, |words| words.base % MMAP_PAGES);
            let base = (PROGRAM_BASE + pages * PAGE_SIZE) & !(program.align - 1);
            let first = program.span().map_or(0, |span| span.start);
            Bias::Add(base.wrapping_sub(first & !(program.align - 1)))
        }
    }
}

/// Where the heap begins of a program that was put where `bias` says, by [`program_bias`] or the mappings.
pub fn brk_start(program: &Program, bias: u64, words: Option<&Words>) -> u64 {
    let behind = match (program.kind, &program.interpreter) {
        (Kind::Anywhere, None) => PROGRAM_BASE,
        _ => bias.wrapping_add(program.end_of_data),
    };
    behind + words.map_or(0, |words| words.brk % BRK_PAGES * PAGE_SIZE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proc::elf::samples::{build, dynamic, read, typical};
    use crate::testing::Random;

    const ALL: Words =
        Words { stack: u64::MAX, shift: u64::MAX, mmap: u64::MAX, base: u64::MAX, brk: u64::MAX };

    #[test]
    fn without_randomness_it_is_where_linux_has_it() {
        let layout = Layout::new(None, Some(8 << 20));
        assert_eq!(layout.stack_top, 0x7FFF_FFFF_F000);
        assert_eq!((layout.stack_shift, layout.mmap_top), (0, 0x7FFF_F7FF_F000));
        let program = read(&dynamic()).unwrap();
        assert_eq!(program_bias(&program, None), Bias::Add(0x5555_5555_4000));
        assert_eq!(brk_start(&program, 0x5555_5555_4000, None), 0x5555_5555_A000);
    }

    #[test]
    fn the_gap_follows_the_stacks_limit() {
        let top = |limit| Layout::new(None, limit).mmap_top;
        assert_eq!(top(Some(0)), USER_END - GAP_MIN);
        assert_eq!(top(Some(1 << 30)), USER_END - (1 << 30) - STACK_GUARD);
        assert_eq!(top(None), (USER_END - GAP_MAX).div_ceil(PAGE_SIZE) * PAGE_SIZE);
        assert_eq!(top(Some(u64::MAX)), top(None));
        assert_eq!(
            Layout::new(Some(&Words::default()), Some(8 << 20)).mmap_top,
            USER_END - (16 << 30) - (8 << 20) - STACK_GUARD
        );
    }

    #[test]
    fn words_of_any_kind_leave_room_for_everything() {
        let mut random = Random::new(6);
        let program = read(&dynamic()).unwrap();
        for round in 0..20_000 {
            let mut word = || random.next_u64();
            let words = Words { stack: word(), shift: word(), mmap: word(), base: word(), brk: word() };
            let words = if round == 0 { ALL } else { words };
            let limit = [Some(8 << 20), Some(1 << 40), None][round % 3];
            let layout = Layout::new(Some(&words), limit);
            assert!(layout.stack_top <= USER_END && layout.stack_top % PAGE_SIZE == 0);
            assert!(layout.mmap_top % PAGE_SIZE == 0 && layout.stack_shift < SHIFT_BYTES);
            // The stack can grow to its limit, and there is a terabyte for the rest below the mappings' top.
            if let Some(limit) = limit {
                assert!(layout.stack_top - limit >= layout.mmap_top + STACK_GUARD, "{words:x?}");
            }
            assert!(layout.mmap_top > 1 << 40);
            let Bias::Add(bias) = program_bias(&program, Some(&words)) else { panic!("not a place") };
            assert!(bias >= PROGRAM_BASE && bias % PAGE_SIZE == 0 && bias < PROGRAM_BASE + (1 << 40));
            let brk = brk_start(&program, bias, Some(&words));
            assert!(brk >= bias + program.end_of_data && brk % PAGE_SIZE == 0);
        }
    }

    #[test]
    fn a_fixed_program_is_not_moved_and_a_static_one_goes_among_the_mappings() {
        let fixed = read(&build(2, 0x40_1010, &typical(0x40_0000))).unwrap();
        assert_eq!(program_bias(&fixed, Some(&ALL)), Bias::Add(0));
        assert_eq!(brk_start(&fixed, 0, None), 0x40_6000);
        let anywhere = read(&build(3, 0x1010, &typical(0))).unwrap();
        assert_eq!(program_bias(&anywhere, Some(&ALL)), Bias::AmongMappings);
        // Behind it there is no room to grow: there are other mappings.
        assert_eq!(brk_start(&anywhere, 0x7FFF_F000_0000, None), PROGRAM_BASE);
    }

    #[test]
    fn large_alignments_and_programs_that_do_not_begin_at_0() {
        let mut program = read(&dynamic()).unwrap();
        program.align = 2 << 20;
        let Bias::Add(bias) = program_bias(&program, Some(&ALL)) else { panic!("not a place") };
        assert_eq!(bias % (2 << 20), 0);
        let mut high = typical(0x1000_0000_0000);
        high.insert(0, crate::proc::elf::samples::Phdr { p_type: 3, ..high[0] });
        high[0].offset = 0x380;
        high[0].filesz = 8;
        let mut file = build(3, 0x1000_0000_1010, &high);
        crate::proc::elf::samples::put(&mut file, 0x380, b"/lib/ld\0");
        let program = read(&file).unwrap();
        let Bias::Add(bias) = program_bias(&program, None) else { panic!("not a place") };
        assert_eq!(program.span().unwrap().start.wrapping_add(bias), PROGRAM_BASE);
    }
}
