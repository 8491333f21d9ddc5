//! /proc/sys: what holds, and what can be changed.

use crate::errno::Errno;
use crate::fs::Result;
use crate::fs::fd::FDS_MAX;
use crate::fs::format::Text;
use crate::fs::pipe::{self, account};
use crate::fs::procfs::settings::Setting;
use crate::fs::procfs::uts;
use crate::mm::frame::Zone;
use crate::mm::vma::space::{Layout, MAP_COUNT_MAX};
use crate::mm::{frames, pressure};
use crate::syscall::system;
use crate::tty::ptys;
use crate::{log as klog, random};
use core::fmt::Write;
use core::sync::atomic::Ordering;
use spin::Once;

/// Of this start.
static BOOT_ID: Once<[u8; 16]> = Once::new();

/// A random number of 128 bits in which version and variant are said (RFC 9562, version 4).
fn new_uuid() -> [u8; 16] {
    let mut uuid = [0; 16];
    random::fill(&mut uuid);
    uuid[6] = uuid[6] & 0x0F | 0x40;
    uuid[8] = uuid[8] & 0x3F | 0x80;
    uuid
}

pub fn init() {
    BOOT_ID.call_once(new_uuid);
}

fn show_uuid(uuid: &[u8; 16], to: &mut Text) {
    for (at, byte) in uuid.iter().enumerate() {
        let _ = write!(to, "{}{byte:02x}", if matches!(at, 4 | 6 | 8 | 10) { "-" } else { "" });
    }
}

/// KiB below which only requests that must not fail are served.
fn min_free_kib() -> u64 {
    frames::with_zones(|zones| {
        Zone::ALL.map(|zone| u64::from(zones.watermarks(zone).min)).iter().sum::<u64>()
    }) * 4
}

/// A setting's value. What has but one says which.
pub fn show(which: Setting, to: &mut Text) {
    let number = |to: &mut Text, number: u64| _ = write!(to, "{number}");
    match which {
        Setting::HostName => _ = to.push(system::host_name().as_bytes()),
        Setting::DomainName => _ = to.write_str(uts::DOMAIN_NAME),
        Setting::OsType => _ = to.write_str(uts::OS_TYPE),
        Setting::OsRelease => _ = to.write_str(uts::RELEASE),
        Setting::Version => _ = to.write_str(uts::VERSION),
        Setting::PidMax => number(to, 1 << 22),
        Setting::ThreadsMax => number(to, crate::task::stack::SLOTS as u64),
        Setting::CapLastCap => number(to, 40),
        Setting::GroupsMax => number(to, 65536),
        Setting::OverflowUid | Setting::OverflowGid => number(to, 65534),
        // Stack, mappings and heap are at fixed places as yet.
        Setting::RandomizeVaSpace | Setting::Tainted | Setting::Panic => number(to, 0),
        Setting::Printk => _ = write!(to, "{}\t4\t1\t7", klog::console_level()),
        Setting::CorePattern => _ = to.write_str("core"),
        Setting::Uuid => show_uuid(&new_uuid(), to),
        Setting::BootId => show_uuid(BOOT_ID.call_once(new_uuid), to),
        Setting::EntropyAvailable => number(to, if random::is_ready() { 256 } else { 0 }),
        Setting::PoolSize => number(to, 256),
        Setting::OvercommitMemory => number(to, 0),
        Setting::OvercommitRatio => number(to, 50),
        Setting::Swappiness => number(to, 0),
        Setting::MaxMapCount => number(to, MAP_COUNT_MAX as u64),
        Setting::DropCaches => number(to, 0),
        Setting::MinFreeKbytes => number(to, min_free_kib()),
        Setting::MmapMinAddr => number(to, Layout::with_stack(None).lowest),
        Setting::DirtyRatio => number(to, 20),
        Setting::DirtyBackgroundRatio => number(to, 10),
        Setting::FileMax => number(to, i64::MAX as u64),
        Setting::OpenMax => number(to, FDS_MAX as u64),
        Setting::PipeMaxSize => number(to, (pipe::PAGES_MAX * pipe::PIPE_BUF) as u64),
        Setting::PipePagesSoft => number(to, account::SOFT.load(Ordering::Relaxed) as u64),
        Setting::PipePagesHard => number(to, account::HARD.load(Ordering::Relaxed) as u64),
        Setting::PtysMax => number(to, ptys::PAIRS_MAX as u64),
        Setting::PtysInUse => {
            let mut count = 0;
            ptys::PAIRS.each(&mut |_| count += 1);
            number(to, count);
        }
    }
}

/// The first number in a text.
fn number(text: &[u8]) -> Result<u64> {
    let text = core::str::from_utf8(text).map_err(|_| Errno::Einval)?;
    text.split_ascii_whitespace().next().and_then(|word| word.parse().ok()).ok_or(Errno::Einval)
}

pub fn set(which: Setting, text: &[u8]) -> Result<()> {
    match which {
        Setting::HostName => system::set_host_name(text),
        Setting::Printk => {
            let level = u8::try_from(number(text)?).map_err(|_| Errno::Einval)?;
            klog::set_console_level(level);
            Ok(())
        }
        // 1: pages of files; 2: names and slabs; 3: both. What can be had back is had back.
        Setting::DropCaches => match number(text)? {
            1..=3 => {
                pressure::reclaim(u64::MAX);
                Ok(())
            }
            _ => Err(Errno::Einval),
        },
        Setting::PipePagesSoft | Setting::PipePagesHard => {
            let pages = usize::try_from(number(text)?).map_err(|_| Errno::Einval)?;
            let limit = if which == Setting::PipePagesSoft { &account::SOFT } else { &account::HARD };
            limit.store(pages, Ordering::Relaxed);
            Ok(())
        }
        _ => Err(Errno::Eperm),
    }
}
