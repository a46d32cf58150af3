"""Records, a database to decide them in, and a second, slow way to decide them, written straight from the rules."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from curation.deduplication import decisions, signatures

CLEANED = {
    "record_no": pa.int64(), "review_uid": pa.string(), "content_hash": pa.string(),
    "clean_text": pa.string(), "spam_rule": pa.string(), "is_empty": pa.bool_(),
}  # fmt: skip


@dataclass(frozen=True)
class Record:
    """One cleaned record; its content is its text unless told otherwise."""

    record_no: int
    uid: str
    text: str
    spam_rule: str | None = None
    content: str | None = None

    def row(self) -> dict[str, Any]:
        return {
            "record_no": self.record_no, "review_uid": self.uid, "content_hash": self.content or self.text,
            "clean_text": self.text, "spam_rule": self.spam_rule, "is_empty": self.text == "",
        }  # fmt: skip


class Database:
    """A DuckDB database that takes in cleaned records and decides them as dbt would: in one transaction, keyed by record_no."""

    def __init__(self, path: Path | str = ":memory:") -> None:
        extensions = {"autoinstall_known_extensions": False, "autoload_known_extensions": False}
        self.session = duckdb.connect(str(path), config=extensions)
        columns = (
            "record_no bigint, review_uid varchar, content_hash varchar, clean_text varchar, spam_rule varchar, is_empty boolean"
        )
        self.session.execute(f"create table if not exists cleaned ({columns})")

    def take_in(self, records: list[Record]) -> None:
        """Append cleaned records."""
        rows = pa.Table.from_pylist([record.row() for record in records], schema=pa.schema(CLEANED))
        self.session.register("arriving", rows)
        self.session.execute("insert into cleaned select * from arriving")

    def build(self, rows_at_once: int = decisions.ROWS_AT_ONCE, *, afresh: bool = False) -> None:
        """Decide what is not decided yet, or everything afresh."""
        self.session.begin()
        self.write_decisions(rows_at_once, afresh=afresh)
        self.session.commit()

    def write_decisions(self, rows_at_once: int = decisions.ROWS_AT_ONCE, *, afresh: bool = False) -> None:
        """The part of `build` within the transaction."""
        known = {name for (name,) in self.session.execute("select table_name from duckdb_tables()").fetchall()}
        is_incremental = "decided" in known and not afresh
        cleaned = self.session.table("cleaned")
        relation = decisions.decide(
            self.session, cleaned, key="review_uid", decided='"decided"' if is_incremental else None,
            bands='"near_duplicate_bands"', rows_at_once=rows_at_once,
        )  # fmt: skip
        self.session.register("result", relation)
        if is_incremental:
            self.session.execute("create temp table changed as from result")
            self.session.execute("delete from decided where record_no in (select record_no from changed)")
            self.session.execute("insert into decided from changed")
            self.session.execute("drop table changed")
        else:
            self.session.execute("create or replace table decided as from result")

    def fates(self) -> dict[int, tuple[str, int | None]]:
        """record_no -> fate and duplicate_of."""
        found = self.session.execute("select record_no, fate, duplicate_of from decided").fetchall()
        assert len(found) == len({number for number, _fate, _of in found})
        return {number: (fate, of) for number, fate, of in found}


def shingles(text: str) -> set[Any]:
    """Word-3-shingles, or five characters where there is no space; empty when the text is too short to compare."""
    if " " in text:
        words = re.findall(r"\w+", text)
        return {tuple(words[i : i + 3]) for i in range(len(words) - 2)} if len(words) >= 8 else set()
    found = [text[i : i + 5] for i in range(len(text) - 4)]
    return set(found) if len(found) >= 8 else set()


def decide_slowly(records: list[Record]) -> dict[int, tuple[str, int | None]]:
    """record_no -> fate and duplicate_of, from the rules, one record after the other, each compared with all kept ones."""
    texts = pa.array([record.text for record in records])
    hashes, has_bands = signatures.band_hashes(texts, np.arange(len(records)))
    bands = {record.record_no: hashes[i] if has_bands[i] else None for i, record in enumerate(records)}
    fates: dict[int, tuple[str, int | None]] = {}
    version: dict[str, Record] = {}
    kept: dict[int, Record] = {}
    for record in sorted(records, key=lambda record: record.record_no):
        former = version.get(record.uid)
        if former is not None and former.row()["content_hash"] == record.row()["content_hash"]:
            fates[record.record_no] = ("exact_duplicate", former.record_no)
            continue
        version[record.uid] = record
        if former is not None and fates[former.record_no][0] == "kept":
            fates[former.record_no] = ("superseded", record.record_no)
            del kept[former.record_no]
        if record.text == "" or record.spam_rule is not None:
            fates[record.record_no] = ("empty" if record.text == "" else "spam", None)
            continue
        same = [other.record_no for other in kept.values() if other.text == record.text]
        near = [other.record_no for other in kept.values() if _is_near(record, other, bands)]
        if same:
            fates[record.record_no] = ("exact_duplicate", same[0])
        elif near:
            fates[record.record_no] = ("near_duplicate", min(near))
        else:
            fates[record.record_no] = ("kept", None)
            kept[record.record_no] = record
    return fates


def _is_near(record: Record, other: Record, bands: dict[int, Any]) -> bool:
    mine, theirs = bands[record.record_no], bands[other.record_no]
    if mine is None or theirs is None or not (mine == theirs).any():
        return False
    first, second = shingles(record.text), shingles(other.text)
    return len(first & second) / len(first | second) >= 0.8
