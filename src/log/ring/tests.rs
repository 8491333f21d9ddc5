//! The ring against a list that forgets nothing, at every distance from its end, and with damaged bytes.

use super::*;
use crate::testing::Random;
use std::{boxed::Box, collections::VecDeque, format, string::String, vec::Vec};

type Owned = (u64, u64, u8, String, String);

fn owned(record: Record<'_>) -> Owned {
    let Record { sequence, timestamp_ns, level, target, text } = record;
    (sequence, timestamp_ns, level, target.into(), text.into())
}

#[test]
fn gives_back_what_was_pushed() {
    let mut ring = Box::new(Ring::<4096>::new());
    assert!(ring.is_empty());
    ring.for_each(|_| panic!("an empty ring has records"));
    assert_eq!(ring.push(123, 3, "boot", format_args!("{} MiB, {}", 512, "größe")), 0);
    assert_eq!(ring.push(u64::MAX, 255, "", format_args!("")), 1);
    let all: Vec<_> = ring.records().map(owned).collect();
    let first = (0, 123, 3, String::from("boot"), String::from("512 MiB, größe"));
    assert_eq!(all, [first, (1, u64::MAX, 255, String::new(), String::new())]);
    assert_eq!((ring.len(), ring.lost()), (2, 0));
}

#[test]
fn last_gives_the_newest_in_order() {
    let mut ring = Box::new(Ring::<4096>::new());
    for n in 0..10 {
        ring.push(n, 0, "t", format_args!("{n}"));
    }
    for (n, want) in [(0, 0..0), (3, 7..10), (10, 0..10), (99, 0..10)] {
        let mut seen = Vec::new();
        ring.last(n, |record| seen.push(record.sequence));
        assert_eq!(seen, want.collect::<Vec<u64>>());
    }
}

#[test]
fn cuts_at_a_character_and_says_so() {
    let mut ring = Box::new(Ring::<4096>::new());
    // Every alignment of a two- and a four-byte character at the limit; text that just fits stays whole.
    for shift in 0..8 {
        for tail in ["x", "é", "😀"] {
            let text = format!("{}{}", "a".repeat(shift), tail.repeat(TEXT_MAX + 1));
            let target = format!("{}{}", "b".repeat(shift % 4), tail.repeat(TARGET_MAX + 1));
            ring.push(0, 0, &target, format_args!("{text}"));
            ring.last(1, |record| {
                let kept = record.text.strip_suffix(CUT_MARK).expect("no mark");
                assert!(text.starts_with(kept) && target.starts_with(record.target));
                assert!((TEXT_MAX - 6..=TEXT_MAX).contains(&record.text.len()));
                assert!((TARGET_MAX - 3..=TARGET_MAX).contains(&record.target.len()));
            });
        }
    }
    let whole = "é".repeat(TEXT_MAX / 2);
    ring.push(0, 0, "", format_args!("{}{}", &whole[..500], &whole[500..]));
    ring.last(1, |record| assert_eq!(record.text, whole));
    // A piece that is cut ends the text, even where a later one would fit.
    ring.push(0, 0, "", format_args!("{}{}{}", &whole[..TEXT_MAX - 2], "😀", "z"));
    ring.last(1, |record| assert!(!record.text.contains('z') && record.text.ends_with(CUT_MARK)));
}

#[test]
fn a_failing_display_keeps_the_ring_sound() {
    struct Fails;
    impl fmt::Display for Fails {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            Err(fmt::Error)
        }
    }
    struct Overlooks;
    impl fmt::Display for Overlooks {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            let _ = f.write_str(&"x".repeat(2 * TEXT_MAX));
            f.write_str("late")
        }
    }
    let mut ring = Box::new(Ring::<4096>::new());
    ring.push(0, 0, "t", format_args!("before {} after", Fails));
    ring.last(1, |record| assert_eq!(record.text, "before "));
    ring.push(0, 0, "t", format_args!("{Overlooks}"));
    ring.last(1, |record| assert!(record.text.ends_with(CUT_MARK) && record.text.len() == TEXT_MAX));
}

/// The model keeps every record; what the ring holds must be the newest of them, and no fewer than
/// fit. Sizes that meet the end of the ring at every distance, in rings of many sizes.
fn against_model<const N: usize>(seed: u64, pushes: usize) {
    let mut ring = Box::new(Ring::<N>::new());
    let mut model: VecDeque<Owned> = VecDeque::new();
    let mut random = Random::new(seed);
    for n in 0..pushes as u64 {
        let size = match random.index(8) {
            0 => random.index(TEXT_MAX + 1),
            1 => TEXT_MAX,
            2..=4 => random.index(16),
            _ => random.index(100),
        };
        let text: String = random.pick(&["a", "é", "→", "😀"]).repeat(size);
        let text = &text[..floor_boundary(text.as_bytes(), size)];
        let target = &"some::long::target"[..random.index(19)];
        let level = random.byte();
        assert_eq!(ring.push(n * 7, level, target, format_args!("{text}")), n);
        model.push_back((n, n * 7, level, target.into(), text.into()));

        let seen: Vec<_> = ring.records().map(owned).collect();
        assert_eq!(seen.len(), ring.len());
        assert_eq!(ring.lost() + ring.len() as u64, n + 1);
        let bytes = |r: &Owned| HEADER + r.3.len() + r.4.len();
        while model.len() > seen.len() {
            model.pop_front();
        }
        assert!(seen.iter().eq(&model));
        // Nothing is overwritten early: lost records mean that little more than one could be free.
        let used: usize = model.iter().map(bytes).sum();
        assert!(used <= N);
        assert!(ring.lost() == 0 || used + 2 * (HEADER + TARGET_MAX + TEXT_MAX) >= N);
    }
    assert!(ring.lost() > 0);
}

#[test]
fn random_pushes_match_the_model() {
    against_model::<2200>(1, 4000);
    against_model::<2201>(2, 4000);
    against_model::<4096>(3, 4000);
    against_model::<4099>(4, 4000);
    against_model::<9001>(5, 2000);
}

/// Records of one size that divide the ring, so that it fills to the last byte and wraps with no gap,
/// and of sizes that leave a gap of every length below and above a header and a mark.
#[test]
fn every_gap_at_the_end() {
    for size in 0..=80 {
        let mut ring = Box::new(Ring::<2240>::new());
        for n in 0..1000u64 {
            let text = "x".repeat(size);
            ring.push(n, 1, "", format_args!("{text}"));
            let mut next = n + 1;
            for record in ring.records().collect::<Vec<_>>().into_iter().rev() {
                next -= 1;
                assert_eq!((record.sequence, record.timestamp_ns, record.text.len()), (next, next, size));
            }
            assert_eq!(next, ring.lost());
        }
        assert!(ring.len() >= 2240 / (HEADER + size) - 2, "size {size}: only {}", ring.len());
    }
}

/// What a stray write or a push broken off by a panic may leave behind: reading ends, in bounds.
#[test]
fn a_damaged_ring_is_read_and_written_safely() {
    let mut random = Random::new(99);
    for _ in 0..2000 {
        let mut ring = Box::new(Ring::<2240>::new());
        for n in 0..60 {
            ring.push(n, 1, "target", format_args!("line {n}"));
        }
        for _ in 0..1 + random.index(20) {
            let at = random.index(2240);
            ring.bytes[at] = random.byte();
        }
        assert!(ring.records().count() <= ring.len());
        for n in 0..200 {
            ring.push(n, 1, "target", format_args!("again {n}"));
        }
        ring.last(1, |record| assert!(record.text.starts_with("again") || record.text.starts_with("line")));
    }
}

/// A reader with a cursor gets every record that is still there, once and in order, whenever it comes.
#[test]
fn a_cursor_misses_only_what_is_overwritten() {
    let mut ring = Box::new(Ring::<4096>::new());
    let mut random = Random::new(11);
    let (mut cursor, mut pushed, mut expected) = (Cursor::START, 0u64, 0u64);
    for _ in 0..20_000 {
        if random.index(3) > 0 {
            let text = "x".repeat(random.index(TEXT_MAX));
            ring.push(pushed, 6, "t", format_args!("{text}"));
            pushed += 1;
        } else if let Some(record) = ring.read(&mut cursor) {
            assert!(record.sequence >= expected.max(ring.lost()) || record.sequence == expected);
            assert_eq!(record.timestamp_ns, record.sequence);
            if record.sequence != expected {
                assert_eq!(record.sequence, ring.lost(), "it was overtaken, and goes on with the oldest");
            }
            expected = record.sequence + 1;
        } else {
            assert_eq!(expected, pushed);
        }
    }
}

#[test]
fn a_reader_at_the_end_sees_what_comes_next() {
    let mut ring = Box::new(Ring::<4096>::new());
    let mut cursor = ring.end();
    for n in 0..500 {
        assert!(ring.read(&mut cursor).is_none());
        ring.push(n, 6, "t", format_args!("{n:0$}", n as usize % 97));
        let mut late = cursor;
        let record = ring.read(&mut cursor).unwrap();
        assert_eq!((record.sequence, record.timestamp_ns), (n, n));
        assert_eq!(cursor, ring.end());
        assert_eq!(late.sequence(), n);
        ring.read(&mut late).unwrap();
    }
}
