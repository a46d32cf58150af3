"""Prompts and the answers to them that people may judge: immutable Parquet parts by dataset, and the one way to add to them.

An answer has a prediction id and its prompt an item_id, so that an event names them like any other prediction. Texts are kept as
they came. Who made an answer is a name here, no model of ours; what people say of it is in the feedback log.
"""

import hashlib
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from curation.errors import CurationError
from curation.feedback.events import ITEM_ID_CHARACTERS_AT_MOST, EventError, nearest, parsed_json, prediction_id_of
from curation.feedback.pairs import PAIR_CHARACTERS
from curation.files import valid_name, written_whole
from curation.training_rows import literal, quoted

SCHEMA = pa.schema({
    "prediction_id": pa.string(),  # deterministic: one per prompt, model and answer
    "dataset": pa.string(),
    "item_id": pa.string(),  # of the prompt
    "prompt": pa.string(),
    "completion": pa.string(),
    "model": pa.string(),  # who answered; null where nobody said
    "cluster": pa.string(),  # hash of the prompt without what people do not see; its split follows from it
    "added_at": pa.timestamp("us", "UTC"),
})  # fmt: skip
FIELDS = ("prompt", "completion", "model", "item_id")
"""Of a line in a file of answers; the first two are required."""
TEXT_CHARACTERS_AT_MOST = 1_000_000
MODEL_CHARACTERS_AT_MOST = 200
PROMPT_ID_CHARACTERS_AT_MOST = ITEM_ID_CHARACTERS_AT_MOST - PAIR_CHARACTERS
ANSWERS_AT_MOST = 200_000  # of one file: they are in memory until all of them are checked
LINES_TOLD = 20
CONFIG: dict[str, Any] = {"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}


@dataclass(frozen=True)
class Added:
    """What came of a file: its answers in its order (columns of SCHEMA), how many were new, and how many were there already."""

    answers: pa.Table
    new: int
    known: int


class GenerationStore:
    """The prompts and answers of one dataset below `root` (lake/generations)."""

    def __init__(self, root: Path, dataset: str) -> None:
        self.dataset = valid_name(dataset, "dataset")
        self.root = root / dataset

    def parts(self) -> list[Path]:
        """Parquet parts, oldest first."""
        return sorted(self.root.glob("[0-9]*.parquet"))

    def register(self, connection: duckdb.DuckDBPyConnection, view: str) -> None:
        """Temp view `view` with the columns of SCHEMA: one row per answer."""
        if parts := self.parts():
            listed = ", ".join(literal(str(path)) for path in parts)  # a view takes no bound values
            connection.execute(f"create or replace temp view {quoted(view)} as select * from read_parquet([{listed}])")
        else:
            connection.register(view, SCHEMA.empty_table())

    def add_file(self, path: Path, *, now: datetime) -> Added:
        """Take in the answers of a file of JSON lines (see FIELDS): whole or not at all, and the same answers again change nothing.

        A prompt without `item_id` gets a hash of its text. CurationError lists what is wrong, the first 20 lines by number.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self.root / ".lock", timeout=0):
                return self._add(path, now)
        except Timeout:
            raise CurationError(
                f"answers of {self.dataset} are just being added by another process", "wait until it ends"
            ) from None

    def _add(self, path: Path, now: datetime) -> Added:
        answers = self._read(path, self._prompts(), now)
        with duckdb.connect(config=CONFIG) as connection:
            self.register(connection, "known")
            connection.register("arriving", answers)
            fresh = connection.execute(
                "select * from arriving anti join known using (prediction_id)"
                " qualify row_number() over (partition by prediction_id) = 1 order by item_id, prediction_id"
            ).to_arrow_table()
        if fresh.num_rows:
            with written_whole(self.root / f"{len(self.parts()) + 1:06d}.parquet") as temporary:
                pq.write_table(fresh.cast(SCHEMA), temporary, compression="zstd")
        return Added(answers, fresh.num_rows, answers.num_rows - fresh.num_rows)

    def _prompts(self) -> dict[str, str]:
        """item_id -> hex SHA-256 of its prompt."""
        with duckdb.connect(config=CONFIG) as connection:
            self.register(connection, "known")
            return dict(connection.execute("select item_id, sha256(any_value(prompt)) from known group by item_id").fetchall())

    def _read(self, path: Path, prompts: dict[str, str], now: datetime) -> pa.Table:
        rows, wrong = [], []
        for line, text in _lines(path):
            if line > ANSWERS_AT_MOST:
                raise CurationError(
                    f"{path} has more than {ANSWERS_AT_MOST:,} lines", "split it; each part enters whole or not at all"
                )
            try:
                rows.append(self._row(parsed_json(text, "row"), prompts, now))
            except EventError as error:
                wrong.append(f"line {line}: {error.message}{f' ({error.fix})' if error.fix else ''}")
        if wrong:
            more = [f"and {len(wrong) - LINES_TOLD:,} more"] if len(wrong) > LINES_TOLD else []
            told = "\n  ".join([*wrong[:LINES_TOLD], *more])
            raise CurationError(
                f"{path}: {len(wrong):,} lines are wrong, so none was taken\n  {told}", "mend them and add the file again"
            )
        if not rows:
            raise CurationError(f"{path} holds no answers", 'give it lines such as {"prompt": "...", "completion": "..."}')
        return pa.Table.from_pylist(rows, schema=SCHEMA)

    def _row(self, record: object, prompts: dict[str, str], now: datetime) -> dict[str, Any]:
        """The answer of one line, by column; its prompt joins `prompts`. EventError names the field."""
        if not isinstance(record, dict):
            raise EventError("row", "must be an object", "give it a prompt and a completion")
        for name in record:
            if name not in FIELDS:
                raise EventError(name, "is no field of an answer", nearest(name, FIELDS) or f"known are {', '.join(FIELDS)}")
        prompt = _text(record, "prompt", TEXT_CHARACTERS_AT_MOST)
        completion = _text(record, "completion", TEXT_CHARACTERS_AT_MOST)
        model = _text(record, "model", MODEL_CHARACTERS_AT_MOST) if record.get("model") is not None else None
        digest = hashlib.sha256(prompt.encode()).hexdigest()
        item_id = digest[:32]
        if record.get("item_id") is not None:
            item_id = _text(record, "item_id", PROMPT_ID_CHARACTERS_AT_MOST)
            if any(unicodedata.category(character) == "Cc" for character in item_id):
                raise EventError("item_id", "holds a control character", "send visible text")
        if prompts.setdefault(item_id, digest) != digest:
            raise EventError("item_id", "names another prompt already", "give every prompt an item_id of its own, or none")
        return {
            "prediction_id": prediction_id_of(self.dataset, item_id, model or "", completion),
            "dataset": self.dataset,
            "item_id": item_id,
            "prompt": prompt,
            "completion": completion,
            "model": model,
            "cluster": cluster_of(prompt),
            "added_at": now,
        }


def cluster_of(prompt: str) -> str:
    """Hex SHA-256 of a prompt in NFKC, case folded, white space made single: what looks the same shares it, and so its split."""
    seen = " ".join(unicodedata.normalize("NFKC", prompt).casefold().split())
    return hashlib.sha256(seen.encode()).hexdigest()


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """(number, bytes) of the lines that are not blank."""
    try:
        with path.open("rb") as file:
            for line, text in enumerate(file, start=1):
                record = text.removeprefix(b"\xef\xbb\xbf") if line == 1 else text
                if record.strip():
                    yield line, record
    except OSError as error:
        raise CurationError(f"{path} cannot be read: {error.strerror}", "check the path, and who may read it") from None


def _text(record: dict[str, Any], name: str, at_most: int) -> str:
    """The visible text of a field, as it is."""
    text = record.get(name)
    if text is None:
        raise EventError(name, "is missing", "every line needs a prompt and a completion")
    if not isinstance(text, str):
        raise EventError(name, "must be text", "types are not converted; conversations go out as one text")
    if not text.strip():
        raise EventError(name, "is blank", "leave the line out: nobody can judge it")
    if "\0" in text or len(text) > at_most:
        raise EventError(
            name, "holds a NUL character" if "\0" in text else f"has {len(text):,} characters", f"at most {at_most:,}, no NUL"
        )
    return text
