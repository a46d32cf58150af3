"""What a training row counts: which rows count more, what holds whatever the data, and what is refused."""

import datetime
import json
from collections.abc import Sequence

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.errors import CurationError
from curation.learning.weighting import SampleWeights, SamplingPolicy, sample_weights

NEWEST = datetime.datetime(2026, 6, 1, tzinfo=datetime.UTC)
PLAIN = SamplingPolicy(human_weight=1, half_life_days=1e9, replay_share=0, class_balance=0, cap=1e6)


def frame(rows: Sequence[tuple[str, str, float, float]]) -> pl.DataFrame:
    """Rows of label, origin, reliability and age in days against the newest."""
    return pl.DataFrame(
        {
            "label": [label for label, *_ in rows],
            "label_origin": [origin for _, origin, *_ in rows],
            "weight": [reliability for _, _, reliability, _ in rows],
            "labelled_at": [NEWEST - datetime.timedelta(days=age) for *_, age in rows],
        },
        schema={"label": pl.String, "label_origin": pl.String, "weight": pl.Float64, "labelled_at": pl.Datetime("us", "UTC")},
    )


def weights(rows: Sequence[tuple[str, str, float, float]], policy: SamplingPolicy) -> list[float]:
    return [round(float(weight), 9) for weight in sample_weights(frame(rows), policy).weights]


def plausible(new_human_share: float, years: float = 4, rows: int = 4000) -> pl.DataFrame:
    """Ratings of several years, 70% positive, and human labels of the last weeks."""
    random = np.random.default_rng(5)
    human = int(rows * new_human_share)
    derived = [
        ("positive" if lucky < 0.7 else "negative" if lucky < 0.9 else "neutral", "derived", 1.0, float(age))
        for lucky, age in zip(random.random(rows - human), random.random(rows - human) * 365 * years, strict=True)
    ]
    judged = [
        ("negative" if number % 3 else "positive", "human", 0.6 + 0.4 * number / human, number % 30) for number in range(human)
    ]
    return frame(derived + judged)


def test_a_human_label_counts_as_many_derived_ones_as_the_policy_says() -> None:
    rows = [("a", "human", 1.0, 0.0), ("b", "derived", 1.0, 0.0), ("a", "derived", 0.5, 0.0), ("b", "human", 0.5, 0.0)]
    got = weights(rows, PLAIN.model_copy(update={"human_weight": 4}))
    assert [weight / got[1] for weight in got] == pytest.approx([4, 1, 0.5, 2])


def test_a_label_counts_half_after_the_half_life_and_never_less_than_the_least() -> None:
    policy = PLAIN.model_copy(update={"half_life_days": 100, "least_recency": 0.2})
    got = weights([("a", "derived", 1.0, age) for age in (0.0, 100.0, 200.0, 5000.0)], policy)
    assert [weight / got[0] for weight in got] == pytest.approx([1, 0.5, 0.25, 0.2])


def test_age_counts_from_the_newest_label_unless_told_otherwise() -> None:
    policy = PLAIN.model_copy(update={"half_life_days": 100, "least_recency": 0.01})
    rows = frame([("a", "derived", 1.0, 100.0), ("b", "derived", 1.0, 300.0)])
    moved = rows.with_columns(pl.col("labelled_at") + pl.duration(days=1000))
    assert sample_weights(rows, policy).weights.tolist() == sample_weights(moved, policy).weights.tolist()
    between = sample_weights(rows, policy, as_of=NEWEST - datetime.timedelta(days=200)).weights
    assert between[1] / between[0] == pytest.approx(0.5)  # a label after the moment is new, not newer than new


def test_naive_times_are_utc_and_rows_without_a_time_are_as_old_as_the_oldest() -> None:
    policy = PLAIN.model_copy(update={"half_life_days": 100})
    rows = frame([("a", "derived", 1.0, 0.0), ("b", "derived", 1.0, 100.0), ("b", "derived", 1.0, 50.0)])
    untimed = rows.with_columns(
        labelled_at=pl.when(pl.int_range(pl.len()) < 2).then(pl.col("labelled_at").dt.replace_time_zone(None))
    )
    got = sample_weights(untimed, policy, as_of=NEWEST).weights
    assert got[1] / got[0] == pytest.approx(0.5)
    assert got[2] == got[1]
    assert sample_weights(rows.with_columns(labelled_at=pl.lit(None, pl.Datetime("us"))), policy).weights.tolist() == [1, 1, 1]


def test_class_balance_goes_from_as_they_are_to_equal() -> None:
    rows = [("often", "derived", 1.0, 0.0)] * 8 + [("rare", "derived", 1.0, 0.0)] * 2
    shares = [sum(weights(rows, PLAIN.model_copy(update={"class_balance": strength}))[8:]) / 10 for strength in (0.0, 0.5, 1.0)]
    assert shares == pytest.approx([0.2, 1 / 3, 0.5])


def test_old_data_keeps_its_replay_share_when_new_data_floods_in() -> None:
    rows = frame([("a", "derived", 1.0, 900.0)] * 60 + [("a", "human", 1.0, 0.0)] * 40)
    without = sample_weights(rows, SamplingPolicy(human_weight=3, replay_share=0))
    assert without.replay_share < 0.4
    kept = sample_weights(rows, SamplingPolicy(human_weight=3, replay_share=0.5))
    assert kept.replay_share == pytest.approx(0.5)
    assert sample_weights(rows, SamplingPolicy(human_weight=3, replay_share=1)).replay_share == pytest.approx(
        0.6
    )  # its share of the rows


def test_no_weight_exceeds_the_cap_and_what_is_cut_goes_to_the_others_in_proportion() -> None:
    rows = [("a", "human", 1.0, 0.0)] + [("a", "derived", 0.5, 0.0)] * 2 + [("a", "derived", 1.0, 0.0)] * 7
    outcome = sample_weights(frame(rows), PLAIN.model_copy(update={"human_weight": 100, "cap": 3}))
    assert outcome.weights[0] == pytest.approx(3)
    assert outcome.weights[1] / outcome.weights[9] == pytest.approx(0.5)
    assert outcome.weights.mean() == pytest.approx(1)
    assert outcome.capped_rows == 1


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abc"),
            st.sampled_from(["human", "derived"]),
            st.floats(0.01, 1),
            st.floats(0, 4000),
        ),
        min_size=1,
        max_size=40,
    ),
    st.builds(
        SamplingPolicy,
        human_weight=st.floats(0.5, 50),
        half_life_days=st.floats(1, 2000),
        least_recency=st.floats(0.01, 1),
        old_after_days=st.floats(0, 1000),
        replay_share=st.floats(0, 1),
        class_balance=st.floats(0, 1),
        cap=st.floats(1.1, 10),
    ),
)
@settings(max_examples=150)
def test_whatever_the_data_mean_cap_replay_and_effective_sample_hold(
    rows: list[tuple[str, str, float, float]], policy: SamplingPolicy
) -> None:
    table = frame(rows)
    outcome = sample_weights(table, policy)
    assert outcome.weights.mean() == pytest.approx(1)
    assert outcome.weights.min() > 0
    assert outcome.weights.max() <= policy.cap * (1 + 1e-6)
    assert outcome.effective_sample_size >= len(rows) / policy.cap * (1 - 1e-6)
    newest = min(age for *_, age in rows)
    old = np.mean([age - newest > policy.old_after_days + 1e-6 for *_, age in rows])
    assert outcome.replay_share >= min(policy.replay_share, old) - 1e-6


@pytest.mark.parametrize("share", [0.01, 0.1, 0.25, 0.6])
def test_by_default_the_effective_sample_is_at_least_half_of_the_rows(share: float) -> None:
    outcome = sample_weights(plausible(share), SamplingPolicy())
    assert outcome.effective_share >= 0.5
    human = next(group for group in outcome.groups if group.value == "human")
    assert human.share_of_weight > human.share_of_rows


def test_rows_of_no_reliability_count_nothing_and_do_not_lift_the_cap_of_the_others() -> None:
    rows = [("a", "derived", 0.0, 0.0)] * 5 + [("a", "derived", 1.0, 0.0)] * 4 + [("b", "human", 1.0, 0.0)]
    got = weights(rows, PLAIN.model_copy(update={"human_weight": 100, "cap": 2}))
    assert got[:5] == [0.0] * 5
    assert got[9] / np.mean(got[5:]) == pytest.approx(2)


def explained(outcome: SampleWeights, group: str) -> dict[str, tuple[int, float]]:
    return {part.value: (part.rows, round(part.share_of_weight, 3)) for part in outcome.groups if part.group == group}


def test_the_page_tells_the_policy_and_every_group() -> None:
    rows = [("a", "derived", 1.0, 400.0)] * 6 + [("b", "human", 1.0, 0.0)] * 2
    outcome = sample_weights(frame(rows), PLAIN.model_copy(update={"human_weight": 3}))
    assert explained(outcome, "origin") == {"derived": (6, 0.5), "human": (2, 0.5)}
    assert explained(outcome, "class") == {"a": (6, 0.5), "b": (2, 0.5)}
    assert explained(outcome, "age") == {"newer": (2, 0.5), "older than 28 days": (6, 0.5)}
    assert outcome.effective_sample_size == pytest.approx(6.0)
    assert "| origin | human | 2 | 2.00 | 25.0% | 50.0% | 0 |" in outcome.as_markdown()
    assert "8 rows count like 6 equal ones (75%)" in outcome.as_markdown()
    assert json.loads(json.dumps(outcome.as_json()))["policy"]["human_weight"] == 3


def test_no_rows_give_no_weights() -> None:
    outcome = sample_weights(frame([]), SamplingPolicy())
    assert (outcome.weights.size, outcome.effective_sample_size, outcome.effective_share, outcome.groups) == (0, 0, 1, ())


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (("a", "guessed", 1.0, 0.0), "'guessed' is neither"),
        (("a", "derived", -0.5, 0.0), "row 1 is -0.5"),
        (("a", "derived", float("nan"), 0.0), "row 1 is nan"),
        (("a", "derived", float("inf"), 0.0), "row 1 is inf"),
    ],
    ids=["origin", "negative", "not a number", "infinite"],
)
def test_an_unknown_origin_and_an_impossible_reliability_are_refused(row: tuple[str, str, float, float], told: str) -> None:
    with pytest.raises(CurationError, match=told):
        sample_weights(frame([("a", "derived", 1.0, 0.0), row]), SamplingPolicy())


def test_rows_that_all_count_nothing_are_refused() -> None:
    with pytest.raises(CurationError, match="all 2 rows have a reliability of 0"):
        sample_weights(frame([("a", "derived", 0.0, 0.0)] * 2), SamplingPolicy())
