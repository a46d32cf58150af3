"""The fate of every record that its text and its versions decide: spam, empty, copies, superseded, kept.

Decided one after the other in record_no order, once: what was decided stays, save that a kept record can be superseded by a
later version of itself. `decide` works on a DuckDB session and is called from a dbt Python model; it knows no dbt.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curation.deduplication import candidates, kernels, signatures
from curation.deduplication.history import BandHistory, select_among
from curation.errors import CurationError

FATES = ("kept", "spam", "empty", "exact_duplicate", "near_duplicate", "superseded")
ROWS_AT_ONCE = 65_536  # about 40 MB of texts and hashes at a time
SCHEMA = pa.schema(
    {
        "record_no": pa.int64(),
        "fate": pa.string(),
        "rule": pa.string(),
        "duplicate_of": pa.int64(),
        "jaccard": pa.float64(),
        "key_hash": pa.int64(),
        "text_hash": pa.int64(),
        "is_version": pa.bool_(),
    }
)
_FATE_NAMES = pa.array(FATES)


@dataclass(frozen=True)
class NewRecords:
    """The records to be decided, by record_no; `state` is a kernel's number: KEPT (still open), SPAM or EMPTY."""

    record_no: npt.NDArray[np.int64]
    key_hash: npt.NDArray[np.int64]
    text_hash: npt.NDArray[np.int64]
    state: npt.NDArray[np.int8]
    rule: npt.NDArray[np.int16]  # place in `rules`, -1 for none
    rules: list[str]


@dataclass(frozen=True)
class Involved:
    """The records that may have to do with another, by record_no: earlier ones first, from `first_new` on the new ones."""

    record_no: npt.NDArray[np.int64]
    first_new: int
    state: npt.NDArray[np.int8]
    duplicate_of: npt.NDArray[np.int64]  # record_no, -1 for none
    jaccard: npt.NDArray[np.float64]  # NaN for none
    is_version: npt.NDArray[np.bool_]


def decide(session: Any, cleaned: Any, *, key: str, decided: str | None, bands: str, rows_at_once: int = ROWS_AT_ONCE) -> Any:
    """Decide the records of `cleaned` that `decided` does not hold yet; a DuckDB relation of rows keyed by record_no.

    session: a DuckDB connection with a transaction open; the bands are written in it, and the caller must write the result in
        it too. cleaned: a DuckDB relation with record_no (int64, unique), `key` (string: records with the same are versions of
        one), content_hash, clean_text, spam_rule (strings; null spam_rule: none) and is_empty. decided: quoted name of the
        table that holds former results, None to decide all records afresh. bands: quoted name of the table to remember in.
    Result, to be read once, columns of SCHEMA: the new records, and earlier ones whose fate went from kept to superseded.
    duplicate_of is the record that a copy was found to be a copy of, or that superseded it; jaccard is given for near
    duplicates; is_version is false for a record delivered again unchanged; the hashes are for the next call.
    Raises CurationError when earlier records changed, ValueError without a transaction.
    """
    session.register("cleaned_records", cleaned)
    above = -1 if decided is None else _last_decided(session, decided)
    history = BandHistory(session, bands, start_afresh=decided is None)
    first_text_no = history.size
    records, met_again = _scan(session, key, above, history, rows_at_once)
    is_relevant = np.zeros(history.size, dtype=np.bool_)
    is_relevant[first_text_no:] = True
    is_relevant[met_again] = True
    shared = candidates.shared_buckets(history, is_relevant)
    earlier = _earlier_records(session, decided, records, shared)
    if len(earlier):
        shared = _reachable(records, earlier, shared)
    involved = _decide_involved(session, key, records, earlier, shared)
    superseded = _superseded_earlier(involved, earlier)
    reader = pa.RecordBatchReader.from_batches(SCHEMA, _batches(records, involved, superseded, rows_at_once))
    session.register("decisions", reader)
    return session.table("decisions")


def _last_decided(session: Any, decided: str) -> int:
    """The highest record_no decided, after a check that all up to it are still the same in number."""
    count, last = session.execute(f"select count(*), coalesce(max(record_no), -1) from {decided}").fetchone()
    present = session.execute("select count(*) from cleaned_records where record_no <= ?", [last]).fetchone()[0]
    if present != count:
        raise CurationError(
            f"{count} records up to number {last} were decided, but {present} are there now",
            "decide all afresh: run dbt build with --full-refresh",
        )
    return int(last)


def _scan(
    session: Any, key: str, above: int, history: BandHistory, rows_at_once: int
) -> tuple[NewRecords, npt.NDArray[np.uint32]]:
    """Hash every record above `above` and remember the bands of its text; also the text_no of remembered texts met again."""
    query = "select record_no from cleaned_records where record_no > ?"
    record_no = np.sort(session.execute(query, [above]).to_arrow_table()["record_no"].to_numpy())
    size = record_no.size
    if np.any(record_no[1:] == record_no[:-1]):
        raise ValueError("record_no must be unique")
    records = NewRecords(
        record_no=record_no,
        key_hash=np.empty(size, dtype=np.int64),
        text_hash=np.empty(size, dtype=np.int64),
        state=np.empty(size, dtype=np.int8),
        rule=np.empty(size, dtype=np.int16),
        rules=[],
    )
    quoted_key = '"' + key.replace('"', '""') + '"'
    query = (
        f"select record_no, {quoted_key} as key, coalesce(clean_text, '') as clean_text, spam_rule, is_empty "
        "from cleaned_records where record_no between ? and ?"
    )
    met = np.zeros(1 << max(8, (size + size // 3).bit_length()), dtype=np.uint64)  # text hashes met in this run
    met_again = []
    for start in range(0, size, rows_at_once):
        part = slice(start, min(start + rows_at_once, size))
        bounds = [int(record_no[part][0]), int(record_no[part][-1])]
        rows = session.execute(query, bounds).to_arrow_table()
        met_again.append(_scan_part(rows, records, part, history, met))
    return records, np.concatenate(met_again) if met_again else np.empty(0, dtype=np.uint32)


def _scan_part(
    rows: pa.Table, records: NewRecords, part: slice, history: BandHistory, met: npt.NDArray[np.uint64]
) -> npt.NDArray[np.uint32]:
    """Fill `part` of the records from `rows`; the text_no of texts remembered from earlier runs."""
    order = np.argsort(rows["record_no"].to_numpy(), kind="stable")
    text_hash = signatures.hash_strings(rows["clean_text"])
    state = np.where(rows["spam_rule"].is_null().to_numpy(), kernels.KEPT, kernels.SPAM).astype(np.int8)
    state[rows["is_empty"].fill_null(False).to_numpy()] = kernels.EMPTY
    records.key_hash[part] = signatures.hash_strings(rows["key"])[order]
    records.text_hash[part] = text_hash[order]
    records.state[part] = state[order]
    records.rule[part] = np.where(state == kernels.SPAM, _rule_numbers(rows["spam_rule"], records.rules), -1)[order]
    open_rows = np.flatnonzero(state == kernels.KEPT)
    open_rows = open_rows[kernels.first_met(text_hash[open_rows], met)]
    known_hashes, known_numbers = history.known(text_hash[open_rows])
    fresh_rows = open_rows[~candidates.is_among(text_hash[open_rows], known_hashes)]
    hashes, has_bands = signatures.band_hashes(rows["clean_text"], fresh_rows)
    history.append(text_hash[fresh_rows][has_bands], hashes[has_bands])
    return known_numbers


def _rule_numbers(column: pa.ChunkedArray, rules: list[str]) -> npt.NDArray[np.int16]:
    """The place of each rule in `rules`, which grows by those it does not hold; -1 for null."""
    encoded = column.combine_chunks().dictionary_encode()
    for rule in encoded.dictionary.to_pylist():
        if rule not in rules:
            rules.append(rule)
    places = np.array([rules.index(rule) for rule in encoded.dictionary.to_pylist()] + [-1], dtype=np.int16)
    return np.asarray(places[encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)])


def _earlier_records(session: Any, decided: str | None, records: NewRecords, shared: candidates.SharedBuckets) -> pa.Table:
    """Earlier records that a new one may meet, by record_no: versions with its key, kept ones with its text or a band of it."""
    columns = "record_no, fate, key_hash, text_hash"
    if decided is None:
        return SCHEMA.empty_table().select([name.strip() for name in columns.split(",")])
    texts = np.concatenate([records.text_hash[records.state == kernels.KEPT], shared.text_hashes])
    versions = select_among(session, f"select {columns} from {decided} where is_version", "key_hash", records.key_hash)
    kept = select_among(session, f"select {columns} from {decided} where fate = 'kept'", "text_hash", texts)
    both = pa.concat_tables([versions, kept])
    _distinct, first = np.unique(both["record_no"].to_numpy(), return_index=True)
    return both.take(pa.array(first))


def _reachable(records: NewRecords, earlier: pa.Table, shared: candidates.SharedBuckets) -> candidates.SharedBuckets:
    """`shared` without the earlier texts that are held by no kept record, or too far down a crowded bucket."""
    is_kept = earlier["fate"].to_numpy() == "kept"
    record_no, text_hash = earlier["record_no"].to_numpy()[is_kept], earlier["text_hash"].to_numpy()[is_kept]
    at_risk = int(np.count_nonzero(candidates.is_among(earlier["key_hash"].to_numpy()[is_kept], records.key_hash)))
    is_new = candidates.is_among(shared.text_hashes, records.text_hash[records.state == kernels.KEPT])
    holder = np.full(shared.text_hashes.size, -1, dtype=np.int64)
    is_shared = candidates.is_among(text_hash, shared.text_hashes)
    holder[np.searchsorted(shared.text_hashes, text_hash[is_shared])] = record_no[is_shared]
    return candidates.without_the_far(shared, is_new, holder, at_risk)


def _involved_new(records: NewRecords, earlier: pa.Table, shared: candidates.SharedBuckets) -> npt.NDArray[np.int64]:
    """Places of the new records that share key, text or a band with another record."""
    is_open = records.state == kernels.KEPT
    open_texts = records.text_hash[is_open]
    is_involved = candidates.is_repeated(records.key_hash)
    is_involved |= candidates.is_among(records.key_hash, earlier["key_hash"].to_numpy())
    other_texts = np.concatenate([earlier["text_hash"].to_numpy(), shared.text_hashes[np.unique(shared.text)]])
    is_involved[is_open] |= candidates.is_repeated(open_texts) | candidates.is_among(open_texts, other_texts)
    return np.flatnonzero(is_involved)


def _decide_involved(
    session: Any, key: str, records: NewRecords, earlier: pa.Table, shared: candidates.SharedBuckets
) -> Involved:
    """Fetch what the involved records say and decide them in order."""
    new = _involved_new(records, earlier, shared)
    first_new = len(earlier)
    record_no = np.concatenate([earlier["record_no"].to_numpy(), records.record_no[new]])
    earlier_state = np.where(earlier["fate"].to_numpy() == "kept", kernels.KEPT, kernels.SUPERSEDED)
    state = np.concatenate([earlier_state, records.state[new]]).astype(np.int8)
    involved = Involved(
        record_no, first_new, state, np.full(state.size, -1), np.full(state.size, np.nan), np.ones(state.size, dtype=np.bool_)
    )
    if new.size == 0:
        return involved
    text_hash = np.concatenate([earlier["text_hash"].to_numpy(), records.text_hash[new]])
    compared = np.flatnonzero(candidates.is_among(text_hash, shared.text_hashes))
    is_fetched = np.zeros(record_no.size, dtype=np.bool_)
    is_fetched[compared[np.unique(text_hash[compared], return_index=True)[1]]] = True  # once each text
    strings, texts = _what_they_say(session, key, record_no, is_fetched)
    text_of = strings[2]
    data, offsets = signatures.string_buffers(texts)
    sizes, bits = np.zeros(len(texts), np.int64), np.zeros((len(texts), kernels.FINGERPRINT_WORDS), np.uint64)
    kernels.fingerprints(data, offsets, signatures.word_characters(), sizes, bits)
    hash_of_text = np.zeros(int(text_of.max()) + 1, dtype=np.int64)
    hash_of_text[text_of] = text_hash
    begin, end, bucket = candidates.by_text(shared, hash_of_text)
    begin[len(texts) :] = end[len(texts) :] = 0
    places = int((end - begin)[text_of].sum())
    nowhere = np.full(shared.bucket_count, -1, dtype=np.int32)
    lists = (nowhere, nowhere.copy(), np.empty(places, dtype=np.int32), np.empty(places, dtype=np.int32))
    kernels.decide_in_order(
        strings,
        first_new,
        (data, offsets, signatures.word_characters(), sizes, bits),
        (begin, end, bucket, *lists),
        (state, involved.duplicate_of, involved.jaccard, involved.is_version),
    )
    is_copy = involved.duplicate_of >= 0
    involved.duplicate_of[is_copy] = record_no[involved.duplicate_of[is_copy]]
    return involved


def _what_they_say(
    session: Any, key: str, record_no: npt.NDArray[np.int64], is_fetched: npt.NDArray[np.bool_]
) -> tuple[tuple[npt.NDArray[np.int64], ...], pa.Array]:
    """For each record a number for its key, its content and its text, equal when the strings are; and the fetched texts.

    Strings are told apart by 128 bits of hash. Text n of the array is the text with number n; the texts of records that are
    not `is_fetched` come after those and are not held: 40 MB for a million records in place of 200.
    """
    quoted_key = '"' + key.replace('"', '""') + '"'
    session.register("involved", pa.table({"number": record_no, "place": np.arange(record_no.size), "is_fetched": is_fetched}))
    reader = session.execute(
        f"select place, is_fetched, {quoted_key} as key, content_hash, coalesce(clean_text, '') as clean_text "
        "from cleaned_records join involved on number = record_no"
    ).to_arrow_reader(ROWS_AT_ONCE)
    hashes = np.zeros((3, 2, record_no.size), dtype=np.int64)
    places, texts = [np.empty(0, dtype=np.int64)], [pa.array([], pa.large_string())]
    for rows in reader:
        place = rows["place"].to_numpy()
        for column, name in enumerate(("key", "content_hash", "clean_text")):
            for seed in range(2):
                hashes[column, seed, place] = signatures.hash_strings(rows[name], seed)
        places.append(place)
        texts.append(rows["clean_text"].filter(rows["is_fetched"]).cast(pa.large_string()))
    session.unregister("involved")
    found = np.concatenate(places)
    if found.size != record_no.size:
        raise CurationError("records that were decided earlier are gone", "decide all afresh: run dbt build with --full-refresh")
    key_of, content_of, text_of = (_numbered(of_column) for of_column in hashes)
    fetched = text_of[found[is_fetched[found]]]
    number = np.full(int(text_of.max()) + 1, -1, dtype=np.int64)
    number[fetched] = np.arange(fetched.size)
    number[number < 0] = np.arange(fetched.size, number.size)
    return (key_of, content_of, number[text_of]), pa.concat_arrays(texts)


def _numbered(hashes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """A number from 0 on for each column of (2, n): equal columns, equal numbers."""
    order = np.lexsort(hashes)
    ordered = hashes[:, order]
    numbers = np.zeros(order.size, dtype=np.int64)
    numbers[order[1:]] = np.cumsum((ordered[:, 1:] != ordered[:, :-1]).any(axis=0))
    return numbers


def _superseded_earlier(involved: Involved, earlier: pa.Table) -> pa.RecordBatch:
    """The earlier records that were kept until now, as rows of the result."""
    state, duplicate_of = involved.state[: involved.first_new], involved.duplicate_of[: involved.first_new]
    places = np.flatnonzero((state == kernels.SUPERSEDED) & (duplicate_of >= 0))
    rows = earlier.take(pa.array(places))
    columns = {name: rows[name].to_numpy() for name in ("record_no", "key_hash", "text_hash")}
    return _rows(columns, state[places], pa.nulls(places.size, pa.string()), duplicate_of[places])


def _batches(records: NewRecords, involved: Involved, superseded: pa.RecordBatch, rows_at_once: int) -> Iterator[pa.RecordBatch]:
    """The result, batch by batch: a record that was not involved keeps the state it came with."""
    yield superseded
    places = np.searchsorted(records.record_no, involved.record_no[involved.first_new :])
    rules = pa.array(records.rules, pa.string())
    for start in range(0, records.record_no.size, rows_at_once):
        part = slice(start, min(start + rows_at_once, records.record_no.size))
        state, duplicate_of = records.state[part].copy(), np.full(part.stop - part.start, -1)
        jaccard, is_version = np.full(state.size, np.nan), np.ones(state.size, np.bool_)
        first, end = np.searchsorted(places, [part.start, part.stop])
        here, nodes = places[first:end] - start, slice(involved.first_new + first, involved.first_new + end)
        state[here], duplicate_of[here] = involved.state[nodes], involved.duplicate_of[nodes]
        jaccard[here], is_version[here] = involved.jaccard[nodes], involved.is_version[nodes]
        rule = records.rule[part]
        names = rules.take(pa.array(rule, mask=(rule < 0) | (state != kernels.SPAM)))
        columns = {name: getattr(records, name)[part] for name in ("record_no", "key_hash", "text_hash")}
        columns |= {"jaccard": pa.array(jaccard, mask=np.isnan(jaccard)), "is_version": is_version}
        yield _rows(columns, state, names, duplicate_of)


def _rows(
    columns: dict[str, Any], state: npt.NDArray[np.int8], rule: pa.Array, duplicate_of: npt.NDArray[np.int64]
) -> pa.RecordBatch:
    """Rows of the result: `columns` and what became of the records; a missing jaccard is null, is_version true."""
    of_all = {
        "jaccard": pa.nulls(state.size, pa.float64()),
        "is_version": np.ones(state.size, np.bool_),
        "fate": _FATE_NAMES.take(pa.array(state)),
        "rule": rule,
        "duplicate_of": pa.array(duplicate_of, mask=duplicate_of < 0),
    }
    return pa.RecordBatch.from_pydict(of_all | columns, schema=SCHEMA)
