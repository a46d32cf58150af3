"""The ledger: what is committed is there whole, refusals are settled, exceptions are kept, and no edit goes unnoticed."""

import datetime
import shutil
import time
from pathlib import Path

import pytest

from curation.errors import CurationError
from curation.ingestion.contract import contract_digest
from curation.ingestion.ledger import Counts, Entry, Ledger
from curation.ingestion.profile import FieldProfile
from tests.curation.ingestion.doors import DAY, DESK, NOW, TICKETS

PROFILE = {f"field_{number}": FieldProfile(records=1, types={"string": 1}, missing=0, null=0, distinct=1) for number in range(9)}


def entry(seq: int, *, day: datetime.date = DAY, source: str = "desk", verdict: str = "accepted") -> Entry:
    counts = {"in": 1, "malformed": 0, "contract": 0, "valid": 1, "added": 1, "removed": 0}
    return Entry.model_validate(
        {
            "seq": seq,
            "dataset": "tickets",
            "source": source,
            "day": day,
            "verdict": verdict,
            "message": "told",
            "files": [],
            "contract": DESK.model_dump(mode="json"),
            "contract_digest": contract_digest(TICKETS, DESK),
            "counts": counts,
            "profile": PROFILE,
            "moved": [],
            "warnings": [],
            "violations": [],
            "taken_in_at": NOW,
        }
    )


def commit(ledger: Ledger, one: Entry) -> Path:
    folder = ledger.refused_folder(one.source, one.day) if one.verdict == "refused" else ledger.folder(one.seq)
    with ledger.commit(one, folder) as temporary:
        (temporary / "raw.parquet").write_bytes(b"rows")
    return folder


def test_entries_come_back_as_they_were_committed_in_the_order_of_seq(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, "tickets")
    assert (ledger.entries(), ledger.next_seq(), ledger.refused()) == ([], 1, {})
    later = DAY + datetime.timedelta(days=1)
    committed = [entry(1), entry(2, day=later), entry(3)]
    for one in committed:
        commit(ledger, one)
    assert Ledger(tmp_path, "tickets").entries() == committed
    assert ledger.latest() == {("desk", later): committed[1], ("desk", DAY): committed[2]}
    assert [one.seq for one in ledger.of_batch("desk", DAY)] == [1, 3]
    assert ledger.next_seq() == 4
    assert entry(1).counts == Counts.model_validate(
        {"in": 1, "malformed": 0, "contract": 0, "valid": 1, "added": 1, "removed": 0}
    )


def test_seqs_beyond_six_digits_are_sorted_as_numbers(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, "tickets")
    for seq in (1_000_000, 999_999):
        commit(ledger, entry(seq))
    assert [one.seq for one in ledger.entries()] == [999_999, 1_000_000]
    assert ledger.next_seq() == 1_000_001


def test_an_entry_that_fails_on_the_way_leaves_nothing(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, "tickets")
    with pytest.raises(ZeroDivisionError), ledger.commit(entry(1), ledger.folder(1)) as temporary:
        (temporary / "raw.parquet").write_bytes(b"half")
        raise ZeroDivisionError
    assert ledger.entries() == []
    assert list(ledger.workshop.iterdir()) == []


def test_a_refusal_stands_until_a_later_entry_of_the_batch(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, "tickets")
    commit(ledger, entry(1))
    commit(ledger, entry(2, verdict="refused"))
    commit(ledger, entry(2, source="other"))
    assert list(ledger.refused()) == [("desk", DAY)]
    commit(ledger, entry(3))  # as if a process had died before it settled the refusal
    assert ledger.refused() == {}
    ledger.settle("desk", DAY)
    assert not ledger.refused_folder("desk", DAY).exists()


def test_an_exception_is_kept_with_its_reason_and_needs_one(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, "tickets")
    commit(ledger, entry(1, verdict="refused"))
    assert ledger.exception("desk", DAY) is None
    ledger.accept("desk", DAY, " the desk was renamed ", NOW)
    kept = Ledger(tmp_path, "tickets").exception("desk", DAY)
    assert kept is not None
    assert (kept.reason, kept.accepted_at) == ("the desk was renamed", NOW)
    with pytest.raises(CurationError, match="an exception needs a reason"):
        ledger.accept("desk", DAY, "  ", NOW)
    for source in ("../desk", "other"):
        with pytest.raises(CurationError, match=f"{source} 2026-11-20 does not stand refused\n  fix: .*: desk 2026-11-20"):
            ledger.accept(source, DAY, "why", NOW)


def test_a_folder_that_was_edited_is_named(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, "tickets")
    folder = commit(ledger, entry(1))
    path = folder / "entry.json"
    whole = path.read_text()
    for text, told in (
        (whole[:-20], "Invalid JSON"),
        (whole.replace('"added": 1', '"added": "many"'), "counts.added"),
        (whole.replace('"seq": 1', '"seq": 7'), "it holds the entry 7"),
    ):
        path.write_text(text)
        with pytest.raises(CurationError, match=f"seq=000001 is not as it was written: .*{told}"):
            Ledger(tmp_path, "tickets").entries()
    path.unlink()
    with pytest.raises(CurationError, match=r"seq=000001 is not as it was written: entry.json: No such file"):
        Ledger(tmp_path, "tickets").entries()
    shutil.rmtree(folder)
    (folder.parent / "copy of seq=000001").mkdir()
    with pytest.raises(CurationError, match="copy of seq=000001 does not belong into the ledger"):
        Ledger(tmp_path, "tickets").entries()


def test_four_thousand_entries_are_read_once_and_quickly(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, "tickets")
    folder = commit(ledger, entry(1))
    text = (folder / "entry.json").read_text()
    for seq in range(2, 4001):
        copy = ledger.folder(seq)
        copy.mkdir()
        (copy / "entry.json").write_text(text.replace('"seq": 1,', f'"seq": {seq},'))
    fresh = Ledger(tmp_path, "tickets")
    start_s = time.process_time()
    assert len(fresh.entries()) == 4000
    assert time.process_time() - start_s < 3  # 0.5 on an idle core
    start_s = time.process_time()
    assert fresh.next_seq() == 4001
    assert len(fresh.latest()) == 1
    assert time.process_time() - start_s < 1
