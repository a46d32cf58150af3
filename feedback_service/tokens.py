"""Who may speak to the service: names and roles in secrets/tokens.json, and the SHA-256 of each token, never the token itself.

Tokens are 256 random bits, so a plain hash holds them (a slow one guards guessable passwords). Knows no HTTP.
"""

import datetime
import hashlib
import hmac
import re
import secrets
from pathlib import Path
from typing import Literal, get_args

from filelock import FileLock
from pydantic import BaseModel, ConfigDict, ValidationError

from curation.errors import CurationError
from curation.files import written_whole

Role = Literal["capture", "annotator", "admin"]
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")  # fits both an annotator and a source
PREFIX = "curation_"
"""Begins every token, so that scanners for leaked secrets can know one."""


class Token(BaseModel):
    """One token as it rests in the file."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    role: Role
    sha256: str
    created_at: datetime.datetime


class _TokenFile(BaseModel):
    model_config = ConfigDict(extra="forbid")
    tokens: tuple[Token, ...] = ()


class Tokens:
    """The tokens of one home; read again whenever the file changes, so that a revocation needs no restart."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read_at: tuple[int, int, int] | None = None
        self._tokens: tuple[Token, ...] = ()
        self._are_required = False

    def listed(self) -> tuple[Token, ...]:
        """Every token there is, oldest first. CurationError where the file cannot be understood: that is not "no tokens"."""
        try:
            found = self._path.stat()
        except FileNotFoundError:
            self._read_at, self._tokens = None, ()
            return ()
        state = (found.st_mtime_ns, found.st_size, found.st_ino)
        if state != self._read_at:
            try:
                self._tokens = _TokenFile.model_validate_json(self._path.read_bytes()).tokens
            except ValidationError as error:
                self._read_at = None
                told = f"{self._path.name} is no list of tokens: {error.errors()[0]['msg']}"
                raise CurationError(told, "restore it from a backup, or remove it and create the tokens anew") from error
            self._read_at = state
        return self._tokens

    def are_required(self) -> bool:
        """Whether a request needs a token: there is one, or was since this process began (revoking the last opens nothing)."""
        self._are_required = self._are_required or bool(self.listed())
        return self._are_required

    def make(self, name: str, role: Role, now: datetime.datetime) -> str:
        """A new token, to be shown once; only its hash is kept. CurationError where the name is taken or unfit."""
        if not NAME.fullmatch(name):
            raise CurationError(f"{name!a} cannot name a token", f"use {NAME.pattern}")
        if role not in get_args(Role):
            raise CurationError(f"{role!a} is no role", f"choose one of {', '.join(get_args(Role))}")
        token = PREFIX + secrets.token_urlsafe(32)
        with self._changing():
            if any(known.name == name for known in self.listed()):
                raise CurationError(f"there is a token named {name} already", f"revoke it first: curation token revoke {name}")
            self._write((*self.listed(), Token(name=name, role=role, sha256=_digest(token), created_at=now)))
        return token

    def revoke(self, name: str) -> Token:
        """The token that is valid no more. CurationError where there is none of that name."""
        with self._changing():
            revoked = next((token for token in self.listed() if token.name == name), None)
            if revoked is None:
                raise CurationError(f"there is no token named {name!a}", "see them with: curation token list")
            self._write(tuple(token for token in self.listed() if token != revoked))
        return revoked

    def holder(self, presented: str) -> Token | None:
        """Whose token this is; compares with every one in constant time."""
        digest, found = _digest(presented), None
        for token in self.listed():
            if hmac.compare_digest(token.sha256, digest):
                found = token
        return found

    def _changing(self) -> FileLock:
        """Held while the file is read, changed and written: two commands at once must not bring a revoked token back."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return FileLock(self._path.with_suffix(".lock"))

    def _write(self, tokens: tuple[Token, ...]) -> None:
        with written_whole(self._path) as temporary:
            temporary.touch(mode=0o600)
            temporary.write_text(_TokenFile(tokens=tokens).model_dump_json(indent=1))


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
