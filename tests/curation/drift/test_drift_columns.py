"""What alarms between a reference and a day's rows: shifts that matter, in the right column; and what is said of odd columns."""

import math

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from curation.drift.columns import Column, Kind
from curation.drift.effects import compared, psi_of
from curation.drift.judging import ColumnDrift, judged_columns
from curation.drift.policy import DriftPolicy
from curation.drift.reference import Reference, reference_of

POLICY = DriftPolicy()
NUMBERS = [Column(f"number_{place}", "number") for place in range(9)]
TEN = [*NUMBERS, Column("source", "category")]


@pytest.fixture
def connection() -> duckdb.DuckDBPyConnection:
    return duckdb.connect()


def drawn(seed: int, rows: int, **shifts: float) -> pa.Table:
    """Nine normal numbers, some of them shifted, and a source."""
    generator = np.random.default_rng(seed)
    columns = {column.name: generator.normal(size=rows) + shifts.get(column.name, 0.0) for column in NUMBERS}
    return pa.table({**columns, "source": generator.choice(["shop", "app", "forum"], rows, p=[0.7, 0.25, 0.05])})


def reference(connection: duckdb.DuckDBPyConnection, rows: pa.Table, *columns: Column) -> Reference:
    connection.register("before", rows)
    return reference_of(connection, "before", columns, "0")


def judged(connection: duckdb.DuckDBPyConnection, known: Reference, rows: pa.Table, *columns: Column) -> dict[str, ColumnDrift]:
    connection.register("day", rows)
    verdicts = judged_columns(connection, "day", columns, known, POLICY, "0")
    for verdict in verdicts:
        figures = (verdict.effect, verdict.limit, verdict.null_p)
        assert all(figure is None or math.isfinite(figure) for figure in figures)
    return {verdict.name: verdict for verdict in verdicts}


def one(
    connection: duckdb.DuckDBPyConnection, before: pa.Array, after: pa.Array, kind: Kind = "any", name: str = "field"
) -> ColumnDrift:
    """The verdict on a single column."""
    column = Column(name, kind)
    return judged(connection, reference(connection, pa.table({name: before}), column), pa.table({name: after}), column)[name]


@pytest.mark.parametrize("rows", [1_000, 12_000, 100_000])
@pytest.mark.parametrize("shift", [0.0, 0.01])
def test_days_without_a_shift_that_matters_do_not_alarm(connection: duckdb.DuckDBPyConnection, rows: int, shift: float) -> None:
    known = reference(connection, drawn(0, 20_000), *TEN)
    for seed in range(1, 6):
        told = judged(connection, known, drawn(seed, rows, **{column.name: shift for column in NUMBERS}), *TEN)
        assert [name for name, verdict in told.items() if verdict.alarm] == []


def test_a_tenth_of_a_standard_deviation_is_named_and_nothing_else(connection: duckdb.DuckDBPyConnection) -> None:
    known = reference(connection, drawn(0, 20_000), *TEN)
    for seed in range(1, 6):
        told = judged(connection, known, drawn(seed, 100_000, number_4=0.1), *TEN)
        assert [name for name, verdict in told.items() if verdict.alarm] == ["number_4"]
        assert "drifted as by 0.1" in told["number_4"].sentence


def test_a_million_rows_shifted_by_a_hundredth_are_beyond_chance_and_still_no_alarm() -> None:
    shares = np.full(10, 0.1)
    moved = shares + np.linspace(-0.00175, 0.00175, 10)  # the deciles of a normal number shifted by 0.01, nearly
    effect = compared((shares * 1_000_000).astype(int).tolist(), (moved * 1_000_000).astype(int).tolist(), 0.0002)
    assert effect.null_p < 0.0002
    assert effect.psi < POLICY.least_effect / 10


def test_false_alarms_keep_to_their_rate_where_bins_are_small() -> None:
    generator = np.random.default_rng(3)
    shares = 1 / np.arange(1, 41) ** 2
    shares /= shares.sum()
    p = []
    for _ in range(2_000):
        before, after = generator.multinomial(3_000, shares), generator.multinomial(400, shares)
        p.append(compared(before.tolist(), after.tolist(), 0.001).null_p)
    for rate in (0.1, 0.01, 0.002):
        assert np.mean(np.array(p) < rate) <= rate + 3 * math.sqrt(rate / len(p))


def test_the_index_is_finite_and_never_negative_where_a_bin_is_empty() -> None:
    parts = psi_of([100, 0, 0], [0, 100, 0])
    assert np.isfinite(parts).all()
    assert (parts >= 0).all()


def test_a_value_that_never_was_is_seen_beside_a_reference_of_any_size() -> None:
    assert compared([10_000_000, 0], [500, 500], 0.0001).null_p < 1e-9
    assert compared([10_000_000, 0], [999, 1], 0.0001).null_p > 0.0001


def test_a_source_that_never_was_is_named(connection: duckdb.DuckDBPyConnection) -> None:
    told = one(
        connection,
        pa.array(["shop"] * 900 + ["app"] * 100),
        pa.array(["shop"] * 800 + ["app"] * 100 + ["kiosk"] * 100),
        name="source",
    )
    assert told.alarm
    assert told.sentence.endswith("values without a bin, most of all 'kiosk', in 10.0% of the rows, 0.0% in the reference")


def test_a_handful_of_new_values_among_many_rows_does_not_alarm(connection: duckdb.DuckDBPyConnection) -> None:
    told = one(connection, pa.array(["shop"] * 10_000), pa.array(["shop"] * 9_995 + ["kiosk"] * 5), name="source")
    assert not told.alarm


def test_a_constant_column_that_stays_is_as_before_and_one_that_moves_alarms(connection: duckdb.DuckDBPyConnection) -> None:
    fives = pa.array([5.0] * 1000)
    assert one(connection, fives, fives).sentence == "field has one value, as in the reference"
    moved = one(connection, fives, pa.array([5.0] * 500 + [7.0] * 500))
    assert moved.alarm
    assert "'7.0'" in moved.sentence


def test_a_column_without_values_says_so(connection: duckdb.DuckDBPyConnection) -> None:
    empty = pa.nulls(1000, pa.float64())
    told = one(connection, empty, pa.array(np.arange(1000.0)), "number")
    assert (told.alarm, told.effect, told.sentence) == (False, None, "field is not judged: no row of the reference has a value")
    gone = one(connection, pa.array(np.arange(1000.0)), empty, "number")
    assert gone.alarm
    assert gone.sentence == "field is gone: no row has a value; in the reference 100.0% had one"


def test_a_column_that_is_gone_alarms_and_one_that_is_new_is_told(connection: duckdb.DuckDBPyConnection) -> None:
    before = pa.table({"old": np.arange(1000.0), "told": ["some words"] * 1000})
    known = reference(connection, before, Column("old", "number"), Column("told", "text"))
    told = judged(connection, known, pa.table({"new": np.arange(1000.0)}), Column("new", "number"))
    assert (told["old"].alarm, told["told"].alarm, told["new"].alarm) == (True, True, False)
    assert told["old"].sentence.startswith("old is gone: no row has a value")
    assert told["new"].sentence.startswith("new is new: the reference has no such column")


@pytest.mark.parametrize(("rows", "counted"), [(0, "0 rows"), (1, "1 row"), (199, "199 rows")])
def test_a_reference_or_a_day_of_a_few_rows_is_not_judged(connection: duckdb.DuckDBPyConnection, rows: int, counted: str) -> None:
    few, many = pa.array(np.arange(float(rows))), pa.array(np.arange(1000.0))
    small_reference = one(connection, few, many, "number")
    assert small_reference.sentence == f"field is not judged: the reference has {counted}, 200 are needed"
    small_day = one(connection, many, few, "number")
    assert small_day.sentence == f"field is not judged: {counted}, 200 are needed"
    assert not small_reference.alarm
    assert not small_day.alarm


def test_what_is_no_number_counts_as_missing_and_infinities_count_as_large(connection: duckdb.DuckDBPyConnection) -> None:
    generator = np.random.default_rng(1)
    before = generator.normal(size=2000)
    odd = generator.normal(size=2000)
    odd[:400], odd[400:800] = np.nan, np.inf
    told = one(connection, pa.array(before), pa.array(odd, from_pandas=False), "number")
    assert told.alarm
    assert told.effect is not None
    assert told.effect > 1


def test_numbers_with_an_infinite_decile_are_cut_there(connection: duckdb.DuckDBPyConnection) -> None:
    values = np.arange(1000.0)
    values[700:] = np.inf
    assert not one(connection, pa.array(values), pa.array(values), "number").alarm
    assert one(connection, pa.array(values), pa.array(np.full(1000, np.inf)), "number").alarm


def test_an_identifier_has_no_shares_to_compare(connection: duckdb.DuckDBPyConnection) -> None:
    names = pa.array([f"R{number}x" for number in range(1000)])
    told = one(connection, names, pa.array(["R1x"] * 1000))
    assert told.sentence == "field is not judged: nearly every row of the reference has another value"
    assert not told.alarm


def test_a_rating_is_counted_star_by_star(connection: duckdb.DuckDBPyConnection) -> None:
    stars = pa.array([1.0, 2.0, 3.0, 4.0, 5.0] * 400)
    told = one(connection, stars, pa.array([1.0, 1.0, 3.0, 4.0, 5.0] * 400), "number")
    assert told.alarm
    assert "'2.0' in 0.0% of the rows, 20.0% in the reference" in told.sentence


def texts(seed: int, rows: int, new_word_every: int = 0) -> pa.Table:
    generator = np.random.default_rng(seed)
    shares = 1 / np.arange(1, 501)
    words = generator.choice(500, size=(rows, 12), p=shares / shares.sum())
    lines = [" ".join(f"Wort{word}" for word in line) for line in words]
    return pa.table({
        "text": [line + " Rückruf!" if new_word_every and place % new_word_every == 0 else line for place, line in enumerate(lines)]
    })  # fmt: skip


def test_the_vocabulary_names_the_word_that_became_frequent(connection: duckdb.DuckDBPyConnection) -> None:
    column = Column("text", "text")
    known = reference(connection, texts(0, 4000), column)
    for seed in range(1, 4):
        assert not judged(connection, known, texts(seed, 1000), column)["text"].alarm
    told = judged(connection, known, texts(9, 1000, new_word_every=25), column)["text"]
    assert told.sentence == "text drifted: 'rückruf' in 4.0% of the texts, 0.0% in the reference"


def test_a_reference_keeps_no_word_of_a_few_texts(connection: duckdb.DuckDBPyConnection) -> None:
    rows = pa.table({"text": ["plain words"] * 996 + ["plain words of Aurelie"] * 4})
    words = reference(connection, rows, Column("text", "text")).columns["text"].words
    assert words is not None
    assert words.counts == {"plain": 1000, "words": 1000}


def test_texts_that_are_all_empty_or_missing_are_told(connection: duckdb.DuckDBPyConnection) -> None:
    column = Column("text", "text")
    known = reference(connection, texts(0, 1000), column)
    missing = judged(connection, known, pa.table({"text": pa.nulls(1000, pa.string())}), column)["text"]
    assert (missing.alarm, missing.sentence) == (True, "text is gone: no row has a text")
    empty = judged(connection, known, pa.table({"text": [""] * 1000}), column)["text"]
    assert empty.alarm


def test_the_same_rows_give_the_same_reference(connection: duckdb.DuckDBPyConnection) -> None:
    rows = pa.table({**{name: drawn(0, 3000)[name] for name in ("number_1", "source")}, "text": texts(0, 3000)["text"]})
    columns = (Column("number_1", "number"), Column("source", "category"), Column("text", "text"))
    assert reference(connection, rows, *columns).model_dump_json() == reference(connection, rows, *columns).model_dump_json()
