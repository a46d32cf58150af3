"""What the loop costs: a tick of the sensor with a long history, and the way from the crossed threshold to the verdict.

`uv run python -m benchmarks.loop` prints a table and writes JSON. CPU seconds of whole processes, or of the sensor's own function;
the history is made through the real log and drain, the retrain is the demo's.
"""

import argparse
import datetime
import json
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import duckdb

from benchmarks.measuring import measured, printed
from curation.feedback.counting import count_labels
from curation.feedback.events import Event, prediction_id_of
from curation.feedback.log import FeedbackLog
from curation_assets.datasets import declared, labels_by_dataset
from curation_assets.demo_loop import queue_items
from curation_assets.loop import feedback_table
from curation_assets.reviews.sample import first_day_of_sample, mend_drill, write_sample
from curation_assets.reviews.sample_annotators import answers
from curation_assets.reviews.sample_line import write_line
from resources.home import REPOSITORY, Home, now, today

NEW_EVENTS = 500  # above the watermark, when ticks are measured
TICKS = 15
AT_ONCE = 5_000
ITEMS = 300_000
LABELS = ("negative", "neutral", "positive")
START = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


def history(count: int) -> Iterator[list[Event]]:
    """`count` events of 40 annotators on ITEMS items, in lists of AT_ONCE: others on each round, every seventh time of another mind."""
    for first in range(0, count, AT_ONCE):
        yield [
            Event(
                event_id=uuid.uuid5(uuid.NAMESPACE_OID, str(number)),
                dataset="reviews",
                prediction_id=prediction_id_of("reviews", f"{number * 7919 % ITEMS:064x}", "ab" * 32, "text"),
                item_id=None,
                kind="label",
                label=LABELS[(number + (number // ITEMS if number % 7 == 0 else 0)) % 3],
                annotator=f"annotator-{(number + number // ITEMS) % 40}",
                source="benchmark",
                reason=None,
                occurred_at=START + datetime.timedelta(seconds=number),
                context=None,
            )
            for number in range(first, min(first + AT_ONCE, count))
        ]


def with_history(home: Home, count: int) -> None:
    """Fill the log of a home with `count` events on as many predictions, and drain it."""
    part = home.predictions / "reviews" / "model=0001" / "day=2026-01-01" / "0001.parquet"
    part.parent.mkdir(parents=True)
    with duckdb.connect() as connection:
        suffix = prediction_id_of("reviews", "x", "ab" * 32, "text").rpartition(":")[2]
        connection.execute(
            f"copy (select 'reviews:' || printf('%064x', i) || ':{suffix}' as prediction_id, 'reviews' as dataset,"
            f" printf('%064x', i) as item_id, 'neutral' as label from range({max(ITEMS, count)}) as t(i)) to '{part}' (format parquet)"
        )
    with FeedbackLog(home.feedback_log, home.subject_key()) as log:
        for events in history(count):
            log.append([events], now=now(), received_as=[None])
        waiting = 1
        while waiting:
            with feedback_table(home).drained(log, labels_by_dataset(), now=now()) as (drained, _):
                waiting = drained.waiting


def tick_cpu_ms(count: int) -> tuple[float, float]:
    """CPU ms of what a tick does with nothing to drain (open, drain, count above a watermark, close): median and largest."""
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder)).prepare()
        with_history(home, count)
        policy, spent = declared("reviews").policy, []
        for _ in range(TICKS + 1):  # the first warms up
            started = time.process_time()
            with (
                FeedbackLog(home.feedback_log, home.subject_key()) as log,
                feedback_table(home).drained(log, labels_by_dataset(), now=now()) as (_, connection),
            ):
                counted = count_labels(connection, "reviews", policy.labels, count - NEW_EVENTS, policy.test_from)
            spent.append(1e3 * (time.process_time() - started))
        assert counted.events == NEW_EVENTS
        return statistics.median(spent[1:]), max(spent[1:])


def crossing_to_verdict_cpu_s(folder: Path) -> tuple[float, str]:
    """CPU s of the process that retrains in the demo's size, predictions and queue after the verdict included; and its decision."""
    home = Home(folder).prepare()
    sample = write_sample(home.landing, first_day_of_sample(home.landing, today()))
    mend_drill(sample.drill)
    command = [sys.executable, "-m", "curation_assets.cli", "run", "reviews", "--home", str(folder), "--json"]
    measured(command, cwd=REPOSITORY)
    line = write_line(home.landing, sample.days[-1])
    measured(command, cwd=REPOSITORY)
    said = answers(queue_items(home), {**sample.meant, **line.meant}, start=now() - datetime.timedelta(hours=1))
    events = folder / "events.jsonl"
    events.write_text("".join(json.dumps(event) + "\n" for event in said))
    importing = [sys.executable, "-m", "curation_assets.cli", "feedback", "import", str(events), "--home", str(folder)]
    measured(importing, cwd=REPOSITORY)
    cost = measured([*command, "--retrain"], cwd=REPOSITORY)
    return cost.cpu_s, json.loads(cost.output)["champion"]["decision"]


def main() -> None:
    """Measure; print the table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000, help="history of the measured ticks")
    parser.add_argument("--output", type=Path, default=REPOSITORY / "bench-results" / "loop.json")
    chosen = parser.parse_args()
    median_ms, largest_ms = tick_cpu_ms(chosen.events)
    with tempfile.TemporaryDirectory() as folder:
        cpu_s, decision = crossing_to_verdict_cpu_s(Path(folder))
    header = ["what", "measured", "reach"]
    table = [
        [
            f"a tick with {chosen.events:,} events of history, CPU ms (median, largest)",
            f"{median_ms:.0f}, {largest_ms:.0f}",
            "100",
        ],
        [f"from the crossed threshold to the verdict ({decision}) and the new queue, CPU s", f"{cpu_s:.1f}", "45"],
    ]
    print(printed(header, table))
    chosen.output.parent.mkdir(parents=True, exist_ok=True)
    chosen.output.write_text(json.dumps({"header": header, "table": table}, indent=1))


if __name__ == "__main__":
    main()
