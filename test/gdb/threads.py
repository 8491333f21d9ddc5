"""`sis threads`: the kernel's threads, those that run programs among them.

Source: src/task/thread.rs (struct Thread, the list of all).
"""

import gdb

import machine

STATES = ["ready", "running", "waiting", "dead"]
POLICIES = ["fifo", "rr", "normal", "batch", "idle"]


def plain(value):
    """The number inside an atomic, a cell or another wrapper."""
    while value.type.strip_typedefs().code == gdb.TYPE_CODE_STRUCT:
        value = value[value.type.strip_typedefs().fields()[0].name]
    return int(value) & (1 << 64) - 1


class Thread:
    """A thread, as it stands in memory."""

    def __init__(self, address):
        with machine.language("rust"):
            pointer = gdb.Value(address).cast(machine.kernel_type("sis::task::thread::Thread").pointer())
        value = pointer.dereference()
        self.address, self.id, self._value = address, int(value["id"]), value
        name = value["name"]
        words = [plain(name[index]) for index in range(name.type.range()[1] + 1)]
        self.name = b"".join(word.to_bytes(8, "little") for word in words).split(b"\0")[0].decode(errors="replace")
        self.state, self.stack_pointer, self.next = plain(value["state"]), plain(value["stack_pointer"]), plain(value["next"])
        entity = value["entity"]
        self.policy, self.value = plain(entity["kind"]), plain(entity["value"])
        self.cpu, self.cpu_ns = plain(entity["cpu"]), plain(entity["cpu_ns"])

    def value_of(self, field):
        """A field as gdb has it."""
        return self._value[field]

    def class_name(self):
        kind = POLICIES[min(self.policy, len(POLICIES) - 1)]
        signed = self.value - 256 if self.value > 127 else self.value
        return kind if kind == "idle" else f"{kind} {signed}"


def all_threads():
    """All of them, by id."""
    machine.long_mode()
    found = machine.find_struct(machine.static("sis::task::thread::ALL"), ["first", "next_id"])
    at, threads = plain(found["first"]) if found is not None else 0, []
    while at:
        threads.append(Thread(at))
        at = threads[-1].next
    if not threads:
        machine.fail("there are no threads yet")
    return sorted(threads, key=lambda thread: thread.id)


class Threads(gdb.Command):
    """List the kernel's threads: id, name, state, class, CPU, and CPU time up to when it was last looked at."""

    def __init__(self):
        super().__init__("sis threads", gdb.COMMAND_USER)

    def invoke(self, argument, _from_tty):
        if argument:
            machine.fail("sis threads takes no argument")
        for thread in all_threads():
            state = STATES[min(thread.state, len(STATES) - 1)]
            print(f"{thread.id:3}  {thread.name:20}  {state:8}  {thread.class_name():10}  cpu {thread.cpu}  {thread.cpu_ns / 1e9:.6f} s")


Threads()
