"""Feedback made fit to learn from: each annotator's last word on each item with the prediction it was about, and the labels that follow.

`lake/curated_feedback/<dataset>/<digest>/` holds one generation under the digest of its content, committed by one rename;
`CURRENT.json` names the newest. A generation is a pure function of the feedback segments up to a seq, the predictions and the
control arm. Who asks, drains or trains is elsewhere.
"""

import hashlib
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import BaseModel

from curation.errors import CurationError
from curation.feedback.events import ADJUDICATE, LABELLED, LOGGED
from curation.feedback.log import Head
from curation.feedback.voting import label_parameters, last_words
from curation.files import folder_written_whole, sha256_of_file, valid_name, written_whole
from curation.predictions import PredictionStore
from curation.training_rows import SPAM, place_of

if TYPE_CHECKING:
    import polars as pl

CONFIG: dict[str, Any] = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "preserve_insertion_order": "false",
}
ROWS_IN_GROUP = 5_000
"""Of FEEDBACK, which is sorted by item: the words on 50 of 300,000 items are found in 35 ms, with the usual large groups in 155."""
FEEDBACK, LABELS, ANNOTATORS = "feedback.parquet", "labels.parquet", "annotators.parquet"


class State(BaseModel):
    """What the newest generation was made of, and what it holds; `CURRENT.json`."""

    digest: str  # names its folder
    seq: int  # the last event of this dataset that is in it
    head: str  # the log's chain at that event
    events: int
    words: int  # rows of feedback.parquet: last words
    unmatched: int  # of these, without a prediction of ours
    unknown_labels: int  # of these, with a label that the dataset does not have (any more)
    items: int  # rows of labels.parquet
    undecided: int  # of these, without a label
    control: int  # of these, of the control arm, with a label
    trainable: int  # of these, with a label that may train
    annotators: int
    method: str  # majority or dawid_skene
    alpha: float | None  # Krippendorff's, over all votes; None where no item has two


@dataclass(frozen=True)
class Sources:
    """Where the rows come from: segments that cover `head.seq`, the dataset's predictions, the item_ids of the control arm."""

    segments: Sequence[Path]
    predictions: PredictionStore
    control: pa.Table  # one column, item_id
    head: Head


class CuratedFeedback:
    """The generations of one dataset."""

    def __init__(self, lake: Path, dataset: str) -> None:
        self.dataset = valid_name(dataset, "dataset")
        self.root = lake / "curated_feedback" / dataset
        self._workshop = lake / "tmp" / "curated_feedback"

    def current(self) -> State | None:
        """The newest generation, or None before the first."""
        path = self.root / "CURRENT.json"
        if not path.exists():
            return None
        try:
            return State.model_validate_json(path.read_bytes())
        except ValueError as error:
            raise CurationError(f"{path} is damaged", "remove it; the next run makes it again") from error

    def file(self, name: str) -> Path | None:
        """Path of FEEDBACK, LABELS or ANNOTATORS in the newest generation, None before the first."""
        state = self.current()
        return None if state is None else self.root / state.digest / name

    def training_labels(self) -> pa.Table | None:
        """One row per item whose label may train: item_id, label, confidence, labelled_at. None before the first generation."""
        path = self.file(LABELS)
        if path is None:
            return None
        rows = pq.read_table(path)
        may_train = pc.and_(pc.is_valid(rows["label"]), pc.invert(rows["is_held_out"]))
        return rows.filter(may_train).select(["item_id", "label", "confidence", "labelled_at"])

    def control_labels(self, at_most: int) -> pa.Table | None:
        """The newest `at_most` labels of the control arm, for evaluation only: item_id, label, labelled_at. None before the first."""
        path = self.file(LABELS)
        if path is None:
            return None
        rows = pq.read_table(path)
        usable = pc.and_(pc.and_(pc.is_valid(rows["label"]), rows["is_control"]), pc.not_equal(rows["label"], SPAM))
        newest_first = rows.filter(usable).sort_by([("labelled_at", "descending"), ("item_id", "ascending")])
        return newest_first.slice(0, at_most).select(["item_id", "label", "labelled_at"])

    def register_votes(self, connection: duckdb.DuckDBPyConnection, view: str) -> None:
        """Temp view `view`: one row per item that somebody has answered: item_id, votes and disagreement (0 to 1).

        Who skips an item has answered it, with no vote: it is not put before people for ever. Where somebody has adjudicated,
        disagreement is 0: what is decided needs no second opinion.
        """
        rows = pa.schema([("item_id", pa.string()), ("votes", pa.int64()), ("disagreement", pa.float64())]).empty_table()
        feedback, labels = self.file(FEEDBACK), self.file(LABELS)
        if feedback and labels:
            with duckdb.connect(config=CONFIG) as reading:
                rows = reading.execute(
                    "select item_id, coalesce(any_value(votes), 0)::bigint as votes,"
                    " case when bool_or(words.kind = 'adjudicate') then 0 else coalesce(any_value(disagreement), 0) end as disagreement"
                    " from read_parquet(?) as words left join read_parquet(?) using (item_id)"
                    " where words.vote is not null or words.kind = 'skip' group by item_id order by item_id",
                    [str(feedback), str(labels)],
                ).to_arrow_table()
        connection.register(view, rows)

    def write(self, sources: Sources, labels: tuple[str, ...], test_from: float) -> State:
        """The newest generation as it must be now; the current one where nothing in it would change."""
        self._workshop.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._workshop) as staged:
            counted = _write_rows(Path(staged), self.dataset, sources, labels, test_from)
            digests = "".join(sha256_of_file(Path(staged) / name) for name in (FEEDBACK, LABELS, ANNOTATORS))
            state = State(
                digest=hashlib.sha256(digests.encode()).hexdigest()[:16], seq=sources.head.seq, head=sources.head.chain, **counted
            )
            if not (self.root / state.digest).exists():
                with folder_written_whole(self.root / state.digest, self._workshop) as folder:
                    for file in Path(staged).iterdir():
                        shutil.move(file, folder / file.name)
        former = self.current()
        if state == former:
            return state
        with written_whole(self.root / "CURRENT.json") as temporary:
            temporary.write_text(state.model_dump_json(indent=1))
        for old in self.root.iterdir():  # but the former one, which a reader may just have opened
            if old.is_dir() and old.name not in {state.digest, former.digest if former else None}:
                shutil.rmtree(old)
        return state


def _write_rows(folder: Path, dataset: str, sources: Sources, labels: tuple[str, ...], test_from: float) -> dict[str, Any]:
    """Write the three files into `folder`; the counts of `State`."""
    with duckdb.connect(config=CONFIG) as connection:
        sources.predictions.register(connection, "predictions")
        connection.register("control", sources.control)
        segments = [str(path) for path in sources.segments]
        if segments:
            connection.read_parquet(segments).create_view("logged")
        else:
            connection.register("logged", LOGGED.empty_table())
        connection.execute(
            "create temp table events as select * from logged where dataset = $dataset and seq <= $seq",
            {"dataset": dataset, "seq": sources.head.seq},
        )
        words = _words(connection, labels, test_from)
        pq.write_table(words, folder / FEEDBACK, compression="zstd", row_group_size=ROWS_IN_GROUP)
        row = connection.execute("select count(*) from events").fetchone()
    counted = _write_labels(folder, words, labels)
    known = pa.array([*labels, SPAM])
    unknown = pc.and_(
        pc.is_in(words["kind"], value_set=pa.array(sorted(LABELLED))), pc.invert(pc.is_in(words["label"], value_set=known))
    )
    return counted | {
        "events": row[0] if row else 0,
        "words": words.num_rows,
        "unmatched": words.num_rows - (pc.sum(words["is_matched"]).as_py() or 0),
        "unknown_labels": pc.sum(unknown).as_py() or 0,
    }


def _words(connection: duckdb.DuckDBPyConnection, labels: tuple[str, ...], test_from: float) -> pa.Table:
    """One row per item and annotator: the last word, its vote, and the prediction it was about with the features as they were.

    An event that names only its item is joined with the newest prediction that had been made when it occurred, else the oldest.
    """
    connection.execute(f"create temp table words as {last_words('events', 'predictions', labels)}", label_parameters(labels))
    return connection.execute(
        "with seen as (select prediction_id, item_id, text, label, probabilities, margin, model_version, snapshot_version, source,"
        "  language, length, predicted_at from predictions semi join words using (item_id)), "
        "about as (select words.seq, seen.* exclude (item_id) from words join seen using (item_id)"
        "  where words.prediction_id is null or words.prediction_id = seen.prediction_id"
        "  qualify row_number() over (partition by words.seq order by (predicted_at > occurred_at),"
        "   case when predicted_at > occurred_at then epoch_us(predicted_at) else -epoch_us(predicted_at) end, seen.prediction_id) = 1) "
        "select words.item_id, words.annotator, words.subject, words.kind, words.label, words.vote, words.is_matched, words.seq,"
        " words.event_id, words.source, words.reason, words.occurred_at, words.received_at, words.context,"
        " about.prediction_id, about.label as predicted_label, about.probabilities, about.margin, about.model_version,"
        " about.snapshot_version, about.text, about.source as item_source, about.language, about.length,"
        f" {place_of('words.item_id')} >= $test_from as is_held_out, words.item_id in (select item_id from control) as is_control "
        "from words left join about using (seq) order by words.item_id, words.annotator",
        {"test_from": test_from},
    ).to_arrow_table()


def _write_labels(folder: Path, words: pa.Table, labels: tuple[str, ...]) -> dict[str, Any]:
    """Resolve votes into labels. What trains is resolved from what may train alone; held-out items are resolved from all votes.

    Adjudications are kept out of that: they rate nobody. Each then decides its item, beside the votes that people gave.
    """
    import polars as pl

    from curation.learning.resolution import resolve

    frame = pl.DataFrame(
        words.select(["item_id", "annotator", "kind", "vote", "occurred_at", "seq", "is_held_out", "is_control"])
    )
    said = frame.filter(pl.col("vote").is_in((*labels, SPAM))).rename({"item_id": "item", "vote": "label"})
    votes, decisions = said.filter(pl.col("kind") != ADJUDICATE), said.filter(pl.col("kind") == ADJUDICATE)
    told = said.group_by("item").agg(
        pl.col("occurred_at").max().alias("labelled_at"), pl.col("is_held_out").first(), pl.col("is_control").first()
    )
    known = (*labels, SPAM)
    everyone = resolve(votes.select("item", "annotator", "label"), labels=known)
    trained = resolve(votes.filter(~pl.col("is_held_out")).select("item", "annotator", "label"), labels=known)
    held_out = everyone.items.join(told.filter(pl.col("is_held_out")).select("item"), on="item", how="semi")
    items = (
        _decided(pl.concat([trained.items, held_out]).join(told, on="item", how="full", coalesce=True), decisions)
        .rename({"item": "item_id"})
        .select("item_id", "label", "confidence", "votes", "disagreement", "labelled_at", "is_held_out", "is_control")
        .sort("item_id")
    )
    _write(items, folder / LABELS)
    _write(trained.annotators.sort("annotator"), folder / ANNOTATORS)
    decided = items.filter(pl.col("label").is_not_null())
    return {
        "items": items.height,
        "undecided": items.height - decided.height,
        "control": decided.filter(pl.col("is_control")).height,
        "trainable": decided.filter(~pl.col("is_held_out")).height,
        "annotators": everyone.annotators.height,
        "method": trained.method,
        "alpha": everyone.alpha,
    }


def _decided(items: "pl.DataFrame", decisions: "pl.DataFrame") -> "pl.DataFrame":
    """`items` with the label, the time and the certainty of the newest of their `decisions`, where there are any.

    `votes` and `disagreement` still tell what people said: nothing, where there are decisions only.
    """
    import polars as pl

    newest = decisions.sort("occurred_at", "seq").unique("item", keep="last").select("item", "label", "occurred_at")
    is_decided = pl.col("occurred_at").is_not_null()
    return items.join(newest, on="item", how="left", suffix="_decided").with_columns(
        pl.coalesce("label_decided", "label").alias("label"),
        pl.when(is_decided).then(1.0).otherwise("confidence").alias("confidence"),
        pl.coalesce("occurred_at", "labelled_at").alias("labelled_at"),
        pl.col("votes", "disagreement").fill_null(0),
    )


def _write(frame: Any, path: Path) -> None:
    """A polars frame as Parquet, its texts as Arrow strings."""
    table = frame.to_arrow()
    fields = [pa.field(field.name, pa.string()) if pa.types.is_large_string(field.type) else field for field in table.schema]
    pq.write_table(table.cast(pa.schema(fields)), path, compression="zstd")
