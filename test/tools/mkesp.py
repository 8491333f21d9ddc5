#!/usr/bin/env python3
"""Makes the disk image the machine starts from: a GPT disk with one FAT32 EFI System Partition.

The Makefile calls it for build/esp.img, qemu.py for `make run CMDLINE=...`, tests for odd images. No root, no
loop mounts, no mkfs: the image is computed here, byte by byte, and the same input gives the same bytes (dates are
constant or SOURCE_DATE_EPOCH, serial number and GUIDs come from a hash of the content).

    LBA 0         protective MBR, and a FAT32 boot sector for the whole disk (see below)
    LBA 1..33     GPT header and its 128 entries
    LBA 64        copy of LBA 0, the backup boot sector that LBA 0 names
    LBA 2048      the partition: boot sector, FSInfo, backup of both, FAT 1, FAT 2, clusters
    last 33 LBAs  the GPT's backup

Two boot sectors describe one file system. The partition's own says "32 reserved sectors, then the FATs"; the one in
LBA 0 says "2048 + 32 reserved sectors, then the FATs". So `mdir -i esp.img@@1M` and `mdir -i esp.img` see the same
files, and what is written through one is read through the other. The view in LBA 0 is for mtools alone: it names
a FAT version that does not exist. EDK2 leaves such a volume alone, as the specification asks, and mtools does not look.
(Without that, OVMF took the whole disk for one volume and never came to the partition.)

Invariants: at least 65,525 clusters, below which FAT32 would be read as FAT16; files lie in one run each.
Sources: UEFI 2.10 section 5 (GPT) and 13.3 (FAT on an ESP); Microsoft's FAT specification 1.03.
"""

import argparse
import hashlib
import os
import struct
import sys
import time
import zlib

SECTOR = 512
PART_LBA = 2048  # 1 MiB: where every partitioning tool starts, and where `@@1M` points
RESERVED = 32  # sectors before the first FAT, in the partition's own view
BACKUP_LBA0 = 64  # behind the GPT entries, before the partition
FAT_COPIES = 2
MIN_CLUSTERS = 65525  # the specification's border between FAT16 and FAT32
NO_VERSION = 0x0100  # FAT32 has one version, 0.0
DEFAULT_SIZE = 64 << 20
LABEL = b"SIS        "
END_OF_CHAIN = 0x0FFFFFFF
# 2025-01-01 00:00:00 UTC, where nobody says otherwise.
DEFAULT_EPOCH = 1735689600
# C12A7328-F81F-11D2-BA4B-00A0C93EC93B, its first three parts little endian.
ESP_TYPE_GUID = bytes.fromhex("28732ac11ff8d211ba4b00a0c93ec93b")

ATTR_VOLUME, ATTR_DIR, ATTR_ARCHIVE, ATTR_LFN = 0x08, 0x10, 0x20, 0x0F
NT_LOWER_BASE, NT_LOWER_EXT = 0x08, 0x10  # "show this part in lower case", as Windows NT and everybody since
SHORT_CHARS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'()-@^_`{}~")


class EspError(Exception):
    """What was asked for cannot be made, or what was given is not such an image."""


# ---- names ---------------------------------------------------------------------------------------------------------


def short_name(name):
    """The 8.3 form and NT case flags of `name` if it has one that loses nothing, else None."""
    base, dot, ext = name.partition(".")
    if not base or (dot and not ext) or len(base) > 8 or len(ext) > 3:
        return None
    flags = 0
    for part, flag in ((base, NT_LOWER_BASE), (ext, NT_LOWER_EXT)):
        if not set(part.upper()) <= SHORT_CHARS or len(part.upper()) != len(part):
            return None
        if part != part.upper():
            if part != part.lower():
                return None  # mixed case needs a long name
            flags |= flag
    return base.upper().encode().ljust(8) + ext.upper().encode().ljust(3), flags


def alias(name, taken):
    """An 8.3 name of the kind NAME~1 for a file whose real name is a long one."""
    base, _, ext = name.rpartition(".") if "." in name.strip(".") else (name, "", "")
    clean = lambda s: "".join(c if c in SHORT_CHARS else "_" for c in s.upper() if c not in " .")
    base, ext = clean(base), clean(ext)[:3]
    for n in range(1, 1_000_000):
        tail = f"~{n}"
        short = (base[: 8 - len(tail)] + tail).encode().ljust(8) + ext.encode().ljust(3)
        if short not in taken:
            return short
    raise EspError(f"no short name left for {name!r}")


def lfn_checksum(short):
    total = 0
    for byte in short:
        total = ((total >> 1) | ((total & 1) << 7)) + byte & 0xFF
    return total


def lfn_entries(name, short):
    """The long-name entries that stand before the short one, last piece first."""
    units = name.encode("utf-16-le")
    if len(units) > 2 * 255:
        raise EspError(f"name longer than 255 characters: {name!r}")
    units = units + b"\0\0" if len(units) % 26 else units
    units += b"\xff" * (-len(units) % 26)
    pieces = [units[i : i + 26] for i in range(0, len(units), 26)]
    checksum = lfn_checksum(short)
    out = b""
    for number in range(len(pieces), 0, -1):
        piece = pieces[number - 1]
        order = number | (0x40 if number == len(pieces) else 0)
        out += struct.pack("<B10sBBB", order, piece[:10], ATTR_LFN, 0, checksum) + piece[10:22] + b"\0\0" + piece[22:]
    return out


def dos_time(epoch):
    t = time.gmtime(epoch)
    year = min(max(t.tm_year, 1980), 2107)
    return t.tm_hour << 11 | t.tm_min << 5 | t.tm_sec // 2, (year - 1980) << 9 | t.tm_mon << 5 | t.tm_mday


def dir_entry(short, attr, cluster, size, stamp, nt_flags=0):
    clock, date = stamp
    high, low = cluster >> 16, cluster & 0xFFFF
    return struct.pack("<11sBBBHHHHHHHI", short, attr, nt_flags, 0, clock, date, date, high, clock, date, low, size)


# ---- the file system -----------------------------------------------------------------------------------------------


def build_tree(files):
    """{'EFI/BOOT/BOOTX64.EFI': bytes} as nested dicts, names compared as FAT does: without case."""
    root = {}
    for path in sorted(files):
        parts = [p for p in path.replace("\\", "/").split("/") if p]
        if not parts or any(p[-1] in " ." or set(p) & set('"*:<>?|') or min(p) < " " for p in parts):
            raise EspError(f"no name for a FAT file: {path!r}")
        node = root
        for i, part in enumerate(parts):
            last = i == len(parts) - 1
            key = next((k for k in node if k.upper() == part.upper()), None)
            if key is not None and (last or not isinstance(node[key], dict)):
                raise EspError(f"{path!r} is there twice")
            if last:
                node[part] = bytes(files[path])
            else:
                node = node.setdefault(key or part, {})
    return root


class Clusters:
    """Hands out runs of clusters from 2 on, and remembers what goes into them."""

    def __init__(self, size):
        self.size = size
        self.next = 2
        self.runs = []  # (first cluster, number of clusters, content)

    def reserve(self, length):
        count = max(1, -(-length // self.size))
        first, self.next = self.next, self.next + count
        return first, count

    def add(self, content):
        first, count = self.reserve(len(content))
        self.runs.append((first, count, content))
        return first


def names_in(directory):
    """(name, long-name entries, short name, NT flags) of each child; short names never collide."""
    exact = {name: short_name(name) for name in directory}
    taken = {s[0] for s in exact.values() if s}
    for name in directory:
        if exact[name]:
            short, flags = exact[name]
            yield name, b"", short, flags
        else:
            short = alias(name, taken)
            taken.add(short)
            yield name, lfn_entries(name, short), short, 0


def lay_out(directory, clusters, parent, stamp, root=False):
    """Places `directory` and all below it; returns its first cluster."""
    rows = list(names_in(directory))
    length = 32 * (1 if root else 2) + sum(len(lfn) + 32 for _, lfn, _, _ in rows)
    mine, count = clusters.reserve(length)
    if root:
        content = dir_entry(LABEL, ATTR_VOLUME, 0, 0, stamp)
    else:
        # ".." of a directory right below the root names cluster 0, whatever the root's own cluster is.
        content = dir_entry(b".".ljust(11), ATTR_DIR, mine, 0, stamp)
        content += dir_entry(b"..".ljust(11), ATTR_DIR, parent, 0, stamp)
    for name, lfn, short, flags in rows:
        child = directory[name]
        if isinstance(child, dict):
            first = lay_out(child, clusters, 0 if root else mine, stamp)
            content += lfn + dir_entry(short, ATTR_DIR, first, 0, stamp, flags)
        else:
            first = clusters.add(child) if child else 0
            content += lfn + dir_entry(short, ATTR_ARCHIVE, first, len(child), stamp, flags)
    clusters.runs.append((mine, count, content))
    return mine


def boot_sector(start, sectors, per_cluster, fat_sectors, serial, reserved, fsinfo, backup, version=0):
    """A FAT32 boot sector. Its code says what to do on a machine that starts it the old way: int 18h, no boot disk."""
    bpb = struct.pack(
        "<3s8sHBHBHHBHHHII",
        b"\xeb\x58\x90", b"SISKERNL", SECTOR, per_cluster, reserved, FAT_COPIES, 0, 0, 0xF8, 0, 32, 64, start, sectors,
    )  # fmt: skip
    ext = struct.pack("<IHHIHH12x", fat_sectors, 0, version, 2, fsinfo, backup)
    ext += struct.pack("<BBBI11s8s", 0x80, 0, 0x29, serial, LABEL, b"FAT32   ")
    return (bpb + ext + b"\xcd\x18\xeb\xfe").ljust(510, b"\0") + b"\x55\xaa"


# ---- the disk ------------------------------------------------------------------------------------------------------


def guid(seed):
    """A random-looking (version 4) GUID in its on-disk byte order."""
    raw = bytearray(seed[:16])
    raw[7] = raw[7] & 0x0F | 0x40
    raw[8] = raw[8] & 0x3F | 0x80
    return bytes(raw)


def gpt(total, first, last, disk_guid, part_guid):
    """(primary header, entries, backup header); the entries are the same in both places."""
    name = "EFI system partition".encode("utf-16-le")
    entries = struct.pack("<16s16sQQQ72s", ESP_TYPE_GUID, part_guid, first, last, 0, name).ljust(128 * 128, b"\0")

    def header(mine, other, table):
        fields = [b"EFI PART", 0x10000, 92, 0, 0, mine, other, 34, total - 34, disk_guid, table, 128, 128]
        fields.append(zlib.crc32(entries))
        pack = lambda: struct.pack("<8sIIIIQQQQ16sQIII", *fields)
        fields[3] = zlib.crc32(pack())
        return pack().ljust(SECTOR, b"\0")

    return header(1, total - 1, 2), entries, header(total - 1, 1, total - 33)


def protective_mbr(total):
    entry = struct.pack("<B3sB3sII", 0, b"\x00\x02\x00", 0xEE, b"\xff\xff\xff", 1, min(total - 1, 0xFFFFFFFF))
    return entry.ljust(64, b"\0")


def make_image(out, files, size=None):
    """Writes the image `out` with `files` ({path: bytes}); `size` in bytes, default 64 MiB and as much as is needed."""
    tree = build_tree(files)
    epoch = int(os.environ.get("SOURCE_DATE_EPOCH") or DEFAULT_EPOCH)
    stamp = dos_time(epoch)
    digest = hashlib.sha256(struct.pack("<q", epoch))
    for path in sorted(files):
        digest.update(struct.pack("<QQ", len(path.encode()), len(files[path])) + path.encode() + files[path])
    disk_guid, part_guid = (guid(hashlib.sha256(digest.digest() + tag).digest()) for tag in (b"disk", b"part"))
    serial = int.from_bytes(digest.digest()[:4], "little")

    content = sum(len(f) + 4096 for f in files.values())
    wanted = size or max(DEFAULT_SIZE, content + content // 8 + (16 << 20))
    mib = -(-wanted // (1 << 20))
    total = mib * 2048
    sectors = total - 2 * 2048  # 1 MiB before it, 1 MiB behind it for the GPT's backup
    if size is not None and mib > 0xFFFFFFFF // 2048 or sectors <= 0:
        raise EspError(f"an image of {mib} MiB is not possible")
    # The largest cluster that still makes it FAT32. A FAT sector holds 128 entries; two entries are not clusters.
    for per_cluster in (8, 4, 2, 1):
        fat_sectors = -(-(sectors - RESERVED + 2 * per_cluster) // (128 * per_cluster + FAT_COPIES))
        count = (sectors - RESERVED - FAT_COPIES * fat_sectors) // per_cluster
        if count >= MIN_CLUSTERS + 16:
            break
    else:
        raise EspError(f"{mib} MiB are too few for FAT32: it needs {MIN_CLUSTERS} clusters, 35 MiB")

    clusters = Clusters(per_cluster * SECTOR)
    lay_out(tree, clusters, 0, stamp, root=True)
    used = clusters.next - 2
    if used > count:
        raise EspError(f"{content >> 20} MiB of files do not fit into {mib} MiB")

    fat = bytearray(4 * clusters.next)
    struct.pack_into("<II", fat, 0, 0x0FFFFFF8, END_OF_CHAIN)
    for first, number, _ in clusters.runs:
        chain = [*range(first + 1, first + number), END_OF_CHAIN]
        struct.pack_into(f"<{number}I", fat, 4 * first, *chain)

    fsinfo = struct.pack("<I480xIII12xI", 0x41615252, 0x61417272, count - used, clusters.next, 0xAA550000)
    shape = (per_cluster, fat_sectors, serial)
    own = boot_sector(PART_LBA, sectors, *shape, RESERVED, 1, 6)
    whole = bytearray(
        boot_sector(0, PART_LBA + sectors, *shape, PART_LBA + RESERVED, PART_LBA + 1, BACKUP_LBA0, NO_VERSION)
    )
    whole[446:510] = protective_mbr(total)
    primary, entries, backup = gpt(total, PART_LBA, PART_LBA + sectors - 1, disk_guid, part_guid)
    data_lba = PART_LBA + RESERVED + FAT_COPIES * fat_sectors

    pieces = [
        (0, whole), (1, primary), (2, entries), (BACKUP_LBA0, whole),
        (PART_LBA, own), (PART_LBA + 1, fsinfo), (PART_LBA + 6, own), (PART_LBA + 7, fsinfo),
        *((PART_LBA + RESERVED + i * fat_sectors, fat) for i in range(FAT_COPIES)),
        *((data_lba + (first - 2) * per_cluster, body) for first, _, body in clusters.runs),
        (total - 33, entries), (total - 1, backup),
    ]  # fmt: skip
    # A half-written image never stands under the real name; what is not written stays a hole.
    part = f"{out}.part{os.getpid()}"
    try:
        with open(part, "wb") as f:
            f.truncate(total * SECTOR)
            for lba, body in pieces:
                f.seek(lba * SECTOR)
                f.write(body)
        os.replace(part, out)
    except BaseException:
        if os.path.exists(part):
            os.unlink(part)
        raise


# ---- reading one back ----------------------------------------------------------------------------------------------


class Reader:
    """Reads the partition's files, whoever wrote them (mtools too): {path: bytes}."""

    def __init__(self, path, start=PART_LBA):
        with open(path, "rb") as f:
            self.disk = f.read()
        base = start * SECTOR
        boot = self.disk[base : base + SECTOR]
        if len(boot) < SECTOR or boot[510:] != b"\x55\xaa" or boot[82:87] != b"FAT32":
            raise EspError(f"{path}: no FAT32 file system at sector {start}")
        size, per_cluster, reserved, copies = struct.unpack_from("<HBHB", boot, 11)
        fat_sectors, self.root = struct.unpack_from("<I4xI", boot, 36)[0], struct.unpack_from("<I", boot, 44)[0]
        if size != SECTOR or not per_cluster or not fat_sectors:
            raise EspError(f"{path}: a boot sector that makes no sense at sector {start}")
        self.cluster_size = per_cluster * SECTOR
        self.fat = base + reserved * SECTOR
        self.data = self.fat + copies * fat_sectors * SECTOR
        self.entries = fat_sectors * 128

    def chain(self, cluster):
        out, steps = [], 0
        while 2 <= cluster < 0x0FFFFFF8:
            at = self.data + (cluster - 2) * self.cluster_size
            out.append(self.disk[at : at + self.cluster_size])
            steps += 1
            if cluster >= self.entries or steps > self.entries:
                raise EspError("a cluster chain leaves the FAT or runs in a circle")
            cluster = struct.unpack_from("<I", self.disk, self.fat + 4 * cluster)[0] & 0x0FFFFFFF
        return b"".join(out)

    def files(self, cluster=None, prefix="", depth=0):
        found, long_name = {}, {}
        body = self.chain(self.root if cluster is None else cluster)
        if depth > 32:
            raise EspError("directories nested without an end")
        for at in range(0, len(body), 32):
            entry = body[at : at + 32]
            if entry[0] == 0:
                break
            if entry[0] == 0xE5:
                long_name = {}
            elif entry[11] & 0x3F == ATTR_LFN:
                long_name[entry[0] & 0x3F] = entry[1:11] + entry[14:26] + entry[28:32]
            else:
                if not entry[11] & ATTR_VOLUME and entry[0] != ord("."):
                    path = prefix + (self.long(long_name) or self.short(entry))
                    first = struct.unpack_from("<H", entry, 20)[0] << 16 | struct.unpack_from("<H", entry, 26)[0]
                    if entry[11] & ATTR_DIR:
                        found |= self.files(first, path + "/", depth + 1)
                    else:
                        found[path] = self.chain(first)[: struct.unpack_from("<I", entry, 28)[0]]
                long_name = {}
        return found

    @staticmethod
    def long(pieces):
        units = b"".join(pieces[i] for i in sorted(pieces))
        return units.decode("utf-16-le", "replace").split("\0")[0].rstrip("\uffff") if units else ""

    @staticmethod
    def short(entry):
        base, ext = (part.decode("latin-1").rstrip() for part in (entry[:8], entry[8:11]))
        base = base.lower() if entry[12] & NT_LOWER_BASE else base
        ext = ext.lower() if entry[12] & NT_LOWER_EXT else ext
        return f"{base}.{ext}" if ext else base


def read_image(path):
    """{path: bytes} of every file on the image's partition."""
    return Reader(path).files()


def main():
    parser = argparse.ArgumentParser(description="Write a bootable GPT disk image with one FAT32 EFI system partition.")
    parser.add_argument("-o", "--output", required=True, help="the image to write")
    parser.add_argument("--size", type=int, metavar="MIB", help="its size in MiB (default 64, more if needed)")
    parser.add_argument("files", nargs="*", metavar="NAME=FILE", help="NAME on the image, or NAME=:TEXT")
    args = parser.parse_args()
    files = {}
    try:
        for item in args.files:
            name, equals, source = item.partition("=")
            if not equals:
                raise EspError(f"{item!r}: NAME=FILE or NAME=:TEXT is meant")
            if source.startswith(":"):
                files[name] = (source[1:] + "\n").encode()
            else:
                with open(source, "rb") as f:
                    files[name] = f.read()
        make_image(args.output, files, args.size and args.size << 20)
    except (EspError, OSError) as error:
        sys.exit(f"mkesp: {error}")


if __name__ == "__main__":
    main()
