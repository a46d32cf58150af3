"""Counting new labels, and the last words it rests on: against a reference in plain Python on random histories, and the rules one by one."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.feedback.counting import LabelCount, count_labels
from curation.feedback.drain import TABLES
from curation.feedback.events import KINDS, LABELLED, LOGGED
from curation.feedback.matching import ITEM_KEY, PREDICTION_COLUMNS, PREDICTION_KEY, match
from curation.feedback.voting import label_parameters, last_words
from tests.curation.feedback.drained_place import LABELS, NOW

TEST_FROM = 0.7
DATABASE = duckdb.connect(config={"threads": "1"})  # one for all: making another took a third of an example's time
PREDICTED = pa.schema([(name, pa.string()) for name in PREDICTION_COLUMNS])


@dataclass(frozen=True)
class Said:
    """One event as the table holds it; its seq is its place."""

    item: str
    annotator: str
    kind: str
    label: str | None
    prediction: str | None
    at: int
    dataset: str = "reviews"


@dataclass(frozen=True)
class Known:
    """One prediction."""

    item: str
    suffix: str
    label: str
    dataset: str = "reviews"

    @property
    def id(self) -> str:
        return f"{self.dataset}:{self.item}:{self.suffix}"


def place_in_split(item: str) -> float:
    return int(hashlib.sha256(f"split:{item}".encode()).hexdigest()[:8], 16) / 2**32


def is_matched(said: Said, known: dict[str, str], items: set[str]) -> bool:
    """Whether the event's prediction, or its item where it names no prediction, is known."""
    return said.prediction in known if said.prediction else said.item in items


def vote_of(said: Said, known: dict[str, str], items: set[str], labels: Sequence[str]) -> str | None:
    """What an event counts as: none unless it is matched."""
    if not is_matched(said, known, items):
        return None
    predicted = known.get(said.prediction or "")
    others = [label for label in labels if label != predicted]
    match said.kind:
        case "label" | "adjudicate":
            return said.label
        case "spam":
            return "spam"
        case "agree":
            return predicted
        case "disagree" if len(labels) == 2 and len(others) == 1:
            return others[0]
    return None


def standing(history: list[tuple[int, Said]], known: dict[str, str], items: set[str], labels: Sequence[str]) -> tuple[str, ...]:
    """The labels with most votes among the last words: one, several in a tie, or none. The newest adjudication stands alone."""
    last: dict[str, tuple[tuple[bool, int, int], Said]] = {}
    for seq, said in history:
        place = (is_matched(said, known, items), said.at, seq)
        if said.annotator not in last or place > last[said.annotator][0]:
            last[said.annotator] = (place, said)
    valid = [(place, said.kind, vote) for place, said in last.values() if (vote := vote_of(said, known, items, labels))]
    if adjudicated := [(place, vote) for place, kind, vote in valid if kind == "adjudicate"]:
        return (max(adjudicated)[1],)
    votes = Counter(vote for *_, vote in valid)
    return tuple(sorted(vote for vote, number in votes.items() if number == max(votes.values())))


def reference(events: list[Said], predictions: list[Known], dataset: str, watermark: int) -> LabelCount:
    """The same count by brute force."""
    labels = LABELS[dataset]
    own = [(seq, said) for seq, said in enumerate(events, start=1) if said.dataset == dataset]
    known = {one.id: one.label for one in predictions if one.dataset == dataset}
    items = {one.item for one in predictions if one.dataset == dataset}
    recent = [(seq, said) for seq, said in own if seq > watermark]
    counts: Counter[str] = Counter()
    for item in {said.item for _, said in recent}:
        history = [(seq, said) for seq, said in own if said.item == item]
        now = standing(history, known, items, labels)
        before = standing([(seq, said) for seq, said in history if seq <= watermark], known, items, labels)
        is_trainable = place_in_split(item) < TEST_FROM
        if len(now) > 1:
            counts["tied"] += is_trainable
        elif now != (before if len(before) == 1 else ()):
            counts["effective" if is_trainable else "held_out"] += 1
    unmatched = {said.item for _, said in recent if not is_matched(said, known, items)}
    return LabelCount(
        effective=counts["effective"],
        tied=counts["tied"],
        held_out=counts["held_out"],
        unmatched=len(unmatched),
        events=len(recent),
        high_seq=max([watermark, *(seq for seq, _ in own)]),
    )


def filled(connection: duckdb.DuckDBPyConnection, events: list[Said], predictions: list[Known]) -> None:
    """Tables `feedback` and `predictions` as a drain leaves them, and a row made by hand that none has seen yet."""
    said = [
        vars(one)
        | {"seq": seq, "item_id": one.item, "prediction_id": one.prediction, "occurred_at": NOW + timedelta(seconds=one.at)}
        for seq, one in enumerate(events, start=1)
    ]
    said.append({"dataset": "reviews", "item_id": "i1", "kind": "spam", "annotator": "by hand"})
    known = [vars(one) | {"prediction_id": one.id, "item_id": one.item} for one in predictions]
    for name, rows, types in (("feedback", said, LOGGED), ("predictions", known, PREDICTED)):
        connection.execute(
            f"create or replace table {name} ({', '.join(f'{column} {kind}' for column, kind in TABLES[name].items())})"
        )
        connection.register("rows", pa.Table.from_pylist(rows, types))
        keys = f"{ITEM_KEY} as item_key, " + (
            "false as is_matched" if name == "feedback" else f"{PREDICTION_KEY} as prediction_key"
        )
        connection.execute(f"insert into {name} by name select *, {keys} from rows")
    match(connection)


def counted(events: list[Said], predictions: list[Known], dataset: str = "reviews", watermark: int = 0) -> LabelCount:
    with DATABASE.cursor() as connection:
        filled(connection, events, predictions)
        return count_labels(connection, dataset, LABELS[dataset], watermark, TEST_FROM)


ITEMS = [f"i{number}" for number in range(7)]
TRAINABLE, HELD_OUT = (
    next(item for item in ITEMS if (place_in_split(item) < TEST_FROM) == is_below) for is_below in (True, False)
)


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[Said], list[Known], str, int]:
    """Events of both datasets on a few items by a few annotators, in any order of time, and some of their predictions."""
    dataset = st.sampled_from(sorted(LABELS))
    item, suffix = st.sampled_from(ITEMS), st.sampled_from(["a" * 16, "b" * 16])

    def event(said_of: str) -> st.SearchStrategy[Said]:
        def made(item: str, suffix: str | None, annotator: str, kind: str, label: str, at: int) -> Said:
            needs_one = kind in {"agree", "disagree"}
            named = f"{said_of}:{item}:{suffix or 'a' * 16}" if suffix or needs_one else None
            return Said(item, annotator, kind, label if kind in LABELLED else None, named, at, said_of)

        return st.builds(
            made,
            item,
            st.none() | suffix,
            st.sampled_from(["anna", "ben", "cleo", "dora"]),
            st.sampled_from(KINDS),
            st.sampled_from(LABELS[said_of]),
            st.integers(0, 9),
        )

    events = draw(st.lists(dataset.flatmap(event), max_size=60))
    pairs = draw(st.sets(st.tuples(dataset, item, suffix), max_size=20))
    predictions = [Known(item, suffix, draw(st.sampled_from(LABELS[name])), name) for name, item, suffix in sorted(pairs)]
    return events, predictions, draw(dataset), draw(st.integers(0, len(events)))


@settings(max_examples=150)
@given(histories())
def test_any_history_is_counted_as_plain_python_counts_it(history: tuple[list[Said], list[Known], str, int]) -> None:
    events, predictions, dataset, watermark = history
    assert counted(events, predictions, dataset, watermark) == reference(events, predictions, dataset, watermark)


@settings(max_examples=50)
@given(histories())
def test_the_last_words_are_those_plain_python_finds(history: tuple[list[Said], list[Known], str, int]) -> None:
    events, predictions, dataset, _ = history
    labels = LABELS[dataset]
    expected: dict[tuple[str, str, str], tuple[int, int]] = {}
    for seq, one in enumerate(events, start=1):
        who = (one.dataset, one.item, one.annotator)
        expected[who] = max((one.at, seq), expected.get(who, (-1, 0)))
    with DATABASE.cursor() as connection:
        filled(connection, events, predictions)
        logged = f"(select {', '.join(LOGGED.names)} from feedback where seq is not null and dataset = $dataset)"
        words = last_words(logged, "predictions", labels)
        found = connection.execute(
            f"select dataset, item_id, annotator, seq, vote, is_matched, predicted_label from ({words})",
            label_parameters(labels) | {"dataset": dataset},
        ).fetchall()
    known = {one.id: one.label for one in predictions if one.dataset == dataset}
    items = {one.item for one in predictions if one.dataset == dataset}
    assert sorted(row[:4] for row in found) == sorted((*who, seq) for who, (_, seq) in expected.items() if who[0] == dataset)
    for *_, seq, vote, is_matched, predicted_label in found:
        one = events[seq - 1]
        assert vote == vote_of(one, known, items, labels)
        assert is_matched == (one.prediction in known if one.prediction else one.item in items)
        assert predicted_label == known.get(one.prediction or "")


def label(item: str, label: str, annotator: str = "anna", at: int = 0) -> Said:
    return Said(item, annotator, "label", label, None, at)


def adjudicated(label: str, at: int = 3, by: str = "chief") -> Said:
    return Said(TRAINABLE, by, "adjudicate", label, None, at)


SPLIT = [label(TRAINABLE, "positive"), label(TRAINABLE, "negative", "ben")]
AGREED = [label(TRAINABLE, "positive"), label(TRAINABLE, "positive", "ben")]
FIRST = [Known(TRAINABLE, "a" * 16, "positive"), Known(HELD_OUT, "a" * 16, "positive")]
ABOUT_FIRST = FIRST[0].id


@pytest.mark.parametrize(
    ("events", "watermark", "expected"),
    [
        pytest.param([label(TRAINABLE, "positive")], 0, (1, 0, 0, 0), id="a new label counts"),
        pytest.param([label(TRAINABLE, "positive")] * 2, 1, (0, 0, 0, 0), id="the same again does not"),
        pytest.param([label(TRAINABLE, "positive"), label(TRAINABLE, "negative", at=1)], 1, (1, 0, 0, 0), id="another does"),
        pytest.param(
            [label(TRAINABLE, "positive", at=5), label(TRAINABLE, "negative", at=1)], 1, (0, 0, 0, 0), id="not said before"
        ),
        pytest.param([label(HELD_OUT, "positive")], 0, (0, 0, 1, 0), id="the test split never counts"),
        pytest.param([label("nowhere", "positive")], 0, (0, 0, 0, 1), id="nor does what matches nothing"),
        pytest.param(
            [label(TRAINABLE, "positive"), Said(TRAINABLE, "anna", "withdraw", None, None, 1)],
            1,
            (1, 0, 0, 0),
            id="gone is a change",
        ),
        pytest.param(
            [label(TRAINABLE, "positive"), Said(TRAINABLE, "anna", "skip", None, ABOUT_FIRST, 1)],
            0,
            (0, 0, 0, 0),
            id="come and gone",
        ),
        pytest.param(
            [label(TRAINABLE, "positive"), label(TRAINABLE, "negative", "ben")], 1, (0, 1, 0, 0), id="a tie is counted apart"
        ),
        pytest.param(
            [label(TRAINABLE, "positive"), label(TRAINABLE, "negative", "ben"), label(TRAINABLE, "negative", "cleo")],
            2,
            (1, 0, 0, 0),
            id="a tie that is broken counts",
        ),
        pytest.param(
            [Said(TRAINABLE, "anna", "disagree", None, ABOUT_FIRST, 0), label(TRAINABLE, "negative", "ben")],
            1,
            (0, 0, 0, 0),
            id="to disagree with one of two labels is to say the other",
        ),
        pytest.param(
            [label(TRAINABLE, "positive"), Said(TRAINABLE, "anna", "label", "negative", f"reviews:{TRAINABLE}:{'f' * 16}", 1)],
            1,
            (0, 0, 0, 1),
            id="a last word without its prediction says nothing, and silences nobody",
        ),
        pytest.param([*SPLIT, adjudicated("negative")], 2, (1, 0, 0, 0), id="an adjudication decides a tie"),
        pytest.param([*AGREED, adjudicated("negative")], 2, (1, 0, 0, 0), id="and an item that all but one see otherwise"),
        pytest.param([*AGREED, adjudicated("positive")], 2, (0, 0, 0, 0), id="one that changes nothing is nothing new"),
        pytest.param(
            [*SPLIT, adjudicated("negative", at=1), label(TRAINABLE, "positive", "dora", at=2)],
            3,
            (0, 0, 0, 0),
            id="whatever is said after it",
        ),
        pytest.param(
            [*SPLIT, adjudicated("negative", at=5), adjudicated("positive", at=1, by="root")],
            3,
            (0, 0, 0, 0),
            id="the newest of several decides, not the one that came last",
        ),
        pytest.param(
            [*SPLIT, adjudicated("negative", at=1), Said(TRAINABLE, "chief", "withdraw", None, None, 2)],
            2,
            (0, 1, 0, 0),
            id="one that is taken back decides nothing",
        ),
    ],
)
def test_what_counts_follows_the_rules(events: list[Said], watermark: int, expected: tuple[int, int, int, int]) -> None:
    count = counted(events, FIRST, watermark=watermark)
    assert (count.effective, count.tied, count.held_out, count.unmatched) == expected


def test_the_newest_event_is_the_datasets_own() -> None:
    events = [label(TRAINABLE, "positive"), Said(TRAINABLE, "anna", "label", "bug", None, 0, "tickets")]
    assert counted(events, FIRST).high_seq == 1
    assert counted(events, FIRST, watermark=1) == LabelCount(0, 0, 0, 0, 0, 1)
