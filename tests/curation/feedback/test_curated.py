"""Curated feedback: last words, matched and joined, and the labels that may train, for evaluation only, or not at all."""

import datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.feedback.curated import ANNOTATORS, FEEDBACK, LABELS, CuratedFeedback, Sources, State
from curation.feedback.events import LOGGED, prediction_id_of
from curation.feedback.log import Head
from curation.predictions import SCHEMA, PredictionStore

NOON = datetime.datetime(2026, 11, 20, 12, tzinfo=datetime.UTC)
NAMES = ("bad", "good")
TRAIN_ITEM, TEST_ITEM = "item 0", "item 6"  # their places are .17 and .91


def minutes(count: int) -> datetime.timedelta:
    return datetime.timedelta(minutes=count)


def predicted(item: str, label: str = "good", model: str = "aa", at: datetime.datetime = NOON) -> dict[str, Any]:
    """A prediction of `item` by the model of that name."""
    return dict.fromkeys(SCHEMA.names) | {
        "prediction_id": prediction_id_of("shop", item, model, item),
        "dataset": "shop",
        "item_id": item,
        "text": f"text of {item} for {model}",
        "label": label,
        "probabilities": [("bad", 0.4), ("good", 0.6)],
        "predicted_at": at,
    }


def said(
    seq: int, item: str, kind: str = "label", label: str | None = None, annotator: str = "ann", **changed: Any
) -> dict[str, Any]:
    """An event; by default about the item as such, a minute after the one before."""
    at = NOON + minutes(seq)
    return (
        dict.fromkeys(LOGGED.names)
        | {
            "seq": seq,
            "event_id": f"e{seq}",
            "dataset": "shop",
            "item_id": item,
            "kind": kind,
            "label": label,
            "annotator": annotator,
            "source": "test",
            "occurred_at": at,
            "received_at": at,
            "subject": annotator,
        }
        | changed
    )


def curated(
    home: Path, events: list[dict[str, Any]], predictions: list[dict[str, Any]], control: tuple[str, ...] = ()
) -> tuple[CuratedFeedback, State]:
    """Write events and predictions where they belong, and curate them."""
    home.mkdir(exist_ok=True)
    segment = home / "segment.parquet"
    pq.write_table(pa.Table.from_pylist(events, LOGGED), segment)
    part = home / "predictions/shop/model=0001/day=2026-11-20/0001.parquet"
    part.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(predictions, SCHEMA), part)
    book = CuratedFeedback(home, "shop")
    last = max((event["seq"] for event in events), default=0)
    arm = pa.table({"item_id": pa.array(control, pa.string())})
    sources = Sources([segment], PredictionStore(home / "predictions", "shop"), arm, Head(last, "ab" * 32))
    return book, book.write(sources, NAMES, 0.9)


def rows_of(book: CuratedFeedback, name: str) -> list[dict[str, Any]]:
    path = book.file(name)
    assert path is not None
    return pq.read_table(path).to_pylist()


def labels_of(book: CuratedFeedback) -> dict[str, str | None]:
    return {row["item_id"]: row["label"] for row in rows_of(book, LABELS)}


def test_the_last_word_of_an_annotator_wins_by_when_it_was_said(tmp_path: Path) -> None:
    late = said(1, TRAIN_ITEM, label="bad", occurred_at=NOON + minutes(60))  # came in first, was said last
    book, state = curated(tmp_path, [late, said(2, TRAIN_ITEM, label="good")], [predicted(TRAIN_ITEM)])
    assert [(row["event_id"], row["vote"]) for row in rows_of(book, FEEDBACK)] == [("e1", "bad")]
    assert (state.events, state.words, state.items) == (2, 1, 1)
    assert labels_of(book) == {TRAIN_ITEM: "bad"}


@pytest.mark.parametrize("kind", ["withdraw", "skip"])
def test_who_takes_a_word_back_has_said_nothing(tmp_path: Path, kind: str) -> None:
    book, state = curated(tmp_path, [said(1, TRAIN_ITEM, label="bad"), said(2, TRAIN_ITEM, kind)], [predicted(TRAIN_ITEM)])
    assert labels_of(book) == {}
    assert state.trainable == 0


def test_agreeing_is_the_label_of_the_very_prediction_and_disagreeing_the_other_of_two(tmp_path: Path) -> None:
    old = predicted(TRAIN_ITEM, "bad", "aa")
    new = predicted(TRAIN_ITEM, "good", "bb", NOON + minutes(5))
    events = [
        said(1, TRAIN_ITEM, "agree", prediction_id=old["prediction_id"], annotator="ann"),
        said(9, TRAIN_ITEM, "disagree", prediction_id=new["prediction_id"], annotator="bob"),
    ]
    book, _ = curated(tmp_path, events, [old, new])
    rows = {row["annotator"]: row for row in rows_of(book, FEEDBACK)}
    assert (rows["ann"]["vote"], rows["ann"]["text"]) == ("bad", f"text of {TRAIN_ITEM} for aa")
    assert (rows["bob"]["vote"], rows["bob"]["text"]) == ("bad", f"text of {TRAIN_ITEM} for bb")


def test_a_word_about_an_item_goes_with_the_newest_prediction_of_its_time(tmp_path: Path) -> None:
    predictions = [predicted(TRAIN_ITEM, model=model, at=NOON + minutes(at)) for model, at in (("aa", 0), ("bb", 5), ("cc", 90))]
    book, _ = curated(tmp_path, [said(9, TRAIN_ITEM, label="good")], predictions)
    assert [row["text"] for row in rows_of(book, FEEDBACK)] == [f"text of {TRAIN_ITEM} for bb"]


def test_what_matches_no_prediction_is_kept_and_shown_and_trains_once_it_does(tmp_path: Path) -> None:
    events = [said(1, TRAIN_ITEM, label="good")]
    book, state = curated(tmp_path, events, [predicted("another item")])
    assert (state.words, state.unmatched, state.items) == (1, 1, 0)
    assert [(row["is_matched"], row["text"]) for row in rows_of(book, FEEDBACK)] == [(False, None)]
    book, state = curated(tmp_path, events, [predicted(TRAIN_ITEM)])
    assert (state.unmatched, labels_of(book)) == (0, {TRAIN_ITEM: "good"})


def test_an_event_without_a_match_silences_no_word_that_has_one(tmp_path: Path) -> None:
    foreign = said(2, TRAIN_ITEM, label="bad", prediction_id=prediction_id_of("shop", TRAIN_ITEM, "zz", "another text"))
    book, _ = curated(tmp_path, [said(1, TRAIN_ITEM, label="good"), foreign], [predicted(TRAIN_ITEM)])
    assert labels_of(book) == {TRAIN_ITEM: "good"}


def test_labels_of_the_test_split_never_train_and_only_those_of_the_control_arm_judge(tmp_path: Path) -> None:
    other = "item 10"  # of the test split too, sent by a product, so not drawn at random
    events = [said(1, TRAIN_ITEM, label="good"), said(2, TEST_ITEM, label="bad"), said(3, other, label="bad")]
    book, state = curated(tmp_path, events, [predicted(item) for item in (TRAIN_ITEM, TEST_ITEM, other)], (TEST_ITEM,))
    training, control = book.training_labels(), book.control_labels(10)
    assert training is not None
    assert control is not None
    assert training["item_id"].to_pylist() == [TRAIN_ITEM]
    assert control["item_id"].to_pylist() == [TEST_ITEM]
    assert (state.trainable, state.control, state.items) == (1, 1, 3)


def test_a_skipped_item_counts_as_answered_and_a_withdrawn_one_does_not(tmp_path: Path) -> None:
    events = [said(1, TRAIN_ITEM, "skip"), said(2, TEST_ITEM, label="bad"), said(3, TEST_ITEM, "withdraw")]
    book, _ = curated(tmp_path, events, [predicted(TRAIN_ITEM), predicted(TEST_ITEM)])
    with duckdb.connect() as connection:
        book.register_votes(connection, "votes")
        assert connection.execute("select item_id, votes, disagreement from votes").fetchall() == [(TRAIN_ITEM, 0, 0.0)]


def test_an_even_split_is_undecided_and_trains_nothing(tmp_path: Path) -> None:
    events = [said(1, TRAIN_ITEM, label="good"), said(2, TRAIN_ITEM, label="bad", annotator="bob")]
    book, state = curated(tmp_path, events, [predicted(TRAIN_ITEM)])
    assert (state.items, state.undecided) == (1, 1)
    training = book.training_labels()
    assert training is not None
    assert training.num_rows == 0


def test_a_label_that_the_dataset_does_not_have_is_counted(tmp_path: Path) -> None:
    _, state = curated(tmp_path, [said(1, TRAIN_ITEM, label="fine")], [predicted(TRAIN_ITEM)])
    assert state.unknown_labels == 1


def test_the_same_events_are_the_same_generation_and_nothing_is_written_twice(tmp_path: Path) -> None:
    events = [said(1, TRAIN_ITEM, label="good"), said(2, TEST_ITEM, label="bad")]
    predictions = [predicted(TRAIN_ITEM), predicted(TEST_ITEM)]
    book, first = curated(tmp_path, events, predictions)
    _, again = curated(tmp_path, events, predictions)
    _, elsewhere = curated(tmp_path / "other", events, predictions)
    assert first == again == elsewhere
    assert [path.name for path in book.root.iterdir() if path.is_dir()] == [first.digest]


def test_without_any_event_there_is_an_empty_generation(tmp_path: Path) -> None:
    book, state = curated(tmp_path, [], [predicted(TRAIN_ITEM)])
    assert (state.events, state.words, state.items, state.alpha) == (0, 0, 0, None)
    assert rows_of(book, FEEDBACK) == []


def test_an_adjudication_decides_the_label_for_certain_and_leaves_the_votes_as_they_were_given(tmp_path: Path) -> None:
    events = [
        said(1, TRAIN_ITEM, label="good"),
        said(2, TRAIN_ITEM, label="good", annotator="bob"),
        said(3, TRAIN_ITEM, "adjudicate", "bad", "chief"),
    ]
    book, state = curated(tmp_path, events, [predicted(TRAIN_ITEM)])
    row = rows_of(book, LABELS)[0]
    assert (row["label"], row["confidence"], row["labelled_at"]) == ("bad", 1.0, NOON + minutes(3))
    assert (row["votes"], row["disagreement"], state.trainable) == (2, 0.0, 1)


def test_the_newest_adjudication_decides_and_a_later_vote_does_not(tmp_path: Path) -> None:
    events = [
        said(1, TRAIN_ITEM, "adjudicate", "bad", "chief", occurred_at=NOON + minutes(9)),
        said(2, TRAIN_ITEM, "adjudicate", "good", "root"),
        said(20, TRAIN_ITEM, label="good", annotator="bob"),
    ]
    book, _ = curated(tmp_path, events, [predicted(TRAIN_ITEM)])
    assert [(row["label"], row["labelled_at"]) for row in rows_of(book, LABELS)] == [("bad", NOON + minutes(9))]


def test_what_only_an_adjudication_speaks_of_is_labelled_in_either_split(tmp_path: Path) -> None:
    events = [said(1, TRAIN_ITEM, "adjudicate", "bad", "chief"), said(2, TEST_ITEM, "adjudicate", "good", "chief")]
    book, state = curated(tmp_path, events, [predicted(TRAIN_ITEM), predicted(TEST_ITEM)], (TEST_ITEM,))
    assert labels_of(book) == {TRAIN_ITEM: "bad", TEST_ITEM: "good"}
    assert [(row["votes"], row["disagreement"], row["confidence"]) for row in rows_of(book, LABELS)] == [(0, 0.0, 1.0)] * 2
    training, control = book.training_labels(), book.control_labels(10)
    assert training is not None
    assert control is not None
    assert (training["item_id"].to_pylist(), control["item_id"].to_pylist()) == ([TRAIN_ITEM], [TEST_ITEM])
    assert (state.trainable, state.control, state.annotators) == (1, 1, 0)


def test_an_adjudication_that_is_taken_back_or_matches_nothing_decides_nothing(tmp_path: Path) -> None:
    foreign = prediction_id_of("shop", TEST_ITEM, "zz", "another text")
    events = [
        said(1, TRAIN_ITEM, label="good"),
        said(2, TRAIN_ITEM, "adjudicate", "bad", "chief"),
        said(3, TRAIN_ITEM, "withdraw", annotator="chief"),
        said(4, TEST_ITEM, label="good"),
        said(5, TEST_ITEM, "adjudicate", "bad", "chief", prediction_id=foreign),
    ]
    book, _ = curated(tmp_path, events, [predicted(TRAIN_ITEM), predicted(TEST_ITEM)])
    assert labels_of(book) == {TRAIN_ITEM: "good", TEST_ITEM: "good"}


def test_adjudications_rate_nobody(tmp_path: Path) -> None:
    items = [f"item {number}" for number in range(40)]
    votes = [
        said(seq, item, label="good", annotator=annotator)
        for seq, (item, annotator) in enumerate(((item, name) for item in items for name in ("ann", "bob", "cleo")), start=1)
    ]
    decisions = [said(200 + place, item, "adjudicate", "bad", "chief") for place, item in enumerate(items)]
    with_decisions, _ = curated(tmp_path / "with", [*votes, *decisions], [predicted(item) for item in items])
    without, _ = curated(tmp_path / "without", votes, [predicted(item) for item in items])
    assert rows_of(with_decisions, ANNOTATORS) == rows_of(without, ANNOTATORS) != []
    assert set(labels_of(with_decisions).values()) == {"bad"}


def test_what_is_adjudicated_asks_for_no_second_opinion(tmp_path: Path) -> None:
    split = [said(1, TRAIN_ITEM, label="good"), said(2, TRAIN_ITEM, label="bad", annotator="bob")]
    disagreements = []
    for events in (split, [*split, said(3, TRAIN_ITEM, "adjudicate", "bad", "chief")]):
        book, _ = curated(tmp_path, events, [predicted(TRAIN_ITEM)])
        with duckdb.connect() as connection:
            book.register_votes(connection, "votes")
            disagreements.append(connection.execute("select item_id, votes, disagreement from votes").fetchall())
    assert disagreements == [[(TRAIN_ITEM, 2, 1.0)], [(TRAIN_ITEM, 2, 0.0)]]
