"""Resolving votes: right answers on simulated and real crowds, sane ones on odd votes, the same bits every time."""

import csv
import math
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from curation.errors import CurationError
from curation.learning import Resolution, resolve

LABELS = ("negative", "neutral", "positive")
GOOD, CARELESS, CONFUSED, HOSTILE = [0.9] * 6, [0.65] * 8, [0.34] * 4, [0.1] * 2


def votes_of(*rows: tuple[str, str, str]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=["item", "annotator", "label"], orient="row")


def simulated(accuracies: list[float], items: int, seed: int, votes: int = 3) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Votes, and one row per item with its `truth`; annotators are named by place and accuracy, "03 of 0.9"."""
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, 3, items)
    annotator = generator.random((items, len(accuracies))).argsort(axis=1)[:, :votes].ravel()
    shown = np.repeat(truth, votes)
    is_right = generator.random(len(shown)) < np.asarray(accuracies)[annotator]
    label = np.where(is_right, shown, (shown + generator.integers(1, 3, len(shown))) % 3)
    item_names = np.asarray([f"item {number:05d}" for number in range(items)])
    annotator_names = np.asarray([f"{place:02d} of {accuracy}" for place, accuracy in enumerate(accuracies)])
    names = np.asarray(LABELS)
    given = {"item": np.repeat(item_names, votes), "annotator": annotator_names[annotator], "label": names[label]}
    return pl.DataFrame(given), pl.DataFrame({"item": item_names, "truth": names[truth]})


def accuracy(resolution: Resolution, truth: pl.DataFrame) -> float:
    joined = resolution.items.join(truth, on="item", validate="1:1")
    assert joined.height == truth.height
    return float((joined["label"] == joined["truth"]).fill_null(value=False).sum()) / truth.height


def label_of(resolution: Resolution, item: str) -> str | None:
    return resolution.items.row(by_predicate=pl.col("item") == item, named=True)["label"]  # type: ignore[no-any-return]


def reliabilities(resolution: Resolution) -> dict[str, float]:
    return dict(resolution.annotators.select("annotator", "reliability").iter_rows())


def test_it_comes_close_to_knowing_how_good_each_annotator_is() -> None:
    """Majority reaches .70, knowing every accuracy .833."""
    crowds = [simulated(GOOD + CARELESS + CONFUSED + HOSTILE, 3000, seed) for seed in range(20)]
    resolved = [accuracy(resolve(votes), truth) for votes, truth in crowds]
    assert float(np.mean(resolved)) >= 0.82
    assert accuracy(resolve(crowds[0][0], method="majority"), crowds[0][1]) < 0.72


def test_reliabilities_are_near_the_true_accuracies_and_the_hostile_stand_last() -> None:
    votes, _ = simulated(GOOD + CARELESS + CONFUSED + HOSTILE, 3000, seed=1)
    found = reliabilities(resolve(votes))
    assert max(abs(found[name] - float(name.split()[-1])) for name in found) < 0.08
    assert all(name.endswith("of 0.1") for name in sorted(found, key=lambda name: found[name])[:2])


def test_labels_given_with_confidence_above_nine_tenths_are_right_that_often() -> None:
    votes, truth = simulated(GOOD + CARELESS + CONFUSED + HOSTILE, 3000, seed=2)
    items = resolve(votes).items.join(truth, on="item").with_columns(is_right=pl.col("label") == pl.col("truth"))
    sure = items.filter(pl.col("confidence") > 0.9)
    assert sure.height > 1000
    assert float(sure["is_right"].sum()) / sure.height >= 0.93
    assert abs(float(items["is_right"].sum()) / items.height - float(items["confidence"].sum()) / items.height) < 0.03


def test_equally_good_annotators_are_left_to_the_majority() -> None:
    votes, _ = simulated([0.9] * 20, 600, seed=3)
    resolution = resolve(votes)
    assert resolution.method == "majority"
    assert set(resolution.items["method"]) == {"majority"}
    assert resolution.held_out["majority"] > resolution.held_out["confusion"]


def test_a_systematic_error_of_half_the_crowd_is_seen_through() -> None:
    """Ten of twenty call most neutral reviews positive: only a matrix each can tell."""
    votes, truth = simulated([0.9] * 20, 2000, seed=4)
    slanted = pl.col("annotator") < "10"
    is_neutral = pl.col("item").is_in(truth.filter(pl.col("truth") == "neutral")["item"].implode())
    half = pl.col("item").str.slice(-1).is_in(["0", "1", "2", "3", "4", "5", "6"])
    biased = votes.with_columns(label=pl.when(slanted & is_neutral & half).then(pl.lit("positive")).otherwise("label"))
    resolution = resolve(biased)
    assert (resolution.method, resolution.form) == ("dawid_skene", "confusion")
    assert accuracy(resolution, truth) > accuracy(resolve(biased, method="majority"), truth) + 0.03


def real_crowd(folder: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    with (folder / "answer.csv").open(encoding="utf-8", newline="") as file:
        answers = [(row["question"], row["worker"], row["answer"]) for row in csv.DictReader(file)]
    with (folder / "truth.csv").open(encoding="utf-8", newline="") as file:
        truth = [(row["question"], row["truth"]) for row in csv.DictReader(file)]
    return votes_of(*answers), pl.DataFrame(truth, schema=["item", "truth"], orient="row")


def textbook_dawid_skene(votes: pl.DataFrame, truth: pl.DataFrame) -> float:
    """Accuracy of Dawid & Skene (1979) as printed, from the majority, 100 rounds."""
    items, labels = {item: place for place, item in enumerate(truth["item"])}, sorted(set(truth["truth"]))
    workers = {name: place for place, name in enumerate(sorted(set(votes["annotator"])))}
    item, worker, label = (
        np.asarray([codes[value] for value in votes[column]])
        for column, codes in (("item", items), ("annotator", workers), ("label", {name: i for i, name in enumerate(labels)}))
    )
    posterior = np.zeros((len(items), len(labels)))
    np.add.at(posterior, (item, label), 1.0)
    posterior /= posterior.sum(axis=1, keepdims=True)
    for _ in range(100):
        counts = np.full((len(workers), len(labels), len(labels)), 1e-9)  # worker, label given, true label
        np.add.at(counts, (worker, label), posterior[item])
        weights = np.tile(np.log(posterior.mean(axis=0)), (len(items), 1))
        np.add.at(weights, item, np.log(counts / counts.sum(axis=1, keepdims=True))[worker, label])
        posterior = np.exp(weights - weights.max(axis=1, keepdims=True))
        posterior /= posterior.sum(axis=1, keepdims=True)
    return float(np.mean([labels[best] == right for best, right in zip(posterior.argmax(axis=1), truth["truth"], strict=True)]))


@pytest.mark.real_data
@pytest.mark.parametrize("crowd", ["d_jn-product", "s4_Dog data"])
def test_on_real_crowds_it_is_within_half_a_point_of_the_better_way(real_data: Path, crowd: str) -> None:
    votes, truth = real_crowd(real_data / "crowd_labels" / crowd)
    better = max(accuracy(resolve(votes, method="majority"), truth), textbook_dawid_skene(votes, truth))
    assert accuracy(resolve(votes), truth) >= better - 0.005


@pytest.mark.real_data
def test_on_a_small_part_of_a_real_crowd_it_notices_that_dawid_skene_is_worse(real_data: Path) -> None:
    votes, truth = real_crowd(real_data / "crowd_labels" / "s4_Dog data")
    order = np.random.default_rng(0).permutation(truth.height)
    few = truth[order[:100]]
    sparse = votes.sample(fraction=1.0, shuffle=True, seed=0).join(few, on="item").group_by("item", maintain_order=True).head(3)
    sparse = sparse.select("item", "annotator", "label")
    majority = accuracy(resolve(sparse, method="majority"), few)
    assert textbook_dawid_skene(sparse, few) < majority - 0.03
    assert accuracy(resolve(sparse), few) >= majority - 0.005


def test_rows_in_any_order_and_repeated_runs_give_the_same_bits() -> None:
    votes, _ = simulated(GOOD + CONFUSED + HOSTILE, 400, seed=5)
    first = resolve(votes)
    for seed in (None, 1, 2):
        again = resolve(votes if seed is None else votes.sample(fraction=1.0, shuffle=True, seed=seed))
        for frame, former in ((again.items, first.items), (again.annotators, first.annotators)):
            assert frame.equals(former)
        confidence = again.items["confidence"].to_numpy().tobytes()
        assert confidence == first.items["confidence"].to_numpy().tobytes()
        assert (again.alpha, again.held_out, again.why) == (first.alpha, first.held_out, first.why)


def test_a_tied_majority_has_no_label_and_no_confidence() -> None:
    resolution = resolve(votes_of(("a", "ann", "yes"), ("a", "bob", "no"), ("b", "ann", "yes"), ("b", "bob", "yes")))
    assert resolution.items.rows() == [
        ("a", None, 0.0, 2, 1.0, "majority"),
        ("b", "yes", pytest.approx(0.94, abs=0.03), 2, 0.0, "majority"),
    ]


def test_three_labels_of_one_vote_each_are_a_tie_too() -> None:
    resolution = resolve(votes_of(("a", "ann", "x"), ("a", "bob", "y"), ("a", "cid", "z")))
    assert resolution.items.select("label", "confidence", "disagreement").row(0) == (None, 0.0, 1.0)


def test_dawid_skene_breaks_a_tie_for_the_more_reliable_annotator() -> None:
    votes, _ = simulated([0.95, 0.95, 0.95, 0.2], 300, seed=6)
    tie = votes_of(("tied", "00 of 0.95", "neutral"), ("tied", "03 of 0.2", "positive"))
    resolution = resolve(pl.concat([votes, tie]))
    assert resolution.method == "dawid_skene"
    assert label_of(resolution, "tied") == "neutral"


def test_single_votes_are_taken_with_the_confidence_of_one_voice() -> None:
    resolution = resolve(votes_of(("a", "ann", "yes"), ("b", "bob", "no"), ("c", "cid", "yes")))
    assert resolution.method == "majority"
    assert resolution.items["label"].to_list() == ["yes", "no", "yes"]
    assert resolution.items["confidence"].to_list() == pytest.approx([0.8, 0.8, 0.8])
    assert resolution.alpha is None
    assert resolution.annotators["agreement"].to_list() == [None, None, None]
    assert resolution.why == "majority: no item has votes of two annotators"


def test_more_agreeing_votes_make_it_surer() -> None:
    votes, _ = simulated([0.8] * 6, 200, seed=7)
    extra = [(item, f"0{number} of 0.8", "positive") for item, count in (("one", 1), ("three", 3)) for number in range(count)]
    confidence = dict(
        resolve(pl.concat([votes, votes_of(*extra)]), method="majority").items.select("item", "confidence").iter_rows()
    )
    assert confidence["one"] < confidence["three"] < 1


def test_one_annotator_alone_is_believed_on_everything() -> None:
    rows = [(f"item {number:02d}", "ann", "spam" if number % 10 == 0 else "fine") for number in range(50)]
    for method in ("auto", "majority", "dawid_skene"):
        resolution = resolve(votes_of(*rows), method=method)  # type: ignore[arg-type]
        assert resolution.items["label"].to_list() == [label for _, _, label in rows]
        assert reliabilities(resolution) == {"ann": pytest.approx(0.8)}


def test_one_class_only_is_that_class_everywhere() -> None:
    rows = [(f"item {number:02d}", name, "fine") for number in range(30) for name in ("ann", "bob", "cid")]
    resolution = resolve(votes_of(*rows), labels=["fine", "spam"])
    assert set(resolution.items["label"]) == {"fine"}
    assert resolution.items["confidence"].min() > 0.95  # type: ignore[operator]
    assert (resolution.method, resolution.alpha) == ("majority", None)


def test_a_new_annotator_with_two_votes_is_rated_near_the_crowd() -> None:
    votes, _ = simulated([0.9] * 4 + [0.6] * 4, 300, seed=8)
    seen = resolve(votes)
    right = [(item, "new and right", label) for item, label in seen.items.head(2).select("item", "label").iter_rows()]
    wrong = [(item, "new and wrong", next(name for name in LABELS if name != label)) for item, _, label in right]
    found = reliabilities(resolve(pl.concat([votes, votes_of(*right, *wrong)])))
    assert 0.4 < found["new and wrong"] < found["new and right"] < 0.95


def test_a_hostile_annotator_among_three_is_found_out() -> None:
    votes, truth = simulated([0.85, 0.85, 0.1], 400, seed=9)
    resolution = resolve(votes)
    found = reliabilities(resolution)
    assert found["02 of 0.1"] < 0.2 < 0.7 < min(found["00 of 0.85"], found["01 of 0.85"])
    assert accuracy(resolution, truth) > accuracy(resolve(votes, method="majority"), truth) + 0.05
    assert resolution.annotators.row(2, named=True)["agreement"] < 0.3


def test_the_same_vote_said_five_times_counts_once() -> None:
    once = votes_of(("a", "ann", "yes"), ("a", "bob", "no"), ("a", "cid", "no"))
    repeated = pl.concat([once, *[once.head(1)] * 4])
    assert resolve(repeated).items.equals(resolve(once).items)
    assert resolve(repeated).annotators.equals(resolve(once).annotators)


def test_an_annotator_of_two_minds_has_half_a_vote_for_each() -> None:
    resolution = resolve(votes_of(("a", "ann", "yes"), ("a", "ann", "no"), ("a", "bob", "no")))
    item = resolution.items.row(0, named=True)
    assert (item["label"], item["votes"], item["disagreement"]) == ("no", 2, 0.5)
    assert resolution.annotators["votes"].to_list() == [1, 1]


def test_few_votes_per_annotator_are_left_to_the_majority() -> None:
    votes, _ = simulated([0.9] * 28 + [0.1] * 10, 40, seed=10)
    resolution = resolve(votes, method="dawid_skene")
    assert resolution.method == "majority"
    assert resolution.why == "majority: 3.2 votes on shared items per annotator are too few to rate anyone"


def test_no_votes_give_empty_frames_of_the_usual_columns() -> None:
    for empty in (votes_of().cast(pl.String), pl.DataFrame(schema=["item", "annotator", "label"])):
        resolution = resolve(empty, labels=LABELS)
        assert resolution.items.schema == resolve(votes_of(("a", "ann", "yes"))).items.schema
        assert resolution.annotators.schema == resolve(votes_of(("a", "ann", "yes"))).annotators.schema
        assert (resolution.items.height, resolution.annotators.height, resolution.alpha) == (0, 0, None)


def test_numbers_as_items_and_labels_stay_numbers() -> None:
    resolution = resolve(pl.DataFrame({"item": [12, 3, 12], "annotator": [1, 2, 2], "label": [0, 1, 0]}))
    assert resolution.items.select("item", "label").rows() == [(3, 1), (12, 0)]


def test_alpha_is_that_of_krippendorffs_own_example() -> None:
    """Krippendorff (2011), section C: four observers, twelve units, missing data, nominal alpha 0.743."""
    observers = {"A": "123321412...", "B": "1233224125.3", "C": ".3332342251.", "D": "12332441251."}
    rows = [
        (f"{unit:02d}", name, label) for name, labels in observers.items() for unit, label in enumerate(labels) if label != "."
    ]
    assert resolve(votes_of(*rows)).alpha == pytest.approx(0.743, abs=0.0005)


def test_alpha_and_agreement_are_those_of_a_count_by_hand() -> None:
    votes, _ = simulated([0.9, 0.7, 0.5, 0.3], 60, seed=11, votes=3)
    pairs = [
        (left, right, len(group))
        for _, group in ((item, list(part.iter_rows())) for item, part in votes.group_by("item", maintain_order=True))
        for left in group
        for right in group
        if left[1] != right[1]
    ]
    observed = sum((left[2] != right[2]) / (size - 1) for left, right, size in pairs) / votes.height
    counts = Counter(votes["label"])
    expected = 1 - sum(count * (count - 1) for count in counts.values()) / (votes.height * (votes.height - 1))
    resolution = resolve(votes)
    assert resolution.alpha == pytest.approx(1 - observed / expected)
    for name, agreement in resolution.annotators.select("annotator", "agreement").iter_rows():
        same = [left[2] == right[2] for left, right, _ in pairs if left[1] == name]
        assert agreement == pytest.approx(sum(same) / len(same))


@pytest.mark.parametrize(
    ("votes", "labels", "told"),
    [
        (pl.DataFrame({"item": ["a"], "label": ["yes"]}), None, "votes lack annotator"),
        (votes_of(("a", "ann", "yes"), ("b", "ann", None)), None, "1 of 2 votes have no label"),  # type: ignore[arg-type]
        (votes_of(("a", "ann", "maybe")), ["yes", "no"], "unknown labels: maybe"),
    ],
    ids=["missing column", "null", "unknown label"],
)
def test_unusable_votes_are_refused_with_what_is_wrong(votes: pl.DataFrame, labels: list[str] | None, told: str) -> None:
    with pytest.raises(CurationError, match=told) as refused:
        resolve(votes, labels=labels)
    assert refused.value.fix


def test_an_unknown_method_is_refused_with_those_that_exist() -> None:
    with pytest.raises(CurationError, match="auto, majority, dawid_skene"):
        resolve(votes_of(("a", "ann", "yes")), method="coin")  # type: ignore[arg-type]


def test_a_hundred_thousand_votes_take_seconds_and_every_number_is_finite() -> None:
    votes, truth = simulated(GOOD * 20 + CARELESS * 20, 20_000, seed=12, votes=5)
    resolution = resolve(votes)
    assert accuracy(resolution, truth) > 0.9
    assert all(math.isfinite(value) for value in resolution.items["confidence"])
    assert resolution.items["confidence"].is_between(0, 1).all()
    assert resolution.annotators["reliability"].is_between(0, 1).all()


def test_importing_the_package_loads_no_frames_and_no_solvers() -> None:
    code = "import sys, curation.learning; print(' '.join(sorted({'polars', 'scipy', 'sklearn', 'pandas'} & set(sys.modules))))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split() == []
