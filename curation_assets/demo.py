"""`curation demo`: the main job on a generated sample, as a user would run it. Wording and order only; the work is elsewhere."""

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curation_assets import tables
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

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"home": str(self.home), "drill": self.drill.as_json() if self.drill else None, **self.last.as_json()}

    @property
    def succeeded(self) -> bool:
        """The drill was refused, if it took place, and all else went through."""
        return self.last.succeeded and (self.drill is None or bool(self.drill.refused))

    @property
    def text(self) -> str:
        """The closing table and lines."""
        unchanged = sum(batch["state"] == "unchanged" for batch in self.last.batches)
        lines = ["", tables.counts_grid(self.last.batches, self.last.total, by_day=True), ""]
        if unchanged == len(self.last.batches):
            lines.append("nothing new: all batches, the snapshot and the model are unchanged")
        lines += [tables.snapshot_line(self.last.snapshot), tables.model_line(self.last.model)]
        lines += [
            f"FAILED: {report.failure}" for report in (self.drill, self.last) if report and report.failure and not report.refused
        ]
        flag = f"--home {shlex.quote(str(self.home))}"
        lines += [f"look around: uv run curation quarantine reviews {flag}", f"next: uv run curation up {flag}"]
        return "\n".join(lines)


def run_demo(home: Home, shown_as: Path, tell: Tell) -> DemoReport:
    """Five days of reviews from two sources; on day five a broken delivery is refused, mended and accepted.

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
    return DemoReport(shown_as, drill, run_dataset(home, REVIEWS.name, None, None, "model", WAIT_S, tell))
