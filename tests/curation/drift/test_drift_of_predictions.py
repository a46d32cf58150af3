"""Drift of a champion's predictions: what is the reference, which days are judged, and what is left where something is missing."""

import json
import shutil
from pathlib import Path

import pytest

from curation.drift.kept import DayDrift
from curation.drift.plots import drift_over_days
from curation.drift.watching import judge_new_days
from curation.errors import CurationError
from tests.curation.drift.drift_world import DriftWorld, day


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> DriftWorld:
    return DriftWorld(tmp_path_factory.mktemp("drift") / "home")


@pytest.fixture
def world(made_once: DriftWorld, tmp_path: Path) -> DriftWorld:
    return made_once.copied(tmp_path / "home")


def named(verdict: DayDrift) -> list[str]:
    return [column.name for column in verdict.alarms]


def test_the_rows_of_the_snapshot_itself_are_not_judged(world: DriftWorld) -> None:
    assert judge_new_days(world.watched()) == []
    assert world.book.newest() is None


def test_a_day_like_the_snapshot_is_told_and_kept(world: DriftWorld) -> None:
    world.arrive(3, 600)
    (verdict,) = judge_new_days(world.watched())
    assert (verdict.day, verdict.rows, verdict.alarm, named(verdict)) == (day(3), 600, False, [])
    assert verdict.sentence == "2026-11-20: 600 rows against v0001, the snapshot of model 1: no drift in 9 columns"
    told = json.loads((world.root / "lake" / "drift" / "reviews" / "2026-11-20.json").read_bytes())
    assert [column["name"] for column in told["columns"]] == [
        "length", "language", "source", "rating", "vocabulary", "extra.segment", "extra.votes", "label", "confidence"
    ]  # fmt: skip
    assert set(told["columns"][0]) == {"name", "effect", "limit", "null_p", "alarm", "sentence"}


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"length": 400}, "length"),
        ({"language": "cyrillic"}, "language"),
        ({"source": "forum"}, "source"),
        ({"rating": None}, "rating"),
        ({"text": "the kettle leaks"}, "vocabulary"),
        ({"extra": '{"segment": "business", "votes": 30}'}, "extra.segment"),
        ({"label": "negative"}, "label"),
        ({"probabilities": {"positive": 0.51, "negative": 0.49}}, "confidence"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_changed_is_named(world: DriftWorld, changed: dict[str, object], name: str) -> None:
    world.arrive(3, 600, **changed)
    (verdict,) = judge_new_days(world.watched())
    assert verdict.alarm
    assert set(named(verdict)) - {"extra.votes"} == {name}
    assert f": {', '.join(named(verdict))} drifted. {verdict.alarms[0].sentence}" in verdict.sentence


def test_a_day_is_judged_once_and_again_when_rows_came(world: DriftWorld) -> None:
    world.arrive(3, 300)
    world.arrive(4, 300)
    assert [verdict.day for verdict in judge_new_days(world.watched())] == [day(3), day(4)]
    assert judge_new_days(world.watched()) == []
    world.arrive(5, 300, on=day(4), source="forum")
    (again,) = judge_new_days(world.watched())
    assert (again.day, again.rows, named(again)) == (day(4), 600, ["source"])
    assert [verdict.day for verdict in world.book.days()] == [day(3), day(4)]


def test_the_same_rows_give_the_same_verdict(world: DriftWorld) -> None:
    world.arrive(3, 600, source="forum")
    judge_new_days(world.watched())
    first = {path.name: path.read_bytes() for path in world.book.folder.rglob("*.json")}
    shutil.rmtree(world.book.folder)
    judge_new_days(world.watched())
    assert {path.name: path.read_bytes() for path in world.book.folder.rglob("*.json")} == first


def test_small_days_are_pooled_until_there_are_enough(world: DriftWorld) -> None:
    for seq in (3, 4, 5):
        world.arrive(seq, 80, source="forum")
    few, still_few, enough = judge_new_days(world.watched())
    assert few.sentence == "2026-11-20: 80 rows, too few to judge; 200 are needed within 7 days"
    assert not few.alarm
    assert still_few.pooled_rows == 160
    assert (enough.rows, enough.pooled_rows, enough.pooled_since) == (80, 240, day(3))
    assert named(enough) == ["source"]
    assert enough.sentence.startswith("2026-11-20 to 2026-11-22: 240 rows against v0001")


def test_days_long_past_are_not_pooled(world: DriftWorld) -> None:
    world.arrive(3, 150)
    world.arrive(10, 150)
    assert [verdict.pooled_rows for verdict in judge_new_days(world.watched())] == [150, 150]


def test_a_reference_of_one_row_says_so(tmp_path: Path) -> None:
    world = DriftWorld(tmp_path, reference_days=1, rows_a_day=1)
    world.arrive(2, 300)
    (verdict,) = judge_new_days(world.watched())
    assert not verdict.alarm
    assert verdict.sentence == "2026-11-19: 300 rows, but the reference has only 1; 200 are needed"
    assert verdict.columns[0].sentence == "length is not judged: the reference has 1 row, 200 are needed"


def test_an_extra_field_that_is_gone_alarms_and_one_that_is_new_is_told(world: DriftWorld) -> None:
    world.arrive(3, 600, extra='{"colour": "red", "votes": 30, "a/b~\'c\\"": 1}')
    (verdict,) = judge_new_days(world.watched())
    told = {column.name: column for column in verdict.columns}
    assert told["extra.segment"].sentence.startswith("extra.segment is gone: no row has a value")
    assert told["extra.segment"].alarm
    assert not told["extra.colour"].alarm
    assert told["extra.a/b~'c\""].sentence.endswith("so there is nothing to compare it with")


def test_extra_that_is_no_json_is_missing(world: DriftWorld) -> None:
    world.arrive(3, 600, extra="{broken")
    (verdict,) = judge_new_days(world.watched())
    assert set(named(verdict)) == {"extra.segment", "extra.votes"}


def test_days_before_a_promotion_keep_their_verdict_and_what_follows_is_judged_anew(world: DriftWorld) -> None:
    world.arrive(3, 600, source="forum")
    judge_new_days(world.watched())
    world.promote(2, 3, 600)
    world.arrive(4, 600, version=2)
    (verdict,) = judge_new_days(world.watched())
    assert (verdict.day, verdict.model_version, verdict.alarm) == (day(4), 2, False)
    assert [(kept.day, kept.model_version, kept.alarm) for kept in world.book.days()] == [(day(3), 1, True), (day(4), 2, False)]


def test_a_snapshot_deleted_by_hand_is_told_and_a_kept_reference_outlives_it(world: DriftWorld) -> None:
    world.arrive(3, 600)
    version, aside = world.root / "snapshots" / "reviews" / "v0001", world.root / "aside"
    shutil.move(version, aside)
    with pytest.raises(CurationError, match="reviews has no snapshot 'v0001'"):
        judge_new_days(world.watched())
    shutil.move(aside, version)
    judge_new_days(world.watched())
    shutil.rmtree(world.root / "snapshots")
    world.arrive(4, 600)
    assert [verdict.day for verdict in judge_new_days(world.watched())] == [day(4)]


def test_a_damaged_file_is_named(world: DriftWorld) -> None:
    world.arrive(3, 600)
    judge_new_days(world.watched())
    (world.book.folder / "2026-11-20.json").write_text("{")
    with pytest.raises(CurationError, match=r"2026-11-20\.json is damaged"):
        world.book.newest()


def test_the_picture_shows_any_days(world: DriftWorld) -> None:
    world.arrive(3, 20)
    world.arrive(4, 600, source="forum", text=None)
    judge_new_days(world.watched())
    assert drift_over_days(world.book.days()).startswith(b"\x89PNG")
