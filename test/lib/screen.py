"""Pictures of the guest's screen: reading QEMU's PPM, writing PNG, and reading text off the picture.

Reading needs no font: `learn` is told one row's text (the test typed it), and its glyphs are the key to all
others, on this picture and on later ones.
"""

import struct
import zlib
from collections import Counter

CELL_W, CELL_H = 8, 16


class Picture:
    """An RGB picture; `pixels` holds 3 bytes a pixel, rows from the top."""

    def __init__(self, width, height, pixels):
        assert len(pixels) == width * height * 3, "pixel data does not fit the size"
        self.width, self.height, self.pixels = width, height, pixels

    @classmethod
    def from_ppm(cls, data):
        """Parses a binary PPM (P6, 8 bits a channel), which is what QEMU's screendump writes."""
        fields, at = [], 0
        while len(fields) < 4:
            while data[at:at + 1].isspace():
                at += 1
            if data[at:at + 1] == b"#":
                at = data.index(b"\n", at)
                continue
            end = at
            while not data[end:end + 1].isspace():
                end += 1
            fields.append(data[at:end])
            at = end
        if fields[0] != b"P6" or fields[3] != b"255":
            raise ValueError(f"not a P6 picture with 8 bits a channel: {fields}")
        width, height = int(fields[1]), int(fields[2])
        return cls(width, height, data[at + 1:at + 1 + width * height * 3])

    def to_png(self):
        """The picture as a PNG file (PNG specification, 3rd edition): one IDAT, filter 0 on every row."""
        stride = self.width * 3
        rows = b"".join(b"\0" + self.pixels[y * stride:(y + 1) * stride] for y in range(self.height))

        def chunk(kind, body):
            return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

        head = struct.pack(">IIBBBBB", self.width, self.height, 8, 2, 0, 0, 0)
        return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")

    @property
    def columns(self):
        return self.width // CELL_W

    @property
    def rows(self):
        return self.height // CELL_H

    def colours(self):
        """How often each colour occurs."""
        return Counter(zip(self.pixels[0::3], self.pixels[1::3], self.pixels[2::3]))

    def _background(self):
        return self.colours().most_common(1)[0][0]

    def cells(self):
        """Row by row, each cell as 16 bytes of ink: a bit is set where the pixel is not the background.

        The background is the picture's most frequent colour.
        """
        # Comparing whole rows and columns of bytes at C's speed: this is called in a loop while a guest boots.
        red, green, blue = (self.pixels[channel::3] for channel in range(3))
        background = self._background()
        ink = bytes(map(background.__ne__, zip(red, green, blue)))
        blank_line, blank = bytes(self.columns * CELL_W), bytes(CELL_H)
        bits = {bytes(n >> (7 - x) & 1 for x in range(8)): n for n in range(256)}
        grid = []
        for row in range(self.rows):
            lines = [ink[y * self.width:y * self.width + len(blank_line)] for y in range(row * CELL_H, (row + 1) * CELL_H)]
            if all(line == blank_line for line in lines):
                grid.append([blank] * self.columns)
            else:
                grid.append([bytes(bits[line[x:x + CELL_W]] for line in lines) for x in range(0, len(blank_line), CELL_W)])
        return grid

    def learn(self, key_text):
        """The glyphs of `key_text`, {cell: character}, from the lowest row that may be it; None if there is none.

        A row may be it if it has ink in no cell behind the text, and equal cells just where the text has equal
        characters.
        """
        blank = bytes(CELL_H)
        for row in reversed(self.cells()):
            used = row[:len(key_text)]
            if any(cell != blank for cell in row[len(key_text):]) or len(used) < len(key_text):
                continue
            pairs = set(zip(key_text, used))
            if len(pairs) == len(set(key_text)) == len(set(used)):
                return {cell: char for char, cell in pairs} | {blank: " "}
        return None

    def text(self, glyphs):
        """The screen's rows as text; a cell that is none of `glyphs` reads as `?`."""
        return ["".join(glyphs.get(cell, "?") for cell in line).rstrip() for line in self.cells()]
