//! The kernel's symbol table: from an address to a name, and back.
//!
//! The linker leaves an empty segment at the end of the image; `test/tools/ksyms.py` fills it after linking,
//! with demangled names, so that nothing has to be looked up or demangled while the kernel is dying.
//!
//! ```text
//! magic "SISKSYM1" | count: u32 | names_len: u32 | base: u64
//! count × { address - base: u32 | size: u32 | name: u32 (offset into names) }   ascending by address
//! names: { length: u16 | UTF-8 } …
//! ```
//! Little-endian. Reading checks every bound: an image that was linked without the step has no symbols,
//! and that is all.

/// Header bytes before the entries.
const HEADER: usize = 24;
/// Bytes of an entry.
const ENTRY: usize = 12;
const MAGIC: &[u8; 8] = b"SISKSYM1";

/// A symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Symbol<'a> {
    pub name: &'a str,
    pub address: u64,
    /// Bytes; 0 if the assembler did not say.
    pub size: u64,
}

/// The table, over the bytes of the segment.
#[derive(Clone, Copy)]
pub struct Symbols<'a> {
    base: u64,
    entries: &'a [u8],
    names: &'a [u8],
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

impl<'a> Symbols<'a> {
    /// `None` if this is not a symbol table.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        if bytes.get(..8)? != MAGIC {
            return None;
        }
        let count = u32_at(bytes, 8)? as usize;
        let names_len = u32_at(bytes, 12)? as usize;
        let base = u64::from_le_bytes(bytes.get(16..24)?.try_into().ok()?);
        let names_at = count.checked_mul(ENTRY)?.checked_add(HEADER)?;
        let entries = bytes.get(HEADER..names_at)?;
        let names = bytes.get(names_at..names_at.checked_add(names_len)?)?;
        Some(Self { base, entries, names })
    }

    pub fn len(&self) -> usize {
        self.entries.len() / ENTRY
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn address(&self, index: usize) -> Option<u64> {
        Some(self.base.wrapping_add(u32_at(self.entries, index * ENTRY)?.into()))
    }

    /// The symbol at a place in the table.
    pub fn get(&self, index: usize) -> Option<Symbol<'a>> {
        let at = index.checked_mul(ENTRY)?;
        let name_at = u32_at(self.entries, at + 8)? as usize;
        let length = self.names.get(name_at..name_at.checked_add(2)?)?;
        let length = usize::from(u16::from_le_bytes(length.try_into().ok()?));
        let name = core::str::from_utf8(self.names.get(name_at + 2..name_at + 2 + length)?).ok()?;
        Some(Symbol { name, address: self.address(index)?, size: u32_at(self.entries, at + 4)?.into() })
    }

    /// All symbols, by ascending address.
    pub fn iter(&self) -> impl Iterator<Item = Symbol<'a>> + '_ {
        (0..self.len()).filter_map(|index| self.get(index))
    }

    /// The symbol that `address` lies in. One without a size reaches to the next; behind the last byte of
    /// one with a size there is nothing.
    pub fn lookup(&self, address: u64) -> Option<Symbol<'a>> {
        // By halves: the first entry above `address`, less one.
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if self.address(middle)? <= address {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let symbol = self.get(low.checked_sub(1)?)?;
        (symbol.size == 0 || address - symbol.address < symbol.size).then_some(symbol)
    }

    /// The symbol of that name; failing that, the only one whose path ends in it (`monitor::run` finds
    /// `sis::monitor::run`).
    pub fn find(&self, name: &str) -> Option<Symbol<'a>> {
        if let Some(exact) = self.iter().find(|symbol| symbol.name == name) {
            return Some(exact);
        }
        let mut ends = self.iter().filter(|symbol| {
            symbol.name.strip_suffix(name).is_some_and(|head| head.is_empty() || head.ends_with("::"))
        });
        let first = ends.next()?;
        ends.next().is_none().then_some(first)
    }

    /// Whether the entries ascend and all can be read.
    pub fn is_sound(&self) -> bool {
        let readable = self.iter().count() == self.len();
        readable && (1..self.len()).all(|index| self.address(index - 1) < self.address(index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn table(symbols: &[(u32, u32, &str)]) -> Vec<u8> {
        let mut entries = Vec::new();
        let mut names = Vec::new();
        for (address, size, name) in symbols {
            for number in [*address, *size, names.len() as u32] {
                entries.extend(number.to_le_bytes());
            }
            names.extend((name.len() as u16).to_le_bytes());
            names.extend(name.as_bytes());
        }
        let mut bytes = MAGIC.to_vec();
        bytes.extend((symbols.len() as u32).to_le_bytes());
        bytes.extend((names.len() as u32).to_le_bytes());
        bytes.extend(0xFFFF_FFFF_8000_0000u64.to_le_bytes());
        bytes.extend(entries);
        bytes.extend(names);
        bytes
    }

    const BASE: u64 = 0xFFFF_FFFF_8000_0000;

    #[test]
    fn finds_the_symbol_around_an_address() {
        let bytes = table(&[(0, 0x10, "_start"), (0x20, 0, "no_size"), (0x40, 8, "sis::last")]);
        let symbols = Symbols::parse(&bytes).unwrap();
        let name = |address| symbols.lookup(address).map(|symbol| symbol.name);
        assert_eq!(name(BASE - 1), None);
        assert_eq!(name(BASE), Some("_start"));
        assert_eq!(name(BASE + 0xF), Some("_start"));
        assert_eq!(name(BASE + 0x10), None, "past its size");
        assert_eq!(name(BASE + 0x3F), Some("no_size"));
        assert_eq!(name(BASE + 0x47), Some("sis::last"));
        assert_eq!(name(BASE + 0x48), None);
        assert!(symbols.is_sound());
    }

    #[test]
    fn finds_addresses_by_name_and_by_the_end_of_a_path() {
        let bytes = table(&[
            (0, 1, "sis::a::run"),
            (8, 1, "sis::b::run"),
            (16, 1, "sis::b::walk"),
            (24, 1, "walker"),
        ]);
        let symbols = Symbols::parse(&bytes).unwrap();
        let at = |name| symbols.find(name).map(|symbol| symbol.address - BASE);
        assert_eq!(at("walker"), Some(24));
        assert_eq!(at("b::run"), Some(8));
        assert_eq!(at("walk"), Some(16));
        assert_eq!(at("run"), None, "two of them");
        assert_eq!(at("alk"), None, "not a whole component");
    }

    #[test]
    fn no_bytes_lead_out_of_bounds() {
        let good = table(&[(0, 0x10, "a"), (0x20, 1, "bc")]);
        for cut in 0..good.len() {
            if let Some(symbols) = Symbols::parse(&good[..cut]) {
                symbols.iter().count();
                symbols.lookup(BASE + 5);
            }
        }
        for at in 0..good.len() {
            for value in [0, 1, 0x7F, 0xFF] {
                let mut bad = good.clone();
                bad[at] = value;
                if let Some(symbols) = Symbols::parse(&bad) {
                    symbols.iter().count();
                    symbols.lookup(BASE + 5);
                    symbols.find("bc");
                    symbols.is_sound();
                }
            }
        }
    }
}
