"""A terminal as programs take it for granted, a VT102 in short: bytes make a screen, and some of them ask for an answer.

What a full-screen program shows is judged by what stands on the screen in the end, not by the bytes that made it: how it
redraws is its own affair. `feed` returns what the terminal has to say to what it was told, which somebody must type. What it does
not know is kept in `unknown`: a screen that was made with such is not to be trusted.

Sources: DEC's VT102 User Guide, chapter 5; ECMA-48; for the columns' edge and ?1049 xterm's ctlseqs.
"""

import re

SEQUENCE = re.compile(r"\x1b(?:\[(?P<private>[?>]?)(?P<numbers>[0-9;]*)(?P<final>[@-~])|[()][0-9A-B]|(?P<short>[78=>cDEHM]))")
# The beginning of one, of which the rest is to come.
BEGUN = re.compile(r"\x1b(?:\[[?>]?[0-9;]*|[()])?\Z")
# Modes whose setting changes nothing that this screen has: the keypad's, the cursor's looks, pasting.
IGNORED_MODES = {"1", "12", "25", "2004"}


class Screen:
    """`columns` by `rows` of characters, each with a cursor somewhere; attributes are not kept."""

    def __init__(self, rows=24, columns=80):
        self.rows, self.columns = rows, columns
        self.unknown = set()
        # How many rows have left the screen at its top.
        self.scrolled = 0
        self._rest = ""
        self._reset()

    def _reset(self):
        self.cells = self._blank()
        self.row = self.column = 0
        self._saved, self._other = (0, 0), None
        self._top, self._bottom = 0, self.rows - 1
        # The last column was written to: the next character goes to the next row, but the cursor is still here.
        self._full = False

    def _blank(self):
        return [[" "] * self.columns for _ in range(self.rows)]

    @property
    def lines(self):
        """The rows as text, without what is blank at their ends."""
        return ["".join(row).rstrip() for row in self.cells]

    @property
    def line(self):
        """The row that the cursor is in."""
        return self.lines[self.row]

    def __str__(self):
        shown = self.lines
        shown[self.row] += f"  <- {self.column}"
        return "\n".join(shown).rstrip()

    def feed(self, text):
        """Takes in what a program wrote, in pieces of any size; returns what the terminal answers."""
        text, answers, at = self._rest + text, [], 0
        self._rest = ""
        while at < len(text):
            if text[at] != "\x1b":
                self._character(text[at])
                at += 1
            elif found := SEQUENCE.match(text, at):
                answers.append(self._sequence(found) or "")
                at = found.end()
            elif BEGUN.match(text, at):
                self._rest = text[at:]
                break
            else:
                self.unknown.add(text[at:at + 8])
                at += 1
        return "".join(answers)

    def _character(self, character):
        if character == "\r":
            self._go(self.row, 0)
        elif character in "\n\v\f":
            self._down()
        elif character == "\b":
            self._go(self.row, self.column - 1)
        elif character == "\t":
            self._go(self.row, self.column // 8 * 8 + 8)
        elif character >= " " and character != "\x7f":
            if self._full:
                self.column = 0
                self._down()
            self.cells[self.row][self.column] = character
            self._full = self.column == self.columns - 1
            self.column += not self._full

    def _go(self, row, column):
        self.row = min(max(row, 0), self.rows - 1)
        self.column = min(max(column, 0), self.columns - 1)
        self._full = False

    def _down(self):
        if self.row == self._bottom:
            self.scrolled += self._top == 0
            self._scroll(self._top, 1)
        else:
            self._go(self.row + 1, self.column)
        self._full = False

    def _scroll(self, first, count):
        """Rows from `first` to the region's last go up by `count`, or down if that is negative."""
        region = self.cells[first:self._bottom + 1]
        height = len(region)
        count = min(max(count, -height), height)
        blank = [[" "] * self.columns for _ in range(abs(count))]
        self.cells[first:self._bottom + 1] = region[count:] + blank if count > 0 else blank + region[:height + count]

    def _erase(self, first, last):
        """Cells from one place to another, both (row, column) and both included."""
        for row in range(first[0], last[0] + 1):
            start = first[1] if row == first[0] else 0
            end = last[1] if row == last[0] else self.columns - 1
            self.cells[row][start:end + 1] = [" "] * (end + 1 - start)

    def _sequence(self, found):
        if found["final"]:
            return self._control(found)
        short = found["short"]
        if short == "7":
            self._saved = self.row, self.column
        elif short == "8":
            self._go(*self._saved)
        elif short == "c":
            self._reset()
        elif short == "D":
            self._down()
        elif short == "E":
            self._down()
            self._go(self.row, 0)
        elif short == "M":
            if self.row == self._top:
                self._scroll(self._top, -1)
            else:
                self._go(self.row - 1, self.column)
        elif short == "H":
            self.unknown.add(found[0])
        return None

    def _control(self, found):
        private, final = found["private"], found["final"]
        numbers = [int(number or 0) for number in found["numbers"].split(";")]
        first = numbers[0]
        count, second = max(first, 1), max(numbers[1], 1) if len(numbers) > 1 else 1
        here, start, end = (self.row, self.column), (0, 0), (self.rows - 1, self.columns - 1)
        cells = self.cells[self.row]
        if private:
            return self._mode(found)
        if final == "n" and first == 6:
            return f"\x1b[{self.row + 1};{self.column + 1}R"
        if final == "n" and first == 5:
            return "\x1b[0n"
        if final == "c":
            return "\x1b[?6c"
        if final in "Hf":
            self._go(count - 1, second - 1)
        elif final in "ABCD":
            self._go(self.row + {"A": -count, "B": count}.get(final, 0), self.column + {"C": count, "D": -count}.get(final, 0))
        elif final == "G":
            self._go(self.row, count - 1)
        elif final == "d":
            self._go(count - 1, self.column)
        elif final == "J" and first < 3:
            self._erase(*[(here, end), (start, here), (start, end)][first])
        elif final == "K" and first < 3:
            self._erase(*[(here, (self.row, end[1])), ((self.row, 0), here), ((self.row, 0), (self.row, end[1]))][first])
        elif final in "LM" and self._top <= self.row <= self._bottom:
            self._scroll(self.row, count if final == "M" else -count)
        elif final == "P":
            cells[self.column:] = (cells[self.column + count:] + [" "] * self.columns)[:self.columns - self.column]
        elif final == "@":
            cells[self.column:] = ([" "] * count + cells[self.column:])[:self.columns - self.column]
        elif final == "X":
            self._erase(here, (self.row, min(self.column + count, self.columns) - 1))
        elif final == "r":
            last = min(numbers[1], self.rows) if len(numbers) > 1 and numbers[1] else self.rows
            if count < last:
                self._top, self._bottom = count - 1, last - 1
                self._go(0, 0)
        elif final != "m":
            self.unknown.add(found[0])
        return None

    def _mode(self, found):
        modes = set(found["numbers"].split(";")) - IGNORED_MODES
        if found["private"] == "?" and found["final"] in "hl" and modes == {"1049"}:
            # A screen beside, so that what was on this one comes back.
            if found["final"] == "h" and self._other is None:
                self._other = self.cells, self.row, self.column
                self.cells = self._blank()
            elif found["final"] == "l" and self._other is not None:
                self.cells, row, column = self._other
                self._other = None
                self._go(row, column)
        elif found["private"] != "?" or found["final"] not in "hl" or modes:
            self.unknown.add(found[0])
