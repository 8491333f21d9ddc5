//! Programs of this host, as far as it has them: what is said of each is held against its own file.

use super::samples::{WINDOW, read};
use super::*;
use std::fs;

/// Dynamic and static ones, whatever the distribution; this test itself is the one that is always there.
const PATHS: &[&str] = &[
    "/proc/self/exe",
    "/bin/ls",
    "/bin/sh",
    "/bin/busybox",
    "/bin/bash-static",
    "/sbin/ldconfig",
    "/lib64/ld-linux-x86-64.so.2",
    "/usr/bin/gdb",
];

#[test]
fn programs_of_the_host() {
    let mut seen = 0;
    for path in PATHS {
        let Ok(file) = fs::read(path) else { continue };
        let program = read(&file).unwrap_or_else(|error| panic!("{path}: {error}"));
        let span = program.span().unwrap();
        assert!(span.end <= WINDOW.end && span.contains(&program.entry), "{path}: {program:x?}");
        // The headers' address is that of the bytes at e_phoff.
        let headers = program.headers.unwrap_or_else(|| panic!("{path}: no headers"));
        let holder = program.segments.iter().find(|s| (s.vaddr..s.end()).contains(&headers)).unwrap();
        assert_eq!(headers - holder.vaddr + holder.offset, u64_at(&file, E_PHOFF), "{path}");
        assert!(!program.executable_stack, "{path}");
        if let Some(interpreter) = &program.interpreter {
            assert_eq!(interpreter.as_slice(), b"/lib64/ld-linux-x86-64.so.2", "{path}");
        }
        for segment in &program.segments {
            assert!(
                segment.offset + segment.file_bytes < file.len() as u64 + PAGE_SIZE,
                "{path}: {segment:x?}"
            );
        }
        seen += 1;
    }
    assert!(seen > 0);
}
