"""A day that has been at the door before: mended, delivered again, changed, gone, only touched, or its rows lost."""

import datetime
import json
import os
import shutil
from pathlib import Path

import pytest

from curation.errors import CurationError
from curation.ingestion.intake import Batch
from curation.ingestion.sources import FieldRule
from tests.curation.ingestion.doors import DAY, DESK, NOW, Door, lines, ticket


def test_a_refused_day_is_taken_in_once_mended_and_its_refusal_forgotten(tmp_path: Path) -> None:
    door = Door(tmp_path)
    door.put("a.jsonl", lines([ticket(1, stars="4")]))
    door.run()
    door.put("a.jsonl", lines([ticket(1)]))
    assert door.pending().batches == [Batch("desk", DAY, "a.jsonl changed")]
    assert [entry.verdict for entry in door.run()] == ["accepted"]
    assert door.ledger.refused() == {}
    assert len(door.raw(1)) == 1


def test_a_refused_redelivery_leaves_the_former_state(tmp_path: Path) -> None:
    door = Door(tmp_path)
    door.put("a.jsonl", lines([ticket(1), ticket(2)]))
    door.run()
    before = door.current()
    door.put("a.jsonl", lines([ticket(1, stars=0), ticket(2)]))
    assert [entry.verdict for entry in door.run()] == ["refused"]
    assert door.current() == before
    door.put("a.jsonl", lines([ticket(1), ticket(2)]))
    [entry] = door.run()
    assert (entry.verdict, entry.counts.added, entry.counts.removed) == ("accepted", 0, 0)
    assert door.ledger.refused() == {}
    assert door.current() == before


def test_an_accepted_exception_lets_the_good_records_in(tmp_path: Path) -> None:
    door = Door(tmp_path)
    door.put("a.jsonl", lines([ticket(1, stars="4"), ticket(2)]))
    door.run()
    door.ledger.accept("desk", DAY, "a known slip", NOW)
    assert door.pending().batches == [Batch("desk", DAY, "an exception was accepted")]
    [entry] = door.run()
    assert (entry.verdict, entry.exception) == ("excepted", "a known slip")
    assert entry.message.endswith("50.0% are bad, accepted all the same: a known slip")
    assert [row["native_id"] for row in door.raw(1)] == ["T2"]
    assert door.pending().batches == []


def test_a_changed_delivery_adds_and_removes_only_what_differs(tmp_path: Path) -> None:
    door = Door(tmp_path)
    tickets = [ticket(number) for number in range(5)]
    door.put("a.json", json.dumps(tickets[:3]).encode())
    door.put("b.jsonl", lines(tickets[3:]))
    door.run()
    first = {row["native_id"]: row["record_no"] for row in door.raw(1)}
    door.put("a.json", json.dumps([tickets[0], tickets[1] | {"text": "corrected"}]).encode())
    door.put("c.jsonl", lines([ticket(7)]))
    [entry] = door.run()
    assert (entry.counts.records_in, entry.counts.added, entry.counts.removed) == (5, 2, 2)
    assert [(row["native_id"], row["record_no"]) for row in door.raw(2)] == [("T1", 2 * 2**32), ("T7", 2 * 2**32 + 1)]
    assert door.removed(2) == [first["T1"], first["T2"]]
    texts = {row["native_id"]: row["text"] for row in door.current().values()}
    assert texts == {"T0": "question 0", "T1": "corrected", "T3": "question 3", "T4": "question 4", "T7": "question 7"}


def test_a_corrected_contract_replays_the_day_and_nothing_counts_twice(tmp_path: Path) -> None:
    door = Door(tmp_path, DESK.model_copy(update={"max_bad_share": 0.5}))
    door.put("a.jsonl", lines([ticket(1), ticket(2, stars=7), ticket(3)]))
    [entry] = door.run()
    assert (entry.counts.contract, entry.counts.added) == (1, 2)
    fields = door.source.fields | {"native_id": FieldRule(path=("id",), type="string")}
    door.source = door.source.model_copy(update={"fields": fields, "rating": DESK.rating.model_copy(update={"maximum": 10.0})})
    assert door.pending().batches == [Batch("desk", DAY, "its contract changed")]
    [entry] = door.run()
    assert (entry.counts.contract, entry.counts.added, entry.counts.removed) == (0, 3, 2)  # the scale is part of every row
    assert sorted(row["native_id"] for row in door.current().values()) == ["T1", "T2", "T3"]
    assert {row["rating_max"] for row in door.current().values()} == {10.0}


def test_files_that_are_gone_leave_their_rows_and_are_told(tmp_path: Path) -> None:
    door = Door(tmp_path)
    gone = door.put("a.jsonl", lines([ticket(1)]))
    door.put("b.jsonl", lines([ticket(2)]))
    door.run()
    gone.unlink()
    assert door.pending().batches == []
    assert door.pending().notices == [f"{gone} is gone; its rows stay as they were taken in"]
    door.put("b.jsonl", lines([ticket(3)]))
    [entry] = door.run()
    assert entry.warnings == ["a.jsonl is gone; its rows stay as they were taken in"]
    assert sorted(row["native_id"] for row in door.current().values()) == ["T1", "T3"]
    shutil.rmtree(gone.parent)
    assert door.pending().batches == []
    assert door.pending().notices == [f"{gone.parent} is gone; its rows stay as they were taken in"]


def test_a_file_that_was_only_touched_is_not_pending(tmp_path: Path) -> None:
    door = Door(tmp_path)
    path = door.put("a.jsonl", lines([ticket(1)]))
    door.run()
    path.write_bytes(path.read_bytes())
    os.utime(path, (1, 1))
    assert door.pending().batches == []


def test_a_change_that_keeps_size_and_time_is_found(tmp_path: Path) -> None:
    door = Door(tmp_path)
    path = door.put("a.jsonl", lines([ticket(1, text="aaa")]))
    door.run()
    found = path.stat()
    path.write_bytes(lines([ticket(1, text="bbb")]))
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert door.pending().batches == [Batch("desk", DAY, "a.jsonl changed")]


def test_lost_rows_are_written_again_with_the_same_bytes_under_the_contract_of_their_time(tmp_path: Path) -> None:
    door = Door(tmp_path, DESK.model_copy(update={"max_bad_share": 0.5}))
    door.put("a.json", json.dumps([ticket(number, stars=9 if number == 3 else 4) for number in range(9)]).encode())
    door.put("a.jsonl", lines([ticket(20)]), DAY + datetime.timedelta(days=1))
    door.run()
    door.source = door.source.model_copy(update={"rating": DESK.rating.model_copy(update={"maximum": 10.0})})
    door.run()
    files = sorted((door.lake / "ledger").rglob("*.parquet"))
    before = {path: path.read_bytes() for path in files}
    assert [path.parent.name for path in files if path.name == "raw.parquet"] == [
        "seq=000001",
        "seq=000002",
        "seq=000003",
        "seq=000004",
    ]
    for path in files:
        path.unlink()
    assert [batch.lost_seq for batch in door.pending().batches] == [1, 2, 3, 4]
    door.run()
    assert {path: path.read_bytes() for path in files} == before
    assert door.pending().batches == []


def test_rows_whose_file_changed_since_cannot_be_written_again(tmp_path: Path) -> None:
    door = Door(tmp_path)
    path = door.put("a.jsonl", lines([ticket(1)]))
    door.run()
    (door.ledger.folder(1) / "raw.parquet").unlink()
    path.write_bytes(lines([ticket(2)]))
    with pytest.raises(
        CurationError, match=r"the rows of entry 1 \(desk 2026-11-20\) are lost, and .*a\.jsonl is not the file they came from"
    ):
        door.run()
