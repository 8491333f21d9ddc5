//! From the first Rust instruction to the prompt.
//!
//! The order matters. The log comes first, so that everything after it can complain (on COM1, which is set up
//! when the first line is printed); then the hand-over structure, checked before it is believed; then the page
//! tables are put in order (no lower half, guard pages under the stacks) and the CPU's protections turned on.
//! The consoles come after that: only then is the framebuffer's cache type write-combining.

use crate::arch::x86_64::cpu::{self, Features};
use crate::arch::x86_64::paging::live;
use crate::arch::x86_64::percpu::copies;
use crate::arch::x86_64::{idle as arch_idle, interrupts, percpu, reset, stacks, tsc};
use crate::boot::cmdline::{BadValue, CommandLine};
use crate::boot::info::{BootInfo, BootInfoError};
use crate::boot::memmap;
use crate::drivers::framebuffer::Framebuffer;
use crate::drivers::serial::live::Driven;
use crate::kernel::panic::{self, Action};
use crate::kernel::{boot_info, selftest};
use crate::platform::pc::{Found, Options as MachineOptions, clock, cpus, ipi};
use crate::platform::{Machine, Platform};
use crate::task::sched::topology::Position;
use crate::task::schedule;
use crate::tty::console;
use crate::tty::nodes;
use crate::tty::options::{DEFAULT_BAUD, Selection};
use crate::{fs, kernel, log as klog, mm, monitor, platform, random, task};
use alloc::vec::Vec;
use core::fmt;
use log::{error, info, warn};

/// # Safety
/// Called once, by asm/entry.S, with what the loader passed.
pub unsafe fn run(info: *const BootInfo) -> ! {
    let entry = tsc::read();
    // SAFETY: once, before interrupts and before anybody asks for per-CPU data, which the first lock does.
    unsafe { percpu::install_boot_cpu() };
    klog::init();
    klog::set_sink(console::print_log);

    // SAFETY: the loader's structure, in the direct map.
    let info = unsafe { boot_info::accept(info) }.unwrap_or_else(|error| refuse(error));
    klog::set_clock(entry, info.times.tsc_hz);
    kernel::locks::watch(info.times.tsc_hz);

    let options = boot_info::command_line();
    configure_from(&options);

    // SAFETY: asm/entry.S is behind us; nothing else has a lower-half address. The guard pages are nobody's.
    let guards = unsafe {
        live::drop_lower_half();
        stacks::install_guards()
    };
    assert_eq!(guards, stacks::all().len(), "a guard page was not mapped as one page of its own");
    enable_cpu();

    open_console(info, &options);
    info!(target: "kernel", "SIS {} ({})", env!("CARGO_PKG_VERSION"), build_name());
    info!(target: "kernel", "command line: {:?}", options.as_str());
    report_unknown(&options);
    report_cpu();
    report_memory();
    mm::init(boot_info::regions());
    assert!(fs::pagecache::live::init(), "there is a place for one more who gives memory back");
    mm::heap::name_sites_by(kernel::backtrace::allocation_site);
    platform::pc::init(found(info), machine_options(&options));
    start_random(info, &options);
    task::init(kernel::idle::run);
    set_slice(&options);
    forget(&options);
    platform::pc::events::on_button(power_button);
    kernel::user::init();
    choose_idle(&options);
    start_cpus(info, &options);
    start_interrupts(&options);
    task::init_workers();
    assert!(nodes::register(), "there are places for terminals among the devices");
    kernel::grace::init();
    kernel::watchdog::init();
    kernel::files::init(boot_info::initrd());
    if let Err(error) = kernel::first::init(&options) {
        error!(target: "init", "no processes: {error}");
    }
    report_boot_times(info, entry);

    match options.number("failalloc") {
        Ok(Some(nth)) => mm::heap::HEAP.fail.every(nth),
        Ok(None) => {}
        Err(bad) => warn!(target: "memory", "{bad}"),
    }
    if options.flag("selftest") {
        run_selftests(&options);
    }
    monitor::init();
    if wants_first_process(&options) {
        kernel::first::run(&options);
    }
    monitor::run()
}

/// Loader and kernel do not fit together. There is no clock and no command line yet.
fn refuse(error: BootInfoError) -> ! {
    match error {
        BootInfoError::Magic(found) => panic!("the loader passed no BootInfo (magic {found:#x})"),
        BootInfoError::Version(found) => {
            panic!("BootInfo has version {found}: loader and kernel are from different builds")
        }
        BootInfoError::Size(found) => {
            panic!("BootInfo has {found} bytes: loader and kernel are from different builds")
        }
    }
}

fn build_name() -> &'static str {
    if cfg!(debug_assertions) { "debug build, all checks on" } else { "release build" }
}

/// The options that everything else depends on.
fn configure_from(options: &CommandLine<'_>) {
    if let Some(value) = options.last("loglevel") {
        match klog::parse_console_level(value) {
            Some(level) => klog::set_console_level(level),
            None => warn!(target: "kernel", "loglevel={value}: not a number from 0 to 9, nor a level's name"),
        }
    }
    if let Some(value) = options.last("panic") {
        match Action::parse(value) {
            Some(action) => panic::set_action(action),
            None => warn!(target: "kernel", "panic={value}: not halt, reboot or exit"),
        }
    }
}

fn open_console(info: &BootInfo, options: &CommandLine<'_>) {
    let default = default_console(info);
    let mut selection = Selection::from_command_line(options, default, &mut |value| {
        warn!(target: "console", "console={value}: no such console");
    });
    // SAFETY: the loader's description, and the console is the one owner.
    let framebuffer = || unsafe { Framebuffer::new(&info.framebuffer) };
    let mut found = console::configure(&selection, framebuffer());
    if found.serial.is_none() && found.text.is_none() && selection != default {
        // A kernel that cannot be heard helps nobody.
        warn!(target: "console", "none of the consoles asked for exists; trying all");
        selection = default;
        found = console::configure(&selection, framebuffer());
    }
    match (selection.serial, found.serial) {
        (Some((port, baud)), Some((chip, depth))) => {
            info!(target: "console", "ttyS{port}: {chip}, FIFO {depth}, {baud} baud");
        }
        (Some((port, _)), None) => warn!(target: "console", "ttyS{port}: no UART there"),
        (None, _) => {}
    }
    if let Some((columns, rows)) = found.text {
        info!(target: "console", "tty0: {}x{} pixels, {columns}x{rows} characters", info.framebuffer.width, info.framebuffer.height);
    }
}

/// The serial port that the firmware speaks through, at its speed, and the framebuffer.
fn default_console(info: &BootInfo) -> Selection {
    let port = Machine::serial_number(info.serial.port.into());
    let baud = if info.serial.baud == 0 { DEFAULT_BAUD } else { info.serial.baud };
    port.map_or(Selection::both(0, DEFAULT_BAUD), |port| Selection::both(port, baud))
}

/// Options that only init will know, and values that this kernel does not understand.
fn report_unknown(options: &CommandLine<'_>) {
    let count = options.unknown().count();
    if count > 0 {
        info!(target: "kernel", "{count} words of the command line are left for init");
    }
}

/// Checks this CPU and turns on what it has.
fn enable_cpu() {
    let features = Features::detect();
    let missing = features.missing();
    if !missing.is_empty() {
        panic!("this CPU lacks {}", cpu::Words(missing.names()));
    }
    // SAFETY: once, on the boot CPU, on our own tables, with its own features, of which none is missing.
    unsafe { cpu::enable(features) };
}

fn report_cpu() {
    let (family, model, stepping) = cpu::signature();
    info!(target: "cpu", "{} family {family:#x} model {model:#x} stepping {stepping}, \"{}\"", cpu::vendor().as_str(), cpu::brand().as_str());
    info!(target: "cpu", "on: {}", cpu::Words(cpu::enabled()));
}

fn report_memory() {
    let regions = boot_info::regions();
    let totals = memmap::totals(regions);
    let usable = memmap::largest_usable(regions).map_or(0, |region| region.pages);
    info!(
        target: "memory",
        "{} MiB of RAM in {} regions, largest free one {} MiB",
        totals.ram_pages() >> 8,
        regions.len(),
        usable >> 8
    );
}

/// Gives the random numbers their start: what tells this boot of this machine from others, beside what the CPU has.
fn start_random(info: &BootInfo, options: &CommandLine<'_>) {
    let words =
        [Machine::unix_ns().unwrap_or(0) as u64, info.rsdp, info.times.tsc_hz, info.times.loader_start];
    random::add(words.map(u64::to_le_bytes).as_flattened(), 0);
    random::add(options.as_str().as_bytes(), 0);
    random::init();
}

/// `slice=`: how long threads run before others have their turn. For tests, which want it short.
fn set_slice(options: &CommandLine<'_>) {
    match options.number("slice") {
        Ok(Some(us)) if us > 0 => _ = task::schedule::set_slice(us.saturating_mul(1000)),
        Ok(None) => {}
        Ok(Some(_)) => warn!(target: "task", "slice=0: no time at all"),
        Err(bad) => warn!(target: "task", "{bad}"),
    }
}

/// `idle=`: how CPUs sleep.
fn choose_idle(options: &CommandLine<'_>) {
    let wanted = match options.last("idle") {
        Some("hlt") => Some(false),
        Some("mwait") => Some(true),
        Some(other) => {
            warn!(target: "cpu", "idle={other}: not hlt or mwait");
            None
        }
        None => None,
    };
    match (arch_idle::choose(wanted), wanted) {
        (true, _) => info!(target: "cpu", "idle by MWAIT"),
        (false, Some(true)) => warn!(target: "cpu", "idle=mwait: this CPU has no MWAIT; idle by HLT"),
        (false, _) => info!(target: "cpu", "idle by HLT"),
    }
}

/// Starts the other CPUs, which run threads from then on.
fn start_cpus(info: &BootInfo, options: &CommandLine<'_>) {
    cpus::idle_by(task::init_cpu, kernel::idle::run_other);
    ipi::on_reschedule(|_| schedule::reschedule_here());
    schedule::on_remote_wake_up(ipi::reschedule);
    cpus::start(cpus_options(options), info.trampoline, mm::heap::add_cpu);
    let positions: Vec<_> = (0..copies::copies()).map(position).collect();
    schedule::TOPOLOGY.set(&positions);
}

/// Where a CPU is. One that did not say is by itself.
fn position(cpu: usize) -> Position {
    match cpus::topology(cpu) {
        Some(topology) => Position { package: topology.package, core: topology.core },
        None => Position { package: u32::MAX, core: cpu as u32 },
    }
}

/// `forget=`: what threads and CPUs do not tell each other. For tests that are to fail then.
fn forget(options: &CommandLine<'_>) {
    let Some(what) = options.last("forget") else { return };
    for what in what.split(',') {
        if task::context::forget(what) {
            warn!(target: "task", "{what}: left out, as asked for");
        } else {
            warn!(target: "task", "forget={what}: not fpu, segments or shootdown");
        }
    }
}

/// Gives the serial port its line, and turns interrupts on.
fn start_interrupts(options: &CommandLine<'_>) {
    if let Some(port) = console::serial_port() {
        match console::drive(!options.flag("serialpoll")) {
            Some(Driven::ByInterrupt) => {}
            Some(Driven::ByTimer) => {
                info!(target: "console", "ttyS{port}: no interrupt line; a timer polls it")
            }
            None => {
                warn!(target: "console", "ttyS{port}: neither an interrupt line nor a timer; it is polled")
            }
        }
    }
    match options.number("hz") {
        Ok(Some(hz)) => platform::timers::start_ticks(hz),
        Ok(None) => {}
        Err(bad) => warn!(target: "timers", "{bad}"),
    }
    interrupts::enable();
}

/// The power button: the end in good order. In deferred work.
fn power_button() {
    info!(target: "power", "the power button was pressed: turning off");
    console::drain();
    let reason = Machine::power_off();
    error!(target: "power", "{reason}");
}

/// What the loader knows about the machine.
fn found(info: &BootInfo) -> Found {
    Found { memory_map: boot_info::regions(), acpi_root: info.rsdp, tsc_hz: info.times.tsc_hz }
}

/// What the command line says about it.
fn machine_options(options: &CommandLine<'_>) -> MachineOptions {
    MachineOptions {
        interrupts: interrupts_options(options),
        clock: clock::Options { nohpet: options.flag("nohpet"), notsc: options.flag("notsc") },
    }
}

fn cpus_options(options: &CommandLine<'_>) -> cpus::Options {
    let count = |found: Result<Option<u64>, BadValue<'_>>| {
        let number = found.unwrap_or_else(|bad| {
            warn!(target: "smp", "{bad}");
            None
        });
        number.map(|number| usize::try_from(number).unwrap_or(usize::MAX))
    };
    cpus::Options {
        max: count(options.number("maxcpus")).map_or(0, |max| max.max(1)),
        hide: count(options.number("hidecpu")),
        skew: tsc_skew(options),
    }
}

/// `tscskew=CPU:NS`.
fn tsc_skew(options: &CommandLine<'_>) -> Option<(usize, i64)> {
    let value = options.last("tscskew")?;
    let parsed = value.split_once(':').and_then(|(cpu, ns)| Some((cpu.parse().ok()?, ns.parse().ok()?)));
    if parsed.is_none() {
        warn!(target: "smp", "tscskew={value}: not a CPU's number, a colon and nanoseconds");
    }
    parsed
}

fn interrupts_options(options: &CommandLine<'_>) -> platform::pc::interrupts::Options {
    let [nox2apic, noapic, nolapic] = ["nox2apic", "noapic", "nolapic"].map(|name| options.flag(name));
    platform::pc::interrupts::Options { nox2apic, noapic, nolapic }
}

/// How long each stage took. The firmware's own time is told apart: it is most of it, and not ours.
fn report_boot_times(info: &BootInfo, entry: u64) {
    let times = &info.times;
    let prompt = tsc::read();
    let loader = times.exit_boot_services.saturating_sub(times.loader_start);
    let ours = loader.saturating_sub(times.in_firmware);
    let jump = entry.saturating_sub(times.exit_boot_services);
    let kernel = prompt.saturating_sub(entry);
    let ms = |ticks| Milliseconds(tsc::to_ns(ticks, times.tsc_hz));
    info!(
        target: "boot",
        "loader {} + firmware calls {}, jump {}, kernel to prompt {}; ours {}; tsc {} MHz",
        ms(ours),
        ms(times.in_firmware),
        ms(jump),
        ms(kernel),
        ms(ours + jump + kernel),
        times.tsc_hz / 1_000_000
    );
}

/// Nanoseconds, printed as milliseconds with three digits.
struct Milliseconds(u64);

impl fmt::Display for Milliseconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let us = self.0 / 1000;
        write!(f, "{}.{:03} ms", us / 1000, us % 1000)
    }
}

/// `selftest` or `selftest=name,…`: runs them and ends QEMU with the result.
fn run_selftests(options: &CommandLine<'_>) {
    let mut failed = 0;
    match options.last("selftest") {
        None => failed += selftest::run_all(),
        Some(names) => {
            for name in names.split(',').filter(|name| !name.is_empty()) {
                failed += selftest::run_named(name).unwrap_or_else(|| {
                    error!(target: "selftest", "{name}: no such test");
                    1
                });
            }
        }
    }
    console::drain();
    reset::debug_exit(failed == 0);
    // Still here: this is no QEMU, or one without that device.
    warn!(target: "selftest", "no isa-debug-exit device; going on");
}

/// Whether there is something to begin with but the monitor. Never a silent stop: what was asked for and cannot be done yet
/// is said.
fn wants_first_process(options: &CommandLine<'_>) -> bool {
    if options.flag("monitor") {
        return false;
    }
    if let Some(root) = options.root() {
        error!(target: "kernel", "root={root}: this kernel has no disks yet; here is the monitor");
        return false;
    }
    boot_info::get().initrd.len > 0
}
