"""What labels buy, on texts whose labels follow from one word: where choosing saves, where it does not, and where nothing can be told."""

import datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from curation.errors import CurationError
from curation.learning.classifier import TrainingSettings
from curation.learning.curves import crossings, rising
from curation.learning.evaluation import Estimate
from curation.learning.label_value import CHOSEN_MINIMUM, CONTROL_MINIMUM, Arms, LabelValue, Recipe, Values, compare, sampled
from curation.learning.weighting import SamplingPolicy

NOON = datetime.datetime(2026, 11, 2, 12, tzinfo=datetime.UTC)
RECIPE = Recipe(
    TrainingSettings(longest_ngram=1, minimum_documents=1, feature_bits=12, inverse_regularisations=(10.0,)),
    SamplingPolicy(),
    10.0,
)
NEW_WORDS = 120
"""Telling words that the base rows do not have; the more of them a model has seen, the better it is."""


def rows(name: str, texts: list[str], labels: list[str]) -> pl.DataFrame:
    """Items `name`0, `name`1, ... as an arm has them."""
    return pl.DataFrame(
        {
            "item_id": [f"{name}{number:05d}" for number in range(len(texts))],
            "text": texts,
            "label": labels,
            "weight": 1.0,
            "labelled_at": NOON,
        }
    )


def told(name: str, count: int, share_of_new_words: float, seed: int) -> pl.DataFrame:
    """Items whose one telling word is new in this share, and else one that the base knows; even words are good."""
    random = np.random.default_rng(seed)
    words = random.integers(0, NEW_WORDS, count)
    is_new = random.random(count) < share_of_new_words
    texts = [f"new{word}" if new else f"old{word % 2}" for word, new in zip(words, is_new, strict=True)]
    return rows(name, texts, ["bad" if word % 2 else "good" for word in words])


def arms(
    *, control: int = 400, chosen: int = 800, share_of_new_words: float = 0.3, chosen_share: float = 1.0, seed: int = 1
) -> Arms:
    return Arms(
        base=told("base", 100, 0.0, seed),
        chosen=told("chosen", chosen, chosen_share, seed + 1),
        control=told("control", control, share_of_new_words, seed + 2),
        test=told("test", 60, share_of_new_words, seed + 3),
    )


def compared(given: Arms) -> LabelValue:
    return compare(given, RECIPE, dataset="reviews", snapshot_version="v0002", model_version=2)


def accuracies(value: LabelValue, arm: str) -> dict[int, float]:
    return {point.labels: point.accuracy.value for point in value.points if point.arm == arm}


def test_labels_that_teach_more_save_labels_and_the_interval_says_so() -> None:
    value = compared(arms())
    assert value.saved is not None
    assert 0 < value.saved.low <= value.saved.value <= value.saved.high <= value.matched == 240
    # A chosen label shows a new word, a random one in 3 of 10 cases: 72 chosen ones do what 240 random ones do.
    assert value.saved.low <= 240 - 72 <= value.saved.high
    assert value.why.startswith(f"240 random labels buy what {240 - value.saved.value:.0f} chosen ones do: ")
    assert all(accuracies(value, "chosen")[size] > accuracies(value, "random")[size] for size in (60, 120, 240))


def test_labels_chosen_as_if_at_random_save_nothing_that_can_be_told() -> None:
    value = compared(arms(chosen_share=0.3))
    assert value.saved is not None
    assert value.saved.low < 0 < value.saved.high
    assert value.why.startswith("chosen and random labels cannot be told apart yet")


def test_labels_that_teach_less_cost_labels() -> None:
    value = compared(arms(share_of_new_words=0.8, chosen_share=0.1))
    assert value.saved is not None and value.saved.high < 0
    assert "choosing costs" in value.why and "or less" in value.why


def test_where_labels_teach_nothing_the_interval_is_the_whole_scale() -> None:
    value = compared(arms(share_of_new_words=0.0, chosen_share=0.0))
    assert value.saved == Estimate(0.0, -240.0, 240.0)


def test_both_arms_start_at_the_same_model_and_the_chosen_arm_goes_on_to_twice_as_many() -> None:
    value = compared(arms())
    chosen, random = accuracies(value, "chosen"), accuracies(value, "random")
    assert list(random) == [0, 60, 120, 240, 320]
    assert list(chosen) == [0, 60, 120, 240, 320, 480, 640]
    assert chosen[0] == random[0]
    assert (value.judged_on, value.chosen_labels, value.base_rows, value.test_rows) == (400, 800, 100, 60)
    assert all(point.accuracy.low <= point.accuracy.value <= point.accuracy.high for point in value.points)


def test_one_label_too_few_is_told_with_the_number_that_is_missing() -> None:
    value = compared(arms(control=CONTROL_MINIMUM - 1, chosen=CHOSEN_MINIMUM - 2))
    assert (value.saved, value.missing, value.missing_chosen) == (None, 1, 2)
    assert value.why == "not enough yet: 1 more label of the control arm (299 of 300) and 2 more that the queue chose (98 of 100)"
    assert value.points  # the curve is there to look at


@pytest.mark.parametrize(("control", "chosen"), [(0, 0), (5, 300), (300, 0)])
def test_with_hardly_any_labels_nothing_is_drawn(control: int, chosen: int) -> None:
    value = compared(arms(control=control, chosen=chosen))
    assert (value.saved, value.points) == (None, ())
    assert value.why.startswith("not enough yet")


@pytest.mark.parametrize("which", ["base", "control"])
def test_one_class_alone_is_told_and_nothing_is_compared(which: str) -> None:
    given = arms()
    only = {name: getattr(given, name) for name in ("base", "chosen", "control", "test")}
    value = compared(Arms(**(only | {which: only[which].with_columns(label=pl.lit("good"))})))
    assert (value.saved, value.points) == (None, ())
    assert value.why.startswith("nothing to compare yet") and value.why.endswith("are all 'good'")


def test_without_rows_to_start_from_nothing_is_compared() -> None:
    given = arms()
    value = compared(Arms(given.base.head(3), given.chosen, given.control, given.test))
    assert value.why == "nothing to compare yet: 3 rows with derived labels to start from"


def test_no_label_of_the_control_arm_is_learned_by_the_model_that_it_judges() -> None:
    random = np.random.default_rng(5)
    # Every text has a word of its own and a label by chance: who has seen it knows it, and nobody else can.
    labels = random.choice(["good", "bad"], 400).tolist()
    given = arms(chosen_share=0.0)
    value = compared(Arms(given.base, given.chosen, rows("control", [f"only{n}" for n in range(400)], labels), given.test))
    assert abs(accuracies(value, "random")[320] - 0.5) < 0.1


def test_an_item_in_two_arms_is_refused() -> None:
    given = arms()
    with pytest.raises(ValueError, match="400 items are both in control and in test, such as control00000"):
        Arms(given.base, given.chosen, given.control, given.control)


def test_a_label_that_the_base_does_not_know_can_be_learned() -> None:
    given = arms(chosen=300)
    third = pl.when(pl.col("text").str.ends_with("0")).then(pl.lit("spoilt")).otherwise("label").alias("label")
    value = compared(Arms(given.base, given.chosen.with_columns(third), given.control.with_columns(third), given.test))
    assert value.saved is not None
    assert accuracies(value, "random")[150] > accuracies(value, "random")[0]


def test_the_same_rows_in_any_order_give_the_same_bytes() -> None:
    given = arms(control=300, chosen=200)
    turned = Arms(
        *(part.sample(fraction=1.0, shuffle=True, seed=3) for part in (given.base, given.chosen, given.control, given.test))
    )
    assert compared(given).model_dump_json() == compared(turned).model_dump_json()


def test_a_sample_stays_what_it_is_when_rows_are_added() -> None:
    before = sampled([f"item{number}" for number in range(1000)], 100)
    after = sampled([f"item{number}" for number in range(1010)], 100)
    assert len(before) == len(after) == 100
    assert len(set(before) & set(after)) >= 96
    assert sampled(["b", "a"], 5) == ["a", "b"]


def test_a_curve_is_made_to_rise_by_pooling_what_falls() -> None:
    found = rising(np.array([[0.5, 0.7, 0.6, 0.8], [0.9, 0.8, 0.7, 0.6], [0.1, 0.2, 0.3, 0.4]]))
    np.testing.assert_allclose(found, [[0.5, 0.65, 0.65, 0.8], [0.75] * 4, [0.1, 0.2, 0.3, 0.4]])


@pytest.mark.parametrize(
    ("curve", "height", "expected"),
    [
        ([0.5, 0.6, 0.8], 0.7, (15.0, 15.0)),
        ([0.5, 0.6, 0.8], 0.6, (10.0, 10.0)),
        ([0.5, 0.6, 0.6], 0.6, (10.0, 20.0)),
        ([0.5, 0.5, 0.5], 0.5, (0.0, 20.0)),
        ([0.5, 0.6, 0.8], 0.9, (20.0, 20.0)),
        ([0.5, 0.6, 0.8], 0.4, (0.0, 0.0)),
    ],
)
def test_a_rising_curve_is_at_a_height_from_a_first_to_a_last_size(
    curve: list[float], height: float, expected: tuple[float, float]
) -> None:
    first, last = crossings(np.array([0.0, 10.0, 20.0]), np.array([curve]), np.array([height]))
    assert (first[0], last[0]) == pytest.approx(expected)


def test_comparisons_are_kept_one_a_snapshot_and_the_newest_is_current(tmp_path: Path) -> None:
    values = Values(tmp_path, "reviews")
    assert (values.current(), values.history()) == (None, [])
    first = compared(arms(control=0, chosen=0))
    for version in ("v9999", "v10000"):
        values.write(first.model_copy(update={"snapshot_version": version}))
    values.write(first.model_copy(update={"snapshot_version": "v10000", "model_version": 7}))
    assert [(value.snapshot_version, value.model_version) for value in values.history()] == [("v9999", 2), ("v10000", 7)]
    assert values.current() == values.history()[-1]
    assert sorted(path.name for path in (tmp_path / "label_value" / "reviews").iterdir()) == [
        "CURRENT.json",
        "v10000.json",
        "v9999.json",
    ]


def test_a_damaged_comparison_is_named_with_the_fix(tmp_path: Path) -> None:
    path = Values(tmp_path, "reviews").write(compared(arms(control=0, chosen=0)))
    path.write_text("{")
    with pytest.raises(CurationError, match=r"v0002\.json is damaged") as told_so:
        Values(tmp_path, "reviews").history()
    assert told_so.value.fix == "remove it; the next retrain writes it again"
