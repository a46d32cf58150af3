"""The door from landing to the ledger: what is pending, what is taken in under which number, what is refused, and why."""

import datetime
import gzip
import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from curation.errors import CurationError
from curation.ingestion.intake import Batch
from curation.ingestion.sources import FieldRule, Rating, Source
from tests.curation.ingestion.doors import DAY, DESK, Door, lines, ticket

ROOT = Path(__file__).parents[3]


def test_a_day_is_taken_in_once(tmp_path: Path) -> None:
    door = Door(tmp_path)
    door.put("a.jsonl", lines(ticket(number) for number in range(40)))
    door.put("b.jsonl.gz", gzip.compress(lines([ticket(40), ticket(41, stars="4")]) + b"{broken\n", mtime=0))
    assert door.pending().batches == [Batch("desk", DAY, "new")]
    [entry] = door.run()
    assert (entry.seq, entry.verdict, entry.batch) == (1, "accepted", ("desk", DAY))
    assert entry.counts.model_dump(by_alias=True) == {
        "in": 43,
        "malformed": 1,
        "contract": 1,
        "valid": 41,
        "added": 41,
        "removed": 0,
    }
    assert [seen.name for seen in entry.files] == ["a.jsonl", "b.jsonl.gz"]
    assert entry.profile["stars"].types == {"integer": 41, "string": 1}
    assert door.pending().batches == []


def test_rows_are_numbered_in_the_order_of_decision_and_carry_their_origin(tmp_path: Path) -> None:
    door = Door(tmp_path)
    late, early, timeless = ticket(1, at=1_700_000_100), ticket(2, at=1_600_000_000), ticket(3, at=None)
    door.put("reviews[1].json", json.dumps([late, early, timeless]).encode())
    door.put("reviews1.json", lines([ticket(4, at=1_650_000_000)]))
    door.run()
    rows = door.raw(1)
    assert [row["native_id"] for row in rows] == ["T3", "T2", "T4", "T1"]
    assert [row["record_no"] for row in rows] == [2**32 + place for place in range(4)]
    places = ["reviews[1].json:1.3", "reviews[1].json:1.2", "reviews1.json:1", "reviews[1].json:1"]
    assert [row["record_id"] for row in rows] == [f"desk/2026-11-20/{place}" for place in places]
    columns = "record_no record_id ticket_uid content_hash source day file line native_id stars text opened_at replies extra rating_min rating_max"
    assert list(rows[0]) == columns.split()
    first = rows[0]
    assert (first["source"], first["day"], first["file"], first["line"]) == ("desk", DAY, "reviews[1].json", 1)
    assert (first["rating_min"], first["rating_max"], first["extra"]) == (1.0, 5.0, '{"segment":"gold"}')
    assert (len(first["ticket_uid"]), len(first["content_hash"])) == (64, 32)


def test_quarantine_keeps_the_text_and_says_why(tmp_path: Path) -> None:
    door = Door(tmp_path, DESK.model_copy(update={"max_bad_share": 1.0}))
    long = '{"id": "T9", "text": "' + "x" * 100_000
    door.put("a.jsonl", lines([ticket(1, stars=9, text=None), ticket(2)]) + long.encode() + b'\r\n{"id": "\xff"}\n')
    [entry] = door.run()
    rows = door.quarantine(door.ledger.folder(1))
    assert [(row["record_id"], row["rule"], row["field"], row["native_id"]) for row in rows] == [
        ("desk/2026-11-20/a.jsonl:1", "contract", "stars", "T1"),
        ("desk/2026-11-20/a.jsonl:3", "malformed", None, "T9"),
        ("desk/2026-11-20/a.jsonl:4", "malformed", None, "\ufffd"),
    ]
    assert rows[0]["reason"] == "stars must be at most 5 (found: more); text must be there (found: null)"
    assert json.loads(rows[0]["raw"]) == ticket(1, stars=9, text=None)
    assert len(rows[1]["raw"]) == 65_536
    assert "the first 65,536 bytes of it are kept here" in rows[1]["reason"]
    assert rows[2]["raw"] == '{"id": "\\xff"}'
    assert {violation.expectation: violation.line for violation in entry.violations if violation.field} == {
        "must be at most 5": 1,
        "must be there": 1,
    }


def test_a_day_with_too_many_bad_records_is_refused_whole_and_the_message_says_all(tmp_path: Path) -> None:
    door = Door(tmp_path)
    door.put("part-0.jsonl", lines(ticket(number, segment=number if number >= 7 else "gold") for number in range(1, 11)))
    [entry] = door.run()
    assert entry.verdict == "refused"
    assert entry.message == (
        "desk 2026-11-20 refused: segment must be a string, 40.0% of 10 records are integers; first at part-0.jsonl line 7; "
        'mend the file and run again, or: uv run curation accept tickets desk 2026-11-20 --reason "..."'
    )
    assert door.ledger.entries() == []
    assert list(door.ledger.refused()) == [("desk", DAY)]
    assert len(door.quarantine(door.ledger.refused_folder("desk", DAY))) == 4
    assert door.pending().batches == []


def test_one_file_under_two_names_is_taken_in_as_copies_and_told(tmp_path: Path) -> None:
    door = Door(tmp_path)
    door.put("a.jsonl", lines([ticket(1)]))
    door.put("b.jsonl", lines([ticket(1)]))
    [entry] = door.run()
    assert entry.warnings == ["b.jsonl holds the same bytes as a.jsonl: its records are copies"]
    first, second = door.raw(1)
    assert first["ticket_uid"] == second["ticket_uid"]
    assert first["content_hash"] == second["content_hash"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (
            gzip.compress(lines([ticket(1)]), mtime=0)[:-4],
            "b.jsonl is cut short: its gzip stream does not end as it should; deliver the file again",
        ),
        ("text".encode("utf-16"), "b.jsonl is UTF-16 or UTF-32 text, not UTF-8; save it as UTF-8 and run again"),
    ],
)
def test_a_file_that_cannot_be_read_refuses_its_batch_by_name_and_no_other(tmp_path: Path, content: bytes, told: str) -> None:
    door = Door(tmp_path)
    for name in ("a.jsonl", "c.jsonl"):
        door.put(name, lines([ticket(1)]))
    door.put("b.jsonl", content)
    door.put("a.jsonl", lines([ticket(2)]), DAY + datetime.timedelta(days=1))
    refused, accepted = door.run()
    assert (refused.verdict, accepted.verdict) == ("refused", "accepted")
    assert refused.message == f"desk 2026-11-20 refused: {told}"
    assert [(violation.rule, violation.file) for violation in refused.violations] == [("unreadable", "b.jsonl")]
    assert refused.counts.records_in == 0
    assert door.pending().batches == []
    door.put("b.jsonl", lines([ticket(3)]))
    assert [entry.verdict for entry in door.run()] == ["accepted"]


def test_an_empty_file_is_told_and_an_empty_folder_is_no_failure(tmp_path: Path) -> None:
    door = Door(tmp_path)
    door.put("a.jsonl", b"")
    [entry] = door.run()
    assert (entry.verdict, entry.counts.records_in, entry.warnings) == ("accepted", 0, ["a.jsonl is empty"])
    assert door.raw(1) == []
    empty = door.landing / "tickets" / "desk" / "2026-11-21"
    empty.mkdir()
    (empty / ".hidden").write_bytes(b"{}")
    (empty / "half.part").write_bytes(b"{}")
    (empty / "half.tmp").write_bytes(b"{}")
    found = door.pending()
    assert (found.batches, found.problems, found.notices) == ([], [], [f"{empty} is empty: nothing to take in"])


def test_what_is_no_batch_is_named_and_stops_no_other(tmp_path: Path) -> None:
    door = Door(tmp_path)
    door.put("a.jsonl", lines([ticket(1)]))
    outside = tmp_path / "outside.jsonl"
    outside.write_bytes(lines([ticket(1)]))
    for day in ("2026-11-24", "20261119", "november"):
        door.put("a.jsonl", b"{}", day)
    linked = door.put("own.jsonl", b"{}", "2026-11-10").with_name("linked.jsonl")
    linked.symlink_to(outside)
    nested = door.put("own.jsonl", b"{}", "2026-11-11").with_name("nested")
    nested.mkdir()
    unknown = door.landing / "tickets" / "kiosk" / "2026-11-20"
    unknown.mkdir(parents=True)
    (unknown / "a.jsonl").write_bytes(b"{}")
    found = door.pending()
    assert found.batches == [Batch("desk", DAY, "new")]
    base = door.landing / "tickets"
    assert [problem.message for problem in found.problems] == [
        f"{linked} is a link that leads out of landing",
        f"{nested} is not a file",
        f"{base}/desk/2026-11-24 lies in the future: today is 2026-11-23 (UTC)",
        f"{base}/desk/20261119 is no arrival day",
        f"{base}/desk/november is no arrival day",
        f"{base}/kiosk: 'kiosk' is no declared source; there are desk",
    ]
    assert all(problem.fix for problem in found.problems)


def test_a_range_of_days_leaves_the_others_pending(tmp_path: Path) -> None:
    door = Door(tmp_path)
    days = [DAY + datetime.timedelta(days=offset) for offset in range(-2, 2)]
    for day in days:
        door.put("a.jsonl", lines([ticket(day.day)]), day)
    assert [batch.day for batch in door.pending(from_day=days[1], to_day=days[2]).batches] == days[1:3]
    assert [batch.day for batch in door.pending().batches] == days


def test_a_day_is_compared_with_the_day_before_it(tmp_path: Path) -> None:
    door = Door(tmp_path)
    for offset, replies in ((0, 1), (1, 1), (2, None)):
        content = lines(ticket(1000 + number, replies=replies) for number in range(100))
        door.put("a.jsonl", content, DAY + datetime.timedelta(days=offset))
    entries = door.run()
    assert [entry.moved for entry in entries] == [
        [],
        [],
        [
            "replies: 100.0% to 0.0% of records are integer since 2026-11-21",
            "replies: 0.0% to 100.0% of records are null since 2026-11-21",
        ],
    ]


def test_the_order_of_lines_and_files_changes_no_number(tmp_path: Path) -> None:
    tickets = [ticket(number, at=1_700_000_000 + number % 3) for number in range(50)]
    orders = []
    for seed in range(3):
        door = Door(tmp_path / str(seed))
        shuffled = random.Random(seed).sample(tickets, len(tickets))
        door.put("a.jsonl" if seed else "z.jsonl", lines(shuffled[:20]))
        door.put("m.jsonl", lines(shuffled[20:]))
        door.run()
        orders.append([(row["record_no"], row["ticket_uid"], row["content_hash"]) for row in door.raw(1)])
    assert orders[0] == orders[1] == orders[2]


def test_a_disk_that_takes_nothing_is_named_and_nothing_half_written_is_seen(tmp_path: Path) -> None:
    door = Door(tmp_path)
    door.put("a.jsonl", lines(ticket(number, text=random.Random(number).randbytes(2000).hex()) for number in range(300)))
    script = f"""
import pathlib, resource
from curation.errors import CurationError
from tests.curation.ingestion.doors import Door
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    Door(pathlib.Path({str(tmp_path)!r})).run()
except CurationError as error:
    print(error.message)
"""
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=ROOT)
    assert f"cannot write below {door.lake}" in told.stdout, told.stderr
    assert door.ledger.entries() == []
    assert list(door.ledger.workshop.iterdir()) == []
    assert [entry.verdict for entry in door.run()] == ["accepted"]


def test_a_lake_that_is_no_folder_is_named(tmp_path: Path) -> None:
    door = Door(tmp_path)
    door.put("a.jsonl", lines([ticket(1)]))
    door.lake.write_bytes(b"")
    with pytest.raises(CurationError, match="cannot write below"):
        door.take(Batch("desk", DAY, "new"))


AMAZON = Source(
    name="amazon",
    fields={
        "stars": FieldRule(path=("overall",), type="number"),
        "text": FieldRule(path=("reviewText",), type="string", required=False),
        "opened_at": FieldRule(path=("unixReviewTime",), type="integer"),
    },
    rating=Rating(minimum=1, maximum=5),
    date_format="epoch_s",
)


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("file", "counts"),
    [
        ("amazon2014_cellphones/Cell_Phones_and_Accessories_5.json", {"in": 4777, "malformed": 1, "contract": 0, "valid": 4776}),
        ("amazon2018_fashion/AMAZON_FASHION_5.json.gz", {"in": 3176, "malformed": 0, "contract": 0, "valid": 3176}),
        ("amazon2018_fashion/AMAZON_FASHION_5.variant_one_null.json", {"in": 3176, "malformed": 0, "contract": 1, "valid": 3175}),
    ],
)
def test_real_deliveries_are_taken_in_to_the_last_record(
    real_data: Path, tmp_path: Path, file: str, counts: dict[str, int]
) -> None:
    door = Door(tmp_path, AMAZON)
    door.put(Path(file).name, (real_data / file).read_bytes())
    [entry] = door.run()
    assert entry.verdict == "accepted"
    assert entry.counts.model_dump(by_alias=True, exclude={"added", "removed"}) == counts
    assert len(door.raw(1)) == counts["valid"]
