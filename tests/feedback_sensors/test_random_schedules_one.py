"""Exactly one verdict per crossed threshold, whatever befalls the loop: the first half of the random schedules."""

from pathlib import Path

import pytest

from tests.feedback_sensors.random_schedules import play_schedules

SEEDS_A_CHUNK = 25


@pytest.mark.slow
@pytest.mark.parametrize("first_seed", range(0, 100, SEEDS_A_CHUNK))
def test_every_crossed_threshold_gets_exactly_one_verdict(first_seed: int, tmp_path: Path) -> None:
    told = play_schedules(tmp_path, range(first_seed, first_seed + SEEDS_A_CHUNK))
    assert told.crossings >= 15, "these schedules hardly test anything"
