"""The command line: thin. Each command parses, calls one library function, and prints; `--json` prints the same as data.

No rule lives here. Heavy imports stand inside the commands, so that `curation status` does not pay for Dagster.
"""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from curation.errors import CurationError
from curation_assets import tables
from curation_assets.alerts_cli import alerts_app
from curation_assets.commands import (
    DatasetArgument,
    HomeOption,
    JsonOption,
    answer,
    home_flag,
    parsed_day,
    say,
    stoppable,
    teller,
)
from curation_assets.labels_cli import labels_app
from curation_assets.lineage_cli import explain, impact
from curation_assets.loop_cli import feedback_app, rollback, serve, token_app
from feedback_service import PORT
from resources.home import QUIET, Home, now, today

app = typer.Typer(
    no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False, help="Training data that curates itself."
)
sources_app = typer.Typer(no_args_is_help=True, help="Declare where a dataset's records come from.")
dvc_app = typer.Typer(no_args_is_help=True, help="Landing and snapshots under stock DVC.")
app.add_typer(sources_app, name="sources")
app.add_typer(dvc_app, name="dvc")
app.add_typer(feedback_app, name="feedback")
app.add_typer(token_app, name="token")
app.add_typer(labels_app, name="labels")
app.add_typer(alerts_app, name="alerts")
app.command()(explain)
app.command()(impact)
app.command()(rollback)
app.command()(serve)


@app.command()
def demo(
    home: Annotated[Path, typer.Option("--home", help="Where the demo lives.")] = Path("data-demo"),
    as_json: JsonOption = False,
) -> None:
    """The main job on a generated sample: five days, two sources, a refused day, a snapshot, a model."""
    from curation_assets.demo import run_demo

    with stoppable():
        report = run_demo(Home.find(home), home, say)
    answer(report.as_json(), as_json, report.text)
    raise typer.Exit(0 if report.succeeded else 1)


@app.command()
def up(
    home: HomeOption = None,
    port: Annotated[int, typer.Option(help="Port of the UI on 127.0.0.1.", min=1, max=65485)] = 3000,
    feedback_port: Annotated[int, typer.Option(help="Port of the feedback service on 127.0.0.1.", min=1, max=65485)] = PORT,
    as_json: JsonOption = False,
) -> None:
    """Dagster's UI and daemon and the feedback service on one CURATION_HOME, history kept, until Ctrl-C."""
    from curation_assets.up import up as run_up

    raise typer.Exit(run_up(Home.find(home), port, feedback_port, teller(as_json)))


@app.command()
def ingest(
    dataset: DatasetArgument,
    source: Annotated[str, typer.Argument(help="A source of sources.yaml.")],
    files: Annotated[list[Path], typer.Argument(help="JSON arrays or lines; plain, .gz or .zst.")],
    date: Annotated[str | None, typer.Option("--date", help="Arrival day, YYYY-MM-DD (UTC). Default: today.")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Copy files into landing, whole or not at all."""
    from curation.ingestion.landing import copy_in
    from curation_assets.datasets import declared, declared_source

    where = Home.find(home).prepare()
    declared_source(declared(dataset), source)
    landed = copy_in(dataset, source, files, parsed_day(date, "--date") or today(), where.landing, today=today())
    shown = [str(path.relative_to(where.root)) for path in landed]
    answer({"landed": shown}, as_json, "\n".join([*shown, f"next: uv run curation run {dataset}{home_flag(home)}"]))


@app.command()
def run(
    dataset: DatasetArgument,
    first: Annotated[str | None, typer.Option("--from", help="First arrival day, YYYY-MM-DD.")] = None,
    last: Annotated[str | None, typer.Option("--to", help="Last arrival day, YYYY-MM-DD.")] = None,
    until: Annotated[str, typer.Option(help="Where to stop: curated, snapshot, model or predictions.")] = "predictions",
    retrain: Annotated[bool, typer.Option("--retrain", help="Train on people's new labels instead, to a verdict.")] = False,
    wait: Annotated[float, typer.Option(help="Seconds to wait for another run to end.")] = 1800.0,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Materialize everything pending, headless and through Dagster. Exit code 1 where a day is refused or a step fails.

    The first run trains the first model; from then on labels do, through the sensor, weekly, or with --retrain.
    """
    from curation_assets.datasets import declared
    from curation_assets.runs import UNTIL, retrain_dataset, run_dataset

    if until not in UNTIL:
        raise CurationError(f"--until {until!r} is unknown", f"one of {', '.join(UNTIL)}")
    declared(dataset)
    with stoppable():
        if retrain:
            report = retrain_dataset(Home.find(home), dataset, wait, say)
        else:
            report = run_dataset(
                Home.find(home), dataset, parsed_day(first, "--from"), parsed_day(last, "--to"), until, wait, say
            )
    answer(report.as_json(), as_json, tables.of_run(report, home_flag(home)))
    raise typer.Exit(0 if report.succeeded else 1)


@app.command()
def accept(
    dataset: DatasetArgument,
    source: Annotated[str, typer.Argument(help="The refused batch's source.")],
    day: Annotated[str, typer.Argument(help="The refused batch's arrival day.")],
    reason: Annotated[str, typer.Option(help="Why this batch is good enough; recorded beside the contract.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a refused batch in all the same: its bad records stay in quarantine, the reason is kept."""
    from curation.ingestion.ledger import Ledger
    from curation_assets.datasets import declared, declared_source

    declared_source(declared(dataset), source)
    when = parsed_day(day, "DAY")
    assert when is not None
    where = Home.find(home).prepare()
    Ledger(where.lake, dataset).accept(source, when, reason, now())
    answer(
        {"accepted": f"{source}/{when}", "reason": reason},
        as_json,
        f"accepted {source} {when}\nnext: uv run curation run {dataset}{home_flag(home)}",
    )


@app.command()
def quarantine(
    dataset: DatasetArgument,
    samples: Annotated[int, typer.Option(help="Records shown for each rule.")] = 3,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """What broke the contract or did not parse: by rule and field, with samples."""
    from curation.ingestion.inspection import quarantine_summary
    from curation.ingestion.ledger import Ledger
    from curation_assets.datasets import declared

    declared(dataset)
    found = quarantine_summary(Ledger(Home.find(home).checked().lake, dataset), max(samples, 0))
    answer(found, as_json, tables.of_quarantine(found))


@app.command()
def status(
    dataset: Annotated[str, typer.Argument(help="The dataset.")] = "reviews", home: HomeOption = None, as_json: JsonOption = False
) -> None:
    """What there is, what waits, what is late, what is refused."""
    from curation_assets.status import status_of

    found = status_of(Home.find(home).checked(), dataset)
    answer(found, as_json, tables.of_status(found, home_flag(home)))


@app.command()
def why(
    identity: Annotated[str, typer.Argument(metavar="ID", help="A native id or a uid.")],
    dataset: Annotated[str, typer.Option(help="The dataset.")] = "reviews",
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """A record's whole way in: every delivery of it, its file and line, and what became of each."""
    from curation_assets.way_in import way_in

    found = way_in(Home.find(home).checked(), dataset, identity)
    answer(found, as_json, tables.of_way_in(identity, found))


@app.command()
def diff(
    a: Annotated[str, typer.Argument(help="A snapshot version, such as v0001.")],
    b: Annotated[str, typer.Argument(help="Another one.")],
    dataset: Annotated[str, typer.Option(help="The dataset.")] = "reviews",
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Rows added, removed, relabelled, reweighted between two snapshots, and why."""
    from curation_assets.status import difference

    found = difference(Home.find(home).checked(), dataset, a, b)
    answer(found, as_json, tables.of_difference(found))


@app.command()
def verify(
    dataset: Annotated[str, typer.Argument(help="The dataset.")] = "reviews", home: HomeOption = None, as_json: JsonOption = False
) -> None:
    """Hold everything on disk against what was recorded of it. Exit code 1 where something differs."""
    from curation_assets.status import verified

    found = verified(Home.find(home).checked(), dataset)
    answer(found, as_json, tables.of_verification(found))
    raise typer.Exit(0 if found["intact"] else 1)


@sources_app.command("draft")
def draft(
    name: Annotated[str, typer.Argument(help="Name of the new source.")],
    file: Annotated[Path, typer.Argument(help="A file as the source delivers it.")],
    write: Annotated[bool, typer.Option("--write", help="Add the entry to sources.yaml.")] = False,
    dataset: Annotated[str, typer.Option(help="The dataset.")] = "reviews",
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read 1,000 records and print a ready entry for sources.yaml; every guess is marked."""
    from curation.ingestion.draft import draft_source
    from curation.ingestion.sources import add_source
    from curation_assets.datasets import declared

    known = declared(dataset)
    drafted = draft_source(name, file, known.dataset)
    if drafted.malformed:
        say(f"note: {drafted.malformed:,} of the records read are no JSON objects; they would go to quarantine")
    if drafted.missing:
        say(f"note: nothing was found for the required {', '.join(drafted.missing)}: say where it comes from before --write")
    if write:
        add_source(known.sources, drafted.yaml, known.dataset)
        say(f"added to {known.sources}\nnext: uv run curation ingest {dataset} {name} {file}{home_flag(home)}")
    answer({"name": name, "yaml": drafted.yaml, "written": write}, as_json, drafted.yaml)


@dvc_app.command("init")
def dvc_init(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Put landing and snapshots under stock DVC; later snapshots are added by themselves."""
    from curation.snapshots.dvc import init

    where = Home.find(home).prepare()
    init(where.root)
    told = f"landing and snapshots of {where.root} are under DVC"
    dvc = f"uv run dvc --cd {where.root}"
    answer({"dvc": str(where.root)}, as_json, f"{told}\nnext: {dvc} remote add -d NAME URL && {dvc} push")


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point: a user's mistake ends in one clear message and exit code 1, never in a traceback."""
    os.environ.update(QUIET)
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        app(args=given, prog_name="curation")
    except CurationError as error:
        _fail(error, "--json" in given)
    except OSError as error:  # a disk that is full or read-only may say so anywhere
        mended = CurationError(
            f"{error.filename or 'the disk'}: {error.strerror or error}", "make room or mend its permissions, then try again"
        )
        _fail(mended, "--json" in given)


def _fail(error: CurationError, as_json: bool) -> NoReturn:
    if as_json:
        print(json.dumps({"error": error.message, "fix": error.fix}))
    print(f"error: {error}", file=sys.stderr)
    sys.exit(1)


if __name__ == "__main__":
    main()
