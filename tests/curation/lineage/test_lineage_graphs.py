"""`explain` and `impact` against brute force on random graphs of batches, snapshots, models, predictions and feedback."""

from pathlib import Path

import pytest

from curation.errors import CurationError
from curation.lineage.explaining import explain
from curation.lineage.impact import Kind, impact
from tests.curation.lineage.lineage_world import PEOPLE, Graph, graph, held_out

SEEDS = range(20)


@pytest.fixture(scope="module", params=SEEDS, ids=[f"seed{seed}" for seed in SEEDS])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Graph:
    return graph(tmp_path_factory.mktemp("graph"), request.param)


def test_explain_gives_exactly_the_rows_and_words_of_item_and_cluster(made: Graph) -> None:
    for prediction in made.predictions[::4]:
        told = explain(made.traced, prediction["prediction_id"])
        version, item = prediction["snapshot_version"], prediction["item_id"]
        assert (told.prediction.item_id, told.prediction.label) == (item, prediction["label"])
        others = {one["prediction_id"] for one in made.predictions if one["item_id"] == item} - {prediction["prediction_id"]}
        assert {other.prediction_id for other in told.others} == others
        assert told.model.version == prediction["model_version"]
        assert told.snapshot.is_intact is (version not in made.deleted)
        assert told.record is not None
        assert (told.record.line, told.record.fate) == (prediction["record_no"] + 1, "kept")
        rows = {} if version in made.deleted else made.snapshots[version]
        cluster = {key for key, row in rows.items() if item in rows and row["cluster"] == rows[item]["cluster"]}
        assert {row.key: (row.split, row.label, row.label_origin, row.weight, row.batch, row.line) for row in told.rows} == {
            key: tuple(rows[key][name] for name in ("split", "label", "label_origin", "weight", "batch", "line"))
            for key in cluster
        }
        if version not in made.deleted:
            assert {(word.seq, word.is_consumed) for word in told.labels} == words_of(
                made, cluster or {item}, made.consumed[version]
            )


def words_of(made: Graph, items: set[str], consumed: int) -> set[tuple[int, bool]]:
    """Seq of each last word as it was up to `consumed` and as it is now, and whether the former counted."""
    words: dict[int, bool] = {}
    for item in items:
        for word in made.last_words(item, None).values():
            words[word["seq"]] = False
        for word in made.last_words(item, consumed).values():
            words[word["seq"]] = word["vote"] is not None and not held_out(item)
    return set(words.items())


def test_impact_finds_every_snapshot_model_alias_and_prediction(made: Graph) -> None:
    asked: list[tuple[Kind, str]] = [("review", item.uid) for item in made.items[::4]]
    asked += [("review", item.native_id) for item in made.items[1::4]]
    asked += [("source", name) for name in {item.source for item in made.items}]
    asked += [("batch", name) for name in {item.batch for item in made.items}]
    asked += [("annotator", name) for name in {event["annotator"] for event in made.events}]
    for kind, value in asked:
        expected = holdings(made, kind, value)
        try:
            told = impact(made.traced, "uid", kind, value)
        except CurationError:  # of a batch or source that only deleted snapshots held, no file tells any more
            assert kind in {"source", "batch"} and not expected
            continue
        assert {held.version: (held.rows, held.labels) for held in told.holdings} == expected
        lost = made.deleted - beyond(made) - cleared(made, kind, value)
        assert {version.version for version in told.lost} == lost
        known = {version for _, version in made.decisions} | {one["model_version"] for one in made.predictions}
        models = {version for version in known if made.models[version].snapshot_version in expected}
        assert {model.version for model in told.models} == models
        assert {model.version for model in told.perhaps} == {
            version for version in known if made.models[version].snapshot_version in lost
        }
        assert told.predictions == sum(one["model_version"] in models for one in made.predictions)
        champion = made.pile()[-1] if made.pile() else None
        assert ("champion" in told.live) is (champion in models)
        is_learned = any(held.is_latest for held in told.holdings) or "champion" in told.live
        assert bool(told.steps) is (stands(made, value) or is_learned if kind == "annotator" else bool(expected))


def stands(made: Graph, annotator: str) -> bool:
    """Whether anything that the annotator has said is neither taken back nor a skip."""
    said = [event for event in made.events if event["annotator"] == annotator]
    last = {event["item_id"]: event for event in sorted(said, key=lambda event: (event["occurred_at"], event["seq"]))}
    return any(event["kind"] not in {"skip", "withdraw"} for event in last.values())


def beyond(made: Graph) -> set[str]:
    """Deleted versions above all that are on disk or named by a model: nothing tells that they were."""
    known = {version for _, version in made.decisions} | {one["model_version"] for one in made.predictions}
    named = {made.models[version].snapshot_version for version in known} | (made.snapshots.keys() - made.deleted)
    return {version for version in made.deleted if version > max(named, default="")}


def cleared(made: Graph, kind: Kind, value: str) -> set[str]:
    """Deleted versions that a verdict was reached on, when the annotator had no vote yet."""
    judged = {made.models[version].snapshot_version for kind_, version in made.decisions if kind_ != "rolled_back"}
    return {one for one in made.deleted & judged if kind == "annotator" and not votes(made, value, made.consumed[one])}


def holdings(made: Graph, kind: Kind, value: str) -> dict[str, tuple[int, int | None]]:
    """Version -> rows and labels, of every snapshot on disk that holds any."""
    found: dict[str, tuple[int, int | None]] = {}
    for version in made.snapshots.keys() - made.deleted:
        rows = made.snapshots[version].values()
        if kind == "annotator":
            voted = votes(made, value, made.consumed[version])
            count, labels = sum(row["uid"] in voted and row["label_origin"] == "human" for row in rows), len(voted)
            if voted:
                found[version] = (count, labels)
            continue
        uid = {item.uid for item in made.items if value in {item.uid, item.native_id}}
        count = sum(row["uid"] in uid if kind == "review" else row[kind] == value for row in rows)
        if count:
            found[version] = (count, None)
    return found


def votes(made: Graph, annotator: str, consumed: int) -> set[str]:
    """Items with a vote of that person, as it was up to `consumed`, held-out ones left out."""
    words = {item.uid: made.last_words(item.uid, consumed).get(annotator) for item in made.items}
    return {item for item, word in words.items() if word and word["vote"] is not None and not held_out(item)}


def test_each_model_stands_where_the_decisions_have_put_it(made: Graph) -> None:
    pile = made.pile()
    for version, prediction in {one["model_version"]: one for one in made.predictions}.items():
        kinds = [kind for kind, judged in made.decisions if judged == version and kind != "rolled_back"]
        if not kinds:
            expected = "undecided"
        elif kinds == ["refused"]:
            expected = "refused"
        else:
            expected = "champion" if version == pile[-1] else "replaced" if version in pile else "rolled_back"
        told = explain(made.traced, prediction["prediction_id"])
        assert (told.model.standing, told.champion_version) == (expected, pile[-1] if pile else None)


def test_the_graphs_are_worth_searching(tmp_path: Path) -> None:
    """Deleted snapshots, clusters of several rows, rollbacks and words that were replaced all occur among the seeds."""
    graphs = [graph(tmp_path / str(seed), seed) for seed in SEEDS[:12]]
    assert any(one.deleted for one in graphs)
    assert any(kind == "rolled_back" for one in graphs for kind, _ in one.decisions)
    assert any(len({item.cluster for item in one.items}) < len(one.items) for one in graphs)
    assert any(held.labels for one in graphs for name in PEOPLE if any(e["annotator"] == name for e in one.events)
               for held in impact(one.traced, "uid", "annotator", name).holdings)  # fmt: skip
