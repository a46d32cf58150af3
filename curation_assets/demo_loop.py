"""The demo's second act: a product line that speaks differently, people who answer, the sensor, a challenger and its verdict.

What happens goes through the parts that users have: landing, the HTTP service, the sensor, the retrain job. Only the people are
simulated. Wording and order stand here; the sample and its annotators are in `reviews`.
"""

import contextlib
import datetime
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from curation.errors import CurationError
from curation.feedback.curated import ANNOTATORS, CuratedFeedback
from curation.label_queue import LabelQueue
from curation.predictions import PredictionStore
from curation.promotions import Decision, PromotionLog
from curation.training_rows import SPAM, place_of
from curation_assets import tables
from curation_assets.datasets import declared
from curation_assets.reviews.dataset import REVIEWS
from curation_assets.reviews.sample import Sample
from curation_assets.reviews.sample_annotators import ACCURACIES, Asked, answers, post
from curation_assets.reviews.sample_line import FORUM, write_line
from curation_assets.runs import RunReport, retrain_dataset, run_dataset
from resources.history import opened_history
from resources.home import REPOSITORY, Home, now
from resources.writer import WAIT_S

Tell = Callable[[str], None]
NAME = REVIEWS.name
AGO = datetime.timedelta(hours=1)  # people answered within the last hour


@dataclass(frozen=True)
class LoopReport:
    """What the loop did: the verdict, what it changed on old and new reviews, what people contributed."""

    verdict: Decision | None
    accuracy: dict[str, dict[str, float]]  # "before", "after" -> "old", "new" -> share of test items the champion has right
    labels: int  # that may train
    control_labels: int
    annotators: list[dict[str, Any]]
    failure: str | None

    @property
    def succeeded(self) -> bool:
        """The retrain reached a verdict."""
        return self.failure is None and self.verdict is not None

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        verdict = self.verdict.model_dump(mode="json", exclude={"figures"}) if self.verdict else None
        return {"succeeded": self.succeeded, **vars(self), "verdict": verdict}

    @property
    def text(self) -> str:
        """The closing tables."""
        if self.failure or self.verdict is None:
            return f"FAILED: {self.failure}"
        before, after = self.accuracy["before"], self.accuracy["after"]
        shown = [
            [f"{which} reviews", f"{before[which]:.3f}", f"{after[which]:.3f}", f"{100 * (after[which] - before[which]):+.1f}"]
            for which in ("old", "new")
        ]
        people = [[one["annotator"], one["votes"], f"{one['reliability']:.2f}", f"{one['truth']:.2f}"] for one in self.annotators]
        return "\n".join(
            [
                tables.grid(["accuracy on the test split", "before", "after", "points"], shown),
                "",
                tables.grid(["annotator", "labels", "reliability, learned", "in truth"], people),
                "",
                f"labels learned from: {self.labels:,}; of the control arm, for evaluation only: {self.control_labels:,}",
                f"verdict {self.verdict.number}: {self.verdict.why}",
            ]
        )


def run_loop(home: Home, sample: Sample, tell: Tell) -> LoopReport:
    """The second act on a home that has been through the first; once there is a verdict, only what it came to is told again."""
    line = write_line(home.landing, sample.days[-1])
    meant = {"old": sample.meant, "new": line.meant}
    failed: RunReport | None = None
    if len(PromotionLog(home.promotions, NAME).decisions()) < 2:
        tell(f"\na new product line: {line.records:,} posts of an e-bike {FORUM}, without stars, in other words than before")
        arrived = run_dataset(home, NAME, None, None, "predictions", WAIT_S, tell)
        failed = None if arrived.succeeded else arrived
        if failed is None:
            failed = _people_answer(home, meant, tell)
    return _report(home, meant, failed)


def _people_answer(home: Home, meant: Mapping[str, Mapping[str, str]], tell: Tell) -> RunReport | None:
    """Annotators label the queue over HTTP, the sensor looks, and where it asks for a retrain that run is made; it, if it failed."""
    before = accuracy_of(home, _champion_version(home), meant)
    tell(f"the champion has {before['old']:.1%} of the old reviews right and {before['new']:.1%} of the new ones")
    tell(f"the sensor: {_look(home)[1]}")
    asked = queue_items(home)
    events = answers(asked, {**meant["old"], **meant["new"]}, start=now() - AGO)
    with feedback_service(home) as address:
        posted = post(address, None, events)
    tell(f"{len(ACCURACIES)} annotators sent {posted.accepted:,} answers about {len(asked):,} queued reviews to {address}")
    tags, told = _look(home)
    tell(f"the sensor: {told}" + ("" if tags is None else "; it asks for a retrain"))
    if tags is None:
        raise CurationError(f"the sensor does not ask for a retrain: {told}", "remove the demo's folder and start again")
    retrained = retrain_dataset(home, NAME, WAIT_S, tell, tags)
    return None if retrained.failure is None else retrained


def _look(home: Home) -> tuple[Mapping[str, str] | None, str]:
    """One look of the real sensor: the tags of the run it asks for, None where it waits, and its words."""
    import dagster as dg

    from curation_assets.build import retrain_clocks

    sensors, _ = retrain_clocks()
    with opened_history(home) as instance:
        looked = sensors[0].evaluate_tick(dg.build_sensor_context(instance=instance, resources={"home": home}))
    if not looked.run_requests:
        return None, looked.skip_message or "it says nothing"
    request = looked.run_requests[0]
    return request.tags, f"the threshold is crossed (run key {request.run_key})"


def queue_items(home: Home) -> list[Asked]:
    """The label queue with what the champion said of each item, in the order to ask."""
    path = LabelQueue(home.lake / "label_queue", NAME).current()
    if path is None:
        raise CurationError(f"{NAME} has no label queue yet", f"curation run {NAME}")
    with _connected() as connection:
        PredictionStore(home.predictions, NAME).register(connection, "predicted", _champion_version(home))
        rows = connection.execute(
            "select queue.item_id, queue.prediction_id, predicted.label from read_parquet(?) as queue"
            " join predicted using (prediction_id) order by rank",
            [str(path)],
        ).fetchall()
    return [Asked(*row) for row in rows]


def accuracy_of(home: Home, version: int, meant: Mapping[str, Mapping[str, str]]) -> dict[str, float]:
    """Share of the test split's items that a model version has right, for each part of what is `meant`; spam is nobody's to get right."""
    found = {}
    with _connected() as connection:
        PredictionStore(home.predictions, NAME).register(connection, "predicted", version)
        for part, truth in meant.items():
            told = {item: label for item, label in truth.items() if label != SPAM}
            connection.register("meant", pa.table({"item_id": list(told), "label": list(told.values())}))
            row = connection.execute(
                "select avg((predicted.label = meant.label)::integer) from predicted join meant using (item_id)"
                f" where {place_of('item_id')} >= ?",
                [declared(NAME).policy.test_from],
            ).fetchone()
            found[part] = float(row[0]) if row and row[0] is not None else 0.0
    return found


@contextlib.contextmanager
def feedback_service(home: Home) -> Iterator[str]:
    """The address of a feedback service on a free port of loopback, gone at the end of the block, also of a sudden one."""
    command = [sys.executable, "-m", "curation_assets.cli", "serve", "--port", "0", "--home", str(home.root)]
    process = subprocess.Popen(
        [sys.executable, "-m", "resources.guardian", *command],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
    )
    try:
        assert process.stderr is not None  # asked for above
        said = ""
        for line in process.stderr:
            said += line
            if found := re.search(r"https?://\S+:\d+", line):
                yield found[0]
                return
        raise CurationError(f"the feedback service did not start: {said.strip()}", "mend what it names, and run again")
    finally:
        if process.stdin:
            process.stdin.close()
        process.wait()


def _champion_version(home: Home) -> int:
    champion = PromotionLog(home.promotions, NAME).champion()
    if champion is None:
        raise CurationError(f"{NAME} has no champion yet", f"curation run {NAME} trains the first")
    return champion.version


def _connected() -> duckdb.DuckDBPyConnection:
    return duckdb.connect(config={"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"})


def _report(home: Home, meant: Mapping[str, Mapping[str, str]], failed: RunReport | None) -> LoopReport:
    decisions = PromotionLog(home.promotions, NAME).decisions()
    book = CuratedFeedback(home.lake, NAME)
    state, annotators = book.current(), book.file(ANNOTATORS)
    if failed is not None or len(decisions) < 2 or state is None or annotators is None:
        failure = failed.failure if failed else "there is no verdict"
        return LoopReport(None, {}, 0, 0, [], failure or "a batch was refused")
    versions = {"before": decisions[0].champion.version, "after": decisions[1].champion.version}
    people = pq.read_table(annotators).to_pylist()
    return LoopReport(
        verdict=decisions[1],
        accuracy={when: accuracy_of(home, version, meant) for when, version in versions.items()},
        labels=state.trainable,
        control_labels=state.control,
        annotators=[{**one, "truth": ACCURACIES[one["annotator"]]} for one in people if one["annotator"] in ACCURACIES],
        failure=None,
    )
