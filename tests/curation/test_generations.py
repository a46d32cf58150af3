"""Prompts and answers as a file brings them: taken whole or not at all, known by their ids, kept as they came."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from filelock import FileLock

from curation.errors import CurationError
from curation.feedback.events import ITEM_ID_CHARACTERS_AT_MOST
from curation.feedback.pairs import pair_id_of
from curation.generations import PROMPT_ID_CHARACTERS_AT_MOST, Added, GenerationStore, cluster_of

NOW = datetime(2026, 11, 23, tzinfo=UTC)
ODD = 'a "quoted" line\r\nand another\u2028 with \U0001f600, a\ttab and e\u0301 '


def add(store: GenerationStore, folder: Path, *lines: dict[str, Any] | str) -> Added:
    path = folder / "answers.jsonl"
    path.write_text(
        "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines), encoding="utf-8", newline=""
    )
    return store.add_file(path, now=NOW)


def kept(store: GenerationStore) -> list[tuple[Any, ...]]:
    with duckdb.connect() as connection:
        store.register(connection, "kept")
        return connection.execute("select prompt, completion, model from kept order by all").fetchall()


@pytest.fixture
def store(tmp_path: Path) -> GenerationStore:
    return GenerationStore(tmp_path / "generations", "chats")


def test_answers_are_kept_as_they_came_and_the_same_again_changes_nothing(store: GenerationStore, tmp_path: Path) -> None:
    lines: list[dict[str, Any] | str] = [
        {"prompt": ODD, "completion": f" {ODD}"},
        "",
        {"prompt": ODD, "completion": "b", "model": "m"},
    ]
    assert kept(store) == []
    first, again = add(store, tmp_path, *lines), add(store, tmp_path, *lines)
    assert (first.new, first.known, again.new, again.known) == (2, 0, 0, 2)
    assert kept(store) == [(ODD, f" {ODD}", None), (ODD, "b", "m")]
    assert first.answers["prediction_id"].to_pylist() == again.answers["prediction_id"].to_pylist()
    assert len(store.parts()) == 1


def test_a_prompt_has_one_item_and_each_model_and_answer_a_prediction_id(store: GenerationStore, tmp_path: Path) -> None:
    said = [("p", "a", "m"), ("p", "a", "n"), ("p", "b", "m"), ("q", "a", "m")]
    answers = add(store, tmp_path, *({"prompt": p, "completion": c, "model": m} for p, c, m in said)).answers
    items = answers["item_id"].to_pylist()
    assert (items[0] == items[1] == items[2], items[0] == items[3], len(items[0])) == (True, False, 32)
    assert len(set(answers["prediction_id"].to_pylist())) == 4


def test_the_longest_item_id_still_leaves_room_for_a_pair(store: GenerationStore, tmp_path: Path) -> None:
    item_id = "i" * PROMPT_ID_CHARACTERS_AT_MOST
    lines = [{"prompt": "p", "completion": text, "item_id": item_id} for text in "ab"]
    one, other = add(store, tmp_path, *lines).answers["prediction_id"].to_pylist()
    assert len(pair_id_of(one, other)) == ITEM_ID_CHARACTERS_AT_MOST
    with pytest.raises(CurationError, match="line 1: item_id has 267 characters"):
        add(store, tmp_path, {"prompt": "q", "completion": "a", "item_id": f"{item_id}i"})


def test_prompts_that_look_the_same_share_a_cluster() -> None:
    assert cluster_of("What IS\n it? ") == cluster_of("what is it?") == cluster_of("\uff57hat is it?")
    assert cluster_of("what is it?") != cluster_of("what is it")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{", "line 2: row is no valid JSON"),
        ('["p", "a"]', "line 2: row must be an object"),
        ('{"prompt": "p"}', "line 2: completion is missing"),
        ('{"prompt": null, "completion": "a"}', "line 2: prompt is missing"),
        ('{"prompt": "p", "completion": ["a"]}', "line 2: completion must be text"),
        ('{"prompt": [{"role": "user", "content": "p"}], "completion": "a"}', "line 2: prompt must be text"),
        ('{"prompt": " ", "completion": "a"}', "line 2: prompt is blank"),
        ('{"prompt": "p", "completion": "a\\u0000b"}', "line 2: completion holds a NUL character"),
        ('{"prompt": "p", "completion": "a", "completion": "b"}', 'line 2: row has the key "completion" twice'),
        ('{"prompt": "p", "completion": "a", "modell": "m"}', 'line 2: modell is no field of an answer (did you mean "model"?)'),
        ('{"prompt": "p", "completion": "a", "item_id": "a\\nb"}', "line 2: item_id holds a control character"),
        ('{"prompt": "another", "completion": "a", "item_id": "known"}', "line 2: item_id names another prompt already"),
        ('{"prompt": "p", "completion": "\\ud800"}', "line 2: row is no valid JSON"),
    ],
)
def test_a_wrong_line_is_named_and_nothing_of_its_file_is_taken(
    store: GenerationStore, tmp_path: Path, line: str, told: str
) -> None:
    with pytest.raises(CurationError) as refused:
        add(store, tmp_path, {"prompt": "fine", "completion": "a", "item_id": "known"}, line)
    assert told in refused.value.message
    assert "1 lines are wrong, so none was taken" in refused.value.message
    assert kept(store) == []


def test_an_item_that_was_there_before_keeps_its_prompt(store: GenerationStore, tmp_path: Path) -> None:
    add(store, tmp_path, {"prompt": "p", "completion": "a", "item_id": "1"})
    with pytest.raises(CurationError, match="item_id names another prompt already"):
        add(store, tmp_path, {"prompt": "q", "completion": "a", "item_id": "1"})
    assert add(store, tmp_path, {"prompt": "p", "completion": "b", "item_id": "1"}).new == 1


def test_an_empty_file_and_none_at_all_are_told(store: GenerationStore, tmp_path: Path) -> None:
    with pytest.raises(CurationError, match="holds no answers"):
        add(store, tmp_path, "", " ")
    with pytest.raises(CurationError, match="cannot be read: No such file"):
        store.add_file(tmp_path / "none.jsonl", now=NOW)


def test_two_who_add_at_once_do_not_take_each_others_place(store: GenerationStore, tmp_path: Path) -> None:
    add(store, tmp_path, {"prompt": "p", "completion": "a"})
    with FileLock(store.root / ".lock"), pytest.raises(CurationError, match="just being added by another process"):
        add(store, tmp_path, {"prompt": "p", "completion": "b"})
    assert kept(store) == [("p", "a", None)]
