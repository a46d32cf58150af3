"""How much each training row counts: reliability x origin x recency x class balance, with a replay share of old data, capped.

One policy decides all of it. Pure: rows in, weights and the table that explains them out; the clock is the data's own newest
label, so training again tomorrow on the same rows gives the same model.
"""

import datetime
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from curation.errors import CurationError

if TYPE_CHECKING:
    import polars as pl

DAY_US = 86_400 * 10**6
ROUNDING = 1e-9
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


class SamplingPolicy(BaseModel):
    """What a dataset decides about the weight of its training rows.

    The defaults are tuned on `benchmarks.forgetting`, seeds 1 to 5. There a human label, resolved from three votes of an uneven
    crowd, is worth little more than a rating: with a weight of 3, a half-life of one year down to a quarter and classes as they
    are, the new cohort gained 82 to 97% of what full retraining gains; with these 104 to 109%. A class balance of .25 gained
    as much and cost the old cohort .59 points in one of five worlds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    human_weight: float = Field(
        default=1.25, gt=0
    )  # how many derived labels of full reliability one certain human label is worth
    half_life_days: float = Field(default=1095.0, gt=0)  # a label that much older counts half
    least_recency: float = Field(default=0.5, gt=0, le=1)  # but never less than this share of a new one
    old_after_days: float = Field(default=28.0, ge=0)  # a label older than this, against the newest, is old data
    replay_share: float = Field(default=0.5, ge=0, le=1)  # of all weight, for old data: at least this, or its share of the rows
    class_balance: float = Field(default=0.1, ge=0, le=1)  # 0 leaves classes as frequent as they are, 1 makes them equal
    cap: float = Field(default=2.0, gt=1)  # largest weight against the mean; keeps the effective sample above rows / cap


@dataclass(frozen=True)
class GroupWeight:
    """The rows that share one value of one property (origin, class, age), and what they count."""

    group: str
    value: str
    rows: int
    mean_weight: float
    share_of_rows: float
    share_of_weight: float
    capped_rows: int


@dataclass(frozen=True)
class SampleWeights:
    """One weight per row, mean 1, in the order of the rows, and what explains them.

    `effective_sample_size` is Kish's (1965): how many equally weighted rows would give an estimate as precise as these.
    """

    weights: Floats
    effective_sample_size: float
    rows: int
    replay_share: float  # of the weight, that of old rows; as it came out
    capped_rows: int
    groups: tuple[GroupWeight, ...]
    policy: SamplingPolicy

    @property
    def effective_share(self) -> float:
        """Effective sample size as a share of the rows; 1 where there is no row."""
        return self.effective_sample_size / self.rows if self.rows else 1.0

    def as_markdown(self) -> str:
        """The explanation for the asset's page: the policy in a sentence, then one row per group."""
        policy = self.policy
        lines = [
            f"Weight = reliability x origin (human {policy.human_weight:g}, derived 1) x recency (half after "
            f"{policy.half_life_days:g} days, at least {policy.least_recency:g}) x class balance (strength {policy.class_balance:g}); "
            f"labels older than {policy.old_after_days:g} days keep at least {policy.replay_share:.0%} of the weight or their share "
            f"of the rows; no weight above {policy.cap:g} times the mean. {self.rows:,} rows count like "
            f"{self.effective_sample_size:,.0f} equal ones ({self.effective_share:.0%}).",
            "",
            "| group | value | rows | mean weight | share of rows | share of weight | capped |",
            "|---|---|---:|---:|---:|---:|---:|",
        ]
        for group in self.groups:
            lines.append(
                f"| {group.group} | {group.value} | {group.rows:,} | {group.mean_weight:.2f} | {group.share_of_rows:.1%} "
                f"| {group.share_of_weight:.1%} | {group.capped_rows:,} |"
            )
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        """Everything but the weights, as `json.dumps` takes it."""
        return {
            "rows": self.rows,
            "effective_sample_size": self.effective_sample_size,
            "replay_share": self.replay_share,
            "capped_rows": self.capped_rows,
            "policy": self.policy.model_dump(),
            "groups": [asdict(group) for group in self.groups],
        }


def sample_weights(rows: "pl.DataFrame", policy: SamplingPolicy, *, as_of: datetime.datetime | None = None) -> SampleWeights:
    """One weight per training row, mean 1.

    Args:
        rows: columns label, label_origin ("derived" or "human"), weight (reliability of the label, finite, at least 0),
            labelled_at (datetime; without a time zone it is UTC; null counts as old as the oldest).
        policy: see its fields.
        as_of: aware; ages count from here, by default from the newest labelled_at. Labels after it are new.

    Raises:
        CurationError: an origin is neither of the two, a reliability is null, negative or not finite, or all are 0.
    """
    reliability = _reliability(rows)
    if rows.is_empty():
        return SampleWeights(np.empty(0), 0.0, 0, 0.0, 0, (), policy)
    is_human = (rows["label_origin"] == "human").to_numpy()
    labels = rows["label"].to_numpy()
    age_days = _age_days(rows, as_of)
    recency = np.maximum(0.5 ** (age_days / policy.half_life_days), policy.least_recency)
    plain = reliability * np.where(is_human, policy.human_weight, 1.0) * recency
    balanced = plain * _class_factor(labels, plain, policy.class_balance)
    is_old = age_days > policy.old_after_days
    # Rows of weight 0 teach nothing: the cap is against the mean of those that do.
    largest = policy.cap * len(balanced) / np.count_nonzero(balanced)
    weights = _with_replay(balanced, is_old, largest, policy.replay_share)
    weights = weights / weights.mean()
    is_capped = weights >= largest * (1 - ROUNDING)
    ages = np.where(is_old, f"older than {policy.old_after_days:g} days", "newer")
    groups = {"origin": np.where(is_human, "human", "derived"), "class": labels, "age": ages}
    return SampleWeights(
        weights=weights,
        effective_sample_size=float(weights.sum() ** 2 / np.square(weights).sum()),
        rows=len(weights),
        replay_share=float(weights[is_old].sum() / weights.sum()),
        capped_rows=int(is_capped.sum()),
        groups=tuple(
            _group_weight(name, str(value), values == value, weights, is_capped)
            for name, values in groups.items()
            for value in np.unique(values)
        ),
        policy=policy,
    )


def _reliability(rows: "pl.DataFrame") -> Floats:
    unknown = sorted({str(origin) for origin in rows["label_origin"].unique()} - {"derived", "human"})
    if unknown:
        raise CurationError(
            f"label_origin {unknown[0]!r} is neither 'derived' nor 'human'", "correct the rule that makes the labels"
        )
    reliability = np.asarray(rows["weight"].cast(float).fill_null(float("nan")).to_numpy(), dtype=np.float64)
    wrong = np.flatnonzero(~np.isfinite(reliability) | (reliability < 0))
    if wrong.size:
        raise CurationError(
            f"the reliability of row {wrong[0]} is {rows['weight'][int(wrong[0])]}",
            "give every label a weight from 0 on, usually up to 1",
        )
    if rows.height and not reliability.any():
        raise CurationError(f"all {rows.height} rows have a reliability of 0", "give at least some labels a weight above 0")
    return reliability


def _age_days(rows: "pl.DataFrame", as_of: datetime.datetime | None) -> Floats:
    """Age of each label against `as_of` or the newest label; 0 for later ones and where no label has a time."""
    moments = rows["labelled_at"].dt.epoch("us")
    oldest_us = moments.min()
    if oldest_us is None:
        return np.zeros(rows.height)
    newest_us = as_of.timestamp() * 1e6 if as_of else moments.max()
    return np.asarray(np.maximum((newest_us - moments.fill_null(oldest_us).to_numpy()) / DAY_US, 0.0), dtype=np.float64)


def _class_factor(labels: npt.NDArray[Any], weights: Floats, strength: float) -> Floats:
    """(mean weight of a class / weight of the row's class) ** strength."""
    classes, of_row = np.unique(labels.astype(np.str_), return_inverse=True)
    totals = np.bincount(of_row, weights=weights, minlength=len(classes))
    factors = np.ones(len(classes))
    has_weight = totals > 0
    factors[has_weight] = (totals[has_weight].mean() / totals[has_weight]) ** strength
    return np.asarray(factors[of_row], dtype=np.float64)


def _with_replay(weights: Floats, is_old: Flags, largest: float, replay_share: float) -> Floats:
    """Weights of sum n, none above `largest`, of which old rows have at least `replay_share` or their share of the rows."""
    rows = len(weights)
    capped = _filled(weights, float(rows), largest)
    # Never more than their share of the rows that teach: replay is against forgetting, not against what is new.
    share = min(replay_share, np.count_nonzero(weights[is_old]) / np.count_nonzero(weights))
    if capped[is_old].sum() >= share * rows or share == 0:
        return capped
    capped[is_old] = _filled(weights[is_old], share * rows, largest)
    capped[~is_old] = _filled(weights[~is_old], (1 - share) * rows, largest)
    return capped


def _filled(weights: Floats, total: float, largest: float) -> Floats:
    """min(largest, s * weights) with the one s that makes them sum to `total`; needs total <= largest * (weights above 0)."""
    falling = np.sort(weights)[::-1]
    rest = falling[::-1].cumsum()[::-1]  # sum of the k-th largest and all smaller ones
    left = total - largest * np.arange(len(weights))  # for them, where k are at the cap
    scales = np.divide(left, rest, out=np.zeros_like(rest), where=rest > 0)
    fits = np.flatnonzero(falling * scales <= largest * (1 + ROUNDING))
    return np.asarray(np.minimum(weights * scales[fits[0]], largest), dtype=np.float64)


def _group_weight(group: str, value: str, belongs: Flags, weights: Floats, is_capped: Flags) -> GroupWeight:
    own = weights[belongs]
    return GroupWeight(
        group=group,
        value=value,
        rows=len(own),
        mean_weight=float(own.mean()),
        share_of_rows=len(own) / len(weights),
        share_of_weight=float(own.sum() / weights.sum()),
        capped_rows=int(is_capped[belongs].sum()),
    )
