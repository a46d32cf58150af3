"""Opens one landing file as a stream of plain bytes, whatever it was packed with, and hashes it on the way.

Judges the file as a whole (cut short, a bomb, not text, changed meanwhile), with a CurationError that names it. Knows nothing of records.
"""

import contextlib
import hashlib
import io
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from curation.errors import CurationError
from curation.ingestion.landing import leads_out

HEAD_BYTES = 64 * 1024
BOMB_RATIO = 200  # text packs 3 to 10 times, JSON that repeats itself up to 60
BOMB_BYTES = 64 * 1024 * 1024  # a small file may repeat itself as it likes
SETTLED_NS = 50_000_000  # file systems tell times apart in steps of up to 10 ms
_MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
_OTHER_MAGIC = {
    b"PK\x03\x04": "a zip archive",
    b"BZh": "packed with bzip2",
    b"\xfd7zXZ": "packed with xz",
    b"PAR1": "Parquet",
    b"%PDF": "a PDF",
}
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_CONTROLS = bytes(code for code in range(32) if code not in b"\t\n\r\f")
_NEEDED = "use JSON lines or JSON arrays in UTF-8, plain, .gz or .zst"


class FileSeen(BaseModel):
    """A landing file as it was when it was read. The hash decides; size, times and inode spare hashing it again."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    bytes: int
    sha256: str
    mtime_ns: int
    ctime_ns: int
    inode: int
    is_settled: bool  # not written in the last moments before it was read, so that a later write must show in its times
    is_gone: bool = False  # no longer in landing; its rows stay as they were taken in

    def is_unchanged(self, found: os.stat_result) -> bool:
        """Whether a file with this stat must still hold these bytes: every write moves ctime, which no one can set."""
        return self.is_settled and self.has_stat(found)

    def has_stat(self, found: os.stat_result) -> bool:
        """Whether size, times and inode are those of when it was read."""
        return (self.bytes, self.mtime_ns, self.ctime_ns, self.inode) == (
            found.st_size,
            found.st_mtime_ns,
            found.st_ctime_ns,
            found.st_ino,
        )


class LandingStream:
    """The unpacked bytes of one open landing file."""

    def __init__(self, path: Path, name: str, file: BinaryIO) -> None:
        self.name = name
        self._path = path
        self._hashed = _Hashed(file)
        self._opened_at_ns = time.time_ns()
        self._found = os.fstat(file.fileno())
        self._limit_bytes = max(BOMB_BYTES, BOMB_RATIO * self._found.st_size)
        self._out_bytes = 0
        head = file.read(HEAD_BYTES)
        file.seek(0)
        self.packing = next((packing for magic, packing in _MAGIC.items() if head.startswith(magic)), None)
        self._file: Any = (
            pa.CompressedInputStream(pa.PythonFile(self._hashed, "r"), self.packing) if self.packing else self._hashed
        )
        self._is_judged = False

    def read(self, size: int) -> bytes:
        """Up to `size` bytes, empty at the end. CurationError when the file is cut short, damaged, a bomb or not text."""
        try:
            block: bytes = self._file.read(size)
        except OSError as error:
            if self.packing is None or error.errno is not None:
                raise CurationError(
                    f"{self.name} cannot be read: {error.strerror}", "check the file and its permissions"
                ) from error
            cause = "is cut short" if "runcated" in str(error) else "is damaged"
            raise CurationError(
                f"{self.name} {cause}: its {self.packing} stream does not end as it should", "deliver the file again"
            ) from error
        self._out_bytes += len(block)
        if self.packing and self._out_bytes > self._limit_bytes:
            raise CurationError(
                f"{self.name} unpacks from {self._found.st_size:,} bytes to more than {self._limit_bytes:,}; that is a bomb, reading stopped",
                f"deliver it plain, or packed no tighter than {BOMB_RATIO} times",
            )
        if not self._is_judged and block:
            self._is_judged = True
            _judge_text(block[:HEAD_BYTES], self.name)
        return block

    def seen(self) -> FileSeen:
        """What was read. To be called at the stream's end; CurationError when the file changed meanwhile."""
        while self._hashed.read(HEAD_BYTES):
            pass
        found = self._path.stat()
        seen = FileSeen(
            name=self.name,
            bytes=self._hashed.count,
            sha256=self._hashed.sha256.hexdigest(),
            mtime_ns=self._found.st_mtime_ns,
            ctime_ns=self._found.st_ctime_ns,
            inode=self._found.st_ino,
            is_settled=self._opened_at_ns - self._found.st_ctime_ns > SETTLED_NS,
        )
        if not seen.has_stat(found):
            raise CurationError(f"{self.name} changed while it was read", "wait until it is complete, then run again")
        return seen


@contextlib.contextmanager
def opened(path: Path, landing: Path) -> Iterator[LandingStream]:
    """The file's stream. CurationError when it is missing, unreadable, special, or a link that leads out of `landing`."""
    if leads_out(path, landing):
        raise CurationError(
            f"{path.name} is a link that leads out of landing", "copy the file itself: curation ingest DATASET SOURCE FILE"
        )
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise CurationError(f"{path.name} is not a regular file", "put files, not folders or pipes, into the day's folder")
        file = path.open("rb", buffering=0)
    except OSError as error:
        raise CurationError(f"{path.name} cannot be read: {error.strerror}", "check the file and its permissions") from error
    with file:
        yield LandingStream(path, path.name, file)


class _Hashed(io.RawIOBase):
    """A file that hashes what is read from it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.sha256 = hashlib.sha256()
        self.count = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        block = self._file.read(size)
        self.sha256.update(block)
        self.count += len(block)
        return block


def _judge_text(head: bytes, name: str) -> None:
    if head.startswith(_UTF16) or (head.count(b"\0") * 4 > len(head) and head.lstrip(b"\0")[:1] in (b"{", b"[")):
        raise CurationError(f"{name} is UTF-16 or UTF-32 text, not UTF-8", "save it as UTF-8 and run again")
    other = next((what for magic, what in _OTHER_MAGIC.items() if head.startswith(magic)), None)
    if other is not None:
        raise CurationError(f"{name} is {other}, not JSON text", _NEEDED)
    # A stray control byte or a line in another encoding spoils its record only; a head full of them is no text.
    controls = len(head) - len(head.translate(None, _CONTROLS))
    foreign = head.decode("utf-8", errors="replace").count("\ufffd")
    if (controls + foreign) * 10 > len(head):
        raise CurationError(f"{name} is binary, not JSON text", _NEEDED)
