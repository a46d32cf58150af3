"""The demo's raw data, read back by other means than those that wrote it: what it says it planted is in the files.

The reader, the cleaning and the duplicate search here are short and slow on purpose; the pipeline's own are tested elsewhere.
"""

import gzip
import html
import json
import re
import unicodedata
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import zstandard

from curation_assets.reviews.sample import FATES, Sample, first_day_of_sample, mend_drill, write_drill, write_sample
from curation_assets.reviews.sample_sources import review_uid
from tests.curation_assets.reviews.near_texts import near_pairs

FIRST_DAY = date(2026, 3, 2)
VERDICTS = {"terrible", "poor", "average", "good", "excellent"}
CONTRACT_FAULTS = [fault for fault, fate in FATES.items() if fate == "contract"]
MALFORMED_FAULTS = [fault for fault, fate in FATES.items() if fate == "malformed"]
SPAM_FAULTS = [fault for fault, fate in FATES.items() if fate == "spam"]
ADVERTISES = re.compile(r"http://|www\.\S+\.(xyz|top|biz|click|shop|info)|whatsapp|telegram|prize|reward", re.IGNORECASE)


@dataclass(frozen=True)
class Delivery:
    """The sample in a landing folder, drill mended, and everything that its files hold, by source and day."""

    landing: Path
    sample: Sample
    records: dict[tuple[str, date], list[Any]]  # None: does not parse

    def sound(self) -> list[tuple[str, date, dict[str, Any]]]:
        """Every record that keeps its contract, with its source and day, in order of delivery."""
        return [
            (source, day, record)
            for (source, day), records in sorted(self.records.items(), key=lambda batch: batch[0][1])
            for record in records
            if isinstance(record, dict) and _breach_of(source, record) is None
        ]


@pytest.fixture(scope="module")
def delivery(tmp_path_factory: pytest.TempPathFactory) -> Delivery:
    landing = tmp_path_factory.mktemp("landing")
    sample = write_sample(landing, FIRST_DAY)
    mend_drill(sample.drill)
    records: dict[tuple[str, date], list[Any]] = defaultdict(list)
    for path in sorted((landing / "reviews").glob("*/*/*")):
        records[path.parent.parent.name, date.fromisoformat(path.parent.name)] += _records_of(path)
    return Delivery(landing, sample, dict(records))


def _unpacked(path: Path) -> str:
    content = path.read_bytes()
    if path.suffix == ".gz":
        content = gzip.decompress(content)
    if path.suffix == ".zst":
        content = zstandard.ZstdDecompressor().decompress(content)
    return content.decode("utf-8-sig")


def _parsed(line: str) -> Any:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return [] if record is None else record


def _records_of(path: Path) -> list[Any]:
    """A file's records; None for what does not parse, a list for what is no object."""
    text = _unpacked(path)
    if path.suffix == ".json" and "\n" not in text:
        return list(json.loads(text))
    lines = text.removesuffix("\n").split("\n")
    if ".jsonl" not in path.name:
        assert lines[0] == "["
        lines = [line.removesuffix(",") for line in lines[1:] if line != "]"]
    return [_parsed(line) for line in lines]


def _breach_of(source: str, record: dict[str, Any]) -> str | None:
    """The contract fault of a record, read off its values."""
    rating, text = ("stars", "body") if source == "shop" else ("verdict", "comment")
    value = record[rating]
    if text not in record:
        return "text_missing"
    if record[text] is None:
        return "text_null"
    if value is None:
        return "rating_null"
    if source == "shop" and not isinstance(value, int):
        return "rating_as_text" if isinstance(value, str) else "rating_fraction"
    if source == "shop":
        return None if 1 <= value <= 5 else "rating_out_of_range"
    if value not in VERDICTS:
        return "rating_unknown" if isinstance(value, str) else "rating_as_number"
    return None if _written_at(record) is not None else "date_unreadable"


def _written_at(record: dict[str, Any]) -> datetime | None:
    try:
        return datetime.fromisoformat(record["postedAt"])
    except ValueError:
        return None


def _native_id(record: dict[str, Any]) -> str:
    return str(record.get("id") or record["reviewRef"])


def _text(record: dict[str, Any]) -> str:
    return str(record["body"] if "body" in record else record["comment"])


def _by_stars(record: dict[str, Any]) -> str:
    stars = (
        record["stars"]
        if "stars" in record
        else ["terrible", "poor", "average", "good", "excellent"].index(record["verdict"]) + 1
    )
    return "negative" if stars < 3 else "positive" if stars > 3 else "neutral"


def _clean(text: str) -> str:
    text = unicodedata.normalize("NFKC", html.unescape(re.sub(r"<[^<>]*>", " ", text)))
    return " ".join(re.sub("[\u200b-\u200d\u2060\ufeff]", "", text).lower().split())


def test_the_same_seed_and_first_day_write_the_same_bytes(delivery: Delivery, tmp_path: Path) -> None:
    again = write_sample(tmp_path, FIRST_DAY)
    mend_drill(again.drill)
    first, second = (
        {path.relative_to(landing): path.read_bytes() for path in landing.rglob("*") if path.is_file()}
        for landing in (delivery.landing, tmp_path)
    )
    assert first == second
    assert again.planted == delivery.sample.planted


def test_a_second_call_leaves_every_file_alone(delivery: Delivery) -> None:
    before = {path: path.stat().st_mtime_ns for path in delivery.landing.rglob("*")}
    again = write_sample(delivery.landing, FIRST_DAY)
    assert again.new_files == 0
    assert again.drill.is_mended
    assert {path: path.stat().st_mtime_ns for path in delivery.landing.rglob("*")} == before


def test_another_first_day_moves_dates_and_no_words(delivery: Delivery, tmp_path: Path) -> None:
    moved = write_sample(tmp_path, FIRST_DAY + timedelta(days=30))
    path = moved.files[0].path
    earlier = [record for record in delivery.records["shop", FIRST_DAY] if isinstance(record, dict)]
    later = [record for record in _records_of(path) if isinstance(record, dict)]
    assert {record["written_ms"] - 30 * 86_400_000 for record in later} == {record["written_ms"] for record in earlier}
    assert [record | {"written_ms": 0} for record in later] == [record | {"written_ms": 0} for record in earlier]


def test_another_seed_writes_other_reviews(delivery: Delivery, tmp_path: Path) -> None:
    other = write_sample(tmp_path, FIRST_DAY, seed=8)
    assert not {file.content for file in other.files} & {file.content for file in delivery.sample.files}


def test_the_sample_ends_today_and_a_later_day_repeats_it(delivery: Delivery, tmp_path: Path) -> None:
    today = date(2026, 3, 9)
    assert first_day_of_sample(tmp_path, today) == date(2026, 3, 5)
    assert first_day_of_sample(delivery.landing, today) == FIRST_DAY


def test_there_are_20_000_records_from_two_sources_over_five_days(delivery: Delivery) -> None:
    counts = {batch: len(records) for batch, records in delivery.records.items()}
    assert sum(counts.values()) == delivery.sample.records >= 20_000
    assert set(counts) == {(source, day) for source in ("shop", "marketplace") for day in delivery.sample.days}
    for file in delivery.sample.files:
        assert len(_records_of(file.path)) == file.records, file.path.name


def test_malformed_records_are_as_many_as_counted_in_every_batch(delivery: Delivery) -> None:
    for (source, day), records in delivery.records.items():
        unparsed = sum(record is None for record in records)
        no_object = sum(isinstance(record, list | str) for record in records)
        assert unparsed == delivery.sample.count("broken_json", "truncated_stump", source=source, day=day)
        assert no_object == delivery.sample.count("not_an_object", source=source, day=day)


def test_contract_breaks_are_as_many_as_counted_in_every_batch_and_of_each_kind(delivery: Delivery) -> None:
    for (source, day), records in delivery.records.items():
        found = Counter(_breach_of(source, record) for record in records if isinstance(record, dict))
        counted = {fault: delivery.sample.count(fault, source=source, day=day) for fault in CONTRACT_FAULTS}
        assert {fault: found[fault] for fault in CONTRACT_FAULTS} == counted


def test_every_contract_fault_is_planted_somewhere(delivery: Delivery) -> None:
    assert [fault for fault in FATES if delivery.sample.count(fault) == 0] == []


def test_no_batch_reaches_the_five_percent_that_refuse_it(delivery: Delivery) -> None:
    for (source, day), records in delivery.records.items():
        bad = delivery.sample.count(*MALFORMED_FAULTS, *CONTRACT_FAULTS, source=source, day=day)
        assert bad < 0.04 * len(records), (source, day)


def test_the_drill_turns_three_in_ten_segments_into_integers_and_changes_nothing_else(delivery: Delivery, tmp_path: Path) -> None:
    drill = write_sample(tmp_path, FIRST_DAY).drill
    assert not drill.path.exists()
    assert write_drill(drill)
    broken = _records_of(drill.path)
    assert not drill.is_mended
    assert mend_drill(drill)
    mended = _records_of(drill.path)
    turned = [line for line, record in enumerate(broken, start=1) if isinstance(record["user_segment"], int)]
    assert (len(turned), turned[0]) == (drill.integers, drill.first_integer_line)
    assert drill.integers == round(0.3 * len(broken)) == round(0.3 * drill.records)
    assert all(isinstance(record["user_segment"], str) and _breach_of("shop", record) is None for record in mended)
    assert [record | {"user_segment": ""} for record in broken] == [record | {"user_segment": ""} for record in mended]
    assert not mend_drill(drill)


def test_advertising_and_empty_texts_are_as_many_as_counted(delivery: Delivery) -> None:
    advertising: Counter[tuple[str, date]] = Counter()
    empty: Counter[tuple[str, date]] = Counter()
    for source, day, record in delivery.sound():
        advertising[source, day] += bool(ADVERTISES.search(_text(record)))
        empty[source, day] += not _clean(_text(record))
    for source, day in delivery.records:
        assert advertising[source, day] == delivery.sample.count(*SPAM_FAULTS, source=source, day=day)
        assert empty[source, day] == delivery.sample.count("empty_text", source=source, day=day)


def test_ids_come_again_only_as_whole_copies_and_as_later_corrections(delivery: Delivery) -> None:
    versions: dict[str, list[tuple[date, dict[str, Any]]]] = defaultdict(list)
    for _, day, record in delivery.sound():
        versions[_native_id(record)].append((day, record))
    again = [found for found in versions.values() if len(found) > 1]
    assert {len(found) for found in again} == {2}
    corrected = [found for found in again if found[0][1] != found[1][1]]
    assert len(again) - len(corrected) == delivery.sample.count("record_copy")
    assert len(corrected) == delivery.sample.count("correction")
    assert all(first_day < later_day for (first_day, _), (later_day, _) in corrected)


def test_copied_and_near_copied_texts_are_as_many_as_counted_and_hardly_more_by_chance(delivery: Delivery) -> None:
    by_clean_text: dict[str, str] = {}
    originals: dict[str, set[str]] = defaultdict(set)
    for _, _, record in delivery.sound():
        text = _text(record)
        if _clean(text) and not ADVERTISES.search(text):
            originals[by_clean_text.setdefault(_clean(text), _native_id(record))].add(_native_id(record))
    copies = sum(len(found) - 1 for found in originals.values())
    planted_copies = delivery.sample.count("text_copy", "disguised_copy")
    assert planted_copies <= copies <= planted_copies + 0.001 * len(originals)

    near = near_pairs({f"{name} {place}": text for place, (text, name) in enumerate(by_clean_text.items())})
    others = sum(any(other.split()[0] != name.split()[0] for other in found) for name, found in near.items())
    planted_near = delivery.sample.count("near_copy")
    assert planted_near <= others <= planted_near + 0.001 * len(originals)


def test_what_every_sound_record_means_is_known_and_stars_seldom_contradict_it(delivery: Delivery) -> None:
    sound = delivery.sound()
    meant = [delivery.sample.meant[review_uid(source, _native_id(record))] for source, _, record in sound]
    by_stars = [_by_stars(record) for _, _, record in sound]
    advertised = [bool(ADVERTISES.search(_text(record))) for _, _, record in sound]
    assert [meaning == "spam" for meaning in meant] == advertised
    honest = [pair for pair in zip(meant, by_stars, strict=True) if pair[0] != "spam"]
    differing = sum(meaning != stars for meaning, stars in honest)
    assert 0.01 * len(honest) < differing < 0.06 * len(honest)


def test_texts_are_dirty_as_often_as_counted(delivery: Delivery) -> None:
    texts = [_text(record) for _, _, record in delivery.sound()]
    copies = delivery.sample.count("disguised_copy")
    for fault, pattern in {
        "html": r"<(br|b|p|em|a) ?[^<>]*>",
        "entities": r"&#?\w+",
        "zero_width": "[\u200b-\u200d\u2060\ufeff]",
    }.items():
        found = sum(bool(re.search(pattern, text)) for text in texts)
        assert (
            delivery.sample.count(fault)
            <= found
            <= delivery.sample.count(fault) + copies + delivery.sample.count("empty_text", "html")
        )
    garbled = sum(bool(re.search("Ã|â€|Â|\ufffd", text)) for text in texts)
    assert garbled == delivery.sample.count("mojibake")


def test_the_files_come_in_every_packing_and_one_comes_late(delivery: Delivery) -> None:
    files = {file.path.name: file for file in delivery.sample.files if file.source == "marketplace"}
    assert files["export_1.json"].path.read_bytes().startswith(b"\xef\xbb\xbf[")
    assert {files["export_2_am.json"].day, files["export_2_pm.json.gz"].day} == {delivery.sample.days[1]}
    assert files["export_3.json.zst"].path.read_bytes().startswith(b"\x28\xb5\x2f\xfd")
    assert not files["export_4.json"].path.read_text().rstrip().endswith("]")
    late = files["export_3_late.json"]
    written = [datetime.fromisoformat(record["postedAt"]).date() for record in _records_of(late.path)]
    assert len(written) == delivery.sample.count("late")
    assert max(written) <= late.day - timedelta(days=7)
