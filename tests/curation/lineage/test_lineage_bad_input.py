"""What lineage says where something is wrong: ids that never were, snapshots deleted by hand, models rolled back, records gone."""

import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.errors import CurationError
from curation.feedback.events import EventError, prediction_id_of
from curation.lineage.explaining import NotPredicted, explain
from curation.lineage.impact import Impact, Kind, impact
from curation.lineage.models import traced_models
from curation.lineage.repair import repair
from curation.lineage.telling import model_sentence, row_sentence
from curation.predictions import SCHEMA
from tests.curation.lineage.lineage_world import Graph, graph

ROLLED_BACK_SEED = 37


@pytest.fixture
def made(tmp_path: Path) -> Graph:
    """A graph with a champion that was rolled back, and every snapshot on disk."""
    return graph(tmp_path, ROLLED_BACK_SEED)


def impact_of(made: Graph, kind: Kind, value: str) -> Impact:
    return impact(made.traced, "uid", kind, value)


def first_id(made: Graph) -> str:
    return str(made.predictions[0]["prediction_id"])


def test_an_id_that_is_none_is_refused_with_its_form(made: Graph) -> None:
    with pytest.raises(EventError, match="must read dataset:item:16 hex digits"):
        explain(made.traced, "notes:item")


def test_an_id_of_another_dataset_is_refused(made: Graph) -> None:
    with pytest.raises(CurationError, match="is a prediction of films, not of notes"):
        explain(made.traced, prediction_id_of("films", "item", "1" * 64, "text"))


def test_an_id_that_never_was_is_told_apart_from_another_prediction_of_the_item(made: Graph) -> None:
    with pytest.raises(NotPredicted, match="nor any other of that item"):
        explain(made.traced, prediction_id_of("notes", "nobody's item", "1" * 64, "text"))
    there = made.predictions[0]
    with pytest.raises(NotPredicted) as refused:
        explain(made.traced, prediction_id_of("notes", there["item_id"], "e" * 64, "another text"))
    assert refused.value.fix is not None
    assert f"of that item there is notes:{there['item_id']}:" in refused.value.fix


def test_without_any_prediction_the_fix_is_to_run(made: Graph) -> None:
    shutil.rmtree(made.places.predictions)
    with pytest.raises(NotPredicted) as refused:
        explain(made.traced, first_id(made))
    assert refused.value.fix == "curation run notes"


def test_a_command_line_that_is_no_utf8_names_nothing(made: Graph) -> None:
    with pytest.raises(NotPredicted):
        explain(made.traced, "notes:\udcff:0123456789abcdef")


def test_a_snapshot_deleted_by_hand_is_said_and_the_rest_is_told(made: Graph) -> None:
    prediction = next(one for one in made.predictions if one["model_version"] in {version for _, version in made.decisions})
    version = prediction["snapshot_version"]
    digest = explain(made.traced, prediction["prediction_id"]).snapshot.digest
    shutil.rmtree(made.places.snapshots / "notes" / version)
    told = explain(made.traced, prediction["prediction_id"])
    assert "is gone" in told.missing[0]
    assert "restore its folder from a copy" in told.missing[0]
    assert (told.rows, told.snapshot.is_intact, told.snapshot.rows) == ((), False, None)
    model = made.models[prediction["model_version"]]
    assert told.snapshot.digest == model.snapshot_digest
    assert digest is not None
    assert told.snapshot.consumed_feedback_seq == made.consumed[version]
    assert {(word.annotator, word.seq) for word in told.labels} >= {
        (name, word["seq"]) for name, word in made.last_words(prediction["item_id"], None).items()
    }
    assert told.record is not None


def test_a_snapshot_with_a_missing_part_is_as_good_as_gone(made: Graph) -> None:
    prediction = made.predictions[0]
    part = next((made.places.snapshots / "notes" / prediction["snapshot_version"] / "index").iterdir())
    part.unlink()
    told = explain(made.traced, prediction["prediction_id"])
    assert str(part) in told.missing[0]


def test_impact_counts_models_of_a_deleted_snapshot_as_perhaps_touched(made: Graph) -> None:
    item = made.items[0]
    for version in made.snapshots:
        shutil.rmtree(made.places.snapshots / "notes" / version)
    told = impact_of(made, "review", item.native_id)
    assert (told.holdings, told.models, told.predictions) == ((), (), 0)
    trained = {version for _, version in made.decisions} | {one["model_version"] for one in made.predictions}
    assert {model.version for model in told.perhaps} == trained
    assert told.predictions_perhaps == len(made.predictions)


def test_a_damaged_manifest_is_named(made: Graph) -> None:
    version = made.predictions[0]["snapshot_version"]
    path = made.places.snapshots / "notes" / version / "manifest.json"
    path.chmod(0o644)
    path.write_text("{")
    assert f"{path} is not JSON" in explain(made.traced, first_id(made)).missing[0]


def test_a_model_that_was_rolled_back_says_who_is_champion(made: Graph) -> None:
    back = next(version for version in made.models if _was_rolled_back(made, version))
    prediction = next(one for one in made.predictions if one["model_version"] == back)
    told = explain(made.traced, prediction["prediction_id"])
    champion = made.pile()[-1]
    assert told.model.standing == "rolled_back"
    assert [turn.kind for turn in told.model.turns][-1] == "rolled_back"
    assert model_sentence(told.model, told.champion_version).endswith(
        f"it was champion and has been rolled back; version {champion} is champion."
    )


def _was_rolled_back(made: Graph, version: int) -> bool:
    promoted = any(kind == "promoted" and judged == version for kind, judged in made.decisions)
    return promoted and version not in made.pile() and any(one["model_version"] == version for one in made.predictions)


def test_a_record_that_no_run_has_judged_is_told_as_it_arrived(made: Graph) -> None:
    prediction = made.predictions[0]
    shutil.rmtree(made.places.lake / "fates")
    missing = explain(made.traced, prediction["prediction_id"])
    assert missing.record is None
    assert any("raw record" in sentence for sentence in missing.missing)
    raw = {
        "record_no": prediction["record_no"],
        "record_id": "shop/2026-10-30/a.jsonl:7",
        "native_id": "n-0",
        "source": "shop",
        "day": prediction["day"],
        "file": "a.jsonl",
        "line": 7,
    }
    folder = made.places.lake / "ledger" / "notes" / "seq=000000"
    folder.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist([raw]), folder / "raw.parquet")
    told = explain(made.traced, prediction["prediction_id"]).record
    assert told is not None
    assert (told.file, told.line, told.fate) == ("a.jsonl", 7, "undecided")


def test_another_model_under_the_same_number_is_noticed(made: Graph) -> None:
    version = made.predictions[0]["model_version"]
    part = next((made.places.predictions / "notes" / f"model={version:04d}").glob("*/*.parquet"))
    rows = pq.read_table(part).to_pylist()
    pq.write_table(pa.Table.from_pylist([row | {"model_sha256": "d" * 64} for row in rows], SCHEMA), part)
    told = explain(made.traced, rows[0]["prediction_id"])
    assert any("another model as version" in sentence for sentence in told.missing) is (
        version in {judged for _, judged in made.decisions}
    )


@pytest.mark.parametrize(
    ("kind", "value", "message", "fix"),
    [
        ("review", "n-999", "n-999 is in no batch of notes", "native id or a uid"),
        ("review", "  ", "no review is named", "--review NAME"),
        ("annotator", "ana", "notes has no annotator ana", "did you mean anna?"),
        ("source", "shopp", "notes has no source shopp", "did you mean shop?"),
        ("source", "\x1b[2J", r"notes has no source '\\x1b\[2J'", "there are: "),
        ("batch", "shop/2026-02-30", "shop/2026-02-30 is no batch", "SOURCE/YYYY-MM-DD"),
        ("batch", "shop", "shop is no batch", "SOURCE/YYYY-MM-DD"),
        ("batch", "shop/2020-01-01", "notes has no batch shop/2020-01-01", "did you mean"),
    ],
    ids=["record", "blank", "person", "source", "escape", "day", "no-day", "batch"],
)
def test_what_never_was_is_refused_with_what_comes_near(made: Graph, kind: Kind, value: str, message: str, fix: str) -> None:
    with pytest.raises(CurationError, match=message) as refused:
        impact_of(made, kind, value)
    assert fix in str(refused.value.fix)


def test_a_row_is_told_with_its_label_its_origin_and_its_weight(made: Graph) -> None:
    said = {
        row_sentence(row) for one in made.predictions for row in explain(made.traced, one["prediction_id"]).rows if row.is_item
    }
    assert any(sentence.startswith("The item itself trained it as ") for sentence in said)
    assert any("derived from its record, weight 1." in sentence for sentence in said)
    row = next(row for one in made.predictions for row in explain(made.traced, one["prediction_id"]).rows)
    assert "judged it (test rows train nothing)" in row_sentence(replace(row, split="test"))


def test_a_name_in_a_command_of_the_repair_cannot_leave_its_quotes(made: Graph) -> None:
    champion = next(model for model in traced_models(made.traced) if model.standing == "champion")
    name = "o'hara $(rm -rf x)"
    first, *_ = repair(
        "notes", "annotator", name, (), words=1, snapshots=["v0001"], is_in_latest=True, models=[champion], way_back=1
    )
    assert first.command is not None
    assert shlex.split(first.command)[-1] == f"repair after annotator {name}"


@pytest.mark.parametrize(
    ("words", "is_in_latest", "is_live", "commands"),
    [
        (3, True, True, ["curation feedback import withdrawn.jsonl --dataset notes", "curation run notes --retrain"]),
        (0, True, False, ["curation run notes --retrain"]),
        (0, False, True, ["curation run notes --retrain"]),
        (0, False, False, []),
    ],
)
def test_a_repair_asks_for_what_is_left_of_it(
    made: Graph, words: int, is_in_latest: bool, is_live: bool, commands: list[str]
) -> None:
    models = traced_models(made.traced)
    learned = next(model for model in models if ("champion" in model.aliases) == is_live)
    steps = repair(
        "notes",
        "annotator",
        "gus",
        (),
        words=words,
        snapshots=["v0001"],
        is_in_latest=is_in_latest,
        models=[learned],
        way_back=None,
    )
    assert [step.command for step in steps] == commands
