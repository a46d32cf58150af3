"""The run's hold on a dataset as a Dagster resource: taken before the first step, released after the last.

Works because the loop's runs use the in-process executor, which sets resources up once a run.
"""

import os
import shutil
from collections.abc import Iterator

import dagster as dg

from resources.home import Home
from resources.writer import WAIT_S, sole_writer


def writer_of(dataset: str, home: Home) -> dg.ResourceDefinition:
    """A resource that holds the dataset's lock while the run lasts. CURATION_WAIT_S overrides the patience of 30 minutes."""

    @dg.resource(description=f"The only writer of {dataset}.")
    def writer(context: dg.InitResourceContext) -> Iterator[None]:
        wait_s = float(os.environ.get("CURATION_WAIT_S") or WAIT_S)
        with sole_writer(home.prepare().lock(dataset), context.run_id or "unknown", wait_s):
            shutil.rmtree(home.lake / "tmp" / dataset, ignore_errors=True)  # what a killed writer left half-made
            yield None

    return writer
