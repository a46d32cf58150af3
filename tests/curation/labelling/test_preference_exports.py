"""Exports of preferences on disk: what their files hold, when a version is new, and that nobody changes one unseen."""

import json
from pathlib import Path
from typing import Any

import pytest

from curation.errors import CurationError
from curation.feedback.log import FeedbackLog
from curation.labelling.preference_exports import Export, PreferenceExports
from curation.labelling.preferences import Form
from tests.curation.labelling.judged import NOW, Chats

PROMPTS = [f"p{number}" for number in range(12)]


@pytest.fixture
def chats(tmp_path: Path, log: FeedbackLog) -> Chats:
    made = Chats(tmp_path, log)
    made.add(
        *({"prompt": prompt, "completion": text, "item_id": prompt} for prompt in PROMPTS for text in ("good", "bad\n\u2028"))
    )
    for prompt in PROMPTS:
        made.prefer(prompt, "good", "bad\n\u2028")
    return made


def exports(chats: Chats) -> PreferenceExports:
    return PreferenceExports(chats.folder / "snapshots", "chats")


def exported(chats: Chats, form: Form = "dpo") -> Export:
    return exports(chats).write(chats.found(form))


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]


def test_a_version_holds_a_file_per_split_with_the_columns_of_trl_and_an_index_beside(chats: Chats) -> None:
    export = exported(chats)
    rows = {split: lines(export.folder / f"{split}.jsonl") for split, count in export.manifest.counts.items() if count}
    assert {split: len(found) for split, found in rows.items()} == {k: v for k, v in export.manifest.counts.items() if v}
    assert {tuple(row) for found in rows.values() for row in found} == {("prompt", "chosen", "rejected")}
    assert sorted(row["prompt"] for found in rows.values() for row in found) == sorted(PROMPTS)
    assert {row["rejected"] for found in rows.values() for row in found} == {"bad\n\u2028"}
    index = lines(export.folder / "index.jsonl")
    assert [row["item_id"] for row in index] == [row["prompt"] for split in rows for row in rows[split]], "line by line"
    assert all(len(subject) == 32 for row in index for subject in row["subjects"])
    assert b"ann" not in (export.folder / "index.jsonl").read_bytes()


def test_a_kto_export_says_true_or_false_of_each_answer(chats: Chats) -> None:
    chats.judge("p0", "good", "agree")
    chats.judge("p0", "bad\n\u2028", "disagree")
    export = exported(chats, "kto")
    found = [row for path in export.folder.glob("t*.jsonl") for row in lines(path)]
    assert [(tuple(row), row["completion"], row["label"]) for row in found if row["label"]] == [
        (("prompt", "completion", "label"), "good", True)
    ]
    assert [row["label"] for row in found].count(False) == 1
    assert export.folder.parts[-3:] == ("chats", "kto", "v0001")


def test_the_same_rows_are_the_same_version_and_other_rows_the_next(chats: Chats) -> None:
    first, again = exported(chats), exported(chats)
    assert (first.is_new, again.is_new, again.folder, again.manifest) == (True, False, first.folder, first.manifest)
    chats.prefer("p0", "good", "bad\n\u2028")
    assert not exported(chats).is_new, "she says it once more"
    chats.prefer("p0", "bad\n\u2028", "good")
    second = exported(chats)
    assert (second.manifest.version, second.manifest.rows, second.is_new) == ("v0002", 12, True)
    assert second.manifest.digest != first.manifest.digest
    assert second.manifest.parent is not None and second.manifest.parent.digest == first.manifest.digest
    assert (second.folder.parent / "LATEST").read_text() == "v0002\n"
    assert exports(chats).versions("dpo") == ["v0001", "v0002"]


def test_the_same_words_give_the_same_bytes_in_another_home_and_order(chats: Chats, tmp_path: Path) -> None:
    with FeedbackLog(tmp_path / "other.sqlite", b"k" * 32) as log:
        other = Chats(tmp_path / "other", log)
        other.folder.mkdir()
        for prompt in reversed(PROMPTS):
            other.answer(prompt, "bad\n\u2028", "good")
            other.prefer(prompt, "bad\n\u2028", "good", "second", at=5)
        one, two = exported(chats), exported(other)
        assert one.manifest.files == two.manifest.files
        assert one.manifest.digest == two.manifest.digest


def test_the_manifest_says_where_the_log_ended_and_what_was_left_out(chats: Chats) -> None:
    chats.prefer("p0", "good", "bad\n\u2028", "tie")
    chats.log.append([], now=NOW, received_as=[])
    manifest = exported(chats).manifest
    assert (manifest.rows, manifest.left_out.ties) == (11, 1)
    assert (manifest.consumed_feedback_seq, manifest.consumed_feedback_head) == (13, chats.log.head().chain)


def test_verify_finds_a_changed_a_missing_and_a_foreign_file_and_a_parent_rewritten(chats: Chats) -> None:
    first = exported(chats).folder
    chats.prefer("p0", "bad\n\u2028", "good")
    second = exported(chats).folder
    assert exports(chats).verify().findings == ()
    assert [head.seq for head in exports(chats).verify().heads.values()] == [12, 13]
    (second / "index.jsonl").unlink()
    (second / "more.jsonl").write_text("{}\n")
    (first / "train.jsonl").chmod(0o644)
    (first / "train.jsonl").write_bytes((first / "train.jsonl").read_bytes().replace(b"good", b"Good"))
    (first / "manifest.json").chmod(0o644)
    (first / "manifest.json").write_bytes((first / "manifest.json").read_bytes().replace(b'"rows": 12', b'"rows": 13'))
    findings = exports(chats).verify().findings
    assert [finding.split("snapshots/chats/dpo/")[1].split(":")[0] for finding in findings] == [
        "v0001/train.jsonl",
        "v0002/index.jsonl is missing",
        "v0002/more.jsonl is unknown",
        "v0001/manifest.json is not the one that v0002 was built upon",
    ]
    (first / "manifest.json").write_text("{}")
    assert "is no manifest" in exports(chats).verify().findings[0]


def test_files_of_a_version_are_read_only(chats: Chats) -> None:
    assert {file.stat().st_mode & 0o777 for file in exported(chats).folder.iterdir()} == {0o444}


def test_nothing_to_export_makes_no_version_and_says_what_to_do(chats: Chats, tmp_path: Path) -> None:
    with pytest.raises(CurationError, match="chats has no kto rows: no answers judged") as refused:
        exported(chats, "kto")
    assert refused.value.fix is not None and "agree or disagree" in refused.value.fix
    with FeedbackLog(tmp_path / "other.sqlite", b"k" * 32) as log:
        other = Chats(tmp_path / "other", log)
        other.prefer("p0", "good", "bad\n\u2028")
        with pytest.raises(CurationError, match="of the pairs judged, 1 unknown") as refused:
            exported(other)
        assert refused.value.fix is not None and "curation labels answers" in refused.value.fix
    assert exports(other).versions("dpo") == []
