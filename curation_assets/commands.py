"""What all commands share: their common options, where progress and answers go, and the words of a next step. No command stands here."""

import contextlib
import datetime
import json
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from curation.errors import CurationError

HomeOption = Annotated[
    Path | None,
    typer.Option("--home", help="CURATION_HOME: the folder with all state. Default: $CURATION_HOME, or data/ in the repository."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]
DatasetArgument = Annotated[str, typer.Argument(help="The dataset, such as reviews.")]


def say(line: str) -> None:
    """Progress and advice: to standard error, so that standard output stays data."""
    print(line, file=sys.stderr, flush=True)


def teller(as_json: bool) -> Callable[[str], None]:
    """How a command that runs until it is ended tells what happens: lines for people, or one JSON object a line."""
    return (lambda line: print(json.dumps({"event": line}), flush=True)) if as_json else say


def answer(value: Any, as_json: bool, text: str) -> None:
    """The command's result: as JSON or as text."""
    print(json.dumps(value, indent=1, default=str, ensure_ascii=False) if as_json else text, flush=True)


def home_flag(home: Path | None) -> str:
    """How the next command names the same home; nothing for the default."""
    return "" if home is None else f" --home {shlex.quote(str(home))}"


def parsed_day(text: str | None, option: str) -> datetime.date | None:
    """A day given on the command line."""
    if text is None:
        return None
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        raise CurationError(f"{option} {text!r} is no date", "write it as YYYY-MM-DD") from None


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Ctrl-C ends with a word and the exit code that shells give it."""
    try:
        yield
    except KeyboardInterrupt:
        say("stopped: what was finished stays, nothing is half written; the same command goes on from here")
        raise typer.Exit(130) from None
