"""A machine under test: QEMU started, its serial line read, its QMP events recorded.

`Guest` is what every boot test talks to. tools/qemu.py alone knows how a QEMU command line looks; this file adds
the wires: the serial line is a pair of pipes, QMP a socket that *we* listen on, both there before QEMU starts, so
that there is nothing to wait for and no first byte to lose. QEMU starts stopped and runs once QMP's events are on, for the same reason.

Nothing here sleeps. Every wait is a poll() over the sockets and the process with a deadline, and every deadline is
generous and stretched by SIS_TEST_SLOW (a factor). One thread uses one Guest.
"""

import codecs
import dataclasses
import json
import os
import re
import selectors
import shlex
import shutil
import socket
import subprocess
import tempfile
import time

from tools import qemu

SLOW = float(os.environ.get("SIS_TEST_SLOW", "1"))
BOOT_TIMEOUT = 60
REPLY_TIMEOUT = 20
PROMPT = "sis> "
# At the start of a line: the line editor may print the prompt again in the middle of one.
PROMPT_RE = re.compile(r"(?:\A|\n)(?:\r|\x1b\[[0-9;]*[A-Za-z])*" + PROMPT)
ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[()][0-9A-B]|[=>78cDEHM])")


class Failure(Exception):
    """The guest did not do what the test expects."""


def plain(text):
    """Serial text as a person reads it: without escape sequences and carriage returns."""
    return ESCAPES.sub("", text).replace("\r", "")


class Pipes:
    """The serial line, as QEMU's chardev "pipe": one FIFO each way, with the calls of a socket that are used here.

    Not a socket: the UART hands over single bytes, a Unix socket takes fewer than 300 of those before it is full,
    and firmware gives up on a UART that is not ready for a second. A busy machine can leave us unscheduled that
    long. A pipe takes 64 KiB.
    """

    def __init__(self, path):
        for suffix in (".in", ".out"):
            os.mkfifo(f"{path}{suffix}")
        # Read and write on the guest's input, so that opening it needs no reader yet.
        self._to_guest = os.open(f"{path}.in", os.O_RDWR | os.O_NONBLOCK)
        self._from_guest = os.open(f"{path}.out", os.O_RDONLY | os.O_NONBLOCK)

    def fileno(self):
        return self._from_guest

    def recv(self, count):
        return os.read(self._from_guest, count)

    def send(self, data):
        return os.write(self._to_guest, data)

    def close(self):
        os.close(self._to_guest)
        os.close(self._from_guest)


class Guest:
    """One run of QEMU. `directory` receives serial.log and cpu_reset.log."""

    _running = set()  # for an interrupt: QEMU is in a session of its own and does not see the terminal's

    def __init__(self, machine, directory, number=0):
        self.machine, self.directory = machine, directory
        suffix = "" if number == 0 else f".{number}"
        self.serial_log = directory / f"serial{suffix}.log"
        self.reset_log = directory / f"cpu_reset{suffix}.log"
        self.text = ""  # all that came over the serial line
        self.at = 0  # expect() looks from here on
        self.events = []  # QMP events as QEMU sent them
        self.status = None  # QEMU's exit status, once known
        self.stderr = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._replies, self._qmp_buffer, self._closing = [], b"", False
        self._selector = selectors.DefaultSelector()
        self._sockets = {}
        self._start()

    # ---- starting and stopping -----------------------------------------------------------------------------------

    def _start(self):
        # Socket paths are limited to 107 bytes, and the checkout may lie deeper than that.
        self._folder = tempfile.mkdtemp(prefix="sis-", dir="/tmp")
        listeners, cfg = {}, self.machine
        try:
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(f"{self._folder}/qmp")
            listener.listen(1)
            listener.settimeout(30 * SLOW)
            listeners["qmp"] = listener
            if cfg.serial == ["test"]:
                cfg = dataclasses.replace(cfg, serial=[f"pipe:{self._folder}/serial"])
                self._sockets["serial"] = Pipes(f"{self._folder}/serial")
            cfg = dataclasses.replace(cfg, stopped=True, log="cpu_reset", log_file=self.reset_log,
                           extra=[*cfg.extra, "-qmp", f"unix:{self._folder}/qmp"])
            self._log = open(self.serial_log, "wb")
            self._errors = tempfile.TemporaryFile()
            self.process = subprocess.Popen(qemu.command(cfg), stdin=subprocess.DEVNULL, stdout=self._errors,
                                            stderr=self._errors, start_new_session=True)
            Guest._running.add(self.process)
            for name, listener in listeners.items():
                self._sockets[name] = self._accept(listener)
                self._sockets[name].setblocking(False)
            for name, wire in self._sockets.items():
                self._selector.register(wire, selectors.EVENT_READ, name)
        finally:
            for listener in listeners.values():
                listener.close()
        self._pump_until(lambda: self._replies, 30, "QMP's greeting")
        self._replies.clear()
        self.qmp("qmp_capabilities")
        self.started = time.monotonic()
        self.qmp("cont")

    def _accept(self, listener):
        """QEMU's connection; a QEMU that ended instead has said why."""
        deadline = time.monotonic() + 30 * SLOW
        pidfd = os.pidfd_open(self.process.pid)
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(listener, selectors.EVENT_READ, "connection")
                selector.register(pidfd, selectors.EVENT_READ, "end")
                ready = [key.data for key, _ in selector.select(deadline - time.monotonic())]
        finally:
            os.close(pidfd)
        if "connection" not in ready:
            if not ready:
                self.process.kill()
            self._ended()
            raise Failure(f"QEMU did not start (status {self.status}): {self.stderr.strip()}")
        return listener.accept()[0]

    def _ended(self):
        if self.status is None:
            self.status = self.process.wait()
            self._errors.seek(0)
            self.stderr = self._errors.read().decode(errors="replace")

    @classmethod
    def kill_all(cls):
        """Ends every QEMU of this process; the tests that own them fail."""
        for process in list(cls._running):
            process.kill()

    def kill(self):
        """Ends QEMU, if it still runs, and frees what it held; safe to call twice."""
        if self._closing:
            return
        self._closing = True
        if getattr(self, "process", None):
            if self.process.poll() is None:
                self.process.kill()
            self._ended()
            Guest._running.discard(self.process)
        for sock in self._sockets.values():
            sock.close()
        self._selector.close()
        if getattr(self, "_log", None):
            self._log.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def by_hand(self):
        """The command that shows the same on a terminal."""
        words, machine = [], self.machine
        if machine.serial == ["test"]:
            machine = dataclasses.replace(machine, serial=["mon:stdio"])
        for word in qemu.command(machine):
            words.append(shlex.quote(word))
        return " ".join(words)

    # ---- the wires -----------------------------------------------------------------------------------------------

    def _pump(self, seconds):
        """Waits up to `seconds` for something and takes it in. False if there is nothing left to come."""
        if not self._selector.get_map():
            return False
        for key, _ in self._selector.select(max(0, seconds)):
            try:
                data = key.fileobj.recv(65536)
            except BlockingIOError:
                continue
            except ConnectionResetError:
                data = b""
            if not data:
                self._selector.unregister(key.fileobj)
            elif key.data == "serial":
                self._log.write(data)
                self._log.flush()
                self.text += self._decoder.decode(data)
            else:
                self._take_qmp(data)
        return True

    def _take_qmp(self, data):
        *lines, self._qmp_buffer = (self._qmp_buffer + data).split(b"\n")
        for line in filter(None, map(bytes.strip, lines)):
            message = json.loads(line)
            if "event" in message:
                message["serial_at"] = len(self.text)
                self.events.append(message)
            else:
                self._replies.append(message)

    def _pump_until(self, done, seconds, what, read=lambda: ""):
        """Until `done()`; a failure names `what`, and what `read()` says by then."""
        deadline = time.monotonic() + seconds * SLOW
        while not done():
            left = deadline - time.monotonic()
            if left <= 0:
                raise Failure(f"no {what}{read()} within {seconds * SLOW:g} s")
            if not self._pump(left) and not done():
                self._ended()
                raise Failure(f"QEMU ended (status {self.status}) before {what}{read()}; {self.why_ended()}")

    def until(self, done, timeout, what, read=lambda: ""):
        """Takes in what comes until `done()`; a failure names `what`, and what `read()` says by then."""
        self._pump_until(done, timeout, what, read)

    def _send(self, name, data):
        """Writes all of `data`, and reads meanwhile: a guest that is writing may not read."""
        sock, deadline = self._sockets[name], time.monotonic() + REPLY_TIMEOUT * SLOW
        view = memoryview(data)
        while view:
            try:
                view = view[sock.send(view):]
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise Failure(f"the guest does not read its {name} line") from None
                with selectors.DefaultSelector() as selector:
                    selector.register(sock, selectors.EVENT_WRITE | selectors.EVENT_READ)
                    selector.select(1)
                self._pump(0)
            except (BrokenPipeError, ConnectionResetError):
                self._pump_until(lambda: False, REPLY_TIMEOUT, f"it took {bytes(view[:40])!r}")

    # ---- the serial line -----------------------------------------------------------------------------------------

    def expect(self, pattern, timeout=REPLY_TIMEOUT, start=None):
        """Waits until `pattern` (a string, or a compiled regex) has come after what was last found.

        Returns the match; the next call looks behind it.
        """
        regex = re.compile(re.escape(pattern)) if isinstance(pattern, str) else pattern
        found = None
        at = self.at if start is None else start

        def seen():
            nonlocal found
            found = regex.search(self.text, at)
            return found

        self._pump_until(seen, timeout, f"{regex.pattern!r} on the serial line",
                         lambda: f" (read so far: {self.tail(at)!r})")
        self.at = found.end()
        return found

    def tail(self, at=None, length=300):
        """The end of what came since `at`, for messages."""
        return plain(self.text[self.at if at is None else at:])[-length:]

    def send(self, text):
        """Types `text`; Enter is CR."""
        self._send("serial", text.encode() if isinstance(text, str) else text)

    def prompt(self, timeout=BOOT_TIMEOUT):
        """Waits for the monitor's prompt; what came before it, plain."""
        start = self.at
        match = self.expect(PROMPT_RE, timeout)
        return plain(self.text[start:match.start()])

    def command(self, line, timeout=REPLY_TIMEOUT, enter="\r"):
        """Types a line and Enter at the prompt; what it printed, plain, without the echoed line."""
        self.send(line + enter)
        self.expect("\n", timeout)
        self.at -= 1  # the prompt of a silent command follows this very line feed
        return self.prompt(timeout).strip("\n")

    def idle(self, seconds):
        """Lets time pass between two looks at something that sends no event, taking in what comes."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0 and self._pump(left):
            pass

    def quiet(self, seconds=1):
        """True if nothing comes over the serial line for so long."""
        length, deadline = len(self.text), time.monotonic() + seconds
        while time.monotonic() < deadline and self._pump(deadline - time.monotonic()):
            if len(self.text) != length:
                return False
        return True

    # ---- QMP -----------------------------------------------------------------------------------------------------

    def qmp(self, execute, **arguments):
        """Runs a QMP command; its return value. QEMU's refusal is a Failure."""
        message = {"execute": execute} | ({"arguments": arguments} if arguments else {})
        self._replies.clear()
        self._send("qmp", json.dumps(message).encode() + b"\n")
        self._pump_until(lambda: self._replies, REPLY_TIMEOUT, f"QMP's answer to {execute}")
        reply = self._replies.pop(0)
        if "error" in reply:
            raise Failure(f"QMP {execute}: {reply['error'].get('desc')}")
        return reply["return"]

    def screendump(self, until=None):
        """The picture on the guest's screen; with `until`, the first of which that holds (or the last one, when the
        time is over). The kernel paints when it has nothing else to do: text is on the serial line earlier."""
        from lib.screen import Picture

        path = self.directory / "screen.ppm"
        deadline = time.monotonic() + REPLY_TIMEOUT * SLOW
        while True:
            self.qmp("screendump", filename=str(path))
            picture = Picture.from_ppm(path.read_bytes())
            if until is None or until(picture) or time.monotonic() > deadline:
                return picture
            self.idle(0.05)

    def press(self, *keys):
        """Presses keys on the emulated keyboard, by QEMU's names (`ret`, `a`), one after the other."""
        for key in keys:
            self.qmp("send-key", keys=[{"type": "qcode", "data": key}])

    # ---- the end -------------------------------------------------------------------------------------------------

    def wait_exit(self, timeout=REPLY_TIMEOUT):
        """Waits until QEMU has ended; its status."""
        deadline = time.monotonic() + timeout * SLOW
        while self._selector.get_map():
            left = deadline - time.monotonic()
            if left <= 0:
                raise Failure(f"QEMU still runs after {timeout * SLOW:g} s (read so far: {self.tail()!r})")
            self._pump(left)
        self._ended()
        return self.status

    def shutdown_reason(self):
        """Why QEMU ended, in QMP's words: guest-reset, guest-shutdown, guest-panic, ...; None if it did not say."""
        reasons = [event["data"]["reason"] for event in self.events if event["event"] == "SHUTDOWN"]
        return reasons[-1] if reasons else None

    def why_ended(self):
        return f"QMP's reason: {self.shutdown_reason()}; {self.stderr.strip() or 'QEMU printed nothing'}"

    def resets(self):
        """QMP's RESET events: a machine that starts over, which nothing here should do unasked."""
        return [event for event in self.events if event["event"] == "RESET"]

    def triple_fault(self):
        """Whether QEMU saw a triple fault. The log is complete only once QEMU has ended."""
        try:
            return b"Triple fault" in self.reset_log.read_bytes()
        except FileNotFoundError:
            return False

