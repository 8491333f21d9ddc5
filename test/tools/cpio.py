"""Archives in cpio's format `newc`, which an initramfs is made of.

Source: Linux, Documentation/driver-api/early-userspace/buffer-format.rst.
"""

TRAILER = "TRAILER!!!"


def entry(name, mode, data=b"", links=1, inode=0, device=(0, 0), owner=(0, 0), time=0):
    """One entry: `mode` with the file's kind, `time` in seconds since 1970; of names with one inode the last has the data."""
    name = name.encode() + b"\0"
    # On the device 8:1, as far as hard links are concerned.
    fields = (inode, mode, *owner, links, time, len(data), 8, 1, *device, len(name), 0)
    head = b"070701" + b"".join(b"%08x" % field for field in fields) + name
    return head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4)


def archive(*entries):
    return b"".join(entries) + entry(TRAILER, 0)


class Archive:
    """One as it grows, with no hard links in it, and all of one time."""

    def __init__(self, time=0):
        self.time, self.entries = time, []

    def add(self, name, mode, data=b"", links=1):
        self.entries.append(entry(name, mode, data, links, inode=len(self.entries) + 1, time=self.time))

    def end(self):
        return archive(*self.entries)
