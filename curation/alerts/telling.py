"""The words of a message, one tick of the alerter, and what commands and pages tell of it.

A tick writes the book before it sends and after it has sent: whatever is killed in between is sent again, under the same id.
"""

import datetime
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from curation.alerts.book import (
    SILENT_S,
    Book,
    Heartbeat,
    Message,
    Open,
    attempted,
    due,
    observed,
    read_book,
    read_heartbeat,
    receiver_key,
    with_receivers,
    write_book,
    write_heartbeat,
)
from curation.alerts.causes import Cause, day_of
from curation.errors import CurationError

LOCK_NAME = ".lock"


@dataclass(frozen=True)
class Letter:
    """A message as it is sent: to whom, under which number, and its words."""

    url: str
    number: int
    title: str
    body: str


Send = Callable[[Sequence[Letter]], Mapping[tuple[str, int], str | None]]
"""Sends letters, those to one URL in their order up to the first that fails, and tells by URL and number why each was not taken,
None for one that was. A letter without an answer was not tried, or died on the way.
"""


@dataclass(frozen=True)
class Seen:
    """What one look saw: causes, and the scopes that could not be read, each with the reason."""

    causes: tuple[Cause, ...]
    unread: Mapping[str, str]


@dataclass(frozen=True)
class Ticked:
    """What a tick did: the messages it made, letters that were taken, and the book after it."""

    fresh: tuple[Message, ...]
    sent: int
    book: Book


def title_of(message: Message) -> str:
    """The first line of a message."""
    return f"[{'recovered' if message.is_recovery else 'alert'} {message.alert_id}] {message.cause.title}"


def body_of(message: Message, owners: Collection[str], dagster_url: str | None) -> str:
    """The lines of a message: what, owner, asset, field, file and line, next command, since when."""
    cause = message.cause
    base = dagster_url.rstrip("/") if dagster_url else None
    asset = f"{base}/assets/{cause.asset}" if base else cause.asset
    run = f"{base}/runs/{cause.run_id}" if base and cause.run_id else None
    place = f"{cause.file}{f', line {cause.line}' if cause.line is not None else ''}" if cause.file else None
    lines = {
        "what": f"recovered at {day_of(message.at)}; it was: {cause.told}" if message.is_recovery else cause.told,
        "owner": ", ".join(owners),
        "asset": asset,
        "run": run,
        "field": cause.field,
        "where": place,
        "next": None if message.is_recovery else cause.next,
        "since": day_of(message.opened_at),
        "text": cause.text or None,
    }
    return "\n".join(f"{name}: {value}" for name, value in lines.items() if value)


def tick(
    folder: Path,
    seen: Seen,
    urls: Sequence[str],
    send: Send,
    *,
    owners: Collection[str],
    dagster_url: str | None,
    now: datetime.datetime,
) -> Ticked:
    """One look told: new messages are on disk before any is sent, and stay there until each receiver has taken them.

    CurationError while another tick is at work, and where the book is damaged.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / LOCK_NAME, timeout=0):
            before = read_book(folder)
            book, fresh = observed(with_receivers(before, urls), seen.causes, seen.unread, now)
            if book != before:
                write_book(folder, book)
            letters = [
                Letter(url, message.number, title_of(message), body_of(message, owners, dagster_url))
                for url in dict.fromkeys(urls)
                for message in due(book, receiver_key(url), now)
            ]
            answers = send(letters) if letters else {}
            after = _after_sending(book, letters, answers, now)
            if after != book:
                write_book(folder, after)
            unread = tuple(f"{scope}: {why}" for scope, why in seen.unread.items())
            write_heartbeat(folder, Heartbeat(at=now, open=len(after.open), unsent=after.unsent, unread=unread))
    except Timeout:
        raise CurationError(f"another tick is at work in {folder}", "wait for it to end; it takes seconds") from None
    return Ticked(fresh, sum(why is None for why in answers.values()), after)


def _after_sending(
    book: Book, letters: Sequence[Letter], answers: Mapping[tuple[str, int], str | None], now: datetime.datetime
) -> Book:
    for url in dict.fromkeys(letter.url for letter in letters):
        numbers = [letter.number for letter in letters if letter.url == url]
        sent = {number for number in numbers if (url, number) in answers and answers[url, number] is None}
        failed = {number: why for number in numbers if (why := answers.get((url, number))) is not None}
        if not failed and not sent:  # it hung; one that took something is only slow, and gets the rest at the next tick
            failed = {numbers[0]: "no answer in time"}
        book = attempted(book, receiver_key(url), sent, failed, now)
    return book


def open_alerts(book: Book, dataset: str | None) -> tuple[Open, ...]:
    """What is wrong with a dataset, or with no dataset in particular; without `dataset` everything that is."""
    return tuple(one for one in book.open.values() if dataset is None or one.cause.scope.split("/")[0] in {dataset, "any"})


def alerts_told(folder: Path, dataset: str | None, now: datetime.datetime) -> dict[str, Any]:
    """What `curation status` and `curation alerts list` tell: open alerts (of a dataset, or all), what waits, and the last sign of life."""
    book, heartbeat = read_book(folder), read_heartbeat(folder)
    return {
        "open": [
            {"id": one.alert_id, "title": one.cause.title, "told": one.cause.told, "since": day_of(one.opened_at)}
            | {"field": one.cause.field, "file": one.cause.file, "line": one.cause.line, "next": one.cause.next}
            for one in open_alerts(book, dataset)
        ],
        "receivers": [
            {"name": f"{one.scheme} {key}", "waiting": len(one.pending), "failures": one.failures, "why": one.told}
            for key, one in book.receivers.items()
        ],
        "looked_at": heartbeat.at.isoformat() if heartbeat else None,
        "problems": list(alerter_oddities(folder, now)),
        "recent": [{"id": one.alert_id, "title": title_of(one), "at": day_of(one.at)} for one in reversed(book.messages[-20:])],
    }


def alerter_oddities(folder: Path, now: datetime.datetime) -> tuple[str, ...]:
    """One sentence per thing that keeps alerts from people: the alerter is silent, could not read, or a receiver does not answer.

    None before its first look: a home without `curation up` has no alerter. CurationError where a file of it is damaged.
    """
    heartbeat = read_heartbeat(folder)
    if heartbeat is None:
        return ()
    found = []
    if (silent_s := (now - heartbeat.at).total_seconds()) > SILENT_S:
        found.append(f"The alerter has been silent for {silent_s / 60:,.0f} min; is curation up running?")
    found += [f"The alerter could not read {told}." for told in heartbeat.unread]
    for key, one in read_book(folder).receivers.items():
        if one.failures:
            found.append(
                f"Receiver {one.scheme} {key} has failed {one.failures} times, {len(one.pending)} messages wait: {one.told}."
            )
    return tuple(found)
