"""What someone says about a prediction or an item: the event, its canonical bytes, and the checks every door shares.

HTTP, files and hand-made rows all come through here, so that what one refuses no other takes. Strict JSON, no coercion; an error
names the field by its JSON path and says what to do. Nothing is stored, and whether a prediction exists is for the drain.
"""

import difflib
import hashlib
import json
import math
import re
import uuid
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, get_args

import orjson
import pyarrow as pa
from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, StringConstraints, ValidationError

from curation.errors import CurationError
from curation.feedback.pairs import PAIR_FIX, is_of_prompts, pair_problem
from curation.training_rows import SPAM

Kind = Literal["label", "agree", "disagree", "spam", "skip", "withdraw", "adjudicate", "preference"]
KINDS: tuple[Kind, ...] = get_args(Kind)
ADJUDICATE: Kind = "adjudicate"
"""Decides an item for everybody, whatever others have said; who may send it, is for each door to say."""
PREFERENCE: Kind = "preference"
"""Which of two answers to a prompt is the better one; see `curation.feedback.pairs`."""
LABELLED: frozenset[Kind] = frozenset({"label", ADJUDICATE, PREFERENCE})
"""Kinds that need a label."""
LabelsOf = Mapping[str, tuple[str, ...]]
"""Dataset -> its labels."""

EVENTS_AT_MOST = 1_000
ITEM_ID_CHARACTERS_AT_MOST = 300
CONTEXT_BYTES_AT_MOST = 8_192  # of canonical JSON
CONTEXT_LEVELS_AT_MOST = 20  # the context itself is the first
AHEAD_AT_MOST = timedelta(minutes=5)  # clocks of phones and laptops are seldom further off
EVENT_NAMESPACE = uuid.UUID("5c1a2f0e-6f0b-5d3c-9d55-0a4f6f6c7a11")  # of ids derived from records; changing it doubles imports

LOGGED = pa.schema(
    [
        ("seq", pa.int64()),
        ("event_id", pa.string()),
        ("dataset", pa.string()),
        ("prediction_id", pa.string()),
        ("item_id", pa.string()),
        ("kind", pa.string()),
        ("label", pa.string()),
        ("annotator", pa.string()),
        ("source", pa.string()),
        ("reason", pa.string()),
        ("occurred_at", pa.timestamp("us", "UTC")),
        ("received_at", pa.timestamp("us", "UTC")),
        ("received_as", pa.string()),
        ("subject", pa.string()),
        ("context", pa.string()),
    ]
)
"""One row per logged event. `item_id` and `occurred_at` are filled; `subject` is the annotator's keyed id, `context` JSON text."""

_PREDICTION_ID = re.compile(r"([a-z][a-z0-9_]{0,40}):(.+):([0-9a-f]{16})", re.DOTALL)
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_ID = r"^[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f][^\x00-\x1f\x7f]*$"  # no control character, something visible
_RECORD_JSON = json.JSONEncoder(sort_keys=True, default=str)  # escapes all but ASCII, so that it takes what no check has seen yet
_PLAIN = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"


class EventError(CurationError):
    """An event that is refused: `field` is its JSON path, such as `[3].label`; `body` where it is the JSON as a whole."""

    def __init__(self, field: str, problem: str, fix: str | None = None) -> None:
        super().__init__(f"{field} {problem}", fix)
        self.field = field
        self.problem = problem

    def within(self, path: str) -> "EventError":
        """The same error, its field named from further outside: `label` within `[3]` is `[3].label`."""
        return EventError(f"{path}.{self.field}", self.problem, self.fix)


def _as_uuid(value: object) -> object:
    """A UUID from its usual form; what is neither is refused (pydantic would take braces, URNs and bytes too)."""
    if isinstance(value, str) and _UUID.fullmatch(value):
        return uuid.UUID(value)
    if isinstance(value, uuid.UUID):
        return value
    raise ValueError("must be a UUID; 36 characters such as 0f3c8f5e-8a51-4c0e-9b53-6b1f7f1f2a10")


def _as_utc(value: object) -> object:
    """A moment in UTC from ISO 8601 text or a datetime; naive ones are refused, and numbers, which pydantic would take."""
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        moment = None
    if not isinstance(moment, datetime) or not 1 < moment.year < 9999:  # the first and last hours have no UTC
        raise ValueError("must be a time in ISO 8601; such as 2026-03-05T14:30:00Z")
    if moment.tzinfo is None:
        raise ValueError("has no time zone; end it with Z or an offset such as +02:00")
    return moment.astimezone(UTC)


class Event(BaseModel):
    """One statement of one annotator about one prediction or item, as it was sent. Made by `parse_events`, `checked_event`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    event_id: Annotated[uuid.UUID, BeforeValidator(_as_uuid)]
    dataset: str
    prediction_id: Annotated[str, StringConstraints(max_length=360)] | None = None
    item_id: Annotated[str, StringConstraints(max_length=ITEM_ID_CHARACTERS_AT_MOST, pattern=_ID)] | None = None
    kind: Kind
    label: str | None = None
    annotator: Annotated[str, StringConstraints(max_length=100, pattern=_ID)]
    source: Annotated[str, StringConstraints(max_length=100, pattern=_PLAIN)]
    reason: Annotated[str, StringConstraints(max_length=1_000, pattern=r"^[^\x00]*$")] | None = None
    occurred_at: Annotated[AwareDatetime | None, BeforeValidator(_as_utc)] = None
    context: dict[str, Any] | None = None

    @property
    def item(self) -> str:
        """The item judged: `item_id`, or the one within the prediction's id."""
        return self.item_id or parts_of(self.prediction_id or "")[1]

    def body(self) -> bytes:
        """Canonical JSON of what was sent (sorted keys, UTC, nulls left out): a replay has the same bytes."""
        fields = {name: value for name, value in self.__dict__.items() if value is not None}
        return orjson.dumps(fields, option=orjson.OPT_SORT_KEYS | orjson.OPT_UTC_Z)


_FIELDS = frozenset(Event.model_fields)
_REQUIRED = tuple(name for name, field in Event.model_fields.items() if field.is_required())


def parse_events(raw: bytes, labels: LabelsOf, *, now: datetime, annotator: str | None = None) -> tuple[Event, ...]:
    """The events of a request: `raw` is one JSON object or a list of 1 to 1,000; `annotator` fills one that is missing.

    EventError at the first thing wrong. Two events under one id are left to the log, which knows what it already holds.
    """
    parsed = _loaded(raw)
    is_list = isinstance(parsed, list)
    records = parsed if is_list else [parsed]
    if not 1 <= len(records) <= EVENTS_AT_MOST:
        raise EventError("body", f"holds {len(records):,} events", f"send 1 to {EVENTS_AT_MOST:,} in a request")
    latest = now + AHEAD_AT_MOST
    events = []
    for place, record in enumerate(records):
        path = f"[{place}]" if is_list else "body"
        if not isinstance(record, dict):
            raise EventError(path, f"must be an object; found {_kind_of(record)}", "send one event, or a list of events")
        try:
            events.append(_checked(record, labels, latest, annotator))
        except EventError as error:
            raise (error.within(path) if is_list else error) from None
    _refuse_repeated_keys(raw, parsed)
    return tuple(events)


def checked_event(fields: Mapping[str, object], labels: LabelsOf, *, now: datetime, annotator: str | None = None) -> Event:
    """The event of one record from elsewhere than HTTP (a file's row, a hand-made row of the table), or EventError.

    Nulls count as missing; `context` may be JSON text, `event_id` a UUID, `occurred_at` a datetime. A record without `event_id`
    gets `derived_event_id` of its checked fields, so that the same record again is the same event.
    """
    record = {name: value for name, value in fields.items() if value is not None}
    if isinstance(record.get("context"), str):
        record["context"] = parsed_json(str(record["context"]), "context")
    if "event_id" in record:
        return _checked(record, labels, now + AHEAD_AT_MOST, annotator)
    event = _checked(record | {"event_id": EVENT_NAMESPACE}, labels, now + AHEAD_AT_MOST, annotator)
    return event.model_copy(update={"event_id": derived_event_id(event.model_dump(exclude={"event_id"}))})


def derived_event_id(fields: Mapping[str, object]) -> uuid.UUID:
    """UUID version 5 of the non-null fields but `event_id`: the same record has the same id, on every machine."""
    record = {
        name: value.astimezone(UTC).isoformat() if isinstance(value, datetime) and value.tzinfo else value
        for name, value in fields.items()
        if value is not None and name != "event_id"
    }
    return uuid.uuid5(EVENT_NAMESPACE, _RECORD_JSON.encode(record))


def parsed_json(text: str | bytes, field: str = "body") -> object:
    """The value of strict JSON text: no NaN, no lone surrogate, no key twice. EventError naming `field`."""
    value = _loaded(text, field)
    try:
        _refuse_repeated_keys(text.encode() if isinstance(text, str) else text, value, field)
    except (TypeError, RecursionError):  # orjson reads 1,024 levels, and writes 254
        raise EventError(field, "is nested too deeply", "flatten it") from None
    return value


def prediction_id_of(dataset: str, item_id: str, model_sha256: str, text: str) -> str:
    """`dataset:item:suffix`, one prediction per model, item and text; the suffix is 16 hex digits of a SHA-256 of model and text."""
    digest = hashlib.sha256(f"{model_sha256}\0{text}".encode()).hexdigest()
    return f"{dataset}:{item_id}:{digest[:16]}"


def parts_of(prediction_id: str) -> tuple[str, str, str]:
    """(dataset, item_id, suffix) of a prediction's id; EventError when it is none. An item's id may hold colons."""
    found = _PREDICTION_ID.fullmatch(prediction_id)
    if found is None:
        raise EventError(
            "prediction_id", "must read dataset:item:16 hex digits", "send it as the predictions or the queue give it"
        )
    return found[1], found[2], found[3]


def nearest(word: object, known: Iterable[str]) -> str | None:
    """A hint such as `did you mean "positive"?`, or None where nothing is near."""
    close = difflib.get_close_matches(str(word)[:100], list(known), n=1)
    return f'did you mean "{close[0]}"?' if close else None


def _loaded(text: str | bytes, field: str = "body") -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise EventError(field, f"is no valid JSON: {error}", "send strict JSON in UTF-8") from None


def _refuse_repeated_keys(raw: bytes, parsed: Any, field: str = "body") -> None:
    """Refuse an object that has a key twice: one reader takes the first, another the last.

    orjson keeps the last without a word. Written again, the text then has fewer quotation marks: counting them costs a tenth of
    what reading everything with Python's own parser does, which only runs where the counts differ or an escape could mask one.
    """
    if raw.count(b'"') == orjson.dumps(parsed).count(b'"') and b"\\u0022" not in raw:
        return

    def once(pairs: list[tuple[str, object]]) -> None:
        names = [name for name, _ in pairs]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise EventError(field, f"has the key {_shown(twice)} twice in one object", "leave one of them out")

    json.loads(raw, object_pairs_hook=once, parse_int=str, parse_float=str)


def _checked(record: dict[str, Any], labels: LabelsOf, latest: datetime, annotator: str | None) -> Event:
    """The event of one record; fields are named without the record's own place."""
    if annotator is not None and record.get("annotator") is None:
        record = record | {"annotator": annotator}
    if not record.keys() <= _FIELDS:
        unknown = next(name for name in record if name not in _FIELDS)
        fix = nearest(unknown, _FIELDS) or f"known are {', '.join(Event.model_fields)}"
        raise EventError(unknown if unknown.isidentifier() else json.dumps(unknown[:60]), "is no field of an event", fix)
    try:
        event = Event.model_validate(record)
    except ValidationError as error:
        raise _told(error, record) from None
    _check_what(event, labels)
    _check_which(event)
    if is_of_prompts(labels[event.dataset]):
        _check_pair(event)
    if event.occurred_at is not None and event.occurred_at > latest:
        raise EventError(
            "occurred_at", "lies in the future by more than 5 minutes", "set the clock of the sender, or leave it out"
        )
    if event.context is not None:
        _check_context(event.context)
    return event


def _check_what(event: Event, labels: LabelsOf) -> None:
    """The dataset is known, and the label is one of its own exactly where the kind needs one; an adjudication may find spam too."""
    known = labels.get(event.dataset)
    if known is None:
        problem = f"must be one of {', '.join(sorted(labels))}; found {_shown(event.dataset)}"
        raise EventError("dataset", problem, nearest(event.dataset, labels))
    if is_of_prompts(known):
        if event.kind in {"label", "spam"}:
            fix = "send kind preference for two answers, agree or disagree for one"
            raise EventError("kind", f"must not be {event.kind}: {event.dataset} holds prompts and answers", fix)
    elif event.kind == PREFERENCE:
        raise EventError("kind", f"must not be preference: {event.dataset} holds no prompts and answers", "send kind label")
    elif event.kind == ADJUDICATE and SPAM not in known:
        known = (*known, SPAM)
    if event.kind not in LABELLED:
        if event.label is not None:
            raise EventError("label", f"must be left out where kind is {event.kind}", "leave it out, or send kind label")
    elif event.label is None:
        raise EventError("label", "is missing", f"kind {event.kind} needs one of {', '.join(known)}")
    elif event.label not in known:
        problem = f"must be one of {', '.join(known)}; found {_shown(event.label)}"
        raise EventError("label", problem, nearest(event.label, known))


def _check_which(event: Event) -> None:
    """There is a prediction or an item, the prediction where the kind speaks of one, and the two agree."""
    if event.prediction_id is None:
        if event.kind in {"agree", "disagree"}:
            raise EventError("prediction_id", "is missing", f"kind {event.kind} is about a prediction: name it")
        if event.item_id is None:
            raise EventError(
                "item_id", "is missing", "name what is judged: prediction_id, or item_id where there is no prediction"
            )
        return
    dataset, item, _ = parts_of(event.prediction_id)
    if dataset != event.dataset:
        problem = f"belongs to dataset {_shown(dataset)}, but dataset is {_shown(event.dataset)}"
        raise EventError("prediction_id", problem, "send the dataset of the prediction")
    if event.item_id is None:
        if len(item) > ITEM_ID_CHARACTERS_AT_MOST or not re.fullmatch(_ID, item):
            problem = f"names an item with a control character, or of more than {ITEM_ID_CHARACTERS_AT_MOST} characters"
            raise EventError("prediction_id", problem, "send it as the predictions or the queue give it")
    elif item != event.item_id:
        raise EventError("item_id", "is not the item of prediction_id", "leave it out: the prediction names its item")


def _check_pair(event: Event) -> None:
    """Of prompts, an event without a prediction names two answers as its item; one with a label names no prediction."""
    if event.prediction_id is None:
        if wrong := pair_problem(event.item):
            raise EventError("item_id", wrong, PAIR_FIX)
    elif event.label is not None:
        raise EventError("prediction_id", f"must be left out where kind is {event.kind}", f"item_id: {PAIR_FIX}")


def _check_context(context: dict[str, Any]) -> None:
    """Bounded in depth and size, and nothing in it that another reader would lose."""
    _walk(context, "context", 1)
    size = len(orjson.dumps(context))
    if size > CONTEXT_BYTES_AT_MOST:
        raise EventError(
            "context", f"takes {size:,} bytes", f"at most {CONTEXT_BYTES_AT_MOST:,}: send what explains the judgement"
        )


def _walk(value: Any, path: str, level: int) -> None:
    if isinstance(value, str):
        _refuse_text(value, path)
    elif isinstance(value, dict | list):
        if level > CONTEXT_LEVELS_AT_MOST:
            raise EventError("context", f"is more than {CONTEXT_LEVELS_AT_MOST} levels deep", "flatten it")
        if isinstance(value, list):
            for place, element in enumerate(value):
                _walk(element, f"{path}[{place}]", level + 1)
            return
        for name, element in value.items():
            _refuse_text(name, path, "has a key with")
            _walk(element, f"{path}.{name}", level + 1)
    elif isinstance(value, float) and not (math.isfinite(value) and abs(value) < 2**63):
        raise EventError(path, "is a number that 64 bits do not hold", "send it as text")


def _refuse_text(text: str, path: str, verb: str = "holds") -> None:
    """Refuse what databases cut or cannot hold: NUL and lone surrogates."""
    if "\0" in text:
        raise EventError(path, f"{verb} a NUL character", "leave it out")
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise EventError(path, f"{verb} a lone surrogate", "send valid Unicode")


def _shown(value: object) -> str:
    """A value as JSON text, short enough for a message."""
    text = str(value)
    return json.dumps(f"{text[:60]}…" if len(text) > 60 else text, ensure_ascii=False)


def _kind_of(value: object) -> str:
    """What a JSON value is, in words."""
    names = {bool: "true or false", int: "a number", float: "a number", str: "text", list: "a list", dict: "an object"}
    return names.get(type(value), "null" if value is None else type(value).__name__)


def _told(error: ValidationError, record: Mapping[str, object]) -> EventError:
    """The first of pydantic's findings, in our words."""
    missing = next((name for name in _REQUIRED if name not in record), None)
    if missing is not None:
        fix = "make a UUID where the event arises, so that it can be sent twice"
        return EventError(
            missing, "is missing", fix if missing == "event_id" else f"every event needs {', '.join(_REQUIRED[1:])}"
        )
    finding = error.errors(include_url=False)[0]
    field, bound = str(finding["loc"][0]), finding.get("ctx", {})
    value = record[field]
    problem, _, fix = str(finding["msg"]).removeprefix("Value error, ").partition("; ")
    match finding["type"]:
        case "literal_error":
            problem, fix = f"must be one of {', '.join(KINDS)}; found {_shown(value)}", nearest(value, KINDS) or ""
        case "string_too_long":
            problem, fix = f"has {len(str(value)):,} characters", f"at most {bound['max_length']:,}"
        case "string_type":
            problem, fix = f"must be text; found {_kind_of(value)}", "types are not converted"
        case "string_unicode":
            problem, fix = "holds a lone surrogate", "send valid Unicode"
        case "string_pattern_mismatch" if field == "source":
            problem, fix = "must be a plain name", "letters, digits, dot, hyphen and underscore, such as shop-app"
        case "string_pattern_mismatch":
            problem, fix = "is blank or holds a control character", "send visible text without NUL"
        case "dict_type":
            problem, fix = f"must be an object; found {_kind_of(value)}", "types are not converted"
    return EventError(field, problem, fix or None)
