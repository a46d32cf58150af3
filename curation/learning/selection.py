"""Which items to ask people about next: uncertain, diverse and disputed ones, and a control arm drawn at random.

Every item comes with its reason and the probability with which it was drawn, known exactly because each arm is a classical
probability sample. It reads relations on the caller's connection, texts of candidates only, and keeps nothing.
"""

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, model_validator

from curation.training_rows import place_of, quoted

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

CONTROL, SECOND_OPINION, UNCERTAIN, DIVERSE = "control", "second_opinion", "uncertain", "diverse"
REASONS = (UNCERTAIN, DIVERSE, SECOND_OPINION, CONTROL)
CHOSEN = pa.schema(
    [
        ("item_id", pa.string()),
        ("prediction_id", pa.string()),
        ("reason", pa.string()),
        ("probability", pa.float64()),
        ("rank", pa.int64()),
    ]
)
TOPICS = 32
"""Dimensions of the texts' latent semantic space before they are clustered."""
LEAST_WEIGHT = 0.1
"""The least uncertain candidate is drawn with a tenth of the weight of one on the decision boundary."""

Embed = Callable[[list[str]], "csr_matrix"]
Probabilities = npt.NDArray[np.float64]


class QueuePolicy(BaseModel):
    """What a dataset decides about its label queue. The three other shares divide what the control arm leaves."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: int = Field(default=200, ge=2, le=10_000)
    control_share: float = Field(default=0.2, gt=0, lt=1)  # random, for evaluation only
    uncertain_share: float = Field(default=0.5, gt=0, le=1)
    diverse_share: float = Field(default=0.3, ge=0, le=1)
    second_opinion_share: float = Field(default=0.2, ge=0, le=1)
    candidates: int = Field(default=500, ge=1)  # of uncertain items, and as many of diverse ones, whose texts are read
    votes_at_most: int = Field(default=5, ge=2)  # an item disputed by as many annotators is not asked again

    @model_validator(mode="after")
    def _shares_make_a_whole(self) -> Self:
        whole = self.uncertain_share + self.diverse_share + self.second_opinion_share
        if not math.isclose(whole, 1):
            raise ValueError(f"uncertain_share, diverse_share and second_opinion_share make {whole:g}; they must make 1")
        return self


@dataclass(frozen=True)
class _Sizes:
    """How many items of each reason a queue holds."""

    carried: int
    fresh: int
    second_opinion: int
    uncertain: int
    diverse: int


@dataclass(frozen=True)
class _Drawn:
    """Items of one reason in the order to ask them, each with the probability of having been drawn."""

    reason: str
    item_ids: list[str]
    probabilities: Probabilities


def select(
    connection: duckdb.DuckDBPyConnection,
    pool: str,
    asked: str,
    votes: str,
    policy: QueuePolicy,
    *,
    test_from: float,
    train_until: float,
    seed: str,
    embed: Embed | None,
) -> pa.Table:
    """One row per item to ask for, as `CHOSEN`, by rank from 1; every reason is spread evenly over the ranks.

    The control arm holds `control_share` of the queue (rounded up). Where one side has too few items the queue is shorter and
    the share stays; without control candidates it is empty. Same relations in any row order and same seed: same table.

    Args:
        pool: relation (item_id, prediction_id, margin, text), one row per item: the champion's predictions; margin in [0, 1].
        asked: relation (item_id, reason, probability) of all former queues. A control item without an answer is asked again
            first, with its old probability: otherwise the arm would consist of what is answered quickly.
        votes: relation (item_id, votes, disagreement) of items with an answer, `disagreement` above 0 where annotators differ.
            Such an item is asked again only for a second opinion. The control arm is drawn without regard to it, because items
            that attract unsolicited labels belong to the population too.
        test_from: the control arm is drawn from items whose place (`place_of`) is at least this.
        train_until: everything else is drawn from items whose place is below this, never from former control items.
        seed: text; decides all that is left to chance.
        embed: texts to a sparse matrix with one row each (the champion's features); None leaves out the spread over topics.

    The probability is that over seeds, given the relations. control and diverse: simple random, n of N (for diverse, N leaves out
    the uncertain candidates). uncertain: proportional to a weight falling with the margin, among the `candidates` of smallest
    margin, systematic (Madow 1949) along clusters of similar texts, so that neighbours are not both asked. second_opinion:
    likewise, proportional to disagreement per vote.
    """
    if train_until > test_from:
        raise ValueError(f"train_until {train_until} lies above test_from {test_from}: an item would train and test")
    with _sorted_into_arms(connection, pool, asked, votes, policy, test_from, train_until, seed) as available:
        sizes = _sizes(policy, available)
        arms = [
            _control(connection, sizes, available),
            _second_opinions(connection, sizes, seed),
            *_unlabelled(connection, pool, policy, sizes, available.get("unlabelled", 0), seed, embed),
        ]
    return _ranked(connection, pool, arms)


@contextmanager
def _sorted_into_arms(
    connection: duckdb.DuckDBPyConnection,
    pool: str,
    asked: str,
    votes: str,
    policy: QueuePolicy,
    test_from: float,
    train_until: float,
    seed: str,
) -> Iterator[Mapping[str, int]]:
    """Temp table `selection_items` while the block lasts: one row per item that may be asked for. Yields rows per arm.

    `chance` is the item's place in a random order that only the seed decides.
    """
    connection.execute(
        f"""create or replace temp table selection_items as
        with former as (
            select item_id, max(probability) filter (reason = 'control') as control_probability
            from {quoted(asked)} group by item_id
        ), answered as (select item_id, max(votes) as votes, max(disagreement) as disagreement from {quoted(votes)} group by item_id),
        placed as (
            select item_id, margin, {place_of("item_id")} as place,
                ('0x' || substr(sha256($seed || ':' || item_id), 1, 16))::ubigint as chance
            from {quoted(pool)}
        )
        select placed.item_id, margin, chance, control_probability, disagreement / greatest(votes, 1) as dispute,
            case
                when place >= $test_from and former.item_id is null then 'fresh'
                when place >= $test_from and control_probability is not null and answered.item_id is null then 'carried'
                when place >= $train_until or control_probability is not null then null
                when answered.item_id is null then 'unlabelled'
                when disagreement > 0 and votes < $votes_at_most then 'second_opinion'
            end as arm
        from placed left join former using (item_id) left join answered using (item_id)
        where arm is not null""",
        {"seed": seed, "test_from": test_from, "train_until": train_until, "votes_at_most": policy.votes_at_most},
    )
    try:
        yield dict(connection.execute("select arm, count(*) from selection_items group by arm").fetchall())
    finally:
        connection.execute("drop table selection_items")


def _sizes(policy: QueuePolicy, available: Mapping[str, int]) -> _Sizes:
    """The longest queue, of at most `size`, whose arms all have enough items."""
    carried, fresh = available.get("carried", 0), available.get("fresh", 0)
    unlabelled, disputed = available.get("unlabelled", 0), available.get("second_opinion", 0)

    def control_of(total: int) -> int:
        return math.ceil(round(total * policy.control_share, 9))  # 35 * .2 is 7.000000000000001

    fitting = (
        total
        for total in range(policy.size, 1, -1)  # one item alone cannot hold both sides
        if control_of(total) <= carried + fresh and total - control_of(total) <= unlabelled + disputed
    )
    total = next(fitting, 0)
    control = control_of(total)
    active = total - control
    second = min(disputed, round(active * policy.second_opinion_share))
    second = max(second, active - unlabelled)
    uncertain = round((active - second) * policy.uncertain_share / (policy.uncertain_share + policy.diverse_share))
    kept = min(control, carried)
    return _Sizes(kept, control - kept, second, uncertain, active - second - uncertain)


def _control(connection: duckdb.DuckDBPyConnection, sizes: _Sizes, available: Mapping[str, int]) -> _Drawn:
    """What waits for an answer, then a simple random sample of what was never asked for."""
    rows = connection.execute(
        """(select item_id, control_probability from selection_items where arm = 'carried' order by chance, item_id limit $carried)
        union all
        (select item_id, $probability from selection_items where arm = 'fresh' order by chance, item_id limit $fresh)""",
        {"carried": sizes.carried, "fresh": sizes.fresh, "probability": sizes.fresh / max(1, available.get("fresh", 0))},
    ).fetchall()
    return _Drawn(CONTROL, [item for item, _ in rows], np.array([probability for _, probability in rows], dtype=np.float64))


def _second_opinions(connection: duckdb.DuckDBPyConnection, sizes: _Sizes, seed: str) -> _Drawn:
    """Disputed items, likelier the more their annotators differ and the fewer they are."""
    disputed = connection.execute(
        "select item_id, dispute, chance from selection_items where arm = 'second_opinion' order by chance, item_id"
    ).to_arrow_table()
    probabilities = inclusion_probabilities(disputed["dispute"].to_numpy(), sizes.second_opinion)
    return _in_random_order(SECOND_OPINION, disputed, probabilities, systematic(probabilities, _start(seed, SECOND_OPINION)))


def _unlabelled(
    connection: duckdb.DuckDBPyConnection,
    pool: str,
    policy: QueuePolicy,
    sizes: _Sizes,
    unlabelled: int,
    seed: str,
    embed: Embed | None,
) -> tuple[_Drawn, _Drawn]:
    """Uncertain and diverse items, from two sets that do not meet, so that each probability is that of one draw."""
    # At most half of a small pool counts as uncertain, and enough is left for the diverse arm.
    frame = max(sizes.uncertain, min(policy.candidates, unlabelled // 2, unlabelled - sizes.diverse))
    rest = unlabelled - frame
    sampled = max(sizes.diverse, min(policy.candidates, rest))
    if sizes.uncertain + sizes.diverse == 0:
        frame = sampled = 0
    candidates = connection.execute(
        """with uncertain as (
            select item_id, margin, chance from selection_items where arm = 'unlabelled' order by margin, item_id limit $frame
        ), diverse as (
            select item_id, margin, chance from selection_items
            where arm = 'unlabelled' and item_id not in (select item_id from uncertain) order by chance, item_id limit $sampled
        )
        select *, true as is_uncertain from uncertain union all select *, false from diverse order by item_id""",
        {"frame": frame, "sampled": sampled},
    ).to_arrow_table()
    order = np.lexsort([candidates["chance"].to_numpy(), _clusters(connection, pool, candidates, sizes, embed)])
    candidates = candidates.take(pa.array(order))
    is_uncertain = candidates["is_uncertain"].to_numpy(zero_copy_only=False)
    uncertain, diverse = candidates.filter(pa.array(is_uncertain)), candidates.filter(pa.array(~is_uncertain))
    weighted = inclusion_probabilities(_uncertainty(uncertain["margin"].to_numpy()), sizes.uncertain)
    even = inclusion_probabilities(np.ones(diverse.num_rows), sizes.diverse)
    return (
        _in_random_order(UNCERTAIN, uncertain, weighted, systematic(weighted, _start(seed, UNCERTAIN))),
        # Drawn twice: `sampled` of `rest` at random, then of those a share that is the same for all.
        _in_random_order(DIVERSE, diverse, even * sampled / max(1, rest), systematic(even, _start(seed, DIVERSE))),
    )


def _in_random_order(reason: str, candidates: pa.Table, probabilities: Probabilities, rows: npt.NDArray[np.int64]) -> _Drawn:
    """The drawn rows of a table by their chance: whoever answers the first of them has not answered one cluster only."""
    rows = rows[np.argsort(candidates["chance"].to_numpy()[rows], kind="stable")]
    return _Drawn(reason, candidates["item_id"].take(pa.array(rows)).to_pylist(), probabilities[rows])


def _uncertainty(margins: Probabilities) -> Probabilities:
    """Weight of each candidate: 1 on the decision boundary, falling in a line to `LEAST_WEIGHT` at the largest margin."""
    largest = margins.max(initial=0.0)
    return np.ones_like(margins) if largest == 0 else 1 - (1 - LEAST_WEIGHT) * margins / largest


def _clusters(
    connection: duckdb.DuckDBPyConnection, pool: str, candidates: pa.Table, sizes: _Sizes, embed: Embed | None
) -> npt.NDArray[np.int64]:
    """Cluster of each candidate's text, about as many clusters as items to choose; all 0 without `embed`.

    k-means in the texts' latent semantic space, from a fixed start: what chance decides must not depend on the clusters.
    """
    wanted = sizes.uncertain + sizes.diverse
    if embed is None or candidates.num_rows <= wanted:
        return np.zeros(candidates.num_rows, dtype=np.int64)
    connection.register("selection_candidates", candidates.select(["item_id"]))
    texts = connection.execute(
        f"select text from {quoted(pool)} where item_id in (select item_id from selection_candidates) order by item_id"
    ).to_arrow_table()
    connection.unregister("selection_candidates")
    return clustered(embed(texts["text"].to_pylist()), wanted)


def clustered(features: Any, clusters: int) -> npt.NDArray[np.int64]:
    """Cluster number of each row of a sparse matrix, below `clusters`; all 0 where there are too few rows or columns to tell."""
    from sklearn.cluster import KMeans
    from sklearn.preprocessing import normalize
    from sklearn.utils.extmath import randomized_svd
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    # Of 2**20 hashed columns few are in use, and one that a single text uses relates it to no other: 13 CPU s with, 0.5 without.
    features = features[:, np.flatnonzero(features.getnnz(axis=0) > 1)]
    topics = min(TOPICS, min(features.shape) - 1)
    if topics < 1:
        return np.zeros(features.shape[0], dtype=np.int64)
    with threadpool_limits(limits=1):  # sums shared out between threads would differ from machine to machine
        left, strengths, _ = randomized_svd(features, topics, n_iter=2, random_state=0)
        placed = normalize(left * strengths)
        distinct = len(np.unique(placed.round(6), axis=0))  # k-means warns when asked for more clusters than points
        return np.asarray(
            KMeans(min(clusters, distinct), n_init=1, max_iter=20, random_state=0).fit_predict(placed), dtype=np.int64
        )


def inclusion_probabilities(weights: Probabilities, size: int) -> Probabilities:
    """Probability of each row in a sample of `size` proportional to `weights` (above 0), at most 1 each; they sum to `size`.

    A row whose share exceeds 1 is certain, and the rest share what remains (Särndal, Swensson and Wretman 1992, 3.6.2).
    """
    probabilities = np.zeros(len(weights))
    is_certain = np.zeros(len(weights), dtype=bool)
    while True:
        remaining = size - int(is_certain.sum())
        shares = np.where(is_certain, 0.0, weights)
        probabilities = np.where(is_certain, 1.0, remaining * shares / max(shares.sum(), np.finfo(float).tiny))
        exceeding = ~is_certain & (probabilities >= 1)
        if not exceeding.any():
            return probabilities
        is_certain |= exceeding


def systematic(probabilities: Probabilities, start: float) -> npt.NDArray[np.int64]:
    """Ascending rows of one systematic sample (Madow 1949): exactly sum(`probabilities`) of them, for `start` uniform in [0, 1).

    Each row is drawn with exactly its probability, and the sample is spread evenly along the order of the rows.
    """
    drawn = np.flatnonzero(probabilities >= 1)
    others = np.flatnonzero(probabilities < 1)
    total = round(float(probabilities[others].sum()))
    if total:
        reached = np.cumsum(probabilities[others])
        reached *= total / reached[-1]
        marks = np.floor(reached - start)
        marks[-1] = np.floor(total - start)
        drawn = np.concatenate([drawn, others[np.diff(marks, prepend=np.floor(-start)) > 0]])
    return np.sort(drawn)


def _start(seed: str, arm: str) -> float:
    """A number in [0, 1), another for each seed and arm."""
    return int(hashlib.sha256(f"{seed}\0{arm}".encode()).hexdigest()[:13], 16) / 16**13


def _ranked(connection: duckdb.DuckDBPyConnection, pool: str, arms: list[_Drawn]) -> pa.Table:
    """The arms interleaved: who answers only the first tenth of a queue has still answered every arm in its share."""
    columns: dict[str, list[Any]] = {"item_id": [], "reason": [], "probability": [], "turn": []}
    for arm in arms:
        columns["item_id"] += arm.item_ids
        columns["reason"] += [arm.reason] * len(arm.item_ids)
        columns["probability"] += arm.probabilities.tolist()
        columns["turn"] += [(position + 0.5) / len(arm.item_ids) for position in range(len(arm.item_ids))]
    types = (pa.string(), pa.string(), pa.float64(), pa.float64())
    drawn = {name: pa.array(values, kind) for (name, values), kind in zip(columns.items(), types, strict=True)}
    connection.register("selection_drawn", pa.table(drawn))
    chosen = connection.execute(
        f"""select item_id, prediction_id, reason, probability,
            row_number() over (order by turn, reason, item_id) as rank
        from {quoted(pool)} join selection_drawn using (item_id) order by rank"""
    ).to_arrow_table()
    connection.unregister("selection_drawn")
    return chosen.cast(CHOSEN)
