"""A guest that runs Debian's static busybox and bash from the initramfs, at the shell's prompt.

The prompt is one that cannot be mistaken for anything else. A command is over when the prompt comes again; what it printed
is what stands between.
"""

from lib.guest import plain
from lib.harness import Context, Skip, check
from lib.vt import Screen
from tools import initramfs

PROMPT = "@@> "
# What is not there is told of in the log, between what programs print.
SHELL = "console=ttyS0 loglevel=3 initrd=initramfs.img"
# Not to the first row: busybox asks where the cursor is, and there the answer, ESC [ 1 ; 5 R, begins as ctrl-right does; so it
# takes the next key for a part of it.
CLEAR = "clear; echo"


class Shell:
    """A guest at the shell's prompt."""

    def __init__(self, t, more=None, cmdline=SHELL, program="/bin/sh", timeout=120, term="dumb", size="cols 500", start=Context.start, **machine):
        busybox, bash = initramfs.programs()
        if busybox is None or bash is None:
            raise Skip("no static busybox and bash here, and none to be fetched")
        # No greeting, no profile, no colours: a shell and nothing else.
        init = f"#!/bin/sh\nexport PATH=/bin:/sbin:/usr/bin:/usr/sbin PS1='{PROMPT}' TERM={term} HOME=/root\nstty {size}\ncd /root\n{program}\nexit $?\n"
        files = {"init": (init.encode(), 0o755)} | (more or {})
        image = initramfs.make(busybox, bash, files)
        self.guest = start(t, {"initramfs.img": image}, cmdline, **machine)
        self.timeout = timeout
        self.guest.expect(PROMPT, timeout)

    def run(self, line, timeout=None):
        """What a command prints."""
        self.guest.send(line + "\n")
        # The line is echoed; then comes what it prints, then the prompt.
        return self.answer(timeout).partition("\n")[2]

    def answer(self, timeout=None):
        start = self.guest.at
        match = self.guest.expect(PROMPT, timeout or self.timeout)
        return plain(self.guest.text[start:match.start()])

    def answer_and(self, marker):
        """The same, when something else says `marker` too, before the prompt or after it."""
        start = self.guest.at
        said = self.answer()
        prompt, self.guest.at = self.guest.at, start
        self.guest.expect(marker, self.timeout)
        self.guest.at = max(self.guest.at, prompt)
        return said

    def start(self, line, marker):
        """Begins a command that does not end by itself; `marker` is what it prints when it has begun."""
        self.guest.send(line + "\n")
        self.guest.expect(marker, self.timeout)


class Seat:
    """In front of a terminal that is at the guest's line: keys are pressed, and what is on the screen is looked at.

    The guest stands at a prompt, which the screen begins with.
    """

    def __init__(self, guest, rows, columns, timeout=60):
        self.guest, self.timeout = guest, timeout
        self.screen = Screen(rows, columns)
        self._seen = guest.at
        self.screen.feed("\r\n" + PROMPT)

    def look(self):
        """The screen with all that has come; what the terminal has to answer is answered."""
        text, self._seen = self.guest.text[self._seen:], len(self.guest.text)
        if answer := self.screen.feed(text):
            self.guest.send(answer)
        return self.screen

    def sees(self, what, holds, timeout=None):
        """Waits for a screen of which `holds` holds; `what` names it. What is held of it, which is not nothing."""
        found = None

        def look():
            nonlocal found
            found = holds(self.look())
            return found

        self.guest.until(look, timeout or self.timeout, what, lambda: f"; on the screen is\n{self.screen}\n")
        return found

    def press(self, keys, line=None, column=None):
        """Presses keys, and waits until the cursor's line, and its column in that if one is given, are such."""
        self.guest.send(keys)
        if line is not None:
            self.sees(f"line {line!r}, column {column}", lambda screen: screen.line == line and column in (None, screen.column))

    def type(self, text, column=None, keys=None):
        """Presses keys, `text` if none are given, with which the line that the shell is to be given becomes `text`.

        The cursor is to be behind it, or at `column` of it.
        """
        row, column = divmod(len(PROMPT) + (len(text) if column is None else column), self.screen.columns)
        shown = f"{PROMPT}{text}"[row * self.screen.columns:(row + 1) * self.screen.columns]
        self.press(text if keys is None else keys, shown.rstrip(), column)

    def enter(self, keys="\r", timeout=None):
        """Ends the line that was typed; the lines that are printed until there is a prompt again."""
        screen = self.look()
        start = screen.scrolled + screen.row
        # An empty line's prompt is not yet the next one.
        least = start + (screen.line == PROMPT.rstrip())
        self.guest.send(keys)

        def prompted(screen):
            return screen.scrolled + screen.row >= least and screen.line == PROMPT.rstrip() and screen.column == len(PROMPT)

        self.sees("prompt", prompted, timeout)
        first = start + 1 - screen.scrolled
        check(first >= 0, f"more was printed than the screen has rows:\n{screen}")
        return screen.lines[first:screen.row]

    def leave(self, keys):
        """Presses keys with which a program that has the screen ends; the prompt is wherever it may be."""
        self.press(keys, PROMPT.rstrip(), len(PROMPT))

    def run(self, line, timeout=None):
        """Types a line and Enter; the lines that are printed."""
        self.type(line)
        return self.enter(timeout=timeout)

    def clear(self):
        """Has nothing on the screen but the prompt."""
        self.type(CLEAR)
        self.guest.send("\r")
        wanted = ["", PROMPT.rstrip()] + [""] * (self.screen.rows - 2)
        self.sees("empty screen", lambda screen: screen.lines == wanted and screen.column == len(PROMPT))
