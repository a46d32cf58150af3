"""Whether a challenger takes the champion's place: a pure verdict from both models' predictions on the same rows.

Labels and predictions in, a verdict with its figures out. It trains nothing, draws nothing, stores nothing and knows no dataset;
who is champion afterwards is written down by `curation.promotions`.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from curation.errors import CurationError
from curation.learning.evaluation import Estimate
from curation.learning.paired import POINTS, Budget, bound, budget, difference_points, score

ROWS_NAMED = 50
"""Rows behind a refusal that a verdict names: what a person can look through, and small enough for an asset's metadata."""
SLICES_TOLD = 3
"""Slices that the sentence tells of when more stand against a challenger; the table has them all."""
LENGTH_BANDS = ((4, "0-4 words"), (19, "5-19 words"), (79, "20-79 words"))
LONGEST_BAND = "80 words and more"
NOT_GIVEN = "not given"


class GatePolicy(BaseModel):
    """What a challenger is held against. The defaults are those that `benchmarks.gate` measures.

    `confidence` of the overall bound: at 60%, of challengers 1 to 3 points worse 0.7% pass with 5,000 test rows (worst of 20 seeds:
    1.8%) and 2.7% with 2,000, when 10% of the rows are decided differently; the plain difference lets 1.5% and 4.9% pass. At 80%
    it would be 0.2% and 0.8%, but of those within a point either way 55% would take over rather than 67%, and none with fewer
    than 140 test rows. `slice_error`: the chance that any slice refuses a challenger that is worse on none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    margin_points: Annotated[float, Field(gt=0, lt=100)] = 0.5
    confidence: Annotated[float, Field(ge=0.5, lt=1)] = 0.6
    slice_margin_points: Annotated[float, Field(gt=0, lt=100)] = 6.0
    slice_minimum_rows: Annotated[int, Field(ge=1)] = 600
    slice_error: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    slice_largest_values: Annotated[int, Field(ge=1)] = 20
    control_minimum_labels: Annotated[int, Field(ge=1)] = 300
    budget_reliability: Annotated[float, Field(gt=0, lt=1)] = 0.95


@dataclass(frozen=True)
class Compared:
    """One row per judged item: its key, its true label, what each model says, and its value in each slice column.

    All sequences have the same length; a value of None counts as "not given".
    """

    keys: Sequence[str]
    labels: Sequence[str]
    champion: Sequence[str]
    challenger: Sequence[str]
    slices: Mapping[str, Sequence[object]]

    def __post_init__(self) -> None:
        columns = {"labels": self.labels, "champion": self.champion, "challenger": self.challenger, **self.slices}
        for name, column in columns.items():
            if len(column) != len(self.keys):
                raise ValueError(f"{name} has {len(column)} values for {len(self.keys)} rows")


@dataclass(frozen=True)
class Part:
    """The comparison on one part of the rows: all of the test, the control arm, or one slice of the test.

    `gained` and `lost`: rows that only the challenger, only the champion has right. `difference_points` is challenger minus
    champion with its 95% interval, `half_width_points` half of that interval. `level` is the corrected level of a voting slice,
    which its `p_value` (one-sided, no difference) must stay below to refuse. `why` says what it was held against, or why it does
    not vote.
    """

    column: str
    value: str
    rows: int
    champion_accuracy: float
    challenger_accuracy: float
    gained: int
    lost: int
    difference_points: Estimate
    half_width_points: float
    p_value: float
    level: float | None
    has_vote: bool
    is_against: bool
    why: str

    @property
    def name(self) -> str:
        """How a person calls it: "source = app", "all test rows", "control arm"."""
        return f"{self.column} = {self.value}" if self.value else self.column


@dataclass(frozen=True)
class Verdict:
    """What the gate decided and everything it looked at; `why` is the sentence for people.

    `bound_points`: the challenger is at least this much better (worse, when negative) with the policy's confidence.
    `rows_behind`: keys of at most 50 rows that the champion has right and the challenger wrong, in the parts that refuse, in
    order; `rows_behind_count` counts them all. Both empty for a promotion.
    """

    kind: Literal["promoted", "refused"]
    why: str
    overall: Part
    bound_points: float
    control: Part | None
    slices: tuple[Part, ...]
    rows_behind: tuple[str, ...]
    rows_behind_count: int
    new_labels: int
    budget: Budget
    policy: GatePolicy

    def as_json(self) -> dict[str, Any]:
        """Plain numbers, strings, lists and dicts, as `json.dumps` takes them."""
        return {**asdict(self), "policy": self.policy.model_dump()}

    def as_metrics(self) -> dict[str, float]:
        """The figures to track over versions, flat: "difference_points", "difference_points_low", "difference_points/<column>/<value>"."""
        metrics = {"bound_points": self.bound_points, "new_labels": float(self.new_labels)}
        metrics |= {
            "verdicts_given": float(self.budget.verdicts_given),
            "verdicts_supported": float(self.budget.verdicts_supported),
        }
        named = {"": self.overall} | ({"control_": self.control} if self.control is not None else {})
        for prefix, part in named.items():
            difference = part.difference_points
            metrics |= {
                f"{prefix}rows": float(part.rows),
                f"{prefix}difference_points": difference.value,
                f"{prefix}difference_points_low": difference.low,
                f"{prefix}difference_points_high": difference.high,
            }
        return metrics | {f"difference_points/{part.column}/{part.value}": part.difference_points.value for part in self.slices}


def judge(
    test: Compared, policy: GatePolicy, *, new_labels: int, verdicts_given: int, control: Compared | None = None
) -> Verdict:
    """One verdict on one challenger; the same whatever the order of the rows.

    Promoted when nothing stands against it:
    - it learned from at least one label that the champion has not (`new_labels`);
    - over all test rows it is, with the policy's confidence, not worse than the margin (Tango's test for non-inferiority);
    - no voting slice is both worse at the corrected level (Bonferroni over the voting slices) and, by its 95% interval, possibly
      worse by the slice margin. At 600 rows and 10% disagreement that refuses from an observed -3.5 points on: a slice truly 6
      points worse slips through in 3% of the cases, one truly as good is refused in 0.3%;
    - the control arm, from its minimum number of labels on, is not significantly worse than the margin: its 95% interval does not
      lie below it as a whole. (With 300 to 1,000 labels and 10% disagreement the interval is 3.6 to 2.0 points to either side: to
      ask it for the test's own proof would refuse two of three equal challengers.)

    Args:
        test: the frozen test split; its slices are judged. control: the pooled control arm; its slices are not looked at.
        verdicts_given: how many the frozen split has given before this one.

    Raises:
        CurationError: the test split has no row.
    """
    if len(test.keys) == 0:
        raise CurationError("cannot compare models: the test split is empty", "take in more records, then run again")
    facts = _Facts.of(test)
    everything = np.arange(len(test.keys))
    overall, bound_points = _overall(facts.part("all test rows", "", everything), policy)
    sliced = _slices(facts, policy)
    slices = [part for part, _ in sliced]
    arm_facts = _Facts.of(control) if control is not None and len(control.keys) else None
    arm = None if arm_facts is None else _control(arm_facts.part("control arm", "", np.arange(len(arm_facts.keys))), policy)
    behind: set[str] = set()
    for part, members in [(overall, everything), *sliced]:
        if part.is_against:
            behind.update(facts.lost_keys(members))
    if arm is not None and arm_facts is not None and arm.is_against:
        behind.update(arm_facts.lost_keys(np.arange(arm.rows)))
    against = [part for part in [overall, *slices, *([arm] if arm is not None else [])] if part.is_against]
    is_promoted = not against and new_labels > 0
    return Verdict(
        kind="promoted" if is_promoted else "refused",
        why=_why(overall, slices, arm, new_labels),
        overall=overall,
        bound_points=bound_points,
        control=arm,
        slices=tuple(slices),
        rows_behind=tuple(sorted(behind)[:ROWS_NAMED]),
        rows_behind_count=len(behind),
        new_labels=new_labels,
        budget=budget(
            overall.rows, facts.differing, policy.margin_points, policy.budget_reliability, verdicts_given=verdicts_given + 1
        ),
        policy=policy,
    )


def length_bands(lengths: Sequence[int | None]) -> list[str | None]:
    """The band of each length in words, for a slice column: fixed bands, so that they mean the same in every snapshot."""
    return [
        None if length is None else next((name for limit, name in LENGTH_BANDS if length <= limit), LONGEST_BAND)
        for length in lengths
    ]


@dataclass(frozen=True)
class _Facts:
    """Per row: whether only the challenger (`gained`), only the champion (`lost`) or both (`both`) have it right."""

    keys: Sequence[str]
    gained: np.ndarray
    lost: np.ndarray
    both: np.ndarray
    differing: int
    slices: Mapping[str, Sequence[object]]

    @classmethod
    def of(cls, compared: Compared) -> "_Facts":
        labels, old, new = (
            np.asarray(column, dtype=object) for column in (compared.labels, compared.champion, compared.challenger)
        )
        is_old_right, is_new_right = (labels == old).astype(bool), (labels == new).astype(bool)
        return cls(
            keys=compared.keys,
            gained=is_new_right & ~is_old_right,
            lost=is_old_right & ~is_new_right,
            both=is_old_right & is_new_right,
            differing=int((old != new).sum()),
            slices=compared.slices,
        )

    def part(self, column: str, value: str, members: np.ndarray) -> Part:
        """The comparison on some rows (their positions), before anything is decided about it."""
        rows, both = len(members), int(self.both[members].sum())
        gained, lost = int(self.gained[members].sum()), int(self.lost[members].sum())
        difference = difference_points(gained, lost, rows)
        return Part(
            column=column,
            value=value,
            rows=rows,
            champion_accuracy=(both + lost) / rows,
            challenger_accuracy=(both + gained) / rows,
            gained=gained,
            lost=lost,
            difference_points=difference,
            half_width_points=(difference.high - difference.low) / 2,
            p_value=NormalDist().cdf(score(gained, lost, rows, 0.0)),
            level=None,
            has_vote=False,
            is_against=False,
            why="",
        )

    def lost_keys(self, members: np.ndarray) -> list[str]:
        return [self.keys[position] for position in members[self.lost[members]]]


def _decided(part: Part, *, has_vote: bool, is_against: bool, why: str, level: float | None = None) -> Part:
    return Part(**{**vars(part), "has_vote": has_vote, "is_against": is_against, "why": why, "level": level})


def _overall(part: Part, policy: GatePolicy) -> tuple[Part, float]:
    """The test as a whole with its vote, and the bound it was decided by, in points."""
    bound_points = POINTS * bound(part.gained, part.lost, part.rows, NormalDist().inv_cdf(policy.confidence))
    is_against = bound_points < -policy.margin_points
    sure = f"{policy.confidence:.0%} sure of {bound_points:+.2f} or better"
    if not is_against:
        why = f"{sure}; {-policy.margin_points:+g} is allowed"
    elif part.difference_points.value < -policy.margin_points:
        why = f"worse than the margin of {policy.margin_points:g} points"
    else:
        decided = f"{part.rows:,} rows, {part.gained + part.lost:,} of them decided differently, do not show more"
        why = f"only {sure}, and {-policy.margin_points:+g} is allowed: {decided}"
    return _decided(part, has_vote=True, is_against=is_against, why=why), bound_points


def _control(part: Part, policy: GatePolicy) -> Part:
    if part.rows < policy.control_minimum_labels:
        why = f"does not vote: {part.rows} of the {policy.control_minimum_labels} labels it takes"
        return _decided(part, has_vote=False, is_against=False, why=why)
    is_against = part.difference_points.high < -policy.margin_points
    why = "significantly worse" if is_against else "not significantly worse"
    return _decided(part, has_vote=True, is_against=is_against, why=f"{why} than the margin of {policy.margin_points:g} points")


def _slices(facts: _Facts, policy: GatePolicy) -> list[tuple[Part, np.ndarray]]:
    """Every slice with the positions of its rows, columns and values in the caller's order and by size."""
    found: list[tuple[Part, np.ndarray, str]] = []
    for column, values in facts.slices.items():
        for value, members, is_rest in _groups(values, policy.slice_largest_values):
            silent = ""
            if is_rest:
                silent = f"the rest of a column with more than {policy.slice_largest_values} values"
            elif len(members) == len(facts.keys):
                silent = "all test rows have this value"
            elif len(members) < policy.slice_minimum_rows:
                silent = f"fewer than {policy.slice_minimum_rows} rows"
            found.append((facts.part(column, value, members), members, silent))
    voting = sum(not silent for _, _, silent in found)
    return [(_voted(part, silent, voting, policy), members) for part, members, silent in found]


def _voted(part: Part, silent: str, voting: int, policy: GatePolicy) -> Part:
    """A slice with its vote: against when it is worse at the corrected level and its interval reaches the slice margin."""
    if silent:
        return _decided(part, has_vote=False, is_against=False, why=f"does not vote: {silent}")
    level = policy.slice_error / voting
    is_worse, reaches_margin = part.p_value < level, part.difference_points.low <= -policy.slice_margin_points
    if is_worse and reaches_margin:
        why = f"worse (p {part.p_value:.2g} below {level:.2g}), and {policy.slice_margin_points:g} points cannot be excluded"
    elif is_worse:
        why = f"worse (p {part.p_value:.2g} below {level:.2g}), but by less than {policy.slice_margin_points:g} points"
    else:
        why = f"not worse at the corrected level (p {part.p_value:.2g}, level {level:.2g})"
    return _decided(part, has_vote=True, is_against=is_worse and reaches_margin, why=why, level=level)


def _groups(values: Sequence[object], largest: int) -> list[tuple[str, np.ndarray, bool]]:
    """(value, positions, is_rest) of the largest groups, then of all others together; equal sizes by name."""
    names = [NOT_GIVEN if value is None else str(value) for value in values]
    ranked = sorted(Counter(names).items(), key=lambda counted: (-counted[1], counted[0]))
    number = {name: min(rank, largest) for rank, (name, _) in enumerate(ranked)}
    group_of_row = np.fromiter((number[name] for name in names), dtype=np.int64, count=len(names))
    order = np.argsort(group_of_row, kind="stable")
    positions = np.split(order, np.cumsum(np.bincount(group_of_row))[:-1])
    kept = [(name, positions[rank], False) for rank, (name, _) in enumerate(ranked[:largest])]
    rest = ranked[largest:]
    return kept + ([(f"other ({len(rest)} values)", positions[largest], True)] if rest else [])


def _why(overall: Part, slices: Sequence[Part], arm: Part | None, new_labels: int) -> str:
    """The verdict as a person would say it, with the numbers it rests on."""
    reasons = [] if new_labels > 0 else ["it has learned from no label that the champion has not"]
    reasons += [
        f"{_told(part)}: {part.why}" for part in [overall, *slices, *([arm] if arm is not None else [])] if part.is_against
    ]
    if reasons:
        return f"refused: {'; '.join(reasons)}"
    voting = sum(part.has_vote for part in slices)
    control = f"; {_told(arm)}: {arm.why}" if arm is not None else ""
    return (
        f"promoted: {_told(overall)}: {overall.why}; none of {voting} voting slices stands against it; "
        f"{new_labels:,} {'label' if new_labels == 1 else 'labels'} that the champion has not learned from{control}"
    )


def _told(part: Part) -> str:
    difference = part.difference_points
    return (
        f"{part.name} {difference.value:+.2f} points on {part.rows:,} rows (95%: {difference.low:+.2f} to {difference.high:+.2f})"
    )
