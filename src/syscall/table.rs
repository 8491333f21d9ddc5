//! The table: every system call of Linux on x86_64, by number, with the names of its arguments and, where this kernel has
//! it, who serves it.
//!
//! Source: Linux, arch/x86/entry/syscalls/syscall_64.tbl (numbers); the manual's section 2 (arguments).

#[cfg(target_os = "none")]
use super::dispatch::Call;
#[cfg(target_os = "none")]
use super::*;

/// Who serves a call: its result, or an error.
#[cfg(target_os = "none")]
pub type Handler = fn(&mut Call<'_>, Arguments) -> crate::fs::Result<u64>;

/// A row.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub number: u16,
    pub name: &'static str,
    /// Their names, in order; `*` before what is an address.
    pub arguments: &'static str,
    /// Whether it is served.
    pub is_there: bool,
}

/// One more than the largest number.
pub const NUMBERS: usize = 452;

macro_rules! calls {
    ($($number:literal $name:literal $arguments:literal $(= $module:ident::$handler:ident)?;)*) => {
        /// All of them, by number.
        pub const TABLE: &[Row] = &[$(
            Row {
                number: $number,
                name: $name,
                arguments: $arguments,
                is_there: calls!(@there $($handler)?),
            },
        )*];

        /// The same, as dispatch wants it.
        #[cfg(target_os = "none")]
        pub static HANDLERS: [Option<Handler>; NUMBERS] = {
            let mut handlers: [Option<Handler>; NUMBERS] = [None; NUMBERS];
            $($(handlers[$number] = Some($module::$handler as Handler);)?)*
            handlers
        };
    };
    (@there) => { false };
    (@there $handler:ident) => { true };
}

calls! {
    0 "read" "fd, *buf, count" = transfer::read;
    1 "write" "fd, *buf, count" = transfer::write;
    2 "open" "*path, flags, mode" = files::open;
    3 "close" "fd" = descriptors::close;
    4 "stat" "*path, *stat" = files::stat;
    5 "fstat" "fd, *stat" = files::fstat;
    6 "lstat" "*path, *stat" = files::lstat;
    7 "poll" "*fds, count, ms" = ready::poll;
    8 "lseek" "fd, offset, whence" = transfer::lseek;
    9 "mmap" "*addr, len, prot, flags, fd, offset" = memory::mmap;
    10 "mprotect" "*addr, len, prot" = memory::mprotect;
    11 "munmap" "*addr, len" = memory::munmap;
    12 "brk" "*addr" = memory::brk;
    13 "rt_sigaction" "signal, *new, *old, size" = signals::rt_sigaction;
    14 "rt_sigprocmask" "how, *new, *old, size" = signals::rt_sigprocmask;
    15 "rt_sigreturn" "" = signals::rt_sigreturn;
    16 "ioctl" "fd, command, argument" = descriptors::ioctl;
    17 "pread64" "fd, *buf, count, offset" = transfer::pread;
    18 "pwrite64" "fd, *buf, count, offset" = transfer::pwrite;
    19 "readv" "fd, *spans, count" = transfer::readv;
    20 "writev" "fd, *spans, count" = transfer::writev;
    21 "access" "*path, mode" = files::access;
    22 "pipe" "*fds" = descriptors::pipe;
    23 "select" "count, *read, *write, *except, *timeval" = ready::select;
    24 "sched_yield" "" = scheduling::sched_yield;
    25 "mremap" "*addr, old_len, new_len, flags, *new_addr" = memory::mremap;
    26 "msync" "*addr, len, flags" = memory::msync;
    27 "mincore" "*addr, len, *vector";
    28 "madvise" "*addr, len, advice" = memory::madvise;
    29 "shmget" "key, size, flags";
    30 "shmat" "id, *addr, flags";
    31 "shmctl" "id, command, *buf";
    32 "dup" "fd" = descriptors::dup;
    33 "dup2" "fd, to" = descriptors::dup2;
    34 "pause" "" = signals::pause;
    35 "nanosleep" "*timespec, *left" = clocks::nanosleep;
    36 "getitimer" "which, *itimerval" = clocks::getitimer;
    37 "alarm" "seconds" = clocks::alarm;
    38 "setitimer" "which, *new, *old" = clocks::setitimer;
    39 "getpid" "" = ids::getpid;
    40 "sendfile" "out, in, *offset, count" = transfer::sendfile;
    41 "socket" "domain, type, protocol";
    42 "connect" "fd, *addr, len";
    43 "accept" "fd, *addr, *len";
    44 "sendto" "fd, *buf, len, flags, *addr, addrlen";
    45 "recvfrom" "fd, *buf, len, flags, *addr, *addrlen";
    46 "sendmsg" "fd, *msg, flags";
    47 "recvmsg" "fd, *msg, flags";
    48 "shutdown" "fd, how";
    49 "bind" "fd, *addr, len";
    50 "listen" "fd, backlog";
    51 "getsockname" "fd, *addr, *len";
    52 "getpeername" "fd, *addr, *len";
    53 "socketpair" "domain, type, protocol, *fds";
    54 "setsockopt" "fd, level, option, *value, len";
    55 "getsockopt" "fd, level, option, *value, *len";
    56 "clone" "flags, *stack, *parent_tid, *child_tid, tls" = processes::clone;
    57 "fork" "" = processes::fork;
    58 "vfork" "" = processes::vfork;
    59 "execve" "*path, *argv, *envp" = processes::execve;
    60 "exit" "status" = processes::exit;
    61 "wait4" "pid, *status, options, *rusage" = processes::wait4;
    62 "kill" "pid, signal" = signals::kill;
    63 "uname" "*utsname" = system::uname;
    64 "semget" "key, count, flags";
    65 "semop" "id, *ops, count";
    66 "semctl" "id, number, command, argument";
    67 "shmdt" "*addr";
    68 "msgget" "key, flags";
    69 "msgsnd" "id, *msg, size, flags";
    70 "msgrcv" "id, *msg, size, type, flags";
    71 "msgctl" "id, command, *buf";
    72 "fcntl" "fd, command, argument" = descriptors::fcntl;
    73 "flock" "fd, operation" = descriptors::flock;
    74 "fsync" "fd" = transfer::fsync;
    75 "fdatasync" "fd" = transfer::fdatasync;
    76 "truncate" "*path, len" = files::truncate;
    77 "ftruncate" "fd, len" = files::ftruncate;
    78 "getdents" "fd, *buf, size";
    79 "getcwd" "*buf, size" = files::getcwd;
    80 "chdir" "*path" = files::chdir;
    81 "fchdir" "fd" = files::fchdir;
    82 "rename" "*from, *to" = files::rename;
    83 "mkdir" "*path, mode" = files::mkdir;
    84 "rmdir" "*path" = files::rmdir;
    85 "creat" "*path, mode" = files::creat;
    86 "link" "*from, *to" = files::link;
    87 "unlink" "*path" = files::unlink;
    88 "symlink" "*target, *path" = files::symlink;
    89 "readlink" "*path, *buf, size" = files::readlink;
    90 "chmod" "*path, mode" = files::chmod;
    91 "fchmod" "fd, mode" = files::fchmod;
    92 "chown" "*path, uid, gid" = files::chown;
    93 "fchown" "fd, uid, gid" = files::fchown;
    94 "lchown" "*path, uid, gid" = files::lchown;
    95 "umask" "mask" = files::umask;
    96 "gettimeofday" "*timeval, *timezone" = clocks::gettimeofday;
    97 "getrlimit" "resource, *limit" = scheduling::getrlimit;
    98 "getrusage" "who, *rusage" = scheduling::getrusage;
    99 "sysinfo" "*info" = system::sysinfo;
    100 "times" "*tms" = scheduling::times;
    101 "ptrace" "request, pid, *addr, *data";
    102 "getuid" "" = ids::getuid;
    103 "syslog" "type, *buf, len" = syslog::syslog;
    104 "getgid" "" = ids::getgid;
    105 "setuid" "uid" = ids::setuid;
    106 "setgid" "gid" = ids::setgid;
    107 "geteuid" "" = ids::geteuid;
    108 "getegid" "" = ids::getegid;
    109 "setpgid" "pid, group" = ids::setpgid;
    110 "getppid" "" = ids::getppid;
    111 "getpgrp" "" = ids::getpgrp;
    112 "setsid" "" = ids::setsid;
    113 "setreuid" "ruid, euid" = ids::setreuid;
    114 "setregid" "rgid, egid" = ids::setregid;
    115 "getgroups" "count, *groups" = ids::getgroups;
    116 "setgroups" "count, *groups" = ids::setgroups;
    117 "setresuid" "ruid, euid, suid" = ids::setresuid;
    118 "getresuid" "*ruid, *euid, *suid" = ids::getresuid;
    119 "setresgid" "rgid, egid, sgid" = ids::setresgid;
    120 "getresgid" "*rgid, *egid, *sgid" = ids::getresgid;
    121 "getpgid" "pid" = ids::getpgid;
    122 "setfsuid" "uid" = ids::setfsuid;
    123 "setfsgid" "gid" = ids::setfsgid;
    124 "getsid" "pid" = ids::getsid;
    125 "capget" "*header, *data" = system::capget;
    126 "capset" "*header, *data";
    127 "rt_sigpending" "*set, size" = signals::rt_sigpending;
    128 "rt_sigtimedwait" "*set, *info, *timespec, size" = signals::rt_sigtimedwait;
    129 "rt_sigqueueinfo" "pid, signal, *info" = signals::rt_sigqueueinfo;
    130 "rt_sigsuspend" "*mask, size" = signals::rt_sigsuspend;
    131 "sigaltstack" "*new, *old" = signals::sigaltstack;
    132 "utime" "*path, *times" = files::utime;
    133 "mknod" "*path, mode, device" = files::mknod;
    134 "uselib" "*path";
    135 "personality" "persona" = system::personality;
    136 "ustat" "device, *buf";
    137 "statfs" "*path, *buf" = files::statfs;
    138 "fstatfs" "fd, *buf" = files::fstatfs;
    139 "sysfs" "option, argument, argument";
    140 "getpriority" "which, who" = scheduling::getpriority;
    141 "setpriority" "which, who, value" = scheduling::setpriority;
    142 "sched_setparam" "pid, *param" = scheduling::sched_setparam;
    143 "sched_getparam" "pid, *param" = scheduling::sched_getparam;
    144 "sched_setscheduler" "pid, policy, *param" = scheduling::sched_setscheduler;
    145 "sched_getscheduler" "pid" = scheduling::sched_getscheduler;
    146 "sched_get_priority_max" "policy" = scheduling::sched_get_priority_max;
    147 "sched_get_priority_min" "policy" = scheduling::sched_get_priority_min;
    148 "sched_rr_get_interval" "pid, *timespec" = scheduling::sched_rr_get_interval;
    149 "mlock" "*addr, len";
    150 "munlock" "*addr, len";
    151 "mlockall" "flags";
    152 "munlockall" "";
    153 "vhangup" "" = ids::vhangup;
    154 "modify_ldt" "function, *ptr, count";
    155 "pivot_root" "*new, *old";
    156 "_sysctl" "*args";
    157 "prctl" "option, a, b, c, d" = system::prctl;
    158 "arch_prctl" "code, addr" = system::arch_prctl;
    159 "adjtimex" "*buf";
    160 "setrlimit" "resource, *limit" = scheduling::setrlimit;
    161 "chroot" "*path" = files::chroot;
    162 "sync" "" = files::sync;
    163 "acct" "*path";
    164 "settimeofday" "*timeval, *timezone";
    165 "mount" "*source, *target, *type, flags, *data" = files::mount;
    166 "umount2" "*target, flags" = files::umount2;
    167 "swapon" "*path, flags";
    168 "swapoff" "*path";
    169 "reboot" "magic, magic2, command, *argument" = system::reboot;
    170 "sethostname" "*name, len" = system::sethostname;
    171 "setdomainname" "*name, len";
    172 "iopl" "level";
    173 "ioperm" "from, count, on";
    174 "create_module" "*name, size";
    175 "init_module" "*image, len, *values";
    176 "delete_module" "*name, flags";
    177 "get_kernel_syms" "*table";
    178 "query_module" "*name, which, *buf, size, *ret";
    179 "quotactl" "command, *special, id, *addr";
    180 "nfsservctl" "command, *arg, *resp";
    181 "getpmsg" "";
    182 "putpmsg" "";
    183 "afs_syscall" "";
    184 "tuxcall" "";
    185 "security" "";
    186 "gettid" "" = ids::gettid;
    187 "readahead" "fd, offset, count";
    188 "setxattr" "*path, *name, *value, size, flags" = attributes::setxattr;
    189 "lsetxattr" "*path, *name, *value, size, flags" = attributes::lsetxattr;
    190 "fsetxattr" "fd, *name, *value, size, flags" = attributes::fsetxattr;
    191 "getxattr" "*path, *name, *value, size" = attributes::getxattr;
    192 "lgetxattr" "*path, *name, *value, size" = attributes::lgetxattr;
    193 "fgetxattr" "fd, *name, *value, size" = attributes::fgetxattr;
    194 "listxattr" "*path, *list, size" = attributes::listxattr;
    195 "llistxattr" "*path, *list, size" = attributes::llistxattr;
    196 "flistxattr" "fd, *list, size" = attributes::flistxattr;
    197 "removexattr" "*path, *name" = attributes::removexattr;
    198 "lremovexattr" "*path, *name" = attributes::lremovexattr;
    199 "fremovexattr" "fd, *name" = attributes::fremovexattr;
    200 "tkill" "tid, signal" = signals::tkill;
    201 "time" "*time" = clocks::time;
    202 "futex" "*word, operation, value, timeout, *word2, value3" = scheduling::futex;
    203 "sched_setaffinity" "pid, size, *mask" = scheduling::sched_setaffinity;
    204 "sched_getaffinity" "pid, size, *mask" = scheduling::sched_getaffinity;
    205 "set_thread_area" "*info";
    206 "io_setup" "count, *context";
    207 "io_destroy" "context";
    208 "io_getevents" "context, min, count, *events, *timespec";
    209 "io_submit" "context, count, *blocks";
    210 "io_cancel" "context, *block, *result";
    211 "get_thread_area" "*info";
    212 "lookup_dcookie" "cookie, *buf, len";
    213 "epoll_create" "size";
    214 "epoll_ctl_old" "";
    215 "epoll_wait_old" "";
    216 "remap_file_pages" "*addr, size, prot, offset, flags";
    217 "getdents64" "fd, *buf, size" = files::getdents64;
    218 "set_tid_address" "*tid" = processes::set_tid_address;
    219 "restart_syscall" "" = clocks::restart_syscall;
    220 "semtimedop" "id, *ops, count, *timespec";
    221 "fadvise64" "fd, offset, len, advice" = transfer::fadvise64;
    222 "timer_create" "clock, *event, *timer";
    223 "timer_settime" "timer, flags, *new, *old";
    224 "timer_gettime" "timer, *value";
    225 "timer_getoverrun" "timer";
    226 "timer_delete" "timer";
    227 "clock_settime" "clock, *timespec";
    228 "clock_gettime" "clock, *timespec" = clocks::clock_gettime;
    229 "clock_getres" "clock, *timespec" = clocks::clock_getres;
    230 "clock_nanosleep" "clock, flags, *timespec, *left" = clocks::clock_nanosleep;
    231 "exit_group" "status" = processes::exit_group;
    232 "epoll_wait" "fd, *events, count, ms";
    233 "epoll_ctl" "fd, operation, target, *event";
    234 "tgkill" "pid, tid, signal" = signals::tgkill;
    235 "utimes" "*path, *times" = files::utimes;
    236 "vserver" "";
    237 "mbind" "*addr, len, mode, *nodes, max, flags";
    238 "set_mempolicy" "mode, *nodes, max";
    239 "get_mempolicy" "*mode, *nodes, max, *addr, flags";
    240 "mq_open" "*name, flags, mode, *attr";
    241 "mq_unlink" "*name";
    242 "mq_timedsend" "fd, *msg, len, priority, *timespec";
    243 "mq_timedreceive" "fd, *msg, len, *priority, *timespec";
    244 "mq_notify" "fd, *event";
    245 "mq_getsetattr" "fd, *new, *old";
    246 "kexec_load" "entry, count, *segments, flags";
    247 "waitid" "type, id, *info, options, *rusage" = processes::waitid;
    248 "add_key" "*type, *description, *payload, len, ring";
    249 "request_key" "*type, *description, *info, ring";
    250 "keyctl" "command, a, b, c, d";
    251 "ioprio_set" "which, who, priority" = scheduling::ioprio_set;
    252 "ioprio_get" "which, who" = scheduling::ioprio_get;
    253 "inotify_init" "";
    254 "inotify_add_watch" "fd, *path, mask";
    255 "inotify_rm_watch" "fd, watch";
    256 "migrate_pages" "pid, max, *old, *new";
    257 "openat" "dir, *path, flags, mode" = files::openat;
    258 "mkdirat" "dir, *path, mode" = files::mkdirat;
    259 "mknodat" "dir, *path, mode, device" = files::mknodat;
    260 "fchownat" "dir, *path, uid, gid, flags" = files::fchownat;
    261 "futimesat" "dir, *path, *times" = files::futimesat;
    262 "newfstatat" "dir, *path, *stat, flags" = files::newfstatat;
    263 "unlinkat" "dir, *path, flags" = files::unlinkat;
    264 "renameat" "dir, *from, to_dir, *to" = files::renameat;
    265 "linkat" "dir, *from, to_dir, *to, flags" = files::linkat;
    266 "symlinkat" "*target, dir, *path" = files::symlinkat;
    267 "readlinkat" "dir, *path, *buf, size" = files::readlinkat;
    268 "fchmodat" "dir, *path, mode" = files::fchmodat;
    269 "faccessat" "dir, *path, mode" = files::faccessat;
    270 "pselect6" "count, *read, *write, *except, *timespec, *mask" = ready::pselect6;
    271 "ppoll" "*fds, count, *timespec, *mask, size" = ready::ppoll;
    272 "unshare" "flags";
    273 "set_robust_list" "*head, size" = processes::set_robust_list;
    274 "get_robust_list" "pid, *head, *size" = processes::get_robust_list;
    275 "splice" "in, *in_offset, out, *out_offset, len, flags";
    276 "tee" "in, out, len, flags";
    277 "sync_file_range" "fd, offset, count, flags";
    278 "vmsplice" "fd, *spans, count, flags";
    279 "move_pages" "pid, count, *pages, *nodes, *status, flags";
    280 "utimensat" "dir, *path, *times, flags" = files::utimensat;
    281 "epoll_pwait" "fd, *events, count, ms, *mask, size";
    282 "signalfd" "fd, *mask, size";
    283 "timerfd_create" "clock, flags";
    284 "eventfd" "value";
    285 "fallocate" "fd, mode, offset, len" = files::fallocate;
    286 "timerfd_settime" "fd, flags, *new, *old";
    287 "timerfd_gettime" "fd, *value";
    288 "accept4" "fd, *addr, *len, flags";
    289 "signalfd4" "fd, *mask, size, flags";
    290 "eventfd2" "value, flags";
    291 "epoll_create1" "flags";
    292 "dup3" "fd, to, flags" = descriptors::dup3;
    293 "pipe2" "*fds, flags" = descriptors::pipe2;
    294 "inotify_init1" "flags";
    295 "preadv" "fd, *spans, count, low, high" = transfer::preadv;
    296 "pwritev" "fd, *spans, count, low, high" = transfer::pwritev;
    297 "rt_tgsigqueueinfo" "pid, tid, signal, *info" = signals::rt_tgsigqueueinfo;
    298 "perf_event_open" "*attr, pid, cpu, group, flags";
    299 "recvmmsg" "fd, *msgs, count, flags, *timespec";
    300 "fanotify_init" "flags, event_flags";
    301 "fanotify_mark" "fd, flags, mask, dir, *path";
    302 "prlimit64" "pid, resource, *new, *old" = scheduling::prlimit64;
    303 "name_to_handle_at" "dir, *path, *handle, *mount, flags";
    304 "open_by_handle_at" "mount, *handle, flags";
    305 "clock_adjtime" "clock, *buf";
    306 "syncfs" "fd" = files::syncfs;
    307 "sendmmsg" "fd, *msgs, count, flags";
    308 "setns" "fd, type";
    309 "getcpu" "*cpu, *node" = scheduling::getcpu;
    310 "process_vm_readv" "pid, *local, count, *remote, count, flags";
    311 "process_vm_writev" "pid, *local, count, *remote, count, flags";
    312 "kcmp" "pid, pid, type, a, b";
    313 "finit_module" "fd, *values, flags";
    314 "sched_setattr" "pid, *attr, flags";
    315 "sched_getattr" "pid, *attr, size, flags";
    316 "renameat2" "dir, *from, to_dir, *to, flags" = files::renameat2;
    317 "seccomp" "operation, flags, *args";
    318 "getrandom" "*buf, count, flags" = system::getrandom;
    319 "memfd_create" "*name, flags" = descriptors::memfd_create;
    320 "kexec_file_load" "kernel, initrd, len, *cmdline, flags";
    321 "bpf" "command, *attr, size";
    322 "execveat" "dir, *path, *argv, *envp, flags" = processes::execveat;
    323 "userfaultfd" "flags";
    324 "membarrier" "command, flags, cpu";
    325 "mlock2" "*addr, len, flags";
    326 "copy_file_range" "in, *in_offset, out, *out_offset, len, flags";
    327 "preadv2" "fd, *spans, count, low, high, flags";
    328 "pwritev2" "fd, *spans, count, low, high, flags";
    329 "pkey_mprotect" "*addr, len, prot, key";
    330 "pkey_alloc" "flags, rights";
    331 "pkey_free" "key";
    332 "statx" "dir, *path, flags, mask, *statx" = files::statx;
    333 "io_pgetevents" "context, min, count, *events, *timespec, *mask";
    334 "rseq" "*area, size, flags, signature";
    424 "pidfd_send_signal" "fd, signal, *info, flags";
    425 "io_uring_setup" "entries, *params";
    426 "io_uring_enter" "fd, submit, complete, flags, *mask, size";
    427 "io_uring_register" "fd, operation, *arg, count";
    428 "open_tree" "dir, *path, flags";
    429 "move_mount" "dir, *from, to_dir, *to, flags";
    430 "fsopen" "*name, flags";
    431 "fsconfig" "fd, command, *key, *value, aux";
    432 "fsmount" "fd, flags, attributes";
    433 "fspick" "dir, *path, flags";
    434 "pidfd_open" "pid, flags";
    435 "clone3" "*args, size";
    436 "close_range" "first, last, flags" = descriptors::close_range;
    437 "openat2" "dir, *path, *how, size";
    438 "pidfd_getfd" "pidfd, fd, flags";
    439 "faccessat2" "dir, *path, mode, flags" = files::faccessat2;
    440 "process_madvise" "pidfd, *spans, count, advice, flags";
    441 "epoll_pwait2" "fd, *events, count, *timespec, *mask, size";
    442 "mount_setattr" "dir, *path, flags, *attr, size";
    443 "quotactl_fd" "fd, command, id, *addr";
    444 "landlock_create_ruleset" "*attr, size, flags";
    445 "landlock_add_rule" "fd, type, *attr, flags";
    446 "landlock_restrict_self" "fd, flags";
    447 "memfd_secret" "flags";
    448 "process_mrelease" "pidfd, flags";
    449 "futex_waitv" "*waiters, count, flags, *timespec, clock";
    450 "set_mempolicy_home_node" "*addr, len, node, flags";
    451 "cachestat" "fd, *range, *stat, flags";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_once_and_in_order() {
        assert!(TABLE.is_sorted_by(|a, b| a.number < b.number));
        assert_eq!(TABLE.last().map(|row| usize::from(row.number) + 1), Some(NUMBERS));
        let below_the_gap = TABLE.iter().take_while(|row| row.number < 424).count();
        assert_eq!(below_the_gap, 335, "0 to 334 without a hole");
    }

    #[test]
    fn names_and_arguments_are_well_formed() {
        for row in TABLE {
            assert!(
                row.name
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
            );
            assert!(row.arguments.split(", ").count() <= 6, "{}", row.name);
        }
    }
}
