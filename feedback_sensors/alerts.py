"""The alerter as a Dagster sensor: it looks every minute, tells what is new, and leaves a sign of life. Starts no run.

Facts are `alert_facts`, what is told to whom `curation.alerts`, sending `resources.notifier`.
"""

from collections.abc import Collection, Sequence

import dagster as dg

from curation.alerts.telling import Ticked, tick, title_of
from feedback_sensors.alert_facts import Alerted, failed_runs, look_at
from resources.home import Home, now
from resources.notifier import AlertSettings, Notifier

SENSOR_NAME = "alerts"
LOOK_S = 60


def alerts_sensor(
    datasets: Sequence[Alerted], owners: Collection[str], *, minimum_interval_seconds: int = LOOK_S
) -> dg.SensorDefinition:
    """A running sensor `alerts` that starts nothing: one alert per cause until it recovers, then one recovery. Needs `home`."""

    @dg.sensor(
        name=SENSOR_NAME,
        minimum_interval_seconds=minimum_interval_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Tells people what is wrong, once per cause, and once when it is over. Without CURATION_ALERT_URLS it tells the log.",
    )
    def sensor(context: dg.SensorEvaluationContext, home: dg.ResourceParam[Home]) -> dg.SkipReason:
        settings, notifier = AlertSettings.read(), Notifier()
        at = now()
        seen = look_at(home.prepare(), datasets, lambda: failed_runs(context.instance), with_texts=settings.with_texts, now=at)
        ticked = tick(home.alerts, seen, settings.urls, notifier.send, owners=owners, dagster_url=settings.dagster_url, now=at)
        for message in ticked.fresh:
            (context.log.info if message.is_recovery else context.log.warning)(f"{title_of(message)}: {message.cause.told}")
        for scope, why in seen.unread.items():
            context.log.error(f"{scope} could not be read: {why}")
        if settings.heartbeat_url and not notifier.beat(settings.heartbeat_url):
            context.log.warning("the monitor at CURATION_HEARTBEAT_URL did not answer")
        return dg.SkipReason(_told(ticked, len(seen.unread), len(settings.urls)))

    return sensor


def _told(ticked: Ticked, unread: int, receivers: int) -> str:
    """The tick in one line: what is open, what is new, what waits."""
    book = ticked.book
    titles = "; ".join(entry.cause.title for entry in list(book.open.values())[:5])
    told = f"{len(book.open)} open{f' ({titles})' if titles else ''}, {len(ticked.fresh)} new messages"
    told += f", {ticked.sent} sent, {book.unsent} waiting" if receivers else "; no receiver, the log is told"
    return f"{told}, {unread} facts could not be read" if unread else told
