"""What a record, a person, a source or a batch has reached: snapshots, models, live aliases, predictions, and what a repair re-makes.

`impact` answers from the public files of a home. A snapshot that cannot be read any more may have held the thing: it is told as
`lost`, and its models as perhaps touched, never as clean. How it reads is for `telling`.
"""

import datetime
import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import duckdb

from curation.errors import CurationError
from curation.ingestion.ledger import Entry, Ledger
from curation.lineage.frozen import FrozenSnapshots, Lost, Version
from curation.lineage.models import TracedModel, former_champion, traced_models
from curation.lineage.places import Traced, asking, clean, shown
from curation.lineage.records import Delivery, deliveries
from curation.lineage.repair import Step, repair
from curation.lineage.words import annotators, hear, spoken_of, votes_of
from curation.training_rows import quoted

Kind = Literal["review", "annotator", "source", "batch"]
KINDS: tuple[Kind, ...] = ("review", "annotator", "source", "batch")
BATCH = re.compile(r"([a-z][a-z0-9_]{0,40})/(\d{4}-\d{2}-\d{2})")


@dataclass(frozen=True)
class Holding:
    """One snapshot that the thing is in. `rows`: of a record, source or batch its own; of an annotator those with a label from people
    in which the annotator has a voice.

    `labels`: items with a vote of the annotator that the snapshot's labels were resolved from; None of anything else. It exceeds
    `rows` by ties and by what people called spam, which left the snapshot.
    """

    version: str
    digest: str
    rows: int
    labels: int | None
    is_latest: bool


@dataclass(frozen=True)
class Impact:
    """All that depends on one thing. `holdings` and `models` oldest first; `predictions` were made by `models`.

    `perhaps`: models whose snapshot is `lost`, so that nobody can tell; unless the promotion log shows that it was frozen before an
    annotator had a vote. `labels`: items with a vote of the annotator by now, None
    of anything else. `deliveries`: how a record arrived; empty for anything else.
    """

    dataset: str
    kind: Kind
    value: str
    deliveries: tuple[Delivery, ...]
    labels: int | None
    holdings: tuple[Holding, ...]
    lost: tuple[Lost, ...]
    models: tuple[TracedModel, ...]
    perhaps: tuple[TracedModel, ...]
    predictions: int
    predictions_perhaps: int
    steps: tuple[Step, ...]

    @property
    def live(self) -> tuple[str, ...]:
        """Aliases that point at a model of `models` now."""
        return tuple(alias for model in self.models for alias in model.aliases)


def impact(traced: Traced, key: str, kind: Kind, value: str) -> Impact:
    """What depends on the thing called `value`. `key` names the dataset's row key; a record goes by it or by its native id.

    Raises:
        CurationError: there never was such a thing (a near name is given), or the promotion log or the ledger is damaged.
    """
    value = clean(value).strip()
    if not value:
        raise CurationError(f"no {kind} is named", f"curation impact {traced.dataset} --{kind} NAME")
    with asking() as connection:
        models = traced_models(traced)
        snapshots = FrozenSnapshots(traced.places.snapshots, traced.dataset)
        read = [snapshots.version(name) for name in snapshots.versions([model.snapshot_version for model in models])]
        intact = [version for version in read if isinstance(version, Version)]
        consumed = {model.snapshot_version: model.verdict.consumed_feedback_seq for model in models if model.verdict}
        gone = {
            version.version: consumed[version.version]
            for version in read
            if isinstance(version, Lost) and version.version in consumed
        }
        found = _Search(connection, traced, key, value, snapshots, gone).of(kind, intact)
    holdings = [
        Holding(version.manifest.version, version.manifest.digest, rows, labels, is_latest=version is read[-1])
        for version, (rows, labels) in zip(intact, found.counts, strict=True)
        if rows or labels
    ]
    lost = tuple(version for version in read if isinstance(version, Lost) and version.version not in found.cleared)
    touched = _trained_on(models, {holding.version for holding in holdings})
    perhaps = _trained_on(models, {version.version for version in lost})
    clean_models = {model.version for model in models} - {model.version for model in (*touched, *perhaps)}
    former = former_champion(traced) if models else None
    return Impact(
        dataset=traced.dataset,
        kind=kind,
        value=value,
        deliveries=found.deliveries,
        labels=found.labels,
        holdings=tuple(holdings),
        lost=lost,
        models=touched,
        perhaps=perhaps,
        predictions=sum(model.predictions for model in touched),
        predictions_perhaps=sum(model.predictions for model in perhaps),
        steps=repair(
            traced.dataset,
            kind,
            value,
            found.deliveries,
            words=found.words,
            snapshots=[holding.version for holding in holdings],
            is_in_latest=any(holding.is_latest for holding in holdings),
            models=touched,
            way_back=former if former in clean_models else None,
        ),
    )


@dataclass(frozen=True)
class _Found:
    """Rows and labels per intact version, in their order; and what else is known of the thing. `cleared`: lost versions without it.

    `words`: items on which something of the annotator stands, be it on held-out items, which train nothing but judge models.
    """

    counts: Sequence[tuple[int, int | None]]
    deliveries: tuple[Delivery, ...] = ()
    labels: int | None = None
    words: int = 0
    cleared: frozenset[str] = frozenset()


@dataclass(frozen=True)
class _Search:
    """One question on one connection. `gone`: lost versions with the feedback event up to which the promotion log says they learned."""

    connection: duckdb.DuckDBPyConnection
    traced: Traced
    key: str
    value: str
    snapshots: FrozenSnapshots
    gone: dict[str, int]

    def of(self, kind: Kind, versions: Sequence[Version]) -> _Found:
        match kind:
            case "review":
                return self._review(versions)
            case "annotator":
                return self._annotator(versions)
            case "source":
                return self._source(versions)
            case "batch":
                return self._batch(versions)

    def _review(self, versions: Sequence[Version]) -> _Found:
        arrived = deliveries(self.traced, self.key, self.value)
        keys = sorted({delivery.key for delivery in arrived if delivery.key is not None}) or [self.value]
        counts = [sum(self._rows_with_key(version, key) for key in keys) for version in versions]
        if not arrived and not any(counts):
            raise CurationError(
                f"{shown(self.value)} is in no batch of {self.traced.dataset}",
                f"give a native id or a {self.key} as delivered; curation status {self.traced.dataset} lists what is still pending",
            )
        return _Found([(count, None) for count in counts], arrived)

    def _rows_with_key(self, version: Version, key: str) -> int:
        manifest = version.manifest
        return self.snapshots.count(
            self.connection, version, manifest.index_parts(), f"{quoted(manifest.key)} = $key", {"key": key}
        )

    def _source(self, versions: Sequence[Version]) -> _Found:
        """From the manifests alone, which count rows by source."""
        counts = [version.manifest.rows_of(source=self.value) for version in versions]
        if not any(counts):
            known = {name for version in versions for name in version.manifest.sources()}
            known |= {entry.source for entry in self._entries()}
            self._check_known("source", known)
        return _Found([(count, None) for count in counts])

    def _batch(self, versions: Sequence[Version]) -> _Found:
        """A row lies in the index part of its batch's month, so no other is opened."""
        given = BATCH.fullmatch(self.value)
        if given is None or not _is_day(given[2]):
            raise CurationError(f"{shown(self.value)} is no batch", "write it as SOURCE/YYYY-MM-DD, such as shop/2026-11-19")
        part = f"index/{given[2][:7]}.parquet"
        counts = []
        for version in versions:
            files = {path: file for path, file in version.manifest.index_parts().items() if path == part}
            counts.append(self.snapshots.count(self.connection, version, files, "batch = $batch", {"batch": self.value}))
        if not any(counts):
            known = {batch.id for version in versions for batch in version.manifest.batches}
            known |= {f"{entry.source}/{entry.day}" for entry in self._entries()}
            self._check_known("batch", known)
        return _Found([(count, None) for count in counts])

    def _annotator(self, versions: Sequence[Version]) -> _Found:
        if hear(self.connection, self.traced, self.value) is None:
            self._check_known("annotator", set(annotators(self.connection, self.traced)))
        counts: list[tuple[int, int | None]] = []
        for version in versions:
            items = votes_of(self.connection, self.traced, version.manifest.consumed_feedback_seq)
            counts.append((self._rows_labelled(version, items), len(items)))
        cleared = {name for name, consumed in self.gone.items() if not votes_of(self.connection, self.traced, consumed)}
        return _Found(
            counts,
            labels=len(votes_of(self.connection, self.traced, None)),
            words=len(spoken_of(self.connection, self.traced)),
            cleared=frozenset(cleared),
        )

    def _rows_labelled(self, version: Version, items: Sequence[str]) -> int:
        """Rows among the items whose label people gave; `votes_of` has left out the test split, where labels stay derived."""
        manifest = version.manifest
        if not items or "label_origin" not in {column.name for column in manifest.columns}:
            return 0
        files = manifest.data_parts("train") | manifest.data_parts("validation")
        condition = f"label_origin = 'human' and {quoted(manifest.key)} in (select unnest($voted))"
        return self.snapshots.count(self.connection, version, files, condition, {"voted": tuple(items)})

    def _entries(self) -> list[Entry]:
        """What the ledger knows of batches, refused ones too; read only where no snapshot has any of it."""
        ledger = Ledger(self.traced.places.lake, self.traced.dataset)
        return [*ledger.entries(), *ledger.refused().values()]

    def _check_known(self, what: str, known: set[str]) -> None:
        """CurationError that names what comes near, or some there are, unless the value is among them."""
        if self.value in known:
            return
        near = difflib.get_close_matches(self.value, known, n=1)
        listed = ", ".join(sorted(known)[:10]) + (", ..." if len(known) > 10 else "")
        raise CurationError(
            f"{self.traced.dataset} has no {what} {shown(self.value)}",
            f"did you mean {shown(near[0])}?" if near else f"there are: {shown(listed)}" if known else f"there is no {what} yet",
        )


def _is_day(text: str) -> bool:
    try:
        datetime.date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _trained_on(models: Sequence[TracedModel], versions: set[str]) -> tuple[TracedModel, ...]:
    return tuple(model for model in models if model.snapshot_version in versions)
