"""What commands and checks ask of a ledger and its files: what stands, what is in quarantine, whether all is as it was written.

Reads only. What an entry is and how it gets there is `ledger` and `intake`.
"""

import datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from curation.binding import execute_bound
from curation.errors import CurationError
from curation.files import sha256_of_file
from curation.ingestion.ledger import QUARANTINE, RAW, REMOVED, Entry, Ledger

NO_EXTENSIONS: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
}


def batch_id(entry: Entry) -> str:
    """ "source/day": what a batch is called in manifests and record ids."""
    return f"{entry.source}/{entry.day.isoformat()}"


def standing(ledger: Ledger, first: datetime.date, last: datetime.date) -> list[Entry]:
    """The last entry of every batch between two days, and the refusals that stand, by day and source."""
    found = [entry for entry in [*ledger.latest().values(), *ledger.refused().values()] if first <= entry.day <= last]
    return sorted(found, key=lambda entry: (entry.day, entry.source, entry.verdict))


def removals(ledger: Ledger) -> int:
    """How many entries took rows back: the dbt macro `current_epoch` counts the same files."""
    return sum((ledger.folder(entry.seq) / "removed.parquet").exists() for entry in ledger.entries())


def raw_files(ledger: Ledger, after: int = 0) -> list[Path]:
    """The raw Parquet of all entries above that seq, in ledger order."""
    return [ledger.folder(entry.seq) / "raw.parquet" for entry in ledger.entries() if entry.seq > after]


def quarantine_files(ledger: Ledger) -> list[str]:
    """The current quarantine of every batch: that of its last entry, and of the refusals that stand."""
    folders = [ledger.folder(entry.seq) for entry in ledger.latest().values()]
    folders += [ledger.refused_folder(entry.source, entry.day) for entry in ledger.refused().values()]
    return [str(path) for path in sorted(folder / "quarantine.parquet" for folder in folders) if path.exists()]


def _rows(query: str, values: dict[str, str | int | list[str]]) -> list[dict[str, Any]]:
    """The rows of a query over Parquet files of the ledger; CurationError where one of them is damaged or gone."""
    with duckdb.connect(config=NO_EXTENSIONS) as connection:
        try:
            found = execute_bound(connection, query, values)
            names = [column[0] for column in found.description or []]
            return [dict(zip(names, values, strict=True)) for values in found.fetchall()]
        except (duckdb.IOException, duckdb.InvalidInputException) as error:
            told = str(error).splitlines()[0]
            raise CurationError(
                f"the ledger cannot be read: {told}", "restore that file from a backup, or remove it and run again"
            ) from error


def quarantine_summary(ledger: Ledger, samples: int) -> list[dict[str, Any]]:
    """One per rule and field, largest first: records, batches, and the first `samples` records with file, line, reason and text."""
    files = quarantine_files(ledger)
    if not files:
        return []
    groups = _rows(
        "select rule, field, count(*) as records, count(distinct source || '/' || day) as batches "
        "from read_parquet($files, hive_partitioning = false) group by all order by records desc, rule, field",
        {"files": files},
    )
    shown = _rows(
        "select rule, field, record_id, reason, raw from read_parquet($files, hive_partitioning = false) "
        "qualify row_number() over (partition by rule, field order by day desc, source, file, line) <= $samples "
        "order by day desc, source, file, line",
        {"files": files, "samples": samples},
    )
    for group in groups:
        group["samples"] = [
            {name: row[name] for name in ("record_id", "reason", "raw")}
            for row in shown
            if (row["rule"], row["field"]) == (group["rule"], group["field"])
        ]
    return groups


def quarantined(ledger: Ledger, native_id: str) -> list[dict[str, Any]]:
    """The records in quarantine whose native id could be read and is this one; `fate` is the rule."""
    files = quarantine_files(ledger)
    query = (
        "select record_id, source, day, file, line, rule as fate, reason "
        "from read_parquet($files, hive_partitioning = false) where native_id = $native_id order by record_id"
    )
    return _rows(query, {"files": files, "native_id": native_id}) if files else []


def undecided(ledger: Ledger, key: str, identity: str, after: int) -> list[dict[str, Any]]:
    """Deliveries in entries above that seq: accepted, but no run has judged them yet."""
    files = [str(path) for path in raw_files(ledger, after)]
    query = (
        f"select record_id, {key}, native_id, source, day, file, line, 'undecided' as fate "
        f"from read_parquet($files, hive_partitioning = false) where {key} = $identity or native_id = $identity order by record_no"
    )
    return _rows(query, {"files": files, "identity": identity}) if files else []


def _rows_written(path: Path) -> int | None:
    """How many rows a Parquet file says it has; None where it cannot be read."""
    try:
        with path.open("rb") as file:
            return pq.read_metadata(file).num_rows  # type: ignore[no-any-return]  # pyarrow has no types
    except (OSError, pa.ArrowException):
        return None


def ledger_findings(ledger: Ledger, landing: Path, dataset: str) -> list[str]:
    """What differs from what was recorded: landing files changed or gone since they were taken in, Parquet damaged or missing."""
    findings = []
    for entry in ledger.entries():
        counts = entry.counts
        for name, recorded in (
            (RAW, counts.added),
            (REMOVED, counts.removed or None),
            (QUARANTINE, counts.malformed + counts.contract),
        ):
            path = ledger.folder(entry.seq) / name
            if recorded is None or _rows_written(path) == recorded:
                continue
            what = "is damaged; remove it and run again" if path.exists() else "is missing; run again"
            findings.append(f"{path.parent.name}: {name} {what} to rebuild it")
    for entry in ledger.latest().values():
        for file in entry.files:
            path = landing / dataset / entry.source / entry.day.isoformat() / file.name
            if not path.exists():
                findings.append(f"{batch_id(entry)}: {file.name} is gone from landing")
            elif sha256_of_file(path) != file.sha256:
                findings.append(f"{batch_id(entry)}: {file.name} changed in landing since it was taken in")
    return findings
