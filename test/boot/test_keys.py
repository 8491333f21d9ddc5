"""A person at a terminal: Debian's busybox as its keys drive it, at the console and at a pseudo-terminal of the kernel's.

What is looked at is the screen (lib/vt.py). How a program comes to what stands there is its own affair.
"""

import re

from lib import programs
from lib.harness import Skip, check, test
from lib.shell import PROMPT, Seat, Shell
from tools import qemu

ROWS, COLUMNS = 24, 80
UP, DOWN, RIGHT, LEFT, HOME, END, DELETE = "\x1b[A", "\x1b[B", "\x1b[C", "\x1b[D", "\x1b[H", "\x1b[F", "\x1b[3~"
ESC, ENTER, TAB, BACKSPACE = "\x1b", "\r", "\t", "\x7f"


def ctrl(letter):
    return chr(ord(letter) & 31)


@test("shell-keys", cpu=["qemu64", "max"], machine=["q35", "pc"], smp=[1, 2, 4, 8], at=["console", "pty"])
def keys(t, cpu, machine, smp, at):
    sit(t, at, cpu=cpu, machine=machine, smp=smp)


@test("shell-keys-many", level="matrix", smp=[64, 288], at=["console", "pty"])
def keys_on_many_cpus(t, smp, at):
    if smp > 255 and qemu.qemu_version() < (9,):
        raise Skip("QEMU has no x2APIC mode under TCG before version 9")
    # As in shell-many.
    sit(t, at, timeout=1500, cpu="max,-monitor", smp=smp, mem="1G")


def sit(t, at, timeout=60, **machine):
    files = {f"bin/{name}": (programs.program(name), 0o755) for name in ("onpty", "together")}
    shell = Shell(t, files, term="vt100", size=f"rows {ROWS} cols {COLUMNS}", timeout=max(timeout, 120), **machine)
    seat = Seat(shell.guest, ROWS, COLUMNS, timeout)
    if at == "pty":
        before = seat.run("stty -g")
        seat.run("onpty sh")
        check(seat.run("tty; stty size") == ["/dev/pts/0", f"{ROWS} {COLUMNS}"], "this is no pseudo-terminal of that size")
    drive(seat)
    if at == "pty":
        # Its shell ends with the status of what it did last, and its master's other end sees all of it.
        check(seat.run("seq 3; exit 7") == ["1", "2", "3"], "the last words are lost")
        check(seat.run("echo $?; tty") == ["7", "/dev/console"], "this is not the shell that was there before")
        check(seat.run("stty -g") == before, "the console is not as it was before")
    check(not seat.screen.unknown, f"the screen does not know {seat.screen.unknown}")


def drive(seat):
    """All that is tried; the terminal is after each thing as it was before."""
    settings = seat.run("stty -g")
    for part in (lines, history, completion, given_up, documents, processes, jobs, threads, top, editor, editor_stopped, watch, pages):
        seat.clear()
        part(seat)
        check(seat.run("stty -g") == settings, f"{part.__name__} has left the terminal otherwise than it was")


def begin(seat, script):
    """Has a shell of its own do something, and waits until it does: before that, keys are the first shell's."""
    seat.type(f"sh -c '{script}'")
    seat.press(ENTER)
    seat.sees("beginning", lambda screen: screen.lines[screen.row - 1] == "begun" and (screen.line, screen.column) == ("", 0))


def stop(seat):
    """Presses ^Z, which is to stop the only job."""
    seat.leave(ctrl("z"))
    check("Stopped" in "".join(seat.run("jobs")), "^Z has stopped nothing")


def go_on(seat, how):
    """`fg` or `bg` for a job that says "on" then."""
    seat.clear()
    seat.type(how)
    seat.press(ENTER)
    seat.sees("the job going on", lambda screen: any(line in ("on", f"{PROMPT}on") for line in screen.lines[:screen.row]))


def lines(seat):
    """A line is edited where the cursor is."""
    seat.type("echo one three")
    seat.type("echo one three", column=9, keys=LEFT * 5)
    seat.type("echo one two three", column=13, keys="two ")
    seat.type("echo one two three", column=14, keys=RIGHT)
    check(seat.enter() == ["one two three"], "insertion")
    seat.type("cho home")
    for home, end in [(HOME, END), (ctrl("a"), ctrl("e"))]:
        seat.type("cho home", column=0, keys=home)
        seat.type("cho home", keys=end)
    seat.type("cho home", column=0, keys=HOME)
    seat.type("echo home", column=1, keys="e")
    seat.type("echo home", keys=END)
    seat.type("echo home end", keys=" end")
    check(seat.enter() == ["home end"], "home and end")
    seat.type("echo abx")
    seat.type("echo ab", keys=BACKSPACE)
    seat.type("echo abcd", keys="cd")
    seat.type("echo abcd", column=7, keys=LEFT * 2)
    seat.type("echo acd", column=6, keys=BACKSPACE)
    seat.type("echo ad", column=6, keys=DELETE)
    seat.type("echo a", column=6, keys=ctrl("d"))
    check(seat.enter() == ["a"], "backspace and delete")
    seat.type("all of this goes")
    seat.type("", keys=ctrl("u"))
    seat.type("echo kept wrong")
    seat.type("echo kept ", keys=ctrl("w"))
    seat.type("echo kept right", keys="right")
    seat.type("echo kept right", column=9, keys=LEFT * 6)
    seat.type("echo kept", keys=ctrl("k"))
    check(seat.enter() == ["kept"], "^U, ^W and ^K")
    # Longer than a row.
    words = "0123456789" * 9
    check("".join(seat.run(f"echo {words}")) == words, "a line of two rows")


def history(seat):
    """Lines that were typed come again, and are other lines then."""
    seat.run("echo first")
    seat.run("echo second")
    seat.type("echo second", keys=UP)
    seat.type("echo first", keys=UP)
    seat.type("echo second", keys=DOWN)
    seat.type("", keys=DOWN)
    seat.type("echo second", keys=ctrl("p"))
    seat.type("echo first", keys=ctrl("p"))
    seat.type("echo first time", keys=" time")
    check(seat.enter() == ["first time"], "a line of the history's")
    seat.type("echo first time", keys=UP)
    check(seat.enter() == ["first time"], "the history has not the line that was run")


def completion(seat):
    """Names of files and programs are finished by Tab."""
    check(seat.run("mkdir -p /tmp/place; echo found > /tmp/place/unmistakable; : > /tmp/place/other-1 > /tmp/place/other-2") == [], "files")
    seat.type("cat /tmp/pl")
    seat.type("cat /tmp/place/", keys=TAB)
    seat.type("cat /tmp/place/unmistakable ", keys="un" + TAB)
    check(seat.enter() == ["found"], "a name that Tab finished")
    seat.type("ls /tmp/place/o")
    seat.type("ls /tmp/place/other-", keys=TAB)
    # There are two; they are shown, and the line once more.
    seat.press(TAB)
    seat.sees("the two names", lambda screen: re.fullmatch(r"other-1 +other-2", screen.lines[screen.row - 1]) and screen.line == f"{PROMPT}ls /tmp/place/other-")
    seat.type("ls /tmp/place/other-2", keys="2")
    check(seat.enter() == ["/tmp/place/other-2"], "the other name")
    seat.type("hostn")
    seat.type("hostname ", keys=TAB)
    check(len(seat.enter()) == 1, "a program that Tab finished")


def given_up(seat):
    """A line that is given up by ^C; ^D on an empty one is the end."""
    seat.type("echo never")
    check(seat.enter(ctrl("c")) == [], "^C on a line")
    check(seat.run("echo $?") == ["130"], "^C on a line is not SIGINT to the shell")
    seat.run("sh")
    check(seat.run("inner=yes; echo $inner$outer") == ["yes"], "a shell within")
    check(seat.enter(ctrl("d")) == [], "^D")
    check(seat.run("echo $inner$?") == ["0"], "^D has not ended the shell within")
    # The same without an editor: the kernel's.
    begin(seat, "echo begun; exec cat > /tmp/typed")
    seat.press("wrong", "wrong")
    seat.press(ctrl("u"), "", 0)
    seat.press("one wrongx", "one wrongx")
    seat.press(BACKSPACE, "one wrong", 9)
    seat.press(ctrl("w"), "one", 4)
    seat.press("two", "one two")
    seat.press(ENTER, "", 0)
    check(seat.enter(ctrl("d")) == [], "^D")
    check(seat.run("cat /tmp/typed") == ["one two"], "the line that the kernel edited")
    begin(seat, "echo begun; exec cat")
    seat.press("half", "half")
    check(seat.enter(ctrl("c")) == [], "^C on half a line of the kernel's")
    check(seat.run("echo $?") == ["130"], "^C has not ended it by SIGINT")


def documents(seat):
    """A line that goes on on others, and pipes."""
    seat.type("cat <<X | tr a-z A-Z")
    for line in ("here is", "a $((6 * 7))", "document"):
        seat.press(ENTER, ">", 2)
        seat.press(line, f"> {line}")
    seat.press(ENTER, ">", 2)
    seat.press("Y", "> Y")
    seat.press(BACKSPACE + "X", "> X")
    check(seat.enter() == ["HERE IS", "A 42", "DOCUMENT"], "a here-document")
    seat.type("for i in 1 2")
    seat.press(ENTER, ">", 2)
    seat.press("do echo turn $i; done", "> do echo turn $i; done")
    check(seat.enter() == ["turn 1", "turn 2"], "a loop on two lines")
    check(seat.run("seq 1 1000 | sort -rn | sed -n '3p;5q'") == ["998"], "a pipe")
    check(seat.run("yes | head -n 2; echo $?") == ["y", "y", "0"], "a pipe whose reader ends")


def listed(seat, words):
    """What `ps` shows of the only process whose command ends in these words: its number and state."""
    rows = [line.split() for line in seat.run("ps -o pid,stat,args | grep -v '\\['") if line.endswith(words)]
    check(len(rows) == 1, f"`ps` shows {rows} for {words}")
    return int(rows[0][0]), rows[0][1]


def processes(seat):
    """`ps`, and `kill` by numbers of processes and of jobs."""
    header, first = seat.run("ps | head -n 2")
    check(header.split()[0] == "PID" and re.fullmatch(r" +1 root .*init", first), f"`ps` begins {header}, {first}")
    for seconds in (1001, 1002):
        seat.run(f"sleep {seconds} &")
        seat.run("until grep -q 'S (sleeping)' /proc/$!/status; do :; done")
    rows = sorted(line.split() for line in seat.run("jobs"))
    check(rows == [["[1]-", "Running", "sleep", "1001"], ["[2]+", "Running", "sleep", "1002"]], f"jobs: {rows}")
    pid, state = listed(seat, "sleep 1001")
    check(state == "S", f"it sleeps in state {state}")
    check("Terminated" in "".join(seat.run(f"kill {pid}; wait {pid}; echo $?")), "kill by number")
    check("Terminated" in "".join(seat.run("kill -0 %2 && kill %2; wait; echo over")), "kill by job")
    check(seat.run("jobs; ps | grep 'sleep 100[12]'") == [], "kill has ended nothing")


def stopped(seat):
    """Presses ^Z, and looks whether a job is stopped."""
    seat.leave(ctrl("z"))
    check("Stopped" in "".join(seat.run("jobs")), "^Z has stopped nothing")


def to_front(seat):
    """`fg`, which says whom."""
    seat.clear()
    seat.type("fg")
    seat.press(ENTER)
    seat.sees("the job's name", lambda screen: screen.lines[2:3] != [""] and (screen.row, screen.column) == (3, 0))


def echoed(seat, line):
    """Types a line to `cat`."""
    seat.press(line, line)
    seat.press(ENTER)
    seat.sees("the line twice", lambda screen: screen.lines[screen.row - 2:screen.row] == [line, line] and (screen.line, screen.column) == ("", 0))


def jobs(seat):
    """^C, ^Z, ^\\, `fg`, `bg`; and who reads what is typed."""
    begin(seat, "echo begun; sleep 1003")
    check(seat.enter(ctrl("c")) == [], "^C on a sleeper")
    check(seat.run("echo $?") == ["130"], "^C has not ended it by SIGINT")
    loop = "while :; do :; done"
    begin(seat, f"trap \"echo on\" CONT; echo begun; {loop}")
    stop(seat)
    check(listed(seat, loop)[1] == "T", "`ps` does not show it as stopped")
    go_on(seat, "bg")
    seat.enter()
    check(listed(seat, loop)[1] == "R", "`bg` has not let it go on")
    go_on(seat, "fg")
    check(seat.enter(ctrl("c")) == [], "^C on a loop")
    check(seat.run("echo $?") == ["130"], "^C has not ended a loop by SIGINT")
    # A shell would not care.
    begin(seat, "echo begun; exec sleep 1004")
    seat.enter(ctrl("\\"))
    check(seat.run("echo $?") == ["131"], "^\\ has not ended it by SIGQUIT")
    # What is typed is the foreground's; half a line that was typed when ^Z comes is nobody's.
    begin(seat, "echo begun; exec cat")
    echoed(seat, "one")
    seat.press("two", "two")
    stop(seat)
    check(seat.run("echo to the shell") == ["to the shell"], "the shell has not its terminal")
    to_front(seat)
    echoed(seat, "three")
    seat.leave(ctrl("d"))
    # In the background nobody reads.
    seat.run("cat &")
    seat.run("until grep -q T /proc/$!/stat; do :; done")
    check("Stopped" in "".join(seat.run("jobs")), "it reads in the background")
    to_front(seat)
    echoed(seat, "four")
    seat.leave(ctrl("c"))


def threads(seat):
    """A process of two threads, the second of which waits for a line, is stopped and goes on as one."""

    def reads(line):
        seat.press(line, line)
        seat.press(ENTER)
        seat.sees("the line read", lambda screen: screen.lines[screen.row - 1] == f"got {line}" and (screen.line, screen.column) == ("", 0))

    begin(seat, "exec together reads")
    reads("one")
    stop(seat)
    stopped = "until [ $(cat /proc/$(pidof together)/task/*/stat | grep -c ') T') = 2 ]; do :; done"
    seat.run(stopped)
    check(seat.run("echo to the shell") == ["to the shell"], "a stopped thread reads what the shell is told")
    to_front(seat)
    reads("two")
    check(seat.enter(ctrl("c")) == [], "^C")
    check(seat.run("echo $?") == ["130"], "^C has not ended it by SIGINT")
    # In the background its thread may not read; that stops both.
    seat.run("together reads &")
    seat.run(stopped)
    seat.clear()
    seat.type("fg")
    seat.press(ENTER)
    seat.sees("the beginning", lambda screen: screen.lines[2:4] == ["together reads", "begun"] and (screen.row, screen.column) == (4, 0))
    reads("three")
    check(seat.enter(ctrl("c")) == [], "^C")


def top(seat):
    """The list of processes, on the screen and renewed; a key that it has; `q` leaves it."""
    # What is seen at a time is one of these; later it is another.
    seat.run("(while :; do i=$((i+1)); sleep 0.$i; done) &")
    seat.type("top -d 1")
    seat.press(ENTER)

    def head(screen):
        return screen.lines[0].startswith("Mem:") and any(re.match(r" +PID +PPID +USER +STAT .*COMMAND", line) for line in screen.lines)

    seat.sees("top's head", head)
    # By memory: threads of the kernel's have none.
    seat.press("M")
    seen = set()
    for _ in range(3):
        seen |= seat.sees("another sleeper", lambda screen: head(screen) and set(re.findall(r"sleep 0\.\d+", str(screen))) - seen)
    seat.leave("q")
    seat.run("kill %1; wait")


def editor(seat):
    """`vi`: a new file is written, gone through, changed, kept; and another change is not."""

    def shows(what, row, column, *lines):
        seat.sees(what, lambda screen: (screen.row, screen.column) == (row, column) and screen.lines[:len(lines)] == list(lines))

    seat.type("vi /tmp/poem")
    seat.press(ENTER)
    shows("an empty file", 0, 0, "", "~", "~")
    seat.press("ifirst line\rsecond line\rthird lime")
    shows("what was typed", 2, 10, "first line", "second line", "third lime", "~")
    seat.press(ESC)
    shows("the cursor on the last character", 2, 9)
    for key, row, column in [("h", 2, 8), (LEFT, 2, 7), ("l", 2, 8), ("rn", 2, 8), (UP, 1, 8), ("k", 0, 8), ("0", 0, 0), (RIGHT, 0, 1), ("j", 1, 1), (DOWN, 2, 1), ("k", 1, 1)]:
        seat.press(key)
        shows(f"the cursor after {key!r}", row, column)
    seat.press("dd")
    shows("a line less", 1, 0, "first line", "third line", "~")
    seat.press("u")
    shows("the line again", 1, 0, "first line", "second line", "third line", "~")
    seat.press("dd")
    shows("a line less", 1, 0, "first line", "third line", "~")
    seat.press("Oin between")
    shows("a line more", 1, 10, "first line", "in between", "third line", "~")
    seat.press(ESC)
    shows("the line", 1, 9)
    seat.press(":wq")
    seat.sees("the command", lambda screen: screen.line == ":wq")
    seat.leave(ENTER)
    check(seat.run("cat /tmp/poem") == ["first line", "in between", "third line"], "not what was written")
    # A change that is given up.
    seat.type("vi /tmp/poem")
    seat.press(ENTER)
    shows("the file", 0, 0, "first line", "in between", "third line", "~")
    seat.press("x")
    shows("a character less", 0, 0, "irst line")
    seat.press(":q" + ENTER)
    seat.sees("a refusal", lambda screen: "No write since last change" in screen.lines[-1] and screen.lines[0] == "irst line")
    seat.press("ityped")
    shows("text", 0, 5, "typedirst line")
    seat.press(ctrl("c"))
    seat.press("j")
    shows("the second line after ^C", 1, 0, "typedirst line", "in between")
    seat.leave(":q!" + ENTER)
    check(seat.run("cat /tmp/poem") == ["first line", "in between", "third line"], "a change was kept that was given up")


def editor_stopped(seat):
    """`vi` and `less` are stopped by ^Z, which gives the shell its terminal back, and come back by `fg`."""
    text = [f"line {n}" for n in range(1, 9)]
    seat.run("seq 8 | sed 's/^/line /' > /tmp/text")
    seat.type("vi /tmp/text")
    seat.press(ENTER)
    seat.sees("the file", lambda screen: screen.lines[:9] == [*text, "~"])
    seat.press("dd")
    seat.sees("a line less", lambda screen: screen.lines[:8] == [*text[1:], "~"])
    stop(seat)
    check(seat.run("wc -l < /tmp/text") == ["8"], "the shell has not its terminal")
    seat.clear()
    seat.type("fg")
    seat.press(ENTER)
    seat.sees("the file again", lambda screen: screen.lines[:8] == [*text[1:], "~"])
    seat.press("dd")
    seat.sees("another line less", lambda screen: screen.lines[:7] == [*text[2:], "~"])
    seat.leave(":x" + ENTER)
    check(seat.run("cat /tmp/text") == text[2:], "not what was written")


def watch(seat):
    """`watch` runs a command again and again, and ^C ends it."""
    # The turn is told of when watch has taken notice of the command's end. While that runs it is deaf to ^C, as system() makes it.
    seat.run("echo 'echo turn >> /tmp/turns; (while kill -0 $$; do :; done 2>/dev/null; wc -l < /tmp/turns) &' > /tmp/turn")
    seat.type("watch -n 1 sh /tmp/turn")
    seat.press(ENTER)
    turn = 0

    def next_turn(screen):
        return screen.lines[0].startswith("Every 1") and screen.lines[2].isdigit() and int(screen.lines[2]) > turn and int(screen.lines[2])

    def ended(screen):
        return screen.line == PROMPT.rstrip() and screen.column == len(PROMPT)

    while turn < 3:
        turn = seat.sees("another turn", next_turn)
    # Unless it was too late for that turn.
    while True:
        seat.press(ctrl("c"))
        seat.sees("the end or another turn", lambda screen: ended(screen) or next_turn(screen))
        if ended(seat.screen):
            break
        turn = next_turn(seat.screen)
        check(turn < 30, "^C does not end it")


def pages(seat):
    """`less` and `more`: a file by pages."""
    seat.run("seq 200 > /tmp/numbers")
    page = ROWS - 1

    def shows(what, first, holds=lambda screen: True):
        wanted = [str(n) for n in range(first, first + page)]
        seat.sees(what, lambda screen: screen.lines[:page] == wanted and holds(screen))

    seat.type("less /tmp/numbers")
    seat.press(ENTER)
    shows("the first page", 1)
    seat.press(" ")
    shows("the second page", 1 + page)
    seat.press(UP)
    shows("a line back", page)
    seat.press("G")
    seat.sees("the end", lambda screen: "200" in screen.lines and screen.line == "(END)")
    seat.press("g")
    shows("the beginning", 1)
    seat.press("/77")
    seat.sees("what is looked for", lambda screen: screen.line == "/77")
    seat.press(ENTER)
    shows("what was found", 77)
    seat.leave("q")
    seat.type("more /tmp/numbers")
    seat.press(ENTER)
    seat.sees("the first page", lambda screen: screen.line.startswith("--More--"))
    seat.press(" ")
    seat.sees("the second page", lambda screen: screen.line.startswith("--More--") and str(page + 10) in screen.lines)
    seat.leave("q")
