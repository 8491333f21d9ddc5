"""The monitor over the serial line: editing as a person does it, every command, and input that makes no sense."""

import re

from lib.elfedit import Elf
from lib.build import RELEASE
from lib.harness import check, test

UP, DOWN, RIGHT, LEFT = "\x1b[A", "\x1b[B", "\x1b[C", "\x1b[D"


def control(letter):
    return chr(ord(letter) & 31)


@test("line-editing")
def line_editing(t):
    guest = t.boot()

    def gives(keys, wanted):
        output = guest.command(keys)
        check(output == wanted, f"{keys!r} gives {output!r}, not {wanted!r}")

    gives("echp\x08o one", "one")
    gives("echp\x7fo two", "two")
    gives(f"cho three{control('A')}e", "three")
    gives(f"echo fou{control('A')}{control('E')}r", "four")
    gives(f"echo five six{LEFT}{LEFT}{LEFT}{LEFT}{control('K')}", "five")
    gives(f"some nonsense{control('U')}echo seven", "seven")
    gives(f"echo eight nine{control('W')}ten", "eight ten")
    gives(f"eco eleven{LEFT * 8}h", "eleven")
    gives(f"ech{LEFT}{RIGHT}o twelve", "twelve")
    # History: the line itself comes back, can be edited, and down leads to the line that was begun.
    gives("echo past", "past")
    gives(UP, "past")
    gives(f"{UP}t", "pastt")
    gives(f"echo fresh{UP}{UP}{DOWN}{DOWN}", "fresh")
    # Tab: a unique name is completed, several are listed by a second Tab, and the line stays.
    gives("ec\ttabbed", "tabbed")
    guest.send("m\t\t")
    guest.expect(re.compile(r"maps +memmap +misuse +mkdir +mount\r+\n"))
    guest.expect("sis> m")
    gives(f"{control('U')}echo listed", "listed")
    # ^C gives up the line.
    guest.send(f"echo never{control('C')}")
    text = guest.prompt()
    check("^C" in text and "\nnever" not in text, f"^C shows {text!r}")
    gives("echo after", "after")
    # ^L clears the terminal and draws the line again.
    guest.send(f"echo cle{control('L')}")
    guest.expect("\x1b[H\x1b[2J")
    guest.expect("sis> echo cle")
    gives("ar", "clear")
    # Both line ends, empty lines, and bytes that are no text.
    gives("", "")
    gives("   ", "")
    check(guest.command("echo lf", enter="\n") == "lf", "a line feed is not Enter")
    check(guest.command("echo crlf", enter="\r\n") == "crlf", "CR LF is not one Enter")
    gives("echo next", "next")
    guest.send(b"\xff\xfe\x80\x00\x1b[999~\x1b[\x1b\x1b")
    guest.send(control("U"))
    gives("echo sane", "sane")
    # Longer than any line may be: cut or refused, but alive.
    guest.send("echo " + "y" * 2000)
    guest.send(control("U"))
    gives("echo alive", "alive")


@test("line-ends")
def line_ends(t):
    """Every line of the kernel ends in CR LF, no more and no less, those of the line editor and of the log too."""
    guest = t.boot()
    guest.command("help")
    guest.command("echo one")
    text = guest.text[guest.text.index("leaving the firmware"):]
    odd = [line for line in text.split("\n")[:-1] if not line.endswith("\r") or line.endswith("\r\r")]
    check(not odd, f"{len(odd)} lines do not end in CR LF, among them {odd[:4]}")


@test("nonsense")
def nonsense(t):
    """Unknown commands and bad arguments get one clear line."""
    guest = t.boot()
    for line in ("nosuchcommand", "ECHO", "x", "x/", "x/0 0", "x/q 0", "x/4", "x/4 nosuchsymbol", "x/99999999999999999999 0", "pt",
                 "pt zz", "fault nosuch", "help nosuch", "selftest nosuch", "sym", "sym nosuchsymbol", "\xe9\xe8 \u20ac"):
        output = guest.command(line)
        check(output and "\n" not in output, f"{line!r} gives {output!r}, not one line")
        check("panic" not in output, f"{line!r} gives {output!r}")
    check("nosuchcommand" in guest.command("nosuchcommand"), "the unknown command is not named")


@test("help")
def help_(t):
    """help NAME says more about every command that help lists."""
    guest = t.boot()
    names = [line.split()[0] for line in guest.command("help").splitlines() if re.match(r"\s*[a-z]", line)]
    check(len(names) >= 18, f"help lists {names}")
    for name in names:
        text = guest.command(f"help {name.split('/')[0]}")
        check(name.split("/")[0] in text and len(text) > len(name) + 5, f"help {name} says {text!r}")


@test("examine")
def examine(t):
    """x reads what can be read and survives what cannot."""
    guest = t.boot()
    elf = Elf.load(RELEASE.kernel)
    start = elf.symbol("start_high")
    for seg in elf.loads:
        if seg["p_vaddr"] <= start < seg["p_vaddr"] + seg["p_filesz"]:
            at = seg["p_offset"] + start - seg["p_vaddr"]
            code = bytes(elf)[at:at + 16]
    for where in (f"{start:#x}", "start_high"):
        dump = guest.command(f"x/16b {where}")
        check(code.hex(" ") in re.sub(r"\s+", " ", dump), f"x/16b {where} shows {dump!r}, the file has {code.hex(' ')}")
    for bad in ("0", "0xdead000000000000", "0x7fffffffffff", "0xffff800000000000", "0xffffb00000000000", "0xffffffffffffffff",
                "0xfffffffffffffff0", "boot_stack_guard"):
        for count in (1, 4, 64):
            output = guest.command(f"x/{count} {bad}")
            check(output and "panic" not in output and "exception" not in output, f"x/{count} {bad} gives {output!r}")
    check(guest.command("echo alive") == "alive", "no answer")


@test("windows")
def windows(t):
    """Each window on a structure shows what must be there."""
    guest = t.boot(machine="q35", cpu="max", mem="512M")
    elf = Elf.load(RELEASE.kernel)
    show = guest.command

    maps = show("maps").splitlines()
    # Flags stand in one word, RWXU, with a dash for each that is off.
    flags = [match[1] for line in maps if (match := re.search(r"\s([R-][W-][X-][U-])\s", line))]
    check(len(flags) >= 5, "maps shows fewer than five mappings with flags:\n" + "\n".join(maps))
    check(not [flag for flag in flags if "W" in flag and "X" in flag], "a mapping is both writable and executable:\n" + "\n".join(maps))
    check(not [flag for flag in flags if "U" in flag], "a mapping is the user's:\n" + "\n".join(maps))
    check("R-X-" in flags and "R---" in flags and "RW--" in flags, f"odd flags: {flags}")

    idt = show("idt")
    for vector, handler in ((8, "double"), (14, "page fault|#PF"), (2, "NMI|non-maskable")):
        check(re.search(handler, idt, re.IGNORECASE), f"idt does not name vector {vector}:\n{idt}")
    gdt = show("gdt")
    check(re.search("TSS", gdt) and re.search("code", gdt, re.IGNORECASE), f"gdt shows:\n{gdt}")

    regs = show("regs")
    for name in ("cr0", "cr3", "cr4", "efer", "rflags", "rsp", "gdtr", "idtr"):
        check(re.search(rf"\b{name}\b", regs, re.IGNORECASE), f"regs lacks {name}:\n{regs}")
    cpu = show("cpu")
    for word in ("NX", "WP", "SMEP", "SMAP", "UMIP"):
        check(re.search(rf"\b{word}\b", cpu, re.IGNORECASE), f"cpu max has {word}, and cpu does not show it:\n{cpu}")

    memmap = show("memmap")
    sizes = re.findall(r"([0-9a-f]{4,16})\s*(?:-|–|\.\.=?)\s*(?:0x)?([0-9a-f]{4,16})", memmap)
    check("usable" in memmap and "kernel" in memmap and len(sizes) > 5, f"memmap shows:\n{memmap}")
    edges = [(int(a, 16), int(b, 16)) for a, b in sizes]
    check(all(a < b for a, b in edges), f"a region that ends before it begins:\n{memmap}")
    check(edges == sorted(edges) and all(one[1] <= two[0] + 1 for one, two in zip(edges, edges[1:])), f"regions out of order:\n{memmap}")

    info = show("bootinfo")
    for word in ("acpi root pointer", "framebuffer", "kernel", "command line"):
        check(word in info.lower(), f"bootinfo lacks {word}:\n{info}")

    main = elf.symbol("kernel_main")
    check(f"{main:x}" in show("sym kernel_main").lower().replace("_", ""), f"sym kernel_main says {show('sym kernel_main')!r}")
    check("kernel_main+0x3" in show(f"sym {main + 3:#x}"), f"sym of kernel_main + 3 says {show(f'sym {main + 3:#x}')!r}")

    pt = show(f"pt {main:#x}")
    for level in ("PML4", "PDPT", "PD", "PT"):
        check(re.search(rf"\b{level}E?\b", pt), f"pt shows no {level}:\n{pt}")
    check("not present" in show("pt 0x7f0000000000").lower(), f"pt of an unmapped address: {show('pt 0x7f0000000000')!r}")
    check(show("pt 0xdead000000000000"), "pt of a non-canonical address says nothing")

    bt = show("bt")
    check("monitor" in bt and "kernel_main" in bt, f"bt shows:\n{bt}")
    check("] boot: " in show("dmesg"), "dmesg lacks the boot line")


@test("selftest-command")
def selftest(t):
    """The monitor's selftest passes as a whole and one by one."""
    guest = t.boot()
    report = guest.command("selftest", timeout=60)
    names = re.findall(r"selftest: (\w+): ok", report)
    check(len(names) >= 8 and "FAILED" not in report, f"selftest says:\n{report}")
    check(re.search(r"\b0 failed", report), f"selftest has no sum:\n{report}")
    for name in names:
        check(f"{name}: ok" in guest.command(f"selftest {name}"), f"selftest {name} does not pass alone")
