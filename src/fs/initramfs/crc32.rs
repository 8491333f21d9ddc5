//! CRC-32 as gzip has it: eight bytes a step by tables made at compile time.
//!
//! The remainder of the data, taken as a polynomial over two elements, by a fixed one; bits run backwards, so that the
//! polynomial is written reversed. `TABLES[0]` is the remainder of each byte, `TABLES[n]` that of the byte with `n` zero
//! bytes behind it: the remainders of eight bytes are then independent of one another, and their sum (XOR) is that of all.
//! Source: RFC 1952 §8; M. E. Kounavis, F. L. Berry, "A Systematic Approach to Building High Performance Software-based
//! CRC Generators" (2005).

/// The polynomial of IEEE 802.3, reversed.
const POLYNOMIAL: u32 = 0xEDB8_8320;

static TABLES: [[u32; 256]; 8] = tables();

const fn tables() -> [[u32; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut rest = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            rest = rest >> 1 ^ if rest & 1 != 0 { POLYNOMIAL } else { 0 };
            bit += 1;
        }
        tables[0][byte] = rest;
        byte += 1;
    }
    let mut n = 1;
    while n < 8 {
        let mut byte = 0;
        while byte < 256 {
            let before: u32 = tables[n - 1][byte];
            tables[n][byte] = before >> 8 ^ tables[0][(before & 0xFF) as usize];
            byte += 1;
        }
        n += 1;
    }
    tables
}

/// The checksum of bytes that come piece by piece.
#[derive(Clone, Copy, Debug)]
pub struct Crc32(u32);

impl Crc32 {
    pub const fn new() -> Self {
        Self(u32::MAX)
    }

    pub fn update(&mut self, bytes: &[u8]) {
        let mut rest = self.0;
        let mut chunks = bytes.chunks_exact(8);
        for chunk in &mut chunks {
            let word = u64::from_le_bytes(chunk.try_into().expect("eight bytes")) ^ u64::from(rest);
            rest = (0..8).fold(0, |sum, n| sum ^ TABLES[7 - n][(word >> (8 * n) & 0xFF) as usize]);
        }
        for &byte in chunks.remainder() {
            rest = rest >> 8 ^ TABLES[0][usize::from(rest as u8 ^ byte)];
        }
        self.0 = rest;
    }

    pub const fn value(self) -> u32 {
        !self.0
    }
}

impl Default for Crc32 {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn the_check_value_and_any_pieces() {
        let mut crc = Crc32::new();
        assert_eq!(crc.value(), 0);
        crc.update(b"123456789");
        assert_eq!(crc.value(), 0xCBF4_3926, "the CRC catalogue's check value");
        let bytes: Vec<u8> = (0..1000u32).map(|n| ((n * n) >> 3) as u8).collect();
        let bit_by_bit = !bytes.iter().fold(u32::MAX, |rest, &byte| {
            (0..8).fold(rest ^ u32::from(byte), |rest, _| rest >> 1 ^ ((rest & 1) * POLYNOMIAL))
        });
        for size in [1, 3, 7, 8, 9, 64, 1000] {
            let mut crc = Crc32::new();
            bytes.chunks(size).for_each(|piece| crc.update(piece));
            assert_eq!(crc.value(), bit_by_bit);
        }
    }
}
