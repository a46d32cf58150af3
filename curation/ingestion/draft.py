"""A first entry for sources.yaml, written from a sample of a file's records. Every guess is marked with what it rests on.

Decides which key becomes which canonical field and writes the YAML; what the values show is `guessing`. Touches no file but the
one it reads.
"""

import itertools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from curation.dataset import Dataset
from curation.dataset import Field as CanonicalField
from curation.errors import CurationError
from curation.files import valid_name
from curation.ingestion.guessing import FITTING_SHARE, DateGuess, Key, ScaleGuess, guess_dates, guess_scale, keys_of, numbers_of
from curation.ingestion.records import read_file
from curation.ingestion.sources import TAKEN_COLUMNS, Delivered, Rating, usual_type

# Records that the sample is spread over: a file may be sorted (the first 1,000 of IMDB's training half are all rated below 5).
SPREAD_RECORDS = 100_000
_LARGEST_EXTRAS = 30
_LARGEST_COLUMN = 36  # characters
_COMMENT_COLUMN = 56
# What others call the fields that ours have names for, likeliest first; compared without case and underscores.
_SYNONYMS = {
    "native_id": "reviewid,commentid,feedbackid,postid,ticketid,messageid,uuid,guid,id",
    "user_id": "userid,reviewerid,authorid,customerid,memberid,accountid,personid,profileid,user,author,reviewer,customer,"
    "username,reviewername,authorname,nickname",
    "item_id": "itemid,productid,parentasin,asin,movieid,filmid,bookid,businessid,hotelid,restaurantid,appid,listingid,sku,isbn,"
    "gmapid,item,product,movie,business",
    "rating": "rating,overall,stars,starrating,score,reviewrating,reviewscore,ratingvalue,overallrating,userrating,grade,points,"
    "sentiment,polarity,label",
    "title": "title,reviewtitle,summary,headline,reviewheadline,subject,reviewsummary",
    "text": "text,reviewtext,reviewbody,reviewcontent,body,content,review,comment,comments,message,description,document",
    "reviewed_at": "reviewedat,unixreviewtime,timestamp,createdat,reviewtimestamp,reviewdate,submissiontime,publishedat,postedat,"
    "createdate,creationdate,created,reviewtime,datetime,date,time,at",
    "helpful_votes": "helpfulvotes,helpfulvote,helpfulcount,helpful,vote,votes,upvotes,upvotecount,thumbsup,thumbsupcount,likes,useful",
}
_THINGS = frozenset(f"{_SYNONYMS['user_id']},{_SYNONYMS['item_id']}".split(","))  # what a review may hold an object about


@dataclass(frozen=True)
class Draft:
    """A drafted entry: `yaml` is ready for sources.yaml unless `missing` names required fields that nothing was found for."""

    name: str
    yaml: str
    records: int  # in the sample
    malformed: int  # how many between them are no JSON object
    missing: tuple[str, ...]  # required canonical fields without a key


@dataclass(frozen=True)
class _Mapping:
    """A canonical field and the key found for it."""

    field: CanonicalField
    key: Key
    is_by_name: bool
    scale: ScaleGuess | None = None
    dates: DateGuess | None = None


def draft_source(name: str, file: Path, dataset: Dataset, limit: int = 1000) -> Draft:
    """An entry named `name` that takes in `file`, drafted from `limit` records spread over its first 100,000.

    CurationError when the file cannot be read or holds no JSON object.
    """
    valid_name(name, "source")
    records, malformed = _sample(file, limit)
    if not records:
        raise CurationError(
            f"{file} holds no JSON object; {malformed:,} records do not parse",
            "give a file of JSON objects, one a line or in one array, plain, .gz or .zst",
        )
    keys = keys_of(records)
    mappings = _map(dataset, keys)
    missing = tuple(field.name for field in dataset.fields if field.required and field.name not in mappings)
    lines = [f"# Drafted from {len(records):,} records of {_printable(file.name)}; every guess is marked, check each."]
    lines += [f"{name}:", *_field_lines(mappings, missing, len(records))]
    lines += _scale_and_date_lines(mappings)
    claimed = {mapping.key.path for mapping in mappings.values()}
    lines += _extra_lines(dataset, [key for path, key in keys.items() if path not in claimed], len(records))
    return Draft(name, "\n".join(lines) + "\n", len(records), malformed, missing)


def _sample(file: Path, limit: int) -> tuple[list[dict[str, Any]], int]:
    """`limit` objects at even distances, or all when there are fewer, and how many records did not parse on the way.

    One pass that holds at most twice as many as asked for.
    """
    kept: list[dict[str, Any]] = []
    seen, malformed, stride = 0, 0, 1
    file = file.resolve()  # the user's own file: a link to it is fine
    for block in read_file(file, file.parent):
        malformed += len(block.malformed)
        for record in block.values:
            if seen % stride == 0:
                kept.append(record)
                if len(kept) > 2 * limit:
                    kept = kept[::2]
                    stride *= 2
            seen += 1
        if seen >= SPREAD_RECORDS:
            break
    count = min(limit, len(kept))
    return [kept[index * len(kept) // count] for index in range(count)], malformed


def _map(dataset: Dataset, keys: dict[tuple[str, ...], Key]) -> dict[str, _Mapping]:
    """The key of each canonical field: by name first; then by content, for required fields and dates without one."""
    found: dict[str, _Mapping] = {}
    free = [key for key in keys.values() if key.is_scalar]
    for is_by_name in (True, False):
        for field in dataset.fields:
            if field.name in found:
                continue
            candidates = _named_alike(field.name, free) if is_by_name else _alike_by_content(field, free)
            for key in candidates:
                mapping = _fitting(dataset, field, key, is_by_name)
                if mapping is not None:
                    found[field.name] = mapping
                    free.remove(key)
                    break
    return {field.name: found[field.name] for field in dataset.fields if field.name in found}


def _named_alike(field: str, keys: list[Key]) -> list[Key]:
    """Keys whose last part, last two parts or whole path is a name of the field; likeliest name first, then the shallowest."""
    names = [_folded(field), *_SYNONYMS.get(field, "").split(",")]
    ranked = []
    for position, key in enumerate(keys):
        last, *qualified = (_folded("".join(key.path[-count:])) for count in range(1, len(key.path) + 1))
        # The id of a product is not the review's, and its title neither: below such a key only `product.id` as a whole counts.
        spellings = qualified if any(_folded(parent) in _THINGS for parent in key.path[:-1]) else [last, *qualified]
        rank = min((names.index(spelling) for spelling in spellings if spelling in names), default=None)
        if rank is not None:
            ranked.append((rank, len(key.path), position))
    return [keys[position] for _, _, position in sorted(ranked)]


def _alike_by_content(field: CanonicalField, keys: list[Key]) -> list[Key]:
    """Keys whose values alone suggest the field: few numbers on a scale, dates written out, the longest text."""
    strings = [key for key in keys if key.delivered[0] == "string"]
    if field.type == "timestamp":
        return strings
    if field.type == "rating":
        return [
            key for key in keys if 2 <= len(set(key.values)) <= 12 and len(numbers_of(key)) >= FITTING_SHARE * len(key.values)
        ]
    if field.type == "string" and field.required:
        by_length = sorted(strings, key=lambda key: -sum(len(str(value)) for value in key.values))
        return [key for key in by_length if sum(len(str(value)) for value in key.values) >= 20 * len(key.values)]
    return []


def _fitting(dataset: Dataset, field: CanonicalField, key: Key, is_by_name: bool) -> _Mapping | None:
    """The mapping when the key's values can be the field's, otherwise None."""
    delivered, _ = key.delivered
    whole = sum(number.is_integer() for number in numbers_of(key))
    match field.type:
        case "rating":
            scale = guess_scale(key)
            return None if scale is None else _Mapping(field, key, is_by_name, scale=scale)
        case "timestamp":
            dates = guess_dates(key)
            return None if dates is None else _Mapping(field, key, is_by_name, dates=dates)
        case "integer" | "number":
            fitting = whole if field.type == "integer" else len(numbers_of(key))
            return _Mapping(field, key, is_by_name) if fitting >= FITTING_SHARE * len(key.values) else None
        case "boolean":
            return _Mapping(field, key, is_by_name) if delivered == "boolean" else None
    # A repeated id would make one review replace another: copies in a file are few, ids of something else repeat a lot.
    is_unlike_id = field.name == dataset.native_id and len(set(key.values)) < 0.9 * len(key.values)
    return None if is_unlike_id else _Mapping(field, key, is_by_name)


def _field_lines(mappings: dict[str, _Mapping], missing: tuple[str, ...], total: int) -> list[str]:
    lines = ["  fields:"]
    for name, mapping in mappings.items():
        how = "by name" if mapping.is_by_name else "by content, NOT by name"
        is_lenient = mapping.field.required and _absent(mapping.key, total) > (1 - FITTING_SHARE) / 2 * total
        parts = {"from": _path(mapping.key.path)}
        if mapping.key.delivered[0] != _default_type(mapping):
            parts["type"] = mapping.key.delivered[0]
        if is_lenient:
            parts["required"] = "false"
        rule = parts["from"] if len(parts) == 1 else "{" + ", ".join(f"{key}: {value}" for key, value in parts.items()) + "}"
        counts = _counts(mapping.key, total, breaks_when_absent=mapping.field.required and not is_lenient)
        lines.append(_remark(f"    {name}: {rule}", f"guess: {how}; {counts}"))
    for name in missing:
        lines.append(_remark(f"    # {name}: ", "NOTHING FOUND: write the key that holds it, and take away the first #"))
    return lines


def _default_type(mapping: _Mapping) -> Delivered:
    rating = mapping.scale.rating if mapping.scale else None
    return usual_type(mapping.field.type, rating, mapping.dates.format if mapping.dates else None)


def _absent(key: Key, total: int) -> int:
    return total - key.present


def _counts(key: Key, total: int, breaks_when_absent: bool) -> str:
    """`998 of 1,000 string, 2 missing or null (...)`."""
    delivered, fitting = key.delivered
    parts = [f"{fitting:,} of {total:,} {'of several types' if delivered == 'any' else delivered}"]
    if key.present > fitting:
        parts.append(f"{key.present - fitting:,} of another type (they break the contract)")
    if absent := _absent(key, total):
        parts.append(f"{absent:,} missing or null{' (they break the contract)' if breaks_when_absent else ''}")
    return ", ".join(parts)


def _scale_and_date_lines(mappings: dict[str, _Mapping]) -> list[str]:
    lines = []
    for mapping in mappings.values():
        values = f"{len(mapping.key.values):,}"
        if mapping.scale:
            scale = mapping.scale
            order = "; THEIR ORDER IS NOT KNOWN, give the worst the lowest number" if scale.is_order_unknown else ""
            lines.append(_remark(f"  rating: {_scale(scale.rating)}", f"guess: {scale.fitting:,} of {values} lie on it{order}"))
        if mapping.dates:
            dates = mapping.dates
            others = f"; fits as well: {', '.join(dates.others[:3])}" if dates.others else ""
            quoted = f'"{dates.format}"' if "%" in dates.format else dates.format
            remark = f"guess: {dates.fitting:,} of {values} fit, {dates.first} to {dates.last}{others}"
            lines.append(_remark(f"  date_format: {quoted}", remark))
    return lines


def _scale(rating: Rating) -> str:
    bounds = f"minimum: {rating.minimum:g}, maximum: {rating.maximum:g}"
    if rating.categories is None:
        return f"{{{bounds}{'' if rating.whole else ', whole: false'}}}"
    categories = ", ".join(f"{_quoted(name)}: {value:g}" for name, value in rating.categories.items())
    values = rating.categories.values()
    are_needed = (min(values), max(values)) != (rating.minimum, rating.maximum)
    return f"{{{f'{bounds}, ' if are_needed else ''}categories: {{{categories}}}}}"


def _extra_lines(dataset: Dataset, others: list[Key], total: int) -> list[str]:
    """Commented-out candidates for `extra:`, one line each; what cannot be carried is named at the end."""
    taken = {*TAKEN_COLUMNS, dataset.key, *(field.name for field in dataset.fields)}
    lines: list[str] = []
    left: list[str] = []
    for key in others:
        delivered = key.delivered[0]
        if not key.is_scalar or delivered == "any" or len(lines) == _LARGEST_EXTRAS:
            left.append(f"{'.'.join(key.path)} ({max(key.types, key=lambda name: key.types[name])})")
            continue
        name = _column(key.path, taken)
        taken.add(name)
        rule = delivered if key.path == (name,) else f"{{from: {_path(key.path)}, type: {delivered}}}"
        lines.append(_remark(f"  #   {name}: {rule}", _counts(key, total, breaks_when_absent=False)))
    if lines:
        lines.insert(0, _remark("  # extra:", "could be carried to the snapshot: take away the `# ` of what is wanted"))
    if left:
        lines.append(f"  # stays behind: {_printable(', '.join(left[:_LARGEST_EXTRAS]))}")
    return lines


def _column(path: tuple[str, ...], taken: set[str]) -> str:
    """A column name that is free: snake_case of the last key, with its parents, `source_` or a number where that is taken."""
    spellings = [_snake("_".join(path[-count:])) for count in range(1, len(path) + 1)]
    spellings.append(_snake(f"source_{path[-1]}"))
    for spelling in spellings:
        if spelling not in taken:
            return spelling
    numbered = (f"{spellings[-1]}_{number}" for number in itertools.count(2))
    return next(name for name in numbered if name not in taken)


def _snake(words: str) -> str:
    split = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", words).lower()
    return re.sub(r"[^a-z0-9]+", "_", split).lstrip("_0123456789")[:_LARGEST_COLUMN].rstrip("_") or "field"


def _folded(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).lower()


def _path(path: tuple[str, ...]) -> str:
    return _quoted(path[0]) if len(path) == 1 else "[" + ", ".join(map(_quoted, path)) + "]"


def _quoted(word: str) -> str:
    """A word as YAML reads it back: bare when it is plain, otherwise in double quotes."""
    if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", word) and word.lower() != "null":
        return word
    return yaml.safe_dump(word, default_style='"', width=10**9, allow_unicode=True).strip()


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)


def _remark(line: str, remark: str) -> str:
    return f"{line.ljust(_COMMENT_COLUMN)}  # {_printable(remark)}"
