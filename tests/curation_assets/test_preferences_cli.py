"""Preferences from prompts to TRL's files, as people do it: answers by command, preferences over HTTP, versions by command."""

import contextlib
import json
import re
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from curation.feedback.pairs import pair_id_of
from resources.home import REPOSITORY
from tests.curation_assets.loop_world import Cli, cli_of
from tests.feedback_service.serving import Answer, call

POST = "/v1/feedback"


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    return cli_of(capsys)


@contextlib.contextmanager
def served(home: Path) -> Iterator[int]:
    """The port of `curation serve` on this home, as anybody starts it."""
    command = [sys.executable, "-m", "curation_assets.cli", "serve", "--port", "0", "--home", str(home)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=REPOSITORY) as process:
        assert process.stderr is not None
        try:
            while not (found := re.search(r"http://127\.0\.0\.1:(\d+)", line := process.stderr.readline())):
                assert line, "it ended without serving"
            threading.Thread(target=process.stderr.read, daemon=True).start()  # nobody waits for a reader of its pipe
            yield int(found[1])
        finally:
            process.terminate()


def succeeded(cli: Cli, *arguments: str | Path) -> Any:
    code, out, error = cli(*arguments, "--json")
    assert code == 0, out + error
    return json.loads(out)


def mistaken(cli: Cli, *arguments: str | Path) -> str:
    code, _, error = cli(*arguments)
    assert code == 1
    assert "Traceback" not in error
    assert "\n  fix: " in error
    return error


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().split(b"\n") if line]


def answers_added(cli: Cli, home: Path, folder: Path, lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The answers with their ids, as the command writes them."""
    (folder / "answers.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    arguments = ("labels", "answers", "assistant", folder / "answers.jsonl", "--output", folder / "ids.jsonl", "--home", home)
    assert succeeded(cli, *arguments)["new"] == len(lines)
    assert succeeded(cli, *arguments)["known"] == len(lines)
    return lines_of(folder / "ids.jsonl")


def preference(one: dict[str, Any], other: dict[str, Any], label: str, **changes: Any) -> dict[str, Any]:
    item_id = pair_id_of(one["prediction_id"], other["prediction_id"])
    sent = {"event_id": str(uuid.uuid4()), "dataset": "assistant", "kind": "preference", "item_id": item_id, "label": label}
    return sent | {"annotator": "gold", "source": "test"} | changes


def exported(cli: Cli, home: Path, form: str) -> tuple[dict[str, Any], dict[str, list[dict[str, Any]]]]:
    """What the command tells, and the rows of the version by split."""
    told = succeeded(cli, "labels", "export", "assistant", "--format", form, "--home", home)
    splits = {split: lines_of(Path(told["folder"]) / f"{split}.jsonl") for split, rows in told["counts"].items() if rows}
    return told, splits


def refused(answer: Answer) -> str:
    assert answer.status == 422
    return f"{answer.body['field']}: {answer.body['detail']}"


@pytest.mark.slow
@pytest.mark.real_data
def test_the_gold_preferences_of_llmbar_come_out_as_they_went_in_over_http(cli: Cli, tmp_path: Path, real_data: Path) -> None:
    gold = json.loads((real_data / "llmbar_natural" / "dataset.json").read_bytes())
    home = tmp_path / "home"
    lines = [{"prompt": row["input"], "completion": row[f"output_{side}"]} for row in gold for side in (1, 2)]
    ids = answers_added(cli, home, tmp_path, lines)
    pairs = [(ids[2 * place], ids[2 * place + 1], row["label"] == 1) for place, row in enumerate(gold)]
    with served(home) as port:
        events = [preference(one, other, "first" if is_first else "second") for one, other, is_first in pairs]
        assert call(port, "POST", POST, events).body == {"accepted": 100, "duplicates": 0, "seq": 100}
        assert call(port, "POST", POST, events).body == {"accepted": 0, "duplicates": 100, "seq": 100}
        verdicts = [
            preference(one, other, "") | {"kind": kind, "item_id": None, "label": None, "prediction_id": answer["prediction_id"]}
            for one, other, is_first in pairs
            for answer, kind in ((one, "agree" if is_first else "disagree"), (other, "disagree" if is_first else "agree"))
        ]
        assert call(port, "POST", POST, verdicts).body["accepted"] == 200
    _, dpo = exported(cli, home, "dpo")
    told, kto = exported(cli, home, "kto")
    better = {row["input"]: (row[f"output_{row['label']}"], row[f"output_{3 - row['label']}"]) for row in gold}
    rows = [row for found in dpo.values() for row in found]
    assert {row["prompt"]: (row["chosen"], row["rejected"]) for row in rows} == better
    assert (len(rows), told["rows"]) == (100, 200)
    judged = sorted((row["prompt"], row["completion"], row["label"]) for found in kto.values() for row in found)
    assert judged == sorted((prompt, text, text == good) for prompt, (good, bad) in better.items() for text in (good, bad))
    for split in dpo:
        assert {row["prompt"] for row in dpo[split]} == {row["prompt"] for row in kto[split]}
    assert succeeded(cli, "verify", "assistant", "--home", home)["versions"] == ["dpo v0001", "kto v0001"]


@pytest.mark.slow
def test_over_http_a_preference_that_has_no_one_reading_is_refused(cli: Cli, tmp_path: Path) -> None:
    lines = [{"prompt": "p", "completion": "a"}, {"prompt": "p", "completion": "b"}]
    one, other = answers_added(cli, tmp_path / "home", tmp_path, lines)
    with served(tmp_path / "home") as port:
        sent = preference(one, other, "first")
        assert call(port, "POST", POST, sent).status == 201
        assert call(port, "GET", f"{POST}/{sent['event_id']}").body["kind"] == "preference"
        same = f"{one['item_id']}:{one['prediction_id'][-16:]}:{one['prediction_id'][-16:]}"
        for changes, why in (
            ({"item_id": same}, "item_id: item_id names the same answer twice"),
            ({"item_id": one["item_id"]}, "item_id: item_id must read item:16 hex digits:16 hex digits"),
            ({"label": "better"}, "label: label must be one of first, second, tie"),
            ({"dataset": "reviews"}, "kind: kind must not be preference: reviews holds no prompts and answers"),
            ({"dataset": "asistant"}, 'dataset: dataset must be one of assistant, reviews; found "asistant"'),
        ):
            assert why in refused(call(port, "POST", POST, preference(one, other, "first") | changes))
    told, splits = exported(cli, tmp_path / "home", "dpo")
    assert [row for found in splits.values() for row in found] == [{"prompt": "p", "chosen": "a", "rejected": "b"}]
    assert told["left_out"] == {"ties": 0, "undecided": 0, "equal": 0, "unknown": 0}


def test_preferences_of_a_file_count_like_any_other_and_unknown_answers_are_told(cli: Cli, tmp_path: Path) -> None:
    home = tmp_path / "home"
    one, other = answers_added(cli, home, tmp_path, [{"prompt": "p", "completion": text} for text in "ab"])
    unheard = preference(one, other, "first", item_id=f"unheard:{'0' * 16}:{'1' * 16}")
    (tmp_path / "said.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in (preference(one, other, "second"), unheard)))
    code, _, error = cli("feedback", "import", tmp_path / "said.jsonl", "--dataset", "assistant", "--home", home)
    assert code == 0, error
    code, out, _ = cli("labels", "export", "assistant", "--format", "dpo", "--home", home)
    assert code == 0
    assert out.splitlines()[0].startswith("1 row (1 ")
    assert out.splitlines()[1] == "left out: 1 unknown"


def test_a_dataset_without_prompts_and_an_output_are_refused_with_what_to_do(cli: Cli, tmp_path: Path) -> None:
    export = ("labels", "export", "--home", tmp_path / "home")
    assert "'reviews' is no dataset of prompts and answers" in mistaken(cli, *export, "reviews", "--format", "dpo")
    assert "'asistant' is no dataset" in mistaken(cli, *export, "asistant", "--format", "kto")
    assert "--format 'orpo' is unknown" in mistaken(cli, *export, "assistant", "--format", "orpo")
    assert "--output has no meaning" in mistaken(cli, *export, "assistant", "--format", "dpo", "--output", tmp_path / "a")
    assert "assistant has no dpo rows" in mistaken(cli, *export, "assistant", "--format", "dpo")
    assert "'assistant' is a dataset of prompts and answers" in mistaken(cli, *export, "assistant", "--format", "csv")


def test_verify_names_a_changed_file_of_an_export(cli: Cli, tmp_path: Path) -> None:
    home = tmp_path / "home"
    one, other = answers_added(cli, home, tmp_path, [{"prompt": "p", "completion": text} for text in "ab"])
    (tmp_path / "said.jsonl").write_text(json.dumps(preference(one, other, "first")))
    cli("feedback", "import", tmp_path / "said.jsonl", "--home", home)
    folder = Path(exported(cli, home, "dpo")[0]["folder"])
    assert succeeded(cli, "verify", "assistant", "--home", home)["intact"]
    (folder / "index.jsonl").chmod(0o644)
    (folder / "index.jsonl").write_text("{}\n")
    code, out, _ = cli("verify", "assistant", "--home", home)
    assert code == 1
    assert "index.jsonl: sha256: expected" in out
