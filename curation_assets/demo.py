"""`curation demo`: the main job on a generated sample, as a user would run it, and then the loop (`demo_loop`). Wording and order only."""

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curation_assets import tables
from curation_assets.demo_loop import LoopReport, run_loop
from curation_assets.reviews.dataset import REVIEWS
from curation_assets.reviews.sample import first_day_of_sample, mend_drill, write_drill, write_sample
from curation_assets.runs import RunReport, run_dataset
from resources.home import Home, today
from resources.writer import WAIT_S

Tell = Callable[[str], None]


@dataclass
class DemoReport:
    """What the demo saw: the refusal of day five's first delivery, and the run that took in everything."""

    home: Path
    drill: RunReport | None
    last: RunReport
    loop: LoopReport | None  # None where the first act went wrong

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        acts = {
            "drill": self.drill.as_json() if self.drill else None,
            "loop": self.loop.as_json() if self.loop else None,
        }
        return {"home": str(self.home), **self.last.as_json(), **acts, "succeeded": self.succeeded}

    @property
    def succeeded(self) -> bool:
        """The drill was refused, if it took place, all else went through, and the loop came to a verdict."""
        first_act = self.last.succeeded and (self.drill is None or bool(self.drill.refused))
        return first_act and self.loop is not None and self.loop.succeeded

    @property
    def text(self) -> str:
        """The closing table and lines."""
        lines = ["", *([self.loop.text] if self.loop else [])]
        lines += [
            f"FAILED: {report.failure}" for report in (self.drill, self.last) if report and report.failure and not report.refused
        ]
        flag = f"--home {shlex.quote(str(self.home))}"
        lines += ["", f"look around: uv run curation status {flag}", f"next: uv run curation up {flag}"]
        return "\n".join(lines)


def _first_act(report: RunReport) -> str:
    """What the five days came to."""
    unchanged = all(batch["state"] == "unchanged" for batch in report.batches)
    lines = ["", tables.counts_grid(report.batches, report.total, by_day=True), ""]
    if unchanged:
        lines.append("nothing new: all batches, the snapshot and the model are unchanged")
    return "\n".join([*lines, tables.snapshot_line(report.snapshot), tables.model_line(report.model)])


def run_demo(home: Home, shown_as: Path, tell: Tell) -> DemoReport:
    """Five days of reviews from two sources, on day five a broken delivery that is refused, mended and accepted; then the loop.

    A second demo on the same home finds everything done and says so.
    """
    home.prepare()
    sample = write_sample(home.landing, first_day_of_sample(home.landing, today()))
    tell(
        f"{sample.records:,} generated reviews over {len(sample.days)} days in {home.landing / REVIEWS.name}"
        + ("" if sample.new_files else " (unchanged)")
    )
    drill = None
    if not sample.drill.is_mended:
        write_drill(sample.drill)
        tell(
            f"day five, {sample.drill.source}: {sample.drill.integers:,} of {sample.drill.records:,} user_segment values turned into integers"
        )
        drill = run_dataset(home, REVIEWS.name, None, None, "curated", WAIT_S, tell)
        for entry in drill.refused:
            tell(f"\nrefused, as it should be: {entry['message']}\n")
        mend_drill(sample.drill)
        tell("the corrected file is delivered")
    last = run_dataset(home, REVIEWS.name, None, None, "predictions", WAIT_S, tell)
    tell(_first_act(last))
    return DemoReport(shown_as, drill, last, run_loop(home, sample, tell) if last.succeeded else None)
