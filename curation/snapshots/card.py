"""The dataset card: a snapshot's README.md as Hugging Face's Hub and stock `datasets` read it.

Text and YAML from a manifest, every number computed; nothing is read from disk. The card names neither its version nor its
parent, so it is the same however many versions it took to get there.
"""

import yaml

from curation.snapshots.manifest import Column, Manifest
from curation.training_rows import SPLITS

FEATURE_TYPES = {
    "string": "string",
    "integer": "int64",
    "number": "float64",
    "boolean": "bool",
    "timestamp": "timestamp[us, tz=UTC]",
}
POLARS_TYPES = {
    "string": "pl.String",
    "integer": "pl.Int64",
    "number": "pl.Float64",
    "boolean": "pl.Boolean",
    "timestamp": 'pl.Datetime("us", "UTC")',
}
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"), (10_000_000, "1M<n<10M"))


def size_category(rows: int) -> str:
    """The Hub's size category of that many rows."""
    return next((name for limit, name in SIZES if rows < limit), "10M<n<100M" if rows < 100_000_000 else "n>100M")


def _header(manifest: Manifest) -> str:
    """The card's YAML. A split without rows is left out: `datasets` refuses a pattern that matches no file."""
    splits = [split for split in SPLITS if manifest.data_parts(split)]
    parts = {split: manifest.data_parts(split).values() for split in splits}
    in_memory = {split: sum(file.value_bytes or 0 for file in parts[split]) for split in splits}
    declared = {
        "pretty_name": manifest.card.pretty_name,
        "language": list(manifest.card.language),
        "license": manifest.card.licence,
        "task_categories": [manifest.card.task],
        "size_categories": [size_category(manifest.rows)],
        "configs": [
            {"config_name": "default", "data_files": [{"split": split, "path": f"data/{split}/*.parquet"} for split in splits]}
        ],
        "dataset_info": {
            "features": [{"name": column.name, "dtype": FEATURE_TYPES[column.type]} for column in manifest.columns],
            "splits": [
                {"name": split, "num_bytes": in_memory[split], "num_examples": manifest.rows_of(split=split)} for split in splits
            ],
            "download_size": sum(file.bytes for split in splits for file in parts[split]),
            "dataset_size": sum(in_memory.values()),
        },
    }
    return str(yaml.safe_dump(declared, sort_keys=False, allow_unicode=True, width=120))


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]], numbers_from: int) -> str:
    """A Markdown table whose columns from `numbers_from` on are aligned to the right."""
    rule = tuple("---:" if place >= numbers_from else "---" for place in range(len(head)))
    cells = [tuple(cell.replace("|", "\\|").replace("\n", " ") for cell in row) for row in (head, rule, *rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def _counted(count: int, total: int) -> str:
    return f"{count:,} ({count / total:.1%})" if total else "0"


def _rows(manifest: Manifest) -> str:
    """Tables of rows by split and label, and by source and label."""
    labels = manifest.labels
    by_split = [
        (
            split,
            *(_counted(manifest.rows_of(split=split, label=label), manifest.rows_of(split=split)) for label in labels),
            _counted(manifest.rows_of(split=split), manifest.rows),
        )
        for split in SPLITS
    ]
    by_split.append(("all", *(_counted(manifest.rows_of(label=label), manifest.rows) for label in labels), f"{manifest.rows:,}"))
    by_source = [
        (
            source,
            *(f"{manifest.rows_of(source=source, label=label):,}" for label in labels),
            _counted(manifest.rows_of(source=source), manifest.rows),
        )
        for source in manifest.sources()
    ]
    return _table(("split", *labels, "rows"), by_split, 1) + "\n\n" + _table(("source", *labels, "rows"), by_source, 1)


def _months(manifest: Manifest) -> str:
    """From which to which month of arrival the rows reach."""
    months = sorted({path.rsplit("/", 1)[1].removesuffix(".parquet") for path in manifest.index_parts()})
    return f"in {months[0]}" if len(months) == 1 else f"from {months[0]} to {months[-1]} ({len(months)} months with rows)"


def _column(column: Column, manifest: Manifest) -> tuple[str, ...]:
    described = column.description or ("Identifies the row." if column.name == manifest.key else "")
    return f"`{column.name}`", FEATURE_TYPES[column.type], described


LOADING = """\
```python
from datasets import load_dataset
rows = load_dataset("path/to/this/folder")

import pandas as pd
train = pd.read_csv("train.csv", dtype=str, keep_default_na=False)  # null and "" both become ""

import polars as pl
train = pl.read_csv("train.csv", schema={{{schema}}})

import duckdb
train = duckdb.sql(\"\"\"from read_csv('train.csv', header=true, all_varchar=true, delim=',', quote='"', escape='"',
                         allow_quoted_nulls=false)\"\"\")
```"""


def card(manifest: Manifest) -> str:
    """The whole README.md of a snapshot whose other files `manifest` already lists."""
    parts = manifest.data_parts()
    parquet_bytes = sum(file.bytes for file in parts.values())
    csv_bytes = sum(file.bytes for path, file in manifest.files.items() if path.endswith(".csv"))
    files = sum(len(batch.files) for batch in manifest.batches)
    schema = ", ".join(f'"{column.name}": {POLARS_TYPES[column.type]}' for column in manifest.columns)
    return f"""---
{_header(manifest)}---

# {manifest.card.pretty_name}

{manifest.card.description.strip()}

{manifest.rows:,} rows that arrived {_months(manifest)}, from {len(manifest.sources())} source(s), taken from
{files:,} file(s) in {len(manifest.batches):,} batch(es). Digest `{manifest.digest}`, as of {manifest.created_at}.

## Rows

{_rows(manifest)}

## Columns

{_table(("column", "type", "what it is"), [_column(column, manifest) for column in manifest.columns], 3)}

## Files

- `data/<split>/<month of arrival>.parquet`: {len(parts):,} part(s), {parquet_bytes:,} bytes, each sorted by `{manifest.key}`.
- `train.csv`, `validation.csv`, `test.csv`: {csv_bytes:,} bytes; the same rows in the same order, month by month.
- `index/<month>.parquet`: where each row came from (batch, file, line), its split, its cluster of near-equal rows, and a keyed
  id of the person it stems from, which nobody can turn back without the key.
- `manifest.json`: counts, batches, contracts, code versions, and bytes, rows and SHA-256 of every file.

The CSV files are for programs. A spreadsheet changes them on opening: `007` becomes 7, and a text that starts with `=` is run
as a formula. Null is an empty field, the empty string is `""`; a field may hold line breaks.

## Loading

{LOADING.format(schema=schema)}
"""
