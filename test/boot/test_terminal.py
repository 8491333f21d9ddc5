"""Terminals as files: many bytes through a serial port while the CPUs are busy; the console's own port lent and given back."""

import array
import fcntl
import random
import re
import select
import subprocess
import termios
import threading
import zlib

from boot.test_serial import second_port
from lib.guest import REPLY_TIMEOUT, SLOW
from lib.harness import check, test
from tools import cpio

XON, XOFF = b"\x11", b"\x13"
# What the sender lets be under way: it obeys XOFF, but not before it has come.
PIECE = 512
BULK_TIMEOUT = 120 * SLOW
REPORT = r"ttyS1: (\d+) bytes, CRC-32 ([0-9a-f]{8}), 0 lost, 0 overruns"
OPTIONS = {"apic": "", "noapic": "noapic"}


def heard(wire):
    """What has come over the wire so far, without waiting."""
    data = b""
    while select.select([wire], [], [], 0)[0]:
        piece = wire.recv(65536)
        check(piece, "QEMU closed the second port")
        data += piece
    return data


def under_way(wire):
    """Whether QEMU has not read all that was sent."""
    count = array.array("i", [0])
    fcntl.ioctl(wire, termios.TIOCOUTQ, count)
    return count[0] > 0


def send_obediently(guest, wire, data):
    """Sends all, and nothing between XOFF and XON; returns how often it was stopped."""
    stopped, stops, sent = False, 0, 0
    while sent < len(data):
        for byte in (said := heard(wire)):
            check(bytes([byte]) in (XON, XOFF), f"after {sent} bytes the port says {said}")
            stops += bytes([byte]) == XOFF and not stopped
            stopped = bytes([byte]) == XOFF
        if stopped:
            check(select.select([wire], [], [], REPLY_TIMEOUT)[0], f"stopped for ever after {sent} bytes")
        elif under_way(wire):
            guest.idle(0.001)
        else:
            sent += wire.send(data[sent:sent + PIECE])
    return stops


def boot(t, how, smp):
    """A machine with a second port; the guest and the port's other end, from which the firmware's text is gone."""
    words, listener = second_port()
    with listener:
        guest = t.start(cmdline=OPTIONS[how], extra=words, smp=smp)
        wire = listener.accept()[0]
    wire.settimeout(REPLY_TIMEOUT)
    # A socket takes few single bytes that nobody reads; what it does not take QEMU would send later.
    booted = threading.Event()

    def listen():
        while not booted.is_set():
            select.select([wire], [], [], 0.05)
            heard(wire)

    listening = threading.Thread(target=listen)
    listening.start()
    try:
        guest.prompt()
    finally:
        booted.set()
        listening.join()
    heard(wire)
    return guest, wire


def take(guest, wire, data, words=""):
    """Has the guest take the data; returns how often it stopped the sender."""
    guest.send(f"serial 1 take {len(data)}{words}\r")
    guest.expect(f"ready for {len(data)} bytes", REPLY_TIMEOUT)
    # How many bytes its UART has room for QEMU asks once in a turn of its main loop, and a guest that turns the FIFO off
    # makes no new turn. So bytes that come at once may be handed over by eight, of which such a UART keeps one. With the
    # first byte alone there is nothing to lose; each byte that is taken makes a turn.
    wire.sendall(data[:1])
    while under_way(wire):
        guest.idle(0.001)
    stops = send_obediently(guest, wire, data[1:])
    match = guest.expect(re.compile(REPORT + "|ttyS1: .*\n"), BULK_TIMEOUT)
    check(match[2] == f"{zlib.crc32(data):08x}" and int(match[1]) == len(data), match[0])
    guest.prompt()
    return stops


def give(guest, wire, count, words=""):
    """Has the guest send so many bytes, and compares what it says of them with what has come."""
    heard(wire)
    guest.send(f"serial 1 give {count}{words}\r")
    data = bytearray()
    while len(data) < count:
        piece = wire.recv(65536)
        check(piece, "QEMU closed the second port")
        data += piece
    match = guest.expect(re.compile(REPORT + "|ttyS1: .*\n"), BULK_TIMEOUT)
    check(len(data) == count == int(match[1] or 0), f"{len(data)} bytes came: {match[0]}")
    check(match[2] == f"{zlib.crc32(data):08x}", f"damaged: {match[0]}")
    guest.prompt()


def moved_whole(t, how, smp, fifo, count):
    """So many bytes in and out, and in to a reader that stalls before each 64 KiB of them."""
    guest, wire = boot(t, how, smp)
    words = "" if fifo else " nofifo"
    with wire:
        data = random.Random(count).randbytes(count)
        take(guest, wire, data, words)
        give(guest, wire, count, words)
        stops = take(guest, wire, data, words + " stall")
        check(stops >= max(count >> 16, 1), f"a reader that stalled stopped the sender {stops} times")
        shown = guest.command("stty -F ttyS1")
        check(" -icanon " in shown and " ixoff" in shown, f"the settings were not kept: {shown}")


@test("tty-bulk", how=["apic", "noapic"], smp=[1, 2], fifo=[True])
@test("tty-bulk", how=["apic"], smp=[1], fifo=[False])
@test("tty-bulk", how=["noapic"], smp=[2], fifo=[False])
def a_port_moves_bytes_whole(t, how, smp, fifo):
    """64 KiB of random bytes (16 KiB without a FIFO) in, out, and in to a reader that stalls, through ttyS1 while four threads
    load the CPUs."""
    moved_whole(t, how, smp, fifo, (64 if fifo else 16) << 10)


@test("tty-bulk-long", level="matrix", how=["apic", "noapic"], fifo=[True, False])
def a_port_moves_a_mebibyte_whole(t, how, fifo):
    """The same with 1 MiB each time."""
    moved_whole(t, how, 2, fifo, 1 << 20)


@test("tty-console-lent")
def the_console_lends_its_port(t):
    """stty on the console's own port: settings shown and changed, and the monitor goes on."""
    guest = t.boot()
    shown = guest.command("stty")
    check(re.search(r"speed 115200 baud; cs8\n.* clocal.*\n.* icrnl.*\n.* opost.*\n.* icanon .*echo echoe", shown), shown)
    check(guest.command("stty 57600 -echo ixoff") == "", "changing says something")
    shown = guest.command("stty")
    check("speed 57600 baud" in shown and " -echo " in shown and " ixoff" in shown, shown)
    check("the line cannot do 230400 baud" in guest.command("stty 230400"), "230,400 baud on a 16550A")
    check("speed 57600 baud" in guest.command("stty"), "a speed that cannot be was kept")
    check("unknown" in guest.command("stty -F ttyS0 wurst"), "no such flag, and no word of it")
    check(guest.command("echo still here") == "still here", "the monitor does not answer")
    check("57600 baud" in guest.command("serial"), "the port keeps another speed")


@test("tty-pairs", smp=[1, 4])
def pairs_work(t, smp):
    """The self-test of pseudo-terminals, several times over: nothing is left over from the times before."""
    guest = t.boot(smp=smp)
    for _ in range(5):
        text = guest.command("selftest pty")
        check("pty: ok" in text, text)


@test("tty-signals", smp=[1, 4])
def signals_end_sleeps(t, smp):
    """The self-test of sleeps that a signal ends, several times over."""
    guest = t.boot(smp=smp)
    for _ in range(5):
        text = guest.command("selftest signals")
        check("signals: ok" in text, text)


@test("tty-lines", smp=[1, 2])
def several_read_the_console(t, smp):
    """Two readers on the console's own port, one by each of its names: every line is one's, and whole; then the monitor has it back."""
    guest = t.boot(smp=smp)
    guest.send("serial 0 lines 2\r")
    for reader in (0, 1):
        guest.expect(re.compile(r"reader [01]: open"), REPLY_TIMEOUT)
    for number in range(8):
        guest.send(f"li\x7f\x7fline {number}\r")
        guest.expect(re.compile(rf"\nreader [01]: line {number}\r"), REPLY_TIMEOUT)
    for number in (1, 2):
        guest.send("\x04")
        guest.expect(re.compile(r"reader [01]: over"), REPLY_TIMEOUT)
    guest.prompt()
    check(guest.command("echo mine again") == "mine again", "the monitor does not answer")


@test("tty-break")
def a_break_opens_the_monitor(t):
    """A break on the console's line, while a program reads there: the monitor answers, and `resume` goes back to the unfinished line."""
    guest = t.boot()
    guest.send("serial 0 lines\r")
    guest.expect("reader 0: open", REPLY_TIMEOUT)
    for number in range(3):
        guest.send("half ")
        guest.expect("half ", REPLY_TIMEOUT)
        guest.qmp("chardev-send-break", id="serial0")
        guest.expect("break: the monitor", REPLY_TIMEOUT)
        guest.prompt()
        # The log may be speaking meanwhile.
        guest.send("echo over it\r")
        guest.expect("\nover it", REPLY_TIMEOUT)
        guest.prompt()
        check("lines" in guest.command("threads"), "the reader is gone")
        # Its last prompt is behind giving the line back.
        guest.command("resume")
        guest.send(f"and whole {number}\r")
        guest.expect(f"reader 0: half and whole {number}\r", REPLY_TIMEOUT)
    guest.send("\x04")
    guest.expect("reader 0: over", REPLY_TIMEOUT)
    guest.prompt()
    check("nothing to go back to" in guest.command("resume"), "there is something to go back to")


# A program that writes what it reads, until there is no more.
COPY = """
    .globl _start
_start:
1:  xor %edi, %edi
    lea buffer(%rip), %rsi
    mov $256, %edx
    xor %eax, %eax
    syscall
    test %rax, %rax
    jle 2f
    mov %rax, %rdx
    mov $1, %edi
    lea buffer(%rip), %rsi
    mov $1, %eax
    syscall
    jmp 1b
2:  xor %edi, %edi
    mov $60, %eax
    syscall
    .lcomm buffer, 256
"""


@test("tty-break-init", smp=[2])
def a_break_over_the_first_process(t, smp):
    """A break while process 1 reads from the console opens the monitor; after `resume` it reads on; when it ends, the monitor has the line."""
    program = t.directory / "copy"
    subprocess.run(["gcc", "-x", "assembler", "-", "-nostdlib", "-static", "-no-pie", "-o", program], input=COPY.encode(), check=True)
    image = cpio.archive(cpio.entry("init", 0o100755, program.read_bytes()))
    guest = t.start({"init.img": image}, cmdline="initrd=init.img", smp=smp)
    guest.expect("/init is process 1", 60)
    for number in range(2):
        guest.send(f"line {number}\r")
        guest.expect(f"line {number}\r\nline {number}\r\n", REPLY_TIMEOUT)
        guest.send("un")
        guest.expect("un", REPLY_TIMEOUT)
        guest.qmp("chardev-send-break", id="serial0")
        guest.expect("break: the monitor", REPLY_TIMEOUT)
        guest.prompt()
        # The log may be speaking meanwhile.
        guest.send("echo over it\r")
        guest.expect("\nover it", REPLY_TIMEOUT)
        guest.prompt()
        # Its last prompt is behind giving the line back.
        guest.command("resume")
        guest.send(f"finished {number}\r")
        guest.expect(f"unfinished {number}\r\n", REPLY_TIMEOUT)
    guest.send("\x04")
    guest.expect("process 1 has ended: exit status 0", REPLY_TIMEOUT)
    guest.prompt()
    check(guest.command("echo mine again") == "mine again", "the monitor does not answer")
