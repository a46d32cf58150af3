"""Whatever someone changes in a snapshot's folder is found and named."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support_tickets import SPEC, ticket, tickets

from curation.errors import CurationError
from curation.files import sha256_of_file
from curation.snapshots.digest import SPLIT, row_digests
from curation.snapshots.verification import verify_dataset, verify_snapshot


@pytest.fixture
def two(store, connect):
    """A store with two versions that share files."""
    store.write(SPEC, connect(tickets()), "rows")
    store.write(SPEC, connect([*tickets(), ticket(300)]), "rows")
    return store


def edit(path, content):
    """Replace a file by one with other content, leaving what is hard-linked to the old one alone."""
    path.unlink()
    path.write_bytes(content)


def rewrite_manifest(folder, change):
    declared = json.loads((folder / "manifest.json").read_text())
    change(declared)
    edit(folder / "manifest.json", (json.dumps(declared, indent=1, ensure_ascii=False) + "\n").encode())


def said(verification):
    return {(problem.file, problem.what) for problem in verification.problems}


def test_untouched_snapshots_hold(two):
    found = verify_dataset(two, "tickets")
    assert found.holds, found.problems
    assert found.versions == ["v0001", "v0002"]
    assert found.files == 2 * (6 + 2 + 3 + 1 + 1)


def test_one_edited_byte_of_a_csv_is_named_with_what_was_expected_and_found(two):
    path = two.folder("tickets", "v0002") / "train.csv"
    before, content = sha256_of_file(path), path.read_bytes().replace(b"plain", b"plaim", 1)
    edit(path, content)
    found = verify_snapshot(two, "tickets")
    assert said(found) == {("v0002/train.csv", "sha256"), ("v0002/train.csv", "digest of the rows against Parquet")}
    assert (found.problems[0].expected, found.problems[0].found) == (before, sha256_of_file(path))


def test_a_relabelled_parquet_part_is_named_though_its_manifest_entry_was_mended(two):
    folder = two.folder("tickets", "v0002")
    path = folder / "data/train/2026-01.parquet"
    rows = pq.ParquetFile(path).read().to_pylist()
    schema = pq.read_schema(path)
    rows[0]["label"] = "angry" if rows[0]["label"] == "calm" else "calm"
    path.unlink()
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)

    def mend(declared):
        declared["files"]["data/train/2026-01.parquet"] |= {"bytes": path.stat().st_size, "sha256": sha256_of_file(path)}

    rewrite_manifest(folder, mend)
    assert said(verify_snapshot(two, "tickets")) == {
        ("v0002/data/train/2026-01.parquet", "digest of the rows"),
        ("v0002/manifest.json", "counts of train"),
        ("v0002/manifest.json", "digest"),
        ("v0002/train.csv", "digest of the rows against Parquet"),
    }


def test_missing_and_unknown_files_are_named(two):
    folder = two.folder("tickets", "v0002")
    (folder / "data/test/2026-02.parquet").unlink()
    (folder / "notes.txt").write_text("mine")
    found = said(verify_snapshot(two, "tickets"))
    assert {
        ("v0002/data/test/2026-02.parquet", "file"),
        ("v0002/notes.txt", "unknown file"),
        ("v0002/manifest.json", "digest"),
    } <= found


@pytest.mark.parametrize("name", ["data/test/2026-01.parquet", "index/2026-01.parquet"])
def test_a_part_cut_short_is_named_and_the_rest_is_still_checked(two, name):
    path = two.folder("tickets", "v0002") / name
    edit(path, path.read_bytes()[:200])
    found = said(verify_snapshot(two, "tickets"))
    assert {(f"v0002/{name}", "bytes"), (f"v0002/{name}", "Parquet")} <= found


def test_a_csv_that_is_none_any_more_is_named(two):
    edit(two.folder("tickets", "v0002") / "test.csv", b'ticket_uid,source\n"cut')
    assert ("v0002/test.csv", "CSV") in said(verify_snapshot(two, "tickets"))


def test_an_edited_index_is_named(two):
    path = two.folder("tickets", "v0002") / "index/2026-02.parquet"
    table = pq.ParquetFile(path).read()
    path.unlink()
    pq.write_table(table.slice(1), path)
    found = said(verify_snapshot(two, "tickets"))
    assert {("v0002/index/2026-02.parquet", "digest of the rows"), ("v0002/index", "rows")} <= found


def test_an_edited_manifest_of_an_older_version_is_named_by_its_child(two):
    rewrite_manifest(two.folder("tickets", "v0001"), lambda declared: declared["code_versions"].update(cleaning="9"))
    assert verify_snapshot(two, "tickets", "v0001").holds
    assert [problem.what for problem in verify_dataset(two, "tickets").problems] == ["sha256, said v0002"]


def test_a_manifest_that_cannot_be_read_is_a_finding_and_other_versions_are_still_checked(two):
    edit(two.folder("tickets", "v0001") / "manifest.json", b"{")
    found = verify_dataset(two, "tickets")
    assert ("v0001/manifest.json", "manifest") in said(found)
    assert found.versions == ["v0001", "v0002"]
    rewrite_manifest(two.folder("tickets", "v0002"), lambda declared: declared.update(format=2))
    assert any("format 2" in problem.found for problem in verify_dataset(two, "tickets").problems)


def test_latest_that_points_elsewhere_is_named(two):
    (two.root / "tickets" / "LATEST").write_text("v0001\n")
    assert [(problem.file, problem.expected, problem.found) for problem in verify_dataset(two, "tickets").problems] == [
        ("LATEST", "v0002", "v0001")
    ]


def test_a_version_in_the_middle_that_was_removed_breaks_the_chain(two, connect):
    third = two.write(SPEC, connect(tickets(90)), "rows").folder
    two.folder("tickets", "v0002").rename(two.root / "elsewhere")
    found = verify_dataset(two, "tickets").problems
    assert [(problem.file, problem.what, problem.expected, problem.found) for problem in found] == [
        (f"{third.name}/manifest.json", "parent", "v0002", "v0001")
    ]


def test_an_erased_row_with_its_tombstone_still_gives_the_digest(two):
    import polars as pl

    folder = two.folder("tickets", "v0002")
    name = "data/test/2026-01.parquet"
    table = pq.ParquetFile(folder / name).read()
    frame = pl.DataFrame(table.slice(0, 1)).with_columns(pl.lit("test").alias("split"))
    erased = row_digests(frame, (SPLIT, *SPEC.columns)).tobytes().hex()
    (folder / name).unlink()
    pq.write_table(table.slice(1), folder / name)
    rewrite_manifest(folder, lambda declared: declared["tombstones"].append({"part": name, "digest": erased}))
    found = said(verify_snapshot(two, "tickets"))
    assert ("v0002/manifest.json", "digest") not in found
    assert (f"v0002/{name}", "digest of the rows") not in found


def test_a_dataset_without_snapshots_says_so(store):
    with pytest.raises(CurationError, match="no snapshot yet"):
        verify_dataset(store, "tickets")
