//! The programs that asm/flat.S, asm/flat_memory.S and asm/flat_threads.S hold: each a piece of position-independent code that begins at its first byte.

/// One of them.
pub struct Program {
    pub name: &'static str,
    pub about: &'static str,
    /// Its first byte, and the one after its last.
    bounds: fn() -> (u64, u64),
    /// Whether it is to end where the user's half of the address space does.
    pub at_the_end: bool,
}

impl Program {
    /// Its bytes.
    pub fn image(&self) -> &'static [u8] {
        let (start, end) = (self.bounds)();
        // SAFETY: both labels are of one of those files, in read-only memory, the one behind the other.
        unsafe { core::slice::from_raw_parts(start as *const u8, (end - start) as usize) }
    }
}

macro_rules! program {
    ($name:literal, $about:literal, $start:ident, $end:ident) => {
        program!($name, $about, $start, $end, false)
    };
    ($name:literal, $about:literal, $start:ident, $end:ident, $at_the_end:literal) => {
        Program {
            name: $name,
            about: $about,
            bounds: || {
                unsafe extern "C" {
                    static $start: [u8; 0];
                    static $end: [u8; 0];
                }
                (&raw const $start as u64, &raw const $end as u64)
            },
            at_the_end: $at_the_end,
        }
    };
}

/// All of them.
#[rustfmt::skip]
pub const PROGRAMS: &[Program] = &[
    program!("hello", "writes by both doors, reads a line, exits with 7", flat_hello, flat_hello_end),
    program!("registers", "every register and flag is kept over calls and interrupts", flat_registers, flat_registers_end),
    program!("step", "single step over SYSCALL; ends by #DB behind it", flat_step, flat_step_end),
    program!("step-int", "the same over INT 0x80", flat_step_int, flat_step_int_end),
    program!("enosys", "calls that do not exist", flat_enosys, flat_enosys_end),
    program!("pointers", "addresses that are not its own, for the kernel to read and write; waits for a line", flat_pointers, flat_pointers_end),
    program!("stack", "its stack grows, and then too far", flat_stack, flat_stack_end),
    program!("memory", "mmap and its like, and what is there afterwards", flat_memory, flat_memory_end),
    program!("cow", "writes to its own bytes, of which the other copy stays", flat_cow, flat_cow_end),
    program!("count", "how often it has run in its address space", flat_count, flat_count_end),
    program!("hog", "takes memory until there is none", flat_hog, flat_hog_end),
    program!("spin", "100,000 calls by each door", flat_spin, flat_spin_end),
    program!("spin-stack", "the same with its stack pointer in the kernel's NMI stack", flat_spin_stack, flat_spin_stack_end),
    program!("sse", "floating point as it is at first, and at work", flat_sse, flat_sse_end),
    program!("patterns", "a pattern in every register, over interrupts and calls", flat_patterns, flat_patterns_end),
    program!("churn", "maps, touches and unmaps memory", flat_churn, flat_churn_end),
    program!("calls", "a thousand calls, timed", flat_calls, flat_calls_end),
    program!("forever", "never ends by itself", flat_forever, flat_forever_end),
    program!("bad-stack", "calls with stack pointers of all bad kinds", flat_bad_stack, flat_bad_stack_end),
    program!("gs", "a GS base that looks like the kernel's; #UD without FSGSBASE", flat_gs, flat_gs_end),
    program!("segments", "every segment register loaded, then calls", flat_segments, flat_segments_end),
    program!("last-bytes", "SYSCALL at the very end of its address space", flat_last_bytes, flat_last_bytes_end, true),
    program!("read-kernel", "reads the kernel's text", flat_read_kernel, flat_read_kernel_end),
    program!("write-kernel", "writes to it", flat_write_kernel, flat_write_kernel_end),
    program!("jump-kernel", "jumps there", flat_jump_kernel, flat_jump_kernel_end),
    program!("read-null", "reads address 0", flat_read_null, flat_read_null_end),
    program!("read-noncanonical", "reads an address that is none", flat_read_noncanonical, flat_read_noncanonical_end),
    program!("jump-noncanonical", "jumps there", flat_jump_noncanonical, flat_jump_noncanonical_end),
    program!("push-noncanonical", "pushes there", flat_push_noncanonical, flat_push_noncanonical_end),
    program!("write-text", "writes to its own text", flat_write_text, flat_write_text_end),
    program!("run-stack", "executes its stack", flat_run_stack, flat_run_stack_end),
    program!("use-unmapped", "reads a page that it has unmapped", flat_use_unmapped, flat_use_unmapped_end),
    program!("write-protected", "writes to a page that it has made read-only", flat_write_protected, flat_write_protected_end),
    program!("read-none", "reads a page that it has taken all rights from", flat_read_none, flat_read_none_end),
    program!("run-data", "executes a page of data", flat_run_data, flat_run_data_end),
    program!("call-null", "calls address 0", flat_call_null, flat_call_null_end),
    program!("above-stack", "reads above its stack", flat_above_stack, flat_above_stack_end),
    program!("below-stack", "writes far below its stack", flat_below_stack, flat_below_stack_end),
    program!("divide", "divides by zero", flat_divide, flat_divide_end),
    program!("misaligned", "a misaligned read with AC set", flat_misaligned, flat_misaligned_end),
    program!("ud2", "UD2", flat_ud2, flat_ud2_end),
    program!("icebp", "INT1, the debug trap without a gate's leave", flat_icebp, flat_icebp_end),
    program!("hlt", "HLT", flat_hlt, flat_hlt_end),
    program!("cli", "CLI", flat_cli, flat_cli_end),
    program!("in", "IN", flat_in, flat_in_end),
    program!("out", "OUT", flat_out, flat_out_end),
    program!("rdmsr", "RDMSR", flat_rdmsr, flat_rdmsr_end),
    program!("cr3", "loads CR3", flat_cr3, flat_cr3_end),
    program!("lgdt", "LGDT", flat_lgdt, flat_lgdt_end),
    program!("swapgs", "SWAPGS", flat_swapgs, flat_swapgs_end),
    program!("sysret", "SYSRETQ", flat_sysret, flat_sysret_end),
    program!("iret", "IRETQ to ring 0", flat_iret, flat_iret_end),
    program!("int3", "INT3, whose gate is everybody's", flat_int3, flat_int3_end),
    program!("int-nmi", "INT 2", flat_int_nmi, flat_int_nmi_end),
    program!("int-pf", "INT 14", flat_int_pf, flat_int_pf_end),
    program!("int-timer", "INT 48, a device's vector", flat_int_timer, flat_int_timer_end),
];

/// By name.
pub fn find(name: &str) -> Option<&'static Program> {
    PROGRAMS.iter().find(|program| program.name == name)
}
