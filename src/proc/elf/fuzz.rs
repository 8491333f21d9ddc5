//! Damaged programs, against a second opinion that goes page by page.
//!
//! `SIS_FUZZ` is how many (`make fuzz` asks for a million), `SIS_FUZZ_SEED` another sequence than always the same.

use super::samples::*;
use super::*;
use crate::testing::Random;
use std::collections::BTreeSet;

const FILES: u64 = 50_000;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// A field of some header, set to something that is likely to matter.
fn mutate(file: &mut Vec<u8>, random: &mut Random) {
    let count = usize::from(u16_at(file, E_PHNUM)).clamp(1, 8);
    let header = EHDR_SIZE + random.index(count) * PHDR_SIZE;
    let field = header + random.pick(&[P_OFFSET, P_VADDR, P_FILESZ, P_MEMSZ, P_ALIGN]);
    match random.below(12) {
        0 => {
            let at = random.index(EHDR_SIZE);
            file[at] ^= 1 << random.below(8);
        }
        1 => {
            let at = EHDR_SIZE + random.index(count * PHDR_SIZE);
            file[at] = random.byte();
        }
        2 => {
            let len = random.index(file.len());
            file.truncate(len.max(EHDR_SIZE + 8 * PHDR_SIZE));
        }
        3 => put(file, header, &random.pick(&[PT_LOAD, PT_INTERP, PT_GNU_STACK, 0]).to_le_bytes()),
        4 => put(file, header + P_FLAGS, &(random.below(8) as u32).to_le_bytes()),
        5 => {
            let wild = random.next_u64() >> random.below(64);
            let wild = if random.below(2) == 0 { wild.wrapping_neg() } else { wild };
            put(file, field, &wild.to_le_bytes());
        }
        6 => {
            let near = random.pick(&[USER_END, u64::MAX, 1 << 63, file.len() as u64, 4096, 1 << 30]);
            let value = near.wrapping_add(random.below(0x2001)).wrapping_sub(0x1000);
            put(file, field, &value.to_le_bytes());
        }
        7..=9 => {
            let delta = random.below(9).wrapping_sub(4).wrapping_mul(PAGE_SIZE);
            let value = u64_at(file, field).wrapping_add(delta);
            put(file, field, &value.to_le_bytes());
        }
        _ => {
            let value = u64_at(file, field).wrapping_add(random.below(17).wrapping_sub(8));
            put(file, field, &value.to_le_bytes());
        }
    }
}

/// What was promised of an accepted program, checked against the file's own headers without the code above.
fn check(file: &[u8], program: &Program) {
    let window = match program.kind {
        Kind::Fixed => WINDOW,
        Kind::Anywhere => 0..WINDOW.end - WINDOW.start,
    };
    let mut pages = BTreeSet::new();
    let mut last = 0;
    for segment in &program.segments {
        assert!(segment.vaddr % PAGE_SIZE == 0 && segment.end() % PAGE_SIZE == 0);
        assert!(segment.vaddr >= window.start && segment.end() <= window.end && segment.vaddr >= last);
        assert!(segment.end() > segment.vaddr && segment.offset % PAGE_SIZE == 0);
        assert!(segment.clear_bytes < PAGE_SIZE && segment.clear_bytes <= segment.file_bytes);
        assert!(
            segment.file_bytes == 0 || segment.offset + segment.file_bytes < file.len() as u64 + PAGE_SIZE
        );
        last = segment.end();
    }
    let at = u64_at(file, E_PHOFF) as usize;
    for index in 0..usize::from(program.header_count) {
        let raw = &file[at + index * PHDR_SIZE..][..PHDR_SIZE];
        let (vaddr, memsz) = (u64_at(raw, P_VADDR), u64_at(raw, P_MEMSZ));
        if u32_at(raw, P_TYPE) != PT_LOAD || memsz == 0 {
            continue;
        }
        let holder = program.segments.iter().find(|s| s.vaddr <= vaddr && vaddr + memsz <= s.end());
        let holder = holder.unwrap_or_else(|| panic!("{vaddr:#x} is in no segment"));
        assert!(program.end_of_data >= vaddr + memsz);
        // A file byte is where it belongs, a byte past them is zero: cleared, or in a page that is.
        let filesz = u64_at(raw, P_FILESZ);
        for byte in [0, filesz.wrapping_sub(1)].into_iter().filter(|&byte| byte < filesz) {
            assert_eq!(vaddr + byte - holder.vaddr + holder.offset, u64_at(raw, P_OFFSET) + byte);
            assert!(filesz == memsz || holder.clear_bytes == 0 || vaddr + byte < holder.clear_at());
        }
        if memsz > filesz && holder.flags.contains(SegmentFlags::W) {
            let zeroes_from = if filesz == 0 { holder.vaddr } else { holder.clear_at() };
            assert!(zeroes_from <= vaddr + filesz);
        }
        for page in (vaddr / PAGE_SIZE..(vaddr + memsz).div_ceil(PAGE_SIZE)).take(64) {
            assert!(pages.insert(page), "page {page:#x} twice");
        }
    }
    assert!(program.align.is_power_of_two() && program.align >= PAGE_SIZE);
}

#[test]
fn damaged_programs_are_refused_or_safe() {
    let mut random = Random::new(number("SIS_FUZZ_SEED", 8));
    let rounds = number("SIS_FUZZ", FILES);
    let seeds =
        [build(ET_EXEC, 0x40_1010, &typical(0x40_0000)), build(ET_DYN, 0x1010, &typical(0)), dynamic()];
    let (mut accepted, mut refused) = (0u64, 0u64);
    for _ in 0..rounds {
        let mut file = seeds[random.index(seeds.len())].clone();
        for _ in 0..=random.below(3) {
            mutate(&mut file, &mut random);
        }
        match read(&file) {
            Ok(program) => {
                check(&file, &program);
                accepted += 1;
            }
            Err(error) => {
                assert_eq!(error, Errno::Enoexec);
                refused += 1;
            }
        }
    }
    assert!(accepted > rounds / 10 && refused > rounds / 10, "{accepted} accepted, {refused} refused");
    std::println!("elf fuzz: {rounds} damaged programs, {accepted} accepted");
}
