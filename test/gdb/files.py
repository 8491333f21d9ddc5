"""`sis fds PID`: the files that a process has open; and the paths of files.

Source: src/fs/fd.rs, src/fs/file.rs, src/fs/dcache/entry.rs, src/fs/mount.rs; `/proc/PID/fdinfo` shows the same.
"""

import gdb

import machine
import processes
import rust
import threads

# src/fs/super_block.rs, FsFlags: no path leads to its files.
NAMELESS = 4
FILE = "sis::fs::file::File"
# Flags of open(2) that stay with a file.
FLAGS = {0o2000: "append", 0o4000: "nonblock", 0o10000: "dsync", 0o20000: "async", 0o40000: "direct", 0o200000: "directory",
         0o1000000: "noatime", 0o4000000: "sync", 0o10000000: "path"}


def text(data):
    return data.decode(errors="backslashreplace")


def name_of(entry):
    """What a directory entry says."""
    first, count = rust.vector(entry["long"])
    if count:
        return text(machine.virtual(int(first) & (1 << 64) - 1, count))
    short = entry["short"]
    return text(machine.virtual(int(short.address) & (1 << 64) - 1, int(entry["len"])))


def path_of(file):
    """The path of an open file, from the root of all mounts; of a pipe and its like the name alone."""
    place = machine.find_struct(file["path"], ("mount", "dentry"))
    mount, dentry = rust.counted(place["mount"]), rust.counted(place["dentry"])
    if threads.plain(rust.counted(mount["fs"])["flags"]) & NAMELESS:
        return name_of(rust.counted(dentry["entry"]))
    is_removed = threads.plain(dentry["removed"])
    names = []
    while True:
        if dentry.address == rust.counted(mount["root"]).address:
            place = rust.counted(mount["place"])
            if not int(place["parent"]):
                break
            mount, dentry = place["parent"].dereference(), place["at"].dereference()
            continue
        entry = rust.counted(dentry["entry"])
        names.append(name_of(entry))
        if not int(entry["parent"]):
            break
        dentry = entry["parent"].dereference()
    return "/" + "/".join(reversed(names)) + (" (deleted)" if is_removed else "")


def open_files(process):
    """(descriptor, file, whether exec closes it) of each."""
    table = rust.counted(process.value["files"])
    closing = rust.words(rust.guarded(table["bits"])["close_on_exec"])
    for number, address in enumerate(rust.words(rust.counted(table["slots"])["files"])):
        if address:
            yield number, rust.at(address, FILE), bool(closing[number // 64] >> number % 64 & 1)


class Fds(gdb.Command):
    """Show what a process has open, by its number: sis fds PID."""

    def __init__(self):
        super().__init__("sis fds", gdb.COMMAND_DATA)

    def invoke(self, argument, _from_tty):
        process = processes.of(argument, "sis fds PID")
        for number, file, closes in open_files(process):
            access = "".join(letter if file["access"][name] else "-" for name, letter in (("read", "r"), ("write", "w")))
            flags = [word for bit, word in FLAGS.items() if threads.plain(file["flags"]) & bit] + ["close-on-exec"] * closes
            kind = str(rust.counted(file["inode"])["kind"]).rsplit("::", 1)[-1]
            print(f"{number:5}  {access}  at {threads.plain(file['position']):<10} {kind:11}  {path_of(file)}{'  ' if flags else ''}{' '.join(flags)}")


Fds()
