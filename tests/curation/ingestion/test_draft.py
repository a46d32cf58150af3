"""A drafted entry: which key becomes which field, what the values show, and that the result loads."""

import gzip
import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from curation.errors import CurationError
from curation.ingestion.contract import Contract
from curation.ingestion.draft import draft_source
from curation.ingestion.records import read_file
from curation.ingestion.sources import FieldRule, Rating, Source, add_source, load_sources, parse_sources
from curation_assets.reviews.dataset import REVIEWS

DAYS = [datetime(2013, 5, 7, 9, 30, tzinfo=UTC) + timedelta(days=17 * number) for number in range(60)]
WORDS = [
    "It broke after a week, which is a pity",
    "Does what it says and a little more",
    "My third one of these, still happy with it",
]


def write(tmp_path: Path, records: Iterable[object]) -> Path:
    path = tmp_path / "delivered.jsonl"
    path.write_text("".join(f"{json.dumps(record)}\n" for record in records), encoding="utf-8")
    return path


def drafted(file: Path) -> Source:
    draft = draft_source("shop", file, REVIEWS)
    assert draft.missing == ()
    return parse_sources(draft.yaml, "drafted", REVIEWS)["shop"]


def reviews(**fields: list[object]) -> list[dict[str, object]]:
    """Sixty records with a text and a rating; each further field takes its values in turn."""
    return [
        {
            "text": WORDS[number % 3],
            "rating": 1 + number % 5,
            **{name: values[number % len(values)] for name, values in fields.items()},
        }
        for number in range(60)
    ]


def test_keys_are_found_by_the_names_that_others_use_for_them(tmp_path: Path) -> None:
    records = [
        {
            **{
                "reviewID": f"r{number}",
                "customer": {"id": number // 2, "name": "Ann"},
                "productId": "p1",
                "starRating": 1 + number % 5,
            },
            **{"review_headline": "Well", "reviewBody": WORDS[number % 3], "createdAt": day.isoformat(), "helpfulCount": number},
        }
        for number, day in enumerate(DAYS)
    ]
    source = drafted(write(tmp_path, records))
    assert {name: (rule.path, rule.type) for name, rule in source.fields.items()} == {
        "native_id": (("reviewID",), "string"),
        "user_id": (("customer", "id"), "integer"),
        "item_id": (("productId",), "string"),
        "rating": (("starRating",), "integer"),
        "title": (("review_headline",), "string"),
        "text": (("reviewBody",), "string"),
        "reviewed_at": (("createdAt",), "string"),
        "helpful_votes": (("helpfulCount",), "integer"),
    }
    assert (source.rating, source.date_format) == (Rating(minimum=1, maximum=5), "iso8601")


def test_required_fields_and_dates_without_a_known_name_are_found_by_content_and_marked(tmp_path: Path) -> None:
    records = [{"a": WORDS[number % 3], "b": number % 11, "c": f"{day:%d.%m.%Y}", "d": "x"} for number, day in enumerate(DAYS)]
    draft = draft_source("shop", write(tmp_path, records), REVIEWS)
    source = parse_sources(draft.yaml, "drafted", REVIEWS)["shop"]
    assert {name: rule.path for name, rule in source.fields.items()} == {"rating": ("b",), "text": ("a",), "reviewed_at": ("c",)}
    assert (source.rating, source.date_format) == (Rating(minimum=0, maximum=10), "%d.%m.%Y")
    assert draft.yaml.count("guess: by content, NOT by name; 60 of 60") == 3


def test_the_id_and_title_of_a_nested_product_are_not_the_review_s(tmp_path: Path) -> None:
    records = [
        {
            "product": {"id": f"p{number}", "title": "A kettle"},
            "review": {"title": "Well", "body": WORDS[0], "stars": 1 + number % 5},
        }
        for number in range(60)
    ]
    assert {name: rule.path for name, rule in drafted(write(tmp_path, records)).fields.items()} == {
        "item_id": ("product", "id"),
        "rating": ("review", "stars"),
        "title": ("review", "title"),
        "text": ("review", "body"),
    }


def test_every_guess_is_marked_with_its_count(tmp_path: Path) -> None:
    records = reviews(votes=[1, None, 3])
    records[0]["rating"] = "four"
    del records[1]["text"]
    draft = draft_source("shop", write(tmp_path, records), REVIEWS)
    guesses = [line for line in draft.yaml.splitlines() if line.startswith("  ") and "#" not in line[:6]]
    assert all("# guess: " in line for line in guesses if line != "  fields:")
    assert "59 of 60 integer, 1 of another type (they break the contract)" in draft.yaml
    assert "59 of 60 string, 1 missing or null" in draft.yaml
    assert "40 of 60 integer, 20 missing or null" in draft.yaml
    assert "59 of 60 lie on it" in draft.yaml


def test_a_text_that_is_often_missing_is_not_required_and_one_that_hardly_ever_is_stays_so(tmp_path: Path) -> None:
    records = reviews() * 10
    records[0] = {**records[0], "text": None}
    assert drafted(write(tmp_path, records)).fields["text"].required is None
    for number in range(1, 31):
        records[number] = {"rating": 3}
    assert drafted(write(tmp_path, records)).fields["text"].required is False


@pytest.mark.parametrize(
    ("values", "delivered", "rating"),
    [
        ([4, 5], "integer", Rating(minimum=1, maximum=5)),
        ([1.0, 5.0], "number", Rating(minimum=1, maximum=5)),
        ([1, 3.5, 5], "number", Rating(minimum=1, maximum=5, whole=False)),
        (["1", "10"], "string", Rating(minimum=1, maximum=10)),
        ([0.0, 0.25, 1.0], "number", Rating(minimum=0, maximum=1, whole=False)),
        ([0, 1], "integer", Rating(minimum=0, maximum=1)),
        ([-1, 0, 1], "integer", Rating(minimum=-1, maximum=1)),
        ([55, 80], "integer", Rating(minimum=1, maximum=100)),
        (["pos", "neg"], "string", Rating(minimum=1, maximum=2, categories={"neg": 1, "pos": 2})),
        (["Good", "Very Bad", "ok"], "string", Rating(minimum=1, maximum=3, categories={"Very Bad": 1, "ok": 2, "Good": 3})),
        (["4 stars", "1 star"], "string", Rating(minimum=1, maximum=5, categories={"1 star": 1, "4 stars": 4})),
    ],
)
def test_the_scale_is_the_usual_one_that_holds_the_ratings(
    tmp_path: Path, values: list[object], delivered: str, rating: Rating
) -> None:
    source = drafted(write(tmp_path, reviews(rating=values)))
    assert (source.fields["rating"].type, source.rating) == (delivered, rating)


def test_categories_in_an_unknown_order_say_so(tmp_path: Path) -> None:
    draft = draft_source("shop", write(tmp_path, reviews(rating=["rot", "grün"])), REVIEWS)
    assert "THEIR ORDER IS NOT KNOWN" in draft.yaml
    rating = parse_sources(draft.yaml, "drafted", REVIEWS)["shop"].rating
    assert rating is not None
    assert rating.categories == {"grün": 1, "rot": 2}


@pytest.mark.parametrize(
    ("written", "form"),
    [
        ([int(day.timestamp()) for day in DAYS], "epoch_s"),
        ([int(day.timestamp() * 1000) for day in DAYS], "epoch_ms"),
        ([str(int(day.timestamp())) for day in DAYS], "epoch_s"),
        ([f"{day:%Y-%m-%d}" for day in DAYS], "iso8601"),
        ([f"{day:%Y-%m-%dT%H:%M:%S.000Z}" for day in DAYS], "iso8601"),
        ([f"{day:%d/%m/%Y}" for day in DAYS], "%d/%m/%Y"),
        ([f"{day:%m/%d/%Y %H:%M}" for day in DAYS], "%m/%d/%Y %H:%M"),
        ([f"{day:%m %d, %Y}".replace(" 0", " ") for day in DAYS], "%m %d, %Y"),
        ([f"{day:%y.%m.%d}" for day in DAYS], "%y.%m.%d"),
        ([f"{day:%B %d, %Y}" for day in DAYS], "%B %d, %Y"),
        ([f"{day:%a %b %d %H:%M:%S %z %Y}" for day in DAYS], "%a %b %d %H:%M:%S %z %Y"),
    ],
)
def test_the_date_format_is_the_one_that_all_samples_fit(tmp_path: Path, written: list[object], form: str) -> None:
    source = drafted(write(tmp_path, reviews(date=written)))
    assert (source.fields["reviewed_at"].path, source.date_format) == (("date",), form)


def test_a_key_with_a_date_s_name_and_other_values_is_no_date(tmp_path: Path) -> None:
    assert "reviewed_at" not in drafted(write(tmp_path, reviews(date=["yesterday"], timestamp=[12]))).fields


def test_an_id_that_repeats_is_not_taken_for_the_review_s(tmp_path: Path) -> None:
    assert "native_id" not in drafted(write(tmp_path, reviews(id=[1, 2, 3]))).fields
    assert drafted(write(tmp_path, reviews(id=list(range(60))))).fields["native_id"] == FieldRule(path=("id",), type="integer")


def test_what_is_left_over_stands_ready_as_extra_and_loads_when_uncommented(tmp_path: Path) -> None:
    odd = {
        "userSegment": ["gold"],
        "no: 1 #": [True],
        "label": ["x"],
        "größe": [1.5],
        "null": [2],
        "tags": [["a"]],
        "mixed": [1, "a"],
    }
    draft = draft_source("shop", write(tmp_path, reviews(**odd, product=[{"size": "L"}])), REVIEWS)
    assert parse_sources(draft.yaml, "drafted", REVIEWS)["shop"].extra == {}
    assert "# stays behind: tags (list), mixed (integer), product (object)" in draft.yaml
    wanted = draft.yaml.replace("\n  # ", "\n  ").replace("\n  stays behind", "\n  # stays behind")
    assert {name: (rule.path, rule.type) for name, rule in parse_sources(wanted, "wanted", REVIEWS)["shop"].extra.items()} == {
        "user_segment": (("userSegment",), "string"),
        "no_1": (("no: 1 #",), "boolean"),
        "source_label": (("label",), "string"),
        "gr_e": (("größe",), "number"),
        "null": (("null",), "integer"),
        "size": (("product", "size"), "string"),
    }


def test_a_required_field_that_is_not_there_is_left_open_and_named(tmp_path: Path) -> None:
    draft = draft_source("shop", write(tmp_path, [{"text": WORDS[0], "liked": True}]), REVIEWS)
    assert draft.missing == ("rating",)
    with pytest.raises(CurationError, match="`rating` is not mapped"):
        parse_sources(draft.yaml, "drafted", REVIEWS)
    filled = draft.yaml.replace("# rating:", "rating: liked #") + "  rating: {minimum: 0, maximum: 1}\n"
    assert parse_sources(filled, "filled", REVIEWS)["shop"].fields["rating"].path == ("liked",)


def test_a_sorted_file_is_sampled_to_its_end(tmp_path: Path) -> None:
    records = [{"text": WORDS[0], "rating": 1 + number // 900} for number in range(9000)]
    assert drafted(write(tmp_path, records)).rating == Rating(minimum=1, maximum=10)


def test_an_array_cut_short_and_packed_is_drafted_from_what_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "cut.json.gz"
    path.write_bytes(gzip.compress(json.dumps(reviews())[:-20].encode()))
    draft = draft_source("shop", path, REVIEWS)
    assert (draft.records, draft.malformed) == (59, 1)
    assert "shop" in parse_sources(draft.yaml, "drafted", REVIEWS)


def test_a_file_without_json_objects_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "reviews.csv"
    path.write_text("text,stars\nfine,5\n")
    with pytest.raises(CurationError, match=r"reviews\.csv holds no JSON object; 2 records do not parse"):
        draft_source("shop", path, REVIEWS)
    with pytest.raises(CurationError, match=r"'\.\./x' cannot name a source"):
        draft_source("../x", path, REVIEWS)


def test_a_draft_can_be_added_to_the_declared_sources(tmp_path: Path) -> None:
    path = tmp_path / "sources.yaml"
    path.write_text("# none yet\n")
    draft = draft_source("shop", write(tmp_path, reviews()), REVIEWS)
    add_source(path, draft.yaml, REVIEWS)
    assert list(load_sources(path, REVIEWS)) == ["shop"]


def test_votes_in_words_that_count_are_integers_delivered_as_text(tmp_path: Path) -> None:
    source = drafted(write(tmp_path, reviews(vote=["2", None, "1,026"])))
    assert source.fields["helpful_votes"] == FieldRule(path=("vote",), type="string")


def broken_share(source: Source, file: Path) -> float:
    """The share of a file's records that are malformed or break the contract."""
    contract = Contract(REVIEWS, source)
    broken = total = 0
    for block in read_file(file, file.parent):
        broken += len(block.malformed) + len(contract.check(block.values, block.raws).breaks)
        total += len(block.malformed) + len(block.values)
    return broken / total


def test_a_drafted_source_takes_in_the_very_file_dirt_and_all(tmp_path: Path) -> None:
    records = reviews(date=[f"{day:%d.%m.%Y}" for day in DAYS], vote=["2", None, "1,026"], id=list(range(60))) * 5
    records[7] = {**records[7], "rating": "four"}
    records[9] = {**records[9], "date": "yesterday"}
    records[11] = {**records[11], "text": None}
    file = write(tmp_path, [{**record, "id": number} for number, record in enumerate(records)])
    assert broken_share(drafted(file), file) == 3 / 300


REAL = {
    "amazon2014": ("amazon2014_cellphones/Cell_Phones_and_Accessories_5.json", "amazon_2014", 1 / 4777),
    "amazon2018": ("amazon2018_fashion/AMAZON_FASHION_5.json.gz", "amazon_2018", 16 / 3176),
    "nsmc": ("nsmc_raw/nsmc_raw_first250k.jsonl.gz", "nsmc", 0),
    "nsmc_array": ("nsmc_raw/raw_sample/10001.json", "nsmc", 0),
    "imdb": ("imdb_aclimdb/imdb_train.jsonl.gz", "imdb", 0),
}


@pytest.mark.real_data
@pytest.mark.parametrize("name", REAL)
def test_the_draft_of_real_data_takes_it_in_and_maps_as_the_shipped_declaration_does(real_data: Path, name: str) -> None:
    file, shipped_name, share = REAL[name]
    source = drafted(real_data / file)
    shipped = load_sources(Path(__file__).parents[3] / "curation_assets/reviews/sources.yaml", REVIEWS)[shipped_name]
    assert {field: (rule.path, rule.type) for field, rule in source.fields.items()} == {
        field: (rule.path, rule.type) for field, rule in shipped.fields.items()
    }
    assert (source.rating, source.date_format) == (shipped.rating, shipped.date_format)
    assert broken_share(source, real_data / file) == share
