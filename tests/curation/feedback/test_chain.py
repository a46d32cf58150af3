"""Tampering with the log's file, found: a changed row, a removed one, a rewritten chain, a shortened log."""

import sqlite3
import uuid
from contextlib import closing
from pathlib import Path

import pytest

from curation.errors import CurationError
from curation.feedback.log import FeedbackLog
from tests.curation.feedback.statements import KEY, append, appended, event


def tampered(log: FeedbackLog, *statements: str) -> None:
    """Change the file behind the log's back, as one may who can write to it."""
    with closing(sqlite3.connect(log.path)) as connection:
        connection.executescript("drop trigger no_delete; drop trigger only_erase;" + ";".join(statements))


def test_two_logs_of_the_same_events_share_no_digest(tmp_path: Path) -> None:
    heads = set()
    for name in ("a", "b"):
        with FeedbackLog(tmp_path / name, KEY) as log:
            appended(log, 1)
            heads.add(log.head().chain)
    assert len(heads) == 2


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        ("update log set body = cast(replace(cast(body as text), 'positive', 'positivf') as blob) where seq = 2", "does not match its digest"),
        ("update log set received_at = received_at + 1 where seq = 2", "does not match its digest"),
        ("update log set received_as = null where seq = 2", "does not match its digest"),
        ("update log set subject = 'someone' where seq = 2", "does not match its digest"),
        ("update log set salt = zeroblob(16) where seq = 2", "does not match its digest"),
        ("update log set salt = null where seq = 2", "has lost its salt"),
        ("update log set digest = zeroblob(32), salt = null, body = null where seq = 2", "does not follow from the row before"),
        ("update log set event_id = zeroblob(16) where seq = 2", "does not follow from the row before"),
        ("update log set chain = zeroblob(32) where seq = 2", "does not follow from the row before"),
    ],
    ids=["body", "time", "token", "subject", "salt", "salt lost", "digest", "id", "chain"],
)  # fmt: skip
def test_verify_finds_any_change_of_a_row_and_names_it(log: FeedbackLog, change: str, finding: str) -> None:
    appended(log, 1, 2, 3)
    tampered(log, change)
    named = uuid.UUID(int=0 if "event_id =" in change else 2)
    assert log.verify({})[0].startswith(f"seq 2 (event {named}) of the feedback log {finding}")


def test_verify_finds_rows_that_were_removed_or_renumbered(log: FeedbackLog) -> None:
    appended(log, 1, 2, 3)
    tampered(log, "update log set seq = 7 where seq = 2")
    assert [finding.split(":")[0] for finding in log.verify({})] == [
        f"seq 3 (event {uuid.UUID(int=3)}) of the feedback log comes after seq 1",
        f"seq 7 (event {uuid.UUID(int=2)}) of the feedback log comes after seq 3",
    ]


def test_a_log_rewritten_with_sound_chains_is_found_by_who_remembers_its_head(log: FeedbackLog, tmp_path: Path) -> None:
    appended(log, 1, 2, 3)
    heads = {
        "snapshot reviews v0001": log.head_at(1),
        "snapshot reviews v0002": log.head_at(2),
        "promotion reviews 1": log.head(),
    }
    with FeedbackLog(tmp_path / "forged.sqlite", KEY) as forged:
        append(forged, [event(1), event(2, label="negative"), event(3)])
    tampered(
        log,
        f"attach '{tmp_path / 'forged.sqlite'}' as forged",
        "delete from main.log where seq > 1",
        "insert into main.log select * from forged.log where seq > 1",
    )
    assert len(log.verify({})) == 1  # the salts differ, so the chain does not fit: a forger computes it anew
    log.close()
    with FeedbackLog(tmp_path / "forged.sqlite", KEY) as forged:
        assert forged.verify({}) == []
        findings = forged.verify({who: head for who, head in heads.items() if head})
    assert [finding.split(" than ")[1] for finding in findings] == [
        f"{who} remembers: the log was rewritten at or before it" for who in heads
    ]
    assert findings[2].startswith(f"seq 3 (event {uuid.UUID(int=3)}) of the feedback log has another chain")


def test_a_shortened_log_is_found_by_its_own_numbers_and_by_who_remembers_more(log: FeedbackLog) -> None:
    appended(log, 1, 2, 3)
    heads = {"snapshot reviews v0003": log.head()}
    tampered(log, "delete from log where seq > 1")
    assert log.verify(heads) == [
        "snapshot reviews v0003 remembers seq 3 of the feedback log, which ends at seq 1: it was shortened",
        "the feedback log has given out seq 3 and ends at seq 1: it was shortened",
    ]
    with closing(sqlite3.connect(log.path, isolation_level=None)) as connection:
        connection.execute("update sqlite_sequence set seq = 1")
    assert len(log.verify(heads)) == 1
    assert log.verify({}) == []  # nothing in the file can tell: hence the heads elsewhere


def test_verify_stops_at_a_hundred_findings(log: FeedbackLog) -> None:
    appended(log, *range(1, 151))
    tampered(log, "update log set subject = 'someone'")
    findings = log.verify({})
    assert len(findings) == 101
    assert findings[-1] == "there may be more: verify stopped at seq 100"


def test_a_body_that_is_no_json_any_more_is_told_and_not_read(log: FeedbackLog) -> None:
    appended(log, 1)
    tampered(log, "update log set body = x'7b'")
    with pytest.raises(CurationError, match="holds a body that is no JSON between seq 1 and 1"):
        log.read(0, 1)
