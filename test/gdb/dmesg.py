"""`sis dmesg`: the kernel's log, from memory, without the kernel's help.

The ring's place and its fields come from DWARF; what a record looks like is drawn at the top of src/log/ring.rs.
Lengths are checked against the ring before they are believed: the kernel may have been stopped in the middle of a
push, or have written over its own log.
"""

import struct

import gdb

import machine
import paging

RECORD = struct.Struct("<HBBQ")  # length of all of it, level, length of the target, nanoseconds


def records(ring, data):
    """(nanoseconds, target, text), oldest first."""
    at = int(ring["head"])
    for _ in range(int(ring["count"])):
        if at + RECORD.size > len(data) or data[at:at + 2] == b"\0\0":
            at = 0
        length, _level, target_len, ns = RECORD.unpack_from(data, at)
        if length < RECORD.size + target_len or at + length > len(data):
            print(f"(the record at offset {at} of the ring is damaged; the rest is not shown)")
            return
        body = data[at + RECORD.size:at + length]
        yield ns, body[:target_len].decode(errors="replace"), body[target_len:].decode(errors="replace")
        at += length


class Dmesg(gdb.Command):
    """Show the kernel's log: sis dmesg [LINES], the last so many."""

    def __init__(self):
        super().__init__("sis dmesg", gdb.COMMAND_DATA, gdb.COMPLETE_NONE)

    def invoke(self, argument, _from_tty):
        machine.attached()
        ring = machine.find_struct(machine.static("sis::log::RING"), ("head", "tail", "count", "lost", "bytes"))
        if ring is None:
            machine.fail("sis::log::RING holds no ring that this command knows (src/log/ring.rs)")
        if not machine.register("cr0") & machine.CR0_PG or paging.translate(int(ring.address)) is None:
            machine.fail("the log is not there yet: the kernel's page tables are not in CR3")
        count = int(ring["count"])
        if count == 0:
            machine.fail("the log is empty")
        data = machine.virtual(int(ring["bytes"].address), ring["bytes"].type.sizeof)
        lines = [f"[{ns // 10**9:5}.{ns // 1000 % 10**6:06}] {target}: {text}" for ns, target, text in records(ring, data)]
        if argument:
            lines = lines[-machine.evaluate(argument):]
        print("\n".join(lines))
        if int(ring["lost"]):
            print(f"({int(ring['lost'])} older lines are gone)")


Dmesg()
