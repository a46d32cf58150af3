"""What goes out to be labelled elsewhere, and how what comes back enters the feedback log: tasks, answers, and the one way in.

Tasks come from the label queue or from the curated feedback. Formats are in `label_studio` and `tabular`; nothing here knows them.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import duckdb
import orjson

from curation.errors import CurationError
from curation.feedback.curated import FEEDBACK, CuratedFeedback
from curation.feedback.events import Event, EventError, LabelsOf, checked_event
from curation.feedback.log import Conflict, FeedbackLog
from curation.label_queue import LabelQueue, queued_in
from curation.predictions import PredictionStore

CONFIG: dict[str, Any] = {"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}
ROWS_AT_ONCE = 2_000  # of texts in memory
ANSWERS_AT_MOST = 200_000  # of one file, in one transaction: more would keep the feedback service waiting
LINES_TOLD = 20


@dataclass(frozen=True)
class Task:
    """One item as it goes out: what people see of it, what a model guessed, why it is asked for, and what people have said.

    `fields` always has "text". `queue` is the name of the generation that asks, `rank` and `probability` are the entry's.
    """

    dataset: str
    item_id: str
    fields: Mapping[str, Any]
    prediction_id: str | None = None
    guess: str | None = None
    confidence: float | None = None
    model_version: int | None = None
    snapshot_version: str | None = None
    queue: str | None = None
    reason: str | None = None
    probability: float | None = None
    rank: int | None = None
    asked_at: datetime | None = None
    said: tuple[Event, ...] = ()

    def asked(self) -> dict[str, Any]:
        """What an event's context says of the question: the queue's generation and its reason, where there is a queue."""
        return {name: value for name, value in (("queue", self.queue), ("reason", self.reason)) if value is not None}


class Answer(NamedTuple):
    """What stands at one place of a file (in words): an event, an error, or neither where nobody has answered yet."""

    place: str
    said: Event | EventError | None


@dataclass(frozen=True)
class TakenIn:
    """What an import did: answers in the file, places without one, events that were new or known, and the log's last seq."""

    answers: int
    unanswered: int
    accepted: int
    duplicates: int
    last_seq: int


def queue_tasks(queue: LabelQueue, predictions: PredictionStore) -> Iterator[Task]:
    """One task per entry of the current queue, by rank. A generation that carries no fields gets its texts from the predictions.

    CurationError before the first queue.
    """
    path = queue.current()
    if path is None:
        raise CurationError(f"{queue.dataset} has no label queue yet", f"curation run {queue.dataset} asks for labels")
    with duckdb.connect(config=CONFIG) as connection:
        predictions.register(connection, "predictions")
        connection.register("asked", queued_in(path))
        rows = connection.execute(
            "select asked.*, said.text, said.label as predicted, said.probabilities"
            " from asked left join (select prediction_id, any_value(text) as text, any_value(label) as label,"
            "  any_value(probabilities) as probabilities from predictions semi join asked using (prediction_id)"
            "  group by prediction_id) as said using (prediction_id) order by rank, item_id"
        ).to_arrow_reader(ROWS_AT_ONCE)
        for row in itertools.chain.from_iterable(batch.to_pylist() for batch in rows):
            probabilities = dict(row["probabilities"] or ())
            guess = row["guess"] if row["guess"] is not None else row["predicted"]
            fields = {} if row["fields"] is None else orjson.loads(row["fields"])
            yield Task(
                dataset=queue.dataset,
                fields=fields if fields.get("text") is not None else {**fields, "text": row["text"]},
                guess=guess,
                confidence=row["confidence"] if row["confidence"] is not None else probabilities.get(guess),
                queue=path.stem,
                **{name: row[name] for name in ("item_id", "prediction_id", "reason", "probability", "rank", "asked_at")},
                **{name: row[name] for name in ("model_version", "snapshot_version")},
            )


def labelled_tasks(curated: CuratedFeedback, labels: LabelsOf, *, now: datetime) -> Iterator[Task]:
    """One task per item (and prediction) of the curated feedback with each annotator's last word on it; by item.

    What was withdrawn is left out, and agreement with a prediction that is not known. CurationError before the first curated feedback.
    """
    path = curated.file(FEEDBACK)
    if path is None:
        raise CurationError(
            f"the feedback of {curated.dataset} has never been curated", f"curation run {curated.dataset} curates it"
        )
    with duckdb.connect(config=CONFIG) as connection:
        rows = connection.execute(
            "select * exclude (probabilities), map_extract(probabilities, predicted_label)[1] as confidence from read_parquet(?)"
            " where kind <> 'withdraw' and (prediction_id is not null or kind not in ('agree', 'disagree'))"
            " order by item_id, prediction_id, annotator",
            [str(path)],
        ).to_arrow_reader(ROWS_AT_ONCE)
        every = itertools.chain.from_iterable(batch.to_pylist() for batch in rows)
        for (item_id, prediction_id), words in itertools.groupby(every, lambda row: (row["item_id"], row["prediction_id"])):
            told = list(words)
            yield Task(
                dataset=curated.dataset,
                item_id=item_id,
                fields={"text": told[0]["text"]},
                prediction_id=prediction_id,
                guess=told[0]["predicted_label"],
                confidence=told[0]["confidence"],
                model_version=told[0]["model_version"],
                snapshot_version=told[0]["snapshot_version"],
                said=tuple(_event_of(row, curated.dataset, labels, now) for row in told),
            )


def _event_of(row: Mapping[str, Any], dataset: str, labels: LabelsOf, now: datetime) -> Event:
    """The event of one last word. A label that the dataset no longer has goes out all the same: it was said."""
    names = ("event_id", "item_id", "prediction_id", "kind", "label", "annotator", "source", "reason", "occurred_at", "context")
    fields = {name: row[name] for name in names} | {"dataset": dataset}
    known = {dataset: (*labels[dataset], row["label"])} if row["label"] is not None else labels
    return checked_event(fields, known, now=now)


def taken_in(log: FeedbackLog, name: str, answers: Iterable[Answer], *, now: datetime) -> TakenIn:
    """Append the answers in one transaction, or none of them: CurationError lists what is wrong in `name`, the first 20 by place.

    What the log holds already under an event's id is a duplicate when it says the same of the same item, whoever is named.
    """
    events: dict[str, tuple[str, Event]] = {}
    wrong: list[str] = []
    count = unanswered = 0
    for place, said in answers:
        if said is None:
            unanswered += 1
            continue
        count += 1
        if count > ANSWERS_AT_MOST:
            raise CurationError(
                f"{name} has more than {ANSWERS_AT_MOST:,} answers", "split it; each part enters whole or not at all"
            )
        if isinstance(said, EventError):
            wrong.append(f"{place}: {said.message}{f' ({said.fix})' if said.fix else ''}")
            continue
        former = events.setdefault(str(said.event_id), (place, said))
        if _statement(former[1]) != _statement(said):
            wrong.append(f"{place}: is the same annotation as {former[0]}, and says another thing (leave one of them out)")
    if not wrong:
        fresh, wrong = _fresh(log, events, now)
    if wrong:
        raise CurationError(_told(name, wrong, count), "mend them, or leave them out, and import again")
    return TakenIn(count, unanswered, fresh, count - fresh, log.head().seq)


def _fresh(log: FeedbackLog, events: Mapping[str, tuple[str, Event]], now: datetime) -> tuple[int, list[str]]:
    """Append what is new; how much that was, and what contradicts the log, of which nothing is then appended."""
    answer = log.append([[event for _, event in events.values()]], now=now, received_as=[None])[0]
    if not isinstance(answer, Conflict):
        return answer.accepted, []
    fresh, wrong = [], []
    for event_id, (place, event) in events.items():  # 0.3 ms each, so only where it must be told apart
        held = log.find(event_id)
        if held is None:
            fresh.append(event)
        elif (held["item_id"], held["kind"], held["label"]) != _statement(event)[1:]:
            wrong.append(f"{place}: event {event_id} is in the log already, and says another thing there")
    if wrong:
        return 0, wrong
    answer = log.append([fresh], now=now, received_as=[None])[0]
    if isinstance(answer, Conflict):  # another process entered one of them in between
        raise answer
    return answer.accepted, []


def _statement(event: Event) -> tuple[str, str, str, str | None]:
    return event.dataset, event.item, event.kind, event.label


def _told(name: str, wrong: list[str], count: int) -> str:
    more = [f"and {len(wrong) - LINES_TOLD:,} more"] if len(wrong) > LINES_TOLD else []
    return f"{name}: {len(wrong):,} of {count:,} answers are wrong, so none was taken\n  " + "\n  ".join(
        [*wrong[:LINES_TOLD], *more]
    )
