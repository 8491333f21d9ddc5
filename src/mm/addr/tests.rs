//! Edges of the address space, and random addresses against arithmetic in 128 bits.

use super::*;
use crate::testing::Random;

fn phys(address: u64) -> PhysAddr {
    PhysAddr::new(address).unwrap()
}

fn virt(address: u64) -> VirtAddr {
    VirtAddr::new(address).unwrap()
}

const LOW_END: u64 = 1 << 47;
const HIGH_START: u64 = 0xFFFF_8000_0000_0000;

#[test]
fn sizes_of_pages() {
    assert_eq!(PageSize::ALL.map(PageSize::bytes), [1 << 12, 1 << 21, 1 << 30]);
    assert_eq!(PageSize::ALL.map(PageSize::pages), [1, 512, 512 * 512]);
    for size in PageSize::ALL {
        assert_eq!(size.bytes(), crate::arch::x86_64::paging::page_size(size.level()));
    }
}

#[test]
fn physical_addresses_end_at_2_to_52() {
    assert_eq!(PhysAddr::new(1 << 52), None);
    let last = phys((1 << 52) - 1);
    assert_eq!((last.checked_add(1), last.checked_add(u64::MAX)), (None, None));
    assert_eq!((phys(4).checked_sub(5), phys(5).checked_sub(5)), (None, Some(phys(0))));
    assert_eq!((phys(9).bytes_from(phys(4)), phys(4).bytes_from(phys(9))), (Some(5), None));
    assert_eq!(last.align_up(PageSize::Small), None);
    assert_eq!(phys(0x20_0001).align_up(PageSize::Large), Some(phys(0x40_0000)));
    assert_eq!(phys(0x20_0000).align_up(PageSize::Large), Some(phys(0x20_0000)));
    assert_eq!(phys(0x7FFF_FFFF).align_down(PageSize::Huge), phys(0x4000_0000));
    assert!(phys(0x20_1000).is_aligned(PageSize::Small) && !phys(0x20_1000).is_aligned(PageSize::Large));
}

#[test]
fn virtual_addresses_stay_in_their_half() {
    for hole in [LOW_END, HIGH_START - 1, 1 << 63] {
        assert_eq!(VirtAddr::new(hole), None);
    }
    let (low_end, high_start) = (virt(LOW_END - 1), virt(HIGH_START));
    assert_eq!((low_end.checked_add(1), low_end.checked_add(HIGH_START - LOW_END + 1)), (None, None));
    assert_eq!((high_start.checked_sub(1), high_start.checked_sub(HIGH_START)), (None, None));
    assert_eq!(virt(u64::MAX).checked_add(1), None);
    assert_eq!((virt(0).checked_sub(1), high_start.bytes_from(low_end)), (None, None));
    assert_eq!((virt(u64::MAX).align_up(PageSize::Small), low_end.align_up(PageSize::Small)), (None, None));
    assert!(virt(USER_END - 1).is_user() && !virt(USER_END).is_user() && !virt(USER_END).is_kernel());
    assert!(high_start.is_kernel() && !high_start.is_user());
}

#[test]
fn the_direct_map_goes_both_ways_and_no_further() {
    let end = DIRECT_MAP_SIZE;
    for address in [0, 0x1234, end - 1] {
        let there = phys(address).to_direct().unwrap();
        assert_eq!(
            (there.as_u64(), there.direct_to_phys()),
            (DIRECT_MAP_BASE + address, Some(phys(address)))
        );
    }
    assert_eq!(phys(end).to_direct(), None);
    for elsewhere in [0, USER_END, DIRECT_MAP_BASE + end, u64::MAX] {
        assert_eq!(virt(elsewhere).direct_to_phys(), None);
    }
    let frame = Frame::new(7).unwrap();
    assert_eq!(frame.to_direct().direct_to_phys(), Some(frame.start()));
}

#[test]
fn frames_end_where_none_begins() {
    assert_eq!(Frame::new(u64::from(u32::MAX)), None);
    assert_eq!(Frame::from_u32(u32::MAX), None);
    assert_eq!(Frame::containing(phys(1 << 44)), None);
    let last = Frame::new(u64::from(u32::MAX) - 1).unwrap();
    assert_eq!((last.checked_add(1), last.checked_sub(u32::MAX)), (None, None));
    assert_eq!(FrameRange::new(last, 1).map(|range| range.end()), Some(u32::MAX));
    assert_eq!(FrameRange::new(last, 2), None);
    assert_eq!(Frame::containing(phys(0x5FFF)).unwrap().start(), phys(0x5000));
}

#[test]
fn ranges_of_frames() {
    let range = FrameRange::between(10, 20);
    assert_eq!((range.pages(), range.bytes(), range.start().unwrap().number()), (10, 40960, 10));
    assert_eq!(FrameRange::between(9, 9), FrameRange::EMPTY);
    assert_eq!(FrameRange::between(9, 8).start(), None);
    assert_eq!(FrameRange::inside(0x1001, 0x4FFF), FrameRange::between(2, 4));
    assert_eq!(FrameRange::inside(0x1001, 0x1FFF), FrameRange::EMPTY);
    assert_eq!(FrameRange::inside(0, u64::MAX), FrameRange::between(0, u32::MAX));
    assert_eq!(FrameRange::inside(1 << 50, u64::MAX), FrameRange::EMPTY);
    let cut = |start, end| range.without(FrameRange::between(start, end));
    assert_eq!(cut(12, 14), [FrameRange::between(10, 12), FrameRange::between(14, 20)]);
    assert_eq!(cut(5, 12), [FrameRange::EMPTY, FrameRange::between(12, 20)]);
    assert_eq!(cut(18, 30), [FrameRange::between(10, 18), FrameRange::EMPTY]);
    assert_eq!(cut(20, 30), [range, FrameRange::EMPTY]);
    assert!(range.overlaps(FrameRange::between(19, 21)) && !range.overlaps(FrameRange::between(20, 21)));
    let numbers: Vec<_> = range.iter().map(Frame::number).collect();
    assert_eq!(numbers, Vec::from_iter(10..20));
}

#[test]
fn ranges_of_pages() {
    let last_low = Page::containing(virt(LOW_END - 1));
    let last = Page::containing(virt(u64::MAX));
    for page in [last_low, last] {
        assert_eq!(page.checked_add(1), None);
        assert!(PageRange::new(page, 1).is_some_and(|range| range.contains(page) && range.pages() == 1));
        assert_eq!(PageRange::new(page, 2), None);
        assert_eq!(PageRange::new(page, u64::MAX), None);
    }
    assert_eq!(Page::containing(virt(HIGH_START)).checked_sub(1), None);
    let range = PageRange::covering(virt(0x1FFF), 2).unwrap();
    assert_eq!((range.first(), range.end()), (1, 3));
    assert!(PageRange::covering(virt(0x1000), 0).unwrap().is_empty());
    assert_eq!(PageRange::covering(virt(LOW_END - 1), 2), None);
    assert_eq!(PageRange::covering(virt(u64::MAX - 1), 2).map(PageRange::pages), Some(1));
    assert!(!range.overlaps(PageRange::new(Page::containing(virt(0x3000)), 9).unwrap()));
    let starts: Vec<_> = range.iter().map(|page| page.start().as_u64()).collect();
    assert_eq!(starts, [0x1000, 0x2000]);
}

#[test]
fn shown_as_hexadecimal() {
    assert_eq!(format!("{:#x} {}", phys(0xBEEF), virt(HIGH_START)), "0xbeef ffff800000000000");
    let frame = Frame::new(0x12).unwrap();
    assert_eq!(format!("{frame:#012x} {frame:?} {:?}", phys(1)), "0x0000012000 Frame(0x12000) PhysAddr(0x1)");
}

/// Every result against the same in wider arithmetic, where nothing wraps and the halves are two intervals.
#[test]
fn random_addresses_against_wide_arithmetic() {
    let mut random = Random::new(11);
    let half_of = |value: i128| match value {
        0..0x8000_0000_0000 => 1,
        0xFFFF_8000_0000_0000..0x1_0000_0000_0000_0000 => 2,
        _ => 0,
    };
    let (mut inside, mut outside) = (0, 0);
    for _ in 0..100_000 {
        let address = crate::arch::x86_64::paging::canonicalise(random.next_u64() >> random.below(40));
        let bytes = random.next_u64() >> random.below(64);
        let at = virt(address);
        let (a, b) = (i128::from(address), i128::from(bytes));
        for (found, wide) in [(at.checked_add(bytes), a + b), (at.checked_sub(bytes), a - b)] {
            let expected = half_of(wide) == half_of(a);
            assert_eq!(found.map(|found| i128::from(found.as_u64())), expected.then_some(wide));
            if expected { inside += 1 } else { outside += 1 }
        }
        let range = PageRange::covering(at, bytes);
        let fits = bytes == 0 || half_of(a + b - 1) == half_of(a);
        assert_eq!(range.is_some(), fits);
        if let Some(range) = range.filter(|_| bytes > 0) {
            assert_eq!((i128::from(range.first()), i128::from(range.end())), (a >> 12, (a + b + 4095) >> 12));
        }
    }
    assert!(inside > 10_000 && outside > 10_000);
}
