"""The label queue's mix: whom it asks for, in which shares, and that the probabilities it tells are true."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError
from scipy.sparse import csr_matrix

from curation.learning.selection import CHOSEN, QueuePolicy, clustered, inclusion_probabilities, select, systematic
from curation.training_rows import place_of

TEST_FROM, TRAIN_UNTIL = 0.8, 0.7
ASKED = pa.schema([("item_id", pa.string()), ("reason", pa.string()), ("probability", pa.float64())])
VOTES = pa.schema([("item_id", pa.string()), ("votes", pa.int64()), ("disagreement", pa.float64())])
TOPICS = ("sound of the speaker", "battery of the phone", "fabric of the shirt", "plot of the film")


def pool_of(items: int) -> pa.Table:
    """Items of four topics, their margins spread evenly over [0, 1)."""
    ids = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(items)]
    return pa.table(
        {
            "item_id": pa.array(ids, pa.string()),
            "prediction_id": pa.array([f"reviews:{item}:0123456789abcdef" for item in ids], pa.string()),
            "margin": pa.array([number * 7919 % items / items for number in range(items)], pa.float64()),
            "text": pa.array([f"{TOPICS[number % 4]} {number}" for number in range(items)], pa.string()),
        }
    )


def embed(texts: list[str]) -> csr_matrix:
    """Presence of the last word but one, which tells the topic."""
    topics = [text.split()[-2] for text in texts]
    names = sorted(set(topics))
    return csr_matrix((np.ones(len(texts)), (range(len(texts)), [names.index(topic) for topic in topics])), (len(texts), 8))


def queues(
    pool: pa.Table,
    policy: QueuePolicy,
    seeds: Iterable[str],
    asked: Sequence[tuple[str, str, float]] = (),
    votes: Sequence[tuple[str, int, float]] = (),
    **options: Any,
) -> list[list[dict[str, Any]]]:
    """One queue per seed, on one connection that is left as it was found."""
    sides = {"test_from": TEST_FROM, "train_until": TRAIN_UNTIL, "embed": embed} | options
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.register("pool", pool)
        connection.register("asked", pa.Table.from_pylist([dict(zip(ASKED.names, row, strict=True)) for row in asked], ASKED))
        connection.register("votes", pa.Table.from_pylist([dict(zip(VOTES.names, row, strict=True)) for row in votes], VOTES))
        tables = [select(connection, "pool", "asked", "votes", policy, seed=seed, **sides) for seed in seeds]
        left_behind = connection.execute("select view_name from duckdb_views() where not internal order by all").fetchall()
        assert left_behind == [("asked",), ("pool",), ("votes",)]
        assert connection.execute("select count(*) from duckdb_tables()").fetchone() == (0,)
    assert {table.schema for table in tables} == {CHOSEN}
    return [table.to_pylist() for table in tables]


def chosen(pool: pa.Table, policy: QueuePolicy, *, seed: str = "seed", **options: Any) -> list[dict[str, Any]]:
    return queues(pool, policy, [seed], **options)[0]


def items_by_side(pool: pa.Table) -> tuple[list[str], list[str]]:
    """Items that may train, and items of the test side."""
    with duckdb.connect() as connection:
        connection.register("pool", pool)
        places = connection.execute(f"select item_id, {place_of('item_id')} from pool order by item_id").fetchall()
    return [item for item, place in places if place < TRAIN_UNTIL], [item for item, place in places if place >= TEST_FROM]


def reasons(rows: list[dict[str, Any]]) -> Counter[str]:
    return Counter(row["reason"] for row in rows)


def test_a_queue_holds_each_reason_in_its_share_and_ranks_from_one() -> None:
    pool = pool_of(2000)
    train, _ = items_by_side(pool)
    disputed = [(item, 2, 0.5) for item in train[:100]]
    rows = chosen(pool, QueuePolicy(size=100), votes=disputed)
    assert reasons(rows) == {"control": 20, "uncertain": 40, "diverse": 24, "second_opinion": 16}
    assert [row["rank"] for row in rows] == list(range(1, 101))
    assert len({row["item_id"] for row in rows}) == 100
    assert all(0 < row["probability"] <= 1 for row in rows)
    assert all(row["prediction_id"] == f"reviews:{row['item_id']}:0123456789abcdef" for row in rows)


def test_every_part_of_a_queue_holds_its_share_of_control_items() -> None:
    rows = chosen(pool_of(2000), QueuePolicy(size=100))
    assert [reasons(rows[start : start + 25])["control"] for start in range(0, 100, 25)] == [5, 5, 5, 5]


def test_the_control_arm_lies_on_the_test_side_and_all_else_on_the_train_side() -> None:
    pool = pool_of(2000)
    train, test = map(set, items_by_side(pool))
    rows = chosen(pool, QueuePolicy(size=200))
    assert {row["item_id"] for row in rows if row["reason"] == "control"} <= test
    assert {row["item_id"] for row in rows if row["reason"] != "control"} <= train


def test_sides_that_overlap_are_refused() -> None:
    with pytest.raises(ValueError, match="train and test"):
        chosen(pool_of(10), QueuePolicy(), test_from=0.5, train_until=0.6)


def test_control_items_without_an_answer_come_first_with_their_old_probability() -> None:
    pool = pool_of(1000)
    _, test = items_by_side(pool)
    asked = [(item, "control", 0.125) for item in test[:12]] + [(item, "control", 0.125) for item in test[:12]]
    rows = chosen(pool, QueuePolicy(size=100), asked=asked, votes=[(item, 1, 0.0) for item in test[:5]])
    control = {row["item_id"]: row["probability"] for row in rows if row["reason"] == "control"}
    waiting = test[5:12]
    assert {item: control[item] for item in waiting} == dict.fromkeys(waiting, 0.125)
    assert not set(test[:5]) & set(control)
    fresh = set(control) - set(waiting)
    assert len(fresh) == 13
    assert {control[item] for item in fresh} == {13 / (len(test) - 12)}


def test_a_smaller_queue_keeps_the_share_although_more_control_items_wait() -> None:
    pool = pool_of(1000)
    _, test = items_by_side(pool)
    rows = chosen(pool, QueuePolicy(size=20), asked=[(item, "control", 0.5) for item in test[:30]])
    assert reasons(rows)["control"] == 4
    assert {row["item_id"] for row in rows if row["reason"] == "control"} <= set(test[:30])


def test_an_item_that_left_the_pool_is_not_carried_over() -> None:
    pool = pool_of(500)
    rows = chosen(pool, QueuePolicy(size=20), asked=[("gone", "control", 0.5)])
    assert "gone" not in {row["item_id"] for row in rows}
    assert reasons(rows)["control"] == 4


def test_a_former_control_item_never_trains_even_when_the_split_moves() -> None:
    pool = pool_of(500)
    _, test = items_by_side(pool)
    asked = [(item, "control", 0.5) for item in test]
    rows = chosen(pool, QueuePolicy(size=500), asked=asked, test_from=0.99, train_until=0.95)
    assert not {row["item_id"] for row in rows if row["reason"] != "control"} & set(test)


def test_labelled_items_are_asked_again_only_where_few_annotators_differ() -> None:
    pool = pool_of(600)
    train, _ = items_by_side(pool)
    agreed, tied, settled = train[:50], train[50:60], train[60:70]
    votes = [(item, 3, 0.0) for item in agreed] + [(item, 2, 0.5) for item in tied] + [(item, 5, 0.4) for item in settled]
    rows = chosen(pool, QueuePolicy(size=400), votes=votes)
    asked = {row["item_id"]: row["reason"] for row in rows}
    assert not set(agreed + settled) & set(asked)
    assert {item for item, reason in asked.items() if reason == "second_opinion"} == set(tied)


def test_the_control_arm_does_not_avoid_items_with_unsolicited_labels() -> None:
    pool = pool_of(600)
    _, test = items_by_side(pool)
    labelled = test[::2]
    drawn = queues(pool, QueuePolicy(size=100), map(str, range(20)), votes=[(item, 1, 0.0) for item in labelled])
    arm = [row["item_id"] for queue in drawn for row in queue if row["reason"] == "control"]
    assert 0.4 < len(set(labelled) & set(arm)) / len(set(arm)) < 0.6


def test_everything_labelled_leaves_second_opinions_beside_the_control_arm() -> None:
    pool = pool_of(600)
    train, test = items_by_side(pool)
    votes = [(item, 2, 0.5 if number < 8 else 0.0) for number, item in enumerate(train)] + [(item, 1, 0.0) for item in test]
    assert reasons(chosen(pool, QueuePolicy(), votes=votes)) == {"control": 3, "second_opinion": 8}
    nothing_disputed = [(item, 1, 0.0) for item in train]
    assert chosen(pool, QueuePolicy(), votes=nothing_disputed) == []


def test_an_empty_pool_and_one_without_control_candidates_give_an_empty_queue() -> None:
    assert chosen(pool_of(0), QueuePolicy()) == []
    pool = pool_of(300)
    train, _ = items_by_side(pool)
    only_train = pool.filter(pa.array([item in set(train) for item in pool["item_id"].to_pylist()]))
    assert chosen(only_train, QueuePolicy()) == []


@pytest.mark.parametrize("items", [1, 5, 30, 150])
def test_a_pool_smaller_than_the_queue_gives_a_shorter_queue_with_the_same_share(items: int) -> None:
    pool = pool_of(items)
    train, test = items_by_side(pool)
    rows = chosen(pool, QueuePolicy(size=200))
    control = reasons(rows)["control"]
    assert control == np.ceil(len(rows) / 5)
    assert control <= len(test) and len(rows) - control <= len(train)
    assert control == len(test) or len(rows) - control >= len(train) - 1 or len(rows) + 5 > 200


def test_the_same_seed_gives_the_same_queue_in_any_row_order_and_another_seed_another() -> None:
    pool = pool_of(1500)
    shuffled = pool.take(pa.array(np.random.default_rng(3).permutation(1500)))
    first = chosen(pool, QueuePolicy(size=80, candidates=300))
    assert chosen(shuffled, QueuePolicy(size=80, candidates=300)) == first
    other = chosen(pool, QueuePolicy(size=80, candidates=300), seed="another")
    assert {row["item_id"] for row in other} != {row["item_id"] for row in first}


def test_uncertain_items_come_from_the_smallest_margins_and_the_least_ones_oftenest() -> None:
    pool = pool_of(2000)
    margins = dict(zip(pool["item_id"].to_pylist(), pool["margin"].to_pylist(), strict=True))
    rows = chosen(pool, QueuePolicy(size=200, candidates=400), embed=None)
    asked = {row["item_id"]: row["probability"] for row in rows if row["reason"] == "uncertain"}
    unlabelled = sorted(margins[item] for item in items_by_side(pool)[0])
    assert max(margins[item] for item in asked) <= unlabelled[399]
    by_margin = sorted(asked, key=lambda item: margins[item])
    assert [asked[item] for item in by_margin] == sorted(asked.values(), reverse=True)


def test_diverse_items_cover_the_topics_more_evenly_than_chance() -> None:
    pool = pool_of(1200)
    topic = dict(zip(pool["item_id"].to_pylist(), (text.split()[-2] for text in pool["text"].to_pylist()), strict=True))

    def spread(**options: Any) -> float:
        drawn = queues(pool, QueuePolicy(size=100), map(str, range(12)), **options)
        counts = [Counter(topic[row["item_id"]] for row in queue if row["reason"] == "diverse") for queue in drawn]
        return float(np.mean([np.var([count[name] for name in set(topic.values())]) for count in counts]))

    assert spread() < 0.5 * spread(embed=None)


@pytest.mark.slow
def test_the_probabilities_told_are_how_often_items_are_drawn() -> None:
    """120 seeds: every item's frequency within five standard errors of what was told, in each arm."""
    pool, seeds = pool_of(160), 120
    train, _ = items_by_side(pool)
    disputed = [(item, 2 + number % 3, 0.2 + number % 4 / 10) for number, item in enumerate(train[:15])]
    policy = QueuePolicy(size=50, candidates=30)
    frequency: Counter[tuple[str, str]] = Counter()
    told: dict[tuple[str, str], set[float]] = {}
    for queue in queues(pool, policy, map(str, range(seeds)), votes=disputed):
        for row in queue:
            drawn = (row["reason"], row["item_id"])
            frequency[drawn] += 1
            told.setdefault(drawn, set()).add(round(row["probability"], 12))
    assert all(len(probabilities) == 1 for probabilities in told.values())
    for drawn, (probability,) in told.items():
        error = max(np.sqrt(probability * (1 - probability) / seeds), 1e-9)
        assert abs(frequency[drawn] / seeds - probability) < 5 * error, drawn
    for reason in ("control", "uncertain", "diverse", "second_opinion"):
        expected = sum(next(iter(told[drawn])) for drawn in told if drawn[0] == reason)
        assert expected == pytest.approx(sum(frequency[drawn] for drawn in told if drawn[0] == reason) / seeds, abs=0.2)


def test_a_systematic_sample_draws_each_row_with_its_probability() -> None:
    weights = np.array([9.0, 0.1, 1.0, 2.0, 3.0, 0.5, 1.5, 40.0])
    probabilities = inclusion_probabilities(weights, 4)
    assert probabilities.sum() == pytest.approx(4)
    assert probabilities.max() == 1 and probabilities[7] == 1
    assert probabilities[4] / probabilities[2] == pytest.approx(3)
    samples = [systematic(probabilities, (step + 0.5) / 5000) for step in range(5000)]
    assert {len(sample) for sample in samples} == {4}
    assert np.bincount(np.concatenate(samples), minlength=8) / 5000 == pytest.approx(probabilities, abs=0.001)


@pytest.mark.parametrize("size", [0, 3])
def test_all_or_none_of_the_rows_can_be_drawn(size: int) -> None:
    assert systematic(inclusion_probabilities(np.array([1.0, 5.0, 2.0]), size), 0.3).size == size


def test_texts_without_any_known_word_make_one_cluster() -> None:
    assert clustered(csr_matrix((5, 40)), 3).tolist() == [0] * 5
    assert clustered(csr_matrix((1, 40)), 3).tolist() == [0]


def test_shares_that_do_not_make_a_whole_are_refused() -> None:
    with pytest.raises(ValidationError, match=r"make 1\.1"):
        QueuePolicy(uncertain_share=0.6)
