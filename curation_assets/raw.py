"""Raw assets, one a dataset: landing files taken in by arrival day, with freshness and refusal as checks.

The craft (reading, contract, ledger) is `curation.ingestion`; here stand partitions, metadata and what fails a run.
"""

import datetime
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path

import dagster as dg

from curation.dataset import Dataset
from curation.freshness import freshness
from curation.ingestion.inspection import batch_id, standing
from curation.ingestion.intake import pending, take_in
from curation.ingestion.landing import earliest_day
from curation.ingestion.ledger import Entry, Ledger
from curation.ingestion.sources import load_sources
from curation_assets import keys
from curation_assets.display import cell, rounded, table
from resources.home import Home, now, today


def arrival_days(home: Home, dataset: str) -> dg.DailyPartitionsDefinition:
    """One partition per arrival day (UTC), from the earliest day in landing up to and including today."""
    first = min(earliest_day(home.landing, dataset) or today(), today())  # a day in the future is a mistake, not a partition
    return dg.DailyPartitionsDefinition(start_date=first.isoformat(), end_offset=1)


def day_metadata(dataset: Dataset, entries: Sequence[Entry]) -> dict[str, object]:
    """What one arrival day brought, over its sources: counts to plot, the profile's moves and the refusals to read."""
    counts = {name: sum(getattr(entry.counts, name) for entry in entries) for name in ("valid", "malformed", "contract")}
    total = sum(counts.values())
    refused = [entry.message for entry in entries if entry.verdict == "refused"]
    shown: dict[str, object] = {
        "records_in": total,
        **counts,
        "bad_share": _share(counts["malformed"] + counts["contract"], total),
    }
    shown["refused_batches"] = len(refused)
    moved = [f"- {batch_id(entry)}: {cell(warning, 300)}" for entry in entries for warning in [*entry.moved, *entry.warnings]]
    if refused:
        shown["refusals"] = dg.MetadataValue.text("\n".join(refused))
    if moved:
        shown["moved_against_the_batch_before"] = dg.MetadataValue.md("\n".join(moved))
    times = {field.name for field in dataset.fields if field.type == "timestamp"}
    shown["profile"] = dg.MetadataValue.md(_profile_table(entries, times))
    for entry in entries:
        shown |= _source_figures(dataset, entry)
    return shown


def _share(part: int, whole: int) -> float:
    return rounded(part / whole) if whole else 0.0


def _source_figures(dataset: Dataset, entry: Entry) -> dict[str, float]:
    """One source's day in numbers, so that each gets a plot over the days: its counts, and for each field what drifts first."""
    counts, prefix = entry.counts, f"source {entry.source}:"
    figures: dict[str, float] = {f"{prefix} records in": counts.records_in}
    figures[f"{prefix} bad share"] = _share(counts.malformed + counts.contract, counts.records_in)
    for name, profile in entry.profile.items():
        # One line a field shows a change of type as well as values that stay away.
        figures[f"{prefix} {name}, of its usual type"] = rounded(max(map(profile.share, profile.types), default=0.0))
        field = dataset.field(name)
        typical = profile.length_mean if profile.length_mean is not None else profile.mean
        if field is not None and field.required and typical is not None:
            figures[f"{prefix} {name}, mean {'value' if profile.length_mean is None else 'length'}"] = rounded(typical)
    return figures


def _profile_table(entries: Sequence[Entry], times: AbstractSet[str]) -> str:
    rows = [
        [
            entry.source,
            name,
            ", ".join(f"{kind} {field.share(kind):.1%}" for kind in field.types),
            f"{field.share('missing'):.1%}",
            f"{field.share('null'):.1%}",
            field.distinct,
            _moment(field.minimum) if name in times else field.minimum,
            _moment(field.maximum) if name in times else field.maximum,
            field.length_mean,
        ]
        for entry in entries
        for name, field in entry.profile.items()
    ]
    return table(["source", "field", "types", "missing", "null", "distinct", "min", "max", "mean length"], rows)


def _moment(seconds: float | None) -> str:
    return "" if seconds is None else f"{datetime.datetime.fromtimestamp(seconds, datetime.UTC):%Y-%m-%d %H:%M}"


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
        metadata={"dagster/column_schema": _columns(dataset)},
        required_resource_keys={"home", f"{dataset.name}_writer"},
    )
    def raw(context: dg.AssetExecutionContext) -> None:
        home: Home = context.resources.home
        first, last = _days_asked(context)
        ledger, sources = Ledger(home.lake, dataset.name), load_sources(sources_path, dataset)
        waiting = pending(dataset, sources, home.landing, ledger, today=today(), from_day=first, to_day=last)
        for number, batch in enumerate(waiting.batches, 1):
            entry = take_in(dataset, sources.get(batch.source), batch, home.landing, ledger, now=now())
            context.log.info(f"{number} of {len(waiting.batches)}: {entry.message}")
        for told in [*waiting.notices, *(f"{problem.message}; {problem.fix}" for problem in waiting.problems)]:
            context.log.warning(told)
        _report(context, dataset, ledger, first, last)

    return raw


def _columns(dataset: Dataset) -> dg.TableSchema:
    """The columns that a reader looks for first; dbt's source lists them all."""
    own = {
        "record_id": "Batch, file and line.",
        dataset.key: "SHA-256 of source and native id.",
        "source": "Name in sources.yaml.",
    }
    columns = [dg.TableColumn(name, "string", description) for name, description in own.items()]
    return dg.TableSchema([*columns, *(dg.TableColumn(field.name, field.type, field.description) for field in dataset.fields)])


def _report(
    context: dg.AssetExecutionContext, dataset: Dataset, ledger: Ledger, first: datetime.date, last: datetime.date
) -> None:
    by_day: dict[datetime.date, list[Entry]] = {}
    for entry in standing(ledger, first, last):
        by_day.setdefault(entry.day, []).append(entry)
    for day in context.partition_keys:
        context.add_asset_metadata(day_metadata(dataset, by_day.get(datetime.date.fromisoformat(day), [])), partition_key=day)


def raw_checks(
    dataset: Dataset, key: dg.AssetKey, sources_path: Path, last: Sequence[dg.AssetKey], home: Home
) -> list[dg.AssetChecksDefinition]:
    """Refusals fail the run once all else is done; each source's freshness warns."""
    return [_acceptance_check(dataset, key, sources_path, last), _freshness_check(dataset, key, sources_path, home)]


def _acceptance_check(
    dataset: Dataset, key: dg.AssetKey, sources_path: Path, last: Sequence[dg.AssetKey]
) -> dg.AssetChecksDefinition:
    @dg.multi_asset_check(
        name=f"{dataset.name}_batches_accepted",
        specs=[
            dg.AssetCheckSpec(
                "every_batch_accepted",
                asset=key,
                additional_deps=list(last),
                description="No batch stands refused and nothing in landing is out of place. Last, so that all else goes through first.",
            )
        ],
    )
    def every_batch_accepted(home: dg.ResourceParam[Home]) -> Iterator[dg.AssetCheckResult]:
        ledger = Ledger(home.lake, dataset.name)
        waiting = pending(dataset, load_sources(sources_path, dataset), home.landing, ledger, today=today())
        wrong = [entry.message for entry in ledger.refused().values()] + [
            f"{problem.message}; {problem.fix}" for problem in waiting.problems
        ]
        yield dg.AssetCheckResult(
            check_name="every_batch_accepted",
            asset_key=key,
            passed=not wrong,
            metadata={
                "refused": len(ledger.refused()),
                "out_of_place": len(waiting.problems),
                "accepted": len(ledger.latest()),
                "what_is_wrong": dg.MetadataValue.text("\n".join(wrong) or "nothing"),
            },
        )
        if wrong:
            raise dg.Failure(description="\n".join(wrong), allow_retries=False)

    return every_batch_accepted


def _freshness_check(dataset: Dataset, key: dg.AssetKey, sources_path: Path, home: Home) -> dg.AssetChecksDefinition:
    sources = load_sources(sources_path, dataset)
    landed = {path.name for path in (home.landing / dataset.name).glob("*")}
    accepted = {entry.source for entry in Ledger(home.lake, dataset.name).entries()}
    # A check for each source that can be late; in an empty home, for all.
    arrived = sorted((landed | accepted) & set(sources)) or sorted(sources)

    @dg.multi_asset_check(
        name=f"{dataset.name}_freshness",
        specs=[
            dg.AssetCheckSpec(
                f"fresh_{name}", asset=key, description=f"The newest arrival day of {name} is not past its deadline."
            )
            for name in arrived
        ],
    )
    def fresh(home: dg.ResourceParam[Home]) -> Iterator[dg.AssetCheckResult]:
        states = {state.source: state for state in freshness(Ledger(home.lake, dataset.name), sources, now())}
        for name in arrived:
            state = states.get(name)
            yield dg.AssetCheckResult(
                check_name=f"fresh_{name}",
                asset_key=key,
                passed=state is None or not state.is_late,
                severity=dg.AssetCheckSeverity.WARN,
                description=state.told if state else f"{name} has delivered nothing yet",
                metadata={"hours_since_newest_day": round(state.age_h, 1), "deadline_hours": state.deadline_h} if state else {},
            )

    return fresh
