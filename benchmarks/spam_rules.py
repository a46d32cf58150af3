"""What each spam rule catches and what it costs, on every labelled text at hand: `uv run python -m benchmarks.spam_rules`.

It renders the project's own macros with plain Jinja, so it measures what dbt runs and needs no dbt. It holds no rule and judges
none: tests/dbt_project/test_cleaning_macros.py holds the limits.
"""

import argparse
import csv
import gzip
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import jinja2
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from curation import text

ROOT = Path(__file__).resolve().parent.parent
MACROS = ROOT / "dbt_project" / "macros"
REAL_DATA = ROOT.parent / "shared" / "data"

Labelled = Iterator[tuple[str, bool]]
"""Texts as they came, each with whether people (or the generator) call it spam."""


def cleaning_macros() -> Any:
    """The macros of clean_text.sql and spam_rule.sql as Python functions from SQL to SQL."""
    source = "".join((MACROS / name).read_text(encoding="utf-8") for name in ("clean_text.sql", "spam_rule.sql"))
    return jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False).from_string(source).module


def connect() -> duckdb.DuckDBPyConnection:
    """An empty database in memory that knows the functions which the macros call."""
    connection = duckdb.connect(config={"autoinstall_known_extensions": False, "autoload_known_extensions": False})
    text.register(connection)
    return connection


def sms(folder: Path) -> Labelled:
    """UCI's SMS collection: label, tab, text."""
    for line in (folder / "sms_spam_uci" / "SMSSpamCollection").read_text(encoding="utf-8").splitlines():
        label, message = line.split("\t", 1)
        yield message.rstrip("\t"), label == "spam"


def youtube(folder: Path) -> Labelled:
    """Comments below three music videos; much of their spam is nothing but `subscribe`."""
    for path in sorted((folder / "youtube_spam").glob("*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            yield from ((row["CONTENT"], row["CLASS"] == "1") for row in csv.DictReader(file))


def reviews(path: str, field: str) -> Callable[[Path], Labelled]:
    """Reviews from JSON lines (.gz), or from an array with one record a line that may be cut off; all count as honest."""

    def read(folder: Path) -> Labelled:
        opened = gzip.open if path.endswith(".gz") else open
        with opened(folder / path, "rt", encoding="utf-8") as file:
            content = file.read()
        decoder, at = json.JSONDecoder(), content.find("{")
        while at != -1:
            try:
                record, end = decoder.raw_decode(content, at)
            except json.JSONDecodeError:
                return  # the array is cut off in its last record
            yield record.get(field) or "", False
            at = content.find("{", end)

    return read


SETS: dict[str, Callable[[Path], Labelled]] = {
    "sms_spam_uci": sms,
    "youtube_spam": youtube,
    "imdb_aclimdb": reviews("imdb_aclimdb/imdb_train.jsonl.gz", "text"),
    "amazon2014_cellphones": reviews("amazon2014_cellphones/Cell_Phones_and_Accessories_5.json", "reviewText"),
    "amazon2018_fashion": reviews("amazon2018_fashion/AMAZON_FASHION_5.json.gz", "reviewText"),
    "nsmc_raw": reviews("nsmc_raw/nsmc_raw_first250k.jsonl.gz", "review"),
}


def generated(raw: Path, truth: Path) -> Labelled:
    """Generated reviews with the generator's own truth; what it made invalid is left out."""
    table = pq.read_table(truth, columns=["review_id", "kind"])
    kinds = dict(zip(table["review_id"].to_pylist(), table["kind"].to_pylist(), strict=True))
    with raw.open(encoding="utf-8") as lines:
        for line in lines:
            if kinds[line[15:25]] != "invalid":
                yield json.loads(line)["text"], kinds[line[15:25]] == "spam"


def judge(texts: Labelled) -> dict[str, Any]:
    """Counts of spam and honest texts, how many of each every rule removes, and the CPU seconds of cleaning and of the rules."""
    macros, connection = cleaning_macros(), connect()
    pairs = list(texts)
    rows = pa.table({"text": [text for text, _ in pairs], "is_spam": [is_spam for _, is_spam in pairs]})
    connection.register("rows", rows)
    connection.execute("create table reviews as select * from rows")
    started_s = time.process_time()
    looked = f"select *, {macros.needs_a_look('text')} as looked from reviews"
    connection.execute(
        f"create table cleaned as select is_spam, looked, {macros.clean_text('text', 'looked')} as clean from ({looked})"
    )
    cleaned_s = time.process_time()
    connection.execute(f"create table judged as select is_spam, {macros.spam_rule('clean', 'looked')} as rule from cleaned")
    judged_s = time.process_time()
    by_rule = connection.execute(
        "select rule, count_if(is_spam), count_if(not is_spam) from judged where rule is not null group by rule order by rule"
    ).fetchall()
    spam = sum(is_spam for _, is_spam in pairs)
    return {
        "spam": spam,
        "honest": len(pairs) - spam,
        "rules": {rule: {"spam": caught, "honest": removed} for rule, caught, removed in by_rule},
        "clean_cpu_s": cleaned_s - started_s,
        "rules_cpu_s": judged_s - cleaned_s,
    }


def share(part: int, whole: int) -> str:
    """`part` of `whole` in figures and as a percentage; empty when there is no whole."""
    return f"{part}/{whole} {part / whole:.2%}" if whole else ""


def report(results: dict[str, dict[str, Any]]) -> Table:
    """One row per set with the CPU seconds of cleaning and of the rules, and below it one row per rule that matched there."""
    table = Table(title="What the spam rules remove")
    for heading in ("set, rule", "of spam", "of honest texts", "CPU s"):
        table.add_column(heading, no_wrap=True)
    for name, result in results.items():
        spam, honest, rules = result["spam"], result["honest"], result["rules"]
        caught, removed = (sum(rule[kind] for rule in rules.values()) for kind in ("spam", "honest"))
        cpu_s = f"{result['clean_cpu_s']:.2f} + {result['rules_cpu_s']:.2f}"
        table.add_row(f"[bold]{name}", share(caught, spam), share(removed, honest), cpu_s)
        for rule, count in rules.items():
            table.add_row(f"  {rule}", share(count["spam"], spam), share(count["honest"], honest), "")
    return table


def main() -> None:
    """Measure every set that is present, and generated reviews where they are given; print a table, write JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--real-data", type=Path, default=REAL_DATA, help="folder of the labelled sets")
    parser.add_argument("--generated", type=Path, nargs=2, metavar=("RAW", "TRUTH"), help="output of generate_reviews.py")
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    arguments = parser.parse_args()
    results = {name: judge(read(arguments.real_data)) for name, read in SETS.items() if arguments.real_data.is_dir()}
    if arguments.generated:
        results["generated"] = judge(generated(*arguments.generated))
    Console().print(report(results))
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
