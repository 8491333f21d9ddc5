"""The language of test/data/tty: names of settings and signals, and bytes as text."""

import errno
import itertools
import re
import signal
import termios

IFLAG, OFLAG, CFLAG, LFLAG, CC = 0, 1, 2, 3, 6
FLAGS = {name.lower(): (IFLAG, getattr(termios, name)) for name in
         "IGNBRK BRKINT IGNPAR PARMRK INPCK ISTRIP INLCR IGNCR ICRNL IXON IXANY IXOFF IMAXBEL".split()}
FLAGS |= {"iuclc": (IFLAG, 0o1000), "iutf8": (IFLAG, 0o40000)}
FLAGS |= {name.lower(): (OFLAG, getattr(termios, name)) for name in "OPOST ONLCR OCRNL ONOCR ONLRET OFILL".split()}
FLAGS |= {"olcuc": (OFLAG, 2), "tab3": (OFLAG, 0o14000)}
FLAGS |= {name.lower(): (LFLAG, getattr(termios, name)) for name in
          "ISIG ICANON ECHO ECHOE ECHOK ECHONL NOFLSH TOSTOP ECHOCTL ECHOPRT ECHOKE IEXTEN".split()}
FLAGS |= {"extproc": (LFLAG, 0o200000), "cstopb": (CFLAG, termios.CSTOPB), "parenb": (CFLAG, termios.PARENB)}
CHARS = {name.lower(): getattr(termios, "V" + name) for name in
         "INTR QUIT ERASE KILL EOF TIME MIN START STOP SUSP EOL REPRINT DISCARD WERASE LNEXT EOL2".split()}
RAW = "-ignbrk -brkint -parmrk -istrip -inlcr -igncr -icrnl -ixon -opost -echo -echonl -icanon -isig -iexten".split()
SIGNALS = {f"SIG{name}": getattr(signal, f"SIG{name}") for name in "INT QUIT TSTP HUP CONT WINCH TTIN TTOU".split()}
HELD = [signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP, signal.SIGHUP, signal.SIGCONT, signal.SIGWINCH]
ESCAPES = {"n": b"\n", "r": b"\r", "t": b"\t", "b": b"\b", "a": b"\a", "e": b"\x1b", "\\": b"\\", '"': b'"'}


def parse_bytes(text):
    """`"abc\\n" 300*"x"`: strings, with a number of times before them."""
    data = b""
    for times, body in re.findall(r'(?:(\d+)\*)?"((?:[^"\\]|\\.)*)"', text):
        piece, at = b"", 0
        while at < len(body):
            if body[at] != "\\":
                piece += body[at].encode()
                at += 1
            elif body[at + 1] == "x":
                piece += bytes([int(body[at + 2:at + 4], 16)])
                at += 4
            else:
                piece += ESCAPES[body[at + 1]]
                at += 2
        data += piece * int(times or 1)
    return data


def show_byte(byte):
    named = {value[0]: "\\" + key for key, value in ESCAPES.items() if key != "e"}
    return named.get(byte) or (chr(byte) if 32 <= byte < 127 else f"\\x{byte:02x}")


def show_bytes(data):
    """The same the other way; runs of 16 and more are counted."""
    parts, plain = [], ""
    for byte, run in itertools.groupby(data):
        count = len(list(run))
        if count < 16:
            plain += show_byte(byte) * count
            continue
        parts += [f'"{plain}"'] if plain else []
        parts.append(f'{count}*"{show_byte(byte)}"')
        plain = ""
    return " ".join(parts + ([f'"{plain}"'] if plain or not parts else []))


def parse_char(text):
    if text == "off":
        return b"\0"
    if text.startswith("^") and len(text) == 2:
        return bytes([127 if text[1] == "?" else ord(text[1]) & 31])
    return bytes([int(text, 16)]) if len(text) == 2 else text.encode()


def error(number):
    return errno.errorcode[number]
