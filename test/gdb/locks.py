"""`sis locks`: the locks that each CPU holds, and each task that has any, with the line that took each. Debug builds alone know.

The lists and their fields are those of src/sync/checks; a CPU that was stopped in the middle of changing its own is
said to be so.
"""

import gdb

import machine
import threads


def text(value):
    """A Rust &str."""
    length = int(value["length"])
    return machine.virtual(int(value["data_ptr"]), length).decode(errors="replace") if 0 < length < 4096 else ""


def show(title, account):
    """One list, outermost first."""
    held = machine.find_struct(account, ("entries", "count"))
    count = int(held["count"])
    busy = " (changing)" if int(account["busy"]) else ""
    print(f"{title}{busy}: {'no lock' if count == 0 else ''}")
    for n in range(count):
        entry = held["entries"][n]
        rank = str(entry["rank"]).rsplit("::", 1)[-1]
        print(f"  {rank} {int(entry['lock']):#x}, since {text(entry['place']['file'])}:{int(entry['place']['line'])}")


def parts(value):
    """The elements of an array, or of the one array in a wrapper."""
    low, high = value.type.strip_typedefs().range()
    return [value[n] for n in range(low, high + 1)]


class Locks(gdb.Command):
    """Show the locks that are held, by CPU and by task."""

    def __init__(self):
        super().__init__("sis locks", gdb.COMMAND_DATA, gdb.COMPLETE_NONE)

    def invoke(self, _argument, _from_tty):
        machine.attached()
        with machine.language("rust"):
            symbol = gdb.lookup_static_symbol("sis::sync::checks::on::place::CPU_LOCKS") or gdb.lookup_global_symbol("sis::sync::checks::on::place::CPU_LOCKS")
        if symbol is None:
            machine.fail("this kernel does not know who holds its locks: only a debug build does")
        fields = ("held", "busy")
        bases = parts(machine.static("sis::arch::x86_64::percpu::copies::BASES"))
        running = sum(machine.virtual(int(base.address), 8) != bytes(8) for base in bases)
        for number, cpu in enumerate(parts(symbol.value())[:running]):
            show(f"cpu {number}", machine.find_struct(cpu, fields))
        held = [(thread, machine.find_struct(thread.value_of("locks"), fields)) for thread in threads.all_threads()]
        for thread, account in held:
            if int(machine.find_struct(account, ("entries", "count"))["count"]):
                show(f"task {thread.name}", account)


Locks()
