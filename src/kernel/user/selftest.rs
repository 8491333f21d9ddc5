//! Copies to and from user memory, on a real address space without a program: what no host test can see.

use super::space::{STACK_SIZE, STACK_TOP, Space, TEXT};
use crate::arch::x86_64::usercopy::{self, Atomic, Fault};
use crate::boot::layout::{DIRECT_MAP_BASE, KERNEL_BASE, USER_END};

/// Bytes of a text page, whose end is a string without an end: the next page is not mapped.
const IMAGE: &[u8] = &{
    let mut image = [b'x'; 4096];
    image[5] = 0;
    image
};

fn check(good: bool, otherwise: &'static str) -> Result<(), &'static str> {
    if good { Ok(()) } else { Err(otherwise) }
}

/// All of it. An error says what was found.
pub fn run() -> Result<(), &'static str> {
    let space = Space::new("self-test", IMAGE, false).map_err(|_| "no memory for a program")?;
    let active = space.activate();
    let done = copies().and_then(|()| strings()).and_then(|()| words());
    drop(active);
    drop(space);
    done?;
    check(usercopy::read::<u8>(TEXT) == Err(Fault), "the page is still there after the end")
}

/// Each length and each misalignment up to a few words, on pages that nobody has touched yet; and where pages end.
fn copies() -> Result<(), &'static str> {
    let mut pattern = [0; 64];
    (0..64u8).for_each(|n| pattern[usize::from(n)] = n ^ 0xA5);
    for len in 0..40 {
        for offset in 0..16 {
            let at = STACK_TOP - 4096 * 3 - 8 + offset;
            let mut back = [0xEE; 41];
            check(usercopy::clear(at - 1, len as u64 + 2) == Ok(0), "clearing does not work")?;
            check(usercopy::copy_out(at, &pattern[..len]) == Ok(()), "a copy out does not work")?;
            check(usercopy::copy_in(&mut back[..len], at) == Ok(()), "a copy in does not work")?;
            check(back[..len] == pattern[..len] && back[len] == 0xEE, "other bytes come back")?;
            let around = (usercopy::read::<u8>(at - 1), usercopy::read::<u8>(at + len as u64));
            check(around == (Ok(0), Ok(0)), "a copy out has written beside its place")?;
        }
    }
    // The last byte of the page is the last that comes, exactly, from any alignment.
    for len in 1..32usize {
        let mut back = [0xEE; 64];
        let left = usercopy::copy_in_partly(&mut back, TEXT + 4096 - len as u64);
        check(left == Ok(64 - len), "a copy that ends early does not say where")?;
        check(back[..len].iter().all(|&byte| byte == b'x'), "it has not copied what was there")?;
        check(back[len..].iter().all(|&byte| byte == 0), "it leaves old bytes behind")?;
        let below = STACK_TOP - STACK_SIZE - len as u64;
        check(usercopy::copy_out_partly(below, &pattern) == Ok(64), "a guard page was written to")?;
    }
    check(usercopy::copy_out_partly(STACK_TOP - 13, &pattern) == Ok(51), "a copy out does not end exactly")?;
    check(usercopy::clear(STACK_TOP - 13, 64) == Ok(51), "clearing does not end exactly")?;
    check(usercopy::write(TEXT, &0u64) == Err(Fault), "text can be written to")?;
    for bad in [KERNEL_BASE, DIRECT_MAP_BASE, USER_END, u64::MAX, u64::MAX - 7, 1 << 63] {
        check(usercopy::read::<u64>(bad) == Err(Fault), "an address of the kernel's can be read")?;
        check(usercopy::write(bad, &0u64) == Err(Fault), "an address of the kernel's can be written to")?;
        check(usercopy::clear(bad, 8) == Err(Fault), "an address of the kernel's can be cleared")?;
    }
    check(usercopy::read::<u64>(0) == Err(Fault), "address 0 can be read")
}

fn strings() -> Result<(), &'static str> {
    let mut buffer = [0xEE; 16];
    check(usercopy::copy_string(&mut buffer, TEXT) == Ok(Some(5)), "a string has another length")?;
    check(&buffer[..7] == b"xxxxx\0\xEE", "a string has other bytes")?;
    check(usercopy::copy_string(&mut buffer[..5], TEXT) == Ok(None), "its end lies beyond the limit")?;
    check(usercopy::string_length(TEXT + 1, 100) == Ok(Some(4)), "a string's length is another")?;
    check(usercopy::string_length(TEXT + 6, 100) == Ok(None), "no end within the limit")?;
    check(usercopy::string_length(TEXT + 6, 5000) == Err(Fault), "a string goes on where nothing is mapped")?;
    check(usercopy::copy_string(&mut buffer, TEXT + 4090) == Err(Fault), "a string is copied from nowhere")?;
    for bad in [KERNEL_BASE, USER_END, u64::MAX] {
        check(usercopy::string_length(bad, 8) == Err(Fault), "a string of the kernel's can be read")?;
        check(
            usercopy::copy_string(&mut buffer, bad) == Err(Fault),
            "a string of the kernel's can be copied",
        )?;
    }
    Ok(())
}

fn words() -> Result<(), &'static str> {
    let at = STACK_TOP - 4096 * 5;
    check(usercopy::write(at, &10u32) == Ok(()), "a word cannot be written")?;
    for (what, old, new) in [
        (Atomic::Add(5), 10, 15),
        (Atomic::Or(0x30), 15, 0x3F),
        (Atomic::And(0xF1), 0x3F, 0x31),
        (Atomic::Xor(0xFF), 0x31, 0xCE),
        (Atomic::Swap(7), 0xCE, 7),
        (Atomic::CompareExchange(8, 9), 7, 7),
        (Atomic::CompareExchange(7, 9), 7, 9),
        (Atomic::Add(u32::MAX), 9, 8),
    ] {
        check(usercopy::atomic(at, what) == Ok(old), "an atomic operation returns another old value")?;
        check(usercopy::load(at) == Ok(new), "an atomic operation leaves another value")?;
    }
    for bad in [at + 1, at + 2, TEXT, TEXT + 4096, 0, USER_END, KERNEL_BASE, u64::MAX - 3] {
        check(usercopy::atomic(bad, Atomic::Add(1)) == Err(Fault), "a bad word can be changed")?;
        check(
            usercopy::atomic(bad, Atomic::CompareExchange(0, 1)) == Err(Fault),
            "a bad word can be exchanged",
        )?;
    }
    check(usercopy::load(TEXT) == Ok(u32::from_le_bytes(*b"xxxx")), "text cannot be read")
}
