//! What is accepted and what becomes of it; then each lie alone.

use super::samples::*;
use super::*;
use std::vec;

const BASE: u64 = 0x40_0000;

fn fixed(headers: &[Phdr]) -> Result<Program, Errno> {
    read(&build(ET_EXEC, BASE + 0x1010, headers))
}

#[test]
fn a_program_at_fixed_addresses() {
    let program = fixed(&typical(BASE)).unwrap();
    assert_eq!(program.kind, Kind::Fixed);
    assert_eq!(program.entry, BASE + 0x1010);
    assert_eq!((program.headers, program.header_count), (Some(BASE + 64), 5));
    assert_eq!(program.span(), Some(BASE..BASE + 0x6000));
    assert_eq!(program.end_of_data, BASE + 0x6000);
    assert_eq!((program.interpreter, program.executable_stack, program.align), (None, false, PAGE_SIZE));
    let flags = |bits| SegmentFlags::from_bits_truncate(bits);
    let segment = |vaddr, offset, file_bytes, clear_bytes, zero_bytes, bits| Segment {
        vaddr,
        offset,
        file_bytes,
        clear_bytes,
        zero_bytes,
        flags: flags(bits),
    };
    assert_eq!(
        program.segments,
        [
            segment(BASE, 0, 0x1000, 0, 0, R),
            segment(BASE + 0x1000, 0x1000, 0x1000, 0, 0, RX),
            segment(BASE + 0x3000, 0x1000, 0x1000, 0x1000 - 0x334, 0x2000, RW),
        ]
    );
    assert_eq!(program.segments[2].clear_at(), BASE + 0x3334);
}

#[test]
fn a_program_that_can_be_anywhere_and_its_interpreter() {
    let program = read(&dynamic()).unwrap();
    assert_eq!(program.kind, Kind::Anywhere);
    assert_eq!((program.entry, program.headers), (0x1010, Some(64)));
    assert_eq!(program.interpreter.as_deref(), Some(&b"/lib/ld"[..]));
    assert_eq!(program.span(), Some(0..0x6000));
    // The static kind is the same without one.
    assert_eq!(read(&build(ET_DYN, 0x1010, &typical(0))).unwrap().interpreter, None);
}

#[test]
fn memory_without_file_bytes_and_none_at_all() {
    let mut headers = typical(BASE);
    headers[2] = load(RW, 0x1234_5678, BASE + 0x3234, 0, 0x2000);
    let segment = fixed(&headers).unwrap().segments[2];
    assert_eq!((segment.vaddr, segment.file_bytes, segment.zero_bytes), (BASE + 0x3000, 0, 0x3000));
    assert_eq!((segment.offset, segment.clear_bytes), (0, 0));
    headers[2].memsz = 0;
    headers[2].vaddr = 0x1;
    assert_eq!(fixed(&headers).unwrap().segments.len(), 2);
}

#[test]
fn only_what_is_writable_is_cleared() {
    let mut headers = typical(BASE);
    headers[2].flags = R;
    let segment = fixed(&headers).unwrap().segments[2];
    assert_eq!((segment.clear_bytes, segment.zero_bytes), (0, 0x2000));
    headers[2].flags = RW;
    headers[2].memsz = headers[2].filesz;
    assert_eq!(fixed(&headers).unwrap().segments[2].clear_bytes, 0, "what follows in the file is seen");
}

#[test]
fn the_order_of_headers_does_not_matter_and_the_largest_alignment_does() {
    let mut headers = typical(BASE);
    headers[1].align = 0x20_0000;
    headers[2].align = 3;
    let program = fixed(&headers).unwrap();
    assert_eq!(program.align, 0x20_0000);
    headers.swap(0, 2);
    assert_eq!(fixed(&headers).unwrap(), program);
}

#[test]
fn the_stack_is_executable_only_if_asked_for() {
    let mut headers = typical(BASE);
    headers[3].flags = 7;
    assert!(fixed(&headers).unwrap().executable_stack);
    headers.remove(3);
    assert!(!fixed(&headers).unwrap().executable_stack);
}

#[test]
fn headers_that_no_segment_has_are_nowhere() {
    let mut headers = typical(BASE);
    headers.remove(0);
    let program = fixed(&headers).unwrap();
    assert_eq!(program.headers, None);
}

#[test]
fn each_lie_about_a_segment_is_refused() {
    let base = typical(BASE);
    type Lie = fn(&mut Phdr);
    let lies: &[(&str, usize, Lie)] = &[
        ("more in the file than in memory", 2, |h| h.filesz = h.memsz + 1),
        ("past the end of the file", 2, |h| h.offset += 0x1000),
        ("an offset that wraps", 2, |h| h.offset = u64::MAX - 0xDCB),
        ("memory that wraps", 2, |h| h.memsz = u64::MAX - h.vaddr + 1),
        ("memory up to the end of all", 2, |h| h.memsz = u64::MAX),
        ("memory past the user's end", 2, |h| h.memsz = USER_END - h.vaddr + 1),
        ("a kernel address", 2, |h| h.vaddr |= 0xFFFF_8000_0000_0000),
        ("the last page below the hole", 2, |h| h.vaddr += USER_END - BASE - 0x3000),
        ("the page of null pointers", 2, |h| h.vaddr = 0x234),
        ("offset and address in different places of a page", 2, |h| h.offset += 1),
        ("an alignment beyond all pages", 2, |h| h.align = 1 << 31),
        ("a page that another has", 2, |h| h.vaddr -= 0x2000),
        ("all of another", 1, |h| h.memsz = 0x10_0000),
        ("nothing executable at the entry", 1, |h| h.flags = R),
    ];
    for (what, index, lie) in lies {
        let mut headers = base.clone();
        lie(&mut headers[*index]);
        assert_eq!(fixed(&headers).unwrap_err(), Errno::Enoexec, "{what}");
    }
    let mut headers = base.clone();
    headers[2].memsz = USER_END - headers[2].vaddr;
    assert!(fixed(&headers).is_ok(), "all that there is");
}

#[test]
fn one_that_can_be_anywhere_must_fit_somewhere() {
    let mut headers = typical(0);
    headers[2].memsz = WINDOW.end - WINDOW.start - headers[2].vaddr;
    assert!(read(&build(ET_DYN, 0x1010, &headers)).is_ok());
    headers[2].memsz += 1;
    assert_eq!(read(&build(ET_DYN, 0x1010, &headers)).unwrap_err(), Errno::Enoexec);
}

#[test]
fn each_lie_of_the_header_is_refused() {
    let good = build(ET_EXEC, BASE + 0x1010, &typical(BASE));
    assert!(read(&good).is_ok());
    let lies: &[(usize, &[u8])] = &[
        (0, b"\x7fELE"),
        (EI_CLASS, &[1]),
        (EI_DATA, &[2]),
        (EI_VERSION, &[0]),
        (E_TYPE, &[1, 0]),
        (E_TYPE, &[4, 0]),
        (E_MACHINE, &[3, 0]),
        (E_PHENTSIZE, &[55, 0]),
        (E_PHENTSIZE, &[0, 0]),
        (E_PHNUM, &[0, 0]),
        (E_PHNUM, &[0xFF, 0xFF]),
        (E_PHNUM, &[0x93, 0x04]),
        (E_PHOFF, &[0xFF; 8]),
        (E_PHOFF, &[0, 0x20]),
        (E_ENTRY, &[0; 8]),
        (E_ENTRY, &[0x34, 0x12]),
        (E_ENTRY, &[0xFF; 8]),
    ];
    for (at, bytes) in lies {
        let mut file = good.clone();
        put(&mut file, *at, bytes);
        assert_eq!(read(&file).unwrap_err(), Errno::Enoexec, "{bytes:x?} at {at}");
    }
    for len in 0..EHDR_SIZE + 5 * PHDR_SIZE {
        assert_eq!(read(&good[..len]).unwrap_err(), Errno::Enoexec, "{len} bytes");
    }
}

#[test]
fn each_lie_about_an_interpreter_is_refused() {
    let refuse = |what, change: fn(&mut Vec<u8>)| {
        let mut file = dynamic();
        change(&mut file);
        assert_eq!(read(&file).unwrap_err(), Errno::Enoexec, "{what}");
    };
    const AT: usize = EHDR_SIZE;
    refuse("no 0 at its end", |file| put(file, 0x387, b"x"));
    refuse("an empty one", |file| put(file, 0x380, &[0]));
    refuse("a 0 alone", |file| put(file, AT + P_FILESZ, &[1]));
    refuse("longer than a path", |file| {
        file.resize(0x8000, 0);
        put(file, AT + P_FILESZ, &4097u64.to_le_bytes());
    });
    refuse("past the end of the file", |file| put(file, AT + P_OFFSET, &0x13FEu64.to_le_bytes()));
    refuse("nowhere", |file| put(file, AT + P_OFFSET, &(u64::MAX - 3).to_le_bytes()));

    // A second one is not looked at, and the first ends at its first 0.
    let mut headers = typical(0);
    headers.insert(0, Phdr { p_type: PT_INTERP, ..load(R, 0x380, 0x380, 8, 8) });
    headers.push(Phdr { p_type: PT_INTERP, ..load(R, 0, 0, 0, 0) });
    let mut file = build(ET_DYN, 0x1010, &headers);
    put(&mut file, 0x380, b"/ld\0\xFFxx\0");
    assert_eq!(read(&file).unwrap().interpreter.as_deref(), Some(&b"/ld"[..]));
}

/// A disk that fails says so; it is not taken for a bad program.
#[test]
fn errors_of_the_file_are_passed_on() {
    struct Failing(Vec<u8>, u64);
    impl Source for Failing {
        fn len_bytes(&self) -> u64 {
            self.0.len() as u64
        }
        fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<usize, Errno> {
            if offset >= self.1 {
                return Err(Errno::Eio);
            }
            // Piece by piece, as a source may.
            let count = into.len().min(7);
            self.0.as_slice().read_at(offset, &mut into[..count])
        }
    }
    for from in [0, 64, 0x380] {
        assert_eq!(Program::read(&Failing(dynamic(), from), WINDOW).unwrap_err(), Errno::Eio);
    }
    assert_eq!(Program::read(&Failing(dynamic(), u64::MAX), WINDOW), read(&dynamic()));
}

#[test]
fn as_many_headers_as_linux_takes() {
    let mut headers = vec![Phdr { p_type: PT_NOTE, ..load(R, 0, 0, 0, 0) }; 1170];
    headers[1169] = load(RX, 0x1000, BASE + 0x1000, 0x234, 0x234);
    let mut file = build(ET_EXEC, BASE + 0x1010, &[]);
    file.resize(0x2_0000, 0);
    put(&mut file, E_PHNUM, &1170u16.to_le_bytes());
    for (index, header) in headers.iter().enumerate() {
        put_header(&mut file, index, header);
    }
    assert_eq!(read(&file).unwrap().segments.len(), 1);
}
