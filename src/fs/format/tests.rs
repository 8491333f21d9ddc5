//! Files read in every way, while what they are made from changes.

use super::{Cursor, Headed, RECORD_MAX, Single, Source, Text, Trouble};
use crate::testing::Random;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// Something that lives: numbers with versions.
#[derive(Default)]
struct Live {
    records: RefCell<BTreeMap<u32, (u32, usize)>>,
    made: RefCell<u32>,
}

impl Live {
    fn line(key: u32, (version, len): (u32, usize)) -> String {
        format!("{key} {version} {}{version} {key}\n", "x".repeat(len))
    }
}

impl Source for Live {
    type Key = u32;

    fn next(&self, after: Option<&u32>, out: &mut Text) -> Option<u32> {
        let from = after.map_or(0, |&after| after + 1);
        let records = self.records.borrow();
        let (&key, &record) = records.range(from..).next()?;
        *self.made.borrow_mut() += 1;
        // One that vanishes while it is looked at.
        if record.1 < 1000 {
            let _ = out.write_str(&Self::line(key, record));
        }
        Some(key)
    }
}

fn read_whole<S: Source>(source: &S, size: usize) -> Vec<u8> {
    let (mut cursor, mut whole, mut piece) = (Cursor::new(), vec![], vec![0; size]);
    loop {
        let len = cursor.read(source, whole.len() as u64, &mut piece).unwrap();
        if len == 0 {
            return whole;
        }
        whole.extend(&piece[..len]);
    }
}

fn sample(count: u32) -> (Live, Vec<u8>) {
    let live = Live::default();
    let records: BTreeMap<_, _> =
        (0..count).map(|key| (key * 3, (key, if key % 7 == 6 { 1000 } else { key as usize % 90 }))).collect();
    let text = records.iter().filter(|(_, record)| record.1 < 1000);
    let whole = text.flat_map(|(&key, &record)| Live::line(key, record).into_bytes()).collect();
    *live.records.borrow_mut() = records;
    (live, whole)
}

#[test]
fn any_size_of_pieces_gives_the_same_text_and_makes_each_record_once() {
    let (live, whole) = sample(200);
    for size in [1, 2, 3, 7, 16, 61, 100, 4096, 100_000] {
        *live.made.borrow_mut() = 0;
        assert!(read_whole(&live, size) == whole, "{size}");
        assert_eq!(*live.made.borrow(), 200, "{size}");
    }
    assert_eq!(read_whole(&Live::default(), 10), b"");
}

#[test]
fn any_offset_gives_what_stands_there() {
    let (live, whole) = sample(100);
    let mut random = Random::new(1);
    let mut cursor = Cursor::new();
    for _ in 0..3000 {
        let at = random.index(whole.len() + 50);
        let mut piece = vec![0; 1 + random.index(300)];
        let len = cursor.read(&live, at as u64, &mut piece).unwrap();
        let wanted = whole.get(at..(at + piece.len()).min(whole.len())).unwrap_or(&[]);
        assert_eq!(&piece[..len], wanted, "{at}");
    }
    assert_eq!(cursor.read(&live, u64::MAX, &mut [0]), Ok(0));
    assert_eq!(cursor.read(&live, 0, &mut []), Ok(0));
}

#[test]
fn heads_and_single_records() {
    let single = Single(|out: &mut Text| writeln!(out, "{} kB", 5).unwrap());
    let (live, whole) = sample(10);
    let headed = Headed { head: |out: &mut Text| out.write_str("key version\n").unwrap(), rest: live };
    for size in 1..20 {
        assert_eq!(read_whole(&single, size), b"5 kB\n");
        assert_eq!(read_whole(&headed, size), [b"key version\n", &whole[..]].concat());
    }
    let empty = Headed { head: |out: &mut Text| out.write_str("head\n").unwrap(), rest: Live::default() };
    assert_eq!(read_whole(&empty, 3), b"head\n");
}

/// Records come, go and change between reads: each one that is read is whole and of one moment, keys rise, and what was
/// there all the time is there.
#[test]
fn records_that_come_and_go_between_reads() {
    let mut random = Random::new(2);
    let mut torn = 0;
    for round in 0..400 {
        let (live, _) = sample(60);
        // Key to all versions it had while the file was read.
        let mut versions: BTreeMap<u32, BTreeSet<(u32, usize)>> = BTreeMap::new();
        for (&key, &record) in live.records.borrow().iter() {
            versions.entry(key).or_default().insert(record);
        }
        let mut always: BTreeSet<u32> =
            live.records.borrow().iter().filter(|(_, record)| record.1 < 1000).map(|(&key, _)| key).collect();
        let (mut cursor, mut whole) = (Cursor::new(), vec![]);
        loop {
            let mut piece = vec![0; 1 + random.index(if round % 2 == 0 { 8 } else { 200 })];
            let len = cursor.read(&live, whole.len() as u64, &mut piece).unwrap();
            if len == 0 {
                break;
            }
            whole.extend(&piece[..len]);
            torn += usize::from(whole.last() != Some(&b'\n'));
            let mut records = live.records.borrow_mut();
            for _ in 0..random.below(4) {
                let key = random.below(190) as u32;
                if random.below(2) == 0 {
                    records.remove(&key);
                    always.remove(&key);
                } else {
                    let record = (random.below(1000) as u32, random.index(100));
                    records.insert(key, record);
                    versions.entry(key).or_default().insert(record);
                }
            }
        }
        let text = String::from_utf8(whole).unwrap();
        let mut last = None;
        for line in text.lines() {
            let words: Vec<_> = line.split(' ').collect();
            let key: u32 = words[0].parse().unwrap();
            assert!(last < Some(key), "{last:?} {key}");
            last = Some(key);
            let whole = versions[&key].iter().any(|&record| Live::line(key, record) == format!("{line}\n"));
            assert!(whole, "{line}: never was such a record");
            always.remove(&key);
        }
        assert!(always.is_empty(), "never read: {always:?}");
    }
    assert!(torn > 1000, "the reads ended between records nearly always: {torn}");
}

#[test]
fn a_record_that_cannot_be_made_fails_where_it_begins_and_may_succeed_later() {
    struct Growing(RefCell<usize>);
    impl Source for Growing {
        type Key = u8;
        fn next(&self, after: Option<&u8>, out: &mut Text) -> Option<u8> {
            match after {
                None => _ = out.push(b"first\n"),
                Some(0) => (0..*self.0.borrow()).for_each(|_| _ = out.push(&[b'x'; 1024])),
                Some(_) => return None,
            }
            Some(after.map_or(0, |after| after + 1))
        }
    }
    let source = Growing(RefCell::new((RECORD_MAX >> 10) + 1));
    let (mut cursor, mut piece) = (Cursor::new(), [0; 100]);
    assert_eq!(cursor.read(&source, 0, &mut piece), Ok(6));
    for _ in 0..2 {
        assert_eq!(cursor.read(&source, 6, &mut piece), Err(Trouble::TooLong));
    }
    *source.0.borrow_mut() = 1;
    assert_eq!(cursor.read(&source, 6, &mut piece), Ok(100));
    assert_eq!(cursor.read(&source, 0, &mut piece), Ok(100));
    assert_eq!(&piece[..8], b"first\nxx");
}
