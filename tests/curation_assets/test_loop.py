"""The loop closed once, through the public functions: two clocks, labels from every door, a promotion, and the way back."""

import hashlib
import json
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import polars as pl
import pytest

from curation.errors import CurationError
from curation.feedback.curated import CuratedFeedback
from curation.label_queue import LabelQueue
from curation.promotions import PromotionLog
from curation.snapshots.store import SnapshotStore
from curation_assets.loop import feedback_log, new_labels, predictions_told
from curation_assets.promotion import decide
from curation_assets.status import verified
from feedback_sensors.facts import Watermark, watermark_of
from resources.home import REPOSITORY, Home, now
from resources.model_registry import ModelRegistry
from resources.warehouse import reading
from tests.curation_assets.loop_world import (
    CROWD,
    REVIEWS,
    Cli,
    World,
    append,
    cli_of,
    each_said,
    lived_through,
    newcomer,
    predictions_of,
    retrain,
    run,
    said,
    training_rows,
)
from tests.deliveries import day, deliver

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Made once; a test that changes anything works on a copy (`copied`)."""
    return lived_through(tmp_path_factory.mktemp("loop"))


def curation(*arguments: object) -> list[str]:
    """The command line of a `curation` command."""
    return [sys.executable, "-m", "curation_assets.cli", *map(str, arguments)]


def copied(world: World, folder: Path) -> Home:
    """A home of one's own that holds the same."""
    shutil.copytree(world.home.root, folder / "home")
    return Home(folder / "home")


def bytes_of(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.rglob("*.parquet"))
    }


def aliases(home: Home) -> dict[str, int]:
    """What MLflow's own client tells of the model's aliases."""
    from mlflow import MlflowClient

    found = MlflowClient(tracking_uri=f"sqlite:///{home.mlflow / 'mlflow.db'}").get_registered_model("reviews").aliases
    return {name: int(version) for name, version in found.items()}


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    return cli_of(capsys)


def test_the_first_run_trains_and_makes_the_first_champion(world: World) -> None:
    report = world.first
    assert report.succeeded, report.failure
    assert report.champion is not None and report.queue is not None
    assert (report.champion["decision"], report.champion["model_version"], report.champion["snapshot_version"]) == (
        "first",
        1,
        "v0001",
    )
    assert report.queue["by_reason"]["control"] == 40  # a fifth of 200
    assert predictions_of(world.home, 1).filter(pl.col("day") == day(1)).height == 500


def test_a_day_with_thirty_labels_moves_the_snapshot_and_trains_nothing(world: World) -> None:
    report = world.daily
    assert report.succeeded, report.failure
    assert report.model is not None and report.champion is not None and report.snapshot is not None
    assert (report.model["version"], report.model["state"], report.champion["state"]) == (1, "unchanged", "unchanged")
    assert (report.snapshot["version"], report.snapshot["state"], report.snapshot["rows"]) == ("v0002", "new", 800)
    assert "sentiment_model" not in report.step_cpu_s
    assert predictions_of(world.home, 1).filter(pl.col("day") == day(2)).height == 300


def test_a_snapshot_consumes_labels_while_the_watermark_stays_at_the_verdict(world: World) -> None:
    manifest = SnapshotStore(world.home.snapshots).manifest("reviews", "v0002")
    with feedback_log(world.home) as log:
        at_30 = log.head_at(30)
    assert at_30 is not None
    assert (manifest.consumed_feedback_seq, manifest.consumed_feedback_head) == (30, at_30.chain)
    assert (
        training_rows(world.home, "v0002").filter(pl.col("label_origin") == "human")["review_uid"].to_list() == world.told.agreed
    )
    assert world.between == Watermark(0, "v0001")


def test_a_retrain_ends_in_a_verdict_and_moves_the_watermark_to_the_last_label(world: World) -> None:
    assert world.verdict.succeeded, world.verdict.failure
    with feedback_log(world.home) as log:
        last = log.head()
    assert watermark_of(world.home, "reviews") == Watermark(last.seq, "v0003")
    verdict = PromotionLog(world.home.promotions, "reviews").last_verdict()
    assert verdict is not None
    assert (verdict.consumed_feedback_seq, verdict.feedback_head) == (last.seq, last.chain)


def test_a_retrain_without_new_labels_is_refused_and_says_what_it_waits_for(world: World) -> None:
    seq = watermark_of(world.home, "reviews").seq
    with pytest.raises(
        CurationError, match=rf"no new labels of reviews since the last verdict \(event {seq}\): 0 of 100"
    ) as told:
        retrain(world.home)
    assert told.value.fix is not None and "label some of the queue" in told.value.fix
    assert len(PromotionLog(world.home.promotions, "reviews").decisions()) == 2


def test_labels_of_every_door_train_and_carry_their_origin_confidence_and_time(world: World) -> None:
    rows = training_rows(world.home, "v0003")
    human = rows.filter(pl.col("label_origin") == "human")
    assert human["review_uid"].to_list() == world.told.trained
    resolved = CuratedFeedback(world.home.lake, "reviews").training_labels()
    assert resolved is not None
    labels = pl.DataFrame(resolved).filter(pl.col("label") != "spam").sort("item_id")
    assert human["weight"].to_list() == labels["confidence"].to_list()
    assert human["label"].to_list() == labels["label"].to_list()
    assert human["labelled_at"].to_list() == labels["labelled_at"].to_list()
    assert set(human.filter(pl.col("review_uid").is_in(world.told.neutral))["label"]) == {"neutral"}
    assert set(human.filter(pl.col("review_uid").is_in(world.told.csv))["labelled_at"].dt.strftime("%F %T")) == {
        "2026-11-19 12:00:00"
    }
    assert set(rows.filter(pl.col("label_origin") == "derived")["weight"]) == {1.0}


def test_people_never_change_the_test_split_and_nothing_of_it_trains(world: World) -> None:
    before, after = (training_rows(world.home, version).filter(pl.col("split") == "test") for version in ("v0002", "v0003"))
    assert after.equals(before)
    assert set(after["label_origin"]) == {"derived"}
    assert set(after["label"]) == {"negative", "positive"}
    held_out = [*world.told.control, *world.told.held_out]
    assert len(world.told.control) == 40
    assert set(held_out) <= set(after["review_uid"])
    control = CuratedFeedback(world.home.lake, "reviews").control_labels(1000)
    assert control is not None
    assert sorted(control["item_id"].to_pylist()) == world.told.control
    assert set(control["label"].to_pylist()) == {"neutral"}


def test_what_people_call_spam_leaves_the_snapshot(world: World) -> None:
    before, after = (set(training_rows(world.home, version)["review_uid"]) for version in ("v0002", "v0003"))
    assert before - after == set(world.told.spam)


def test_withdrawn_labels_leave_the_derived_ones_also_where_a_snapshot_had_learned_them(world: World) -> None:
    former, rows = (training_rows(world.home, version) for version in ("v0001", "v0003"))
    withdrawn = [*world.told.withdrawn, *world.told.agreed[-5:]]
    found = rows.filter(pl.col("review_uid").is_in(withdrawn))
    assert found.height == len(withdrawn)
    assert set(found["label_origin"]) == {"derived"}
    once = former.filter(pl.col("review_uid").is_in(world.told.agreed[-5:]))
    assert once.drop("split").equals(found.filter(pl.col("review_uid").is_in(world.told.agreed[-5:])).drop("split"))


def test_a_promotion_is_logged_with_its_figures_and_mirrored_by_mlflow(world: World) -> None:
    first, promoted = PromotionLog(world.home.promotions, "reviews").decisions()
    assert (first.kind, promoted.kind, promoted.champion.version) == ("first", "promoted", 2)
    assert promoted.former_champion == first.champion
    assert promoted.figures["overall"]["rows"] == training_rows(world.home, "v0003").filter(pl.col("split") == "test").height
    assert promoted.figures["overall"]["difference_points"]["value"] > 5
    assert promoted.figures["new_labels"] == len(world.told.trained) + len(world.told.spam)
    assert (promoted.figures["control"]["rows"], promoted.figures["control"]["has_vote"]) == (40, False)
    assert aliases(world.home) == {"champion": 2, "challenger": 2}


def test_the_new_champion_has_predicted_every_curated_row_and_the_queue_asks_about_its_predictions(world: World) -> None:
    told = predictions_told(world.home, REVIEWS)
    assert (told["curated"], told["rows"], told["missing"], told["repeated"]) == (800, 800, 0, 0)
    queue = pl.read_parquet(LabelQueue(world.home.lake / "label_queue", "reviews").current() or "")
    assert set(queue["model_version"]) == {2}
    assert set(queue["prediction_id"]) <= set(predictions_of(world.home, 2)["prediction_id"])
    assert not set(queue["prediction_id"]) & set(predictions_of(world.home, 1)["prediction_id"])


def test_the_queue_carries_what_people_see_of_each_item_and_what_the_champion_thinks(world: World) -> None:
    queue = pl.read_parquet(LabelQueue(world.home.lake / "label_queue", "reviews").current() or "")
    with reading(world.home, "reviews") as connection:
        rows = connection.execute(
            "select review_uid, title, text, source, rating, reviewed_at, day from curated_reviews"
        ).fetchall()
    written = {
        uid: (title, text, source, rating, f"{reviewed_at or day:%Y-%m-%d}")
        for uid, title, text, source, rating, reviewed_at, day in rows
    }
    predicted = {row["prediction_id"]: row for row in predictions_of(world.home, 2).iter_rows(named=True)}
    assert queue.height > 0
    for row in queue.iter_rows(named=True):
        fields, said = json.loads(row["fields"]), predicted[row["prediction_id"]]
        assert tuple(fields[name] for name in ("title", "text", "source", "rating", "date")) == written[row["item_id"]]
        assert fields["language"] == said["language"]
        assert list(fields) == sorted(fields)
        assert row["guess"] == said["label"]
        assert row["confidence"] == said["probabilities"][said["label"]] == max(said["probabilities"].values())


def test_a_rollback_brings_the_former_champion_and_its_predictions_back(world: World, tmp_path: Path, cli: Cli) -> None:
    home = copied(world, tmp_path)
    before = bytes_of(home.predictions)
    started = time.perf_counter()
    command = curation("rollback", "reviews", "--reason", "worse on phones", "--home", home.root, "--json")
    ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=REPOSITORY)
    took_s = time.perf_counter() - started
    print(f"rollback took {took_s:.2f} s")
    assert ended.returncode == 0, ended.stderr
    decision = json.loads(ended.stdout)
    assert (decision["kind"], decision["champion"]["version"], decision["why"]) == ("rolled_back", 1, "worse on phones")
    assert bytes_of(home.predictions) == before
    told = predictions_told(home, REVIEWS)
    assert (told["rows"], told["missing"]) == (800, 0)
    assert aliases(home) == {"champion": 1}
    assert watermark_of(home, "reviews") == watermark_of(world.home, "reviews")
    assert verified(home, "reviews")["findings"] == []

    code, _, error = cli("rollback", "reviews", "--reason", "again", "--home", home.root)
    assert code == 1
    assert "reviews has no former champion to go back to: version 1 is its first" in error
    assert "fix: curation run reviews --retrain trains another" in error

    with pytest.raises(CurationError, match="no new labels"):
        retrain(home)
    standing = decide(home, REVIEWS, ModelRegistry(home.mlflow), by="a run that was run again", now=now())
    assert (standing.kind, standing.champion.version) == ("rolled_back", 1), "its verdict stands, and so does what followed"
    assert [past.kind for past in PromotionLog(home.promotions, "reviews").decisions()] == ["first", "promoted", "rolled_back"]
    assert aliases(home) == {"champion": 1}

    deliver(home.root, day(3), [newcomer(number) for number in range(2000, 2040)])
    report = run(home)
    assert report.succeeded, report.failure
    assert report.champion is not None and report.model is not None
    assert (report.champion["model_version"], report.champion["decision"], report.model["state"]) == (
        1,
        "rolled_back",
        "unchanged",
    )
    assert predictions_of(home, 1).filter(pl.col("day") == day(3)).height == 40
    assert predictions_of(home, 2).filter(pl.col("day") == day(3)).height == 0
    queue = pl.read_parquet(LabelQueue(home.lake / "label_queue", "reviews").current() or "")
    assert set(queue["model_version"]) == {1}
    after = bytes_of(home.predictions)
    assert {path: after[path] for path in before} == before


def test_the_table_may_be_deleted_and_comes_again_from_the_log(world: World, tmp_path: Path) -> None:
    home = copied(world, tmp_path)
    home.feedback_table.unlink()
    items = world.told.neutral[:3]
    append(home, each_said(CROWD, items, "label", "positive"))
    count, watermark = new_labels(home, REVIEWS, now=now())
    assert (count.effective, watermark) == (3, watermark_of(world.home, "reviews").seq)
    with duckdb.connect(home.feedback_table, read_only=True) as connection:
        by_hand = connection.execute("select count(*) from feedback where annotator = 'fred' and source = 'sql'").fetchone()
        everything = connection.execute("select count(*), max(seq) from feedback").fetchone()
    assert by_hand == (15,)
    assert everything == (watermark + 9, watermark + 9)


def test_a_file_imported_twice_changes_nothing(world: World, tmp_path: Path, cli: Cli) -> None:
    home = copied(world, tmp_path)
    with feedback_log(home) as log:
        before = log.head()
    for name in ("labels.csv", "labels.jsonl"):
        code, out, _ = cli("feedback", "import", world.home.root.parent / name, "--home", home.root, "--json")
        assert code == 0
        assert json.loads(out) == {"rows": 15, "accepted": 0, "duplicates": 15, "last_seq": before.seq}
    with feedback_log(home) as log:
        assert log.head() == before


@pytest.mark.parametrize("name", ["half.csv", "half.jsonl"])
def test_a_file_with_half_of_its_rows_wrong_is_told_row_by_row_and_enters_not_at_all(
    world: World, tmp_path: Path, cli: Cli, name: str
) -> None:
    home = copied(world, tmp_path)
    with feedback_log(home) as log:
        before = log.head()
    rows = [
        {"item_id": item, "kind": "label", "label": "positiv" if number % 2 else "positive", "annotator": "gil"}
        for number, item in enumerate(world.told.neutral)
    ]
    lines = (
        ["item_id,kind,label,annotator", *(",".join(row.values()) for row in rows)]
        if name.endswith("csv")
        else [json.dumps(row) for row in rows]
    )
    (tmp_path / name).write_text("\n".join(lines))
    code, out, error = cli("feedback", "import", tmp_path / name, "--home", home.root)
    assert (code, out) == (1, "")
    assert "5 of 10 rows are wrong, so none was taken" in error
    wrong = [line.strip() for line in error.splitlines() if line.strip().startswith("line ")]
    assert len(wrong) == 5
    first = 3 if name.endswith("csv") else 2
    assert wrong[0] == (
        f'line {first}: label must be one of negative, neutral, positive; found "positiv" (did you mean "positive"?)'
    )
    with feedback_log(home) as log:
        assert log.head() == before


def altered_log(home: Home, *statements: str) -> None:
    """Change the log's file as someone with SQLite could who takes its triggers away first."""
    with sqlite3.connect(home.feedback_log) as connection:
        for statement in ("drop trigger no_delete", "drop trigger only_erase", *statements):
            connection.execute(statement)


def change_a_byte(home: Home) -> None:
    altered_log(
        home, """update log set body = cast(replace(cast(body as text), '"neutral"', '"negative"') as blob) where seq = 40"""
    )


def rewrite_the_chain(home: Home) -> None:
    """Another log, sound in itself, in place of the one that snapshots and decisions remember."""
    with feedback_log(home) as log:
        rows = log.read(0, 1_000)
    home.feedback_log.unlink()
    for suffix in ("-wal", "-shm"):
        home.feedback_log.with_name(home.feedback_log.name + suffix).unlink(missing_ok=True)
    append(home, [said("mallory", item, "label", "positive") for item in rows["item_id"].to_pylist()])


def shorten_the_log(home: Home) -> None:
    altered_log(home, "delete from log where seq > 60", "update sqlite_sequence set seq = 60")


def change_a_decision(home: Home) -> None:
    path = home.promotions / "reviews" / "000002.json"
    path.chmod(0o644)
    path.write_text(path.read_text().replace('"kind": "promoted"', '"kind": "refused"'))


def delete_the_log(home: Home) -> None:
    for path in home.feedback_log.parent.glob("log.sqlite*"):
        path.unlink()


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (change_a_byte, ["seq 40"]),
        (rewrite_the_chain, ["snapshot reviews v0002", "promotion reviews 2"]),
        (shorten_the_log, ["promotion reviews 2 remembers seq", "which ends at seq 60: it was shortened"]),
        (change_a_decision, ["000002.json"]),
        (delete_the_log, ["log.sqlite is gone", "restore it from your backup"]),
    ],
    ids=["changed byte", "rewritten chain", "shortened log", "changed decision", "deleted log"],
)
def test_verify_finds_what_was_done_to_the_logs(
    world: World, tmp_path: Path, cli: Cli, damage: Callable[[Home], None], told: list[str]
) -> None:
    home = copied(world, tmp_path)
    damage(home)
    code, out, error = cli("verify", "reviews", "--home", home.root)
    assert code == 1
    assert "Traceback" not in error
    for part in told:
        assert part in out + error


def test_verify_finds_nothing_where_nothing_was_done(world: World, cli: Cli) -> None:
    code, out, _ = cli("verify", "reviews", "--home", world.home.root, "--json")
    assert (code, json.loads(out)["findings"]) == (0, [])
