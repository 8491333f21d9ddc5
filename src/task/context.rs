//! What a thread has of a CPU beside its stack, exchanged with the thread.
//!
//! | what                  | who has it                          | where it is while another thread runs           |
//! |-----------------------|-------------------------------------|-------------------------------------------------|
//! | floating-point state  | who asked for it ([`fpu::own`])     | an area in memory, by XSAVE                     |
//! | the lower half        | who works in an address space       | stays in CR3, borrowed, until another comes     |
//! | segments, their bases | who runs a program in ring 3        | here                                            |
//! | kernel stack          | the same: where ring 3 comes back to | here                                            |
//!
//! One word says which of these a thread has. Most threads have none, and a switch between two of those looks at the two
//! words and is done ([`switch`]).
//!
//! **The lower half is borrowed.** A kernel thread needs none, and all address spaces have the same upper half: so CR3 is
//! not written when a program's thread makes way for the kernel's, and not when the same program comes back. Who changes
//! that address space meanwhile leaves a note for the borrower (`platform::pc::ipi::tlb`). The space itself lives until
//! no CPU has it: whoever drops it takes it out of every CR3 first, the borrowers' too; and no thread brings it back,
//! since those that had it have let it go before.
//!
//! For the layers above two pointers are kept: whose memory the lower half is, and which [`Program`] the thread runs.
//!
//! Source: Intel SDM vol. 3 §7.7 (TSS in 64-bit mode), §3.4.4.1 (FS and GS); vol. 1 §17.3 (FSGSBASE).

use super::fault::Answer;
use super::fpu;
use super::thread::{Thread, try_current};
use crate::arch::x86_64::frame::TrapFrame;
use crate::arch::x86_64::percpu::InterruptsOff;
use crate::arch::x86_64::syscall;
use crate::arch::x86_64::user::{self, Segments, Start};
use crate::platform::tlb;
use core::any::Any;
use core::cell::UnsafeCell;
use core::ptr::{NonNull, null, null_mut};
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

/// In [`Context::owns`]: floating-point state.
const FPU: u32 = 1 << 0;
/// A lower half.
const LOWER: u32 = 1 << 1;
/// It is in ring 3, or in the kernel on behalf of what it does there.
const RING_3: u32 = 1 << 2;

/// A thread's.
pub(super) struct Context {
    /// What of the following it has. Changed by the thread itself, with interrupts off.
    owns: AtomicU32,
    fpu: AtomicPtr<fpu::Area>,
    lower: UnsafeCell<Lower>,
    ring_3: UnsafeCell<Ring3>,
    program: UnsafeCell<Option<&'static dyn Program>>,
}

/// What a thread runs in ring 3, and what the kernel does on its behalf. All of it is called on the thread's own stack
/// and with its lower half in place.
pub trait Program: Sync {
    /// SYSCALL or INT 0x80. With interrupts on; returns with interrupts off, or ends the thread's stay in ring 3.
    fn system_call(&self, frame: &mut TrapFrame);
    /// An exception that ring 3 is to blame for; `answer` is what has come of it if it was a page fault. With interrupts
    /// off; only notes it, for [`look`](Self::look) follows.
    fn exception(&self, frame: &TrapFrame, cr2: u64, answer: Answer);
    /// Before the thread goes (back) to ring 3, with interrupts off, which may be on meanwhile. Need not return.
    fn look(&self, frame: &mut TrapFrame);
    /// Itself, for the layer above to know its own again.
    fn as_any(&'static self) -> Option<&'static dyn Any> {
        None
    }
}

/// The lower half of the address space, as a thread has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lower {
    /// Physical address of the top table; 0 for none.
    root: u64,
    /// Whose it is, for the layer above.
    owner: *const (),
}

impl Lower {
    pub const NONE: Self = Self { root: 0, owner: null() };

    pub const fn new(root: u64, owner: *const ()) -> Self {
        Self { root, owner }
    }
}

struct Ring3 {
    /// While another thread runs.
    segments: Segments,
    /// What is in the TSS while this one does.
    kernel_stack: u64,
}

impl Context {
    pub const fn new() -> Self {
        Self {
            owns: AtomicU32::new(0),
            fpu: AtomicPtr::new(null_mut()),
            lower: UnsafeCell::new(Lower::NONE),
            ring_3: UnsafeCell::new(Ring3 { segments: Segments::with_bases(0, 0), kernel_stack: 0 }),
            program: UnsafeCell::new(None),
        }
    }

    fn has(&self, what: u32) -> bool {
        self.owns.load(Ordering::Relaxed) & what != 0
    }

    /// With interrupts off, by the thread itself.
    fn set(&self, what: u32, has_it: bool) {
        let others = self.owns.load(Ordering::Relaxed) & !what;
        self.owns.store(if has_it { others | what } else { others }, Ordering::Relaxed);
    }

    pub fn has_fpu(&self) -> bool {
        self.has(FPU)
    }

    /// Its floating-point state's area.
    pub fn fpu(&self) -> Option<NonNull<fpu::Area>> {
        NonNull::new(self.fpu.load(Ordering::Relaxed))
    }

    pub fn is_in_ring_3(&self) -> bool {
        self.has(RING_3)
    }

    pub fn is_empty(&self) -> bool {
        self.owns.load(Ordering::Relaxed) == 0
    }

    /// Gives it floating-point state, or takes it away; returns what it had. With interrupts off, by the thread itself.
    pub fn set_fpu(&self, area: Option<NonNull<fpu::Area>>) -> Option<NonNull<fpu::Area>> {
        self.set(FPU, area.is_some());
        NonNull::new(self.fpu.swap(area.map_or(null_mut(), NonNull::as_ptr), Ordering::Relaxed))
    }
}

/// What is not exchanged although it should be: for tests that are to fail then.
static FORGOTTEN: AtomicU32 = AtomicU32::new(0);

/// `forget=`: from here on this is not exchanged any more, or not asked of other CPUs. False if there is no such thing.
pub fn forget(what: &str) -> bool {
    let bit = match what {
        "fpu" => FPU,
        "segments" => RING_3,
        "shootdown" => {
            tlb::leave_out();
            return true;
        }
        _ => return false,
    };
    FORGOTTEN.fetch_or(bit, Ordering::Relaxed);
    true
}

/// Takes from the CPU what the one thread has, and gives it what the other has. With interrupts off.
#[inline]
pub(super) fn switch(old: &Thread, next: &Thread) {
    let (old, next) = (&old.context, &next.context);
    if old.owns.load(Ordering::Relaxed) | next.owns.load(Ordering::Relaxed) != 0 {
        exchange(old, next);
    }
}

#[inline(never)]
fn exchange(old: &Context, next: &Context) {
    let (had, has) = (old.owns.load(Ordering::Relaxed), next.owns.load(Ordering::Relaxed));
    let forgotten = FORGOTTEN.load(Ordering::Relaxed);
    if (had | has) & !forgotten & FPU != 0 {
        fpu::exchange(old.fpu.load(Ordering::Relaxed), next.fpu.load(Ordering::Relaxed));
    } else if has & FPU != 0 {
        fpu::leave_as_it_is();
    }
    // SAFETY: the one thread is on this CPU, and the other is about to be: their own, and interrupts are off.
    let (old_lower, next_lower) = unsafe { (*old.lower.get(), *next.lower.get()) };
    if old_lower.root != next_lower.root {
        change_lower(next_lower.root);
    }
    if had & !forgotten & RING_3 != 0 {
        // SAFETY: as above; what the CPU has is the old thread's.
        unsafe { (*old.ring_3.get()).segments.save() };
    }
    if has & RING_3 != 0 {
        // SAFETY: as above; `user_begin` has filled it in.
        let ring_3 = unsafe { &*next.ring_3.get() };
        // SAFETY: the thread's own stack, from where `user_enter` stood.
        unsafe { syscall::set_kernel_stack(ring_3.kernel_stack) };
        if forgotten & RING_3 == 0 {
            // SAFETY: as above.
            unsafe { ring_3.segments.load() };
        }
    }
}

/// The thread that runs from here on has this top table, or none. With interrupts off.
fn change_lower(root: u64) {
    if root == 0 {
        tlb::borrow();
    } else {
        // SAFETY: a thread has only what lives longer, as `set_lower` was promised.
        unsafe { tlb::load(root) };
    }
}

/// The thread that runs, which has begun.
fn me() -> &'static Context {
    &try_current().expect("task::init comes first").context
}

/// Gives the thread that runs this a lower half, or takes it away; returns what it had.
///
/// # Safety
/// Its address space has the kernel's upper half, and lives until this is called again with something else. Whoever ends
/// it takes it out of every CR3 (`tlb::retire`) before the tables are given back.
pub unsafe fn set_lower(lower: Lower) -> Lower {
    let _off = InterruptsOff::new();
    let me = me();
    // SAFETY: the thread's own, with interrupts off.
    let old = unsafe { me.lower.get().replace(lower) };
    me.set(LOWER, lower.root != 0);
    if old.root != lower.root {
        change_lower(lower.root);
    }
    old
}

/// Whose the lower half of the thread that runs this is; null if it has none.
pub fn lower_owner() -> *const () {
    // SAFETY: the thread's own, which only itself changes.
    try_current().map_or(null(), |me| unsafe { (*me.context.lower.get()).owner })
}

/// What the thread that runs this runs in ring 3, if anything. Who asks is that program's trap or system call.
#[inline]
pub fn program() -> Option<&'static dyn Program> {
    // SAFETY: the thread's own, which nobody else looks at; `on_behalf_of` keeps it for as long as it is there.
    try_current().and_then(|me| unsafe { *me.context.program.get() })
}

/// The thread that calls this is at work on behalf of a program, for as long as `work` takes.
pub fn on_behalf_of<R>(program: &dyn Program, work: impl FnOnce() -> R) -> R {
    // SAFETY: it is taken back below, before the borrow ends; nothing but this thread's traps has it until then.
    let program = unsafe { core::mem::transmute::<&dyn Program, &'static dyn Program>(program) };
    let place = me().program.get();
    // SAFETY: the thread's own.
    let before = unsafe { place.replace(Some(program)) };
    let result = work();
    // SAFETY: as above.
    unsafe { place.write(before) };
    result
}

/// Goes to ring 3 for the program that this thread is at work for, until somebody ends that by [`leave`].
///
/// # Safety
/// The lower half of the address space is the program's, and stays so for this thread.
pub unsafe fn enter(start: &Start) {
    // SAFETY: the caller's promise.
    unsafe { user::enter(start) };
}

/// Ends the stay in ring 3 of the thread that calls this: [`enter`] returns.
///
/// # Safety
/// As for `user::leave`.
pub unsafe fn leave() -> ! {
    leave_ring_3();
    // SAFETY: the caller's promise.
    unsafe { user::leave() }
}

/// Called by asm/user.S on the way to ring 3, with interrupts off: from here on the kernel enters from there at `top` of
/// this thread's stack. Writes the frame below it.
#[unsafe(no_mangle)]
extern "sysv64" fn user_begin(start: &Start, top: u64, frame: *mut TrapFrame) {
    let me = me();
    let ring_3 = Ring3 { segments: start.segments, kernel_stack: top };
    // SAFETY: the thread's own; interrupts are off. asm/user.S has made room for the frame.
    unsafe {
        syscall::set_kernel_stack(top);
        ring_3.segments.load();
        me.ring_3.get().write(ring_3);
        frame.write(start.frame);
    }
    me.set(RING_3, true);
    // SAFETY: it was just written, and nobody else has it.
    look(unsafe { &mut *frame });
}

/// Called by asm/syscall.S for both doors, with interrupts on; returns with interrupts off.
#[unsafe(no_mangle)]
extern "sysv64" fn syscall_handler(frame: &mut TrapFrame) {
    program().expect("a system call is made by a program that runs").system_call(frame);
}

/// Before the thread that runs this goes to ring 3, where `frame` leads, with interrupts off.
pub fn look(frame: &mut TrapFrame) {
    if let Some(program) = program() {
        program.look(frame);
    }
}

/// The base of FS or GS that the program of the thread that runs this has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    Fs,
    Gs,
}

impl Base {
    /// `arch_prctl(ARCH_GET_FS)` and its like.
    pub fn get(self) -> u64 {
        let segments = segments();
        if self == Self::Fs { segments.fs_base() } else { segments.gs_base() }
    }

    /// `arch_prctl(ARCH_SET_FS)`: `base` is a user address.
    pub fn set(self, base: u64) {
        let _off = InterruptsOff::new();
        // SAFETY: interrupts are off, and the thread runs a program.
        unsafe {
            let mut segments = Segments::default();
            segments.save();
            let (fs, gs) = (segments.fs_base(), segments.gs_base());
            let (fs, gs) = if self == Self::Fs { (base, gs) } else { (fs, base) };
            segments.with_other_bases(fs, gs).load();
        }
    }
}

/// What the program of the thread that runs this has in its segment registers.
pub fn segments() -> Segments {
    let _off = InterruptsOff::new();
    let mut segments = Segments::default();
    // SAFETY: interrupts are off.
    unsafe { segments.save() };
    segments
}

/// Gives them to the program of the thread that runs this.
pub fn set_segments(segments: &Segments) {
    let _off = InterruptsOff::new();
    // SAFETY: interrupts are off; they are a program's, or have user addresses.
    unsafe { segments.load() };
}

/// The program of the thread that runs this is over: nothing that it has loaded into segment registers and bases stays.
/// With interrupts off, from a trap or a system call of the program's, of which nothing else will be executed.
fn leave_ring_3() {
    me().set(RING_3, false);
    // SAFETY: interrupts are off; null and zero.
    unsafe { Segments::default().load() };
}
