//! Each check with a file that fails it alone, then files that are damaged at random against a second opinion.

use super::*;
use crate::testing::Random;

const BASE: u64 = KERNEL_BASE;
/// Sixteen pages: small enough to model page by page.
const WINDOW: Window = Window { base: BASE, size: 16 * PAGE_SIZE };
const RX: u32 = 5;
const R: u32 = 4;
const RW: u32 = 6;
const PT_NOTE: u32 = 4;

#[derive(Clone, Copy)]
struct Phdr {
    p_type: u32,
    flags: u32,
    offset: u64,
    vaddr: u64,
    filesz: u64,
    memsz: u64,
    align: u64,
}

fn phdr(flags: u32, offset: u64, vaddr: u64, filesz: u64, memsz: u64) -> Phdr {
    Phdr { p_type: PT_LOAD, flags, offset, vaddr, filesz, memsz, align: PAGE_SIZE }
}

/// Text, read-only data, data with bss, and a note; not in the order of their addresses.
fn typical() -> Vec<Phdr> {
    vec![
        phdr(RW, 0x500, BASE + 0x4500, 0x80, 0x2000),
        phdr(RX, 0x200, BASE + 0x1200, 0x200, 0x200),
        phdr(R, 0x400, BASE + 0x2400, 0x100, 0x1100),
        Phdr { p_type: PT_NOTE, ..phdr(R, 0x410, BASE + 0x2410, 0x10, 0x10) },
    ]
}

fn build(entry: u64, headers: &[Phdr]) -> Vec<u8> {
    let mut file = vec![0u8; 0x600];
    for (i, byte) in file.iter_mut().enumerate() {
        *byte = (i * 7) as u8;
    }
    file[..EHDR_SIZE].fill(0);
    file[..4].copy_from_slice(&ELFMAG);
    file[EI_CLASS] = ELFCLASS64;
    file[EI_DATA] = ELFDATA2LSB;
    file[EI_VERSION] = 1;
    put(&mut file, E_TYPE, &ET_EXEC.to_le_bytes());
    put(&mut file, E_MACHINE, &EM_X86_64.to_le_bytes());
    put(&mut file, E_VERSION, &EV_CURRENT.to_le_bytes());
    put(&mut file, E_ENTRY, &entry.to_le_bytes());
    put(&mut file, E_PHOFF, &64u64.to_le_bytes());
    put(&mut file, E_EHSIZE, &64u16.to_le_bytes());
    put(&mut file, E_PHENTSIZE, &56u16.to_le_bytes());
    put(&mut file, E_PHNUM, &(headers.len() as u16).to_le_bytes());
    for (i, h) in headers.iter().enumerate() {
        let at = EHDR_SIZE + i * PHDR_SIZE;
        put(&mut file, at + P_TYPE, &h.p_type.to_le_bytes());
        put(&mut file, at + P_FLAGS, &h.flags.to_le_bytes());
        put(&mut file, at + P_OFFSET, &h.offset.to_le_bytes());
        put(&mut file, at + P_VADDR, &h.vaddr.to_le_bytes());
        put(&mut file, at + 24, &h.vaddr.to_le_bytes());
        put(&mut file, at + P_FILESZ, &h.filesz.to_le_bytes());
        put(&mut file, at + P_MEMSZ, &h.memsz.to_le_bytes());
        put(&mut file, at + P_ALIGN, &h.align.to_le_bytes());
    }
    file
}

fn put(file: &mut [u8], at: usize, bytes: &[u8]) {
    file[at..at + bytes.len()].copy_from_slice(bytes);
}

fn valid() -> Vec<u8> {
    build(BASE + 0x1210, &typical())
}

fn error(file: &[u8]) -> ElfError {
    Image::parse(file, WINDOW).map(|_| ()).expect_err("the file should have been refused")
}

/// The error after `bytes` replace what is at `at`.
fn patched(at: usize, bytes: &[u8]) -> ElfError {
    let mut file = valid();
    put(&mut file, at, bytes);
    error(&file)
}

/// The error after `change` edited one of the program headers.
fn edited(index: usize, change: impl Fn(&mut Phdr)) -> ElfError {
    let mut headers = typical();
    change(&mut headers[index]);
    error(&build(BASE + 0x1210, &headers))
}

#[test]
fn a_valid_file_is_described() {
    let file = valid();
    let image = Image::parse(&file, WINDOW).unwrap();
    assert_eq!(image.entry(), BASE + 0x1210);
    assert_eq!(image.base(), BASE + 0x1000);
    assert_eq!((image.len_bytes(), image.pages()), (0x6000, 6));
    let segments: Vec<_> = image.segments().collect();
    assert_eq!(segments.len(), 3);
    assert_eq!(segments[0].flags, SegmentFlags::R | SegmentFlags::W);
    assert_eq!((segments[0].vaddr, segments[0].memsz), (BASE + 0x4500, 0x2000));
    assert_eq!(segments[0].bytes, &file[0x500..0x580]);
    assert_eq!((segments[0].page_start(), segments[0].page_end()), (BASE + 0x4000, BASE + 0x7000));
    assert_eq!(segments[1].flags, SegmentFlags::R | SegmentFlags::X);
    assert_eq!(segments[1].bytes, &file[0x200..0x400]);
    assert_eq!((segments[2].index, segments[2].flags), (2, SegmentFlags::R));
}

#[test]
fn the_identification_is_checked() {
    assert_eq!(error(&[]), ElfError::TooShort { len: 0 });
    assert_eq!(error(&valid()[..63]), ElfError::TooShort { len: 63 });
    assert_eq!(patched(0, b"MZ"), ElfError::Magic(*b"MZLF"));
    assert_eq!(patched(EI_CLASS, &[1]), ElfError::Class(1));
    assert_eq!(patched(EI_DATA, &[2]), ElfError::Data(2));
    assert_eq!(patched(EI_VERSION, &[0]), ElfError::Version(0));
    assert_eq!(patched(E_VERSION, &[2, 1]), ElfError::Version(0x102));
    assert_eq!(patched(E_TYPE, &[3]), ElfError::Type(3));
    assert_eq!(patched(E_MACHINE, &[183]), ElfError::Machine(183));
    assert_eq!(patched(E_EHSIZE, &[52]), ElfError::HeaderSize(52));
}

#[test]
fn the_program_header_table_is_checked() {
    assert_eq!(patched(E_PHNUM, &[0, 0]), ElfError::NoProgramHeaders);
    assert_eq!(patched(E_PHNUM, &[65, 0]), ElfError::TooManyProgramHeaders(65));
    assert_eq!(patched(E_PHNUM, &[0xff, 0xff]), ElfError::TooManyProgramHeaders(0xffff));
    assert_eq!(patched(E_PHENTSIZE, &[32]), ElfError::ProgramHeaderSize(32));
    let past = |offset, count| ElfError::ProgramHeadersPastEnd { offset, count, len: 0x600 };
    assert_eq!(patched(E_PHOFF, &0x521u64.to_le_bytes()), past(0x521, 4));
    assert_eq!(patched(E_PHOFF, &u64::MAX.to_le_bytes()), past(u64::MAX, 4));
    assert_eq!(patched(E_PHNUM, &[64]), past(64, 64));
}

#[test]
fn a_file_cut_short_anywhere_is_refused() {
    let file = valid();
    for len in 0..0x580 {
        let expected = match len {
            0..64 => ElfError::TooShort { len },
            64..288 => ElfError::ProgramHeadersPastEnd { offset: 64, count: 4, len },
            _ => ElfError::SegmentPastEnd { index: 0, offset: 0x500, filesz: 0x80, len },
        };
        assert_eq!(error(&file[..len]), expected);
    }
    assert!(Image::parse(&file[..0x580], WINDOW).is_ok());
}

#[test]
fn the_bytes_of_a_segment_are_checked() {
    let past = |offset, filesz| ElfError::SegmentPastEnd { index: 1, offset, filesz, len: 0x600 };
    assert_eq!(edited(1, |h| h.offset = 0x1200), past(0x1200, 0x200));
    assert_eq!(edited(1, |h| h.offset = u64::MAX - 0xff), past(u64::MAX - 0xff, 0x200));
    assert_eq!(
        edited(1, |h| h.memsz = 0x1ff),
        ElfError::FileszAboveMemsz { index: 1, filesz: 0x200, memsz: 0x1ff }
    );
}

#[test]
fn the_addresses_of_a_segment_are_checked() {
    let wraps = |vaddr, memsz| ElfError::AddressWraps { index: 0, vaddr, memsz };
    let vaddr = BASE + 0x4500;
    assert_eq!(edited(0, |h| h.memsz = u64::MAX), wraps(vaddr, u64::MAX));
    // The sum fits, but not rounded up to the next page.
    assert_eq!(edited(0, |h| h.memsz = u64::MAX - vaddr), wraps(vaddr, u64::MAX - vaddr));
    assert_eq!(
        edited(0, |h| h.memsz = 1 << 30),
        ElfError::TooBig { index: 0, len: 0x4000_5000, limit: 0x10000 }
    );
    let outside = |vaddr| ElfError::OutsideWindow { index: 0, vaddr, window: WINDOW };
    assert_eq!(edited(0, |h| h.vaddr = 0x500), outside(0x500));
    assert_eq!(edited(0, |h| h.vaddr = BASE - 0xb00), outside(BASE - 0xb00));
    assert_eq!(edited(0, |h| h.vaddr = BASE + 0x10500), outside(BASE + 0x10500));
}

#[test]
fn the_alignment_of_a_segment_is_checked() {
    assert_eq!(edited(1, |h| h.align = 3), ElfError::Alignment { index: 1, align: 3 });
    assert_eq!(
        edited(1, |h| h.vaddr += 8),
        ElfError::Misaligned { index: 1, vaddr: BASE + 0x1208, offset: 0x200, align: 0x1000 }
    );
    for align in [0, 1, 8] {
        let mut headers = typical();
        headers[1].vaddr += 8;
        headers[1].align = align;
        assert!(Image::parse(&build(BASE + 0x1210, &headers), WINDOW).is_ok());
    }
}

#[test]
fn permissions_are_checked() {
    assert_eq!(edited(1, |h| h.flags = 7), ElfError::WritableAndExecutable { index: 1 });
    assert_eq!(edited(2, |h| h.vaddr = BASE + 0x1400), ElfError::SharedPage { first: 1, second: 2 });
    // Not even with the same permissions: the page would have to be mapped twice.
    let same = edited(2, |h| (h.vaddr, h.flags) = (BASE + 0x1400, RX));
    assert_eq!(same, ElfError::SharedPage { first: 1, second: 2 });
}

#[test]
fn overlaps_are_found_in_either_order() {
    assert_eq!(edited(1, |h| h.vaddr = BASE + 0x6200), ElfError::Overlap { first: 0, second: 1 });
    assert_eq!(
        edited(2, |h| (h.vaddr, h.align) = (BASE + 0x13ff, 1)),
        ElfError::Overlap { first: 1, second: 2 }
    );
}

#[test]
fn dynamic_files_are_refused() {
    for p_type in [PT_DYNAMIC, PT_INTERP] {
        assert_eq!(edited(3, |h| h.p_type = p_type), ElfError::Dynamic { index: 3, p_type });
    }
}

#[test]
fn something_must_be_loaded() {
    let mut headers = typical();
    for h in &mut headers {
        (h.filesz, h.memsz) = (0, 0);
    }
    assert_eq!(error(&build(BASE + 0x1210, &headers)), ElfError::NothingToLoad);
}

#[test]
fn an_empty_segment_may_be_anywhere() {
    let mut headers = typical();
    headers.push(phdr(7, u64::MAX, 3, 0, 0));
    let file = build(BASE + 0x1210, &headers);
    assert_eq!(Image::parse(&file, WINDOW).unwrap().segments().count(), 3);
}

#[test]
fn the_entry_must_be_code_from_the_file() {
    let mut headers = typical();
    headers[1].memsz = 0x400;
    for entry in [BASE + 0x1200, BASE + 0x13ff] {
        assert!(Image::parse(&build(entry, &headers), WINDOW).is_ok());
    }
    // Before the text, past the file's part of it, in data, nowhere.
    for entry in [BASE + 0x11ff, BASE + 0x1400, BASE + 0x4500, 0, u64::MAX] {
        assert_eq!(error(&build(entry, &headers)), ElfError::Entry(entry));
    }
}

#[test]
fn every_reason_is_one_line_of_words() {
    let window = WINDOW;
    let all = [
        ElfError::TooShort { len: 0 },
        ElfError::TooShort { len: 9 },
        ElfError::Magic(*b"MZ\0\0"),
        ElfError::Class(1),
        ElfError::Data(2),
        ElfError::Version(0),
        ElfError::Type(3),
        ElfError::Machine(183),
        ElfError::HeaderSize(52),
        ElfError::NoProgramHeaders,
        ElfError::TooManyProgramHeaders(65535),
        ElfError::ProgramHeaderSize(32),
        ElfError::ProgramHeadersPastEnd { offset: 64, count: 4, len: 100 },
        ElfError::Dynamic { index: 0, p_type: PT_INTERP },
        ElfError::Dynamic { index: 0, p_type: PT_DYNAMIC },
        ElfError::FileszAboveMemsz { index: 0, filesz: 2, memsz: 1 },
        ElfError::SegmentPastEnd { index: 0, offset: 1, filesz: 2, len: 2 },
        ElfError::AddressWraps { index: 0, vaddr: 1, memsz: u64::MAX },
        ElfError::OutsideWindow { index: 0, vaddr: 1, window },
        ElfError::TooBig { index: 0, len: 2, limit: 1 },
        ElfError::Alignment { index: 0, align: 3 },
        ElfError::Misaligned { index: 0, vaddr: 1, offset: 2, align: 4 },
        ElfError::WritableAndExecutable { index: 0 },
        ElfError::Overlap { first: 0, second: 1 },
        ElfError::SharedPage { first: 0, second: 1 },
        ElfError::NothingToLoad,
        ElfError::Entry(0),
    ];
    let mut lines: Vec<String> = all.iter().map(ToString::to_string).collect();
    assert_eq!(lines[2], "not an ELF file (it begins with [4d, 5a, 00, 00])");
    for line in &lines {
        assert!(line.len() > 10 && line.len() < 140 && !line.contains('\n'), "{line}");
        assert!(!line.contains("  "), "a line continuation left blanks: {line}");
    }
    lines.sort();
    lines.dedup();
    assert_eq!(lines.len(), all.len());
}

#[test]
fn the_real_kernel_is_accepted() {
    for path in ["/build/kernel.elf", "/build/debug/kernel.elf"] {
        let path = format!("{}{path}", env!("CARGO_MANIFEST_DIR"));
        let Ok(file) = std::fs::read(&path) else {
            continue;
        };
        match Image::parse(&file, Window::KERNEL) {
            Ok(image) => assert!(image.segments().count() >= 3, "{path}: too few segments"),
            Err(reason) => panic!("{path}: {reason}"),
        }
    }
}

/// The same verdict by other means: wide integers, and a table of the window's pages.
fn model_accepts(file: &[u8]) -> bool {
    let le = |at: usize, n: usize| -> i128 {
        file[at..at + n].iter().rev().fold(0, |v, b| (v << 8) | i128::from(*b))
    };
    if file.len() < 64
        || file[..7] != [0x7f, b'E', b'L', b'F', 2, 1, 1]
        || (le(16, 2), le(18, 2), le(20, 4), le(52, 2)) != (2, 62, 1, 64)
        || le(54, 2) != 56
        || !(1..=64).contains(&le(56, 2))
        || le(32, 8) + le(56, 2) * 56 > file.len() as i128
    {
        return false;
    }
    let (base, mut pages) = (i128::from(BASE), [None; 16]);
    let (mut taken, mut entry_ok): (Vec<(i128, i128)>, bool) = (vec![], false);
    for i in 0..le(56, 2) {
        let at = (le(32, 8) + i * 56) as usize;
        let (kind, flags) = (le(at, 4), le(at + 4, 4) & 7);
        let (offset, vaddr) = (le(at + 8, 8), le(at + 16, 8));
        let (filesz, memsz, align) = (le(at + 32, 8), le(at + 40, 8), le(at + 48, 8));
        if kind == 2 || kind == 3 {
            return false;
        }
        if kind != 1 || (filesz, memsz) == (0, 0) {
            continue;
        }
        if filesz > memsz
            || offset + filesz > file.len() as i128
            || vaddr < base
            || vaddr + memsz > base + 0x10000
            || flags & 3 == 3
            || (align > 0 && (align.count_ones() != 1 || vaddr % align != offset % align))
            || taken.iter().any(|&(a, b)| vaddr < b && a < vaddr + memsz)
        {
            return false;
        }
        taken.push((vaddr, vaddr + memsz));
        for page in (vaddr - base) / 4096..(vaddr + memsz - base + 4095) / 4096 {
            if pages[page as usize].replace(flags).is_some() {
                return false;
            }
        }
        entry_ok |= flags & 1 == 1 && (vaddr..vaddr + filesz).contains(&le(24, 8));
    }
    entry_ok
}

fn mutate(file: &mut Vec<u8>, random: &mut Random) {
    const HEADERS: usize = EHDR_SIZE + 4 * PHDR_SIZE;
    const EDGES: [u64; 14] = [
        0,
        1,
        2,
        7,
        PAGE_SIZE,
        0x600,
        0x1_0000,
        1 << 63,
        u64::MAX,
        u64::MAX - 0xfff,
        BASE - 1,
        BASE,
        BASE + 0xffff,
        BASE + 0x10000,
    ];
    let header = EHDR_SIZE + random.index(4) * PHDR_SIZE;
    let field = header + 8 * random.index(7);
    let edge = random.pick(&EDGES);
    match random.index(8) {
        // The wild ones.
        0 => file[random.index(HEADERS)] = random.byte(),
        1 => put(file, field, &edge.to_le_bytes()),
        2 => put(file, E_ENTRY, &edge.wrapping_add(random.below(0x8000)).to_le_bytes()),
        3 if random.index(4) == 0 => file.truncate(HEADERS + random.index(0x600 - HEADERS)),
        // The mild ones, most of which leave a valid file.
        3 | 4 => put(file, header + P_FLAGS, &(random.index(8) as u32).to_le_bytes()),
        5 => {
            let page = random.below(18) * PAGE_SIZE;
            let within = u64_at(&file[header..], P_VADDR) % PAGE_SIZE;
            put(file, header + P_VADDR, &(BASE + page + within).to_le_bytes());
        }
        6 => put(file, header + P_MEMSZ, &(random.below(0x3000)).to_le_bytes()),
        _ => {
            let delta = (random.below(17)).wrapping_sub(8);
            let value = u64_at(file, field).wrapping_add(delta);
            put(file, field, &value.to_le_bytes());
        }
    }
}

#[test]
fn mutated_files_are_judged_as_the_model_does() {
    let mut random = Random::new(3);
    let original = valid();
    let (mut accepted, mut refused) = (0u32, 0u32);
    let mut file = Vec::new();
    for round in 0..120_000u32 {
        file.clear();
        file.extend_from_slice(&original);
        for _ in 0..=random.index(3) {
            if file.len() == original.len() {
                mutate(&mut file, &mut random);
            }
        }
        let verdict = Image::parse(&file, WINDOW);
        assert_eq!(verdict.is_ok(), model_accepts(&file), "round {round}: {verdict:?}");
        let Ok(image) = verdict else {
            refused += 1;
            continue;
        };
        accepted += 1;
        // What the loader will do with it stays inside the span.
        for segment in image.segments() {
            assert!(segment.page_start() >= image.base());
            assert!(segment.page_end() <= image.base() + image.len_bytes());
            assert!(segment.bytes.len() as u64 <= segment.memsz);
        }
        assert!(image.base() >= BASE && image.len_bytes() <= WINDOW.size);
    }
    // Both verdicts were put to the test.
    assert!(accepted > 10_000 && refused > 10_000, "{accepted} accepted, {refused} refused");
}

#[test]
fn noise_and_odd_windows_never_panic() {
    let mut random = Random::new(4);
    let original = valid();
    for _ in 0..20_000 {
        let mut file = original.clone();
        mutate(&mut file, &mut random);
        let window = Window {
            base: random.next_u64() >> random.index(64),
            size: random.next_u64() >> random.index(64),
        };
        for window in [window, Window { base: BASE & !random.next_u64(), ..window }] {
            if let Ok(image) = Image::parse(&file, window) {
                assert!(image.base() >= window.base && image.len_bytes() <= window.size);
            }
        }
        let noise: Vec<u8> = (0..random.index(200)).map(|_| random.byte()).collect();
        assert!(Image::parse(&noise, window).is_err());
    }
}
