"""What can go wrong around the loop: each ends in one message that names the thing and the fix, exit code 1, and nothing lost."""

import json
import shutil
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from curation.errors import CurationError
from curation.promotions import PromotionLog
from curation_assets.loop import champion_of, curate, predict
from feedback_sensors.facts import watermark_of
from resources.home import Home, now
from tests.curation_assets.loop_world import CROWD, REVIEWS, Cli, append, cli_of, each_said, predictions_of, run
from tests.deliveries import day, deliver, review

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home with its first champion and no feedback; made once, and copied by `home`."""
    home = Home(tmp_path_factory.mktemp("prepared") / "home").prepare()
    deliver(home.root, day(1), [review(number) for number in range(240)])
    report = run(home)
    assert report.succeeded, report.failure
    return home


@pytest.fixture
def home(prepared: Home, tmp_path: Path) -> Home:
    shutil.copytree(prepared.root, tmp_path / "home")
    return Home(tmp_path / "home")


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    return cli_of(capsys)


def mistaken(cli: Cli, *arguments: str | Path) -> str:
    """What a command says that fails as it should: an error and its fix on standard error, no traceback, exit code 1."""
    code, _, error = cli(*arguments)
    assert code == 1
    assert "Traceback" not in error
    assert "error: " in error
    assert "\n  fix: " in error
    return error


def train_items(home: Home) -> list[str]:
    return predictions_of(home, 1).filter(pl.col("split") == "train")["item_id"].to_list()


def kinds(home: Home) -> list[str]:
    return [decision.kind for decision in PromotionLog(home.promotions, "reviews").decisions()]


@pytest.mark.parametrize(
    "arguments",
    [
        "run products --retrain",
        "rollback products --reason why",
        "feedback import FILE --dataset products",
        "status products",
        "verify products",
    ],
)
def test_a_dataset_that_does_not_exist_is_named_with_those_that_do(cli: Cli, tmp_path: Path, arguments: str) -> None:
    error = mistaken(cli, *arguments.split(), "--home", tmp_path / "home")
    assert "there is no dataset 'products'" in error
    assert "fix: one of: reviews" in error


def test_before_any_champion_there_is_nothing_to_challenge_and_nobody_to_go_back_to(cli: Cli, tmp_path: Path) -> None:
    error = mistaken(cli, "run", "reviews", "--retrain", "--home", tmp_path / "home")
    assert "reviews has no champion yet to challenge" in error
    assert "fix: curation run reviews trains the first" in error
    error = mistaken(cli, "rollback", "reviews", "--reason", "why", "--home", tmp_path / "home")
    assert "reviews has no former champion to go back to: it has no champion yet" in error


def test_a_rollback_needs_a_former_champion_and_a_reason(cli: Cli, home: Home) -> None:
    error = mistaken(cli, "rollback", "reviews", "--reason", "why", "--home", home.root)
    assert "reviews has no former champion to go back to: version 1 is its first" in error
    assert "fix: curation run reviews --retrain trains another" in error
    error = mistaken(cli, "rollback", "reviews", "--reason", "  ", "--home", home.root)
    assert "a rollback needs a reason" in error
    code, _, error = cli("rollback", "reviews", "--home", home.root)
    assert code == 2  # an option that is missing, as everywhere on this command line
    assert "Missing option '--reason'" in error
    assert kinds(home) == ["first"]


def test_a_retrain_without_labels_says_so(cli: Cli, home: Home) -> None:
    error = mistaken(cli, "run", "reviews", "--retrain", "--home", home.root)
    assert "there are no new labels of reviews since the last verdict (event 0): 0 of 100 new labels" in error
    assert "fix: label some of the queue, or send feedback" in error


def test_a_retrain_with_all_labels_withdrawn_says_so(cli: Cli, home: Home) -> None:
    items = train_items(home)[:40]
    append(home, [*each_said(CROWD, items, "label", "neutral"), *each_said(CROWD, items, "withdraw")])
    error = mistaken(cli, "run", "reviews", "--retrain", "--home", home.root)
    assert "there are no new labels of reviews since the last verdict (event 0): 0 of 100 new labels" in error
    assert kinds(home) == ["first"]


def test_labels_of_the_test_split_alone_are_told_apart(cli: Cli, home: Home) -> None:
    items = predictions_of(home, 1).filter(pl.col("split") == "test")["item_id"].to_list()
    append(home, each_said(CROWD, items, "label", "neutral"))
    error = mistaken(cli, "run", "reviews", "--retrain", "--home", home.root)
    assert f"0 of 100 new labels, {len(items)} held out for evaluation" in error


def test_a_retrain_on_one_class_fails_with_its_reason_and_moves_nothing(cli: Cli, home: Home) -> None:
    items = train_items(home)
    append(home, each_said(["ann"], items, "label", "positive"))
    champion, watermark = champion_of(home, "reviews"), watermark_of(home, "reviews")
    code, out, error = cli("run", "reviews", "--retrain", "--home", home.root)
    assert code == 1
    assert "Traceback" not in out + error
    assert f"FAILED: sentiment_model: cannot train on one class: all {len(items)} rows are 'positive'" in out
    assert "\n  fix: take in records of at least one other class" in out
    assert (champion_of(home, "reviews"), watermark_of(home, "reviews"), kinds(home)) == (champion, watermark, ["first"])


def test_a_champion_whose_file_was_changed_or_lost_predicts_nothing_until_it_is_back(cli: Cli, home: Home) -> None:
    [path] = home.mlflow.rglob("*.skops")
    kept = path.read_bytes()
    before = sorted(home.predictions.rglob("*.parquet"))
    path.write_bytes(kept + b" ")
    with pytest.raises(CurationError, match=f"the model file {path} is not the one that was recorded") as told:
        predict(home, REVIEWS, now=now())
    assert told.value.fix is not None and "restore it from a copy" in told.value.fix
    path.unlink()
    append(home, each_said(CROWD, train_items(home)[:20], "label", "positive"))
    code, out, _ = cli("run", "reviews", "--retrain", "--home", home.root)
    assert code == 1
    assert f"FAILED: sentiment_champion: the model file {path} is missing\n  fix: restore it from a copy" in out
    assert kinds(home) == ["first"]
    assert sorted(home.predictions.rglob("*.parquet")) == before
    path.write_bytes(kept)
    assert cli("run", "reviews", "--retrain", "--home", home.root)[0] == 0
    assert len(kinds(home)) == 2


@pytest.fixture
def held(home: Home) -> Iterator[int]:
    """The PID of another process that has the feedback table open."""
    append(home, each_said(CROWD, train_items(home)[:5], "label", "positive"))
    curate(home, REVIEWS, now=now())
    code = f"import duckdb, sys; c = duckdb.connect({str(home.feedback_table)!r}); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as shell:
        assert shell.stdout is not None and shell.stdin is not None
        assert shell.stdout.readline() == "open\n"
        yield shell.pid
        shell.stdin.close()


def test_a_table_that_someone_holds_open_is_named_with_who_holds_it(cli: Cli, home: Home, held: int) -> None:
    error = mistaken(cli, "run", "reviews", "--retrain", "--home", home.root)
    assert f"{home.feedback_table} is open in " in error
    assert f"(PID {held})" in error
    assert "fix: end it; to look at feedback open the segments in lake/feedback, which never lock" in error
    append(home, each_said(["dora"], train_items(home)[:1], "label", "positive"))  # something for the daily run to do
    code, out, _ = cli("run", "reviews", "--home", home.root)
    assert code == 1
    assert f"FAILED: curated_review_feedback: {home.feedback_table} is open in " in out
    assert "fix: end it; to look at feedback open the segments" in out
    code, out, _ = cli("status", "--home", home.root)
    assert code == 0
    assert "feedback: 16 events" in out
    assert cli("verify", "--home", home.root)[0] == 0


@pytest.mark.parametrize("damage", ["pages", "header", "empty"])
def test_a_damaged_feedback_log_is_named_by_every_command_that_needs_it(
    cli: Cli, home: Home, tmp_path: Path, damage: str
) -> None:
    append(home, each_said(CROWD, train_items(home)[:40], "label", "positive"))
    with sqlite3.connect(home.feedback_log) as connection:
        connection.execute("pragma wal_checkpoint(truncate)")
    whole = home.feedback_log.read_bytes()
    left = {"pages": whole[:4096], "header": b"", "empty": b""}[damage]
    home.feedback_log.write_bytes(b"" if damage == "empty" else left + b"\x5a" * (len(whole) - len(left)))
    (tmp_path / "one.jsonl").write_text(json.dumps({"item_id": "i", "kind": "spam", "annotator": "gil"}))
    imported = f"feedback import {tmp_path / 'one.jsonl'}"
    for command in ("status", "verify", "run reviews", "run reviews --retrain", "serve --port 0", imported):
        error = mistaken(cli, *command.split(), "--home", home.root)
        assert f"{home.feedback_log} is {'no feedback log' if damage == 'empty' else 'damaged'}" in error
        assert "backup" in error


def test_a_lost_feedback_log_does_not_begin_anew(cli: Cli, home: Home) -> None:
    append(home, each_said(CROWD, train_items(home)[:5], "label", "positive"))
    curate(home, REVIEWS, now=now())
    for path in home.feedback_log.parent.glob("log.sqlite*"):
        path.unlink()
    error = mistaken(cli, "run", "reviews", "--retrain", "--home", home.root)
    assert f"hold feedback up to seq 15 that {home.feedback_log} does not hold" in error
    assert "bring the log back from a backup" in error


def test_a_verdict_whose_snapshot_was_deleted_is_missed_by_every_command_that_needs_it(cli: Cli, home: Home) -> None:
    append(home, each_said(CROWD, train_items(home)[:5], "label", "positive"))
    shutil.rmtree(home.snapshots / "reviews" / "v0001")
    for command in ("run reviews --retrain", "status", "verify"):
        assert "v0001" in mistaken(cli, *command.split(), "--home", home.root)
    with pytest.raises(CurationError, match="v0001 is gone, the snapshot of the last verdict"):  # the daily run's first step
        curate(home, REVIEWS, now=now())
    assert kinds(home) == ["first"]


def test_garbage_for_the_curated_feedback_is_named_and_made_again_once_removed(cli: Cli, home: Home) -> None:
    append(home, each_said(CROWD, train_items(home)[:5], "label", "positive"))
    state = curate(home, REVIEWS, now=now()).state
    path = home.lake / "curated_feedback" / "reviews" / "CURRENT.json"
    path.write_text("garbage")
    for command in ("status", "run reviews"):
        error = mistaken(cli, *command.split(), "--home", home.root)
        assert f"{path} is damaged" in error
        assert "fix: remove it; the next run makes it again" in error
    path.unlink()
    shutil.rmtree(path.parent / state.digest)
    assert curate(home, REVIEWS, now=now()).state == state


def test_a_token_has_one_name_and_a_known_role(cli: Cli, tmp_path: Path) -> None:
    assert cli("token", "create", "ann", "--role", "annotator", "--home", tmp_path)[0] == 0
    error = mistaken(cli, "token", "create", "ann", "--role", "admin", "--home", tmp_path)
    assert "there is a token named ann already" in error
    assert "fix: revoke it first: curation token revoke ann" in error
    error = mistaken(cli, "token", "create", "bob", "--role", "king", "--home", tmp_path)
    assert "'king' is no role" in error
    assert "fix: choose one of capture, annotator, admin" in error
    for name in ("two words", "../up", ".hidden", "ümlaut"):
        assert "cannot name a token" in mistaken(cli, "token", "create", name, "--role", "capture", "--home", tmp_path)
    assert "there is no token named 'joe'" in mistaken(cli, "token", "revoke", "joe", "--home", tmp_path)
    listed = json.loads(cli("token", "list", "--json", "--home", tmp_path)[1])
    assert [(token["name"], token["role"]) for token in listed] == [("ann", "annotator")]


def test_a_service_says_why_it_does_not_start(cli: Cli, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        error = mistaken(cli, "serve", "--port", str(port), "--home", tmp_path)
    assert f"port {port} of 127.0.0.1 is taken" in error
    assert "fix: end what listens there, or choose another with --port" in error
    for more in (["--host", "0.0.0.0"], ["--host", "0.0.0.0", "--behind-proxy"], ["--port", "0", "--behind-proxy"]):
        error = mistaken(cli, "serve", *more, "--home", tmp_path)
        assert "can be reached from other machines" in error
        assert "and there are no tokens" in error
        assert "fix: make one with: curation token create NAME --role capture" in error
    code, _, error = cli("serve", "--port", "99999", "--home", tmp_path)
    assert code == 2  # an option out of range, as everywhere on this command line
    assert "Invalid value for '--port'" in error
    assert "65535" in error
