"""Feedback as it stands: the same whatever part of it a run has curated, and the rules of conflicts and figures one by one."""

import random
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.errors import CurationError
from curation.feedback.curated import FEEDBACK, CuratedFeedback, Sources
from curation.feedback.events import Event, prediction_id_of
from curation.feedback.log import FeedbackLog
from curation.feedback.recent import FOLLOWED_AT_ONCE, SMALL_BYTES, RecentFeedback, StillReading
from curation.feedback.segments import covering_segments, segment_files, write_segment
from curation.feedback.word_tables import WORDS, Conflict, Rater, Summary
from curation.predictions import SCHEMA, PredictionStore
from tests.curation.feedback.drained_place import LABELS, NOW, said

DATASET, TEST_FROM = "tickets", 0.5


def about(item: str, model: str = "one") -> str:
    return prediction_id_of(DATASET, item, model, item)


class Loop:
    """One home's feedback on one dataset: a log, segments, curated generations and predictions, each as far as a test brings it."""

    def __init__(self, root: Path) -> None:
        self.lake = root / "lake"
        self.segments = self.lake / "feedback"
        self.log = FeedbackLog(root / "log.sqlite", b"k" * 32)
        self.predictions = PredictionStore(self.lake / "predictions", DATASET)
        self.said = 0

    def say(self, item: str, annotator: str, kind: str = "label", label: str | None = None, at: int = 0, **fields: Any) -> Event:
        """One event more in the log, said `at` minutes past."""
        self.said += 1
        record = {"dataset": DATASET, "item_id": item, "kind": kind, "label": label, "annotator": annotator}
        event = said(self.said, **record | {"occurred_at": NOW - timedelta(days=1) + timedelta(minutes=at)} | fields)
        self.log.append([[event]], now=NOW, received_as=[None])
        return event

    def predict(self, items: dict[str, str], model: str = "one", version: int = 1) -> None:
        """A part with one prediction per item and its label."""
        part = self.predictions.root / f"model={version:04d}/day=2026-11-20/0001.parquet"
        part.parent.mkdir(parents=True)
        rows = [
            dict.fromkeys(SCHEMA.names)
            | {"prediction_id": about(item, model), "dataset": DATASET, "item_id": item, "text": f"{item} for {model}"}
            | {"label": label, "source": "desk", "probabilities": [], "predicted_at": NOW - timedelta(days=2)}
            for item, label in items.items()
        ]
        pq.write_table(pa.Table.from_pylist(rows, SCHEMA), part)

    def drain(self, up_to: int) -> None:
        covering = covering_segments(self.segments)
        first = covering[-1].last + 1 if covering else 1
        if up_to >= first:
            write_segment(self.segments, self.log, first, up_to)

    def curate(self, up_to: int) -> None:
        self.drain(up_to)
        head = self.log.head_at(up_to)
        assert head is not None
        sources = Sources(segment_files(self.segments), self.predictions, pa.table({"item_id": pa.array([], pa.string())}), head)
        CuratedFeedback(self.lake, DATASET).write(sources, LABELS[DATASET], TEST_FROM)

    def recent(self) -> RecentFeedback:
        return RecentFeedback(self.lake, self.segments, self.log, self.predictions, DATASET, LABELS[DATASET], TEST_FROM)


@pytest.fixture
def loop(tmp_path: Path) -> Iterator[Loop]:
    made = Loop(tmp_path)
    made.predict({f"item{number}": LABELS[DATASET][number % 3] for number in range(6)})
    with made.log:
        yield made


ITEMS = [f"item{number}" for number in range(8)]  # of the last two there is no prediction


def say_anything(loop: Loop, chance: random.Random) -> None:
    item, kind = chance.choice(ITEMS), chance.choice(["label"] * 6 + ["agree", "spam", "skip", "withdraw", "adjudicate"])
    label = chance.choice(LABELS[DATASET]) if kind in {"label", "adjudicate"} else None
    named = about(item, chance.choice(["one", "one", "two"])) if kind == "agree" or chance.random() < 0.3 else None
    if chance.random() < 0.1:
        loop.say("item1", "anna", "label", "positive", dataset="reviews")
    loop.say(item, chance.choice(["anna", "ben", "cleo"]), kind, label, chance.randrange(40), prediction_id=named)


def answers(recent: RecentFeedback) -> tuple[list[dict[str, Any]], tuple[Conflict, ...], Summary]:
    return recent.words_of(ITEMS).to_pylist(), recent.conflicts(50, include_decided=True).rows, recent.summary()


def without_rounding(summary: Summary) -> tuple[Any, ...]:
    raters = [(rater.annotator, rater.votes, rater.agreement and round(rater.agreement, 9)) for rater in summary.raters]
    return summary.words, summary.items, summary.open_conflicts, summary.tied, summary.adjudicated, raters


@pytest.mark.parametrize("seed", range(4))
def test_it_is_the_same_wherever_the_last_run_and_the_last_drain_ended_and_however_often_one_asks(
    tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    loop = Loop(tmp_path)
    with loop.log:
        loop.predict({item: chance.choice(LABELS[DATASET]) for item in ITEMS[:6]})
        for _ in range(30):
            say_anything(loop, chance)
        loop.curate(25)
        loop.drain(loop.said - 2)
        asked_all_along = loop.recent()
        for _ in range(20):
            say_anything(loop, chance)
            answers(asked_all_along)
        loop.drain(loop.said - 8)
        words, conflicts, summary = answers(asked_all_along)
        again = answers(loop.recent())
        loop.curate(loop.said)
        for words_now, conflicts_now, summary_now in (again, answers(loop.recent()), answers(asked_all_along)):
            assert words_now == words
            assert conflicts_now == conflicts
            assert without_rounding(summary_now) == without_rounding(summary)
        curated = CuratedFeedback(loop.lake, DATASET).file(FEEDBACK)
        assert curated is not None
        order = [(name, "ascending") for name in ("item_id", "occurred_at", "seq")]
        assert words == pq.read_table(curated, columns=list(WORDS)).sort_by(order).to_pylist()
        assert asked_all_along.summary().backlog == 0
    assert conflicts


def test_conflicts_come_ties_first_then_by_votes_and_decided_ones_last_and_only_on_request(loop: Loop) -> None:
    for item, votes in {"item0": "bbi", "item1": "bi", "item2": "bb", "item3": "bbbi", "item4": "bip"}.items():
        for annotator, vote in zip(("anna", "ben", "cleo", "dora"), votes, strict=False):
            loop.say(item, annotator, label={"b": "bug", "i": "idea", "p": "praise"}[vote])
    loop.say("item4", "chief", "adjudicate", "praise")
    recent = loop.recent()
    shown = recent.conflicts(10)
    assert (shown.total, [(row.item_id, row.is_tied) for row in shown.rows]) == (
        3,
        [("item1", True), ("item3", False), ("item0", False)],
    )
    everything = recent.conflicts(2, 2, include_decided=True)
    assert (everything.total, [row.item_id for row in everything.rows]) == (4, ["item0", "item4"])


def test_a_conflict_shows_the_text_the_votes_in_order_and_what_the_model_said(loop: Loop) -> None:
    for item in ("item0", "item3"):  # their places are .54 and .30
        loop.say(item, "ben", label="idea", at=5, reason="it asks for one")
        loop.say(item, "anna", label="bug", at=9)
        loop.say(item, "dora", "skip")
    conflict, other = loop.recent().conflicts(2).rows
    assert (conflict.prediction_id, conflict.text, conflict.source) == (about("item0"), "item0 for one", "desk")
    assert (conflict.predicted_label, conflict.adjudication) == ("bug", None)
    assert (conflict.is_held_out, other.is_held_out) == (True, False)
    assert [(vote.annotator, vote.label, vote.reason) for vote in conflict.votes] == [
        ("ben", "idea", "it asks for one"),
        ("anna", "bug", None),
    ]


def test_a_conflict_that_no_run_has_seen_shows_the_newest_models_prediction(loop: Loop) -> None:
    loop.predict({"item0": "praise"}, "two", 2)
    loop.curate(0)
    loop.say("item0", "ben", label="idea")
    loop.say("item0", "anna", label="bug")
    assert loop.recent().conflicts(1).rows[0].text == "item0 for two"


def test_an_adjudication_closes_a_conflict_at_once_and_its_withdrawal_opens_it_again(loop: Loop) -> None:
    loop.say("item0", "ben", label="idea")
    loop.say("item0", "anna", label="bug")
    loop.curate(2)
    recent = loop.recent()
    assert recent.conflicts(5).total == 1
    loop.say("item0", "chief", "adjudicate", "bug", at=7)
    assert recent.conflicts(5).total == 0
    decided = recent.conflicts(5, include_decided=True).rows[0]
    assert decided.adjudication is not None
    assert (decided.adjudication.label, decided.adjudication.annotator, len(decided.votes)) == ("bug", "chief", 2)
    loop.say("item0", "chief", "withdraw", at=8)
    assert (recent.conflicts(5).total, recent.summary().adjudicated) == (1, 0)


def test_the_figures_count_votes_agreement_and_what_waits(loop: Loop) -> None:
    for item in ("item0", "item1"):
        loop.say(item, "anna", label="bug")
        loop.say(item, "ben", label="bug")
    loop.say("item1", "cleo", label="idea")
    loop.drain(loop.said)  # its segment reaches further than the run
    loop.curate(3)
    loop.say("item2", "dora", label="idea")
    loop.say("item1", "chief", "adjudicate", "idea")
    loop.say("item1", "anna", "label", "positive", dataset="reviews")
    assert loop.recent().summary() == Summary(
        words=7,
        items=3,
        open_conflicts=0,
        tied=0,
        adjudicated=1,
        raters=(Rater("anna", 2, 0.75), Rater("ben", 2, 0.75), Rater("cleo", 1, 0.0), Rater("dora", 1, None)),
        latest_seq=7,
        backlog=4,
    )


def test_a_word_that_waits_for_its_prediction_votes_as_soon_as_that_is_there(loop: Loop) -> None:
    loop.say("item0", "anna", label="bug")
    loop.say("item0", "ben", label="idea", prediction_id=about("item0", "two"))
    recent = loop.recent()
    assert (recent.conflicts(5).total, recent.summary().words) == (0, 2)
    loop.predict({"item0": "praise"}, "two", 2)
    assert recent.conflicts(5).total == 1


def test_before_any_feedback_there_is_nothing_and_of_unknown_items_too(tmp_path: Path) -> None:
    loop = Loop(tmp_path)
    with loop.log:
        recent = loop.recent()
        assert (recent.conflicts(5).rows, recent.words_of(["item0", "nowhere"]).num_rows, recent.words_of([]).num_rows) == (
            (),
            0,
            0,
        )
        assert recent.summary() == Summary(0, 0, 0, 0, 0, (), 0, 0)


def test_many_items_are_found_as_few_are(loop: Loop) -> None:
    for number in range(6):
        loop.say(f"item{number}", "anna", label="bug")
    loop.curate(3)
    many = [f"item{number}" for number in range(300)]
    assert loop.recent().words_of(many)["item_id"].to_pylist() == many[:6]


def test_a_conflict_whose_prediction_is_gone_can_still_be_decided(loop: Loop) -> None:
    loop.say("item0", "anna", label="bug")
    loop.say("item0", "ben", label="idea", prediction_id=about("item0"))
    recent = loop.recent()
    assert recent.conflicts(5).total == 1
    loop.curate(2)
    for part in loop.predictions.parts():
        part.unlink()
    loop.say("item0", "dora", label="idea")
    assert [row.text for row in recent.conflicts(5).rows] == ["item0 for one"]


def test_threads_get_the_same_answers(loop: Loop) -> None:
    loop.say("item0", "ben", label="idea")
    loop.say("item0", "anna", label="bug")
    recent = loop.recent()
    found: list[int] = []
    threads = [
        threading.Thread(target=lambda: found.append(recent.conflicts(5).total + recent.summary().words)) for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [3] * 6


def test_a_damaged_generation_is_named_and_read_again_once_it_is_mended(loop: Loop) -> None:
    loop.say("item0", "ben", label="idea")
    loop.curate(1)
    path = CuratedFeedback(loop.lake, DATASET).file(FEEDBACK)
    assert path is not None
    good = path.read_bytes()
    path.write_bytes(good[:100])
    recent = loop.recent()
    with pytest.raises(CurationError, match=r"the feedback on tickets cannot be read: .*feedback\.parquet"):
        recent.summary()
    path.write_bytes(good)
    assert recent.summary().words == 1


def make_large(loop: Loop) -> None:
    """A prediction whose ids and text take more bytes than a question reads."""
    loop.predict({random.Random(7).randbytes(SMALL_BYTES // 5).hex(): "bug"}, "large", 9)


def test_of_a_large_home_nothing_is_told_before_it_is_read_and_former_predictions_hold_until_new_ones_are(loop: Loop) -> None:
    make_large(loop)
    loop.say("item0", "ben", label="idea")
    loop.say("item0", "anna", label="bug")
    recent = loop.recent()
    with pytest.raises(StillReading, match="the feedback on tickets and the predictions"):
        recent.conflicts(5)
    recent.catch_up()
    assert recent.summary().tied == 1
    loop.say("item0", "cleo", label="bug", prediction_id=about("item0", "two"))
    loop.predict({"item0": "praise"}, "two", 2)
    assert (recent.summary().tied, recent.summary().backlog) == (1, 3)
    recent.catch_up()
    assert (recent.summary().tied, recent.summary().open_conflicts) == (0, 1)
    loop.curate(3)
    assert recent.summary().backlog == 3
    recent.catch_up()
    assert recent.summary().backlog == 0


def test_a_question_takes_in_some_of_a_large_import_and_whoever_catches_up_all_of_it(loop: Loop) -> None:
    recent = loop.recent()
    assert recent.summary().words == 0
    record = {"dataset": DATASET, "item_id": "item0", "kind": "label", "label": "bug"}
    loop.log.append(
        [[said(number, **record, annotator=f"person {number}") for number in range(FOLLOWED_AT_ONCE + 500)]],
        now=NOW,
        received_as=[None],
    )
    assert recent.summary().words == FOLLOWED_AT_ONCE
    recent.catch_up()
    assert recent.summary().words == FOLLOWED_AT_ONCE + 500


def test_what_keeps_a_large_home_from_being_read_is_told_until_it_is_mended(loop: Loop) -> None:
    make_large(loop)
    loop.say("item0", "ben", label="idea")
    loop.curate(1)
    path = CuratedFeedback(loop.lake, DATASET).file(FEEDBACK)
    assert path is not None
    good = path.read_bytes()
    path.write_bytes(good[:100])
    recent = loop.recent()
    for ask in (recent.catch_up, recent.summary):
        with pytest.raises(CurationError, match=r"the feedback on tickets cannot be read: .*feedback\.parquet"):
            ask()
    path.write_bytes(good)
    recent.catch_up()
    assert recent.summary().words == 1


def test_a_log_that_was_restored_from_before_the_last_drain_keeps_nobody_busy(loop: Loop, tmp_path: Path) -> None:
    loop.say("item1", "anna", "label", "bug")
    loop.drain(1)
    with FeedbackLog(tmp_path / "restored.sqlite", b"k" * 32) as loop.log:
        recent = loop.recent()
        caught_up = threading.Thread(target=recent.catch_up, daemon=True)
        caught_up.start()
        caught_up.join(30)
        assert not caught_up.is_alive()
        assert recent.summary().words == 1


def test_what_keeps_arriving_does_not_keep_who_catches_up_for_ever(loop: Loop, tmp_path: Path) -> None:
    is_over = threading.Event()

    class BusyLog(FeedbackLog):
        """Somebody says something more whenever it is read."""

        def read(self, after_seq: int, limit: int) -> pa.Table:
            rows = super().read(after_seq, limit)
            if not is_over.is_set():
                loop.say("item1", "anna", "label", "bug")
            return rows

    with BusyLog(tmp_path / "busy.sqlite", b"k" * 32) as loop.log:
        recent = loop.recent()
        recent.summary()
        catching_up = threading.Thread(target=recent.catch_up)
        catching_up.start()
        catching_up.join(20)
        is_done = not catching_up.is_alive()
        is_over.set()
        catching_up.join()
    assert is_done
