"""The serial ports: a second one that sends back what comes, whole, by interrupt and by timer; the console by timer."""

import random
import re
import socket

from lib.guest import REPLY_TIMEOUT, SLOW
from lib.harness import check, test

BYTES = 64 << 10
# What may be under way: less than the port's ring holds, for the sender obeys nobody.
WINDOW = 2048
OPTIONS = {"apic": "", "noapic": "noapic", "nolapic": "nolapic"}


def second_port():
    """QEMU's words for a second port that is a socket, and the socket that it connects to, which has no path."""
    name = f"\0sis-serial-{random.getrandbits(64):x}"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(name)
    listener.listen(1)
    listener.settimeout(30 * SLOW)
    words = ["-chardev", f"socket,id=second,path={name[1:]},abstract=on,tight=on", "-serial", "chardev:second"]
    return words, listener


def echoed(wire, data):
    """Sends data, never more than a window ahead of what has come back; returns what has."""
    back, sent = bytearray(), 0
    while len(back) < len(data):
        while sent < len(data) and sent - len(back) < WINDOW:
            sent += wire.send(data[sent:sent + WINDOW - (sent - len(back))])
        piece = wire.recv(65536)
        if not piece:
            break
        back += piece
    return bytes(back)


def after_the_firmware(wire):
    """Reads away what the firmware has said, which speaks on every port: all up to a mark that comes back."""
    mark, heard = b"<here it begins>", b""
    wire.sendall(mark)
    while not heard.endswith(mark):
        piece = wire.recv(65536)
        check(piece, "QEMU closed the second port")
        heard += piece
    return len(mark)


@test("serial-echo", how=["apic", "noapic", "nolapic"], by=["echo", "poll"])
def second_port_sends_back(t, how, by):
    """64 KiB of random bytes to ttyS1 and back, while the console is in use: whole, and counted."""
    words, listener = second_port()
    with listener:
        guest = t.boot(cmdline=OPTIONS[how], extra=words)
        wire = listener.accept()[0]
    with wire:
        wire.settimeout(REPLY_TIMEOUT)
        said = guest.command(f"serial 1 {by}")
        check(said == f"ttyS1: what comes is sent back, by {'interrupt' if by == 'echo' else 'timer'}", said)
        marked = after_the_firmware(wire)
        data = random.Random(7).randbytes(BYTES)
        check(echoed(wire, data[:BYTES // 2]) == data[:BYTES // 2], "the first half came back damaged")
        check(guest.command("echo meanwhile") == "meanwhile", "the console does not answer")
        check(echoed(wire, data[BYTES // 2:]) == data[BYTES // 2:], "the second half came back damaged")
        table = guest.command("serial")
        found = re.search(r"ttyS1: 16550A, FIFO 16, 115200 baud 8N1, by (\w+).*\n\s*(\d+) received, (\d+) sent; (\d+) interr", table)
        check(found, table)
        check(int(found[2]) == int(found[3]) == BYTES + marked, table)
        check(int(found[4]) > 0 if by == "echo" else int(found[4]) == 0, f"interrupts: {table}")
        check("for want of room" not in table, table)


@test("serial-console-by-timer", machine=["q35", "pc"])
def console_by_timer(t, machine):
    """serialpoll: the same prompt, editing and long output, and no interrupt of the port's."""
    guest = t.boot(machine=machine, cmdline="serialpoll")
    check("a timer polls it" in guest.boot_text, guest.boot_text)
    check(guest.command("echo by timer") == "by timer", "no answer")
    check("] boot: " in guest.command("dmesg"), "long output is cut")
    table = guest.command("irq")
    check(" ttyS" not in table, table)
    check(re.search(r"0 bytes by interrupt, [1-9]\d* polled, 0 lost", table), table)


@test("serial-order")
def echo_and_log_lines_keep_their_order(t):
    """Each command's own text stands behind its echo and before the next prompt, with the log's lines between, whole."""
    guest = t.boot()
    for _ in range(20):
        text = guest.command("selftest symbols")
        check(re.fullmatch(r"\[ *\d+\.\d+\] selftest: symbols: ok \(.*\)", text.strip()), f"{text!r}")
    check("0 dropped" in guest.command("serial"), "bytes were dropped")
