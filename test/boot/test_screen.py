"""The framebuffer console, seen through QMP's screendump and read off the picture."""

import threading
import time

from lib.guest import SLOW, Failure, plain
from lib.harness import check, test
from lib.shell import PROMPT, SHELL, Shell

# Each printable character of ASCII once, but for the blank.
KEY = "".join(map(chr, range(0x21, 0x7F)))


def learn(guest):
    """The glyphs of the console's font, by a row that was just printed."""
    check(guest.command(f"echo {KEY}") == KEY, "echo changed the key row")
    glyphs = guest.screendump(until=lambda picture: picture.learn(KEY) is not None).learn(KEY)
    check(glyphs is not None, "the row that echo printed is not on the screen")
    return glyphs


def wait_for_row(guest, glyphs, wanted, timeout=60):
    """Looks at the screen until a row begins with `wanted`; the rows."""
    deadline = time.monotonic() + timeout * SLOW
    while True:
        rows = guest.screendump().text(glyphs)
        if any(row.startswith(wanted) for row in rows):
            return rows
        if time.monotonic() > deadline:
            raise Failure(f"no row begins with {wanted!r}:\n" + "\n".join(rows))
        guest.idle(0.25)


def wrapped(text, columns):
    """Lines as a screen of that width shows them."""
    for line in text.split("\n"):
        yield line[:columns].rstrip()
        while len(line) > columns:
            line = line[columns:]
            yield line[:columns].rstrip()


@test("screen-is-the-transcript")
def transcript(t):
    """What is on the screen is the end of what came over the serial line, also after much scrolling."""
    guest = t.boot(cmdline="video=1024x768")
    glyphs = learn(guest)
    shows_transcript(guest, glyphs)
    for number in range(100):
        guest.send(f"echo line {number} {'x' * (number % 7)}\r")
    guest.expect("\nline 99 ", timeout=120)
    guest.prompt()
    shows_transcript(guest, glyphs, full=True)


def shows_transcript(guest, glyphs, full=False, timeout=20):
    """Waits until the screen's rows are the last lines of the serial line, the prompt with the cursor at their end.

    The serial line is ahead of the screen, which is painted after a write and may be caught half painted.
    """
    deadline = time.monotonic() + timeout * SLOW
    while True:
        picture = guest.screendump()
        rows = picture.text(glyphs)
        while rows and not rows[-1]:
            rows.pop()
        *lines, last = wrapped(plain(guest.text), picture.columns)
        # Where the cursor stands no glyph is known.
        rows[-1:] = [rows[-1].rstrip("?_ ")] if rows else []
        expected = [*lines[len(lines) + 1 - len(rows):], last.rstrip()]
        if rows == expected and len(rows) > (picture.rows // 2 if full else 3):
            return
        if time.monotonic() > deadline:
            wrong = [f"{row!r} instead of {line!r}" for row, line in zip(rows, expected) if row != line]
            raise Failure(f"{len(rows)} rows are in use, {len(wrong)} are wrong: {'; '.join(wrong[:5])}")
        guest.idle(0.25)


@test("console-serial-only")
def serial_only(t):
    """console=ttyS0: the screen stays as it is."""
    guest = t.boot(cmdline="console=ttyS0")
    before = guest.screendump().pixels
    guest.command("help")
    check(guest.screendump().pixels == before, "the screen changed")


_font, _font_lock = {}, threading.Lock()


def font(t):
    """The console's glyphs, learnt from a machine with a serial line; the first test that asks boots it."""
    with _font_lock:
        if not _font:
            teacher = t.boot(cmdline="video=1024x768")
            _font.update(learn(teacher))
            teacher.kill()
    return _font


def wait_for_rows(guest, glyphs, are_right, timeout=120):
    """Looks at the screen, which may be half painted, until its rows are what they should be."""
    deadline = time.monotonic() + timeout * SLOW
    while not are_right(rows := guest.screendump().text(glyphs)):
        if time.monotonic() > deadline:
            raise Failure("the screen shows:\n" + "\n".join(rows))
        guest.idle(0.25)


@test("screen-shows-programs", smp=[1, 4])
def programs(t, smp):
    """What programs write on the console's line is on the screen as well, in its order; of very much, the end."""
    glyphs = font(t)
    shell = Shell(t, cmdline=f"console=tty0 video=1024x768 {SHELL}", smp=smp)
    shell.run("echo first; echo second")
    expected = [f"{PROMPT}echo first; echo second", "first", "second"]
    wait_for_rows(shell.guest, glyphs, lambda rows: any(rows[at:at + 3] == expected for at in range(len(rows))))
    # More than waits for the screen at a time.
    shell.run("seq 1 20000", timeout=120)

    def is_end(rows):
        numbers = [int(row) for row in rows if row.strip().isdigit()]
        return len(numbers) > 20 and numbers == list(range(20001 - len(numbers), 20001))

    wait_for_rows(shell.guest, glyphs, is_end)


@test("console-screen-only")
def screen_only(t):
    """console=tty0: everything is on the screen and nothing more on the serial line."""
    glyphs = font(t)
    guest = t.start(cmdline="console=tty0 video=1024x768")
    rows = wait_for_row(guest, glyphs, "sis>")
    check(any("] boot: " in row for row in rows), "the boot line is not on the screen")
    check("sis>" not in guest.text and "] boot: " not in guest.text, "the kernel speaks on the serial line")


@test("no-uart", machine=["q35", "pc"])
def no_uart(t, machine):
    """A machine without a serial port boots, says so, and shows its prompt on the screen."""
    glyphs = font(t)
    guest = t.start(cmdline="video=1024x768", serial=["none"], machine=machine)
    rows = wait_for_row(guest, glyphs, "sis>")
    check(any("ttyS0: no UART there" in row for row in rows), "the absent UART is not reported:\n" + "\n".join(rows))


@test("no-framebuffer")
def no_framebuffer(t):
    """A machine without a graphics adapter boots with the serial line alone."""
    guest = t.boot(vga="none")
    check("no framebuffer" in guest.boot_text, "the loader does not say that there is no framebuffer")
    check(guest.command("echo blind") == "blind", "no answer")
