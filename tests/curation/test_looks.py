"""The sensor's last look on disk: what was written comes back, and what is damaged is named with what to do."""

import datetime
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from curation.errors import CurationError
from curation.looks import Look, read_look, write_look

AT = datetime.datetime(2026, 11, 23, 8, 0, 0, 250_000, tzinfo=datetime.UTC)
WAITING = Look(
    dataset="tickets",
    message="37 of 100 new labels, 12 tied",
    effective=37,
    threshold=100,
    tied=12,
    asked_attempt=None,
    alarm=False,
    at=AT,
)


def test_before_the_first_look_there_is_none(tmp_path: Path) -> None:
    assert read_look(tmp_path / "looks", "tickets") is None


def test_a_look_comes_back_as_it_was_written(tmp_path: Path) -> None:
    write_look(tmp_path / "looks", WAITING)
    assert read_look(tmp_path / "looks", "tickets") == WAITING


def test_a_look_that_could_not_count_says_so_by_none(tmp_path: Path) -> None:
    uncounted = WAITING.model_copy(update={"message": "held by PID 7", "effective": None, "tied": None})
    write_look(tmp_path, uncounted)
    assert read_look(tmp_path, "tickets") == uncounted


def test_every_dataset_has_its_last_look_and_nothing_else_is_left(tmp_path: Path) -> None:
    asked = WAITING.model_copy(update={"message": "100 of 100 new labels", "effective": 100, "asked_attempt": 1})
    other = WAITING.model_copy(update={"dataset": "reviews", "alarm": True})
    for look in (WAITING, other, asked):
        write_look(tmp_path, look)
    assert (read_look(tmp_path, "tickets"), read_look(tmp_path, "reviews")) == (asked, other)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["reviews.json", "tickets.json"]


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda told: told[:-20], id="cut short"),
        pytest.param(lambda told: b"", id="empty"),
        pytest.param(lambda told: b"\xff" + told, id="not UTF-8"),
        pytest.param(lambda told: told.replace(b'"tied":12', b'"tied":-1'), id="a count below zero"),
        pytest.param(lambda told: told.replace(b"08:00:00.250000Z", b"08:00:00.250000"), id="a time without its zone"),
        pytest.param(lambda told: told.replace(b'"tied":12', b'"tied":12,"more":1'), id="a field nobody knows"),
    ],
)
def test_a_damaged_file_is_named_with_the_fix(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    write_look(tmp_path, WAITING)
    path = tmp_path / "tickets.json"
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    assert path.read_bytes() != whole
    with pytest.raises(CurationError, match=r"tickets\.json is damaged: ") as told:
        read_look(tmp_path, "tickets")
    assert told.value.fix == "remove it: the sensor's next look writes it again, within a minute"
    path.unlink()
    assert read_look(tmp_path, "tickets") is None


def test_a_name_that_leads_elsewhere_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CurationError, match="cannot name a dataset"):
        read_look(tmp_path, "../tickets")
    with pytest.raises(CurationError, match="cannot name a dataset"):
        write_look(tmp_path, WAITING.model_copy(update={"dataset": "../tickets"}))


def test_a_look_at_a_naive_moment_is_refused() -> None:
    with pytest.raises(ValidationError, match="timezone"):
        Look(**WAITING.model_dump() | {"at": AT.replace(tzinfo=None)})
