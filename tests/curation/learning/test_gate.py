"""The gate: who passes, who is refused and by which rows, what votes, and whether its intervals and its budget hold."""

import io
import json
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from curation.errors import CurationError
from curation.learning import plots
from curation.learning.gate import Compared, GatePolicy, Verdict, judge, length_bands
from curation.learning.paired import POINTS, bound, budget, difference_points, score

POLICY = GatePolicy()


def compared(blocks: Sequence[tuple[str, int, int, int]]) -> Compared:
    """Rows of one slice column, `source`: (value, rows, gained, lost) each; the rest both have right but for every tenth."""
    keys, champion, challenger, sources = [], [], [], []
    for value, rows, gained, lost in blocks:
        for number in range(rows):
            is_both_right = number % 10 != 0
            keys.append(f"{value}-{number:05d}")
            sources.append(value)
            champion.append("yes" if gained <= number < gained + lost or (is_both_right and number >= gained) else "no")
            challenger.append("yes" if number < gained or (is_both_right and number >= gained + lost) else "no")
    return Compared(keys, ["yes"] * len(keys), champion, challenger, {"source": sources})


def judged(test: Compared, **changes: object) -> Verdict:
    return judge(test, POLICY, **({"new_labels": 100, "verdicts_given": 0} | changes))  # type: ignore[arg-type]


def only(part: Compared, rows: int) -> Compared:
    slices = {name: values[:rows] for name, values in part.slices.items()}
    return Compared(part.keys[:rows], part.labels[:rows], part.champion[:rows], part.challenger[:rows], slices)


def test_a_better_challenger_with_new_labels_is_promoted() -> None:
    verdict = judged(compared([("app", 2000, 120, 80), ("shop", 3000, 180, 130)]))
    assert verdict.kind == "promoted" and verdict.why.startswith("promoted: all test rows +1.80 points on 5,000 rows")
    assert verdict.overall.difference_points.value == pytest.approx(1.8)
    assert (verdict.rows_behind, verdict.rows_behind_count) == ((), 0)
    assert [(part.name, part.has_vote, part.is_against) for part in verdict.slices] == [
        ("source = shop", True, False),
        ("source = app", True, False),
    ]


def test_a_challenger_that_says_the_same_is_promoted_for_its_labels() -> None:
    verdict = judged(compared([("app", 2000, 0, 0)]))
    assert verdict.kind == "promoted"
    assert verdict.overall.difference_points.value == 0 and verdict.overall.p_value == 0.5


@pytest.mark.parametrize("new_labels", [0, -3])
def test_a_challenger_without_new_labels_is_refused_for_that_alone(new_labels: int) -> None:
    verdict = judged(compared([("app", 2000, 150, 50)]), new_labels=new_labels)
    assert verdict.why == "refused: it has learned from no label that the champion has not"
    assert (verdict.kind, verdict.rows_behind) == ("refused", ())


def test_a_challenger_worse_than_the_margin_is_refused_and_names_rows_that_it_lost() -> None:
    test = compared([("app", 2000, 60, 100)])
    verdict = judged(test)
    assert verdict.why.startswith("refused: all test rows -2.00 points on 2,000 rows")
    assert "worse than the margin of 0.5 points" in verdict.why
    assert verdict.rows_behind_count == 100 and len(verdict.rows_behind) == 50
    assert set(verdict.rows_behind) <= {f"app-{number:05d}" for number in range(60, 160)}


def test_a_difference_within_the_margin_is_refused_while_the_rows_do_not_show_it() -> None:
    few, many = judged(compared([("app", 500, 30, 32)])), judged(compared([("app", 30_000, 1800, 1920)]))
    assert few.overall.difference_points.value == pytest.approx(many.overall.difference_points.value)
    assert (few.kind, many.kind) == ("refused", "promoted")
    assert "only 60% sure of" in few.why and "500 rows, 62 of them decided differently, do not show more" in few.why


def test_a_slice_six_points_worse_refuses_a_challenger_that_is_better_overall() -> None:
    verdict = judged(compared([("kiosk", 600, 12, 48), ("app", 2000, 120, 60), ("shop", 2400, 130, 80)]))
    assert verdict.overall.difference_points.value > 0 and not verdict.overall.is_against
    assert verdict.kind == "refused" and verdict.why.startswith("refused: source = kiosk -6.00 points on 600 rows")
    assert verdict.rows_behind == tuple(f"kiosk-{number:05d}" for number in range(12, 60))
    (kiosk,) = [part for part in verdict.slices if part.is_against]
    assert kiosk.level == pytest.approx(0.05 / 3) and kiosk.p_value < 0.001


def test_a_large_slice_that_is_surely_less_than_six_points_worse_does_not_refuse() -> None:
    verdict = judged(compared([("app", 3000, 105, 195), ("shop", 4000, 400, 200)]))
    app = verdict.slices[1]
    assert app.value == "app" and app.difference_points.value == pytest.approx(-3) and app.p_value < app.level
    assert verdict.kind == "promoted" and "but by less than 6 points" in app.why


def test_a_small_slice_is_shown_with_its_half_width_and_does_not_vote() -> None:
    verdict = judged(compared([("kiosk", 599, 0, 120), ("app", 4401, 400, 200)]))
    kiosk = verdict.slices[1]
    assert verdict.kind == "promoted"
    assert (kiosk.value, kiosk.has_vote, kiosk.why) == ("kiosk", False, "does not vote: fewer than 600 rows")
    assert kiosk.half_width_points == pytest.approx(3.2, abs=0.1)


def test_more_voting_slices_take_more_to_refuse() -> None:
    bad = ("kiosk", 600, 60, 86)  # p = 0.016
    few = judged(compared([bad, ("app", 5000, 300, 150)]))
    many = judged(compared([bad, *((f"app{number:02d}", 700, 42, 21) for number in range(19))]))
    levels = [{part.level for part in verdict.slices} for verdict in (few, many)]
    assert levels == [{0.05 / 2}, {0.05 / 20}]
    assert (few.kind, many.kind) == ("refused", "promoted")


def test_only_the_largest_values_of_a_column_vote_and_the_rest_stands_as_one() -> None:
    blocks = [(f"shop{number:02d}", 600 + number, 30, 30) for number in range(20)]
    rest = [(f"tiny{number:02d}", 100, 0, 20) for number in range(9)]
    slices = judged(compared([*blocks, *rest])).slices
    assert len(slices) == 21 and all(part.has_vote for part in slices[:20])
    assert (slices[20].value, slices[20].rows, slices[20].has_vote) == ("other (9 values)", 900, False)
    assert slices[0].value == "shop19"


def test_a_missing_value_is_a_slice_of_its_own_and_one_that_all_share_is_none() -> None:
    test = compared([("app", 2000, 50, 50)])
    columns = {"language": [None] * 700 + ["en"] * 1300, "year": [2026] * 2000}
    slices = judged(Compared(test.keys, test.labels, test.champion, test.challenger, columns)).slices
    assert [(part.name, part.rows, part.has_vote) for part in slices] == [
        ("language = en", 1300, True),
        ("language = not given", 700, True),
        ("year = 2026", 2000, False),
    ]


def test_a_small_control_arm_is_shown_and_does_not_vote() -> None:
    test = compared([("app", 2000, 100, 60)])
    control = compared([("app", 299, 0, 100)])
    arm = judged(test, control=control).control
    assert arm is not None and (arm.has_vote, arm.is_against) == (False, False)
    assert arm.why == "does not vote: 299 of the 300 labels it takes" and arm.half_width_points > 3


def test_a_control_arm_that_is_surely_worse_refuses_and_names_its_rows() -> None:
    test = compared([("app", 2000, 100, 60)])
    verdict = judged(test, control=compared([("control", 300, 5, 30)]))
    assert verdict.kind == "refused" and "control arm -8.33 points on 300 rows" in verdict.why
    assert verdict.rows_behind == tuple(f"control-{number:05d}" for number in range(5, 35))


def test_a_control_arm_that_may_be_as_good_does_not_refuse() -> None:
    verdict = judged(compared([("app", 2000, 100, 60)]), control=compared([("control", 300, 10, 16)]))
    assert verdict.kind == "promoted" and "not significantly worse" in verdict.why


def test_an_empty_control_arm_is_none() -> None:
    test = compared([("app", 2000, 100, 60)])
    assert judged(test, control=only(test, 0)) == judged(test)


def test_no_test_rows_is_an_error_with_its_fix() -> None:
    with pytest.raises(CurationError, match="the test split is empty\n  fix: take in more records"):
        judged(only(compared([("app", 10, 0, 0)]), 0))


@pytest.mark.parametrize("rows", [1, 2, 10])
def test_a_tiny_test_shows_nothing_and_says_so(rows: int) -> None:
    verdict = judged(compared([("app", rows, 0, 0)]))
    assert verdict.kind == "refused" and "do not show more" in verdict.why
    low, high = verdict.overall.difference_points.low, verdict.overall.difference_points.high
    assert -100 <= low < 0 < high <= 100 and verdict.rows_behind == ()


def test_a_test_of_one_class_is_judged_like_any_other() -> None:
    rows = 1000
    one_class = Compared([str(row) for row in range(rows)], ["yes"] * rows, ["yes"] * rows, ["yes"] * rows, {})
    assert judged(one_class).kind == "promoted"
    all_wrong = Compared(one_class.keys, one_class.labels, one_class.champion, ["no"] * rows, {})
    assert judged(all_wrong).overall.difference_points.value == -100


def test_columns_of_other_lengths_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="language has 1 values for 2 rows"):
        Compared(["a", "b"], ["yes", "no"], ["yes", "no"], ["yes", "no"], {"language": ["en"]})


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=15)
def test_the_order_of_the_rows_changes_nothing(seed: int) -> None:
    test = compared([("kiosk", 700, 20, 80), ("app", 900, 60, 90), ("shop", 650, 40, 30)])
    order = np.random.default_rng(seed).permutation(len(test.keys))

    def moved(values: Sequence[object]) -> list[object]:
        return [values[position] for position in order]

    columns = [moved(column) for column in (test.keys, test.labels, test.champion, test.challenger)]
    shuffled = Compared(*columns, {name: moved(values) for name, values in test.slices.items()})  # type: ignore[arg-type]
    assert judged(shuffled, control=shuffled) == judged(test, control=test)


def test_the_same_input_gives_the_same_verdict_as_plain_json() -> None:
    test = compared([("kiosk", 600, 12, 48), ("app", 2000, 120, 60)])
    verdict = judged(test, control=test)
    assert json.dumps(verdict.as_json(), allow_nan=False) == json.dumps(judged(test, control=test).as_json(), allow_nan=False)
    metrics = verdict.as_metrics()
    assert metrics["difference_points/source/kiosk"] == pytest.approx(-6) and metrics["control_rows"] == 2600
    assert all(isinstance(value, float) for value in metrics.values())


def test_the_verdict_is_drawn_with_its_control_arm_and_small_enough_for_metadata() -> None:
    test = compared([(f"a long name of a source, number {number}", 650, 40, 40 + number) for number in range(30)])
    png = plots.verdict(judged(test, control=only(test, 250)))
    with Image.open(io.BytesIO(png)) as image:
        assert image.format == "PNG" and image.height > 300
    assert len(plots.as_markdown_image(png, "a verdict")) < 40_000
    assert png == plots.verdict(judged(test, control=only(test, 250)))


def test_length_bands_are_fixed() -> None:
    assert length_bands([0, 4, 5, 79, 80, None]) == [
        "0-4 words",
        "0-4 words",
        "5-19 words",
        "20-79 words",
        "80 words and more",
        None,
    ]


def test_the_interval_and_the_test_are_tangos() -> None:
    """Published: 1 against 7 of 21 children gives -0.517 to -0.026 (Fagerland 2014); 0 against 1 of 44 lenses, margin 0.1: 1.709."""
    airways = difference_points(1, 7, 21)
    assert (airways.low, airways.high) == (pytest.approx(-51.7, abs=0.05), pytest.approx(-2.6, abs=0.05))
    assert score(0, 1, 44, -0.1) == pytest.approx(1.709, abs=0.001)


def test_no_disagreement_at_all_still_has_an_interval() -> None:
    none = difference_points(0, 0, 50)
    assert (none.low, none.high) == (pytest.approx(-7.135, abs=0.001), pytest.approx(7.135, abs=0.001))  # z^2 / (n + z^2)


@given(st.integers(0, 300), st.integers(0, 300), st.integers(0, 2000))
@settings(max_examples=60)
def test_the_score_falls_and_the_bounds_bracket_the_difference(gained: int, lost: int, same: int) -> None:
    rows = gained + lost + same + 1
    scores = [score(gained, lost, rows, difference) for difference in np.linspace(-0.99, 0.99, 23)]
    assert all(left >= right for left, right in pairwise(scores))
    assert score(gained, lost, rows, 0.0) == pytest.approx((gained - lost) / max(1, gained + lost) ** 0.5)
    estimate, mirrored = difference_points(gained, lost, rows), difference_points(lost, gained, rows)
    assert estimate.low <= estimate.value <= estimate.high
    assert (mirrored.low, mirrored.high) == (pytest.approx(-estimate.high, abs=1e-6), pytest.approx(-estimate.low, abs=1e-6))
    assert POINTS * bound(gained, lost, rows, 0.84) >= estimate.low


@given(
    rows=st.integers(100, 3000),
    disagreement=st.floats(0.03, 0.3),
    tilt=st.floats(-0.6, 0.6),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=15)
def test_the_interval_covers_the_true_difference_about_95_times_in_100(
    rows: int, disagreement: float, tilt: float, seed: int
) -> None:
    difference = tilt * disagreement
    shares = [(disagreement + difference) / 2, (disagreement - difference) / 2, 1 - disagreement]
    drawn = np.random.default_rng(seed).multinomial(rows, shares, size=400)
    estimates = [difference_points(int(gained), int(lost), rows) for gained, lost, _ in drawn]
    covered = np.mean([estimate.low <= POINTS * difference <= estimate.high for estimate in estimates])
    assert covered >= 0.90  # few differing rows make it cover more; 400 draws: a standard error of 1.1 points


def test_the_budget_repeats_the_papers_example() -> None:
    """ease.ml/ci: 67 thousand rows for 32 fully adaptive verdicts at p = 0.1, one point, reliability 0.9999."""
    rows = 10**9  # so many that the upper end of the disagreement's interval is the disagreement itself
    told = budget(rows, rows // 10, tolerance_points=1.0, reliability=0.9999, verdicts_given=32)
    assert told.rows_needed == pytest.approx(67_705, rel=0.001)
    enough = budget(70_000, 7_000, tolerance_points=1.0, reliability=0.9999, verdicts_given=32)
    assert enough.disagreement > 0.1 and enough.verdicts_supported < 34


def test_the_budget_says_what_is_left_of_it() -> None:
    test = compared([("app", 5000, 10, 10)])
    fresh, worn = judged(test).budget, judged(test, verdicts_given=20).budget
    assert (fresh.verdicts_given, worn.verdicts_given) == (1, 21)
    assert fresh.verdicts_supported == worn.verdicts_supported == 5
    assert worn.rows_needed > 5000 > fresh.rows_needed
    assert fresh.tolerance_now_points < 0.5 < worn.tolerance_now_points


def test_a_budget_that_cannot_be_had_is_none_and_never_negative() -> None:
    told = judged(compared([("app", 50, 5, 5)])).budget
    assert told.verdicts_supported == 0 and told.tolerance_now_points > 10
