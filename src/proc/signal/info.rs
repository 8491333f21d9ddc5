//! `siginfo`: what comes with a signal.
//!
//! ```text
//!   0  si_signo   4  si_errno   8  si_code   12  (0)
//!   16             20             24             32             40
//!   si_pid         si_uid                                                kill, tkill
//!   si_pid         si_uid         si_value                               sigqueue
//!   si_pid         si_uid         si_status      si_utime       si_stime a child
//!   si_addr                                                              a fault
//!   si_call_addr                  si_syscall 28 si_arch                  a system call that is not allowed
//!   si_timerid     si_overrun     si_value                               a timer
//! ```
//! Programs have 128 bytes for it, of which all that is used are the first 48: no more is kept, and the rest is zeroes.
//! `si_code` says what the others mean: 0 and below come from programs, above from the kernel.
//!
//! Source: Linux, include/uapi/asm-generic/siginfo.h.

use super::number::Signal;
use crate::errno::Errno;

/// Bytes that are used.
const USED: usize = 48;
/// Bytes in a program's memory.
pub const INFO_BYTES: usize = 128;

/// `si_code`: who sent it, or what went wrong.
pub mod code {
    /// `kill`.
    pub const USER: i32 = 0;
    /// The kernel, without more to say.
    pub const KERNEL: i32 = 0x80;
    /// `sigqueue`.
    pub const QUEUE: i32 = -1;
    /// A timer of the program's.
    pub const TIMER: i32 = -2;
    /// `tkill` and `tgkill`.
    pub const TKILL: i32 = -6;

    pub const ILL_ILLOPN: i32 = 2;
    pub const ILL_PRVOPC: i32 = 5;
    pub const FPE_INTDIV: i32 = 1;
    pub const FPE_FLTDIV: i32 = 3;
    pub const FPE_FLTOVF: i32 = 4;
    pub const FPE_FLTUND: i32 = 5;
    pub const FPE_FLTRES: i32 = 6;
    pub const FPE_FLTINV: i32 = 7;
    /// Nothing is mapped there.
    pub const SEGV_MAPERR: i32 = 1;
    /// What is mapped there does not allow it.
    pub const SEGV_ACCERR: i32 = 2;
    pub const SEGV_PKUERR: i32 = 4;
    pub const BUS_ADRALN: i32 = 1;
    /// Mapped, but there is nothing: past the end of a file.
    pub const BUS_ADRERR: i32 = 2;
    pub const BUS_OBJERR: i32 = 3;
    pub const TRAP_BRKPT: i32 = 1;
    pub const TRAP_TRACE: i32 = 2;
    pub const TRAP_HWBKPT: i32 = 4;
    pub const SYS_SECCOMP: i32 = 1;

    pub const CLD_EXITED: i32 = 1;
    pub const CLD_KILLED: i32 = 2;
    pub const CLD_TRAPPED: i32 = 4;
    pub const CLD_STOPPED: i32 = 5;
    pub const CLD_CONTINUED: i32 = 6;
}

/// What has become of a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Child {
    pub pid: u32,
    /// Its real user.
    pub uid: u32,
    /// `CLD_*`.
    pub code: i32,
    /// Exit code, or the number of the signal.
    pub status: i32,
    /// Times it has run, in ticks of `AT_CLKTCK`.
    pub user_ticks: i64,
    pub system_ticks: i64,
}

/// A signal and what comes with it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Info {
    bytes: [u8; USED],
    signal: Signal,
}

impl Info {
    fn new(signal: Signal, code: i32) -> Self {
        let mut info = Self { bytes: [0; USED], signal };
        info.put(0, i32::from(signal.number()).to_le_bytes());
        info.put(8, code.to_le_bytes());
        info
    }

    fn put<const N: usize>(&mut self, at: usize, bytes: [u8; N]) {
        self.bytes[at..at + N].copy_from_slice(&bytes);
    }

    fn get<const N: usize>(&self, at: usize) -> [u8; N] {
        self.bytes[at..].first_chunk().copied().unwrap_or([0; N])
    }

    fn from_program(signal: Signal, code: i32, pid: u32, uid: u32) -> Self {
        let mut info = Self::new(signal, code);
        info.put(16, pid.to_le_bytes());
        info.put(20, uid.to_le_bytes());
        info
    }

    /// By `kill`, from that process of that user; also what is said of one whose own information got lost, with zeroes.
    pub fn kill(signal: Signal, pid: u32, uid: u32) -> Self {
        Self::from_program(signal, code::USER, pid, uid)
    }

    /// By `tkill` or `tgkill`.
    pub fn tkill(signal: Signal, pid: u32, uid: u32) -> Self {
        Self::from_program(signal, code::TKILL, pid, uid)
    }

    /// By `sigqueue`, with a number or pointer.
    pub fn queue(signal: Signal, pid: u32, uid: u32, value: u64) -> Self {
        let mut info = Self::from_program(signal, code::QUEUE, pid, uid);
        info.put(24, value.to_le_bytes());
        info
    }

    /// By the kernel, for a reason that the signal says: ^C, a write to a broken pipe.
    pub fn kernel(signal: Signal) -> Self {
        Self::new(signal, code::KERNEL)
    }

    /// An instruction has failed: at `address` it is, or was to be done.
    pub fn fault(signal: Signal, code: i32, address: u64) -> Self {
        let mut info = Self::new(signal, code);
        info.put(16, address.to_le_bytes());
        info
    }

    /// SIGCHLD.
    pub fn child(signal: Signal, child: &Child) -> Self {
        let mut info = Self::from_program(signal, child.code, child.pid, child.uid);
        info.put(24, child.status.to_le_bytes());
        info.put(32, child.user_ticks.to_le_bytes());
        info.put(40, child.system_ticks.to_le_bytes());
        info
    }

    /// By a timer that has run out, for the `overrun + 1`st time since this was last taken.
    pub fn timer(signal: Signal, timer: i32, overrun: i32, value: u64) -> Self {
        let mut info = Self::new(signal, code::TIMER);
        info.put(16, timer.to_le_bytes());
        info.put(20, overrun.to_le_bytes());
        info.put(24, value.to_le_bytes());
        info
    }

    /// What a program wants to be sent in its own words (`rt_sigqueueinfo`). `signal` is the call's and counts; what the
    /// bytes say of it does not. [`Errno::E2big`] if they have something where nothing is known to be.
    pub fn from_user(signal: Signal, bytes: &[u8; INFO_BYTES]) -> Result<Self, Errno> {
        let (used, rest) = bytes.split_at(USED);
        if rest.iter().any(|&byte| byte != 0)
            && !Self::is_known(i32::from_le_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]))
        {
            return Err(Errno::E2big);
        }
        let mut info = Self { bytes: [0; USED], signal };
        info.bytes.copy_from_slice(used);
        info.put(0, i32::from(signal.number()).to_le_bytes());
        Ok(info)
    }

    /// Codes of which it is known where their fields end.
    const fn is_known(code: i32) -> bool {
        code >= -7 && code <= 8 || code == code::KERNEL
    }

    pub const fn signal(&self) -> Signal {
        self.signal
    }

    pub fn code(&self) -> i32 {
        i32::from_le_bytes(self.get(8))
    }

    /// `si_pid`, of those that have one.
    pub fn pid(&self) -> u32 {
        u32::from_le_bytes(self.get(16))
    }

    /// `si_uid`, of those that have one.
    pub fn uid(&self) -> u32 {
        u32::from_le_bytes(self.get(20))
    }

    /// `si_status`, of a child's.
    pub fn status(&self) -> i32 {
        i32::from_le_bytes(self.get(24))
    }

    /// `si_value`, of those that have one.
    pub fn value(&self) -> u64 {
        u64::from_le_bytes(self.get(24))
    }

    /// `si_addr`, of a fault's.
    pub fn address(&self) -> u64 {
        u64::from_le_bytes(self.get(16))
    }

    /// Whether the kernel sent it, and about what an instruction did: those are taken first.
    pub fn is_synchronous(&self) -> bool {
        super::SigSet::SYNCHRONOUS.contains(self.signal) && self.code() > code::USER
    }

    /// Whether a program may say this of itself to another process: only what the kernel never says.
    pub fn may_be_claimed(&self) -> bool {
        self.code() < 0 && self.code() != code::TKILL
    }

    /// As a program has it.
    pub fn to_bytes(&self) -> [u8; INFO_BYTES] {
        let mut bytes = [0; INFO_BYTES];
        bytes[..USED].copy_from_slice(&self.bytes);
        bytes
    }
}

impl core::fmt::Debug for Info {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} (code {}, {:x?})", self.signal, self.code(), &self.bytes[16..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(bytes: &[u8], at: usize) -> i32 {
        i32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
    }

    #[test]
    fn fields_have_linuxs_places() {
        let bytes = Info::kill(Signal::TERM, 7, 8).to_bytes();
        assert_eq!([0, 4, 8, 12, 16, 20, 24].map(|at| word(&bytes, at)), [15, 0, 0, 0, 7, 8, 0]);
        let bytes = Info::tkill(Signal::TERM, 7, 8).to_bytes();
        assert_eq!(word(&bytes, 8), -6);
        let info = Info::queue(Signal::RT_MAX, 7, 8, 0x1_0000_0002);
        assert_eq!([0, 8, 16, 20, 24, 28].map(|at| word(&info.to_bytes(), at)), [64, -1, 7, 8, 2, 1]);
        let bytes = Info::fault(Signal::SEGV, code::SEGV_ACCERR, 0x1_0000_0002).to_bytes();
        assert_eq!([0, 8, 16, 20].map(|at| word(&bytes, at)), [11, 2, 2, 1]);
        let child =
            Child { pid: 3, uid: 4, code: code::CLD_KILLED, status: 9, user_ticks: 5, system_ticks: 6 };
        let bytes = Info::child(Signal::CHLD, &child).to_bytes();
        assert_eq!(
            [0, 8, 16, 20, 24, 28, 32, 36, 40].map(|at| word(&bytes, at)),
            [17, 2, 3, 4, 9, 0, 5, 0, 6]
        );
        let bytes = Info::timer(Signal::ALRM, 1, 2, 3).to_bytes();
        assert_eq!([8, 16, 20, 24].map(|at| word(&bytes, at)), [-2, 1, 2, 3]);
        assert!(bytes[48..].iter().all(|&byte| byte == 0));
        assert_eq!(Info::kernel(Signal::INT).code(), 0x80);
    }

    #[test]
    fn what_programs_say_is_kept_but_the_number() {
        let mut bytes = Info::queue(Signal::HUP, 1, 2, 3).to_bytes();
        let info = Info::from_user(Signal::USR1, &bytes).unwrap();
        assert_eq!((info.signal(), info.value(), word(&info.to_bytes(), 0)), (Signal::USR1, 3, 10));
        bytes[100] = 1;
        assert!(Info::from_user(Signal::USR1, &bytes).is_ok());
        bytes[8..12].copy_from_slice(&(-60i32).to_le_bytes());
        assert_eq!(Info::from_user(Signal::USR1, &bytes), Err(Errno::E2big));
    }

    #[test]
    fn nobody_claims_to_be_the_kernel() {
        assert!(Info::queue(Signal::USR1, 0, 0, 0).may_be_claimed());
        for info in [
            Info::kill(Signal::USR1, 0, 0),
            Info::tkill(Signal::USR1, 0, 0),
            Info::kernel(Signal::SEGV),
            Info::fault(Signal::SEGV, code::SEGV_MAPERR, 0),
        ] {
            assert!(!info.may_be_claimed(), "{info:?}");
        }
        assert!(
            Info::kernel(Signal::SEGV).is_synchronous() && !Info::kill(Signal::SEGV, 0, 0).is_synchronous()
        );
        assert!(!Info::kernel(Signal::TERM).is_synchronous());
    }
}
