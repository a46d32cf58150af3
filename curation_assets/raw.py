"""Raw assets, one a dataset: landing files taken in by arrival day, with freshness and refusal as checks.

The craft (reading, contract, ledger) is `curation.ingestion`; here stand partitions, metadata and what fails a run.
"""

import datetime
from collections.abc import Iterator, Sequence
from pathlib import Path

import dagster as dg

from curation.dataset import Dataset
from curation.freshness import freshness
from curation.ingestion.intake import pending, take_in
from curation.ingestion.landing import earliest_day
from curation.ingestion.inspection import batch_id, standing
from curation.ingestion.ledger import Entry, Ledger
from curation.ingestion.sources import load_sources
from curation_assets import keys
from curation_assets.display import table
from resources.home import Home, today


def arrival_days(home: Home, dataset: str) -> dg.DailyPartitionsDefinition:
    """One partition per arrival day (UTC), from the earliest day in landing up to and including today."""
    return dg.DailyPartitionsDefinition(start_date=(earliest_day(home.landing, dataset) or today()).isoformat(), end_offset=1)


def day_metadata(entries: Sequence[Entry]) -> dict[str, object]:
    """What one arrival day brought, over its sources: counts to plot, the profile's moves and the refusals to read."""
    counts = {name: sum(getattr(entry.counts, name) for entry in entries) for name in ("malformed", "contract", "valid")}
    total = sum(counts.values())
    shown: dict[str, object] = {"records_in": total, **counts, "bad_share": (counts["malformed"] + counts["contract"]) / total if total else 0.0}
    moved = [f"- {batch_id(entry)}: {warning}" for entry in entries for warning in [*entry.moved, *entry.warnings]]
    refused = [f"- {entry.message}" for entry in entries if entry.verdict == "refused"]
    shown["refused_batches"] = len(refused)
    if moved:
        shown["moved_against_the_batch_before"] = dg.MetadataValue.md("\n".join(moved))
    if refused:
        shown["refusals"] = dg.MetadataValue.md("\n".join(refused))
    shown["profile"] = dg.MetadataValue.md(_profile_table(entries))
    return shown


def _profile_table(entries: Sequence[Entry]) -> str:
    rows = [
        [
            entry.source,
            name,
            ", ".join(f"{kind} {field.share(kind):.1%}" for kind in field.types),
            f"{field.share('missing'):.1%}",
            f"{field.share('null'):.1%}",
            field.distinct,
            field.minimum,
            field.maximum,
            field.length_mean,
        ]
        for entry in entries
        for name, field in entry.profile.items()
    ]
    return table(["source", "field", "types", "missing", "null", "distinct", "min", "max", "mean length"], rows)


def _days_asked(context: dg.AssetExecutionContext) -> tuple[datetime.date, datetime.date]:
    window = context.partition_key_range
    return datetime.date.fromisoformat(window.start), datetime.date.fromisoformat(window.end)


def raw_asset(dataset: Dataset, key: dg.AssetKey, sources_path: Path, home: Home) -> dg.AssetsDefinition:
    """The raw asset of a dataset: one row per record that met its source's contract, by arrival day."""

    @dg.asset(
        key=key,
        description=f"One row per raw record of {dataset.name} that met its source's contract; what did not is in quarantine.",
        partitions_def=arrival_days(home, dataset.name),
        backfill_policy=dg.BackfillPolicy.single_run(),
        pool=f"warehouse_{dataset.name}",
        group_name=dataset.name,
        owners=list(keys.OWNERS),
        kinds={"json", "parquet"},
        required_resource_keys={"home", f"{dataset.name}_writer"},
    )
    def raw(context: dg.AssetExecutionContext) -> None:
        home: Home = context.resources.home
        first, last = _days_asked(context)
        ledger, sources = Ledger(home.lake, dataset.name), load_sources(sources_path, dataset)
        waiting = pending(dataset, sources, home.landing, ledger, today=today(), from_day=first, to_day=last)
        for number, batch in enumerate(waiting.batches, 1):
            entry = take_in(dataset, sources[batch.source], batch, home.landing, ledger, now=_now())
            context.log.info(f"{number} of {len(waiting.batches)}: {entry.message}")
        for told in [*waiting.notices, *(f"{problem.message}; {problem.fix}" for problem in waiting.problems)]:
            context.log.warning(told)
        _report(context, ledger, first, last)

    return raw


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def _report(context: dg.AssetExecutionContext, ledger: Ledger, first: datetime.date, last: datetime.date) -> None:
    by_day: dict[datetime.date, list[Entry]] = {}
    for entry in standing(ledger, first, last):
        by_day.setdefault(entry.day, []).append(entry)
    for day in context.partition_keys:
        context.add_asset_metadata(day_metadata(by_day.get(datetime.date.fromisoformat(day), [])), partition_key=day)


def raw_checks(dataset: Dataset, key: dg.AssetKey, sources_path: Path, last: Sequence[dg.AssetKey], home: Home) -> list[dg.AssetChecksDefinition]:
    """Refusals fail the run once all else is done; each source's freshness warns."""
    sources = load_sources(sources_path, dataset)
    arrived = sorted({entry.source for entry in Ledger(home.lake, dataset.name).entries()} & set(sources)) or sorted(sources)

    @dg.multi_asset_check(
        name=f"{dataset.name}_batches_accepted",
        specs=[
            dg.AssetCheckSpec(
                "every_batch_accepted",
                asset=key,
                additional_deps=list(last),
                description="No batch stands refused. Runs last and fails the run, so that all other batches go through first.",
            )
        ],
    )
    def every_batch_accepted(home: dg.ResourceParam[Home]) -> Iterator[dg.AssetCheckResult]:
        ledger = Ledger(home.lake, dataset.name)
        refused = list(ledger.refused().values())
        yield dg.AssetCheckResult(
            check_name="every_batch_accepted",
            asset_key=key,
            passed=not refused,
            metadata={
                "refused": len(refused),
                "accepted": len(ledger.latest()),
                "refusals": dg.MetadataValue.md("\n".join(f"- {entry.message}" for entry in refused) or "none"),
            },
        )
        if refused:
            raise dg.Failure(description="\n".join(entry.message for entry in refused), allow_retries=False)

    @dg.multi_asset_check(
        name=f"{dataset.name}_freshness",
        specs=[
            dg.AssetCheckSpec(f"fresh_{name}", asset=key, description=f"The newest arrival day of {name} is not past its deadline.") for name in arrived
        ],
    )
    def fresh(home: dg.ResourceParam[Home]) -> Iterator[dg.AssetCheckResult]:
        states = {state.source: state for state in freshness(Ledger(home.lake, dataset.name), sources, _now())}
        for name in arrived:
            state = states.get(name)
            yield dg.AssetCheckResult(
                check_name=f"fresh_{name}",
                asset_key=key,
                passed=state is None or not state.is_late,
                severity=dg.AssetCheckSeverity.WARN,
                description=state.told if state else f"{name} has delivered nothing yet",
                metadata={"hours_since_newest_day": state.age_h, "deadline_hours": state.deadline_h} if state else {},
            )

    return [every_batch_accepted, fresh]

