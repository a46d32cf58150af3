"""Files that are either whole or absent, and names that stay where they belong.

Everything the project writes below CURATION_HOME goes through here or through a library that does the same (DuckDB, SQLite).
"""

import contextlib
import hashlib
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

from curation.errors import CurationError

NAME = re.compile(r"[a-z][a-z0-9_]{0,40}")


def valid_name(name: str, what: str) -> str:
    """`name` itself when it may name a dataset or a source; CurationError otherwise (so `../x` never becomes a path)."""
    if not NAME.fullmatch(name):
        raise CurationError(f"{name!r} cannot name a {what}", f"use {NAME.pattern}: lower case letters, digits and underscores")
    return name


def sync(path: Path) -> None:
    """Bring a file or a directory entry to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place when the block ends well, and disappears when it does not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        yield temporary
        sync(temporary)
        temporary.replace(path)
        sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def folder_written_whole(path: Path, workshop: Path) -> Iterator[Path]:
    """A temporary folder in `workshop` (same disk) that is renamed to `path` at the end: one rename commits all its files.

    `path` must not exist; what a killed process left in `workshop` is for the next writer to remove.
    """
    workshop.mkdir(parents=True, exist_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = workshop / f"{path.name}.{uuid.uuid4().hex[:8]}"
    temporary.mkdir()
    try:
        yield temporary
        for entry in sorted(temporary.rglob("*")):
            sync(entry)
        sync(temporary)
        temporary.rename(path)
        sync(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def sha256_of_file(path: Path) -> str:
    """Hex SHA-256 of a file's bytes, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
