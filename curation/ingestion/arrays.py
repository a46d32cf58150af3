"""Finds the elements of JSON arrays in a stream of text, so that a broken one takes none of its neighbours with it.

Says where elements begin and end, in bounded memory; whether they are sound is for `records`.
"""

import codecs
import json
import re
from collections.abc import Iterator
from typing import Any

import orjson

from curation.ingestion.opening import LandingStream

BLOCK_BYTES = 8 * 1024 * 1024
_DECODER = json.JSONDecoder()
_GAP = re.compile(r"[ \t\r\n,]*")
_SPACE = re.compile(r"[ \t\r\n]*")
_START = re.compile(r"[,\[\]}\n]\s*(?=\{)")  # a `{` after a separator: here a record may begin
_FIRST_KEY = re.compile(r'\{\s*("(?:[^"\\]|\\.)*")\s*:')


def array_elements(stream: LandingStream, block: bytes, limit: int, warnings: list[str]) -> Iterator[tuple[int, int, str]]:
    """(line, part, text) of every element of the arrays in `stream`, whose first block is `block`, in order.

    The text of an unsound element reaches to the next sound one, the stump of a cut array to the file's end. An element of
    more than `limit` characters comes cut to limit + 1. Bytes that are no UTF-8 are surrogates (`surrogateescape`).
    """
    scanner = _Scanner(_Window(stream, block), limit)
    former_line, part = 0, 0
    for line, text in scanner.elements():
        part = part + 1 if line == former_line else 1
        former_line = line
        yield line, part, text
    if scanner.is_inside:
        warnings.append(f"{stream.name} is cut off: its array does not end with ]")


class _Window:
    """The part of the text that is held: `text` from `at` on is still to be read."""

    def __init__(self, stream: LandingStream, block: bytes) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._line = 1
        self._counted = 0
        self.at = 0
        self.is_end = False
        self.text = self._decoder.decode(block)

    def fill(self) -> bool:
        """Drop what was read and hold one block more; False at the stream's end."""
        if self.is_end:
            return False
        block = self._stream.read(BLOCK_BYTES)
        self.is_end = not block
        self.line_of(self.at)
        self.text = self.text[self.at :] + self._decoder.decode(block, final=self.is_end)
        self.at = self._counted = 0
        return not self.is_end

    def hold(self, size: int) -> bool:
        """Hold `size` characters from `at` on where there are as many; whether any were added."""
        is_more = False
        while len(self.text) - self.at < size and self.fill():
            is_more = True
        return is_more

    def line_of(self, position: int) -> int:
        """The line (from 1) of a position at or after the last one asked for."""
        self._line += self.text.count("\n", self._counted, position)
        self._counted = position
        return self._line

    def skip(self, blank: re.Pattern[str]) -> str:
        """Move over what `blank` matches; the character after it, empty at the end."""
        while True:
            found = blank.match(self.text, self.at)
            self.at = found.end() if found else self.at
            if self.at < len(self.text):
                return self.text[self.at]
            if not self.fill() and self.at >= len(self.text):
                return ""


class _Scanner:
    def __init__(self, window: _Window, limit: int) -> None:
        self._window = window
        self._limit = limit
        self._known_keys: frozenset[str] = frozenset()  # of the last sound record
        self._first_key = ""
        self._shared_line_end = -1  # up to here the line holds more than one element
        self.is_inside = False

    def elements(self) -> Iterator[tuple[int, str]]:
        """(line, text) of every element."""
        window = self._window
        while character := window.skip(_GAP):
            if character == "]":
                self.is_inside = False
                window.at += 1
            elif character == "[" and not self.is_inside:
                self.is_inside = True
                window.at += 1
            else:
                line = window.line_of(window.at)
                yield line, self._whole_line() or self._element() or self._unsound()

    def _whole_line(self) -> str | None:
        """The element when it is all that its line holds: the usual case, at a third of the cost."""
        window = self._window
        end = window.text.find("\n", window.at)
        if end <= self._shared_line_end or end - window.at > self._limit:
            return None
        text = window.text[window.at : end].rstrip(" \t\r").removesuffix(",")
        if not text.endswith("}"):
            return None
        try:
            self._learn(orjson.loads(text))
        except (orjson.JSONDecodeError, UnicodeEncodeError):
            self._shared_line_end = end
            return None
        window.at += len(text)
        return text

    def _element(self) -> str | None:
        """The element that begins here, when its end can be found and a separator follows."""
        window = self._window
        while True:
            start = window.at
            try:
                value, end = _DECODER.raw_decode(window.text, start)
            except (ValueError, RecursionError):
                if window.hold(self._limit):
                    self._shared_line_end = -1
                    continue
                return None
            follower = _SPACE.match(window.text, end)
            next_at = follower.end() if follower else end
            if next_at == len(window.text) and window.fill():
                self._shared_line_end = -1
                continue
            start, end, next_at = window.at, end - (start - window.at), next_at - (start - window.at)
            if window.text[next_at : next_at + 1] not in (",", "]", "{", "["):
                return None
            self._learn(value)
            window.at = end
            return window.text[start:end]

    def _unsound(self) -> str:
        """The text from here to where the next record begins; `at` moves there."""
        window = self._window
        window.hold(self._limit + 1)
        self._shared_line_end = -1
        start = window.at
        next_at = self._next_record(start + 1)
        if next_at is None and not window.is_end:
            text = window.text[start : start + self._limit + 1]
            while next_at is None and window.text:
                window.at = max(len(window.text) - 1, window.at)  # the separator before `{` may be the last character
                more = window.fill()
                next_at = self._next_record(window.at) if more else len(window.text)
            window.at = next_at or 0
            return text
        window.at = len(window.text) if next_at is None else next_at
        return window.text[start : window.at].rstrip(" \t\r\n").removesuffix(",").rstrip(" \t\r\n") or ","

    def _next_record(self, position: int) -> int | None:
        for found in _START.finditer(self._window.text, position):
            if self._may_begin(found.end()):
                return found.end()
        return None

    def _may_begin(self, at: int) -> bool:
        """Whether a record begins at this `{`: it starts like the last sound one, or is an object with keys like its.

        An object within the unsound record (`"replies": [{..}, {..}]`) looks neither way.
        """
        text = self._window.text
        first = _FIRST_KEY.match(text, at)
        if first and self._first_key:
            if json.loads(first.group(1), strict=False) == self._first_key:
                return True
        elif self._first_key:
            return False
        try:
            value, _ = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError):
            return False
        return len(self._known_keys & set(value)) * 2 >= len(self._known_keys)

    def _learn(self, value: Any) -> None:
        if type(value) is dict and value:
            self._known_keys = frozenset(value)
            self._first_key = next(iter(value))
