"""The promotion log: one decision a file, chained, written once by whoever comes first, and honest about what was done to it."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from curation.errors import CurationError
from curation.promotions import HEAD_NAME, Decision, ModelReference, PromotionLog

START = datetime(2026, 11, 23, 8, tzinfo=UTC)


def model(version: int) -> ModelReference:
    return ModelReference(
        version=version,
        run_id=f"run{version}",
        artefact=f"artifacts/reviews/run{version}/artifacts/model.skops",
        artefact_sha256=f"{version:064x}",
        snapshot_version=f"v{version:04d}",
        snapshot_digest=f"{version + 100:064x}",
    )


def decide(log: PromotionLog, version: int, kind: str | None = None, former: ModelReference | None = None) -> Decision:
    """A verdict on model `version`, trained on the snapshot of that number, by default a promotion (the first one: `first`)."""
    champion = former if former is not None else log.champion()
    return log.append(
        kind=kind or ("first" if champion is None else "promoted"),  # type: ignore[typeddict-item]
        challenger=model(version),
        champion=champion if kind == "refused" and champion is not None else model(version),
        former_champion=champion,
        snapshot_version=f"v{version:04d}",
        consumed_feedback_seq=version * 100,
        feedback_head=f"{version:064x}",
        at=START + timedelta(days=version),
        by="retrain",
        why=f"version {version} is good",
        figures={"difference_points": 0.25, "slices": ({"rows": 600},)},
    )


def roll_back(log: PromotionLog) -> Decision:
    return log.roll_back(at=START, by="anna", why="complaints")


@pytest.fixture
def log(tmp_path: Path) -> PromotionLog:
    return PromotionLog(tmp_path / "promotions", "reviews")


def forge(path: Path, old: bytes, new: bytes) -> None:
    content = path.read_bytes()
    assert old in content
    path.chmod(0o644)
    path.write_bytes(content.replace(old, new))


def test_without_a_decision_there_is_no_champion_and_no_folder(log: PromotionLog) -> None:
    assert (log.champion(), log.last_verdict(), log.former_champion(), log.decisions(), log.heads()) == (None, None, None, [], {})
    assert log.verify() == [] and not log.folder.exists()


def test_a_decision_reads_back_as_it_was_written(log: PromotionLog) -> None:
    written = [decide(log, 1), decide(log, 2), decide(log, 3, "refused")]
    again = PromotionLog(log.folder.parent, "reviews")
    assert again.decisions() == written
    assert again.champion() == model(2) and again.last_verdict() == written[2]
    assert [decision.kind for decision in written] == ["first", "promoted", "refused"]
    assert again.heads()["promotion reviews 3"] == (300, f"{3:064x}")
    assert again.verify() == []


def test_decisions_are_read_only_files_of_their_own(log: PromotionLog) -> None:
    decide(log, 1)
    assert [path.name for path in sorted(log.folder.glob("*.json"))] == ["000001.json"]
    assert (log.folder / "000001.json").stat().st_mode & 0o777 == 0o444


def test_the_same_decisions_are_the_same_bytes_in_any_home(log: PromotionLog, tmp_path: Path) -> None:
    other = PromotionLog(tmp_path / "other", "reviews")
    for one in (log, other):
        decide(one, 1)
        decide(one, 2)
    names = ["000001.json", "000002.json", HEAD_NAME]
    assert [(log.folder / name).read_bytes() for name in names] == [(other.folder / name).read_bytes() for name in names]


def test_a_verdict_that_stands_is_returned_and_not_given_twice(log: PromotionLog) -> None:
    decide(log, 1)
    first = decide(log, 2)
    assert decide(log, 2, former=model(1)) == first
    assert decide(log, 2, "refused", former=model(1)) == first
    assert len(log.decisions()) == 2


def test_a_model_that_was_rolled_back_does_not_return_by_the_same_verdict(log: PromotionLog) -> None:
    decide(log, 1)
    promoted = decide(log, 2)
    roll_back(log)
    assert decide(log, 2) == promoted
    assert log.champion() == model(1)


def test_the_same_model_on_a_later_snapshot_gets_a_verdict_of_its_own(log: PromotionLog) -> None:
    decide(log, 1)
    same = log.decisions()[0]
    fields = {name: getattr(same, name) for name in Decision.model_fields if name not in {"number", "dataset", "previous"}}
    refused = log.append(**{**fields, "kind": "refused", "former_champion": model(1), "snapshot_version": "v0002"})  # type: ignore[typeddict-item]
    assert (refused.number, refused.challenger, refused.champion) == (2, model(1), model(1))


def test_each_rollback_goes_one_champion_further_back(log: PromotionLog) -> None:
    for version in (1, 2, 3):
        decide(log, version)
    decide(log, 4, "refused")
    assert [log.former_champion(), roll_back(log).champion] == [model(2), model(2)]
    assert [log.former_champion(), roll_back(log).champion] == [model(1), model(1)]
    assert log.former_champion() is None
    with pytest.raises(CurationError, match="no former champion to go back to: version 1 is its first"):
        roll_back(log)


def test_after_a_rollback_the_next_promotion_returns_to_the_restored_champion(log: PromotionLog) -> None:
    decide(log, 1)
    decide(log, 2)
    roll_back(log)
    decide(log, 3)
    assert log.former_champion() == model(1)


def test_a_rollback_moves_no_watermark(log: PromotionLog) -> None:
    decide(log, 1)
    promoted = decide(log, 2)
    restored = roll_back(log)
    assert log.last_verdict() == promoted
    assert (restored.consumed_feedback_seq, restored.feedback_head) == (promoted.consumed_feedback_seq, promoted.feedback_head)
    assert (restored.by, restored.why, restored.snapshot_version) == ("anna", "complaints", None)


def test_a_rollback_before_the_first_model_names_the_fix(log: PromotionLog) -> None:
    with pytest.raises(CurationError, match="has no champion yet\n  fix: curation run reviews"):
        roll_back(log)


def test_a_verdict_against_a_champion_who_is_gone_is_refused(log: PromotionLog) -> None:
    decide(log, 1)
    decide(log, 2)
    with pytest.raises(CurationError, match="now version 2; this decision was made against version 1"):
        decide(log, 3, former=model(1))
    assert len(log.decisions()) == 2


def test_of_two_writers_at_once_one_wins_and_the_other_reads_it(log: PromotionLog) -> None:
    decide(log, 1)
    start = threading.Barrier(8)

    def write(_: int) -> Decision:
        start.wait()
        return decide(PromotionLog(log.folder.parent, "reviews"), 2, former=model(1))

    with ThreadPoolExecutor(8) as threads:
        written = list(threads.map(write, range(8)))
    assert {decision.number for decision in written} == {2}
    assert len(log.decisions()) == 2 and log.verify() == []


def test_of_two_different_verdicts_at_once_only_one_stands(log: PromotionLog) -> None:
    decide(log, 1)
    start = threading.Barrier(6)

    def write(version: int) -> bool:
        start.wait()
        try:
            decide(PromotionLog(log.folder.parent, "reviews"), version, former=model(1))
        except CurationError:
            return False
        return True

    with ThreadPoolExecutor(6) as threads:
        assert sum(threads.map(write, range(2, 8))) == 1
    assert len(log.decisions()) == 2 and log.verify() == []


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_changed_byte_is_found_also_in_the_newest_decision(log: PromotionLog, number: int) -> None:
    for version in (1, 2, 3):
        decide(log, version)
    forge(log.folder / f"00000{number}.json", b"is good", b"is GOOD")
    (finding,) = log.verify()
    assert finding.startswith(
        f"{log.folder / f'00000{number}.json'} is not what {'HEAD' if number == 3 else f'00000{number + 1}.json'}"
    )


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_removed_decision_is_found_and_obeyed_by_no_one(log: PromotionLog, number: int) -> None:
    for version in (1, 2, 3):
        decide(log, version)
    (log.folder / f"00000{number}.json").unlink()
    assert log.verify() == [f"{log.folder / f'00000{number}.json'} is missing"]
    with pytest.raises(CurationError, match=f"00000{number}.json is missing"):
        log.champion()


def test_exchanged_decisions_are_found(log: PromotionLog) -> None:
    for version in (1, 2, 3):
        decide(log, version)
    first, second = log.folder / "000001.json", log.folder / "000002.json"
    content = first.read_bytes(), second.read_bytes()
    for path, bytes_of_other in zip((second, first), content, strict=True):
        path.chmod(0o644)
        path.write_bytes(bytes_of_other)
    findings = log.verify()
    assert f"{first} holds decision 2 of reviews" in findings and f"{second} holds decision 1 of reviews" in findings


def test_a_log_that_lost_its_head_is_found(log: PromotionLog) -> None:
    decide(log, 1)
    decide(log, 2)
    (log.folder / HEAD_NAME).unlink()
    assert log.verify() == [f"{log.folder / HEAD_NAME} does not name the newest decision, 000002.json"]


def test_a_writer_killed_before_the_head_was_written_leaves_a_log_that_goes_on(log: PromotionLog) -> None:
    decide(log, 1)
    head = (log.folder / HEAD_NAME).read_bytes()
    promoted = decide(log, 2)
    undisturbed = (log.folder / HEAD_NAME).read_bytes()
    (log.folder / HEAD_NAME).write_bytes(head)
    assert log.verify() == [] and log.champion() == model(2)
    assert decide(log, 2, former=model(1)) == promoted
    assert (log.folder / HEAD_NAME).read_bytes() == undisturbed


def test_nothing_is_appended_to_a_log_that_was_changed(log: PromotionLog) -> None:
    decide(log, 1)
    forge(log.folder / "000001.json", b"is good", b"is GOOD")
    with pytest.raises(CurationError, match=r"000001.json is not what HEAD remembers.*\n  fix: restore it from a backup"):
        decide(log, 2)
    assert len(log.decisions()) == 1


def test_a_damaged_decision_is_named(log: PromotionLog) -> None:
    decide(log, 1)
    forge(log.folder / "000001.json", b"{", b"[")
    with pytest.raises(CurationError, match=r"000001\.json is damaged"):
        log.champion()
    assert any("000001.json is damaged" in finding for finding in log.verify())


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"champion": model(1)}, "the challenger takes the former champion's place"),
        ({"kind": "refused"}, "the champion stays"),
        ({"kind": "rolled_back"}, "there is no challenger"),
        ({"snapshot_version": None}, "a verdict names its snapshot"),
        ({"at": datetime(2026, 11, 23)}, "at Input should have timezone info"),
        ({"by": ""}, "by String should have at least 1 character"),
        ({"feedback_head": "0"}, "feedback_head"),
        ({"figures": {"difference": float("nan")}}, "not JSON"),
    ],
    ids=["champion", "refused", "rolled_back", "snapshot", "naive time", "nobody", "head", "NaN"],
)
def test_a_decision_that_contradicts_itself_is_not_written(log: PromotionLog, change: dict[str, object], told: str) -> None:
    decide(log, 1)
    fields = {
        "kind": "promoted",
        "challenger": model(2),
        "champion": model(2),
        "former_champion": model(1),
        "snapshot_version": "v0002",
        "consumed_feedback_seq": 200,
        "feedback_head": "0" * 64,
        "at": START,
        "by": "retrain",
        "why": "better",
        "figures": {},
    }
    with pytest.raises(CurationError, match=told):
        log.append(**(fields | change))  # type: ignore[typeddict-item]
    assert len(log.decisions()) == 1 and log.verify() == []


@pytest.mark.parametrize("artefact", ["/etc/model.skops", "../model.skops", ""])
def test_a_model_is_named_within_the_models_folder(artefact: str) -> None:
    with pytest.raises(ValueError, match="a path relative to the models' folder"):
        ModelReference(**{**model(1).model_dump(), "artefact": artefact})


def test_datasets_keep_their_logs_apart(log: PromotionLog) -> None:
    decide(log, 1)
    assert PromotionLog(log.folder.parent, "tickets").champion() is None
    with pytest.raises(CurationError, match="cannot name a dataset"):
        PromotionLog(log.folder.parent, "../reviews")
