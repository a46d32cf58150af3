"""Fates, decided in order: what each rule does, and that neither pieces nor several runs nor a kill change anything."""

import itertools
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import duckdb
import pytest
from deciding import Database, Record, decide_slowly
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.errors import CurationError

LONG = "this old kettle boils water slowly but keeps it warm for hours and never leaks on our kitchen table at night"
WORDS = LONG.split()


def edited(place: int, word: str, text: str = LONG) -> str:
    """`text` with one word replaced."""
    words = text.split()
    words[place] = word
    return " ".join(words)


def fates_of(*records: Record) -> dict[int, tuple[str, int | None]]:
    """Decided all at once."""
    database = Database()
    database.take_in(list(records))
    database.build()
    return database.fates()


LONGER = " ".join(f"{word} {word}s" for word in WORDS)  # 42 words: one replaced word leaves a Jaccard of 37/43 = .86
BASES = [
    LONGER,
    " ".join(reversed(LONGER.split())),
    "這個水壺燒水很慢但是可以保溫好幾個小時而且從來不漏水放在廚房桌上",
    "good kettle",
    "buy now",
]


@st.composite
def record_lists(draw: st.DrawFn) -> list[Record]:
    """Up to 30 records of few uids, texts and contents, so that every rule meets every other."""
    records = []
    for number in range(draw(st.integers(1, 30))):
        text = draw(st.sampled_from(BASES))
        if " " in text and len(text) > 20:
            for place in draw(st.lists(st.integers(0, 41), max_size=3)):
                text = edited(place, draw(st.sampled_from(["red", "blue", "über"])), text)
        text = draw(st.sampled_from([text, text, text, text, text[:-1], ""]))
        spam_rule = draw(st.sampled_from([None, None, None, None, "link"]))
        uid = draw(st.sampled_from([f"own{number}", f"own{number}", "a", "b", "c"]))
        records.append(Record(7 * number + 3, uid, text, spam_rule, draw(st.sampled_from([None, "x", "y"]))))
    return records


@pytest.mark.slow
@settings(max_examples=40)
@given(records=record_lists(), rows_at_once=st.sampled_from([1, 7, 100]), cuts=st.lists(st.integers(0, 30), max_size=4))
def test_pieces_and_runs_of_any_size_decide_as_the_rules_say(records: list[Record], rows_at_once: int, cuts: list[int]) -> None:
    expected = decide_slowly(records)
    with tempfile.TemporaryDirectory() as folder:
        bounds = [0, *sorted(min(cut, len(records)) for cut in cuts), len(records)]
        for start, end in itertools.pairwise(bounds):
            database = Database(Path(folder) / "warehouse.duckdb")
            database.take_in(records[start:end])
            database.build(rows_at_once)
            decided = database.fates()
            database.session.close()
    assert decided == expected


def test_a_near_copy_is_attached_to_the_first_kept_record_and_not_chained() -> None:
    second = edited(5, "dirt", edited(0, "red", LONGER))
    third = edited(30, "dirt", edited(24, "red", second))
    fates = fates_of(
        Record(1, "a", LONGER), Record(2, "b", second), Record(3, "c", third), Record(4, "d", edited(41, "x", third))
    )
    assert fates == {1: ("kept", None), 2: ("near_duplicate", 1), 3: ("kept", None), 4: ("near_duplicate", 3)}


def test_a_later_version_supersedes_the_kept_one_and_frees_its_text() -> None:
    fates = fates_of(Record(1, "a", LONG), Record(2, "a", "something else"), Record(3, "b", LONG), Record(4, "c", LONG))
    assert fates == {1: ("superseded", 2), 2: ("kept", None), 3: ("kept", None), 4: ("exact_duplicate", 3)}


def test_a_later_version_that_is_spam_supersedes_too() -> None:
    assert fates_of(Record(1, "a", LONG), Record(2, "a", "buy now", "link")) == {1: ("superseded", 2), 2: ("spam", None)}


def test_a_record_delivered_again_is_a_duplicate_of_its_current_version_and_not_a_version() -> None:
    database = Database()
    database.take_in([Record(1, "a", LONG), Record(2, "a", "new words"), Record(3, "a", "new words"), Record(4, "a", LONG)])
    database.build()
    assert database.fates() == {1: ("superseded", 2), 2: ("superseded", 4), 3: ("exact_duplicate", 2), 4: ("kept", None)}
    versions = database.session.execute("select record_no from decided where is_version order by 1").fetchall()
    assert versions == [(1,), (2,), (4,)]


def test_spam_and_empty_texts_are_named_and_never_compared() -> None:
    database = Database()
    database.take_in([Record(1, "a", LONG, "link"), Record(2, "b", LONG), Record(3, "c", ""), Record(4, "d", "", "link")])
    database.build()
    found = database.session.execute("select record_no, fate, rule from decided order by 1").fetchall()
    assert found == [(1, "spam", "link"), (2, "kept", None), (3, "empty", None), (4, "empty", None)]


def test_texts_under_eight_words_are_duplicates_only_when_equal() -> None:
    short = " ".join(WORDS[:7])
    fates = fates_of(Record(1, "a", short), Record(2, "b", short + "!"), Record(3, "c", short))
    assert fates == {1: ("kept", None), 2: ("kept", None), 3: ("exact_duplicate", 1)}


def test_a_text_without_spaces_is_compared_by_its_characters() -> None:
    fates = fates_of(
        Record(1, "a", BASES[2]), Record(2, "b", BASES[2] + "哦"), Record(3, "c", BASES[2][:11]), Record(4, "d", BASES[2][:10])
    )
    assert fates == {1: ("kept", None), 2: ("near_duplicate", 1), 3: ("kept", None), 4: ("kept", None)}


def test_the_jaccard_of_a_near_duplicate_is_that_of_its_shingles() -> None:
    database = Database()
    database.take_in([Record(1, "a", LONGER), Record(2, "b", edited(20, "red", LONGER))])
    database.build()
    assert database.session.execute("select jaccard from decided order by record_no").fetchall() == [(None,), (37 / 43,)]


def test_a_crowded_bucket_is_searched_and_its_unlike_members_are_all_kept() -> None:
    shared = " ".join(f"word{number}" for number in range(60))
    crowd = [
        Record(number, str(number), shared + "".join(f" own{number}x{place}" for place in range(30))) for number in range(1500)
    ]
    fates = fates_of(*crowd, Record(2000, "late", crowd[0].text + " indeed"))
    assert {fate for number, (fate, _of) in fates.items() if number < 1500} == {"kept"}
    assert fates[2000] == ("near_duplicate", 0)


def test_the_fates_of_no_records_are_no_rows() -> None:
    assert fates_of() == {}


def test_without_an_open_transaction_nothing_is_decided() -> None:
    database = Database()
    database.take_in([Record(1, "a", LONG)])
    with pytest.raises(ValueError, match="open transaction"):
        database.write_decisions()


def test_earlier_records_that_disappear_ask_for_a_full_refresh() -> None:
    database = Database()
    database.take_in([Record(1, "a", LONG), Record(2, "b", "other words")])
    database.build()
    database.session.execute("delete from cleaned where record_no = 1")
    with pytest.raises(CurationError, match="2 records up to number 2 were decided, but 1 are there now"):
        database.build()


def test_two_records_with_one_number_are_refused() -> None:
    with pytest.raises(ValueError, match="unique"):
        fates_of(Record(1, "a", LONG), Record(1, "b", "other words"))


def test_a_full_refresh_forgets_the_bands_of_records_that_are_gone() -> None:
    database = Database()
    database.take_in([Record(1, "a", LONG), Record(2, "b", LONGER)])
    database.build()
    database.session.execute("delete from cleaned where record_no = 2")
    database.build(afresh=True)
    assert database.fates() == {1: ("kept", None)}
    assert database.session.execute("select count(*) from near_duplicate_bands").fetchone() == (1,)


KILLED = """
import os, signal, sys
from deciding import Database
database = Database(sys.argv[1])
database.session.begin()
database.write_decisions()
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
def test_a_kill_before_the_commit_leaves_neither_bands_nor_decisions(tmp_path: Path) -> None:
    path = tmp_path / "warehouse.duckdb"
    database = Database(path)
    database.take_in([Record(1, "a", LONGER)])
    database.build()
    database.take_in([Record(2, "b", edited(3, "red", LONGER)), Record(3, "a", LONG), Record(4, "c", edited(4, "red", LONGER))])
    database.session.close()
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    killed = subprocess.run([sys.executable, "-c", KILLED, str(path)], env=environment, check=False)
    assert killed.returncode == -signal.SIGKILL
    with duckdb.connect(str(path)) as session:
        assert session.execute("select count(*) from near_duplicate_bands").fetchone() == (1,)
        assert session.execute("select record_no, fate from decided").fetchall() == [(1, "kept")]
    database = Database(path)
    database.build()
    assert database.fates() == {1: ("superseded", 3), 2: ("near_duplicate", 1), 3: ("kept", None), 4: ("kept", None)}


@pytest.mark.real_data
@pytest.mark.parametrize("size", [100, 1000])
def test_all_true_pairs_of_the_planted_articles_are_found_and_nothing_else(real_data: Path, size: int) -> None:
    folder = real_data / "minhash_articles"
    articles = dict(line.split(" ", 1) for line in (folder / f"articles_{size}.train").read_text().splitlines() if line)
    truth = {frozenset(line.split()) for line in (folder / f"articles_{size}.truth").read_text().splitlines() if line}
    names = list(articles)
    fates = fates_of(*(Record(number, name, articles[name].lower()) for number, name in enumerate(names)))
    found = {frozenset((names[number], names[of])) for number, (_fate, of) in fates.items() if of is not None}
    assert found == truth
    assert {fate for fate, of in fates.values() if of is not None} == {"near_duplicate"}
