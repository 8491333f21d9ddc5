//! The tree against a map of the standard library.

use super::*;
use crate::testing::Random;
use std::collections::BTreeMap;

const TAGGED: [Tag; 9] = [
    Tag::Dirty,
    Tag::ToWrite,
    Tag::WriteBack,
    Tag::Locked,
    Tag::UpToDate,
    Tag::Referenced,
    Tag::Active,
    Tag::Waited,
    Tag::Writable,
];

/// Pages that are near each other, at a node's border, or anywhere.
fn some_page(random: &mut Random) -> u64 {
    match random.below(8) {
        0..4 => random.below(200),
        4 => 64 * 64 - 3 + random.below(6),
        5 => (1 << (6 * random.below(9))) - 1 + random.below(2),
        6 => (1 << 51) - 1 - random.below(70),
        _ => random.below(1 << 51),
    }
}

fn insert(tree: &mut Tree, page: u64, frame: u32, tags: &[Tag]) {
    let mut spare = Spare::default();
    let frame = Frame::from_u32(frame).unwrap();
    if let Err(missing) = tree.insert(page, frame, tags, &mut spare) {
        spare.get(missing).unwrap();
        assert_eq!(tree.insert(page, frame, tags, &mut spare), Ok(()), "with the nodes that it asked for");
        assert!(spare.inner.is_empty(), "it has asked for too many");
    }
}

fn compare(tree: &Tree, model: &BTreeMap<u64, (u32, Tags)>, random: &mut Random) {
    for tag in [Tag::There, Tag::Dirty, Tag::ToWrite, Tag::WriteBack] {
        let has = |tags: &Tags| tags.has(tag);
        assert_eq!(tree.count(tag), model.values().filter(|(_, tags)| has(tags)).count() as u64);
        let from = some_page(random);
        let expected = model.range(from..).find(|(_, (_, tags))| has(tags)).map(|(&page, _)| page);
        assert_eq!(tree.next(tag, from), expected, "{tag:?} from {from:#x}");
    }
    let from = some_page(random);
    let leaf = from & !63;
    assert_eq!(tree.next_leaf(from), model.range(leaf..).next().map(|(page, _)| page & !63));
    assert_eq!(tree.root.is_none(), model.is_empty(), "no page, no node");
}

#[test]
fn as_a_map_does() {
    let (mut random, mut tree, mut model) = (Random::new(1), Tree::new(), BTreeMap::new());
    for round in 0..100_000u32 {
        // It fills up, and empties again.
        let filling = round / 10_000 % 2 == 0;
        let page = some_page(&mut random);
        match (random.below(10), model.contains_key(&page)) {
            (0..5, false) if filling => {
                let tags = [random.pick(&TAGGED), random.pick(&TAGGED)];
                insert(&mut tree, page, round, &tags);
                model.insert(page, (round, Tags(Tags::of(&tags).0 | 1)));
            }
            (0..5, false) | (0..2, true) => {
                let page = model.range(page..).next().map_or(page, |(&page, _)| page);
                let expected = model.remove(&page);
                let found = tree.remove(page).map(|(frame, tags)| (frame.number(), tags));
                assert_eq!(found, expected);
            }
            _ => {
                let (away, more) = (random.pick(&TAGGED), random.pick(&TAGGED));
                let old = tree.retag(page, &[away], &[more]);
                let expected = model.get_mut(&page).map_or(Tags::default(), |(_, tags)| {
                    let old = *tags;
                    *tags = Tags(tags.0 & !(1 << away as u16) | 1 << more as u16);
                    old
                });
                assert_eq!(old, expected);
            }
        }
        let found = tree.get(page).map(|(frame, tags)| (frame.number(), tags));
        assert_eq!(found, model.get(&page).copied());
        if round % 100 == 0 {
            compare(&tree, &model, &mut random);
        }
    }
    while let Some((page, (frame, _))) = model.pop_first() {
        assert_eq!(tree.remove(page).map(|(frame, _)| frame.number()), Some(frame));
    }
    compare(&tree, &model, &mut random);
}

#[test]
fn nodes_are_asked_for_before_anything_is_changed() {
    let mut tree = Tree::new();
    let mut spare = Spare::default();
    let frame = Frame::from_u32(7).unwrap();
    // A leaf, under as many nodes as the number needs.
    assert_eq!(tree.insert(0, frame, &[], &mut spare), Err(Missing { inner: 0 }));
    assert_eq!(tree.insert(1 << 50, frame, &[], &mut spare), Err(Missing { inner: 8 }));
    assert!(tree.root.is_none() && tree.count(Tag::There) == 0);
    insert(&mut tree, 3, 7, &[]);
    assert_eq!(tree.insert(4, frame, &[], &mut spare), Ok(()), "into the leaf that is there");
    // Two roots above the old one, and one node of the new page's own.
    assert_eq!(tree.insert(5000, frame, &[], &mut spare), Err(Missing { inner: 3 }));
    assert_eq!(tree.get(3).map(|(frame, _)| frame.number()), Some(7));
    assert_eq!(tree.count(Tag::There), 2);
}
