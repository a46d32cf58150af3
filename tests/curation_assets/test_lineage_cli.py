"""`curation explain` and `curation impact` on a home with predictions: text, JSON, and what they say to mistakes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from curation.feedback.events import prediction_id_of
from resources.home import Home
from tests.curation_assets.loop_world import Cli, cli_of
from tests.feedback_service.pages_world import MODEL, crowned, item_id, predicted

HOSTILE = "\x1b[2J\u202eolleh " + "z" * 500


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    return cli_of(capsys)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Two predictions of the champion, whose snapshot nobody has kept."""
    made = Home(tmp_path / "home").prepare()
    predicted(made, ["a good kettle", HOSTILE])
    crowned(made)
    return made


IDS = [prediction_id_of("reviews", item_id(number), MODEL, text) for number, text in enumerate(("a good kettle", HOSTILE))]


def test_explain_tells_the_story_and_what_is_missing(cli: Cli, home: Home) -> None:
    code, out, _ = cli("explain", IDS[0], "--home", home.root)
    assert code == 0
    assert "Version 1: no accuracy on file; it is the champion now." in out
    assert "Snapshot v0001 cannot be read: its folder" in out
    assert "a good kettle" in out


def test_a_text_cannot_steer_the_terminal(cli: Cli, home: Home) -> None:
    _, out, _ = cli("explain", IDS[1], "--home", home.root)
    assert "\x1b" not in out
    assert "\u202e" not in out
    assert "z" * 200 not in out


def test_json_has_the_whole_text(cli: Cli, home: Home) -> None:
    code, out, _ = cli("explain", IDS[1], "--home", home.root, "--json")
    told = json.loads(out)
    assert code == 0
    assert told["prediction"]["text"] == HOSTILE
    assert told["snapshot"]["is_intact"] is False


def test_explain_names_the_datasets_there_are(cli: Cli, home: Home) -> None:
    code, _, error = cli("explain", "films:item:0123456789abcdef", "--home", home.root)
    assert code == 1
    assert "there is no dataset 'films'" in error
    assert "one of: reviews" in error


def test_explain_in_a_home_that_never_was_says_to_run(cli: Cli, tmp_path: Path) -> None:
    code, _, error = cli("explain", "reviews:item:0123456789abcdef", "--home", tmp_path / "nowhere")
    assert code == 1
    assert "curation run reviews" in error
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("given", [[], ["--review", "a", "--batch", "shop/2026-11-19"]], ids=["none", "two"])
def test_impact_is_about_exactly_one_thing(cli: Cli, home: Home, given: list[str]) -> None:
    code, _, error = cli("impact", "reviews", *given, "--home", home.root)
    assert code == 1
    assert "impact is about one thing" in error


def test_impact_of_an_unknown_person_fails_as_json_too(cli: Cli, home: Home) -> None:
    code, out, _ = cli("impact", "reviews", "--annotator", "nobody", "--home", home.root, "--json")
    assert code == 1
    assert json.loads(out) == {"error": "reviews has no annotator nobody", "fix": "there is no annotator yet"}


def test_a_question_imports_no_library_that_it_does_not_need(home: Home) -> None:
    questions = [["explain", IDS[0]], ["impact", "reviews", "--review", item_id(0)], ["why", "R1"], ["status"]]
    script = (
        "import contextlib, json, sys\n"
        "from curation_assets.cli import main\n"
        "for arguments in json.loads(sys.argv[1]):\n"
        "    with contextlib.suppress(SystemExit):\n"
        "        main([*arguments, '--home', sys.argv[2]])\n"
        "heavy = {'pandas', 'polars', 'dagster', 'mlflow', 'scipy', 'sklearn', 'matplotlib', 'fastapi'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    asked = [sys.executable, "-c", script, json.dumps(questions), str(home.root)]
    told = subprocess.run(asked, check=True, capture_output=True, text=True, timeout=60).stdout
    assert "a good kettle" in told
    assert told.splitlines()[-1] == "[]"
