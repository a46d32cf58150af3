"""Looking through predictions: what a filter finds, in which order and how many, and what it says to nonsense."""

import datetime
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.errors import CurationError
from curation.feedback.events import prediction_id_of
from curation.prediction_browser import CHARACTERS_SHOWN, SEARCHED_BYTES, PredictionBrowser
from curation.prediction_filters import FilterError, Filters
from curation.predictions import SCHEMA, PredictionStore

NOW = datetime.datetime(2026, 11, 23, 8, tzinfo=datetime.UTC)
FIRST_DAY = datetime.date(2026, 11, 20)
MODEL = "ab" * 32
LANGUAGES = ("latin", "cyrillic", "none")


def predicted(record_no: int, version: int = 3, **changes: object) -> dict[str, object]:
    """The prediction of one record: days, sources, languages, lengths, ratings and labels take turns; no two are equally sure."""
    is_good = record_no % 2 == 0
    sure = 0.51 + record_no % 7 * 0.07 + record_no / 10_000
    text = f"record {record_no} is {'good' if is_good else 'bad'}"
    item = f"{record_no:064x}"
    return {
        "prediction_id": prediction_id_of("reviews", item, f"{MODEL}{version}", text),
        "dataset": "reviews",
        "item_id": item,
        "record_no": record_no,
        "source": ("shop", "app")[record_no % 3 == 0],
        "day": FIRST_DAY + datetime.timedelta(days=record_no % 3),
        "text": text,
        "label": "good" if is_good else "bad",
        "probabilities": {"good": sure, "bad": 1 - sure} if is_good else {"good": 1 - sure, "bad": sure},
        "margin": 2 * sure - 1,
        "model_version": version,
        "model_sha256": MODEL,
        "snapshot_version": f"v{version:04d}",
        "language": LANGUAGES[record_no % len(LANGUAGES)],
        "length": record_no,
        "rating": None if record_no % 5 == 0 else float(record_no % 5),
        "extra": '{"verified":true}',
        "predicted_at": NOW,
        **changes,
    }


def add(root: Path, *rows: dict[str, object]) -> None:
    """One more part for every version and day among `rows`."""
    for version, day in sorted({(row["model_version"], row["day"]) for row in rows}, key=str):
        folder = root / "reviews" / f"model={version:04d}" / f"day={day}"
        folder.mkdir(parents=True, exist_ok=True)
        part = [row for row in rows if (row["model_version"], row["day"]) == (version, day)]
        table = pa.Table.from_pylist([{**row, "probabilities": list(row["probabilities"].items())} for row in part], SCHEMA)
        pq.write_table(table, folder / f"{len(list(folder.iterdir())) + 1:04d}.parquet")


def browsing(root: Path, *rows: dict[str, object]) -> PredictionBrowser:
    add(root, *rows)
    return PredictionBrowser(PredictionStore(root, "reviews"))


def numbers(browser: PredictionBrowser, given: Mapping[str, str] | None = None) -> list[int]:
    """The record numbers that the filters find, in their order, from all pages."""
    filters = Filters.asked(given or {})
    pages = range(1, browser.page(filters, size=7).pages + 1)
    return [int(row.item_id, 16) for page_no in pages for row in browser.page(filters, page_no, size=7).rows]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> PredictionBrowser:
    """60 records that model 3 has seen, the first 5 of which model 2 has seen as well."""
    rows = [predicted(record_no) for record_no in range(60)]
    return browsing(tmp_path_factory.mktemp("predictions"), *rows, *(predicted(record_no, version=2) for record_no in range(5)))


@pytest.mark.parametrize(
    ("given", "is_wanted"),
    [
        ({}, lambda row: True),
        ({"label": "good"}, lambda row: row["label"] == "good"),
        ({"source": "app"}, lambda row: row["source"] == "app"),
        ({"language": "cyrillic"}, lambda row: row["language"] == "cyrillic"),
        ({"length": "0-4 words"}, lambda row: row["length"] <= 4),
        ({"length": "5-19 words"}, lambda row: 5 <= row["length"] <= 19),
        ({"rating": "3"}, lambda row: row["rating"] == 3),
        ({"rating": "none"}, lambda row: row["rating"] is None),
        ({"percent_from": "60", "percent_to": "80.5"}, lambda row: 0.6 <= max(row["probabilities"].values()) <= 0.805),
        ({"day_from": "2026-11-21"}, lambda row: row["day"] >= datetime.date(2026, 11, 21)),
        ({"day_to": "2026-11-21"}, lambda row: row["day"] <= datetime.date(2026, 11, 21)),
        ({"day_from": "2026-11-21", "day_to": "2026-11-21"}, lambda row: row["day"] == datetime.date(2026, 11, 21)),
        ({"q": "IS GOOD"}, lambda row: row["label"] == "good"),
        (
            {"q": "record 1", "label": "bad", "source": "shop"},
            lambda row: "record 1" in row["text"] and row["record_no"] % 6 in {1, 5},
        ),
        ({"label": "'; drop table matching; --"}, lambda row: False),
        ({"day_from": "2027-01-01"}, lambda row: False),
        ({"model": "9"}, lambda row: False),
    ],
    ids=lambda value: " ".join(value.values()) or "all" if isinstance(value, dict) else "",
)
@pytest.mark.parametrize("sort", ["newest", "least_sure", "most_sure"])
def test_a_filter_finds_what_it_says_in_the_order_it_says(
    browser: PredictionBrowser, given: dict[str, str], is_wanted: Callable[[dict[str, object]], bool], sort: str
) -> None:
    wanted = [row for row in map(predicted, range(60)) if is_wanted(row)]
    orders: dict[str, Callable[[dict[str, object]], tuple[object, ...]]] = {
        "newest": lambda row: (-row["day"].toordinal(), -row["record_no"]),
        "least_sure": lambda row: (max(row["probabilities"].values()),),
        "most_sure": lambda row: (-max(row["probabilities"].values()),),
    }
    expected = [row["record_no"] for row in sorted(wanted, key=orders[sort])]
    assert numbers(browser, {**given, "sort": sort}) == expected


@pytest.mark.parametrize("given", [{}, {"q": "good"}], ids=["all", "search"])
def test_total_and_days_count_everything_that_was_found_on_every_page(browser: PredictionBrowser, given: dict[str, str]) -> None:
    filters = Filters.asked(given)
    wanted = [row for row in map(predicted, range(60)) if not given or row["label"] == "good"]
    for page_no in (1, 2, 1):
        page = browser.page(filters, page_no, size=20)
        assert (page.total, page.pages, page.page_no) == (len(wanted), -(-len(wanted) // 20), page_no)
        assert {(counted.day, counted.label): counted.predictions for counted in page.days} == {
            (day, label): sum((row["day"], row["label"]) == (day, label) for row in wanted)
            for day, label in {(row["day"], row["label"]) for row in wanted}
        }
    of_one = [max(row["probabilities"].values()) for row in wanted if (row["day"], row["label"]) == (FIRST_DAY, "good")]
    found = next(counted for counted in page.days if (counted.day, counted.label) == (FIRST_DAY, "good"))
    assert found.confidence == pytest.approx(sum(of_one) / len(of_one))


@pytest.mark.parametrize(("asked", "given"), [(0, 1), (-3, 1), (4, 3), (10**9, 3)], ids=str)
def test_beyond_the_last_page_is_the_last_page(browser: PredictionBrowser, asked: int, given: int) -> None:
    page = browser.page(Filters(), asked, size=25)
    assert (page.page_no, len(page.rows)) == (given, 10 if given == 3 else 25)


@pytest.mark.parametrize(
    ("text", "search"),
    [
        ("all of 100% cotton", "100%"),
        ("snake_case", "E_C"),
        ("back\\slash", "k\\s"),
        ("Ärger mit ÖL", "ärger MIT öl"),
        ('it\'s "quoted"', "'s \"q"),
        ("<script>alert(1)</script>", "<SCRIPT>"),
        ("שלום \u202eolleh", "\u202eolleh"),
        ("nul\0inside", "l\0i"),
    ],
    ids=["percent", "underscore", "backslash", "capitals", "quotes", "markup", "bidi", "nul"],
)
def test_a_search_is_text_and_no_pattern(tmp_path: Path, text: str, search: str) -> None:
    browser = browsing(tmp_path, predicted(1, text=text), predicted(2, text="all of 1005 cotton snakeXcase backkslash"))
    found = browser.page(Filters(q=search))
    assert [row.text for row in found.rows] == [text]


def test_a_prediction_tells_everything_and_its_likeliest_label_first(browser: PredictionBrowser) -> None:
    shown = browser.page(Filters.asked({"q": "record 41 "})).rows[0]
    expected = predicted(41)
    sure = expected["probabilities"]["bad"]
    assert shown.probabilities == (("bad", sure), ("good", 1 - sure))
    assert (shown.confidence, shown.label) == (sure, "bad")
    assert {name: value for name, value in vars(shown).items() if name in expected} == {
        name: value for name, value in expected.items() if name in vars(shown)
    } | {"probabilities": shown.probabilities}
    assert browser.one(shown.prediction_id) == shown


def test_one_finds_a_prediction_of_any_model_and_nothing_where_there_is_none(browser: PredictionBrowser) -> None:
    former = predicted(3, version=2)
    found = browser.one(str(former["prediction_id"]))
    assert found is not None
    assert (found.model_version, found.item_id) == (2, former["item_id"])
    assert browser.one("reviews:'; --:0123456789abcdef") is None


def test_a_long_text_is_cut_on_a_page_and_whole_alone(tmp_path: Path) -> None:
    browser = browsing(tmp_path, predicted(1, text="long " * 20_000))
    (shown,) = browser.page(Filters()).rows
    assert (len(shown.text), shown.characters) == (CHARACTERS_SHOWN, 100_000)
    whole = browser.one(shown.prediction_id)
    assert whole is not None
    assert whole.text == "long " * 20_000


def test_the_newest_model_is_shown_unless_another_is_asked_for(browser: PredictionBrowser) -> None:
    assert browser.models() == (3, 2)
    assert {row.model_version for row in browser.page(Filters()).rows} == {3}
    assert sorted(numbers(browser, {"model": "2"})) == [0, 1, 2, 3, 4]


def test_choices_are_what_occurs_with_the_model(browser: PredictionBrowser) -> None:
    found = browser.choices()
    assert (found.models, found.labels, found.sources) == ((3, 2), ("bad", "good"), ("app", "shop"))
    assert (found.languages, found.ratings, found.has_unrated) == (("cyrillic", "latin", "none"), (1.0, 2.0, 3.0, 4.0), True)
    assert found.days == tuple(FIRST_DAY + datetime.timedelta(days=number) for number in range(3))
    assert found.lengths == ("0-4 words", "5-19 words", "20-79 words", "80 words and more")
    assert browser.choices(2).ratings == (1.0, 2.0, 3.0, 4.0)
    assert browser.choices(3) == found


def test_predictions_that_are_added_are_seen_at_once(tmp_path: Path) -> None:
    browser = browsing(tmp_path, predicted(1))
    assert (browser.page(Filters()).total, browser.choices().sources) == (1, ("shop",))
    add(tmp_path, predicted(4, source="forum"))
    assert (browser.page(Filters()).total, browser.choices().sources) == (2, ("forum", "shop"))
    add(tmp_path, predicted(1, version=4))
    assert (browser.page(Filters()).total, browser.choices().models) == (1, (4, 3))


def test_a_damaged_part_is_told_with_the_way_out(tmp_path: Path) -> None:
    browser = browsing(tmp_path, predicted(1))
    next(tmp_path.rglob("*.parquet")).write_bytes(b"no parquet")
    for ask in (lambda: browser.page(Filters()), browser.choices, lambda: browser.one(str(predicted(1)["prediction_id"]))):
        with pytest.raises(CurationError, match="the predictions of reviews cannot be read") as refused:
            ask()
        assert refused.value.fix is not None and "remove its day's folder" in refused.value.fix


def test_a_dataset_without_predictions_has_an_empty_page(tmp_path: Path) -> None:
    browser = PredictionBrowser(PredictionStore(tmp_path, "reviews"))
    page = browser.page(Filters(q="anything"), 7)
    assert (page.rows, page.total, page.page_no, page.pages, page.days) == ((), 0, 1, 1, ())
    assert (browser.models(), browser.choices().labels, browser.one("x")) == ((), (), None)


def test_a_search_reads_the_newest_days_that_fit_and_says_since_when(tmp_path: Path) -> None:
    browser = browsing(tmp_path, *map(predicted, range(9)))
    assert browser.page(Filters(q="record")).searched_from is None
    (oldest,) = (tmp_path / "reviews" / "model=0003" / f"day={FIRST_DAY}").iterdir()
    with oldest.open("r+b") as part:
        part.truncate(SEARCHED_BYTES)  # sparse: it takes no room, and who opened it would find no Parquet
    page = browser.page(Filters(q="record"))
    assert (page.total, page.searched_from) == (6, FIRST_DAY + datetime.timedelta(days=1))
    assert [row.day for row in page.rows] == sorted((row.day for row in page.rows), reverse=True)


@pytest.mark.parametrize(
    ("given", "field", "told"),
    [
        ({"day_from": "yesterday"}, "day_from", "is 'yesterday'"),
        ({"day_from": "1763900000"}, "day_from", "give a date such as"),
        ({"day_to": "2026-02-30"}, "day_to", "give a date such as"),
        ({"day_from": "2026-11-22", "day_to": "2026-11-20"}, "day_from", "after the last day 2026-11-20"),
        ({"model": "v3"}, "model", "version"),
        ({"model": "99999999999999999999"}, "model", "version"),
        ({"percent_from": "101"}, "percent_from", "0 to 100"),
        ({"percent_to": "nan"}, "percent_to", "0 to 100"),
        ({"percent_from": "70", "percent_to": "60"}, "percent_from", "more than the upper end 60"),
        ({"length": "short"}, "length", "0-4 words"),
        ({"rating": "inf"}, "rating", "a number, or none"),
        ({"sort": "oldest"}, "sort", "newest, least_sure, most_sure"),
        ({"q": "x" * 201}, "q", "200 characters"),
        ({"label": "\ud800"}, "label", "plain text"),
    ],
    ids=lambda value: re.sub(r"\W", "", str(value))[:40],
)
def test_a_filter_that_says_nothing_is_refused_by_its_name(given: dict[str, str], field: str, told: str) -> None:
    with pytest.raises(FilterError) as refused:
        Filters.asked(given)
    assert refused.value.field == field
    assert told in str(refused.value)


def test_blank_filters_count_as_not_given_and_other_names_are_passed_over() -> None:
    assert Filters.asked({"label": "", "q": "  ", "day_from": "", "page": "3", "utm": "x"}) == Filters()


def test_looking_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    browser = browsing(tmp_path / "lake", *map(predicted, range(30)))
    before = sorted(tmp_path.rglob("*"))
    for sort in ("newest", "least_sure"):
        browser.page(Filters(q="record", sort=sort))
    assert sorted(tmp_path.rglob("*")) == before


def test_a_record_that_arrived_again_another_day_is_two_predictions(tmp_path: Path) -> None:
    again = predicted(1, day=FIRST_DAY + datetime.timedelta(days=5), text="record 1 again")
    found = browsing(tmp_path, predicted(1), again).page(Filters())
    assert [row.text for row in found.rows] == ["record 1 again", "record 1 is bad"]


def test_a_search_may_begin_on_any_page(tmp_path: Path) -> None:
    browser = browsing(tmp_path, *map(predicted, range(30)))
    expected = numbers(browser, {"q": "record"})
    fresh = PredictionBrowser(PredictionStore(tmp_path, "reviews"))
    assert [int(row.item_id, 16) for row in fresh.page(Filters(q="record"), 3, size=7).rows] == expected[14:21]
