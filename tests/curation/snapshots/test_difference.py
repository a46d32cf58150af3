"""The difference of two versions names what came, went and changed, and why."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support_tickets import COLUMNS, SPEC, ticket, tickets

from curation.errors import CurationError
from curation.snapshots.difference import NOT_DELIVERED, diff, fates_in


@pytest.fixture
def changed(store, connect):
    """Two versions: of 120 tickets, some left, came, were relabelled, reweighted, rewritten or moved."""
    rows = tickets()
    store.write(SPEC, connect(rows), "rows")
    after = [row for row in rows if row["line"] not in (3, 4, 5)]
    replaced = {
        20: ticket(20, label="calm"),
        21: ticket(21, weight=2.0),
        22: ticket(22, text="rewritten", weight=3.0),
        23: ticket(23, split="test"),
        24: ticket(24, item_id=None if ticket(24)["item_id"] else "x"),
    }
    after = [replaced.get(row["line"], row) for row in after]
    after += [ticket(number, batch="phone/2026-03-01", month="2026-03") for number in (200, 201)]
    store.write(SPEC, connect(after), "rows")
    return store


def test_every_kind_of_change_is_counted_and_shown(changed):
    found = diff(changed, "tickets", "v0001", "v0002")
    assert (found.rows_a, found.rows_b, found.added, found.removed, found.changed) == (120, 119, 2, 3, 5)
    assert (found.relabelled, found.reweighted, found.moved) == (1, 2, 1)
    assert found.changed_columns == {"item_id": 1, "text": 1, "label": 1, "weight": 2}
    assert found.relabelled_as == {"angry -> calm": 1}
    assert found.added_from == {"phone/2026-03-01": 2}
    assert sum(found.removed_from.values()) == 3
    assert found.removed_because == {}
    rewritten = found.samples["changed text"][0]
    assert (rewritten.before["text"], rewritten.after["text"]) == (ticket(22)["text"], "rewritten")
    assert [sample.key for sample in found.samples["removed"]] == ["uid00003", "uid00004", "uid00005"]
    assert found.samples["added"][0].batch == "phone/2026-03-01"
    moved = found.samples["moved"][0]
    assert (moved.before["split"], moved.after["split"]) == (ticket(23)["split"], "test")


def test_removed_rows_are_explained_by_their_fates(changed, tmp_path):
    fates = pa.table(
        {"ticket_uid": ["uid00003", "uid00004", "uid00999"], "fate": ["near_duplicate", "spam", "kept"], "rule": [None, "shouting", None],
         "duplicate_of": ["uid00001", None, None]}
    )  # fmt: skip
    pq.write_table(fates, tmp_path / "fates[1].parquet")
    found = diff(changed, "tickets", "v0001", "v0002", fates=fates_in(tmp_path / "fates[1].parquet", "ticket_uid"))
    assert found.removed_because == {"near_duplicate": 1, NOT_DELIVERED: 1, "spam: shouting": 1}
    assert [(sample.reason, sample.duplicate_of) for sample in found.samples["removed"]] == [
        ("near_duplicate", "uid00001"),
        ("spam: shouting", None),
        (NOT_DELIVERED, None),
    ]


def test_backwards_added_and_removed_change_places(changed):
    found = diff(changed, "tickets", "v0002", "v0001")
    assert (found.added, found.removed, found.relabelled_as) == (3, 2, {"calm -> angry": 1})


def test_a_version_differs_in_nothing_from_itself_and_no_part_is_opened(changed):
    found = diff(changed, "tickets", "v0001", "v0001")
    assert found.is_empty
    assert (found.parts_compared, found.parts_skipped) == (0, 6)


def test_equal_parts_are_skipped(store, connect):
    rows = tickets()
    store.write(SPEC, connect(rows), "rows")
    store.write(SPEC, connect([*rows, ticket(300, month="2026-04", split="train")]), "rows")
    found = diff(store, "tickets", "v0001", "v0002")
    assert (found.added, found.parts_compared, found.parts_skipped) == (1, 1, 6)


def test_a_row_that_moves_to_another_month_is_not_a_change(store, connect):
    rows = tickets()
    store.write(SPEC, connect(rows), "rows")
    store.write(SPEC, connect([*rows[:-1], ticket(119, month="2026-03")]), "rows")
    assert diff(store, "tickets", "v0001", "v0002").is_empty


def test_columns_that_came_or_went_are_named_and_the_others_compared(store, connect):
    connection = connect(tickets())
    store.write(SPEC, connection, "rows")
    columns = tuple(column for column in COLUMNS if column.name != "visits")
    store.write(SPEC.model_copy(update={"columns": columns}), connection, "rows")
    found = diff(store, "tickets", "v0001", "v0002")
    assert (found.columns_removed, found.columns_added, found.changed) == (["visits"], [], 0)


def test_an_unknown_version_is_named(changed):
    with pytest.raises(CurationError, match="no snapshot 'v0007'"):
        diff(changed, "tickets", "v0001", "v0007")
