//! `_PRT`: how the INTx lines of a PCI bus are wired to interrupt controllers.
//!
//! One definition for each host bridge, and for each bridge behind it that is not wired by the swizzle. On most
//! machines it is a method, which chooses between a table for the 8259s and one for the I/O APICs by what `_PIC`
//! was told; nothing here can run it. Where it is a constant package, [`Prt`] reads it.
//!
//! While it goes through the bytes, the scan keeps the chain of Scopes and Devices that it is inside of, so that
//! a routing comes with the name of the bridge that it belongs to.
//!
//! Source: ACPI 6.5 §6.2.13 _PRT (PCI Routing Table), tables 6.12 and 6.13.

use core::fmt;

use super::encoding::{Cursor, DEVICE_OP, EXT_OP_PREFIX, METHOD_OP, NAME_OP, Name, SCOPE_OP, is_segment};

const PRT: [u8; 4] = *b"_PRT";
/// Scopes inside of scopes that are followed; what is deeper counts as part of the last one.
const DEPTH_MAX: usize = 16;

/// What a definition of `_PRT` is.
#[derive(Clone, Copy, Debug)]
pub enum Routing<'a> {
    /// A constant.
    Static(Prt<'a>),
    /// Code, which would have to be run.
    Method,
    /// A constant that is no package, or one of a form that the specification does not know.
    Unreadable,
}

/// A definition of `_PRT`.
#[derive(Clone, Copy, Debug)]
pub struct Definition<'a> {
    /// The bridge that it belongs to.
    pub bridge: Name,
    /// Where its opcode stands in the byte code.
    pub offset: usize,
    pub routing: Routing<'a>,
}

/// A constant routing table.
#[derive(Clone, Copy, Debug)]
pub struct Prt<'a> {
    elements: Cursor<'a>,
    /// How many rows it says it has.
    stated: u64,
}

/// Where a row leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// To this GSI, for good; level-triggered and active low.
    Gsi(u32),
    /// To a link device, which is configured by its methods; `index` is which of its resources.
    Link { name: Name, index: u32 },
}

/// A row: one line of one device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// 0 to 31.
    pub device: u8,
    /// `None`: all of the device's functions, as the specification wants it.
    pub function: Option<u8>,
    /// 0 is INTA, 3 is INTD.
    pub pin: u8,
    pub source: Source,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pin = char::from(b'A'.saturating_add(self.pin));
        write!(f, "device {:02x} INT{pin} -> ", self.device)?;
        match self.source {
            Source::Gsi(gsi) => write!(f, "GSI {gsi}"),
            Source::Link { name, index: 0 } => write!(f, "link {name}"),
            Source::Link { name, index } => write!(f, "link {name} [{index}]"),
        }
    }
}

impl<'a> Prt<'a> {
    /// How many rows the package says it has; [`Self::rows`] gives those that are there and make sense.
    pub const fn stated(&self) -> u64 {
        self.stated
    }

    /// The rows, in the table's order.
    pub fn rows(&self) -> impl Iterator<Item = Row> + Clone + use<'a> {
        let mut elements = self.elements;
        core::iter::from_fn(move || elements.package()).filter_map(|(count, inside)| row(count, inside))
    }

    /// Where a line of a device leads.
    pub fn find(&self, device: u8, function: u8, pin: u8) -> Option<Source> {
        let of = |row: &Row| {
            row.device == device && row.pin == pin && row.function.is_none_or(|found| found == function)
        };
        self.rows().find(of).map(|row| row.source)
    }
}

fn row(count: u64, mut elements: Cursor) -> Option<Row> {
    if count != 4 {
        return None;
    }
    let address = elements.integer()?;
    let device = u8::try_from(address >> 16).ok().filter(|&device| device < 32)?;
    let function = match address & 0xFFFF {
        0xFFFF => None,
        function => Some(u8::try_from(function).ok().filter(|&function| function < 8)?),
    };
    let pin = u8::try_from(elements.integer()?).ok().filter(|&pin| pin < 4)?;
    let mut source = elements;
    let source = match source.integer() {
        Some(0) => {
            let gsi = u32::try_from(source.integer()?).ok()?;
            Source::Gsi(gsi)
        }
        Some(_) => return None,
        None => {
            let name = elements.name().filter(|name| name.last().is_some())?;
            Source::Link { name, index: u32::try_from(elements.integer()?).ok()? }
        }
    };
    Some(Row { device, function, pin, source })
}

/// A Scope or Device that the scan is inside of.
#[derive(Clone, Copy)]
struct Frame {
    end: usize,
    name: Name,
}

/// Finds every definition of `_PRT`.
#[derive(Clone)]
pub struct Routings<'a> {
    aml: &'a [u8],
    at: usize,
    frames: [Frame; DEPTH_MAX],
    depth: usize,
}

/// Finds every definition of `_PRT` in byte code, in one pass.
pub fn routings(aml: &[u8]) -> Routings<'_> {
    let frames = [Frame { end: 0, name: Name::ROOT }; DEPTH_MAX];
    Routings { aml, at: 0, frames, depth: 0 }
}

impl<'a> Routings<'a> {
    /// The frames that `at` is inside of, and the name of the innermost.
    fn scope(&mut self) -> (usize, Name) {
        let frames = self.frames.get(..self.depth).unwrap_or_default();
        self.depth = frames.iter().take_while(|frame| self.at < frame.end).count();
        let innermost = self.depth.checked_sub(1).and_then(|at| self.frames.get(at));
        innermost.map_or((self.aml.len(), Name::ROOT), |frame| (frame.end, frame.name))
    }

    /// Enters a Scope or Device whose length stands at `at`; `false` if there is none.
    fn enter(&mut self, at: usize) -> bool {
        let (limit, outer) = self.scope();
        let mut cursor = Cursor::new(self.aml, at);
        let head = cursor.end().and_then(|end| Some((end, cursor.name()?)));
        let Some((end, name)) = head.filter(|&(end, _)| cursor.at() <= end && end <= limit) else {
            return false;
        };
        if let Some(slot) = self.frames.get_mut(self.depth) {
            *slot = Frame { end, name: outer.join(&name) };
            self.depth += 1;
        }
        self.at = cursor.at();
        true
    }

    /// What stands at `at`, behind a NameOp or MethodOp.
    fn definition(&mut self, at: usize, is_method: bool) -> Option<(Name, Routing<'a>, usize)> {
        let (limit, outer) = self.scope();
        let mut cursor = Cursor::new(self.aml, at);
        let end = if is_method { cursor.end().filter(|&end| end <= limit)? } else { limit };
        let name = cursor.name().filter(|name| name.last() == Some(PRT))?;
        let bridge = outer.join(&name).parent();
        if is_method {
            // The flags; then the body, in which nothing is defined that lasts.
            return (cursor.at() < end).then_some((bridge, Routing::Method, end));
        }
        let mut value = cursor;
        let routing = match value.package().filter(|_| value.at() <= limit) {
            Some((stated, elements)) => Routing::Static(Prt { elements, stated }),
            None => Routing::Unreadable,
        };
        let next = if matches!(routing, Routing::Static(_)) { value.at() } else { cursor.at() };
        Some((bridge, routing, next))
    }
}

impl<'a> Iterator for Routings<'a> {
    type Item = Definition<'a>;

    fn next(&mut self) -> Option<Definition<'a>> {
        // Each turn leaves `at` at least one byte further.
        while let Some(&op) = self.aml.get(self.at) {
            let offset = self.at;
            let behind = offset + 1;
            let ext = op == EXT_OP_PREFIX && self.aml.get(behind) == Some(&DEVICE_OP);
            if op == SCOPE_OP && self.enter(behind) || ext && self.enter(behind + 1) {
                continue;
            }
            if op == NAME_OP || op == METHOD_OP {
                if let Some((bridge, routing, next)) = self.definition(behind, op == METHOD_OP) {
                    self.at = next.max(behind);
                    return Some(Definition { bridge, offset, routing });
                }
            }
            self.at = behind;
            // A name's own letters are no opcodes: "\x08" followed by one is passed in one step.
            if let Some(letters) = self.aml.get(behind..).and_then(|rest| rest.first_chunk()) {
                if op == NAME_OP && is_segment(letters) {
                    self.at += letters.len();
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A thing with a length: opcode, PkgLength of two bytes, content.
    fn sized(op: &[u8], content: &[u8]) -> Vec<u8> {
        let len = content.len() + 2;
        [op, &[0x40 | (len & 0xF) as u8, (len >> 4) as u8], content].concat()
    }

    fn scope(name: &[u8], content: &[u8]) -> Vec<u8> {
        sized(&[SCOPE_OP], &[name, content].concat())
    }

    fn device(name: &[u8], content: &[u8]) -> Vec<u8> {
        sized(&[EXT_OP_PREFIX, DEVICE_OP], &[name, content].concat())
    }

    fn table(rows: &[&[u8]]) -> Vec<u8> {
        let rows: Vec<u8> = rows.iter().flat_map(|row| sized(&[0x12], &[&[4], *row].concat())).collect();
        sized(&[0x12], &[&[9][..], &rows].concat())
    }

    fn found(aml: &[u8]) -> Vec<(String, String)> {
        let what = |routing| match routing {
            Routing::Static(prt) => prt.rows().map(|row: Row| row.to_string()).collect::<Vec<_>>().join("; "),
            Routing::Method => "method".to_owned(),
            Routing::Unreadable => "unreadable".to_owned(),
        };
        routings(aml).map(|found| (found.bridge.to_string(), what(found.routing))).collect()
    }

    fn is(bridge: &str, what: &str) -> (String, String) {
        (bridge.to_owned(), what.to_owned())
    }

    const GSI: &[u8] = &[0x0C, 0xFF, 0xFF, 0x1F, 0, 1, 0, 0x0A, 17];
    const LINK: &[u8] = b"\x0b\xff\xff\x00LNKA\x00";

    #[test]
    fn rows() {
        let rows: [&[u8]; 11] = [
            GSI,
            LINK,
            b"\x0c\xff\xff\x02\x00\x0a\x03^\\\x00", // no name
            b"\x0c\x01\x00\x02\x00\x0a\x03\\\x2e_SB_LNKD\x0a\x02", // one function
            b"\x0c\xff\xff\x20\x00\x00\x00\x00",    // device 32
            b"\x0c\x08\x00\x02\x00\x00\x00\x00",    // function 8
            b"\x0c\xff\xff\x02\x00\x0a\x04\x00\x00", // pin 4
            b"\x0c\xff\xff\x02\x00\x00\x01\x00",    // a source that is 1
            b"\x0c\xff\xff\x02\x00\x00\x00",        // no index
            b"\x0c\xff\xff\x03\x00\x00\x00\x0a\x13",
            &[0x0C, 0xFF, 0xFF, 4, 0, 0, 0, 0x0E, 0, 0, 0, 0, 1, 0, 0, 0], // no GSI
        ];
        let aml = [b"\x08_PRT", &table(&rows)[..]].concat();
        let routing = routings(&aml).next().unwrap().routing;
        let Routing::Static(prt) = routing else { panic!("{routing:?}") };
        let text: Vec<_> = prt.rows().map(|row| row.to_string()).collect();
        let expected = [
            "device 1f INTB -> GSI 17",
            "device 00 INTA -> link LNKA",
            "device 02 INTD -> link \\_SB_.LNKD [2]",
            "device 03 INTA -> GSI 19",
        ];
        assert_eq!(text, expected);
        assert_eq!(prt.stated(), 9);
        assert_eq!(prt.find(0x1F, 5, 1), Some(Source::Gsi(17)));
        assert!(matches!(prt.find(2, 1, 3), Some(Source::Link { index: 2, .. })));
        assert_eq!((prt.find(2, 0, 3), prt.find(0x1F, 5, 0)), (None, None));
    }

    #[test]
    fn whose_it_is() {
        let name = [b"\x08_PRT", &table(&[GSI])[..]].concat();
        let method = sized(&[METHOD_OP], b"_PRT\x00\xa4PRTA");
        let row = "device 1f INTB -> GSI 17";
        let aml = scope(
            b"_SB_",
            &[
                device(b"PCI0", &[device(b"BR1_", &name), method.clone(), device(b"BR2_", &[])].concat()),
                scope(b"PCI0", &device(b"BR3_", &method)),
                scope(b"\\\x2e_SB_PCI1", &name),
            ]
            .concat(),
        );
        let expected = [
            is("\\_SB_.PCI0.BR1_", row),
            is("\\_SB_.PCI0", "method"),
            is("\\_SB_.PCI0.BR3_", "method"),
            is("\\_SB_.PCI1", row),
        ];
        assert_eq!(found(&aml), expected);
        let path = [b"\x08\\\x2f\x03_SB_PCI0_PRT", &table(&[LINK])[..]].concat();
        assert_eq!(found(&path), [is("\\_SB_.PCI0", "device 00 INTA -> link LNKA")]);
    }

    #[test]
    fn what_is_no_definition() {
        assert_eq!(found(b"\x08_PRT\x00"), [is("\\", "unreadable")]);
        assert_eq!(found(b"\x08_PRTPRTA"), [is("\\", "unreadable")]);
        assert_eq!(found(b"\x08_PRT\x12\x7f"), [is("\\", "unreadable")]);
        assert_eq!(found(b"\x08_PRS\x12\x02\x00"), []);
        assert_eq!(found(b"\xa4_PRT"), []);
        assert_eq!(found(b"\x14\x05_PRT"), [], "a method without flags");
        assert_eq!(found(b""), []);
    }

    /// Deeper than frames are kept: the definition is found all the same.
    #[test]
    fn very_deep() {
        let mut aml = [b"\x08_PRT", &table(&[GSI])[..]].concat();
        for _ in 0..DEPTH_MAX + 5 {
            aml = device(b"DEEP", &aml);
        }
        assert_eq!(found(&aml).len(), 1);
    }
}
