"""The shipped sources.yaml against the data that each entry was written for, counted record by record."""

import json
from collections import Counter
from pathlib import Path

import pytest

from curation.ingestion.contract import Checked, Contract
from curation.ingestion.records import read_file
from curation.ingestion.sources import Source, load_sources
from curation_assets.reviews.dataset import REVIEWS

SOURCES_YAML = Path(__file__).parents[3] / "curation_assets" / "reviews" / "sources.yaml"

# One record in the fields of the 2023 release, written by hand from its published description: no real file could be had.
AMAZON_2023 = {
    **{"rating": 5.0, "title": "Such a lovely scent", "text": "It smells of oranges.", "images": [], "asin": "B00YQ6X8EO"},
    **{"parent_asin": "B00YQ6X8EO", "user_id": "AGKHLEW2SOWHNMFQIJGBECAF7INQ", "timestamp": 1588687728923},
    **{"helpful_vote": 0, "verified_purchase": True},
}
GENERIC = {
    **{"review_id": "R1", "user_id": "U1", "product_id": "B1", "rating": 5, "title": "Fine", "text": "Does what it says."},
    **{"timestamp": 1577837603750, "helpful_votes": 3},
}


@pytest.fixture(scope="module")
def shipped() -> dict[str, Source]:
    return load_sources(SOURCES_YAML, REVIEWS)


def check(source: Source, *records: dict[str, object]) -> Checked:
    """The records under the source's contract, as if delivered one a line."""
    raws = [json.dumps(record).encode() for record in records]
    return Contract(REVIEWS, source).check([json.loads(raw) for raw in raws], raws)


def breaks(source: Source, *records: dict[str, object]) -> list[list[str]]:
    """The fields that each record breaks, in the records' order."""
    found = check(source, *records).breaks
    return [[broken.field for broken in found.get(row, [])] for row in range(len(records))]


def count(source: Source, file: Path) -> tuple[int, int, Counter[str]]:
    """Records in, malformed ones, and what the others break: `field expectation, found` by how often."""
    contract = Contract(REVIEWS, source)
    total = malformed = 0
    broken: Counter[str] = Counter()
    for block in read_file(file, file.parent):
        malformed += len(block.malformed)
        total += len(block.malformed) + len(block.values)
        for found in contract.check(block.values, block.raws).breaks.values():
            broken[f"{found[0].field} {found[0].expectation}, {found[0].found}"] += 1
    return total, malformed, broken


def test_what_ships_is_named_for_its_data_and_invents_no_extra_field(shipped: dict[str, Source]) -> None:
    assert {"generic", "amazon_2014", "amazon_2018", "amazon_2023", "nsmc", "imdb"} <= set(shipped)
    assert all(not shipped[name].extra for name in ("generic", "amazon_2014", "amazon_2018", "amazon_2023", "nsmc", "imdb"))


def test_generic_takes_whole_stars_from_1_to_5_and_nothing_else(shipped: dict[str, Source]) -> None:
    good = [GENERIC | {"rating": stars} for stars in (1, 5)]
    bad = [GENERIC | {"rating": stars} for stars in ("4", 3.7, 5.0, 0, 6, -1, None, True, "five", [5])]
    without = {key: value for key, value in GENERIC.items() if key != "rating"}
    assert breaks(shipped["generic"], *good, *bad, without) == [[], []] + [["rating"]] * 11


def test_generic_needs_rating_and_text_and_no_other_key(shipped: dict[str, Source]) -> None:
    bare = {"rating": 3, "text": ""}
    wrong: dict[str, object] = {
        "review_id": 7,
        "user_id": 7,
        "product_id": 7,
        "title": 7,
        "text": 7,
        "timestamp": "2020-01-01",
        "helpful_votes": -1,
    }
    names = {"review_id": "native_id", "product_id": "item_id", "timestamp": "reviewed_at"}
    assert breaks(shipped["generic"], bare, {"rating": 3}, {"text": "x"}) == [[], ["text"], ["rating"]]
    assert breaks(shipped["generic"], *(GENERIC | {key: value} for key, value in wrong.items())) == [
        [names.get(key, key)] for key in wrong
    ]


def test_amazon_2023_takes_a_record_written_by_hand_from_the_published_format(shipped: dict[str, Source]) -> None:
    checked = check(shipped["amazon_2023"], AMAZON_2023)
    assert checked.breaks == {}
    (row,) = ({name: column[0].as_py() for name, column in checked.columns.items()},)
    assert row | {"reviewed_at": row["reviewed_at"].isoformat()} == {
        **{"native_id": None, "user_id": "AGKHLEW2SOWHNMFQIJGBECAF7INQ", "item_id": "B00YQ6X8EO", "rating": 5.0},
        **{"title": "Such a lovely scent", "text": "It smells of oranges.", "reviewed_at": "2020-05-05T14:08:48.923000+00:00"},
        **{"helpful_votes": 0, "extra": None},
    }
    assert breaks(shipped["amazon_2023"], AMAZON_2023 | {"rating": "5.0"}, AMAZON_2023 | {"timestamp": "2020"}) == [
        ["rating"],
        ["reviewed_at"],
    ]


def test_a_source_without_ratings_gives_rows_whose_rating_is_null(shipped: dict[str, Source]) -> None:
    post = {"post": "fo-1", "message": "grin on every ride", "posted_at": "2026-11-22T08:00:00+00:00", "rating": 5}
    checked = check(shipped["forum"], post)
    assert checked.breaks == {}
    assert checked.columns["rating"].to_pylist() == [None]
    assert checked.columns["text"].to_pylist() == ["grin on every ride"]


def test_amazon_2018_reads_votes_with_thousands_and_takes_ratings_without_words(shipped: dict[str, Source]) -> None:
    record = {"overall": 5.0, "reviewerID": "A1", "asin": "B1", "summary": "Five", "unixReviewTime": 1441324800, "vote": "1,026"}
    checked = check(shipped["amazon_2018"], record)
    assert checked.breaks == {}
    assert checked.columns["helpful_votes"].to_pylist() == [1026]
    assert checked.columns["text"].to_pylist() == [None]


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "file", "total", "malformed", "broken"),
    [
        ("amazon_2014", "amazon2014_cellphones/Cell_Phones_and_Accessories_5.json", 4777, 1, {}),
        ("amazon_2018", "amazon2018_fashion/AMAZON_FASHION_5.json.gz", 3176, 0, {}),
        ("amazon_2018", "amazon2018_fashion/AMAZON_FASHION_5.variant_one_null.json", 3176, 0, {"rating must be there, null": 1}),
        ("nsmc", "nsmc_raw/nsmc_raw_first250k.jsonl.gz", 250_000, 0, {}),
        ("nsmc", "nsmc_raw/raw_sample/100203.json", None, 0, {}),
        ("imdb", "imdb_aclimdb/imdb_train.jsonl.gz", 25_000, 0, {}),
    ],
)
def test_real_files_break_the_shipped_contract_as_counted(
    shipped: dict[str, Source], real_data: Path, name: str, file: str, total: int | None, malformed: int, broken: dict[str, int]
) -> None:
    counted = count(shipped[name], real_data / file)
    assert counted == (total if total is not None else counted[0], malformed, broken)
