"""/proc on the machine: Linux's formats from live structures, and every file read in every way while threads come and go."""

import re

from lib.harness import check, test


@test("proc-selftest", level="matrix", smp=[1, 2])
@test("proc-selftest", smp=[4])
def selftest(t, smp):
    """Each file whole, by single bytes, in odd pieces and at odd offsets, with threads beginning and ending on all CPUs."""
    guest = t.boot(smp=smp)
    answer = guest.command("selftest proc", timeout=600)
    check("proc: ok" in answer, answer)
    counts = re.search(r"(\d+) files of /proc, (\d+) bytes; (\d+) threads ended meanwhile, (\d+) in the midst of it", guest.text)
    check(counts and int(counts[1]) > 300 and int(counts[3]) >= 8, f"hardly anything was read: {counts and counts[0]}")


def fields(text):
    """Lines of `name: value`."""
    return dict(re.findall(r"^([^:\n]+):\s*(.*?)\s*$", text, re.MULTILINE))


@test("proc-files", smp=[2])
def files(t, smp):
    """What is in them: the machine's CPUs and memory, the kernel's threads, mounts, and settings that can be changed."""
    guest = t.boot(smp=smp, mem="512M")

    def cat(path):
        return guest.command(f"cat {path}", timeout=60)

    memory = fields(cat("/proc/meminfo"))
    total, free = (int(memory[name].removesuffix(" kB")) for name in ("MemTotal", "MemFree"))
    check(450_000 < total < 524_288 and total // 2 < free < total, f"{free} KiB free of {total}")
    cpus = re.findall(r"^processor\s: (\d+)$", cat("/proc/cpuinfo"), re.MULTILINE)
    check(cpus == ["0", "1"], f"CPUs {cpus}")
    check(" sse2 " in cat("/proc/cpuinfo") and " syscall nx " in cat("/proc/cpuinfo"), "flags are missing")
    stat = cat("/proc/stat")
    lines = [line.split() for line in stat.splitlines() if line.startswith("cpu")]
    check([line[0] for line in lines] == ["cpu", "cpu0", "cpu1"] and all(len(line) == 11 for line in lines), stat)
    check(re.search(r"^intr \d{2,}(?: \d+)+$", stat, re.MULTILINE) and re.search(r"^procs_running [1-9]", stat, re.MULTILINE), stat)
    interrupts = cat("/proc/interrupts")
    check(re.search(r"^  4: +[1-9]\d* +\d+  IO-APIC-edge +ttyS", interrupts, re.MULTILINE), interrupts)
    check(re.search(r"^LOC: +[1-9]", interrupts, re.MULTILINE), interrupts)
    check(re.match(r"\d+\.\d\d \d+\.\d\d$", cat("/proc/uptime").strip()), cat("/proc/uptime"))
    check(re.match(r"\d\.\d\d \d\.\d\d \d\.\d\d \d+/\d+ \d+$", cat("/proc/loadavg").strip()), cat("/proc/loadavg"))
    check(cat("/proc/version").startswith("Linux version 6."), cat("/proc/version"))
    for line in (r"rootfs / tmpfs rw,relatime,mode=755,inode64 0 0", r"proc /proc proc rw,nosuid,relatime 0 0",
                 r"devpts /dev/pts devpts rw,nosuid,relatime,gid=5,mode=620,ptmxmode=666 0 0", r"tmpfs /dev/shm tmpfs rw,nosuid"):
        check(re.search(line, cat("/proc/mounts")), f"no {line} in:\n{cat('/proc/mounts')}")

    # The kernel's threads, by the names that the monitor has for them; this one is the one that asks.
    own = re.search(r"-> (\d+)", guest.command("stat /proc/self"))[1]
    listed = re.findall(r"Z (\d+)$", guest.command("ls /proc"), re.MULTILINE)
    check(own in listed and len(listed) >= 3, f"{own} is not among {listed}")
    named = {cat(f"/proc/{number}/comm").strip() for number in listed}
    known = set(re.findall(r"^  \d+ +(\S+) ", guest.command("threads"), re.MULTILINE)) - {"id", "stacks"}
    check(named == {name for name in known if not name.startswith("idle/")}, f"{named} and {known}")
    status = fields(cat("/proc/self/status"))
    check((status["Name"], status["Pid"], status["Kthread"], status["State"]) == ("monitor", own, "1", "R (running)"), status)
    line = cat("/proc/self/stat").split()
    check(len(line) == 52 and line[:3] == [own, "(monitor)", "R"] and int(line[8]) & 0x200000, line)
    for path, said in ((f"/proc/{own}/exe", "no such file"), ("/proc/99999999/stat", "no such file"), ("/dev/stdin", "no such file")):
        check(said in cat(path), cat(path))
    check(guest.command(f"cat /proc/{own}/cmdline").strip() == "", "a thread of the kernel's has arguments")
    check(re.search(r"-> /$", guest.command(f"stat /proc/{own}/root"), re.MULTILINE), "no root")

    check(cat("/proc/sys/kernel/hostname").strip() == "sis", cat("/proc/sys/kernel/hostname"))
    guest.command("write /proc/sys/kernel/hostname box")
    check(cat("/proc/sys/kernel/hostname").strip() == "box", cat("/proc/sys/kernel/hostname"))
    check("not permitted" in guest.command("write /proc/sys/kernel/osrelease 7"), "the release can be written")
    uuid = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
    ids = [cat(f"/proc/sys/kernel/random/{name}").strip() for name in ("uuid", "uuid", "boot_id", "boot_id")]
    check(all(re.fullmatch(uuid, one) for one in ids) and len(set(ids)) == 3 and ids[2] == ids[3], ids)
