//! `fault KIND`: every exception that a kernel can provoke, on purpose.
//!
//! Each runs inside `recover::call`: the trap handler reports it exactly as it would report a bug, and then
//! comes back here. What leaves the CPU in no state to go on (a double fault) panics.

use super::{Call, Result};
use crate::arch::x86_64::cr::{self, Cr0};
use crate::arch::x86_64::frame::ERROR_CODE_VECTORS;
use crate::arch::x86_64::paging::{Entry, Flags, Tables, live, walk};
use crate::arch::x86_64::percpu::copies;
use crate::arch::x86_64::recover::{self, Provoke};
use crate::arch::x86_64::{cpu, fpu, gdt, interrupts, probe, stacks};
use crate::kernel::image;
use crate::kernel::traps::{self, NOWHERE};
use crate::monitor::parse::{self, Problem};
use crate::platform::pc::vectors;
use crate::task::{self, Policy};
use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};

unsafe extern "sysv64" {
    // asm/faults.S
    fn fault_de(_: u64, _: u64);
    fn fault_db(_: u64, _: u64);
    fn fault_bp(_: u64, _: u64);
    fn fault_ud(_: u64, _: u64);
    fn fault_nm(_: u64, _: u64);
    fn fault_df(_: u64, _: u64);
    fn fault_np(_: u64, _: u64);
    fn fault_ss(_: u64, _: u64);
    fn fault_gp(_: u64, _: u64);
    fn fault_gp_selector(_: u64, _: u64);
    fn fault_gp_ldt(_: u64, _: u64);
    fn fault_gp_idt(_: u64, _: u64);
    fn fault_idt_whole();
    fn fault_mf(_: u64, _: u64);
    fn fault_xm(_: u64, _: u64);
    fn fault_read(_: u64, _: u64);
    fn fault_write(_: u64, _: u64);
    fn fault_nested(_: u64, _: u64);
    fn fault_jump(_: u64, _: u64);
    fn fault_int(_: u64, _: u64);
    fn fault_synthetic(_: u64, _: u64);
    fn fault_stack_overflow(_: u64, _: u64);
}

/// Something to provoke.
struct Kind {
    name: &'static str,
    about: &'static str,
    provoke: Provoke,
    /// Its two arguments.
    arguments: fn() -> (u64, u64),
}

/// A page of which nothing is lost while its entry is something else: the guard page of the boot stack.
fn scratch_page() -> u64 {
    stacks::all()[0].guard.start
}

/// Writes the scratch page's entry. It is not present in any case, or has a reserved bit: no access gets through.
fn set_scratch_entry(entry: Entry) {
    let page = scratch_page();
    if let Some(step) = walk::path(&live::DirectMap, live::root(), page).last().filter(|step| step.level == 1)
    {
        live::DirectMap.set(step.table, step.index, entry);
        cr::flush_tlb_page(page);
    }
}

/// The highest bit of a physical address that this CPU does not have, as an entry's reserved bit. (With all 52 there
/// is none, and the entry is left not present.)
fn reserve_bit() -> (u64, u64) {
    if cpu::physical_address_bits() < 52 {
        set_scratch_entry(Entry(Flags::PRESENT.bits() | 1 << 51));
    }
    (scratch_page(), 0)
}

const fn kind(name: &'static str, about: &'static str, provoke: Provoke) -> Kind {
    Kind { name, about, provoke, arguments: || (0, 0) }
}

/// An exception by INT n, for those that ring 0 has no other way to raise.
macro_rules! by_int {
    ($name:literal, $about:literal, $vector:literal) => {
        Kind { name: $name, about: $about, provoke: fault_int, arguments: || ($vector, 0) }
    };
}

/// An exception with an error code, by a frame built by hand.
macro_rules! synthetic {
    ($name:literal, $about:literal, $vector:literal, $code:literal) => {
        Kind { name: $name, about: $about, provoke: fault_synthetic, arguments: || ($vector, $code) }
    };
}

#[rustfmt::skip]
const KINDS: &[Kind] = &[
    kind("de", "#DE: divide by zero", fault_de),
    kind("db", "#DB: single step", fault_db),
    by_int!("nmi", "NMI's vector, by INT 2", 2),
    kind("bp", "#BP: INT3", fault_bp),
    by_int!("of", "#OF, by INT 4 (INTO does not exist in long mode)", 4),
    by_int!("br", "#BR, by INT 5 (BOUND does not exist in long mode)", 5),
    kind("ud", "#UD: UD2", fault_ud),
    kind("nm", "#NM: x87 with CR0.TS set", fault_nm),
    kind("df", "#DF: an exception with the stack pointer at 0; ends in a panic", fault_df),
    by_int!("cso", "vector 9, reserved, by INT 9", 9),
    synthetic!("ts", "#TS, by a frame built by hand", 10, 0x28),
    kind("np", "#NP: ES loaded from a descriptor that is not present", fault_np),
    kind("ss", "#SS: SS loaded from a descriptor that is not present", fault_ss),
    kind("gp", "#GP: a non-canonical address", fault_gp),
    kind("gp-selector", "#GP with a selector: ES loaded from past the GDT", fault_gp_selector),
    Kind { name: "pf", about: "#PF: read of an address that is not mapped", provoke: fault_read, arguments: || (NOWHERE, 0) },
    Kind { name: "pf-write", about: "#PF: write to an address that is not mapped", provoke: fault_write, arguments: || (NOWHERE, 0) },
    synthetic!("pf-user", "#PF in ring 3, by a frame built by hand (there is no ring 3 yet)", 14, 4),
    Kind { name: "pf-reserved", about: "#PF: an entry of the page tables with a reserved bit", provoke: fault_read, arguments: reserve_bit },
    Kind { name: "pf-nested", about: "#PF, and another in its handler, which follows a bad frame pointer", provoke: fault_nested, arguments: || (NOWHERE, scratch_page()) },
    Kind { name: "text", about: "#PF: write to the kernel's text", provoke: fault_write, arguments: || (image::text().start, 0) },
    Kind { name: "rodata", about: "#PF: write to the kernel's constants", provoke: fault_write, arguments: || (image::rodata().start, 0) },
    Kind { name: "exec", about: "#PF: jump into data", provoke: fault_jump, arguments: || (image::data().start, 0) },
    Kind { name: "null", about: "#PF: call of address 0", provoke: fault_jump, arguments: || (0, 0) },
    by_int!("reserved", "vector 15, reserved, by INT 15", 15),
    kind("gp-ldt", "#GP with a selector of the LDT: ES loaded with one", fault_gp_ldt),
    kind("gp-idt", "#GP with a vector: INT 255 while the IDT ends before it", fault_gp_idt),
    synthetic!("gp-external", "#GP at the gate of a device's interrupt, by a frame built by hand", 13, 0x103),
    kind("mf", "#MF: x87 division by zero, unmasked", fault_mf),
    synthetic!("ac", "#AC, by a frame built by hand (ring 0 never checks alignment)", 17, 0),
    by_int!("mc", "#MC's vector, by INT 18", 18),
    kind("xm", "#XM: SSE division by zero, unmasked, else by INT 19", fault_xm),
    by_int!("ve", "#VE, by INT 20", 20),
    synthetic!("cp", "#CP, by a frame built by hand", 21, 1),
    by_int!("hv", "#HV, by INT 28", 28),
    synthetic!("vc", "#VC, by a frame built by hand", 29, 0x72),
    synthetic!("sx", "#SX, by a frame built by hand", 30, 1),
    kind("stack-overflow", "recursion until the guard page; ends in a panic", fault_stack_overflow),
];

/// These are no kinds of exceptions, but places where they come, and are foreseen.
const IN_NMI: &str = "in-nmi";
const IN_HANDLER: &str = "in-handler";
const THREAD_OVERFLOW: &str = "thread-overflow";

/// Reads of an interrupt handler's that faulted, as they should.
static FAULTED_IN_HANDLER: AtomicU64 = AtomicU64::new(0);

/// Raises an interrupt whose handler faults. How many of its reads have failed since the kernel's start, or `None` if
/// there is no vector left.
fn fault_in_handler() -> Option<u64> {
    fn handler(address: usize) {
        if probe::read_u8(address as u64).is_none() {
            FAULTED_IN_HANDLER.fetch_add(1, Ordering::Relaxed);
        }
    }
    static VECTOR: AtomicU8 = AtomicU8::new(0);
    if VECTOR.load(Ordering::Relaxed) == 0 {
        VECTOR
            .store(vectors::allocate("fault in-handler", handler, NOWHERE as usize).ok()?, Ordering::Relaxed);
    }
    // SAFETY: the vector has a handler, which returns.
    unsafe { fault_int(VECTOR.load(Ordering::Relaxed).into(), 0) };
    Some(FAULTED_IN_HANDLER.load(Ordering::Relaxed))
}

pub fn run<'a>(call: &mut Call<'a, '_>) -> Result<'a> {
    let Some(word) = call.words.next() else {
        for Kind { name, about, .. } in KINDS {
            let _ = writeln!(call.out, "  {name:15} {about}");
        }
        let _ = writeln!(call.out, "  {:15} INT n, for any vector from 0 to 255", "N");
        let _ = writeln!(call.out, "  {IN_HANDLER:15} #PF in an interrupt's handler, which expects it");
        let _ = writeln!(
            call.out,
            "  {IN_NMI:15} from now on, or no longer: #PF and #BP in the handler of each NMI"
        );
        let _ = writeln!(
            call.out,
            "  {THREAD_OVERFLOW:15} recursion of a thread on the last CPU; ends in a panic"
        );
        return Ok(());
    };
    call.words.end()?;
    match word {
        IN_NMI => {
            let on = traps::toggle_faults_in_nmi();
            let _ = writeln!(call.out, "{word}: {}", if on { "on" } else { "off" });
            return Ok(());
        }
        THREAD_OVERFLOW => {
            let cpu = copies::copies() - 1;
            let recurses = |_| {
                // SAFETY: it uses up its thread's stack, down to the guard page.
                unsafe { fault_stack_overflow(0, 0) };
                0
            };
            if let Ok(thread) = task::spawn_on(cpu, "deep", Policy::Normal(0), recurses, 0) {
                thread.join();
            }
            return Ok(());
        }
        IN_HANDLER => {
            let _ = match fault_in_handler() {
                Some(count) => {
                    writeln!(call.out, "{word}: {count} reads have failed and been recovered from")
                }
                None => writeln!(call.out, "{word}: no vector is free"),
            };
            return Ok(());
        }
        _ => {}
    }
    let (provoke, (a, b)) = match (KINDS.iter().find(|kind| kind.name == word), parse::number(word)) {
        (Some(kind), _) => (kind.provoke, (kind.arguments)()),
        // INT pushes no error code, whatever the vector: a stub that expects one needs it made.
        (None, Some(vector @ 0..=63)) if ERROR_CODE_VECTORS >> vector & 1 != 0 => {
            (fault_synthetic as Provoke, (vector, 0))
        }
        (None, Some(vector @ 0..=255)) => (fault_int as Provoke, (vector, 0)),
        _ => return Err(Problem::Unknown(word)),
    };
    // SAFETY: what the kinds change beyond registers is repaired below: CR0.TS, a descriptor that nothing
    // uses, the FPU's control words, the IDT's limit, the entry of a page that is never accessed.
    let trapped = unsafe { recover::call(provoke, a, b) };
    // SAFETY: TS is clear whenever the kernel runs.
    unsafe { (Cr0::read() - Cr0::TS).write() };
    // SAFETY: the limit that asm/idt.S has set.
    unsafe { fault_idt_whole() };
    set_scratch_entry(Entry::default());
    gdt::restore_user_data();
    fpu::reset();
    // It landed with them off, whatever it was; commands run with them on.
    interrupts::enable();
    let _ = writeln!(
        call.out,
        "{word}: {}",
        if trapped { "recovered" } else { "came back without an exception" }
    );
    Ok(())
}

pub fn complete(sink: &mut dyn FnMut(&str)) {
    KINDS.iter().for_each(|kind| sink(kind.name));
    sink(IN_HANDLER);
    sink(IN_NMI);
    sink(THREAD_OVERFLOW);
}
