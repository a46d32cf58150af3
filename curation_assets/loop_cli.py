"""The loop's commands: feedback over HTTP and from files, tokens, and the way back to a former champion. Thin, like `cli`."""

import dataclasses
import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from curation.errors import CurationError
from curation_assets.commands import DatasetArgument, HomeOption, JsonOption, answer, home_flag, teller
from feedback_service import PORT
from resources.home import Home, now

if TYPE_CHECKING:
    from pydantic import HttpUrl

    from feedback_service.tokens import Role

feedback_app = typer.Typer(no_args_is_help=True, help="What people and products say about predictions.")
token_app = typer.Typer(no_args_is_help=True, help="Who may send feedback over HTTP.")


def rollback(
    dataset: DatasetArgument,
    reason: Annotated[str, typer.Option(help="Why; it is kept in the promotion log.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make the former champion champion again. Its predictions stand as they were; a second rollback goes one further back."""
    from curation_assets.datasets import declared
    from curation_assets.promotion import roll_back
    from resources.model_registry import ModelRegistry

    known, where = declared(dataset), Home.find(home).checked()
    decision = roll_back(
        where, known, ModelRegistry(where.mlflow), by=f"{getpass.getuser()}, command line", why=reason, now=now()
    )
    text = f"champion of {dataset}: model {decision.champion.version}, trained on {decision.champion.snapshot_version} (decision {decision.number})"
    answer(decision.model_dump(mode="json"), as_json, f"{text}\nnext: uv run curation run {dataset}{home_flag(home)}")


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=0, max=65535)] = PORT,
    allow_host: Annotated[list[str] | None, typer.Option(help="A further name that clients may call it by.")] = None,
    behind_proxy: Annotated[bool, typer.Option("--behind-proxy", help="A proxy in front of it does TLS.")] = False,
    certificate: Annotated[Path | None, typer.Option(help="TLS certificate (PEM).")] = None,
    key: Annotated[Path | None, typer.Option(help="Its private key (PEM).")] = None,
    dagster_url: Annotated[str | None, typer.Option(help="Where Dagster's UI is, for links.")] = None,
    mlflow_url: Annotated[str | None, typer.Option(help="Where MLflow's UI is, for links.")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take in feedback over HTTP and serve the pages; answers only what is safely in the log. Loopback and no tokens unless told otherwise."""
    from curation_assets.datasets import PROMPTS, served_datasets
    from feedback_service.server import serve as serve_feedback
    from feedback_service.settings import Settings

    settings = Settings(
        host=host,
        port=port,
        allow_hosts=tuple(allow_host or ()),
        is_behind_proxy=behind_proxy,
        certificate=certificate,
        key=key,
        dagster_url=_url(dagster_url, "--dagster-url"),
        mlflow_url=_url(mlflow_url, "--mlflow-url"),
    )
    serve_feedback(Home.find(home).prepare(), served_datasets(), settings, teller(as_json), PROMPTS)


def _url(given: str | None, option: str) -> "HttpUrl | None":
    from pydantic import HttpUrl, ValidationError

    try:
        return HttpUrl(given) if given else None
    except ValidationError:
        raise CurationError(f"{option} {given!a} is no address", "write it as http://127.0.0.1:3000") from None


@feedback_app.command("import")
def feedback_import(
    file: Annotated[Path, typer.Argument(help="CSV with a header, or JSON lines; columns are the fields of an event.")],
    dataset: Annotated[str, typer.Option(help="The dataset of rows that name none.")] = "reviews",
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Append a file of events to the feedback log: whole or not at all, and the same file again changes nothing."""
    from curation.feedback.importing import import_file
    from curation_assets.datasets import PROMPTS, declared, labels_by_dataset
    from curation_assets.loop import feedback_log

    if dataset not in PROMPTS:
        declared(dataset)
    where = Home.find(home).prepare()
    with feedback_log(where) as log:
        imported = import_file(log, file, labels_by_dataset(), dataset=dataset, now=now())
    text = f"{imported.accepted:,} of {imported.rows:,} events are new, {imported.duplicates:,} were there already"
    then = f"labels export {dataset} --format dpo" if dataset in PROMPTS else f"status {dataset}"
    answer(dataclasses.asdict(imported), as_json, f"{text}\nnext: uv run curation {then}{home_flag(home)}")


@token_app.command("create")
def token_create(
    name: Annotated[str, typer.Argument(help="Whose it is: an annotator's name, or the source that a product writes as.")],
    role: Annotated[str, typer.Option(help="annotator: labels as NAME. capture: writes as source NAME. admin: everything.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a token and show it, once: only its hash is kept. From the first one on the service demands tokens."""
    from feedback_service.server import tokens_of

    token = tokens_of(Home.find(home).prepare()).make(name, cast("Role", role), now())
    answer({"name": name, "role": role, "token": token}, as_json, token)


@token_app.command("list")
def token_list(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Names and roles, without the tokens."""
    from feedback_service.server import tokens_of

    listed = [
        {"name": token.name, "role": token.role, "created_at": token.created_at.isoformat()}
        for token in tokens_of(Home.find(home).checked()).listed()
    ]
    text = "\n".join(f"{token['name']}  {token['role']}  since {token['created_at']}" for token in listed)
    answer(listed, as_json, text or "no tokens: the service serves loopback only, and asks nobody who they are")


@token_app.command("revoke")
def token_revoke(
    name: Annotated[str, typer.Argument(help="Whose token.")], home: HomeOption = None, as_json: JsonOption = False
) -> None:
    """Take a token back; a running service knows at once."""
    from feedback_service.server import tokens_of

    revoked = tokens_of(Home.find(home).prepare()).revoke(name)
    answer({"name": revoked.name, "role": revoked.role}, as_json, f"revoked: {revoked.name}, {revoked.role}")
