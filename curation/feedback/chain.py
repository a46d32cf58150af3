"""The chain over the feedback log's rows: how a row is bound to its content and to the rows before it, and what breaks it.

Pure: rows in, digests and findings out. The digest is salted, and the salt goes with the body, so that a person's bodies can be
erased without a trace to guess from while the chain still holds.
"""

import hashlib
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence

START = bytes(32)
"""The chain before the first row."""

ChainedRow = tuple[int, bytes, int, str | None, str, bytes | None, bytes | None, bytes, bytes]
"""seq, event_id, received_at (microseconds since 1970), received_as, subject, salt, body, digest, chain."""


def digest_of(salt: bytes, received_at: int, received_as: str | None, subject: str, body: bytes) -> bytes:
    """SHA-256, 32 bytes, of salt, time (8 bytes), token name and subject (length and text: no two rows share a preimage), body."""
    token = b"-" if received_as is None else b"%d:%b" % (len(received_as.encode()), received_as.encode())
    who = b"%b%d:%b" % (token, len(subject.encode()), subject.encode())
    return hashlib.sha256(salt + received_at.to_bytes(8, "big", signed=True) + who + body).digest()


def link(chain: bytes, seq: int, event_id: bytes, digest: bytes) -> bytes:
    """The chain after a row, 32 bytes: SHA-256 of the chain before it, `seq` (8 bytes), the event id's 16 bytes, the digest."""
    return hashlib.sha256(chain + seq.to_bytes(8, "big", signed=True) + event_id + digest).digest()


def checked_rows(
    rows: Iterable[ChainedRow], remembered: Mapping[int, Sequence[tuple[str, str]]]
) -> Iterator[tuple[int, list[str]]]:
    """(seq, findings) of every row, which come in order of `seq`; a broken chain is told once, where it breaks.

    `remembered` says for a `seq` who remembers which chain (64 hex digits) for it.
    """
    former, chain = 0, START
    for seq, event_id, received_at, received_as, subject, salt, body, digest, stored in rows:
        findings = []
        if seq != former + 1:
            findings.append(f"{_named(seq, event_id)} comes after seq {former}: rows were removed or renumbered")
        elif link(chain, seq, event_id, digest) != stored:
            problem = "does not follow from the row before: its event id, digest or chain was changed"
            findings.append(f"{_named(seq, event_id)} {problem}")
        if (salt is None) != (body is None):
            findings.append(f"{_named(seq, event_id)} has lost its {'salt' if salt is None else 'body'}")
        elif salt is not None and body is not None and digest_of(salt, received_at, received_as, subject, body) != digest:
            findings.append(f"{_named(seq, event_id)} does not match its digest: its body, time, token or subject was changed")
        findings += [
            f"{_named(seq, event_id)} has another chain than {who} remembers: the log was rewritten at or before it"
            for who, expected in remembered.get(seq, ())
            if stored.hex() != expected
        ]
        former, chain = seq, stored
        yield seq, findings


def _named(seq: int, event_id: bytes) -> str:
    name = uuid.UUID(bytes=event_id) if len(event_id) == 16 else event_id.hex()  # verify must outlive what it is to find
    return f"seq {seq} (event {name}) of the feedback log"
