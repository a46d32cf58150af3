"""What a source declares in sources.yaml: where each canonical field comes from, and what it must look like there.

Holds the declaration and its errors (with file, line and key), not the checking of records: that is `contract`.
"""

import hashlib
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from curation.dataset import Dataset, FieldType
from curation.errors import CurationError
from curation.files import NAME, written_whole
from curation.ingestion.yaml_lines import Declared, Plain, close_match, read_yaml

Delivered = Literal["string", "integer", "number", "boolean", "any"]
"""JSON types as delivered: `number` takes integers too, `any` takes every scalar."""

DATE_WORDS = ("epoch_s", "epoch_ms", "iso8601")
NO_RATING = "none"
"""`rating: none` instead of a scale: the source's records carry no rating, so no label follows from them."""


class FieldRule(BaseModel):
    """Where a field comes from and what it must look like as delivered, before any cast."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: tuple[str, ...]  # keys from the record's root; in YAML `text` or `[meta, text]`
    type: Delivered
    required: bool | None = None  # None: as the dataset declares the field
    allowed: tuple[str | int | float | bool, ...] | None = None
    minimum: float | None = None
    maximum: float | None = None
    max_length: int | None = None  # characters


class Rating(BaseModel):
    """The scale of a source's rating: bounds, or named categories with the value of each."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    minimum: float
    maximum: float
    whole: bool = True  # 3.7 stars break the contract
    categories: dict[str, float] | None = None  # {"bad": 1, "good": 5}; the delivered type is then string


class Source(BaseModel):
    """One entry of sources.yaml."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    description: str = ""
    fields: dict[str, FieldRule]  # canonical name -> rule
    extra: dict[str, FieldRule] = Field(default_factory=dict)  # carried to the snapshot; canonical type = delivered type
    rating: Rating | None = None  # None: its records carry no rating
    date_format: str | None = None  # "epoch_s", "epoch_ms", "iso8601" or a strptime format such as "%m %d, %Y"
    max_bad_share: float = 0.05  # malformed or contract-breaking records beyond this refuse the batch
    deadline_hours: float = 26.0  # a source is late when its newest day is older than this at the end of that day, UTC

    @property
    def digest(self) -> str:
        """Hex SHA-256 of everything declared that can change a verdict or a value."""
        declared = self.model_dump(mode="json", exclude={"description", "deadline_hours"})
        return hashlib.sha256(json.dumps(declared, sort_keys=True).encode()).hexdigest()


# What a canonical type may be delivered as; everything else could not be cast without guessing.
DELIVERABLE: dict[FieldType, tuple[Delivered, ...]] = {
    "string": ("string", "integer", "number", "boolean", "any"),
    "integer": ("integer", "number", "string", "any"),
    "number": ("number", "integer", "string", "any"),
    "boolean": ("boolean",),
    "timestamp": ("integer", "number", "string", "any"),
    "rating": ("number", "integer", "string", "any"),
}
_RULE_KEYS = ("from", "type", "required", "allowed", "minimum", "maximum", "max_length")
_SOURCE_KEYS = ("description", "fields", "extra", "rating", "date_format", "max_bad_share", "deadline_hours")
# Columns that raw rows or snapshots already have; an extra of that name would hide one of them.
TAKEN_COLUMNS = (
    *("label", "label_origin", "labelled_at", "split", "weight", "source", "batch", "cluster", "subject_id", "item_id", "text"),
    *("rating", "day", "file", "line"),
    *("record_no", "record_id", "content_hash", "extra", "rating_min", "rating_max", "seq"),
)
_PYTHON_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "any": (str, int, float, bool),
}


def load_sources(path: Path, dataset: Dataset) -> dict[str, Source]:
    """The sources of a dataset by name, in the file's order; CurationError with file, line and key on the first mistake."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise CurationError(
            f"{path}: no such file", "declare the sources there, or start with `curation sources draft`"
        ) from None
    except UnicodeDecodeError as error:
        raise CurationError(f"{path}: not UTF-8 at byte {error.start}", "save it as UTF-8") from None
    return parse_sources(text, str(path), dataset)


def parse_sources(text: str, file: str, dataset: Dataset) -> dict[str, Source]:
    """The sources declared in `text`; `file` is what errors call it. Raises as `load_sources` does."""
    root = read_yaml(text, file)
    sources: dict[str, Source] = {}
    first_extra: dict[str, tuple[Delivered, str, int]] = {}
    for name, declared in (root.entries() if root else {}).items():
        source = _source(name, declared, dataset)
        for extra, rule in source.extra.items():
            line = declared.entries()["extra"].entries()[extra].line
            former_type, former_source, former_line = first_extra.setdefault(extra, (rule.type, name, line))
            if former_type != rule.type:
                raise (
                    declared.entries()["extra"]
                    .entries()[extra]
                    .error(
                        f"is {rule.type} here and {former_type} in `{former_source}` (line {former_line}): one column, two types",
                        "give both the same type, or this one another name: `other_name: {from: ..., type: ...}`",
                    )
                )
        sources[name] = source
    return sources


def add_source(path: Path, source_yaml_text: str, dataset: Dataset) -> list[Source]:
    """Append entries to sources.yaml, keeping every byte that is there; the new sources.

    Nothing is written unless the whole result loads and leaves the declared sources as they were (CurationError otherwise).
    """
    path = path.resolve()  # a link stays a link
    former_sources = load_sources(path, dataset) if path.exists() else {}
    former = path.read_bytes() if path.exists() else b""
    gap = b"" if not former.strip() else b"\n" if former.endswith(b"\n") else b"\n\n"
    addition = source_yaml_text.strip("\n").encode() + b"\n"
    sources = parse_sources((former + gap + addition).decode("utf-8-sig"), f"{path} with the new entry", dataset)
    added = [source for name, source in sources.items() if name not in former_sources]
    if not added or any(sources.get(name) != source for name, source in former_sources.items()):
        raise CurationError(f"the text for {path} is no entry of its own", "start it with `name:` in the first column")
    with written_whole(path) as temporary:
        temporary.write_bytes(former + gap + addition)
    return added


def _source(name: str, declared: Declared, dataset: Dataset) -> Source:
    if not NAME.fullmatch(name):
        raise declared.error(f"{name!r} cannot name a source", f"use {NAME.pattern}: lower case letters, digits, underscores")
    parts = declared.entries(_SOURCE_KEYS)
    if "fields" not in parts:
        raise declared.error("has no `fields`", "say where each field comes from, such as `fields: {text: reviewText, ...}`")
    is_unrated = "rating" in parts and parts["rating"].says(NO_RATING)
    rating = _rating(parts["rating"]) if "rating" in parts and not is_unrated else None
    date_format = _date_format(parts["date_format"]) if "date_format" in parts else None
    fields = _fields(parts["fields"], dataset, rating, date_format, is_unrated=is_unrated)
    extra = _extra(parts["extra"], dataset, parts["fields"].entries()) if "extra" in parts else {}
    _check_scale_and_dates(declared, parts, dataset, fields, is_unrated=is_unrated)
    return Source(
        name=name,
        description=parts["description"].text() if "description" in parts else "",
        fields=fields,
        extra=extra,
        rating=rating,
        date_format=date_format,
        max_bad_share=_share(parts["max_bad_share"]) if "max_bad_share" in parts else 0.05,
        deadline_hours=_hours(parts["deadline_hours"]) if "deadline_hours" in parts else 26.0,
    )


def _fields(
    declared: Declared, dataset: Dataset, rating: Rating | None, date_format: str | None, *, is_unrated: bool
) -> dict[str, FieldRule]:
    canonical = [field.name for field in dataset.fields]
    rules: dict[str, FieldRule] = {}
    for name, value in declared.entries().items():
        field = dataset.field(name)
        if field is None:
            raise value.error(
                f"`{name}` is no field of {dataset.name}{close_match(name, canonical)}",
                f"fields are {', '.join(canonical)}; carry others under `extra:`",
            )
        usual = usual_type(field.type, rating, date_format)
        rule = _rule(value, name, usual) if value.is_mapping else FieldRule(path=_path(value), type=usual)
        _check_type(value, field.type, rule.type, rating, date_format)
        rules[name] = rule
    for field in dataset.fields:
        is_rating = field.type == "rating"
        if field.required and field.name not in rules and not (is_rating and is_unrated):
            raise declared.error(
                f"`{field.name}` is not mapped, and {dataset.name} cannot do without it",
                f"add `{field.name}: <key of the delivered record>`"
                + (f", or `rating: {NO_RATING}` to the source if its records carry none" if is_rating else ""),
            )
    return rules


def _check_type(
    declared: Declared, field_type: FieldType, delivered: Delivered, rating: Rating | None, date_format: str | None
) -> None:
    """CurationError when a field of that type could not be cast from what is delivered."""
    if delivered not in DELIVERABLE[field_type]:
        raise declared.error(
            f"a {field_type} cannot be delivered as {delivered}", f"use type {' or '.join(DELIVERABLE[field_type])}"
        )
    if field_type == "rating" and rating is not None and rating.categories is not None and delivered != "string":
        raise declared.error(f"named categories are delivered as string, not {delivered}", "leave `type` out")
    is_epoch = date_format in ("epoch_s", "epoch_ms")
    if field_type == "timestamp" and date_format is not None and not is_epoch and delivered in ("integer", "number"):
        raise declared.error(
            f"a date as `{date_format}` is delivered as string, not {delivered}", "leave `type` out, or use epoch_s or epoch_ms"
        )


def usual_type(field_type: FieldType, rating: Rating | None, date_format: str | None) -> Delivered:
    """The type a field is delivered as when its rule does not say."""
    if field_type == "rating":
        return "number" if rating is None or rating.categories is None else "string"
    if field_type == "timestamp":
        return "integer" if date_format in ("epoch_s", "epoch_ms") else "string"
    return field_type


def _extra(declared: Declared, dataset: Dataset, fields: dict[str, Declared]) -> dict[str, FieldRule]:
    rules: dict[str, FieldRule] = {}
    for name, value in declared.entries().items():
        if name in fields:
            raise value.error(f"`{name}` is under `fields` too (line {fields[name].line})", "keep it there and delete this line")
        if dataset.field(name) is not None or name in TAKEN_COLUMNS or name == dataset.key:
            raise value.error(
                f"`{name}` is a column of {dataset.name} already",
                f"give it another name: `source_{name}: {{from: {name}, type: string}}`",
            )
        if not NAME.fullmatch(name):
            raise value.error(
                f"{name!r} cannot name a column ({NAME.pattern})",
                f"name the column and say where it comes from: `some_name: {{from: {json.dumps(name)}, type: string}}`",
            )
        if value.is_mapping:
            if "type" not in value.entries(_RULE_KEYS):
                raise value.error("has no `type`", "add one, such as `type: string`")
            rule = _rule(value, name, "string")
        else:
            rule = FieldRule(path=(name,), type=_delivered(value))
        if rule.type == "any":
            raise value.error("an extra field becomes a column, which needs one type", "use string, integer, number or boolean")
        rules[name] = rule if rule.required is not None else rule.model_copy(update={"required": False})
    return rules


def _rule(declared: Declared, name: str, usual: Delivered) -> FieldRule:
    parts = declared.entries(_RULE_KEYS)
    delivered = _delivered(parts["type"]) if "type" in parts else usual
    minimum, maximum = (parts[key].number() if key in parts else None for key in ("minimum", "maximum"))
    if minimum is not None and maximum is not None and minimum > maximum:
        raise parts["minimum"].error(f"minimum {minimum:g} is above maximum {maximum:g}", "swap them")
    for key in ("minimum", "maximum"):
        if key in parts and delivered not in ("integer", "number"):
            raise parts[key].error(f"a {delivered} has no {key}", "give it type integer or number, or delete this line")
    if "max_length" in parts and delivered not in ("string", "any"):
        raise parts["max_length"].error(f"a {delivered} has no length", "give it type string, or delete this line")
    return FieldRule(
        path=_path(parts["from"]) if "from" in parts else (name,),
        type=delivered,
        required=parts["required"].flag() if "required" in parts else None,
        allowed=_allowed(parts["allowed"], delivered) if "allowed" in parts else None,
        minimum=minimum,
        maximum=maximum,
        max_length=parts["max_length"].whole_number() if "max_length" in parts else None,
    )


def _delivered(declared: Declared) -> Delivered:
    word = declared.word()
    for delivered in get_args(Delivered):
        if word == delivered:
            return delivered  # type: ignore[no-any-return]  # get_args of a Literal is typed as Any
    known = get_args(Delivered)
    raise declared.error(f"`{word}` is no type{close_match(word, known)}", f"types are {', '.join(known)}")


def _path(declared: Declared) -> tuple[str, ...]:
    return tuple(item.word() for item in declared.items()) if declared.is_list else (declared.word(),)


def _allowed(declared: Declared, delivered: Delivered) -> tuple[Plain, ...]:
    values = tuple(item.plain() for item in declared.items())
    for item, value in zip(declared.items(), values, strict=True):
        if not isinstance(value, _PYTHON_TYPES[delivered]) or (isinstance(value, bool) and delivered in ("integer", "number")):
            fix = f'put it into quotes: "{item.word()}"' if delivered == "string" else f"write a {delivered}"
            raise item.error(f"allowed value `{item.word()}` is not a {delivered}", fix)
    return values


def _rating(declared: Declared) -> Rating:
    parts = declared.entries(("minimum", "maximum", "whole", "categories"))
    categories: dict[str, float] | None = None
    if "categories" in parts:
        categories = {name: value.number() for name, value in parts["categories"].entries().items()}
        if len(set(categories.values())) < 2:
            raise parts["categories"].error("fewer than two values make no scale", "such as {bad: 1, good: 5}")
    elif not {"minimum", "maximum"} <= set(parts):
        raise declared.error(
            "a scale needs `minimum` and `maximum`, or `categories`", "such as `rating: {minimum: 1, maximum: 5}`"
        )
    minimum = parts["minimum"].number() if "minimum" in parts else min((categories or {}).values())
    maximum = parts["maximum"].number() if "maximum" in parts else max((categories or {}).values())
    if minimum >= maximum:
        raise declared.error(f"minimum {minimum:g} is not below maximum {maximum:g}", "the worst rating is the minimum")
    for name, value in (categories or {}).items():
        if not minimum <= value <= maximum:
            raise (parts["categories"].entries()[name]).error(
                f"{value:g} is outside the scale {minimum:g} to {maximum:g}", "correct it, or leave minimum and maximum out"
            )
    return Rating(
        minimum=minimum, maximum=maximum, whole=parts["whole"].flag() if "whole" in parts else True, categories=categories
    )


def _date_format(declared: Declared) -> str:
    text = declared.text()
    if text in DATE_WORDS:
        return text
    fix = f'use {", ".join(DATE_WORDS)} or a strptime format such as "%m %d, %Y"'
    if "%" not in text:
        raise declared.error(f"`{text}` is no date format{close_match(text, DATE_WORDS)}", fix)
    moment = datetime(2001, 12, 31, 23, 59, 58, tzinfo=UTC)
    try:
        parsed = datetime.strptime(moment.strftime(text), text)
    except (ValueError, re.error) as error:  # re.error: the same directive twice
        raise declared.error(f"`{text}` is no strptime format: {error}", fix) from None
    if parsed.date() != moment.date():
        raise declared.error(f"`{text}` holds no whole date: day, month and year are needed", fix)
    return text


def _check_scale_and_dates(
    declared: Declared, parts: dict[str, Declared], dataset: Dataset, fields: dict[str, FieldRule], *, is_unrated: bool
) -> None:
    mapped = parts["fields"].entries()
    for field_type, key, example in (
        ("rating", "rating", "`rating: {minimum: 1, maximum: 5}`"),
        ("timestamp", "date_format", "`date_format: epoch_ms`"),
    ):
        of_type = [field.name for field in dataset.fields if field.type == field_type]
        used = [name for name in of_type if name in fields]
        if is_unrated and field_type == "rating":
            if used:
                raise mapped[used[0]].error(
                    f"`{used[0]}` is mapped, but the source says `rating: {NO_RATING}`", "keep one of the two"
                )
            continue
        if used and key not in parts:
            raise mapped[used[0]].error(f"`{used[0]}` is a {field_type}, but the source has no `{key}`", f"add {example} to it")
        if key in parts and not used:
            raise parts[key].error(f"no {field_type} field is mapped that it could apply to", "map one, or delete this line")


def _share(declared: Declared) -> float:
    share = declared.number()
    if not 0 <= share <= 1:
        raise declared.error(f"{share:g} is no share", "write a share from 0 to 1: 0.05 is 5%")
    return share


def _hours(declared: Declared) -> float:
    hours = declared.number()
    if hours <= 0:
        raise declared.error(f"{hours:g} hours are no deadline", "write hours above 0, such as 26")
    return hours
