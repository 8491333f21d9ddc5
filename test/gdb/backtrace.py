"""`sis bt WHO [FILE]`: where a thread is: a kernel thread, or a process with its kernel stack, registers and its program's.

gdb sees CPUs. A thread that none of them runs is a stack: asm/switch.S has pushed six registers there, and kept the
stack pointer. For its backtrace RSP and RIP of the selected CPU are put where the switch would go on, and back
afterwards: the call-frame information of asm/switch.S then leads on. At the end of a program's thread lies the frame that
asm/syscall.S or asm/interrupts.S has built, and its rules lead into ring 3. There CR3 has to be the process's, for gdb
reads its stack: it is put there and back as well.

Beyond that gdb needs the program's own file, for names and for call-frame information. Without it callers are found by
frame pointers, as far as the program has them; few do.

Source: src/task/thread.rs, asm/switch.S, asm/user.S; System V ABI AMD64 supplement §3.2.2 (the chain of rbp).
"""

import contextlib
import re

import gdb

import machine
import paging
import processes
import programs
import threads
import vmas

USER_END = 1 << 47
DEEP = 64


@contextlib.contextmanager
def parameters(**wanted):
    """gdb's settings, and back."""
    kept = {name.replace("_", "-"): gdb.parameter(name.replace("_", "-")) for name in wanted}
    for name, value in wanted.items():
        gdb.execute(f"set {name.replace('_', '-')} {value}", to_string=True)
    try:
        yield
    finally:
        for name, value in kept.items():
            gdb.execute(f"set {name} {'on' if value else 'off'}", to_string=True)


def set_register(name, value):
    """A register of the selected CPU. In C, which has numbers of eight bytes for CR3."""
    with machine.language("c"):
        gdb.execute(f"set ${name} = {value:#x}ul", to_string=True)


@contextlib.contextmanager
def standing(thread, root):
    """gdb's selected CPU is where the thread is, with the page tables from `root` on if that is not None."""
    before = gdb.selected_thread()
    # What gdb remembers of stacks was read through another CR3.
    with parameters(stack_cache="off", code_cache="off"):
        wanted = {}
        if threads.STATES[thread.state] == "running":
            for cpu in gdb.selected_inferior().threads():
                if cpu.ptid[1] - 1 == thread.cpu:
                    cpu.switch()
        else:
            wanted = {"rsp": thread.stack_pointer, "rip": machine.linked("switch_landing")}
        gdb.newest_frame().select()
        if root is not None and machine.register("cr3") & paging.ADDRESS != root:
            wanted["cr3"] = root
        kept = {name: machine.register(name) for name in wanted}
        try:
            for name, value in wanted.items():
                set_register(name, value)
            yield
        finally:
            for name, value in kept.items():
                set_register(name, value)
            before.switch()


def chain():
    """All frames, the newest first."""
    frame, found = gdb.newest_frame(), []
    while frame is not None and len(found) < DEEP:
        found.append(frame)
        try:
            frame = frame.older()
        except gdb.error:
            break
    return found


def in_program(frames):
    """How many frames are the kernel's, before the program's begin."""
    return next((index for index, frame in enumerate(frames) if frame.pc() < USER_END), len(frames))


def shown(first, count):
    """gdb's own lines for some of the frames."""
    text = gdb.execute(f"bt {first + count}", to_string=True) if count else ""
    return re.split(r"^(?=#)", text, flags=re.MULTILINE)[1 + first:]


def by_frame_pointers(root, frame):
    """Addresses in the program, from the registers on: where it is, and where each caller goes on."""
    yield frame["rip"]
    at = frame["rbp"]
    for _ in range(DEEP):
        data = vmas.read(root, at, 16) if at % 8 == 0 and at >= frame["rsp"] else b""
        if len(data) < 16:
            return
        older, back = machine.number(data), machine.number(data, 8)
        if not 0 < back < USER_END:
            return
        yield back
        if older <= at:
            return
        at = older


def show_registers(frame):
    """A program's, four a line."""
    names = processes.REGISTERS
    for row in range(0, len(names), 4):
        print("  " + "  ".join(f"{name:>6} {frame[name]:016x}" for name in names[row:row + 4]))


def show_reason(frame):
    """Why it is in the kernel: the call with its arguments, or the vector."""
    calls = processes.system_calls()
    why = processes.reason(frame, calls)
    if frame["vector"] in (processes.SYSCALL_VECTOR, processes.SYSCALL_INT):
        names = calls.get(frame["error"], ("", []))[1]
        why += "(" + ", ".join(f"{name.lstrip('*')}={frame[register]:#x}" for name, register in zip(names, processes.ARGUMENTS)) + ")"
    print(f"ring 3, {why}:")


def show_task(task, file):
    """A process's thread: the kernel's frames, the program's registers, the program's frames."""
    if task.thread is None:
        print(f"process {task.process.pid}, thread {task.tid}, {task.name}: it has not begun")
        return
    root, memory = task.root(), task.process.memory()
    loaded = programs.loaded(memory, root, file) if memory is not None and root is not None else programs.NONE
    print(f"process {task.process.pid}, thread {task.tid}, {task.name}, {threads.STATES[task.thread.state]}:")
    with loaded, standing(task.thread, root):
        frames = chain()
        kernel = in_program(frames)
        print("".join(shown(0, kernel)), end="")
        frame = task.frame()
        if frame is None or root is None:
            return
        if kernel == 0:
            print("ring 3:")
            frame = {name: int(frames[0].read_register(register(name))) & (1 << 64) - 1 for name in processes.REGISTERS}
        else:
            show_reason(frame)
        show_registers(frame)
        if loaded.knows(frame["rip"]):
            # Whoever was interrupted has called nobody, nor has the function in which a signal's handler ends.
            calls = [one.newer() is not None and gdb.SIGTRAMP_FRAME not in (one.type(), one.newer().type()) for one in frames[kernel:]]
            lines = zip(shown(kernel, len(frames) - kernel), (one.pc() for one in frames[kernel:]), calls)
        else:
            found = enumerate(by_frame_pointers(root, frame))
            lines = ((f"#{kernel + n}  {at:#018x} in ?? ()", at, n > 0) for n, at in found)
        for line, at, has_called in lines:
            # Without call-frame information for all of it gdb guesses; and rbp may be anything.
            if not loaded.is_code(at) or has_called and not vmas.follows_call(root, at):
                print("callers further out are not known")
                break
            print(f"{line.rstrip()}  {loaded.place(at)}")


def register(name):
    """As gdb calls it."""
    return "eflags" if name == "rflags" else name


def choose(who):
    """The threads that are meant: (tasks, kernel thread). A number is a process's or a thread's of one before a kernel thread's."""
    known = threads.all_threads()
    found = processes.everybody() if who.isdigit() else []
    for process in found:
        tasks = process.tasks()
        if process.pid == int(who):
            return tasks or machine.fail(f"process {who} has ended: it has no thread any more"), None
        if any(task.tid == int(who) for task in tasks):
            return [task for task in tasks if task.tid == int(who)], None
    numbers = (who, str(int(who) - processes.NUMBERS)) if who.isdigit() else (who,)
    chosen = next((thread for thread in known if str(thread.id) in numbers or thread.name == who), None)
    if chosen is None:
        return None, None
    task = processes.tasks_by_thread().get(chosen.address)
    return ([task], None) if task is not None else ([], chosen)


class Backtrace(gdb.Command):
    """Backtrace of a thread: sis bt WHO [FILE].

WHO is a process's number, for all its threads; the number of a thread of a process; or a kernel thread's id or name. A
process's goes on with the registers of its program and, as far as can be told, its callers there. FILE is the program with
its symbols; without it, it is looked for under gdb's `sysroot` and in build/packages."""

    def __init__(self):
        super().__init__("sis bt", gdb.COMMAND_USER)

    def invoke(self, argument, _from_tty):
        who, file = argument.strip(), None
        tasks, thread = choose(who)
        if tasks is None and " " in who:
            who, file = who.rsplit(None, 1)
            tasks, thread = choose(who)
        if tasks is None:
            machine.fail(f"no thread {who or 'without a name'}: sis threads and sis ps list them")
        if thread is not None:
            print(f"thread {thread.id}, {thread.name}, {threads.STATES[min(thread.state, 3)]}:")
            with standing(thread, None):
                gdb.execute("bt")
        for task in tasks:
            show_task(task, file)


Backtrace()
