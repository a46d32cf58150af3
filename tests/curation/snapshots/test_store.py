"""A snapshot appears whole or not at all, holds the rows it was given, and is the same bytes whoever delivers them how."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from filelock import FileLock
from support_tickets import COLUMNS, SPEC, contents, shuffled, ticket, tickets

from curation.errors import CurationError
from curation.snapshots.manifest import SnapshotSpec
from curation.snapshots.store import SnapshotStore


def test_the_folder_holds_every_row_once_in_its_split_and_month(store, connect):
    rows = tickets()
    snapshot = store.write(SPEC, connect(rows), "rows")
    assert (snapshot.folder.name, snapshot.is_new, store.latest("tickets")) == ("v0001", True, "v0001")
    found = {}
    for path in snapshot.folder.glob("data/*/*.parquet"):
        part = pq.ParquetFile(path).read().to_pylist()
        assert [row["ticket_uid"] for row in part] == sorted(row["ticket_uid"] for row in part)
        found |= {row["ticket_uid"]: row | {"split": path.parent.name, "month": path.stem} for row in part}
    names = [*(column.name for column in COLUMNS), "split", "month"]
    assert found == {row["ticket_uid"]: {name: row[name] for name in names} for row in rows}


def test_the_row_index_tells_where_each_row_came_from(store, connect):
    rows = tickets()
    folder = store.write(SPEC, connect(rows), "rows").folder
    found = {row["ticket_uid"]: row for path in folder.glob("index/*.parquet") for row in pq.ParquetFile(path).read().to_pylist()}
    names = ("ticket_uid", "split", "cluster", "subject", "batch", "file", "line")
    assert found == {row["ticket_uid"]: {name: row[name] for name in names} for row in rows}


def test_the_manifest_counts_what_is_there(store, connect):
    rows = tickets()
    manifest = store.write(SPEC, connect(rows), "rows").manifest
    assert manifest.rows == len(rows)
    for split in ("train", "validation", "test"):
        for label in SPEC.labels:
            for source in ("desk", "phone"):
                wanted = sum((row["split"], row["label"], row["source"]) == (split, label, source) for row in rows)
                assert manifest.counts[split].get(label, {}).get(source, 0) == wanted
    assert [batch.id for batch in manifest.batches] == ["desk/2026-01-02", "desk/2026-02-03"]
    assert manifest.created_at == "2026-02-03T00:00:00Z"
    assert manifest.as_metadata()["rows_train"] == sum(row["split"] == "train" for row in rows)


def test_the_same_rows_give_the_same_bytes_in_any_order_home_and_number_of_threads(tmp_path, connect):
    rows = [ticket(number) for number in range(70_000)]  # more than two row groups
    folders = [
        SnapshotStore(tmp_path / "one").write(SPEC, connect(rows, threads=1), "rows").folder,
        SnapshotStore(tmp_path / "two").write(SPEC, connect(shuffled(rows, 1), threads=4), "rows").folder,
    ]
    assert contents(folders[0]) == contents(folders[1])


def test_only_the_manifest_tells_in_how_many_steps_the_rows_came(tmp_path, connect):
    rows = tickets()
    stepwise = SnapshotStore(tmp_path / "stepwise")
    stepwise.write(SPEC, connect(rows[:60]), "rows")
    second = contents(stepwise.write(SPEC, connect(rows), "rows").folder)
    at_once = contents(SnapshotStore(tmp_path / "at_once").write(SPEC, connect(rows), "rows").folder)
    assert {name for name in at_once if at_once[name] != second[name]} == {"manifest.json"}
    differing = {
        name: value
        for name, value in json.loads(second["manifest.json"]).items()
        if value != json.loads(at_once["manifest.json"])[name]
    }
    assert set(differing) == {"version", "parent"}


def test_nothing_changed_makes_no_version(store, connect):
    first = store.write(SPEC, connect(tickets()), "rows")
    before = contents(store.root)
    again = store.write(SPEC.model_copy(update={"code_versions": {"cleaning": "2"}}), connect(shuffled(tickets(), 3)), "rows")
    assert (again.is_new, again.manifest) == (False, first.manifest)
    assert contents(store.root) == before


@pytest.mark.parametrize("changed", [{"cluster": "other"}, {"subject": "other"}, {"weight": 2.0}, {"split": "test"}])
def test_one_changed_cell_of_rows_or_index_makes_a_version(store, connect, changed):
    rows = tickets()
    store.write(SPEC, connect(rows), "rows")
    rows[10] = ticket(10, **changed)
    assert store.write(SPEC, connect(rows), "rows").manifest.version == "v0002"


def test_newly_consumed_feedback_makes_a_version_though_no_row_changed(store, connect):
    store.write(SPEC, connect(tickets()), "rows")
    assert store.write(SPEC.model_copy(update={"consumed_feedback_seq": 7}), connect(tickets()), "rows").is_new


def test_a_new_version_shares_the_files_of_what_did_not_change(store, connect):
    rows = tickets()
    first = store.write(SPEC, connect(rows), "rows").folder
    late = ticket(500, month="2026-03", split="train")
    second = store.write(SPEC, connect([*rows, late]), "rows").folder
    shared = {path for path in contents(first) if (first / path).samefile(second / path)}
    assert shared == {path for path in contents(first) if path.endswith(".parquet")} | {"validation.csv", "test.csv"}
    assert (second / "data/train/2026-03.parquet").stat().st_nlink == 1


def test_an_edited_file_of_the_parent_does_not_spread(store, connect):
    rows = tickets()
    first = store.write(SPEC, connect(rows), "rows").folder
    edited = first / "data/test/2026-01.parquet"
    edited.chmod(0o644)
    edited.write_bytes(edited.read_bytes()[:-1] + b"!")
    second = store.write(SPEC, connect([*rows, ticket(500)]), "rows").folder
    assert not (second / "data/test/2026-01.parquet").samefile(edited)
    assert pq.ParquetFile(second / "data/test/2026-01.parquet").metadata.num_rows > 0


def test_a_changed_type_of_a_column_shares_nothing(store, connect):
    connection = connect(tickets())
    store.write(SPEC, connection, "rows")
    columns = tuple(column.model_copy(update={"type": "number"}) if column.name == "visits" else column for column in COLUMNS)
    connection.execute("create view cast_rows as select * replace (visits::double as visits) from rows")
    snapshot = store.write(SPEC.model_copy(update={"columns": columns}), connection, "main.cast_rows")
    assert pq.read_schema(snapshot.folder / "data/test/2026-01.parquet").field("visits").type == "double"


def test_a_split_without_rows_has_an_empty_csv(store, connect):
    snapshot = store.write(SPEC, connect([row for row in tickets() if row["split"] != "test"]), "rows")
    assert (snapshot.folder / "test.csv").read_text() == ",".join(column.name for column in COLUMNS) + "\n"


def test_versions_are_numbers(store, connect):
    first = store.write(SPEC, connect(tickets()), "rows").folder
    first.rename(first.with_name("v9999"))
    second = store.write(SPEC, connect(tickets(100)), "rows")
    third = store.write(SPEC, connect(tickets(90)), "rows")
    assert store.versions("tickets") == ["v9999", "v10000", "v10001"]
    assert third.manifest.parent.version == second.manifest.version == "v10000"


def test_files_of_a_version_are_read_only(store, connect):
    folder = store.write(SPEC, connect(tickets()), "rows").folder
    assert {path.stat().st_mode & 0o777 for path in folder.rglob("*") if path.is_file()} == {0o444}


KILLED = """
    import os, signal, sys
    from pathlib import Path
    sys.path.insert(0, {tests!r})
    import duckdb, pyarrow as pa
    from support_tickets import COLUMNS, SPEC, tickets
    from curation.snapshots.parts import arrow_schema, index_columns
    from curation.snapshots.store import SnapshotStore
    connection = duckdb.connect()
    schema = arrow_schema((*COLUMNS, *index_columns("ticket_uid")[1:])).append(pa.field("month", pa.string()))
    connection.register("rows", pa.Table.from_pylist(tickets(110), schema=schema))
    calls = 0
    def kill_when_written(event, arguments):
        global calls
        if event == "os.rename" and {stop!r} in str(arguments[1]):
            os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(kill_when_written)
    SnapshotStore(Path({root!r})).write(SPEC, connection, "rows")
"""


@pytest.mark.parametrize("stop", ["data/", "v0002", "LATEST"])
def test_a_killed_writer_leaves_the_former_version_and_the_next_one_cleans_up(tmp_path, connect, stop):
    stores = [SnapshotStore(tmp_path / name) for name in ("killed", "peaceful")]
    for each in stores:
        each.write(SPEC, connect(tickets()), "rows")
    script = textwrap.dedent(KILLED.format(tests=str(Path(__file__).parent), root=str(stores[0].root), stop=stop))
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -signal.SIGKILL
    assert stores[0].latest("tickets") == "v0001"
    for each in stores:
        each.write(SPEC, connect(tickets(110)), "rows")
    killed, peaceful = (contents(each.root) for each in stores)
    assert killed == peaceful
    assert stores[0].latest("tickets") == "v0002"


def test_two_writers_at_once_are_told_apart(store, connect):
    workshop = store.root / "tickets" / ".workshop"
    workshop.mkdir(parents=True)
    with FileLock(workshop / "lock"), pytest.raises(CurationError, match="another process is writing"):
        store.write(SPEC, connect(tickets()), "rows")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"split": "holdout"}, "has the split 'holdout'"),
        ({"month": "2026-13"}, "has the month '2026-13'"),
        ({"month": None}, "has the month None"),
        ({"label": "furious"}, "'uid00500' has the label 'furious'"),
        ({"label": None}, "'uid00500' has the label None"),
        ({"source": None}, "the source None"),
        ({"text": "a\0b"}, "text of ticket_uid 'uid00500' holds a NUL"),
        ({"ticket_uid": "uid00001"}, "2 rows with ticket_uid 'uid00001'"),
        ({"ticket_uid": None}, "1 rows with ticket_uid None"),
    ],
)
def test_a_row_that_may_not_be_in_is_named_and_nothing_is_written(store, connect, changed, message):
    with pytest.raises(CurationError, match=message):
        store.write(SPEC, connect([*tickets(), ticket(500, **changed)]), "rows")
    assert store.versions("tickets") == []
    assert set(contents(store.root)) <= {"tickets/.workshop/lock"}


def test_a_column_of_another_type_is_named(store, connect):
    connection = connect(tickets())
    connection.execute("create view strings as select * replace (rating::varchar as rating) from rows")
    with pytest.raises(CurationError, match="rating is VARCHAR, declared number"):
        store.write(SPEC, connection, "strings")
    connection.execute("create view narrow as select * exclude (cluster) from rows")
    with pytest.raises(CurationError, match="no column 'cluster'"):
        store.write(SPEC, connection, "narrow")


def test_no_rows_make_no_snapshot(store, connect):
    with pytest.raises(CurationError, match="has no rows"):
        store.write(SPEC, connect([]), "rows")


def test_a_full_disk_leaves_the_former_version(store, connect, tmp_path):
    store.write(SPEC, connect(tickets()), "rows")
    limit = "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
    script = limit + textwrap.dedent(KILLED.format(tests=str(Path(__file__).parent), root=str(store.root), stop="never"))
    done = subprocess.run(
        [sys.executable, "-c", script], check=False, capture_output=True, text=True, env=os.environ | {"TMPDIR": str(tmp_path)}
    )
    assert done.returncode == 1
    assert "cannot write" in done.stderr
    assert store.versions("tickets") == ["v0001"]
    assert not (store.root / "tickets" / ".workshop" / "staged").exists()


def test_asking_for_what_is_not_there_says_what_is(store, connect):
    with pytest.raises(CurationError, match="no snapshot yet"):
        store.manifest("tickets")
    store.write(SPEC, connect(tickets()), "rows")
    with pytest.raises(CurationError, match="there are: v0001"):
        store.folder("tickets", "v0002")
    with pytest.raises(CurationError, match="cannot name a dataset"):
        store.folder("../x")


def test_a_manifest_of_a_newer_format_is_refused(store, connect):
    folder = store.write(SPEC, connect(tickets()), "rows").folder
    path = folder / "manifest.json"
    path.chmod(0o644)
    path.write_text(path.read_text().replace('"format": 1', '"format": 2'))
    with pytest.raises(CurationError, match="format 2"):
        store.manifest("tickets")
    with pytest.raises(CurationError, match="format 2"):
        store.write(SPEC, connect(tickets(100)), "rows")


def test_a_spec_whose_columns_do_not_start_with_the_key_is_refused():
    with pytest.raises(ValueError, match="start with 'ticket_uid'"):
        SnapshotSpec.model_validate(SPEC.model_dump() | {"columns": [column.model_dump() for column in COLUMNS[1:]]})
