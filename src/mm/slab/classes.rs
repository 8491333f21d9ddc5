//! From a size to one of 19 classes, in a few instructions.
//!
//! The classes are the powers of two from 16 to 8192, and halfway between two of them the number that is 3 times
//! a power of two. So rounding up costs a third of what is given at worst, where powers of two alone would cost
//! half; each further size in between would save less than the one before, and have a cache of its own, with a
//! slab half used and a magazine on every CPU. Nothing is smaller than 16 bytes: 8 would serve few objects, as one
//! that holds no more than a pointer is mostly a part of another, and 12 is not aligned to 8.
//!
//! Alignment comes with the size. A slab begins at a multiple of its own length, so an object of `s` bytes is
//! aligned to the largest power of two in `s`. A request is therefore first rounded up to a multiple of its
//! alignment `a`, and then the class is right: of the sizes 2^k and 3·2^(k-1) only the second could be wrong,
//! with `a` = 2^k or more; but the multiples of 2^k that are greater than 2^k start at 2^(k+1), a later class.

/// How many there are.
pub const CLASSES: usize = 19;
/// The largest object that comes from a slab.
pub const MAX_SIZE: usize = 8192;
const MIN_SIZE: usize = 16;

/// Each class's object size.
pub const SIZES: [usize; CLASSES] = {
    let mut sizes = [0; CLASSES];
    let mut class = 0;
    while class < CLASSES {
        // 16 · 2^(class / 2), and half as much again for the odd ones.
        let power = MIN_SIZE << (class / 2);
        sizes[class] = if class % 2 == 0 { power } else { power + power / 2 };
        class += 1;
    }
    sizes
};

/// What the caches of the classes are called.
pub const NAMES: [&str; CLASSES] = [
    "size-16",
    "size-24",
    "size-32",
    "size-48",
    "size-64",
    "size-96",
    "size-128",
    "size-192",
    "size-256",
    "size-384",
    "size-512",
    "size-768",
    "size-1024",
    "size-1536",
    "size-2048",
    "size-3072",
    "size-4096",
    "size-6144",
    "size-8192",
];

/// The class for each eighth byte's place, 1 KiB. Counting leading zeroes and shifting needs no table, and six
/// instructions more.
static CLASS_OF: [u8; MAX_SIZE / 8] = {
    let mut table = [0; MAX_SIZE / 8];
    let mut class = 0;
    let mut at = 0;
    while at < table.len() {
        while SIZES[class] <= at * 8 {
            class += 1;
        }
        table[at] = class as u8;
        at += 1;
    }
    table
};

/// The class for `size` bytes at a multiple of `align`, a power of two; `None` if no class is large enough, or for
/// no bytes at all.
#[inline]
pub fn class_of(size: usize, align: usize) -> Option<usize> {
    // The place of the last byte once `size` is rounded up: a multiple of `align`, less 1.
    let last = size.wrapping_sub(1) | (align - 1);
    let class = *CLASS_OF.get(last / 8)? as usize;
    // SAFETY: the table holds numbers of classes, as a test sees. This takes the caller's bounds checks away.
    unsafe { core::hint::assert_unchecked(class < CLASSES) };
    Some(class)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_and_alignment() {
        for shift in 0..=14 {
            let align = 1 << shift;
            for size in 1..=MAX_SIZE + 1 {
                let fits = |class: &usize| SIZES[*class] >= size && SIZES[*class] % align == 0;
                assert_eq!(
                    class_of(size, align),
                    (0..CLASSES).find(fits),
                    "{size} bytes at a multiple of {align}"
                );
            }
        }
        assert_eq!([0, isize::MAX as usize].map(|size| class_of(size, 1)), [None; 2]);
        assert!(CLASS_OF.iter().all(|&class| (class as usize) < CLASSES));
    }

    #[test]
    fn names_tell_the_size() {
        for (name, size) in NAMES.iter().zip(SIZES) {
            assert_eq!(*name, format!("size-{size}"));
        }
        assert_eq!(SIZES[CLASSES - 1], MAX_SIZE);
    }

    /// No request of more than 16 bytes wastes more than a third of what it gets.
    #[test]
    fn a_third_at_worst() {
        for size in 17..=MAX_SIZE {
            let given = SIZES[class_of(size, 1).unwrap()];
            assert!((given - size) * 3 < given, "{size} in {given}");
        }
    }
}
