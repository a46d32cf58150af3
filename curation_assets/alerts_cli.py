"""`curation alerts`: what is open and who has been told, and a test letter to every receiver. Thin, like `cli`."""

from typing import Annotated

import typer

from curation_assets import tables
from curation_assets.commands import HomeOption, JsonOption, answer
from resources.home import Home, now

alerts_app = typer.Typer(no_args_is_help=True, help="What people are told when something is wrong.")


@alerts_app.command("list")
def alerts_list(
    home: HomeOption = None,
    dataset: Annotated[str | None, typer.Option(help="Only those of this dataset.")] = None,
    as_json: JsonOption = False,
) -> None:
    """What is wrong now, what waits for which receiver, and the latest messages."""
    from curation.alerts.telling import alerts_told
    from curation_assets.datasets import declared

    if dataset is not None:
        declared(dataset)
    found = alerts_told(Home.find(home).checked().alerts, dataset, now())
    recent = [f"  {one['at']}  {one['title']}" for one in found["recent"]]
    answer(found, as_json, "\n".join([*tables.of_alerts(found), *(["latest messages:"] if recent else []), *recent]))


@alerts_app.command("test")
def alerts_test(as_json: JsonOption = False) -> None:
    """Send a test letter to every receiver of CURATION_ALERT_URLS. Exit code 1 where one does not take it."""
    from curation_assets import keys
    from resources.notifier import AlertSettings, try_receivers

    found = try_receivers(AlertSettings.read(), keys.OWNERS)
    lines = [f"{name}: {'taken' if why is None else f'FAILED, {why}'}" for name, why in found.items()]
    answer(found, as_json, "\n".join(lines))
    raise typer.Exit(0 if all(why is None for why in found.values()) else 1)
