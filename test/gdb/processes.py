"""`sis ps`: processes and their threads, what they are doing, and who descends from whom.

Of a thread that no CPU runs, the registers of its program lie at the top of its kernel stack, where each way in from ring
3 puts them; if it came by a system call, the frame says which.

Source: src/proc/process.rs, src/proc/tree.rs, src/task/context.rs (`user_begin`), asm/user.S (a picture of the stack).
"""

import re

import gdb

import machine
import rust
import threads

# Kernel threads have numbers from here on in /proc (src/kernel/procfs/programs.rs).
NUMBERS = 32768
REGISTERS = ["rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "rip", "rflags"]
ARGUMENTS = ["rdi", "rsi", "rdx", "r10", "r8", "r9"]
# `owns` of a thread's context (src/task/context.rs): it is in ring 3, or in the kernel on behalf of what it does there.
RING_3 = 1 << 2
SYSCALL_VECTOR, SYSCALL_INT, TIMER_AND_UP = 0x100, 0x80, 32


def system_calls():
    """By number: (name, names of its arguments)."""
    table = machine.ROOT / "src" / "syscall" / "table.rs"
    rows = re.findall(r'^ +(\d+) "(\w+)" "(.*?)"', table.read_text(), re.MULTILINE) if table.exists() else []
    return {int(number): (name, [word for word in arguments.split(", ") if word]) for number, name, arguments in rows}


def space_of(memory):
    """Its address space, which stands in a node of the list of all."""
    node = memory["space"]["node"]["data_ptr"]
    return machine.find_struct(node["space"]["value"]["value"], ("lock", "root"))


class Task:
    """A thread of a process."""

    def __init__(self, value, process):
        self.process = process
        self.tid = threads.plain(value["tid"])
        name = rust.guarded(value["name"])["__0"]
        self.name = machine.virtual(int(name.address) & (1 << 64) - 1, name.type.sizeof).split(b"\0")[0].decode(errors="replace")
        # A spin::Once, which is 2 when it has been done.
        once = value["thread"]
        done = threads.plain(once["status"]) == 2
        self.thread = threads.Thread(threads.plain(once["data"]["value"]["value"])) if done else None
        self.memory_in_use = rust.some(value["active"]["value"])

    def root(self):
        """Physical address of the top page table that it works with; None if it has none."""
        return int(space_of(rust.counted(self.memory_in_use))["root"]) if self.memory_in_use is not None else None

    def is_running(self):
        return self.thread is not None and threads.STATES[self.thread.state] == "running"

    def frame(self):
        """The registers of its program when it last came into the kernel; None if it has not been in ring 3 yet, or is no more."""
        if self.thread is None:
            return None
        context = self.thread.value_of("context")
        if not threads.plain(context["owns"]) & RING_3:
            return None
        kind = machine.kernel_type("sis::arch::x86_64::frame::TrapFrame")
        top = int(context["ring_3"]["value"]["kernel_stack"])
        value = rust.at(top - kind.sizeof, "sis::arch::x86_64::frame::TrapFrame")
        return {field.name: int(value[field.name]) for field in kind.fields()}

    def doing(self, calls):
        """In a word or two what it is in the kernel for."""
        if self.thread is None:
            return "has not begun"
        frame = self.frame()
        if frame is None or self.is_running():
            return threads.STATES[self.thread.state]
        return f"{threads.STATES[self.thread.state]}, {reason(frame, calls)}"


def reason(frame, calls):
    """Why a program is in the kernel, by its frame."""
    vector, number = frame["vector"], frame["error"]
    if vector in (SYSCALL_VECTOR, SYSCALL_INT):
        return calls.get(number, (f"system call {number}",))[0]
    return f"interrupt {vector}" if vector >= TIMER_AND_UP else f"exception {vector}"


class Process:
    """A process."""

    def __init__(self, node):
        self.pid, self.parent, self.group, self.session = (int(node[name]) for name in ("pid", "parent", "group", "session"))
        self.state, self.status = rust.variant(node["state"])
        self.value = rust.counted(node["handle"])

    def tasks(self):
        """Its threads, by number."""
        at, found = rust.guarded(self.value["group"])["first"], []
        while int(at):
            value = at.dereference()
            found.append(Task(value, self))
            at = rust.pointer(value["next"])
        return sorted(found, key=lambda task: task.tid)

    def memory(self):
        """Its memory; None once it has ended."""
        found = rust.some(rust.guarded(self.value["memory"]))
        return rust.counted(found) if found is not None else None


def everybody():
    """All processes, by number."""
    machine.long_mode()
    tree = rust.guarded(machine.static("sis::proc::process::TREE"))
    nodes = (rust.some(node) for node in rust.elements(tree["nodes"]))
    return sorted((Process(node) for node in nodes if node is not None), key=lambda process: process.pid)


def of(argument, usage):
    """The process that a command was asked for."""
    if not re.fullmatch(r"\d+", argument.strip()):
        machine.fail(f"usage: {usage}")
    found = [process for process in everybody() if process.pid == int(argument)]
    return found[0] if found else machine.fail(f"no process {int(argument)}: sis ps lists them")


def tasks_by_thread():
    """By the address of the kernel's thread: the task."""
    return {task.thread.address: task for process in everybody() for task in process.tasks() if task.thread}


class Ps(gdb.Command):
    """List the processes and their threads: number, parent, group, session, and what each thread is in the kernel for."""

    def __init__(self):
        super().__init__("sis ps", gdb.COMMAND_USER)

    def invoke(self, argument, _from_tty):
        if argument:
            machine.fail("sis ps takes no argument")
        found, calls = everybody(), system_calls()
        if not found:
            machine.fail("there are no processes yet")
        print("  PID  PPID  PGRP   SID   TID  NAME              STATE")
        for process in found:
            head = f"{process.pid:5} {process.parent:5} {process.group:5} {process.session:5}"
            rows = [(task.tid, task.name, task.doing(calls)) for task in process.tasks()]
            if process.state == "Zombie":
                rows = rows or [("-", "", f"has ended, status {int(process.status):#x}")]
            for tid, name, doing in rows or [("-", "", "no thread: it begins, or ends")]:
                stopped = f"stopped by signal {int(process.status)}; " if process.state == "Stopped" else ""
                print(f"{head} {tid:>5}  {name:16}  {stopped}{doing}")
                head = " " * len(head)


Ps()
