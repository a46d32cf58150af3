"""What the loop's assets do, importable without a run: drain and curate feedback, decide on a challenger, predict, ask for labels.

One function a step, for any dataset. Opens what is in CURATION_HOME and calls `curation`; no Dagster, no metadata.
"""

import contextlib
import datetime
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curation.errors import CurationError
from curation.feedback.counting import LabelCount, count_labels
from curation.feedback.curated import CuratedFeedback, Sources, State
from curation.feedback.drain import Drained, FeedbackTable
from curation.feedback.log import FeedbackLog, Head
from curation.feedback.segments import segment_files
from curation.label_queue import SHOWN, LabelQueue
from curation.learning import artefact
from curation.learning.selection import select
from curation.predictions import PredictionStore, Predictor, digest_of
from curation.promotions import ModelReference, PromotionLog
from curation.training_rows import place_of, quoted
from curation_assets.datasets import Declared, labels_by_dataset
from feedback_sensors.facts import watermark_of
from resources.home import Home
from resources.warehouse import reading

NO_HEAD = Head(0, "0" * 64)
DRAIN_WAIT_S = 60.0  # a sensor skips when another drain is at work; a run waits for it, also when it builds the table anew


@dataclass(frozen=True)
class Curated:
    """The newest generation of curated feedback, what was drained for it, and the new labels as the sensor counts them."""

    state: State
    drained: Drained
    count: LabelCount
    watermark: int


@dataclass(frozen=True)
class Predicted:
    """What the champion has predicted: rows in all, rows of this call, and of how many curated rows."""

    model_version: int
    rows: int
    added: int
    curated: int


@dataclass(frozen=True)
class Asked:
    """The label queue as it stands: entries by reason, and where its file is."""

    path: Path
    by_reason: dict[str, int]
    is_new: bool


@contextlib.contextmanager
def feedback_log(home: Home) -> Iterator[FeedbackLog]:
    """The feedback log of a home, closed at the end."""
    with FeedbackLog(home.feedback_log, home.subject_key()) as log:
        yield log


def feedback_table(home: Home) -> FeedbackTable:
    """The feedback table of a home, with its segments, its lock and the predictions that events are matched with."""
    return FeedbackTable(
        home.feedback_table, home.feedback_segments, home.lock("feedback"), home.predictions, lock_timeout_s=DRAIN_WAIT_S
    )


def champion_told(home: Home, dataset: str) -> dict[str, Any] | None:
    """The champion and the last decision, None before the first; `version` numbers the decision."""
    decisions = PromotionLog(home.promotions, dataset).decisions()
    if not decisions:
        return None
    last = decisions[-1]
    return {
        "version": last.number,
        "model_version": last.champion.version,
        "snapshot_version": last.champion.snapshot_version,
        "decision": last.kind,
        "why": last.why,
        "at": last.at.isoformat(),
    }


def queue_told(home: Home, dataset: str) -> dict[str, Any] | None:
    """The label queue as it stands, None before the first: its file's name as `version`, and entries by reason."""
    queue = LabelQueue(home.lake / "label_queue", dataset)
    path = queue.current()
    return None if path is None else {"version": path.stem, "path": str(path), "by_reason": queue_by_reason(path)}


def curate(home: Home, known: Declared, *, now: datetime.datetime) -> Curated:
    """Drain everything that waits, then leave each annotator's last words and the labels that follow from them."""
    name = known.dataset.name
    watermark = watermark_of(home, name).seq
    with feedback_log(home) as log:
        while True:
            with feedback_table(home).drained(log, labels_by_dataset(), now=now) as (drained, connection):
                count = count_labels(connection, name, known.policy.labels, watermark, known.policy.test_from)
                row = connection.execute("select coalesce(max(seq), 0) from feedback where dataset = ?", [name]).fetchone()
            if not drained.waiting:
                break
        seq = row[0] if row else 0
        head = log.head_at(seq) or NO_HEAD
    sources = Sources(
        segments=segment_files(home.feedback_segments, seq) if seq else [],
        predictions=PredictionStore(home.predictions, name),
        control=control_items(home, name),
        head=head,
    )
    state = CuratedFeedback(home.lake, name).write(sources, known.policy.labels, known.policy.test_from)
    return Curated(state, drained, count, watermark)


def new_labels(home: Home, known: Declared, *, now: datetime.datetime) -> tuple[LabelCount, int]:
    """Drain everything, and count the labels above the watermark as the sensor does; the count and the watermark."""
    watermark = watermark_of(home, known.dataset.name).seq
    with feedback_log(home) as log:
        while True:
            with feedback_table(home).drained(log, labels_by_dataset(), now=now) as (drained, connection):
                count = count_labels(connection, known.dataset.name, known.policy.labels, watermark, known.policy.test_from)
            if not drained.waiting:
                return count, watermark


def feedback_waiting(home: Home, dataset: str) -> bool:
    """Whether the log holds events of the dataset that its curated feedback does not; rows inserted by SQL show once drained."""
    if not home.feedback_log.exists():
        return False
    state = CuratedFeedback(home.lake, dataset).current()
    with feedback_log(home) as log:
        after = state.seq if state else 0
        while (rows := log.read(after, 50_000)).num_rows:
            if pc.any(pc.equal(rows["dataset"], dataset)).as_py():
                return True
            after = rows["seq"][-1].as_py()
    return False


def control_items(home: Home, dataset: str) -> pa.Table:
    """The items that were ever drawn for the control arm: one column, item_id."""
    with duckdb.connect(config={"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}) as connection:
        drawn = LabelQueue(home.lake / "label_queue", dataset).control_items(connection)
        return connection.execute(f"select item_id from {drawn} order by item_id").to_arrow_table()


def predictor_of(home: Home, reference: ModelReference) -> Predictor:
    """The model that a decision refers to, opened without MLflow."""
    pipeline = artefact.load(home.mlflow / reference.artefact, reference.artefact_sha256)
    return Predictor(pipeline, reference.version, reference.artefact_sha256, reference.snapshot_version)


def champion_of(home: Home, dataset: str) -> ModelReference:
    """The champion; CurationError before the first."""
    champion = PromotionLog(home.promotions, dataset).champion()
    if champion is None:
        raise CurationError(f"{dataset} has no champion yet", f"curation run {dataset} trains the first")
    return champion


def predict(home: Home, known: Declared, *, now: datetime.datetime) -> Predicted:
    """Let the champion predict every curated row that it has not seen yet."""
    name = known.dataset.name
    predictor = predictor_of(home, champion_of(home, name))
    store = PredictionStore(home.predictions, name)
    with reading(home, name) as connection:
        added = store.add(connection, known.curated, known.dataset.key, predictor, now=now)
        store.register(connection, "predicted_now", predictor.version)
        row = connection.execute(
            f"select (select count(*) from predicted_now), (select count(*) from {known.curated})"
        ).fetchone()
    assert row is not None  # counts always have a row
    return Predicted(predictor.version, row[0], added, row[1])


def predictions_told(home: Home, known: Declared) -> dict[str, float]:
    """Counts over the champion's predictions: rows, curated, missing, repeated, largest_gap of a sum to 1, smallest probability."""
    name = known.dataset.name
    store = PredictionStore(home.predictions, name)
    with reading(home, name) as connection:
        store.register(connection, "predicted", champion_of(home, name).version)
        row = connection.execute(
            f"select (select count(*) from {known.curated}),"
            f" (select count(*) from {known.curated} where record_no not in (select record_no from predicted)),"
            " count(*) - count(distinct record_no), count(*),"
            " coalesce(max(abs(list_sum(map_values(probabilities)) - 1)), 0), coalesce(min(list_min(map_values(probabilities))), 0)"
            " from predicted"
        ).fetchone()
    assert row is not None  # counts always have a row
    return dict(zip(("curated", "missing", "repeated", "rows", "largest_gap", "smallest"), row, strict=True))


def curated_state(home: Home, known: Declared) -> State:
    """What the newest curated feedback holds; CurationError before the first."""
    state = CuratedFeedback(home.lake, known.dataset.name).current()
    if state is None:
        raise CurationError(f"the feedback of {known.dataset.name} has never been curated", f"curation run {known.dataset.name}")
    return state


def ask(home: Home, known: Declared, *, now: datetime.datetime) -> Asked:
    """Choose what people should label next, from what the champion predicted and what they have said so far.

    Items that carry a label of their own teach already. So as long as there are enough others in the train split, only those are
    asked for (and disputed ones again); the control arm is drawn from all.
    """
    name = known.dataset.name
    predictor = predictor_of(home, champion_of(home, name))
    store, queue = PredictionStore(home.predictions, name), LabelQueue(home.lake / "label_queue", name)
    curated = CuratedFeedback(home.lake, name)
    state = curated.current()
    with reading(home, name) as connection:
        store.register(connection, "predicted", predictor.version)
        curated.register_votes(connection, "votes")
        _register_pool(connection, known)
        chosen = select(
            connection,
            "pool",
            queue.asked_items(connection),
            "votes",
            known.loop.queue,
            test_from=known.policy.test_from,
            train_until=known.policy.train_until,
            seed=f"{name} {digest_of(store.parts(predictor.version))} {state.digest if state else ''}",
            embed=predictor.pipeline[:-1].transform,
        )
        asked = _with_what_is_shown(connection, known, chosen)
    before = queue.current()
    path = queue.write(asked, model_version=predictor.version, snapshot_version=predictor.snapshot_version, asked_at=now)
    return Asked(path, queue_by_reason(path), is_new=path != before)


def _register_pool(connection: duckdb.DuckDBPyConnection, known: Declared) -> None:
    """Temp table `pool` from views `predicted` and `votes`: what the queue is drawn from (see `ask`), without superseded items."""
    policy = known.policy
    connection.execute(
        f"create temp view candidates as select predicted.item_id, prediction_id, margin, predicted.text, "
        f"{place_of('predicted.item_id')} >= {policy.train_until} or predicted.item_id in (select item_id from votes) as is_kept, "
        f"curated.has_label from predicted join (select record_no, ({policy.label_sql}) is not null as has_label from {known.curated}) "
        "as curated using (record_no)"
    )
    row = connection.execute("select count(*) filter (not has_label and not is_kept) from candidates").fetchone()
    chosen = "where is_kept or not has_label" if row and row[0] >= known.loop.queue.size else ""
    connection.execute(f"create temp view pool as select item_id, prediction_id, margin, text from candidates {chosen}")


def _with_what_is_shown(connection: duckdb.DuckDBPyConnection, known: Declared, chosen: pa.Table) -> pa.Table:
    """The rows of `chosen`, in their order, with the columns `SHOWN`: fields from the curated table, guesses from view `predicted`."""
    columns = ", ".join(f"{sql} as {quoted(name)}" for name, sql in known.labelling.fields.items())
    connection.register("chosen_now", chosen)
    connection.execute(
        "create or replace temp table guessed as select prediction_id, record_no, language, label, probabilities[label] as confidence "
        "from predicted semi join chosen_now using (prediction_id)"
    )
    guesses = connection.execute("select prediction_id, label, confidence from guessed").fetchall()
    guessed = {prediction_id: (label, confidence) for prediction_id, label, confidence in guesses}
    rows = connection.execute(
        f"with about as (select prediction_id, record_no, language from guessed) "
        f"select prediction_id, {columns} from {known.curated} join about using (record_no)"
    )
    fields = {
        row.pop("prediction_id"): orjson.dumps(row, option=orjson.OPT_SORT_KEYS).decode()
        for row in rows.to_arrow_table().to_pylist()
    }
    connection.unregister("chosen_now")
    asked = chosen["prediction_id"].to_pylist()
    shown = ([fields[name] for name in asked], *([guessed[name][place] for name in asked] for place in range(2)))
    return pa.table(
        [*chosen.columns, *(pa.array(values, field.type) for values, field in zip(shown, SHOWN, strict=True))],
        schema=pa.schema([*chosen.schema, *SHOWN]),
    )


def queue_by_reason(path: Path) -> dict[str, int]:
    """Entries of one generation of a label queue, by reason."""
    reasons = pq.read_table(path, columns=["reason"])["reason"].to_pylist()
    return {reason: reasons.count(reason) for reason in sorted(set(reasons))}
